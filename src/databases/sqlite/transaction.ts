// A transaction is one synchronous turn, BEGIN to COMMIT without an await, begun when the application has no transaction open on the connection.
// Otherwise the application's save would become part of our transaction and vanish with its rollback, although its promise resolved.

import type { DataSource } from 'typeorm'
import type { OpenOptions } from '../database.js'
import { macrotask } from '../macrotask.js'
import { retriedTransactions } from '../retry.js'
import type { Row, Statement, Transaction } from '../statement.js'
import type { TransactionOptions, Transactions } from '../transactions.js'
import type { Connection } from './connection.js'
import { constraintError, failure, isBusy } from './errors.js'
import { Saving } from './save.js'

export function sqliteTransactions(dataSource: DataSource, connectionOf: () => Connection, options: OpenOptions): Transactions {
  const { beforeStatement } = options
  const saving = new Saving(dataSource, options)
  const isSqlJs = dataSource.options.type === 'sqljs'

  const execute = (connection: Connection, sql: string) => perform(connection, { sql, values: [] })

  function perform(connection: Connection, { sql, values, many, asCells, counts }: Statement): Row[] {
    beforeStatement?.(sql)
    try {
      if (asCells) return connection.readCells(sql, values) as unknown as Row[]
      if (!many) return connection.run(sql, values)
      const changed = connection.runMany(sql, many)
      return counts ? (changed as unknown as Row[]) : []
    } catch (error) {
      throw constraintError(error, sql) ?? error
    }
  }

  function drive<T>(connection: Connection, body: Transaction<T>): T {
    let state = body.next()
    while (!state.done) {
      let rows: Row[]
      try {
        rows = perform(connection, state.value)
      } catch (error) {
        state = body.throw(error)
        continue
      }
      state = body.next(rows)
    }
    return state.value
  }

  // SQLite itself would wait for another process, synchronously, and nothing else would run meanwhile: the transaction waits instead.
  function beginToWrite(connection: Connection): void {
    const timeout = isSqlJs ? 0 : Number(connection.run('PRAGMA busy_timeout', [])[0]?.timeout)
    if (timeout) connection.run('PRAGMA busy_timeout = 0', [])
    try {
      execute(connection, 'BEGIN IMMEDIATE')
    } finally {
      if (timeout) connection.run(`PRAGMA busy_timeout = ${timeout}`, [])
    }
  }

  function bypassingCapture<T>(connection: Connection, body: Transaction<T>): T {
    execute(connection, 'UPDATE sync_clock SET bypass = 1, stamping = NULL')
    // notes of an OR IGNORE that replaced nothing; rows that the transaction removes would pass for replaced ones
    execute(connection, 'DELETE FROM sync_replaced')
    const result = drive(connection, body)
    execute(connection, 'UPDATE sync_clock SET bypass = NULL')
    return result
  }

  function turn<T>(connection: Connection, body: () => Transaction<T>, { mode = 'write' }: TransactionOptions): T {
    // sql.js keeps its files in memory as well, and copies them as they grow: a journal there survives no more than one in memory
    if (mode !== 'read' && isSqlJs && execute(connection, 'PRAGMA journal_mode')[0]?.journal_mode === 'delete')
      execute(connection, 'PRAGMA journal_mode = MEMORY')
    if (mode === 'read') execute(connection, 'BEGIN')
    else beginToWrite(connection)
    try {
      const result = mode === 'write' ? bypassingCapture(connection, body()) : drive(connection, body())
      execute(connection, 'COMMIT')
      if (mode !== 'read') saving.noteWrite()
      return result
    } catch (error) {
      try {
        connection.run('ROLLBACK', [])
      } catch {
        // SQLite has already rolled back by itself, as it does when the disk is full
      }
      throw error
    }
  }

  function run<T>(body: () => Transaction<T>, transactionOptions: TransactionOptions): T {
    const connection = connectionOf()
    const level = transactionOptions.durable ? Number(execute(connection, 'PRAGMA synchronous')[0]?.synchronous) : 2
    if (!(level < 2)) return turn(connection, body, transactionOptions)
    execute(connection, 'PRAGMA synchronous = FULL')
    try {
      return turn(connection, body, transactionOptions)
    } finally {
      connection.run(`PRAGMA synchronous = ${level}`, [])
    }
  }

  const transactions = retriedTransactions(dataSource, options, {
    pauses: [1, 50],
    run,
    // what the application has begun and awaits only the database for is over then, and a page has had its turn; a read is short
    letOthersRun: ({ mode, afterOthers }, isAgain) => (mode !== 'read' || afterOthers || isAgain ? macrotask() : undefined),
    isTransient: isBusy,
    isConnectionLost: () => false,
    failure,
    whatWasBusy: cause =>
      cause instanceof Error && /within a transaction/.test(cause.message)
        ? 'The application kept a transaction open on the shared connection'
        : 'Another process kept the database locked',
  })
  return { ...transactions, save: () => saving.save() }
}
