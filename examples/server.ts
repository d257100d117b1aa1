// The server of the to-do list: `npm run server`. HOST, PORT and DATABASE may be set in the environment.

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
import { type FindPrincipal, health, maintain, syncRoutes } from 'typeorm-sync/server-koa'
import { Project, Task } from './model.js'

export interface ServerOptions {
  readonly host?: string
  /** 0: any that is free. */
  readonly port?: number
  /** A file, `:memory:`, or the url of a database: `postgres://…`, `mysql://…`, `mariadb://…`. */
  readonly database?: string
  /** Says who asks; without it the server knows no users. */
  readonly principal?: FindPrincipal
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

/** Starts the server; resolves when it listens. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { host = '127.0.0.1', port = 3000, database = 'data/server.sqlite', principal, log = false } = options
  const dataSource = withSync(new DataSource({ ...connectionTo(database), entities: [Project, Task], synchronize: true }))
  await dataSource.initialize()

  const app = new Koa()
  if (log) app.use(logger())
  app.use(helmet())
  app.use(cors({ exposeHeaders: ['ETag', 'Retry-After', 'Idempotency-Replayed'], keepHeadersOnError: true, maxAge: 600 }))
  app.use(compress())
  app.use(health(dataSource))
  // Who may do what is decided here, before the routes: this server lets everybody read and write everything.
  app.use(syncRoutes(dataSource, { public: true, ...(principal && { principal }) }).routes())
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
  // MariaDB is reached by the same driver
  if (/^(mysql|mariadb):/.test(database)) return { type: 'mysql', url: database.replace(/^mariadb:/, 'mysql:') }
  if (database !== ':memory:') mkdirSync(dirname(database), { recursive: true })
  return { type: 'better-sqlite3', driver: libsql, database, enableWAL: true }
}

async function main(): Promise<void> {
  const { HOST, PORT, DATABASE } = process.env
  const server = await startServer({
    ...(HOST ? { host: HOST } : {}),
    ...(PORT ? { port: Number(PORT) } : {}),
    ...(DATABASE ? { database: DATABASE } : {}),
    log: true,
  })
  console.log(`The to-do server listens at ${server.url}. Ask it what changed:

  curl '${server.url}/taskChanges?since=0'

or push something to it:

  curl -H 'Content-Type: application/json' -d '[{"id": "${randomUUID()}", "name": "Buy milk"}]' '${server.url}/taskChanges'
`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.stop())
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main().catch(error => {
    console.error(error)
    process.exitCode = 1
  })
