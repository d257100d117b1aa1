// A process with one database that can die at any moment and be started again on what is left of it.

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa from 'koa'
import libsql from 'libsql'
import inject from 'light-my-request'
import { DataSource, type DataSourceOptions, type Logger } from 'typeorm'
import { type Rule, syncRoutes } from '../../server-koa/index.js'
import type { ChangeLog } from '../../src/changes/changeLog.js'
import type { Row } from '../../src/databases/database.js'
import { type Connection, connectionOf } from '../../src/databases/sqlite/connection.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { withHooks } from '../../src/entity/withSync.js'
import { Gone, type Moment, type Points } from './points.js'

/** `wal` and `journal` are libsql files; `sqljs` is saved by our option, `autosave` by TypeORM's. */
export type Kind = 'sqljs' | 'autosave' | 'wal' | 'journal'

const isInMemory = (kind: Kind) => kind === 'sqljs' || kind === 'autosave'

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

export interface ProcessOptions {
  readonly entities: NonNullable<DataSourceOptions['entities']>
  /** Name of the process that it syncs with. */
  readonly server?: string | undefined
  readonly pageSize?: number | undefined
  readonly batchSize?: number | undefined
  readonly retries?: number | undefined
  /** Who sees what; a device is the user of its name. */
  readonly rules?: readonly Rule[] | undefined
}

export interface Schema {
  readonly entities: NonNullable<DataSourceOptions['entities']>
  readonly synchronize?: boolean
  readonly migrations?: DataSourceOptions['migrations']
  readonly migrationsRun?: boolean
  /** An application that does not know of sync yet. */
  readonly isPlain?: boolean
}

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

// TypeORM logs migrations that fail, as they are meant to
const SILENT = Object.fromEntries(
  ['logQuery', 'logQueryError', 'logQuerySlow', 'logSchemaBuild', 'logMigration', 'log'].map(name => [name, () => {}]),
) as unknown as Logger

const never = () => new Promise<never>(() => {})

/** From one start to the next death. */
class Life {
  isOver = false
  end: () => void = () => {}
  readonly ended = new Promise<void>(resolve => {
    this.end = () => {
      this.isOver = true
      resolve()
    }
  })
}

/** What is left of a database when its process is gone. */
export type Left = Uint8Array | string | undefined

export class Process {
  dataSource!: DataSource
  life = new Life()
  /** How it starts, also after a death. */
  schema: Schema
  #left: Left
  #isStarted = false
  #look: Connection['run'] = () => []
  #app: Koa | undefined
  #raw: RawConnection | undefined
  #started: Schema | undefined

  constructor(
    readonly name: string,
    readonly kind: Kind,
    readonly options: ProcessOptions,
    private readonly points: Points,
    private readonly fetchFrom: (
      client: Process,
      request: { method: string; url: string; headers: Headers; body: string | undefined },
    ) => Promise<Answer>,
    readonly onError: (error: unknown) => void,
  ) {
    this.schema = { entities: options.entities }
  }

  get log(): ChangeLog {
    return changeLogOf(this.dataSource)
  }

  get isDead(): boolean {
    return this.life.isOver
  }

