// A process with one database that can die at any moment and be started again on what is left of it.

import Koa from 'koa'
import inject from 'light-my-request'
import { DataSource, type DataSourceOptions, type Logger } from 'typeorm'
import { type Rule, syncRoutes } from '../../server-koa/index.js'
import type { ChangeLog } from '../../src/changes/changeLog.js'
import type { Row } from '../../src/databases/database.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { withHooks } from '../../src/entity/withSync.js'
import { type Fault, Gone, type Moment, type Points } from './points.js'
import { ServerStorage } from './serverStorage.js'
import { SqliteStorage } from './sqliteStorage.js'
import { type Kind, type Left, Life, never, type Storage, type Watcher } from './storage.js'

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

// TypeORM logs migrations that fail, as they are meant to
const SILENT = Object.fromEntries(
  ['logQuery', 'logQueryError', 'logQuerySlow', 'logSchemaBuild', 'logMigration', 'log'].map(name => [name, () => {}]),
) as unknown as Logger

export class Process {
  dataSource!: DataSource
  life = new Life()
  /** How it starts, also after a death. */
  schema: Schema
  readonly storage: Storage
  #isStarted = false
  #app: Koa | undefined
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
    const watcher: Watcher = {
      before: (moment, label) => points.before(this, moment, label),
      after: index => points.after(this, index),
      noteFailed: index => points.noteFailed(index),
    }
    this.storage = kind === 'postgres' || kind === 'mysql' ? new ServerStorage(kind, watcher) : new SqliteStorage(kind, watcher)
  }

  get log(): ChangeLog {
    return changeLogOf(this.dataSource)
  }

  get isDead(): boolean {
    return this.life.isOver
  }

  get isRemote(): boolean {
    return this.storage.isRemote
  }

  async start(): Promise<void> {
    this.close()
    const life = new Life()
    this.life = life
    const { points, schema, storage } = this
    const { isPlain, ...typeorm } = schema
    const { options, hooks } = storage.begin(life)
    const dataSource = new DataSource({ ...options, ...typeorm, logger: SILENT } as DataSourceOptions)
    this.dataSource = dataSource
    this.#started = schema
    this.#app = undefined
    storage.watch(dataSource, life)
    if (!isPlain) {
      withHooks(dataSource, {
        ...(this.options.server && { server: `http://${this.options.server}` }),
        ...(this.options.pageSize && { pageSize: this.options.pageSize }),
        ...(this.options.batchSize && { batchSize: this.options.batchSize }),
        retries: this.options.retries ?? 0,
        ...(this.options.rules && { headers: () => ({ user: this.name }) }),
        wait: async () => {},
        fetch: this.#fetch(life),
        beforeTransaction: async () => {
          if (life.isOver) return never()
          points.before(this, 'transaction', '')
        },
        ...hooks,
      })
    }
    await dataSource.initialize()
    this.#isStarted = true
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

  /** Saves after the application's own writes. */
  save(): Promise<void> {
    return this.storage.save(this.life)
  }

  /** The process is gone, in the middle of whatever it does. */
  die(): never {
    this.life.end()
    this.storage.leave()
    throw new Gone()
  }

  /** The process ends as it should. */
  stop(): void {
    this.storage.leave()
    this.close()
  }

  keep(): Promise<Left> {
    return this.storage.keep(this.life)
  }

  /** Begins from what was kept. A data source that nothing happened to is used again: to make one is slower. */
  async reset(left: Left): Promise<void> {
    const { schema, storage } = this
    const isUsable = this.#isStarted && !this.life.isOver && this.#started === schema
    if (!isUsable) this.close()
    if (storage instanceof ServerStorage && this.#started?.entities !== schema.entities) {
      // its tables are others now
      storage.clear()
      this.schema = { ...schema, synchronize: true }
      await this.start()
      this.close()
      this.schema = schema
    }
    await storage.reset(left, isUsable ? this.dataSource : undefined)
    if (!isUsable) await this.start()
  }

  close(): void {
    this.#isStarted = false
    this.life.end()
    this.storage.close()
  }

  remove(): void {
    this.close()
    this.storage.remove()
  }

  fail(moment: Moment, index: number, fault: Fault): never {
    if (moment.kind === 'request') throw new TypeError('fetch failed')
    if (moment.kind === 'handler') throw new Error('the handler failed')
    this.storage.fail(moment, index, fault)
  }

  /** Looks, unseen. */
  look(sql: string, ...values: unknown[]): Row[] {
    return this.storage.look(sql, values)
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
