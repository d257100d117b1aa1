// The server of the to-do list: `npm run server`. HOST, PORT and DATABASE may be set in the environment; with PUBLIC=1 nobody needs to sign in.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, realpathSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import cors from '@koa/cors'
import Koa from 'koa'
import compress from 'koa-compress'
import helmet from 'koa-helmet'
import logger from 'koa-logger'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions } from 'typeorm'
import { withSync } from 'typeorm-sync'
import { health, maintain, syncRoutes } from 'typeorm-sync/server-koa'
import { ENTITIES, Holiday } from './model.js'
import { rules } from './rules.js'
import { signIn } from './signIn.js'
import { SITE_POLICY, site } from './site.js'
import { USERS, type User } from './users.js'

export interface ServerOptions {
  readonly host?: string
  /** 0: any that is free. */
  readonly port?: number
  /** A file, `:memory:`, or the url of a database: `postgres://…`, `mysql://…`, `mariadb://…`. */
  readonly database?: string
  /** Who may sign in, and see what `rules.ts` says. Without users everybody sees and changes everything. */
  readonly users?: readonly User[]
  /** A folder with the files of a web app, which it serves too. */
  readonly web?: string
  /** Writes a line for each request. */
  readonly log?: boolean
}

export interface Server {
  readonly url: string
  readonly app: Koa
  readonly dataSource: DataSource
  /** Lets running requests end, for 10 seconds at most. */
  stop(): Promise<void>
}

const HOLIDAYS = [
  { id: '2027-01-01', name: "New Year's Day" },
  { id: '2027-05-01', name: 'Labour Day' },
  { id: '2027-12-25', name: 'Christmas Day' },
]

/** Starts the server; resolves when it listens. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { host = '127.0.0.1', port = 3000, database = 'data/server.sqlite', users, web, log = false } = options
  const dataSource = withSync(new DataSource({ ...connectionTo(database), entities: ENTITIES, synchronize: true }))
  await dataSource.initialize()
  const holidays = dataSource.getRepository(Holiday)
  if (!(await holidays.count())) await holidays.save(HOLIDAYS)

  const app = new Koa()
  if (log) app.use(logger())
  app.use(helmet(web ? { contentSecurityPolicy: SITE_POLICY } : {}))
  app.use(cors({ exposeHeaders: ['ETag', 'Retry-After', 'Idempotency-Replayed'], keepHeadersOnError: true, maxAge: 600 }))
  app.use(compress())
  app.use(health(dataSource))
  if (web) app.use(site(web))
  if (users) {
    const { route, principal } = signIn(users)
    app.use(route)
    app.use(syncRoutes(dataSource, { principal, rules }))
  } else app.use(syncRoutes(dataSource, { public: true }))
  app.use(ctx => {
    ctx.status = 404
    ctx.type = 'application/problem+json'
    ctx.body = JSON.stringify({ type: 'about:blank', title: 'Not Found', status: 404, detail: 'There is nothing here; try /taskChanges.' })
  })

  const server = app.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    await dataSource.destroy()
    throw error
  }
  const stopMaintenance = maintain(dataSource)

  async function stop(): Promise<void> {
    stopMaintenance()
    const closed = once(server, 'close')
    server.close()
    server.closeIdleConnections()
    const timer = setTimeout(() => server.closeAllConnections(), 10_000)
    await closed
    clearTimeout(timer)
    await dataSource.destroy()
  }

  const address = server.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return { url: `http://${name}:${address.port}`, app, dataSource, stop }
}

function connectionTo(database: string): DataSourceOptions {
  if (/^postgres(ql)?:/.test(database)) return { type: 'postgres', url: database }
  if (/^mysql:/.test(database)) return { type: 'mysql', url: database }
  // the same driver; TypeORM reads MariaDB's schema in another way
  if (/^mariadb:/.test(database)) return { type: 'mariadb', url: database.replace(/^mariadb:/, 'mysql:') }
  if (database !== ':memory:') mkdirSync(dirname(database), { recursive: true })
  return { type: 'better-sqlite3', driver: libsql, database, enableWAL: true }
}

async function main(): Promise<void> {
  const { HOST, PORT, DATABASE, PUBLIC } = process.env
  const server = await startServer({
    ...(HOST ? { host: HOST } : {}),
    ...(PORT ? { port: Number(PORT) } : {}),
    ...(DATABASE ? { database: DATABASE } : {}),
    ...(PUBLIC ? {} : { users: USERS }),
    log: true,
  })
  console.log(PUBLIC ? forEverybody(server.url) : forUsers(server.url))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.stop())
}

const forEverybody = (url: string) => `The to-do server listens at ${url}, for everybody. Ask it what changed:

  curl '${url}/taskChanges?since=0'

or push something to it:

  curl -H 'Content-Type: application/json' -d '[{"id": "${randomUUID()}", "name": "Buy milk"}]' '${url}/taskChanges'
`

const forUsers = (url: string) => `The to-do server listens at ${url}. Sign in:

  token=$(curl -s -d '{"name": "alice", "password": "apple"}' '${url}/signIn')

(bob's password is banana, carol's is cherry). Make a list and a task, and ask what you see:

  curl -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d '{"changes": {
    "/projectChanges": [{"id": "home", "name": "Home"}],
    "/memberChanges": [{"id": "home/alice", "project": "home", "user": "alice", "role": "owner"}],
    "/taskChanges": [{"id": "milk", "name": "Buy milk", "project": "home"}]}}' '${url}/sync'
  curl -H "Authorization: Bearer $token" '${url}/sync?since=0'
`

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main().catch(error => {
    console.error(error)
    process.exitCode = 1
  })
