// A set-up that another user runs: its statements are shown, and nothing is changed before they were.

import 'reflect-metadata'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions, EntitySchema } from 'typeorm'
import { enableSync, SyncSchemaError, setUpStatements, syncAll, withSync } from 'typeorm-sync'
import { checkHealth } from 'typeorm-sync/server-koa'
import * as mysql from '../support/mysqlDatabase.js'
import { mysqlUrl } from '../support/mysqlServer.js'
import * as postgres from '../support/postgresDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'
import { newFile } from './openDataSource.js'

const Shelf = new EntitySchema<{ id: string; name: string }>({
  ...{ name: 'Shelf', tableName: 'shelf' },
  columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar', nullable: true } },
})
const Book = new EntitySchema<{ id: string; title: string }>({
  ...{ name: 'Book', tableName: 'book' },
  columns: { id: { type: 'varchar', primary: true }, title: { type: 'varchar' } },
  relations: { shelf: { type: 'many-to-one', target: 'Shelf', nullable: true, onDelete: 'CASCADE' } },
} as never)
enableSync(Shelf, '/shelves')
enableSync(Book, '/books')
const entities = [Shelf, Book]

const KINDS: Record<string, { open: () => Promise<{ options: object; drop: () => Promise<unknown> }> }> = {
  libsql: { open: async () => ({ options: { type: 'better-sqlite3', driver: libsql, database: newFile() }, drop: async () => {} }) },
  ...(postgresUrl && {
    postgres: {
      open: async () => {
        const database = await postgres.newDatabase('setup')
        return { options: postgres.optionsOn(database, {}), drop: () => postgres.dropDatabases(database) }
      },
    },
  }),
  ...(mysqlUrl && {
    mysql: {
      open: async () => {
        const database = await mysql.newDatabase('setup')
        return { options: mysql.optionsOn(database.name), drop: database.drop }
      },
    },
  }),
}

describe.each(Object.keys(KINDS))('%s', kind => {
  let options: DataSourceOptions
  let drop: () => Promise<unknown>
  beforeAll(async () => {
    const opened = await KINDS[kind]!.open()
    options = { ...opened.options, entities } as DataSourceOptions
    drop = opened.drop
    const plain = await new DataSource({ ...options, synchronize: true }).initialize()
    await plain.getRepository(Book).insert({ id: 'old', title: 'Old' })
    await plain.destroy()
  })
  afterAll(() => drop())

  test('the statements of the set-up can be read, and run by another user', async () => {
    const reviewing = await withSync(new DataSource(options), { setUp: false, server: 'http://127.0.0.1:1' }).initialize()
    await expect(syncAll(reviewing)).rejects.toBeInstanceOf(SyncSchemaError)
    await expect(checkHealth(reviewing)).rejects.toThrow(/setUpStatements/)
    const statements = await setUpStatements(reviewing)
    expect(await setUpStatements(reviewing)).toHaveLength(statements.length) // nothing was changed
    const runner = reviewing.createQueryRunner()
    for (const sql of statements) await runner.query(sql)
    await runner.release()
    await reviewing.destroy()

    const prepared = await withSync(new DataSource(options), { setUp: false }).initialize()
    const { now } = await checkHealth(prepared)
    expect(now).toBeGreaterThan(0) // the row that was there has its stamp
    await prepared.getRepository(Book).insert({ id: 'new', title: 'New' })
    expect((await checkHealth(prepared)).now).toBeGreaterThan(now)
    await prepared.destroy()
  })
})
