// A to-do server with the real middleware over a real database, and a client that can say anything. It is SQLite, or what SYNC_SERVER says:
// postgres, or mysql.

import { once } from 'node:events'
import { type IncomingHttpHeaders, type RequestOptions, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions, getMetadataArgsStorage } from 'typeorm'
import { withSync } from 'typeorm-sync'
import { type SyncRoutesOptions, syncRoutes } from 'typeorm-sync/server-koa'
import { Project, Task } from '../../examples/model.js'
import * as mysql from '../support/mysqlDatabase.js'
import * as postgres from '../support/postgresDatabase.js'

export const serverKind = (process.env.SYNC_SERVER ?? 'sqlite') as 'sqlite' | 'postgres' | 'mysql'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  json: any
}

export interface Asked {
  method?: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer | object
}

export interface TodoOptions extends Partial<SyncRoutesOptions> {
  entities?: DataSourceOptions['entities']
  /** Middleware before the routes. */
  before?: Koa.Middleware[]
  after?: Koa.Middleware[]
  initialize?: boolean
  /** Milliseconds that a transaction waits for the application's transaction. */
  busyTimeout?: number
}

export async function startTodo({
  entities = [Project, Task],
  before = [],
  after = [],
  initialize = true,
  busyTimeout,
  ...options
}: TodoOptions = {}) {
  const place = await takePlace()
  const dataSource = withSync(
    new DataSource({ ...place.options, entities, synchronize: true } as DataSourceOptions),
    busyTimeout === undefined ? {} : { busyTimeout },
  )
  const restoreIds = takeAnyId()
  if (initialize) await dataSource.initialize().finally(restoreIds)
  const app = new Koa()
  const errors: unknown[] = []
  app.on('error', error => errors.push(error))
  for (const middleware of before) app.use(middleware)
  app.use(syncRoutes(dataSource, { public: true, ...options }).routes())
  for (const middleware of after) app.use(middleware)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  /** Sends a request; an object as body is sent as JSON. */
  const ask = (path: string, asked: Asked = {}) => send(port, path, asked)
  return {
    app,
    server,
    port,
    dataSource,
    /** The errors that the application got. */
    errors,
    ask,
    get: (path: string, headers = {}) => ask(path, { headers }),
    post: (path: string, body: Asked['body'], headers: Asked['headers'] = {}) =>
      ask(path, { method: 'POST', body: body ?? '', headers: { 'Content-Type': 'application/json', ...headers } }),
    /** A bare connection. */
    async connect(): Promise<Socket> {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
      return socket
    },
    /** Everything that the database holds. */
    async dump(): Promise<string> {
      const tables = await dataSource.query(TABLES[serverKind])
      const rows = []
      for (const { name } of tables) {
        const found: object[] = await dataSource.query(`SELECT * FROM ${dataSource.driver.escape(name)}`)
        rows.push([name, found.map(row => JSON.stringify(row)).sort()])
      }
      return JSON.stringify(rows)
    },
    async stop() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      if (dataSource.isInitialized) await dataSource.destroy()
      free.push(place)
    },
  }
}

const TABLES = {
  sqlite: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
  postgres: "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
  mysql: 'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME',
}

interface Place {
  readonly options: object
  drop(): Promise<void>
}
// Databases are slow to make: one that is empty again serves the next.
const places: Place[] = []
const free: Place[] = []

async function takePlace(): Promise<Place> {
  const known = free.pop()
  if (known) return known
  const place = await newPlace()
  places.push(place)
  return place
}

async function newPlace(): Promise<Place> {
  if (serverKind === 'postgres') {
    const name = await postgres.newDatabase('todo')
    return { options: postgres.optionsOn(name, { dropSchema: true }), drop: () => postgres.dropDatabases(name) }
  }
  if (serverKind === 'mysql') {
    const { name, drop } = await mysql.newDatabase('todo', 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin')
    return { options: mysql.optionsOn(name, { dropSchema: true }), drop }
  }
  return { options: { type: 'better-sqlite3', driver: libsql, database: ':memory:' }, drop: async () => {} }
}

if (serverKind !== 'sqlite')
  afterAll(async () => {
    for (const place of places.splice(0)) await place.drop()
  })

// Where there is a type for UUIDs, it would reject the ids of these specs.
function takeAnyId(): () => void {
  if (serverKind === 'sqlite') return () => {}
  const { columns, generations } = getMetadataArgsStorage()
  const uuids = generations.filter(g => g.strategy === 'uuid')
  const keys = columns.filter(c => uuids.some(g => g.target === c.target && g.propertyName === c.propertyName))
  const types = keys.map(c => c.options.type)
  for (const generation of uuids) generations.splice(generations.indexOf(generation), 1)
  for (const column of keys) column.options.type = 'varchar'
  return () => {
    generations.push(...uuids)
    keys.forEach((column, i) => {
      column.options.type = types[i] as 'uuid'
    })
  }
}

export type Todo = Awaited<ReturnType<typeof startTodo>>

function send(port: number, path: string, { method = 'GET', headers = {}, body }: Asked): Promise<Answer> {
  const bytes = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const options: RequestOptions = { host: '127.0.0.1', port, path, method, headers: { ...headers }, agent: false }
  if (bytes !== undefined && !('Transfer-Encoding' in headers))
    options.headers = { 'Content-Length': String(Buffer.byteLength(bytes)), ...headers }
  return new Promise((resolve, reject) => {
    const req = request(options, async res => {
      try {
        const chunks: Buffer[] = []
        for await (const chunk of res) chunks.push(chunk)
        const text = Buffer.concat(chunks).toString()
        const json = /json/.test(res.headers['content-type'] ?? '') && text ? JSON.parse(text) : undefined
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text, json })
      } catch (error) {
        reject(error)
      }
    })
    req.on('error', reject)
    req.end(bytes)
  })
}
