import type { Transaction } from './statement.js'

/** The clock as it is; `now` is the last stamp. Read in the same transaction as the rows beside it. */
export interface Clock {
  readonly now: number
  /** The random name of this history; it changes when the history was reset. */
  readonly collection: string
  /** Tombstones up to here are collected. */
  readonly horizon: number
}

export interface ClockStatements {
  clock(): Transaction<Clock>
  /** Gives the next stamp: max(wall clock, last + 1), in milliseconds since 1/1/1970. */
  tick(): Transaction<number>
  /**
   * Differs after any write to the database, by whomever and to whichever table, even one that is rolled back; undefined where the kind of database has no such
   * thing.
   */
  mark(): Transaction<string | undefined>
  /** Is this a read replica, which may not have come as far as a client has? */
  isReplica(): Transaction<boolean>
  /** Bypasses capture, or ends that, within a transaction that began before there was a clock. */
  bypassCapture(isBypassed: boolean): Transaction<void>
}
