// A database on PostgreSQL or MariaDB, of a server that keeps two connections to it.

import mysql2 from 'mysql2'
import pg from 'pg'
import type { DataSource, DataSourceOptions, QueryRunner } from 'typeorm'
import type { Row } from '../../src/databases/database.js'
import { TYPES } from '../../src/databases/postgres/parameters.js'
import type { HookedOptions } from '../../src/entity/withSync.js'
import type { Dump } from '../simulation/databases.js'
import { OtherDatabase, type OtherKind } from '../simulation/otherDatabase.js'
import { type Fault, Gone, type Moment } from './points.js'
import type { Left, Life, Storage, Watcher } from './storage.js'

const CONNECTIONS = 2
/** Of a transaction that waits for others; less than the patience of a world. */
const BUSY_TIMEOUT = 5_000

/** Of one connection. */
interface Line {
  readonly id: number
  destroy(): void
}

/** The connection breaks. */
class Cut extends Error {}

/** The database does these instead of what it was asked, and the last one fails. */
class Instead extends Error {
  constructor(readonly statements: readonly string[]) {
    super()
  }
}

const ERRORS: Record<OtherKind, (isFull: boolean) => readonly string[]> = {
  postgres: isFull => [`DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '${isFull ? '53100' : '40P01'}'; END $$`],
  // a deadlock ends the transaction, another error the statement alone
  mysql: isFull =>
    isFull
      ? [`SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'injected'`]
      : ['ROLLBACK', `SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'injected'`],
}

export class ServerStorage implements Storage {
  readonly isRemote = true
  readonly #database: OtherDatabase
  #dataSource: DataSource | undefined

  constructor(
    readonly kind: OtherKind,
    private readonly watcher: Watcher,
  ) {
    this.#database = new OtherDatabase(kind)
  }

