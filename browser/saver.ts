// Saves a database: soon after writes, and when it is asked to. Only what has changed since the last save is stored.

import { delay } from '../src/databases/schemaChanges.js'
import { DatabaseBusyError } from '../src/errors.js'
import type { BlockStore } from './blockStore.js'
import { changedBlocks } from './blocks.js'
import type { WatchedSqlJs } from './watchedSqlJs.js'

/** Saving may take this part of the time. */
const SHARE = 10
/** Milliseconds until a save is tried again that has failed. */
const AGAIN = 5_000

export interface SaverOptions {
  readonly debounce: number
  readonly busyTimeout: number
  /** Told why a save failed that nobody waits for. */
  readonly failed: (error: unknown) => void
}

export class Saver {
  #last: Promise<void> = Promise.resolve()
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Milliseconds in which the last save kept the thread busy. */
  #took = 0
  #isDurable = true
  #isEnded = false

  constructor(
    private readonly store: BlockStore,
    private readonly sqlJs: WatchedSqlJs,
    /** The file as it is stored. */
    private saved: Uint8Array,
    private readonly options: SaverOptions,
  ) {}

  /** Something was written, or will be in a moment. */
  noteWrite(): void {
    this.#timer ??= this.#later(Math.max(this.options.debounce, this.#took * SHARE))
  }

  #later(milliseconds: number) {
    return setTimeout(() => this.saveSoon(), milliseconds)
  }

  /** Saves now what would be saved in a moment. */
  saveSoon(): void {
    if (this.#isEnded || this.#timer === undefined) return
    this.#stopTimer()
    this.#chain(false).catch(error => {
      if (!this.#isEnded && !(error instanceof DatabaseBusyError)) this.options.failed(error)
    })
  }

  /** Resolves when all that was committed before is stored, and withstands a loss of power. */
  save(): Promise<void> {
    this.#stopTimer()
    return this.#chain(true)
  }

  /**
   * The last save: calls `close` in the same turn as the file is taken, so that nothing is written in between. To be called when a save has just succeeded: a
   * failure to store is told to `failed` alone. Throws DatabaseBusyError where a transaction stays open; then nothing has ended.
   */
  async end(close: () => void): Promise<void> {
    await this.#last.catch(() => {})
    const file = await this.#export()
    close()
    this.stop()
    await this.#last.catch(() => {})
    await this.#write(file, true).catch(this.options.failed)
  }

  /** Saves no more. */
  stop(): void {
    this.#isEnded = true
    this.#stopTimer()
  }

  #stopTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  // one after the other: a later state never comes before an earlier one
  #chain(isStrict: boolean): Promise<void> {
    this.#last = this.#last.catch(() => {}).then(() => this.#save(isStrict))
    return this.#last
  }

  async #save(isStrict: boolean): Promise<void> {
    try {
      await this.#write(await this.#export(), isStrict)
    } catch (error) {
      if (!this.#isEnded) this.#timer ??= this.#later(AGAIN)
      throw error
    }
  }

  /** The file, when no transaction is open. */
  async #export(): Promise<Uint8Array> {
    const { busyTimeout } = this.options
    for (const deadline = performance.now() + busyTimeout; ; await delay(5)) {
      const start = performance.now()
      const file = this.sqlJs.export()
      this.#took = performance.now() - start
      if (file) return file
      if (performance.now() > deadline)
        throw new DatabaseBusyError(
          `The application kept a transaction open for more than ${busyTimeout} ms, so the database could not be saved. Save again when it has ended.`,
        )
    }
  }

  async #write(file: Uint8Array, isStrict: boolean): Promise<void> {
    const start = performance.now()
    const blocks = changedBlocks(this.saved, file)
    this.#took += performance.now() - start
    if (!blocks.size && file.length === this.saved.length && (this.#isDurable || !isStrict)) return
    await this.store.write({ length: file.length, blocks, isStrict })
    this.saved = file
    this.#isDurable = isStrict
  }
}
