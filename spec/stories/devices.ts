// Named devices on sql.js and a server on libsql, over real HTTP.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions } from 'typeorm'
import { type ConflictHandler, hasLocalChanges, journal, syncAll, type WithSyncOptions, withSync } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { changeLogOf } from '../../src/entity/registry.js'

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
      if (!server.listening) return
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
  return withSync(new DataSource({ type: 'sqljs', entities, synchronize: true }), {
    server,
    retries: 0,
    ...options,
  }).initialize()
}

/** All rows of a table by id, with everything that is stored but the stamp. */
export async function rowsOf(dataSource: DataSource, table: string): Promise<Record<string, unknown>[]> {
  const rows = await dataSource.query(`SELECT * FROM "${table}" ORDER BY id`)
  return rows.map(({ _lastChange, ...row }: Record<string, unknown>) => {
    // SQLite's own clock leaves out the milliseconds that TypeORM writes
    for (const [name, cell] of Object.entries(row))
      if (typeof cell === 'string') row[name] = cell.replace(/^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)$/, '$1.000')
    return row
  })
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

// ---------------------------------------------------------------- what every story ends with

/** All databases have the same rows. */
export async function expectEqual(databases: readonly DataSource[], tables: readonly string[]): Promise<void> {
  const [one, ...others] = databases
  for (const table of tables) {
    const rows = await rowsOf(one as DataSource, table)
    for (const other of others) expect({ table, rows: await rowsOf(other, table) }).toEqual({ table, rows })
  }
}

/** Nothing is pending, waits or was refused, and a sync asks one question per entity and server and tells nothing. */
export async function expectAtRest(devices: readonly DataSource[], servers = 1): Promise<void> {
  for (const each of devices) {
    const { collections } = changeLogOf(each)
    const requests = collections.length * servers
    // its own rows come back once, where others wrote to the server in between
    expect(await syncAll(each)).toMatchObject({ pulled: 0, pushed: 0, merged: 0 })
    expect(await syncAll(each)).toMatchObject({ pulled: 0, pushed: 0, merged: 0, conflicts: 0, waiting: 0, refused: 0, requests })
    expect(await hasLocalChanges(each)).toBe(false)
    for (const { metadata } of collections) {
      const notes = journal(each.getRepository(metadata.target))
      expect({ pending: await notes.pending(), waiting: await notes.waiting(), refused: await notes.refused() }).toEqual({
        ...{ pending: [], waiting: [], refused: [] },
      })
    }
  }
}

/** Syncs these devices one after the other until nothing moves any more; fails after so many rounds. */
export async function settle(devices: readonly DataSource[], handler?: ConflictHandler, rounds = 6): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    let moved = false
    for (const each of devices) {
      const { pulled, pushed, merged, conflicts, waiting, refused } = await syncAll(each, handler)
      moved ||= pulled + pushed + merged + conflicts + waiting + refused > 0
    }
    if (!moved) return
  }
  throw new Error(`Not quiet after ${rounds} rounds.`)
}
