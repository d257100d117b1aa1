// A transaction uses one connection of the pool, and locks the clock first. It reads what is committed (READ COMMITTED): from then on no other
// transaction of ours, and none of the application's that changes synced rows, comes in between. The session variable @sync_bypass bypasses the
// triggers.
//
// An application's transaction locks its row first and the clock after it, one of ours the other way round. Where both want the same row, one of
// them is rolled back with error 1213: ours begins anew by itself, an application must be ready for that, as it must with InnoDB anyway.

import type { DataSource } from 'typeorm'
import { ConstraintError, DatabaseFailedError } from '../../errors.js'
import type { OpenOptions } from '../database.js'
import { drive, inTime } from '../pool.js'
import { retriedTransactions } from '../retry.js'
import { cellsOf, type Row, type Statement, type Transaction } from '../statement.js'
import type { TransactionMode, TransactionOptions, Transactions } from '../transactions.js'
import { BEGIN_TO_WRITE } from './clock.js'
import { type Connection, connect, identifier, literal, textOf } from './connection.js'
import { brokenRule, constraintError, endsTransaction, failure, isBroken, isBusy, isClosed } from './errors.js'
import type { Session } from './session.js'

// What does not fit is rejected, never cut, whatever the session has set. Not in a set-up: triggers that are made there keep the mode, and would
// reject what the application itself writes.
const PIN_MODE = "@sync_sql_mode = @@sql_mode, @@SESSION.sql_mode = 'STRICT_ALL_TABLES',"
const RESTORE_MODE = ', @@SESSION.sql_mode = coalesce(@sync_sql_mode, @@GLOBAL.sql_mode)'

// Of a length that the server accepts, whatever the database is called.
const LOCK = "LEFT(CONCAT('typeorm_sync_', MD5(DATABASE())), 64)"

const BEGIN_TO_READ = ['SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', 'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY']

/** No connection, or no lock for a set-up, in time. */
class NotInTime extends Error {}