  async start(): Promise<void> {
    this.writeTombstone()
    const life = new Life()
    this.life = life
    const { points, schema } = this
    const { isPlain, ...typeorm } = schema
    if (!isInMemory(this.kind)) this.#left ??= newFile()
    const autoSave = { autoSave: true, autoSaveCallback: (data: Uint8Array) => this.#save(life, data) }
    const ownOptions = isInMemory(this.kind)
      ? { type: 'sqljs', database: this.#left, ...(this.kind === 'autosave' && autoSave) }
      : {
          ...{ type: 'better-sqlite3', driver: libsql, database: this.#left, enableWAL: this.kind === 'wal' },
          statementCacheSize: 0, // a statement that is prepared once is a moment once, and belongs to one connection
        }
    const dataSource = new DataSource({ ...ownOptions, ...typeorm, logger: SILENT } as DataSourceOptions)
    this.dataSource = dataSource
    this.#started = schema
    this.#app = undefined
    const driver = dataSource.driver as unknown as { connect(): Promise<void> }
    const connect = driver.connect.bind(driver)
    let pending: number | undefined
    driver.connect = async () => {
      await connect()
      this.#hook(life, hasFailed => {
        const index = pending
        pending = undefined
        if (hasFailed) points.noteFailed(index)
        else points.after(this, index)
      })
    }
    if (!isPlain) {
      withHooks(dataSource, {
        ...(this.options.server && { server: `http://${this.options.server}` }),
        ...(this.options.pageSize && { pageSize: this.options.pageSize }),
        ...(this.options.batchSize && { batchSize: this.options.batchSize }),
        busyTimeout: 100,
        retries: this.options.retries ?? 0,
        ...(this.options.rules && { headers: () => ({ user: this.name }) }),
        wait: async () => {},
        fetch: this.#fetch(life),
        beforeStatement: sql => {
          if (life.isOver) throw new Gone()
          pending = points.before(this, 'statement', sql)
        },
        beforeTransaction: async () => {
          if (life.isOver) return never()
          points.before(this, 'transaction', '')
        },
        ...(this.kind === 'sqljs' && { save: () => this.#save(life) }),
      })
    }
    await dataSource.initialize()
    this.#isStarted = true
  }

  // What TypeORM and the application say goes through `prepare`, what our transactions say through our own connection.
  #hook(life: Life, after: (hasFailed: boolean) => void): void {
    const { dataSource, points } = this
    const raw = (dataSource.driver as unknown as { databaseConnection: RawConnection }).databaseConnection
    const connection = connectionOf(dataSource)
    const [prepare, run, runMany] = [raw.prepare.bind(raw), connection.run.bind(connection), connection.runMany.bind(connection)]
    this.#raw = raw
    let isStep = false
    raw.prepare = sql => {
      if (isStep) return prepare(sql)
      if (life.isOver) throw new Gone()
      points.before(this, 'sql', sql)
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
    const alive = () => {
      if (life.isOver) throw new Gone()
    }
    const transaction = <T>(work: () => T): T => {
      alive()
      let result: T
      try {
        result = own(work)
      } catch (error) {
        after(true)
        throw error
      }
      after(false)
      return result
    }
    connection.run = (sql, values) => transaction(() => run(sql, values))
    connection.runMany = (sql, many) => transaction(() => runMany(sql, many))
  }

  #fetch(life: Life): typeof globalThis.fetch {
    return async (input, init) => {
      if (life.isOver) return never()
      const [method, url] = [init?.method ?? 'GET', String(input)]
      let answer: Answer
      let index: number | undefined
      try {
        index = this.points.before(this, 'request', `${method} ${url}`)
        answer = await this.fetchFrom(this, {
          method,
          url,
          headers: new Headers(init?.headers as Headers),
          body: init?.body as string | undefined,
        })
        if (life.isOver) return never()
      } catch (error) {
        if (life.isOver) return never()
        this.points.noteFailed(index)
        throw error
      }
      try {
        this.points.after(this, index)
      } catch (error) {
        if (life.isOver) return never()
        throw error
      }
      const { status, headers, body } = answer
      return new Response(status === 204 || status === 304 ? null : body, { status, headers })
    }
  }

  async #save(life: Life, data?: Uint8Array): Promise<void> {
    if (life.isOver) return never()
    try {
      const index = this.points.before(this, 'save', '')
      this.#left = data ?? this.#raw?.export?.()
      this.points.after(this, index)
    } catch (error) {
      if (life.isOver) return never()
      throw error
    }
  }

  /** Saves after the application's own writes. */
  async save(): Promise<void> {
    if (this.kind === 'sqljs') await this.#save(this.life)
  }

  /** The process is gone, in the middle of whatever it does. What it had not committed, or not saved, is gone with it. */
  die(): never {
    this.#left = this.#snapshot()
    this.life.end()
    throw new Gone()
  }

  /** The process ends as it should. */
  stop(): void {
    this.#left = this.#snapshot()
    this.writeTombstone()
  }

  #snapshot(): Left {
    if (isInMemory(this.kind)) return this.#left
    const copy = newFile()
    for (const part of PARTS) if (existsSync(this.#left + part)) copyFileSync(this.#left + part, copy + part)
    return copy
  }

  /** Everything as it stands, to begin from again; nothing may be under way. */
  async keep(): Promise<Left> {
    if (isInMemory(this.kind)) await this.#save(this.life)
    return this.#snapshot()
  }

  /** Begins from what was kept. A data source that nothing happened to is used again, on another connection: to make one is slower. */
  async reset(left: Left): Promise<void> {
    const { life, dataSource } = this
    const old = typeof this.#left === 'string' ? this.#left : undefined
    const isUsable = this.#isStarted && !life.isOver && this.#started === this.schema
    if (isInMemory(this.kind)) this.#left = left
    else {
      this.#left = newFile()
      for (const part of PARTS) if (existsSync(left + part)) copyFileSync(left + part, this.#left + part)
    }
    if (!isUsable) await this.start()
    else {
      this.#raw?.close()
      // `connect` is ours, and hooks the new connection
      const driver = dataSource.driver as unknown as { options: { database: unknown }; connect(): Promise<void> }
      driver.options.database = this.#left
      await driver.connect()
    }
    if (old) for (const part of PARTS) rmSync(old + part, { force: true })
  }

  writeTombstone(): void {
    if (!this.#isStarted) return
    this.#isStarted = false
    this.life.end()
    try {
      this.#raw?.close()
    } catch {
      // it was in the middle of something
    }
  }

  fail(moment: Moment, index: number): never {
    const { kind, label } = moment
    if (kind === 'request') throw new TypeError('fetch failed')
    if (kind === 'handler') throw new Error('the handler failed')
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

  /** Looks, unseen. */
  look(sql: string, ...values: unknown[]): Row[] {
    return this.#look(sql, values)
  }

  /** Answers a request as a server. */
  async answer(method: string, path: string, headers: Headers, body: string | undefined): Promise<Answer> {
    const { life } = this
    const gone = new TypeError('fetch failed')
    if (life.isOver || !this.#isStarted) throw gone
    try {
      const index = this.points.before(this, 'serve', `${method} ${path}`)
      const answer = await Promise.race([this.#answer(method, path, headers, body), life.ended])
      if (life.isOver || !answer) throw gone
      this.points.after(this, index)
      return answer
    } catch (error) {
      if (life.isOver) throw gone
      throw error
    }
  }

  async #answer(method: string, path: string, headers: Headers, body: string | undefined): Promise<Answer> {
    if (!this.#app) {
      const { rules } = this.options
      this.#app = new Koa()
      this.#app.on('error', error => this.onError(error))
      this.#app.use(
        (rules
          ? syncRoutes(this.dataSource, { principal: ctx => ({ id: ctx.get('user') }), rules })
          : syncRoutes(this.dataSource, { public: true })
        ).routes(),
      )
    }
    const all: Record<string, string> = {}
    headers.forEach((value, name) => {
      all[name] = value
    })
    const answer = await inject(this.#app.callback() as never, {
      method: method as 'GET',
      url: path,
      headers: all,
      ...(body !== undefined && { payload: body }),
    })
    return { status: answer.statusCode, headers: answer.headers as Record<string, string>, body: answer.payload }
  }
}
