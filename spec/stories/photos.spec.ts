// Large binaries, of one class, with devices and servers on every database.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import 'reflect-metadata'
import { afterEach, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm'
import { binary, EnableSync, hasLocalChanges, journal, syncAll, withSync } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { mysqlServer } from '../support/mysqlDatabase.js'
import { mysqlUrl } from '../support/mysqlServer.js'
import { dropDatabases, newDatabase, optionsOn } from '../support/postgresDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'

@Entity('photo')
@EnableSync('/photos')
class Photo {
  @PrimaryColumn('varchar', { length: 36 }) id!: string
  @Column({ type: binary, nullable: true }) bytes!: Uint8Array | null
}

const databases: [string, (server?: string) => Promise<DataSource>][] = [
  [
    'sql.js',
    server => withSync(new DataSource({ type: 'sqljs', entities: [Photo], synchronize: true }), { server, retries: 0 }).initialize(),
  ],
  [
    'libsql',
    server =>
      withSync(new DataSource({ type: 'better-sqlite3', driver: libsql, database: ':memory:', entities: [Photo], synchronize: true }), {
        server,
        retries: 0,
      }).initialize(),
  ],
]
if (postgresUrl) databases.push(['PostgreSQL', onPostgres])
if (mysqlUrl) databases.push(['MariaDB', server => mysqlServer([Photo], { server, retries: 0 })])

async function onPostgres(server?: string): Promise<DataSource> {
  const database = await newDatabase('photos')
  const dataSource = withSync(new DataSource(optionsOn(database, { entities: [Photo], synchronize: true })), { server, retries: 0 })
  await dataSource.initialize()
  const { destroy } = dataSource
  dataSource.destroy = async () => {
    await destroy.call(dataSource)
    await dropDatabases(database)
  }
  return dataSource
}

let closing = async () => {}
afterEach(() => closing())

const photo = (megabytes: number) => Uint8Array.from({ length: megabytes * 1_000_000 }, (_, i) => (i * 2_654_435_761) >>> 13)

// mysql2 would write two digits for each byte, which max_allowed_packet does not allow
async function write(dataSource: DataSource, sql: string, bytes: Uint8Array): Promise<void> {
  const { type } = dataSource.options
  if (type === 'mariadb') await dataSource.query(sql.replace('?', 'FROM_BASE64(?)'), [Buffer.from(bytes).toString('base64'), 'a'])
  else await dataSource.query(type === 'postgres' ? sql.replace('?', '$1').replace('?', '$2') : sql, [Buffer.from(bytes), 'a'])
}

describe.each(databases)('with device and server on %s', (_, open) => {
  test('a photo of 10 MB goes to the server and to another device, is pending before, and is changed and removed there', async () => {
    const server = await open()
    const http = new Koa().use(syncRoutes(server, { public: true, maxBodyBytes: 20_000_000 }).routes()).listen(0, '127.0.0.1')
    await once(http, 'listening')
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    const [alice, bob] = [await open(url), await open(url)]
    closing = async () => {
      http.close()
      http.closeAllConnections()
      for (const each of [alice, bob, server]) await each.destroy()
    }
    const bytesOn = async (dataSource: DataSource, id: string) => (await dataSource.getRepository(Photo).findOneByOrFail({ id })).bytes
    const isSame = (some: Uint8Array | null, other: Uint8Array) =>
      // libsql hands out an ArrayBuffer
      some !== null && Buffer.compare(new Uint8Array(some), other) === 0

    await write(alice, 'INSERT INTO photo (bytes, id) VALUES (?, ?)', photo(10))
    expect(await hasLocalChanges(alice)).toBe(true)
    expect(await journal(alice.getRepository(Photo)).pending()).toHaveLength(1)
    expect(await syncAll(alice)).toMatchObject({ pushed: 1 })
    expect(await hasLocalChanges(alice)).toBe(false)
    expect(isSame(await bytesOn(server, 'a'), photo(10))).toBe(true)
    expect(await syncAll(bob)).toMatchObject({ pulled: 1 })
    expect(isSame(await bytesOn(bob, 'a'), photo(10))).toBe(true)
    await write(bob, 'UPDATE photo SET bytes = ? WHERE id = ?', photo(9))
    await syncAll(bob)
    await syncAll(alice)
    expect(isSame(await bytesOn(alice, 'a'), photo(9))).toBe(true)
    await alice.getRepository(Photo).delete('a')
    await syncAll(alice)
    expect(await server.getRepository(Photo).count()).toBe(0)
  })
})
