// Named devices on sql.js and a server on libsql, over real HTTP.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions } from 'typeorm'
import { type WithSyncOptions, withSync } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'

export type Entities = NonNullable<DataSourceOptions['entities']>

export async function startServer(entities: Entities, { before = [] as Koa.Middleware[], options = {} as WithSyncOptions } = {}) {
  const dataSource = await serverDatabase(entities, options)
  const app = new Koa()
  app.silent = true
  for (const middleware of before) app.use(middleware)
  app.use(syncRoutes(dataSource, { public: true }).routes())
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    dataSource,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      if (dataSource.isInitialized) await dataSource.destroy()
    },
  }
}

export function serverDatabase(entities: Entities, options: WithSyncOptions = {}, database = ':memory:'): Promise<DataSource> {
  return withSync(new DataSource({ type: 'better-sqlite3', driver: libsql, database, entities, synchronize: true }), options).initialize()
}

/** A device with a database of its own. */
export function device(entities: Entities, server: string, options: Omit<WithSyncOptions, 'server'> = {}): Promise<DataSource> {
  return withSync(new DataSource({ type: 'sqljs', entities, synchronize: true }), { server, retries: 0, ...options }).initialize()
}

/** All rows of a table by id, with everything that is stored but the stamp. */
export async function rowsOf(dataSource: DataSource, table: string): Promise<Record<string, unknown>[]> {
  const rows = await dataSource.query(`SELECT * FROM "${table}" ORDER BY id`)
  return rows.map(({ _lastChange, ...row }: Record<string, unknown>) => row)
}
