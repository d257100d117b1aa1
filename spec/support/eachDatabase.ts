// The same server on each kind of database that is there, with a device beside it: for what a spec says of all of them.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions } from 'typeorm'
import { type SyncRoutesOptions, syncRoutes } from 'typeorm-sync/server-koa'
import { type HookedOptions, withHooks } from '../../src/entity/withSync.js'
import * as mysql from './mysqlDatabase.js'
import { mysqlUrl } from './mysqlServer.js'
import * as postgres from './postgresDatabase.js'
import { postgresUrl } from './postgresServer.js'

export type Kind = 'sqljs' | 'libsql' | 'postgres' | 'mysql'

/** Those on which a server runs here. */
export const SERVERS: Kind[] = ['libsql', ...(postgresUrl ? (['postgres'] as const) : []), ...(mysqlUrl ? (['mysql'] as const) : [])]

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of open.splice(0)) await end()
})

/** Keeps a database beyond the test: the caller destroys it, and then it is removed. */
export async function keepOpen(opening: Promise<DataSource>): Promise<DataSource> {
  const before = open.length
  const dataSource = await opening
  const ends = open.splice(0, open.length - before)
  const { destroy } = dataSource
  dataSource.destroy = async () => {
    dataSource.destroy = destroy
    for (const end of ends) await end()
  }
  return dataSource
}

async function optionsOf(kind: Kind): Promise<DataSourceOptions> {
  if (kind === 'sqljs') return { type: 'sqljs' }
  if (kind === 'libsql') return { type: 'better-sqlite3', driver: libsql, database: ':memory:' }
  if (kind === 'mysql') {
    const { name, drop } = await mysql.newDatabase('each', 'CHARACTER SET utf8mb4')
    open.unshift(drop)
    return mysql.optionsOn(name)
  }
  const name = await postgres.newDatabase('each')
  open.unshift(() => postgres.dropDatabases(name))
  return postgres.optionsOn(name, {})
}

/** A database that can be opened again, by another version of the application. */
export async function databaseOn(kind: Kind): Promise<DataSourceOptions> {
  if (kind !== 'libsql') return optionsOf(kind)
  const folder = mkdtempSync(join(tmpdir(), 'each-'))
  open.push(async () => rmSync(folder, { recursive: true }))
  return { type: 'better-sqlite3', driver: libsql, database: join(folder, 'db') }
}

/** A database of its own, gone after the test. */
export async function openOn(kind: Kind, entities: DataSourceOptions['entities'], sync: HookedOptions = {}): Promise<DataSource> {
  return openIn(await optionsOf(kind), entities, sync)
}

export async function openIn(
  options: DataSourceOptions,
  entities: DataSourceOptions['entities'],
  sync: HookedOptions = {},
): Promise<DataSource> {
  const dataSource = withHooks(new DataSource({ synchronize: true, ...options, entities } as DataSourceOptions), { retries: 0, ...sync })
  open.unshift(async () => dataSource.isInitialized && (await dataSource.destroy()))
  return dataSource.initialize()
}

/** Serves a data source; `errors` are the errors that the application gets, and `before` comes before the routes. */
export async function serve(
  dataSource: DataSource,
  { before = [], ...options }: { readonly before?: readonly Koa.Middleware[] } & Partial<SyncRoutesOptions> = {},
) {
  const app = new Koa()
  const errors: unknown[] = []
  app.on('error', error => errors.push(error))
  for (const middleware of before) app.use(middleware)
  const { rules, principal } = options
  app.use(syncRoutes(dataSource, rules && principal ? { ...options, rules, principal } : { public: true, ...options }).routes())
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.unshift(async () => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const post = async (path: string, rows: object[]) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(rows),
    })
    return { status: response.status, json: (await response.json()) as any }
  }
  return { url, errors, post }
}

/** Runs a statement: names in double quotes, `?` for parameters, whatever the kind. */
export function sql(dataSource: DataSource, text: string, values: unknown[] = []) {
  const { type } = dataSource.options
  let count = 0
  const own = type === 'postgres' ? text.replace(/\?/g, () => `$${++count}`) : type === 'mariadb' ? text.replaceAll('"', '`') : text
  return dataSource.query(own, values)
}
