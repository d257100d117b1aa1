// A SQLite database, in memory or in a file.

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import libsql from 'libsql'
import type { DataSource, DataSourceOptions } from 'typeorm'
import type { Row } from '../../src/databases/database.js'
import type { Connection } from '../../src/databases/sqlite/connection.js'
import type { HookedOptions } from '../../src/entity/withSync.js'
import { sqliteConnectionOf } from '../support/sqliteConnection.js'
import { type Fault, Gone, type Moment } from './points.js'
import { type Left, type Life, type LocalKind, never, type Storage, type Watcher } from './storage.js'

interface RawConnection {
  prepare(sql: string): unknown
  export?(): Uint8Array
  close(): void
}

// a file system in memory: killing a process loses nothing that it has written, so nothing needs to reach a disk
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'sync-crash-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newFile = () => join(folder, `${++files}.db`)
const PARTS = ['', '-wal', '-journal']

export class SqliteStorage implements Storage {
  readonly isRemote = false
  #left: Uint8Array | string | undefined
  #look: Connection['run'] = () => []
  #raw: RawConnection | undefined
  /** The statement of a transaction that is about to run. */
  #pending: number | undefined

  constructor(
    readonly kind: LocalKind,
    private readonly watcher: Watcher,
  ) {}

  get #isInMemory(): boolean {
    return this.kind === 'sqljs' || this.kind === 'autosave'
  }

  begin(life: Life): { options: Partial<DataSourceOptions>; hooks: HookedOptions } {
    if (!this.#isInMemory) this.#left ??= newFile()
    const autoSave = { autoSave: true, autoSaveCallback: (data: Uint8Array) => this.#save(life, data) }
    const options = this.#isInMemory
      ? { type: 'sqljs', database: this.#left, ...(this.kind === 'autosave' && autoSave) }
      : {
          ...{ type: 'better-sqlite3', driver: libsql, database: this.#left, enableWAL: this.kind === 'wal' },
          statementCacheSize: 0, // a statement that is prepared once is a moment once, and belongs to one connection
        }
    return {
      options: options as Partial<DataSourceOptions>,
      hooks: {
        busyTimeout: 100,
        beforeStatement: sql => {
          if (life.isOver) throw new Gone()
          this.#pending = this.watcher.before('statement', sql)
        },
        ...(this.kind === 'sqljs' && { save: () => this.#save(life) }),
      },
    }
  }

  watch(dataSource: DataSource, life: Life): void {
    const driver = dataSource.driver as unknown as { connect(): Promise<void> }
    const connect = driver.connect.bind(driver)
    driver.connect = async () => {
      await connect()
      this.#hook(dataSource, life)
    }
  }

  // What TypeORM and the application say goes through `prepare`, what our transactions say through our own connection.
  #hook(dataSource: DataSource, life: Life): void {
    const raw = (dataSource.driver as unknown as { databaseConnection: RawConnection }).databaseConnection
    const connection = sqliteConnectionOf(dataSource)
    const [prepare, run, runMany] = [raw.prepare.bind(raw), connection.run.bind(connection), connection.runMany.bind(connection)]
    this.#raw = raw
    let isStep = false
    raw.prepare = sql => {
      if (isStep) return prepare(sql)
      if (life.isOver) throw new Gone()
      this.watcher.before('sql', sql)
      return prepare(sql)
    }
    const own = <T>(work: () => T): T => {
      isStep = true
      try {
        return work()
      } finally {
        isStep = false
      }
    }
    this.#look = (sql, values) => own(() => run(sql, values))
    const takePending = () => {
      const index = this.#pending
      this.#pending = undefined
      return index
    }
    const transaction = <T>(work: () => T): T => {
      if (life.isOver) throw new Gone()
      let result: T
      try {
        result = own(work)
      } catch (error) {
        this.watcher.noteFailed(takePending())
        throw error
      }
      this.watcher.after(takePending())
      return result
    }
    connection.run = (sql, values) => transaction(() => run(sql, values))
    connection.runMany = (sql, many) => transaction(() => runMany(sql, many))
  }

  get tables(): string[] {
    return this.look(`SELECT name FROM sqlite_master WHERE type = 'table'`, []).map(row => String(row.name))
  }

  look(sql: string, values: readonly unknown[]): Row[] {
    return this.#look(sql, values)
  }

  fail({ kind, label }: Moment, index: number, _fault: Fault): never {
    const isFull = index % 2 === 0
    // SQLite ends the transaction by itself when the disk is full
    if (isFull && kind === 'statement' && label !== 'COMMIT' && !label.startsWith('BEGIN')) {
      try {
        this.#look('ROLLBACK', [])
      } catch {
        // there was none
      }
    }
    throw Object.assign(new Error(isFull ? 'database or disk is full' : 'disk I/O error'), {
      code: isFull ? 'SQLITE_FULL' : 'SQLITE_IOERR',
    })
  }

  async save(life: Life): Promise<void> {
    if (this.kind === 'sqljs') await this.#save(life)
  }

  async #save(life: Life, data?: Uint8Array): Promise<void> {
    if (life.isOver) return never()
    try {
      const index = this.watcher.before('save', '')
      this.#left = data ?? this.#raw?.export?.()
      this.watcher.after(index)
    } catch (error) {
      if (life.isOver) return never()
      throw error
    }
  }

  leave(): void {
    this.#left = this.#snapshot()
  }

  #snapshot(): Uint8Array | string | undefined {
    if (this.#isInMemory) return this.#left
    const copy = newFile()
    for (const part of PARTS) if (existsSync(this.#left + part)) copyFileSync(this.#left + part, copy + part)
    return copy
  }

  async keep(life: Life): Promise<Left> {
    if (this.#isInMemory) await this.#save(life)
    return this.#snapshot()
  }

  // A data source that goes on gets another connection: to make one of those is slower.
  async reset(left: Left, used: DataSource | undefined): Promise<void> {
    const old = typeof this.#left === 'string' ? this.#left : undefined
    if (this.#isInMemory) this.#left = left as Uint8Array
    else {
      this.#left = newFile()
      for (const part of PARTS) if (existsSync(left + part)) copyFileSync(left + part, this.#left + part)
    }
    if (used) {
      this.#raw?.close()
      // `connect` is ours, and hooks the new connection
      const driver = used.driver as unknown as { options: { database: unknown }; connect(): Promise<void> }
      driver.options.database = this.#left
      await driver.connect()
    }
    if (old) for (const part of PARTS) rmSync(old + part, { force: true })
  }

  close(): void {
    try {
      this.#raw?.close()
    } catch {
      // it was in the middle of something
    }
  }
  remove(): void {
    if (typeof this.#left === 'string') for (const part of PARTS) rmSync(this.#left + part, { force: true })
  }
}
