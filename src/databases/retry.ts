// One loop for the transactions of every kind of database: one that finds the database busy runs again, until its time is over.

import type { DataSource } from 'typeorm'
import { DatabaseBusyError, DatabaseFailedError } from '../errors.js'
import type { OpenOptions } from './database.js'
import { delay, SchemaChanges } from './schemaChanges.js'
import type { Transaction } from './statement.js'
import type { TransactionOptions, Transactions } from './transactions.js'

/** Milliseconds. */
export const BUSY_TIMEOUT = 10_000

/** How transactions of one kind of database run, and what their errors mean. */
export interface Retried {
  /** Milliseconds between a run and the next: at first, and at most. */
  readonly pauses: readonly [first: number, longest: number]
  /** Runs a transaction once. `deadline` is in milliseconds since 1/1/1970. */
  run<T>(body: () => Transaction<T>, options: TransactionOptions, deadline: number): T | Promise<T>
  /** Lets other work that is due run before a transaction. */
  letOthersRun?(options: TransactionOptions, isAgain: boolean): Promise<void> | undefined
  /** May it be over in a moment? */
  isTransient(error: unknown): boolean
  isConnectionLost(error: unknown): boolean
  /** The error that the caller gets for one that is not transient, or a lost connection. */
  failure(error: unknown): unknown
  /** What kept the database busy: the beginning of a sentence. */
  whatWasBusy(cause: unknown): string
}

export function retriedTransactions(
  dataSource: DataSource,
  { busyTimeout = BUSY_TIMEOUT, beforeTransaction }: OpenOptions,
  kind: Retried,
): Pick<Transactions, 'transaction' | 'changeSchema' | 'onWrite'> {
  const schemaChanges = new SchemaChanges()
  const listeners = new Set<() => void>()

  async function transaction<T>(body: () => Transaction<T>, options: TransactionOptions = {}): Promise<T> {
    const deadline = Date.now() + busyTimeout
    const [firstPause, longestPause] = kind.pauses
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      const others = beforeTransaction ? beforeTransaction() : kind.letOthersRun?.(options, pause > firstPause)
      if (others) await others
      if (!dataSource.isInitialized) throw closed()
      let cause: unknown
      if (schemaChanges.areRunning && !options.duringSchemaChange) await schemaChanges.wait(deadline)
      else {
        try {
          const result = await kind.run(body, options, deadline)
          if (options.mode !== 'read') for (const listener of [...listeners]) listener()
          return result
        } catch (error) {
          if (!kind.isTransient(error)) throw kind.failure(error)
          cause = error
        }
      }
      if (Date.now() >= deadline) throw exhausted(cause)
      // with jitter: two that collided do not collide again
      await delay(pause * (0.5 + Math.random()))
    }
  }

  function exhausted(cause: unknown): unknown {
    if (kind.isConnectionLost(cause)) return kind.failure(cause)
    const what = cause === undefined ? 'The schema was being changed' : kind.whatWasBusy(cause)
    return new DatabaseBusyError(
      `${what} for more than ${busyTimeout} ms. Nothing was stored, nothing was lost; sync again when it has ended.`,
      { cause },
    )
  }

  function onWrite(listener: () => void): () => void {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  return { transaction, changeSchema: work => schemaChanges.run(work), onWrite }
}

/** The error of a data source that is closed. */
export const closed = (cause?: unknown) =>
  new DatabaseFailedError('The data source is closed; initialise it and sync again. Nothing was lost.', { cause })
