// Named devices on sql.js and a server on libsql, over real HTTP; with SYNC_SERVER=postgres, or mysql, the server is on such a database.
// With SYNC_DEVICE=postgres the devices are.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, test } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions, getMetadataArgsStorage } from 'typeorm'
import { type ConflictHandler, hasLocalChanges, journal, type SyncProgress, type SyncReport, syncAll } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { changeLogOf } from '../../src/entity/registry.js'
import { type HookedOptions, withHooks } from '../../src/entity/withSync.js'
import { mysqlServer } from '../support/mysqlDatabase.js'
import { dropDatabases, newDatabase, optionsOn } from '../support/postgresDatabase.js'
import { unappliedOf } from '../support/unapplied.js'

/** A test of something that SQLite alone has, or in its words: not there where the devices are on another database. */
export const testOnSqlite = process.env.SYNC_DEVICE ? () => {} : test

/** A test with a table that references itself by SET NULL, which is rejected on MariaDB. */
export const testOfTrees = process.env.SYNC_DEVICE === 'mysql' ? () => {} : test

export type Entities = NonNullable<DataSourceOptions['entities']>

/** Ends what no test of a file has ended: a server that listens keeps the process. */
const stops: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const stop of stops.splice(0)) await stop()
})

export async function startServer(entities: Entities, { before = [] as Koa.Middleware[], options = {} as HookedOptions } = {}) {
  return startServerOn(await serverDatabase(entities, options), before)
}

/** An older server: it has the routes of the entities alone. */
export const withoutFeed: Koa.Middleware = async (ctx, next) => {
  if (ctx.path !== '/sync') await next()
}

/** The rows of a body or an answer, whether it is one of the feed's or of a route's. */
export function rowsIn(text: string | undefined): Record<string, unknown>[] {
  const json = JSON.parse(text ?? '[]')
  return Array.isArray(json) ? json : (json.updates ?? Object.values(json.changes ?? {}).flat())
}

export async function startServerOn(dataSource: DataSource, before: readonly Koa.Middleware[] = []) {
  const app = new Koa()
  app.silent = true
  for (const middleware of before) app.use(middleware)
  app.use(syncRoutes(dataSource, { public: true }).routes())
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
    if (dataSource.isInitialized) await dataSource.destroy()
  }
  stops.push(stop)
  return { dataSource, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}

export function serverDatabase(entities: Entities, options: HookedOptions = {}, database = ':memory:'): Promise<DataSource> {
  if (process.env.SYNC_SERVER === 'postgres' && database === ':memory:') return onPostgres(entities, options)
  if (process.env.SYNC_SERVER === 'mysql' && database === ':memory:') return mysqlServer(entities, options)
  return withHooks(new DataSource({ type: 'better-sqlite3', driver: libsql, database, entities, synchronize: true }), options).initialize()
}

/** A device with a database of its own. */
export function device(entities: Entities, server: string, options: Omit<HookedOptions, 'server'> = {}): Promise<DataSource> {
  if (process.env.SYNC_DEVICE === 'mysql') return mysqlServer(entities, { server, retries: 0, ...options })
  const all = { server, retries: 0, ...options }
  if (process.env.SYNC_DEVICE === 'postgres') return onPostgres(entities, all)
  return withHooks(new DataSource({ type: 'sqljs', entities, synchronize: true }), all).initialize()
}

/** On a database of its own, which is dropped with it. The stories' statements are those of SQLite: `?` is written `$1` here. */
async function onPostgres(entities: Entities, options: HookedOptions): Promise<DataSource> {
  const database = await newDatabase('stories')
  const dataSource = withHooks(new DataSource(optionsOn(database, { entities, synchronize: true })), options)
  // the entities are written for SQLite, and so are those of the devices
  const dates = getMetadataArgsStorage().columns.filter(column => column.options.type === 'datetime')
  for (const column of dates) column.options.type = 'timestamptz'
  await dataSource.initialize().finally(() => {
    for (const column of dates) column.options.type = 'datetime'
  })
  const { query, destroy } = dataSource
  dataSource.query = (sql, values) => {
    let count = 0
    return query.call(dataSource, Array.isArray(values) ? sql.replace(/\?/g, () => `$${++count}`) : sql, values) as never
  }
  dataSource.destroy = async () => {
    await destroy.call(dataSource)
    await dropDatabases(database)
  }
  return dataSource
}

/** All rows of a table by id, with everything that is stored but the stamp. */
export async function rowsOf(dataSource: DataSource, table: string): Promise<Record<string, unknown>[]> {
  const rows = await dataSource.query(`SELECT * FROM "${table}" ORDER BY id`)
  if (dataSource.options.type === 'postgres')
    return rows.map(plainRow).sort((x: { id: string }, y: { id: string }) => (x.id < y.id ? -1 : 1))
  if (dataSource.options.type === 'mariadb')
    return rows.map(plainMysqlRow).sort((x: { id: string }, y: { id: string }) => (x.id < y.id ? -1 : 1))
  return rows.map(({ _lastChange, ...row }: Record<string, unknown>) => {
    // SQLite's own clock leaves out the milliseconds that TypeORM writes
    for (const [name, cell] of Object.entries(row))
      if (typeof cell === 'string') row[name] = cell.replace(/^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)$/, '$1.000')
    return row
  })
}

