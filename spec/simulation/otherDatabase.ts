// A server's database on PostgreSQL or MariaDB: made for this process, looked at synchronously, filled and emptied at once, and dropped in the end.
//
// The engine has its own data source, with a pool, as ever; the application and the harness share one connection beside it. A seed replays to the
// same trace: an application's transaction that a step waits for ends as soon as the step has asked for the clock (beside.ts). What is
// not replayed is how long anybody waits, and after which pause a step that lost its connection comes again.

import mysql2 from 'mysql2'
import pg from 'pg'
import type { DataSourceOptions } from 'typeorm'
import type { Row } from '../../src/databases/database.js'
import { literal, textOf } from '../../src/databases/mysql/connection.js'
import { numbered } from '../../src/databases/postgres/parameters.js'
import type { Dump } from './databases.js'
import type { Schema } from './schemas.js'
import { closeNow, runNow, type Statement } from './synchronous.js'

export const OTHER_KINDS = ['postgres', 'mysql'] as const
export type OtherKind = (typeof OTHER_KINDS)[number]

const SERVERS: Record<OtherKind, string> = {
  postgres: process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test',
  mysql: process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test',
}

const made: OtherDatabase[] = []

// also where a history breaks off, or somebody interrupts it
let isWatched = false
function watch(): void {
  if (isWatched) return
  isWatched = true
  process.on('exit', () => {
    for (const database of made)
      try {
        database.drop()
      } catch (error) {
        console.error(error)
      }
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
}

export class OtherDatabase {
  /** Rows that anybody wrote. */
  writes = 0
  /** The answer to the next commit does not come, though it is stored. */
  losesCommit = false
  readonly url: string
  readonly #name: string

  constructor(readonly kind: OtherKind) {
    this.#name = `sync_simulation_${process.pid}_${made.length}`
    const url = new URL(SERVERS[kind])
    url.pathname = `/${this.#name}`
    this.url = url.href
    watch()
    this.drop()
    this.create()
    made.push(this)
  }

  create(): void {
    runNow(SERVERS[this.kind], { sql: `CREATE DATABASE ${this.#name}${this.kind === 'mysql' ? ' CHARACTER SET utf8mb4' : ''}` })
  }

  drop(): void {
    closeNow(this.url)
    // a transaction that is open would keep it
    if (this.kind === 'mysql') this.#kill()
    runNow(SERVERS[this.kind], { sql: `DROP DATABASE IF EXISTS ${this.#name}${this.kind === 'postgres' ? ' WITH (FORCE)' : ''}` })
  }

  get options(): DataSourceOptions {
    if (this.kind === 'postgres') return { type: 'postgres', url: this.url, poolSize: 2, extra: { Client: this.#watchedClient() } }
    return { type: 'mariadb', url: this.url, poolSize: 2, driver: this.#watchedDriver() }
  }

  run(sql: string, values: readonly unknown[]): Row[] {
    if (/^\s*(INSERT|UPDATE|DELETE)/.test(sql)) this.writes++
    return runNow(this.url, this.#statement(sql, values))[0] as Row[]
  }

  #statement(sql: string, values: readonly unknown[]): Statement {
    return this.kind === 'mysql' ? { sql: textOf(sql, values) } : { sql: numbered(sql), values }
  }

  /** A value that ends so is rejected, where the table `rule` says that this is a server; and what else the schema's servers do themselves. */
  addTriggers(table: string, { trigger }: Schema): void {
    const isBad = "NEW.c LIKE '%!' AND (SELECT refuses FROM rule) = 1"
    const [touches, keeps] = [trigger === 'touch', trigger === 'skip']
    const statements =
      this.kind === 'postgres'
        ? [
            `CREATE OR REPLACE FUNCTION rule_${table}() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN IF ${isBad} THEN RAISE EXCEPTION 'rule'; END IF; ${touches ? "NEW.t := 'of ' || NEW.a;" : ''} RETURN NEW; END $$`,
            `CREATE TRIGGER rule BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION rule_${table}()`,
            ...(keeps
              ? [
                  `CREATE OR REPLACE FUNCTION keep_${table}() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN IF (SELECT refuses FROM rule) = 1 THEN UPDATE ${table} SET t = 'removed' WHERE id = OLD.id; RETURN NULL; END IF; RETURN OLD; END $$`,
                  `CREATE TRIGGER keep BEFORE DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION keep_${table}()`,
                ]
              : []),
          ]
        : ['INSERT', 'UPDATE'].map(
            event => `CREATE TRIGGER rule_${table}_${event} BEFORE ${event} ON ${table} FOR EACH ROW
              BEGIN IF ${isBad} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rule'; END IF;
              ${touches ? "IF @restores IS NULL THEN SET NEW.t = CONCAT('of ', NEW.a); END IF;" : ''} END`,
          )
    runNow(this.url, ...statements.map(sql => ({ sql })))
  }

  /** What is durable is not what is tried here, and a commit without a log waits for no disk. Children come first. */
  forgetDurability(tables: readonly string[]): void {
    if (this.kind === 'postgres') runNow(this.url, ...tables.map(table => ({ sql: `ALTER TABLE ${table} SET UNLOGGED` })))
  }

  dump(tables: readonly string[], isGenerated: (table: string, column: string) => boolean): Dump {
    const found = runNow(this.url, ...tables.map(table => ({ sql: `SELECT * FROM ${table}` })))
    return new Map(
      tables.map((table, i) => {
        const rows = found[i] as Row[]
        const columns = Object.keys(rows[0] ?? {}).filter(c => !isGenerated(table, c))
        return [table, { columns, rows: rows.map(row => columns.map(c => row[c])) }]
      }),
    )
  }

  /** One text: a history begins with it. */
  restore(tables: readonly string[], dump: Dump): void {
    const isPostgres = this.kind === 'postgres'
    const statements = tables.filter(t => t !== 'sync_clock').map(table => `DELETE FROM ${table}`)
    const cell = (value: unknown) => (isPostgres && typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : literal(value))
    for (const [table, { columns, rows }] of dump) {
      if (table === 'sync_clock' || !rows.length) continue
      const names = columns.map(c => (isPostgres ? `"${c}"` : `\`${c}\``)).join(', ')
      const lists = rows.map(row => `(${row.map(cell).join(', ')})`).join(', ')
      statements.push(`INSERT INTO ${table} (${names}) ${isPostgres ? 'OVERRIDING SYSTEM VALUE' : ''} VALUES ${lists}`)
    }
    const clock = dump.get('sync_clock')
    const set = (['now', 'collection', 'horizon'] as const).map(name => {
      const value = cell(clock?.rows[0]?.[clock.columns.indexOf(name)])
      return `${isPostgres ? `"${name}"` : `\`${name}\``} = ${value}`
    })
    if (tables.includes('sync_clock')) statements.push(`UPDATE sync_clock SET ${set.join(', ')}`)
    const frame = isPostgres
      ? [
          ['BEGIN', 'SET LOCAL session_replication_role = replica'],
          [
            ...['sync_server', 'sync_resolution']
              .filter(table => tables.includes(table))
              .map(
                table => `SELECT setval(pg_get_serial_sequence('${table}', 'id'), coalesce((SELECT max(id) FROM ${table}), 0) + 1, false)`,
              ),
            'COMMIT',
          ],
        ]
      : [
          ['SET foreign_key_checks = 0, @sync_bypass = 1, @restores = 1', 'START TRANSACTION'],
          ['COMMIT', 'SET foreign_key_checks = 1, @sync_bypass = NULL, @restores = NULL'],
        ]
    this.writes++
    runNow(this.url, { sql: [...(frame[0] as string[]), ...statements, ...(frame[1] as string[])].join(';\n') })
  }

  /** The database ends the connections of the engine's. */
  breakConnections(): void {
    if (this.kind === 'postgres') {
      const where = `datname = current_database() AND pid <> pg_backend_pid() AND state LIKE '%transaction%'`
      this.run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${where}`, [])
      return
    }
    this.#kill(this.#ownId)
  }

  /** All others' connections, whatever they do: their process is gone. */
  endConnections(): void {
    if (this.kind === 'postgres')
      this.run(
        `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
        [],
      )
    else this.#kill(this.#ownId)
  }

  endConnection(id: number): void {
    if (this.kind === 'postgres') this.run('SELECT pg_terminate_backend(?, 1000)', [id])
    else runNow(SERVERS.mysql, { sql: `KILL ${id}` })
  }

  get #ownId(): number {
    return Number(this.run('SELECT CONNECTION_ID() AS id', [])[0]?.id)
  }

  #kill(except = 0): void {
    const server = SERVERS.mysql
    const others = runNow(server, {
      sql: `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = ${literal(this.#name)} AND ID <> ${except}`,
    })[0] as Row[]
    for (const { id } of others)
      try {
        runNow(server, { sql: `KILL ${id}` })
      } catch {
        // it is gone already
      }
  }

  // ------------------------------------------------------------ what the engine's connections see

  #takeLost(sql: string): boolean {
    if (sql !== 'COMMIT' || !this.losesCommit) return false
    this.losesCommit = false
    return true
  }

  #watchedClient(): unknown {
    const database = this
    return class extends pg.Client {
      override query(...args: unknown[]): any {
        const [asked] = args as [string | { text?: string }]
        const isLost = database.#takeLost(typeof asked === 'string' ? asked : (asked.text ?? ''))
        const answered: unknown = (super.query as (...list: unknown[]) => unknown)(...args)
        if (!(answered instanceof Promise)) return answered
        return answered.then(result => {
          for (const { command, rowCount } of [result].flat())
            if (/^(INSERT|UPDATE|DELETE)$/.test(command)) database.writes += rowCount ?? 0
          if (!isLost) return result
          ;(this as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
          throw broken()
        })
      }
    }
  }

  #watchedDriver(): unknown {
    return {
      ...mysql2,
      createPool: (options: mysql2.PoolOptions) => {
        const pool = mysql2.createPool(options)
        pool.on('connection', connection => this.#watch(connection))
        return pool
      },
    }
  }

  #watch(connection: mysql2.PoolConnection): void {
    const query = connection.query.bind(connection) as (...list: unknown[]) => unknown
    const watched = (...args: unknown[]) => {
      const [asked] = args as [string | { sql?: string }]
      const isLost = this.#takeLost(typeof asked === 'string' ? asked : (asked.sql ?? ''))
      const callback = args.at(-1)
      if (typeof callback !== 'function') return query(...args)
      return query(...args.slice(0, -1), (error: Error | null, result: unknown, fields: unknown) => {
        this.writes += Number((result as { affectedRows?: number } | undefined)?.affectedRows ?? 0)
        if (!isLost) return callback(error, result, fields)
        connection.destroy()
        callback(broken())
      })
    }
    Object.assign(connection, { query: watched })
  }
}

const broken = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', fatal: true })