export function mysqlTransactions(dataSource: DataSource, options: OpenOptions, session: Session): Transactions {
  const { beforeStatement } = options

  async function execute(connection: Connection, { sql, values, many, asCells }: Statement): Promise<Row[]> {
    beforeStatement?.(sql)
    let rows: Row[] = []
    for (const list of many ?? [values]) rows = await runText(connection, textOf(sql, list))
    return many ? [] : asCells ? cellsOf(rows) : rows
  }

  async function runText(connection: Connection, sql: string): Promise<Row[]> {
    if (session.isTooLong(sql)) throw new ConstraintError('too-large', undefined)
    try {
      return await connection.run(sql)
    } catch (error) {
      const rule = brokenRule(error, sql)
      if (!rule) throw error
      const column = rule.index === undefined ? rule.column : await columnOfIndex(connection, sql, rule.index)
      throw constraintError({ ...rule, column }, error)
    }
  }

  const perform = (connection: Connection, sql: string) => execute(connection, { sql, values: [] })

  // What the body does after the transaction was ended by the database counts for nothing.
  async function driveOn<T>(connection: Connection, body: Transaction<T>): Promise<T> {
    let lost: unknown
    const isLost = (error: unknown) => {
      if (endsTransaction(error)) lost = error
      return error
    }
    try {
      const result = await drive(body, async statement => {
        if (lost !== undefined) throw lost
        try {
          return await execute(connection, statement)
        } catch (error) {
          throw isLost(error)
        }
      })
      if (lost !== undefined) throw lost
      return result
    } catch (error) {
      throw lost ?? error
    }
  }

  async function begin(connection: Connection, mode: TransactionMode, seconds: number): Promise<void> {
    const pin = mode === 'setUp' ? '' : PIN_MODE
    await perform(
      connection,
      `SET @sync_wait = @@innodb_lock_wait_timeout, @sync_schema_wait = @@lock_wait_timeout, ${pin}
         @@SESSION.innodb_lock_wait_timeout = ${seconds}, @@SESSION.lock_wait_timeout = ${seconds}, @sync_bypass = ${mode === 'write' ? '1' : 'NULL'}`,
    )
    if (mode !== 'setUp') for (const sql of mode === 'read' ? BEGIN_TO_READ : BEGIN_TO_WRITE) await perform(connection, sql)
    else {
      // two processes that start at once
      const [lock] = await perform(connection, `SELECT GET_LOCK(${LOCK}, ${seconds}) AS held`)
      if (Number(lock?.held) !== 1) throw new NotInTime()
    }
  }

  async function commit(connection: Connection): Promise<void> {
    beforeStatement?.('COMMIT')
    try {
      await connection.run('COMMIT')
    } catch (error) {
      if (!isBroken(error)) throw error
      throw new DatabaseFailedError(
        'The connection to the database broke during a commit; whether it was stored is not known here. Sync again: that finds it out.',
        { cause: error },
      )
    }
  }

  /** Leaves the session as it was. False where that failed. */
  async function restore(connection: Connection, mode: TransactionMode): Promise<boolean> {
    try {
      await connection.run(
        `SET @sync_bypass = NULL, @@SESSION.innodb_lock_wait_timeout = coalesce(@sync_wait, @@GLOBAL.innodb_lock_wait_timeout),
          @@SESSION.lock_wait_timeout = coalesce(@sync_schema_wait, @@GLOBAL.lock_wait_timeout)${mode === 'setUp' ? '' : RESTORE_MODE}`,
      )
      if (mode === 'setUp') await connection.run(`DO RELEASE_LOCK(${LOCK})`)
      return true
    } catch {
      return false
    }
  }

  // A connection whose state is not known is not used again.
  async function run<T>(body: () => Transaction<T>, { mode = 'write' }: TransactionOptions, deadline: number): Promise<T> {
    const connection = await inTime(connect(dataSource), deadline, late => late.release(false))
    if (!connection) throw new NotInTime()
    const seconds = Math.min(31_536_000, Math.max(1, Math.ceil((deadline - Date.now()) / 1000)))
    let isUsable = true
    try {
      await session.check(connection)
      await begin(connection, mode, seconds)
      const result = await driveOn(connection, body())
      await commit(connection)
      return result
    } catch (error) {
      isUsable = !isBroken(error) && !isBroken((error as Error)?.cause)
      if (isUsable) await connection.run('ROLLBACK').catch(() => (isUsable = false))
      throw error
    } finally {
      isUsable &&= await restore(connection, mode)
      await connection.release(!isUsable)
    }
  }

  const transactions = retriedTransactions(dataSource, options, {
    ...{ pauses: [2, 200], run, failure, isConnectionLost: isBroken },
    isTransient: error => error instanceof NotInTime || isBusy(error) || (isBroken(error) && !isClosed(error)),
    whatWasBusy: cause =>
      cause instanceof NotInTime
        ? 'No connection to the database was free, or another process was setting up sync,'
        : 'The application’s transactions, or other processes, kept rows of the database locked',
  })
  return { ...transactions, async save() {} }
}

// MariaDB names the index alone; which table it is on the statement says.
async function columnOfIndex(connection: Connection, sql: string, index: string): Promise<string | undefined> {
  const table = /^(?:INSERT INTO|UPDATE) (`(?:[^`]|``)+`)/.exec(sql)?.[1]
  const name = index.slice(index.lastIndexOf('.') + 1)
  const rows = await connection.run(
    `SELECT s.COLUMN_NAME AS name, s.TABLE_NAME AS place FROM information_schema.STATISTICS s
      WHERE s.TABLE_SCHEMA = DATABASE() AND s.INDEX_NAME = ${literal(name)} AND s.SEQ_IN_INDEX = 1`,
  )
  const found = rows.find(row => identifier(String(row.place)) === table)
  return found?.name === undefined || found.name === null ? undefined : String(found.name)
}