/** A row of PostgreSQL's as SQLite has it. */
function plainRow({ _lastChange, ...row }: Record<string, unknown>): Record<string, unknown> {
  for (const [name, cell] of Object.entries(row)) {
    if (typeof cell === 'boolean') row[name] = Number(cell)
    if (cell instanceof Date) row[name] = cell.toISOString().replace('T', ' ').replace('Z', '')
  }
  return row
}

/** A row of MariaDB's as SQLite has it. */
function plainMysqlRow({ _lastChange, ...row }: Record<string, unknown>): Record<string, unknown> {
  const date = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:(\.\d{3})\d{0,3})?$/
  for (const [name, cell] of Object.entries(row))
    if (typeof cell === 'string') row[name] = cell.replace(date, (_, time, part) => time + (part ?? '.000'))
  return row
}

// ---------------------------------------------------------------- the wire

export interface WireRequest {
  readonly method: string
  readonly url: string
  readonly body: string | undefined
}

/** A fetch that counts, and into which a story puts its faults. What a fault throws, or answers, the device gets instead. */
export class Wire {
  readonly requests: WireRequest[] = []
  /** Before the request leaves. */
  before: ((request: WireRequest, number: number) => unknown) | undefined
  /** When the server has answered: it knows of the request, the device does not. */
  after: ((request: WireRequest, number: number, response: Response) => unknown) | undefined

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const request = { method: init?.method ?? 'GET', url: String(input), body: init?.body as string | undefined }
    const number = this.requests.push(request)
    const instead = await this.before?.(request, number)
    if (instead instanceof Response) return instead
    const response = await globalThis.fetch(input, init)
    const other = await this.after?.(request, number, response)
    return other instanceof Response ? other : response
  }

  /** No faults any more, and counting begins anew. */
  mend(): void {
    this.before = this.after = undefined
    this.requests.length = 0
  }
}

/**
 * Syncs one collection by itself with a server without a feed, which forbids all others meanwhile: so a device may read tasks before their
 * projects. Gives what was reported of it last.
 */
export async function syncAlone(device: DataSource, wire: Wire, path: string, handler?: ConflictHandler): Promise<SyncReport | undefined> {
  let report: SyncReport | undefined
  const { before } = wire
  wire.before = (request, number) =>
    ['/sync', path].includes(new URL(request.url).pathname)
      ? before?.(request, number)
      : new Response('{"title":"Forbidden"}', { status: 403 })
  const onProgress = (progress: SyncProgress) => {
    expect(new URL(progress.url).pathname).toBe(path)
    report = progress.report
  }
  await expect(syncAll(device, handler, { onProgress })).rejects.toMatchObject({ status: 403 })
  wire.before = before
  return report
}

// ---------------------------------------------------------------- what every story ends with

/** All databases have the same rows. */
export async function expectEqual(databases: readonly DataSource[], tables: readonly string[]): Promise<void> {
  const [one, ...others] = databases
  for (const table of tables) {
    const rows = await rowsOf(one as DataSource, table)
    for (const other of others) expect({ table, rows: await rowsOf(other, table) }).toEqual({ table, rows })
  }
}

/** Nothing is pending, unapplied or rejected, and a sync makes one request per server, or per entity of one without a feed, and pushes nothing. */
export async function expectAtRest(devices: readonly DataSource[], requests = 1): Promise<void> {
  for (const each of devices) {
    const { collections } = changeLogOf(each)
    // its own rows come back once, where others wrote to the server in between
    expect(await syncAll(each)).toMatchObject({ pulled: 0, pushed: 0, merged: 0 })
    expect(await syncAll(each)).toMatchObject({ pulled: 0, pushed: 0, merged: 0, conflicts: 0, unapplied: 0, rejected: 0, requests })
    expect(await hasLocalChanges(each)).toBe(false)
    for (const { metadata } of collections) {
      const notes = journal(each.getRepository(metadata.target))
      expect({ pending: await notes.pending(), unapplied: await unappliedOf(notes), rejected: await notes.rejected() }).toEqual({
        ...{ pending: [], unapplied: [], rejected: [] },
      })
    }
  }
}

/** Syncs these devices one after the other until nothing moves any more; fails after so many rounds. */
export async function applyDecided(devices: readonly DataSource[], handler?: ConflictHandler, rounds = 6): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    let moved = false
    for (const each of devices) {
      const { pulled, pushed, merged, conflicts, unapplied, rejected, heldBack } = await syncAll(each, handler)
      moved ||= pulled + pushed + merged + conflicts + unapplied + rejected + heldBack > 0
    }
    if (!moved) return
  }
  throw new Error(`Not quiet after ${rounds} rounds.`)
}
