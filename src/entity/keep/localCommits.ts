// Notices what is written to the database, by whomever: it looks at the clock, which every write moves.

import type { DataSource } from 'typeorm'
import { countJournals, type JournalCounts } from '../../sync/conflicts/counts.js'
import { changeLogOf } from '../registry.js'
import { Timer } from './timer.js'

/** So many times the debounce is the longest that a commit waits while others follow it. */
const LONGEST = 10
/** Counting may take this part of the time: of ten thousand rows it takes long. */
const SHARE = 10

export class LocalCommits {
  #seen = -1
  #dirtySince: number | undefined
  #countFrom = 0
  #looking: Promise<void> | undefined
  #isPaused = true
  readonly #timer: Timer

  constructor(
    private readonly dataSource: DataSource,
    private readonly debounce: number,
    /** Called with what is in the journals, when it was quiet for a while after a commit. */
    private readonly committed: (counts: JournalCounts) => void,
  ) {
    this.#timer = new Timer(() => {
      this.#looking = this.#look()
    })
  }

  /** Looks from now on. */
  resume(): void {
    this.#isPaused = false
    this.#timer.set(this.debounce)
  }

  /** Looks no more; resolves when that is so. */
  async pause(): Promise<void> {
    this.#isPaused = true
    this.#timer.clear()
    await this.#looking
  }

  /** Counts what is in the journals; all that was committed until then is seen. */
  async count(): Promise<JournalCounts> {
    const start = performance.now()
    const log = changeLogOf(this.dataSource)
    const { now, ...counts } = await log.database.transaction(() => countJournals(log), { mode: 'read' })
    this.#seen = now
    this.#dirtySince = undefined
    this.#countFrom = performance.now() + (performance.now() - start) * SHARE
    return counts
  }

  async #look(): Promise<void> {
    try {
      const { database } = changeLogOf(this.dataSource)
      const { now } = await database.transaction(() => database.clock(), { mode: 'read' })
      const isMoving = now !== this.#seen
      this.#seen = now
      if (isMoving) this.#dirtySince ??= performance.now()
      if (this.#isDue(isMoving)) {
        const counts = await this.count()
        if (!this.#isPaused) this.committed(counts)
      }
    } catch {
      // the database is busy, or closed: the next look, or a sync, finds out
    }
    if (!this.#isPaused) this.#timer.set(this.debounce)
  }

  #isDue(isMoving: boolean): boolean {
    const now = performance.now()
    if (this.#dirtySince === undefined || now < this.#countFrom) return false
    return !isMoving || now - this.#dirtySince > this.debounce * LONGEST
  }
}
