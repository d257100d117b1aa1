import type { Transaction } from './statement.js'

/**
 * `read`: one snapshot, nothing is locked. `write`: holds the clock, and bypasses capture. `setUp`: makes tables and triggers, perhaps before there
 * is a clock; two that run at once come one after the other, and capture is bypassed where the body says so.
 */
export type TransactionMode = 'read' | 'write' | 'setUp'

export interface TransactionOptions {
  /** `write` by default. */
  readonly mode?: TransactionMode
  /** Of a write: what it stored is on the disk when the transaction is done, whatever the application chose for its own writes. */
  readonly durable?: boolean
  /** Of a read: other work that is due runs first, as it does before a write; a request that was just made leaves. */
  readonly afterOthers?: boolean
  /** It runs while `changeSchema` is at work, when others wait. */
  readonly duringSchemaChange?: boolean
}

/** How transactions run on a database. */
export interface Transactions {
  /**
   * Runs a transaction: all of it is stored, or nothing (docs/how-it-works.md, law 1). The body may run more than once, so what it changes in memory it
   * makes anew each time. Throws DatabaseBusyError, DatabaseFailedError, or what the body throws.
   */
  transaction<T>(body: () => Transaction<T>, options?: TransactionOptions): Promise<T>
  /** Keeps transactions waiting while `work` changes the schema. */
  changeSchema<T>(work: () => Promise<T>): Promise<T>
  /** Calls the listener after each transaction of this process that wrote; returns a function that ends this. */
  onWrite(listener: () => void): () => void
  /** Saves what the transactions stored, where the database lives in memory and is saved as a whole. */
  save(): Promise<void>
}
