// Rows that are read again whenever what they are read from has changed.

import { DatabaseBusyError } from '../../errors.js'
import { Timer } from '../keep/timer.js'
import type { Look, Looker, Watcher } from './looker.js'

export interface WatchOptions {
  /** Ends it, as `stop` does. */
  readonly signal?: AbortSignal
}

export interface WatchSnapshot<Row> {
  readonly rows: readonly Row[]
  /** Nothing was read yet. */
  readonly isLoading: boolean
  /** Why they could not be read last; undefined where they could. */
  readonly error: unknown
}

export interface Watch<Row> extends AsyncIterable<WatchSnapshot<Row>> {
  /** What was read last. It is the same object until something else was read. */
  getSnapshot(): WatchSnapshot<Row>
  /** Reads, and calls the listener with each further snapshot; returns a function that ends this. With the last listener reading ends. */
  subscribe(listener: (snapshot: WatchSnapshot<Row>) => void): () => void
  /** Ends it for all listeners, and each loop over it. */
  stop(): void
}

/** What is watched. */
export interface Reading<Row> {
  /** Differs where the rows may have changed. */
  sign(look: Look): string
  read(look: Look): Promise<readonly Row[]>
  /** Gives those that did not change the identity that they had. The list is the same where all is. */
  keep(rows: readonly Row[]): readonly Row[]
}

/** Milliseconds after a failure until it is tried again: at first, and at most. */
const FIRST_WAIT = 200
const LONGEST_WAIT = 30_000

export class Watched<Row> implements Watch<Row>, Watcher {
  #snapshot: WatchSnapshot<Row> = { rows: [], isLoading: true, error: undefined }
  readonly #listeners = new Set<(snapshot: WatchSnapshot<Row>) => void>()
  #leave: (() => void) | undefined
  #look: Look | undefined
  /** What the rows were read from. */
  #shown: string | undefined
  #isReading = false
  #isStopped = false
  #failures = 0
  /** Not before this time, on the clock of `performance`. */
  #restUntil = 0
  readonly #timer = new Timer(() => void this.#consider())
  readonly #signal: AbortSignal | undefined
  /** Of the loops over it. */
  readonly #wakes = new Set<() => void>()

  constructor(
    private readonly looker: Looker,
    private readonly reading: Reading<Row>,
    { signal }: WatchOptions = {},
  ) {
    this.#signal = signal
    if (signal?.aborted) this.stop()
    else signal?.addEventListener('abort', this.stop)
  }

  readonly getSnapshot = (): WatchSnapshot<Row> => this.#snapshot

  readonly subscribe = (listener: (snapshot: WatchSnapshot<Row>) => void): (() => void) => {
    if (this.#isStopped) return () => {}
    // a function that is given twice is two subscriptions
    const own = (snapshot: WatchSnapshot<Row>) => listener(snapshot)
    this.#listeners.add(own)
    if (!this.#leave) {
      this.#shown = undefined
      this.#leave = this.looker.join(this)
    }
    return () => {
      this.#listeners.delete(own)
      if (!this.#listeners.size) this.#end()
    }
  }

  readonly stop = (): void => {
    this.#isStopped = true
    this.#signal?.removeEventListener('abort', this.stop)
    this.#listeners.clear()
    this.#end()
    for (const wake of this.#wakes) wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchSnapshot<Row>, void> {
    let wake = () => {}
    const unsubscribe = this.subscribe(() => wake())
    const stopped = () => wake()
    this.#wakes.add(stopped)
    const alive = setInterval(() => {}, LONGEST_WAIT) // Node ends where only our other timers are left
    try {
      for (let last: WatchSnapshot<Row> | undefined; ; ) {
        const next = this.#snapshot
        if (next !== last && !next.isLoading) {
          last = next
          yield next
        } else if (this.#isStopped) return
        else
          await new Promise<void>(resolve => {
            wake = resolve
          })
      }
    } finally {
      clearInterval(alive)
      this.#wakes.delete(stopped)
      unsubscribe()
    }
  }

  looked(look: Look): boolean {
    this.#look = look
    return this.#consider()
  }

  failed(error: unknown): void {
    this.#shown = undefined
    this.#restUntil = performance.now() + Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++)
    // the same failure once more is nothing to tell
    if (this.#snapshot.isLoading || String(this.#snapshot.error) !== String(error))
      this.#show({ rows: this.#snapshot.rows, isLoading: false, error })
  }

  closed(): void {
    this.stop()
  }

  #end(): void {
    this.#timer.clear()
    this.#leave?.()
    this.#leave = undefined
    this.#look = undefined
  }

  /** True where it begins to read. */
  #consider(): boolean {
    const look = this.#look
    if (!look || this.#isReading || this.reading.sign(look) === this.#shown) return false
    const rest = this.#restUntil - performance.now()
    if (rest > 0) this.#timer.set(rest)
    else void this.#read(look)
    return rest <= 0
  }

  /** One after the other: what is written meanwhile is read by the next. */
  async #read(look: Look): Promise<void> {
    const start = performance.now()
    this.#isReading = true
    try {
      const rows = await this.reading.read(look)
      const holds = await this.looker.holds(look)
      // reading takes half of the time at most
      this.#restUntil = 2 * performance.now() - start
      if (holds) this.#succeeded(look, rows)
      else this.#lookAgain(look)
    } catch (error) {
      this.#failedToRead(look, error)
    }
    this.#isReading = false
    this.#consider()
  }

  #succeeded(look: Look, found: readonly Row[]): void {
    if (!this.#leave) return
    this.#shown = this.reading.sign(look)
    this.#failures = 0
    const rows = this.reading.keep(found)
    const { rows: before, isLoading, error } = this.#snapshot
    if (rows !== before || isLoading || error !== undefined) this.#show({ rows, isLoading: false, error: undefined })
  }

  /** Half of a transaction may be among the rows, or what was rolled back. */
  #lookAgain(look: Look): void {
    if (this.#look === look) this.#look = undefined
    void this.looker.look()
  }

  #failedToRead(look: Look, error: unknown): void {
    if (!this.#leave) return
    if (this.looker.isClosed) this.stop()
    // the application's transaction is still open
    else if (error instanceof DatabaseBusyError) this.#lookAgain(look)
    else this.failed(error)
  }

  #show(snapshot: WatchSnapshot<Row>): void {
    this.#snapshot = snapshot
    for (const listener of [...this.#listeners]) {
      try {
        listener(snapshot)
      } catch (error) {
        console.error(error) // what fails to show rows does not end the watch
      }
    }
  }
}
