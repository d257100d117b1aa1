// A transaction runs on a connection of its own, and locks the clock before it reads anything.
//
// READ COMMITTED: once the clock is locked every statement sees all that is committed, and no write that is captured can come in between. What only
// reads has one snapshot, which a standby gives as well.

import type { DataSource, QueryRunner } from 'typeorm'
import { DatabaseBusyError, DatabaseFailedError, SyncSchemaError } from '../../errors.js'
import type { OpenOptions } from '../database.js'
import { drive, inTime } from '../pool.js'
import { BUSY_TIMEOUT, retriedTransactions } from '../retry.js'
import { cellsOf, type Row, type Statement, type Transaction } from '../statement.js'
import type { TransactionOptions, Transactions } from '../transactions.js'
import { classOf } from './catalog.js'
import { bypassCapture } from './clock.js'
import { codeOf, constraintError, failure, isConnectionLost, isTransient, SAFE } from './errors.js'
import { numbered, TYPES } from './parameters.js'
import { schemaSettings } from './schemas.js'

/** What of pg's client a transaction uses. */
interface Client {
  query(query: { text: string; values?: unknown[]; types: typeof TYPES }): Promise<Result | Result[]>
}
interface Result {
  readonly command: string
  readonly rows: Row[]
}

// How values are spelled: the same in every transaction, whatever the session, the role or the database has set. The time zone is none of them, since
// defaults and triggers of the application count on it.
const PINNED = Object.entries({
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  xmloption: 'content',
  lc_monetary: 'C',
}).map(([name, value]) => `set_config('${name}', '${value}', true)`)

// Two processes that set up the same database at once come one after the other.
const SET_UP_LOCK = 7_305_808_869_231_650_116n

// Not a mere lock: a transaction of the application's whose snapshot is older than this transaction must not write past what it stores.
const LOCK_CLOCK = 'UPDATE sync_clock SET now = now'

/** `onMistake`: the schema, perhaps, is not what was read of it. */
export function postgresTransactions(dataSource: DataSource, options: OpenOptions, onMistake: () => void): Transactions {
  const { busyTimeout = BUSY_TIMEOUT, beforeStatement } = options

  async function execute(client: Client, sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    beforeStatement?.(sql)
    try {
      const result = await client.query({
        text: values.length ? numbered(sql) : sql,
        values: values.map(v => (v === undefined ? null : v)),
        types: TYPES,
      })
      return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? []
    } catch (error) {
      if (/^(22|42)/.test(codeOf(error))) onMistake()
      throw constraintError(error, sql) ?? error
    }
  }

  async function perform(client: Client, { sql, values, many, asCells }: Statement): Promise<Row[]> {
    if (many) {
      for (const each of many) await execute(client, sql, each)
      return []
    }
    const rows = await execute(client, sql, values)
    return asCells ? cellsOf(rows) : rows
  }

  const settings = () => `SELECT ${schemaSettings(dataSource)}, ${PINNED.join(', ')}`

  async function begin(client: Client, { mode = 'write', durable }: TransactionOptions, left: number): Promise<void> {
    if (mode === 'read') return void (await execute(client, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${settings()}`))
    const opening = [
      'BEGIN ISOLATION LEVEL READ COMMITTED',
      `SET LOCAL lock_timeout = ${Math.max(1, Math.ceil(left))}`,
      settings(),
      bypassCapture(true),
      // never less than the session has
      ...(durable ? [`SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`] : []),
    ]
    if (mode === 'write') return void (await execute(client, [...opening, LOCK_CLOCK].join('; ')))
    await execute(client, [...opening, `SELECT pg_advisory_xact_lock(${SET_UP_LOCK})`].join('; '))
    const [found] = await execute(client, `SELECT ${classOf(`'sync_clock'`)} IS NOT NULL AS clock, pg_is_in_recovery() AS replica`)
    if (found?.clock && !found.replica) await execute(client, LOCK_CLOCK)
    if (!found?.clock && found?.replica)
      throw new SyncSchemaError('The primary of this replica keeps no change log yet; initialise a data source on it first.')
  }

  async function commit(client: Client): Promise<void> {
    beforeStatement?.('COMMIT')
    let result: Result
    try {
      result = (await client.query({ text: 'COMMIT', types: TYPES })) as Result
    } catch (error) {
      // whether it was stored is not known: the next sync finds it out, and a retry of ours could store it twice
      if (isConnectionLost(error))
        throw new DatabaseFailedError(
          'The connection to the database broke during a commit; whether it was stored is not known here. Sync again: that finds it out.',
          { cause: error },
        )
      throw constraintError(error) ?? error
    }
    // what a failed transaction answers
    if (result.command === 'ROLLBACK') throw new DatabaseFailedError(`The transaction had failed before its commit. ${SAFE}.`)
  }

  async function run<T>(body: () => Transaction<T>, transactionOptions: TransactionOptions, deadline: number): Promise<T> {
    const runner = dataSource.createQueryRunner('master')
    const client: Client | undefined = await inTime(runner.connect(), deadline, () => runner.release())
    if (!client)
      throw new DatabaseBusyError(`No connection of the pool became free in ${busyTimeout} ms. ${SAFE}; sync again, or enlarge the pool.`)
    let broken: Error | undefined
    try {
      await begin(client, transactionOptions, deadline - Date.now())
      const result = await drive(body(), statement => perform(client, statement))
      await commit(client)
      return result
    } catch (error) {
      broken = await rollBack(client, error)
      throw error
    } finally {
      await release(runner, broken)
    }
  }

  const transactions = retriedTransactions(dataSource, options, {
    ...{ pauses: [2, 200], run, isTransient, isConnectionLost, failure },
    whatWasBusy: cause =>
      codeOf(cause) === '53300' ? 'The database had no connection free' : 'Transactions of others held what was needed',
  })
  return { ...transactions, async save() {} }
}

/** The error with which the connection is to be thrown away; undefined where it is as good as before. */
async function rollBack(client: Client, error: unknown): Promise<Error | undefined> {
  if (isConnectionLost(error) || isConnectionLost((error as Error)?.cause)) return error as Error
  try {
    await client.query({ text: 'ROLLBACK', types: TYPES })
    return
  } catch (broken) {
    return broken as Error
  }
}

// TypeORM keeps to itself the method that reports a broken connection to the pool; its own listener calls it as well
function release(runner: QueryRunner, broken: Error | undefined): Promise<void> {
  return (runner as unknown as { releasePostgresConnection(error?: Error): Promise<void> }).releasePostgresConnection(broken)
}
