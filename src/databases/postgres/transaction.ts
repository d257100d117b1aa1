// A transaction on PostgreSQL: a transaction on a connection of its own, which locks the clock before it reads anything.
//
// READ COMMITTED: once the clock is locked every statement sees all that is committed, and nobody who is captured can write. What only reads
// has one snapshot, which a standby gives as well.

import type { DataSource, QueryRunner } from 'typeorm'
import { DatabaseBusyError, DatabaseFailedError, SyncSchemaError } from '../../errors.js'
import { cellsOf, type Database, type OpenOptions, type Row, type Transaction, type TransactionOptions } from '../database.js'
import { delay, SchemaChanges } from '../schemaChanges.js'
import { codeOf, constraintError, failure, isConnectionLost, isTransient, SAFE, unreachable } from './errors.js'
import { bypassCapture, classOf } from './tables.js'

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

export function postgresTransactions(
  dataSource: DataSource,
  { busyTimeout = 10_000, beforeStatement, beforeTransaction }: OpenOptions,
  onMistake: () => void,
): Pick<Database, 'transaction' | 'changeSchema'> {
  const schemaChanges = new SchemaChanges()

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
      // the schema, perhaps, is not what was read of it
      if (/^(22|42)/.test(codeOf(error))) onMistake()
      throw constraintError(error, sql) ?? error
    }
  }

  async function drive<T>(client: Client, body: Transaction<T>): Promise<T> {
    let state = body.next()
    while (!state.done) {
      const { sql, values, many, asCells } = state.value
      let rows: Row[] = []
      try {
        if (many) for (const each of many) await execute(client, sql, each)
        else rows = await execute(client, sql, values)
        if (asCells) rows = cellsOf(rows)
      } catch (error) {
        state = body.throw(error)
        continue
      }
      state = body.next(rows)
    }
    return state.value
  }

  // Whatever the session's path names first: our tables and the entities' are those of the data source's own schema. Types and operators of
  // extensions are found where the session finds them.
  function settings(): string {
    const { schema } = dataSource.driver as { schema?: string }
    const first = schema === undefined ? '' : `quote_ident('${schema.replaceAll("'", "''")}') || ', ' || `
    return `SELECT set_config('search_path', ${first}current_setting('search_path'), true), ${PINNED.join(', ')}`
  }

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
      // whether it was stored nobody knows: whoever asks again finds out, and a retry of ours could store it twice
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

  async function runOnce<T>(body: () => Transaction<T>, options: TransactionOptions, deadline: number): Promise<T> {
    const runner = dataSource.createQueryRunner('master')
    const client = await connect(runner, deadline)
    let broken: Error | undefined
    try {
      await begin(client, options, deadline - Date.now())
      const result = await drive(client, body())
      await commit(client)
      return result
    } catch (error) {
      broken = await rollBack(client, error)
      throw error
    } finally {
      await release(runner, broken)
    }
  }

  // The application may hold every connection of the pool, and wait for us.
  async function connect(runner: QueryRunner, deadline: number): Promise<Client> {
    const connecting: Promise<Client> = runner.connect()
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<undefined>(resolve => {
      timer = setTimeout(() => resolve(undefined), Math.max(1, deadline - Date.now()))
    })
    try {
      const client = await Promise.race([connecting, late])
      if (client) return client
    } finally {
      clearTimeout(timer)
    }
    connecting.then(
      () => runner.release(),
      () => {},
    )
    throw new DatabaseBusyError(`No connection of the pool became free in ${busyTimeout} ms. ${SAFE}; sync again, or enlarge the pool.`)
  }

  async function transaction<T>(body: () => Transaction<T>, transactionOptions: TransactionOptions = {}): Promise<T> {
    const deadline = Date.now() + busyTimeout
    for (let pause = 2; ; pause = Math.min(pause * 2, 200)) {
      await beforeTransaction?.()
      if (!dataSource.isInitialized)
        throw new DatabaseFailedError('The data source is closed; initialise it and sync again. Nothing was lost.')
      if (schemaChanges.areRunning && !transactionOptions.duringSchemaChange) {
        await schemaChanges.wait(deadline)
        if (Date.now() >= deadline) throw new DatabaseBusyError(`The schema was being changed for more than ${busyTimeout} ms. ${SAFE}.`)
        continue
      }
      try {
        return await runOnce(body, transactionOptions, deadline)
      } catch (error) {
        if (!isTransient(error)) throw failure(error)
        if (Date.now() + pause >= deadline) throw exhausted(error)
      }
      // with jitter: two that collided do not collide again
      await delay(pause * (0.5 + Math.random()))
    }
  }

  return { transaction, changeSchema: <T>(work: () => Promise<T>) => schemaChanges.run(work) }

  function exhausted(error: unknown): Error {
    if (isConnectionLost(error)) return unreachable(error as Error)
    const what = codeOf(error) === '53300' ? 'The database had no connection free' : 'Transactions of others held what was needed'
    return new DatabaseBusyError(`${what} for ${busyTimeout} ms. ${SAFE}; sync again when they have ended.`, { cause: error })
  }
}

// Not a mere lock: a transaction of the application's whose snapshot is older than this transaction must not write past what it stores.
const LOCK_CLOCK = 'UPDATE sync_clock SET now = now'

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

// TypeORM keeps to itself the method that tells the pool of a broken connection; its own listener calls it as well
function release(runner: QueryRunner, broken: Error | undefined): Promise<void> {
  return (runner as unknown as { releasePostgresConnection(error?: Error): Promise<void> }).releasePostgresConnection(broken)
}

// ---------------------------------------------------------------- parameters and cells

const texts = new Map<string, string>()

/** PostgreSQL's `$1` for `?` and `?1`, outside of what is quoted. */
export function numbered(sql: string): string {
  let text = texts.get(sql)
  if (text === undefined) {
    let count = 0
    text = sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\?(\d*)/g, (match, number) =>
      match.startsWith('?') ? `$${number || ++count}` : match,
    )
    if (texts.size > 2_000) texts.clear()
    texts.set(sql, text)
  }
  return text
}

const BOOL = 16
const INTEGERS = new Set([20, 21, 23, 26])
const REALS = new Set([700, 701])

// The application may have replaced pg's own parsers, which are global.
const TYPES = {
  getTypeParser: (type: number) => (text: string) => {
    if (type === BOOL) return text === 't'
    if (REALS.has(type)) return Number(text)
    if (!INTEGERS.has(type)) return text
    const number = Number(text)
    return Number.isSafeInteger(number) ? number : text
  },
}