  begin(life: Life): { options: Partial<DataSourceOptions>; hooks: HookedOptions } {
    const { url } = this.#database
    const options =
      this.kind === 'postgres'
        ? { type: 'postgres', url, poolSize: CONNECTIONS, extra: { Client: this.#watchedClient(life) } }
        : { type: 'mariadb', url, poolSize: CONNECTIONS, driver: this.#watchedDriver(life) }
    return { options: options as Partial<DataSourceOptions>, hooks: { busyTimeout: BUSY_TIMEOUT } }
  }

  watch(dataSource: DataSource): void {
    this.#dataSource = dataSource
  }

  // ------------------------------------------------------------ what is said

  async #say<T>(life: Life, isOurs: boolean, sql: string, line: Line, send: (instead?: readonly string[]) => Promise<T>): Promise<T> {
    if (life.isOver) throw new Gone()
    let index: number | undefined
    let instead: readonly string[] | undefined
    try {
      index = this.watcher.before(isOurs ? 'statement' : 'sql', sql)
    } catch (error) {
      if (error instanceof Instead) instead = error.statements
      else if (error instanceof Cut) this.#database.endConnection(line.id)
      else throw error
    }
    let result: T
    try {
      result = await send(instead)
    } catch (error) {
      if (life.isOver) throw new Gone()
      this.watcher.noteFailed(index)
      throw error
    }
    if (life.isOver) throw new Gone()
    try {
      this.watcher.after(index)
    } catch (error) {
      if (!(error instanceof Cut)) throw error
      line.destroy()
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', fatal: true })
    }
    return result
  }

  #watchedClient(life: Life): unknown {
    const storage = this
    return class extends pg.Client {
      override query(...args: unknown[]): any {
        const [asked] = args as [string | { text: string; types?: unknown }]
        const query = super.query.bind(this) as (...list: unknown[]) => Promise<unknown>
        const { processID, connection } = this as unknown as { processID: number; connection: { stream: { destroy(): void } } }
        const line = { id: processID, destroy: () => connection.stream.destroy() }
        const [isOurs, sql] = typeof asked === 'string' ? [false, asked] : [asked.types === TYPES, asked.text]
        return storage.#say(life, isOurs, sql, line, async instead => {
          for (const statement of instead ?? []) await query(statement)
          return query(...args)
        })
      }
    }
  }

  #watchedDriver(life: Life): unknown {
    return {
      ...mysql2,
      createPool: (options: mysql2.PoolOptions) => {
        const pool = mysql2.createPool(options)
        pool.on('connection', connection => this.#watch(connection, life))
        return pool
      },
    }
  }

  #watch(connection: mysql2.PoolConnection, life: Life): void {
    const query = connection.query.bind(connection) as (...list: unknown[]) => unknown
    const ask = (...args: unknown[]) =>
      new Promise<unknown[]>((resolve, reject) =>
        query(...args, (error: Error | null, ...results: unknown[]) => (error ? reject(error) : resolve(results))),
      )
    const line = { id: connection.threadId as number, destroy: () => connection.destroy() }
    const watched = (...args: unknown[]) => {
      const callback = args.pop() as (error: unknown, ...results: unknown[]) => void
      const [asked] = args as [string | { sql: string; nestTables?: boolean }]
      const [isOurs, sql] = typeof asked === 'string' ? [false, asked] : [asked.nestTables === false, asked.sql]
      const said = this.#say(life, isOurs, sql, line, async instead => {
        for (const statement of instead ?? []) await ask(statement)
        return ask(...args)
      })
      said.then(
        results => callback(null, ...results),
        error => callback(error),
      )
    }
    Object.assign(connection, { query: watched })
  }

  look(sql: string, values: readonly unknown[]): Row[] {
    return this.#database.run(sql, values)
  }

  fail(_moment: Moment, index: number, fault: Fault): never {
    throw fault === 'cut' ? new Cut() : new Instead(ERRORS[this.kind](index % 2 === 0))
  }

  // ------------------------------------------------------------ what is left

  /** What is committed is stored. */
  async save(): Promise<void> {}

  leave(): void {
    this.#database.endConnections()
  }

  close(): void {
    this.#database.endConnections()
    this.#dataSource?.destroy().catch(() => {})
    this.#dataSource = undefined
  }

  async keep(): Promise<Left> {
    const tables = this.tables
    this.#database.forgetDurability([...tables].reverse())
    return this.#database.dump(tables, () => false)
  }

  async reset(left: Left): Promise<void> {
    if (left) this.#database.restore([...(left as Dump).keys()], left as Dump)
  }

  /** In their order rows come before those that need them, as it happens. */
  get tables(): string[] {
    const schema = this.kind === 'postgres' ? 'current_schema()' : 'DATABASE()'
    const rows = this.look(`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ${schema} ORDER BY 1`, [])
    return rows.map(row => String(row.name))
  }

  /** Makes the database anew, with nothing in it. */
  clear(): void {
    this.#database.drop()
    this.#database.create()
  }

  remove(): void {
    this.#database.drop()
  }

  /** What is wrong with connections that are used again. */
  async checkConnections(): Promise<string[]> {
    const runners: QueryRunner[] = []
    try {
      for (let i = 0; i < CONNECTIONS; i++) {
        const runner = (this.#dataSource as DataSource).createQueryRunner('master')
        const late = new Promise(resolve => setTimeout(resolve, BUSY_TIMEOUT, 'late').unref())
        if ((await Promise.race([runner.connect(), late])) === 'late') return ['lacks a connection of its pool']
        runners.push(runner)
      }
      const bypass = this.kind === 'postgres' ? `nullif(current_setting('typeorm_sync.bypass', true), '')` : '@sync_bypass'
      const open = await Promise.all(runners.map(runner => runner.query(`SELECT ${bypass} AS bypass`)))
      return open.some(([row]) => row.bypass !== null) ? ['has a bypass of capture open'] : []
    } finally {
      for (const runner of runners) await runner.release()
    }
  }
}
