// Tables and columns that a migration renames, on devices and on the server.

import 'reflect-metadata'
import { afterEach, describe, expect, test } from '@jest/globals'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions, EntitySchema, type MigrationInterface, type QueryRunner } from 'typeorm'
import { enableSync, hasLocalChanges, journal, preferLocalConflictHandler, syncAll, withSync } from 'typeorm-sync'
import { newFile } from '../entity/openDataSource.js'
import { newDatabase as newMysqlDatabase, optionsOn as onMysql } from '../support/mysqlDatabase.js'
import { mysqlUrl } from '../support/mysqlServer.js'
import { dropDatabases, newDatabase, optionsOn } from '../support/postgresDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'
import { expectAtRest, startServer, startServerOn } from './devices.js'

interface Task {
  id: string
  name: string
}

const text = { type: 'varchar', length: 40 } as const

/** The entity as one version of an application knows it; on the wire it is the same. */
function version(tableName: string, columns: { key?: string; name?: string; property?: string } = {}, urls: string | string[] = '/tasks') {
  const { key = 'id', name = 'name', property = 'name' } = columns
  const Task = new EntitySchema<any>({
    name: 'Task',
    tableName,
    columns: {
      id: { ...text, primary: true, name: key },
      [property]: { ...text, name, nullable: true },
      note: { ...text, nullable: true },
    },
  })
  enableSync(Task, urls)
  return Task as EntitySchema<Task>
}

const migration = (...statements: string[]) =>
  class Change1700000000000 implements MigrationInterface {
    async up(runner: QueryRunner) {
      for (const sql of statements) await runner.query(runner.connection.options.type === 'mariadb' ? sql.replaceAll('"', '`') : sql)
    }
    async down() {}
  }

const kinds: [string, () => Promise<{ options: DataSourceOptions; drop(): Promise<unknown> }>][] = [
  ['libsql', async () => ({ options: { type: 'better-sqlite3', driver: libsql, database: newFile() }, drop: async () => {} })],
  ['sql.js', async () => ({ options: { type: 'sqljs', location: newFile(), autoSave: true }, drop: async () => {} })],
]
if (postgresUrl)
  kinds.push([
    'PostgreSQL',
    async () => {
      const name = await newDatabase('renames')
      return { options: optionsOn(name, {}), drop: () => dropDatabases(name) }
    },
  ])
if (mysqlUrl)
  kinds.push([
    'MariaDB',
    async () => {
      const { name, drop } = await newMysqlDatabase('renames', 'CHARACTER SET utf8mb4')
      return { options: onMysql(name), drop }
    },
  ])

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function open(options: DataSourceOptions, entity: EntitySchema<Task>, server: string | undefined, more: object = {}) {
  const all = { ...options, entities: [entity], ...more } as DataSourceOptions
  const dataSource = await withSync(new DataSource(all), { ...(server && { server }), retries: 0 }).initialize()
  closing.push(async () => dataSource.isInitialized && dataSource.destroy())
  return dataSource
}

const rowsOf = (dataSource: DataSource, entity: EntitySchema<Task>) => dataSource.getRepository(entity).find({ order: { id: 'ASC' } })

const renamings: [string, EntitySchema<Task>, EntitySchema<Task>, string[]][] = [
  ['its table', version('task'), version('todo'), ['ALTER TABLE "task" RENAME TO "todo"']],
  ['a column', version('task'), version('task', { name: 'title' }), ['ALTER TABLE "task" RENAME COLUMN "name" TO "title"']],
  ['its key', version('task'), version('task', { key: 'code' }), ['ALTER TABLE "task" RENAME COLUMN "id" TO "code"']],
  [
    'its table, its key and a column, with a url more',
    version('task'),
    version('app_todo', { key: 'code', name: 'title' }, ['/tasks', 'http://127.0.0.1:9/elsewhere']),
    [
      'ALTER TABLE "task" RENAME TO "app_todo"',
      'ALTER TABLE "app_todo" RENAME COLUMN "name" TO "title"',
      'ALTER TABLE "app_todo" RENAME COLUMN "id" TO "code"',
    ],
  ],
]

describe.each(kinds)('on %s', (_, make) => {
  async function database() {
    const { options, drop } = await make()
    closing.push(drop)
    return options
  }

  test.each(renamings)('a device that renames %s keeps what is pending, without a conflict', async (what, Before, After, statements) => {
    const server = await startServer([Before])
    closing.push(() => server.stop())
    const options = await database()
    const older = await open(options, Before, server.url, { synchronize: true })
    await older.getRepository(Before).save(['a', 'b', 'c', 'd'].map(id => ({ id, name: id })))
    await syncAll(older)
    await server.dataSource.getRepository(Before).update('d', { name: 'remote' })
    await older.getRepository(Before).delete('a')
    await older.getRepository(Before).update('b', { name: 'B' })
    await older.getRepository(Before).update('d', { name: 'local' })
    await syncAll(older, preferLocalConflictHandler)
    await older.getRepository(Before).delete('c')
    await older.getRepository(Before).update('b', { name: 'BB' })
    await older.getRepository(Before).save({ id: 'e', name: 'e' })
    await older.destroy()

    const newer = await open(options, After, server.url, { migrations: [migration(...statements)], migrationsRun: true })
    expect(await hasLocalChanges(newer)).toBe(true)
    expect(await journal(newer.getRepository(After)).resolved()).toHaveLength(1)
    // the other server is not there
    const report = await syncAll(newer).catch(error => error)
    if (!what.includes('url')) expect(report).toMatchObject({ pushed: 3, conflicts: 0, unapplied: 0, rejected: 0 })
    const expected = [
      { id: 'b', name: 'BB', note: null },
      { id: 'd', name: 'local', note: null },
      { id: 'e', name: 'e', note: null },
    ]
    expect(await rowsOf(newer, After)).toEqual(expected)
    expect(await rowsOf(server.dataSource, Before)).toEqual(expected)
    expect(await newer.query(`SELECT count(*) AS n FROM sync_server WHERE url LIKE '%/tasks'`)).toMatchObject([{ n: expect.anything() }])
    if (!what.includes('url')) await expectAtRest([newer])
  })

  test('what a migration writes to a table that it renames is pushed', async () => {
    const [Before, After] = [version('task'), version('todo')]
    const server = await startServer([Before])
    closing.push(() => server.stop())
    const options = await database()
    const older = await open(options, Before, server.url, { synchronize: true })
    await older.getRepository(Before).save(['a', 'b', 'c'].map(id => ({ id, name: id })))
    await syncAll(older)
    await older.destroy()
    const change = migration(
      `UPDATE "task" SET "name" = 'A' WHERE "id" = 'a'`,
      'ALTER TABLE "task" RENAME TO "todo"',
      `DELETE FROM "todo" WHERE "id" = 'b'`,
    )
    const newer = await open(options, After, server.url, { migrations: [change], migrationsRun: true })
    expect(await syncAll(newer)).toMatchObject({ pushed: 2, conflicts: 0 })
    expect((await rowsOf(server.dataSource, Before)).map(r => r.name)).toEqual(['A', 'c'])
  })

  test('a table that is renamed by hand, while the application does not run, keeps its account too', async () => {
    const [Before, After] = [version('task'), version('todo', { name: 'title' })]
    const server = await startServer([Before])
    closing.push(() => server.stop())
    const options = await database()
    const older = await open(options, Before, server.url, { synchronize: true })
    await older.getRepository(Before).save(['a', 'b'].map(id => ({ id, name: id })))
    await syncAll(older)
    await older.getRepository(Before).delete('a')
    await older.getRepository(Before).update('b', { name: 'B' })
    await older.destroy()
    const byHand = await new DataSource({
      ...options,
      migrations: [migration(...(renamings[0] as any)[3], 'ALTER TABLE "todo" RENAME COLUMN "name" TO "title"')],
      migrationsRun: true,
    } as DataSourceOptions).initialize()
    await byHand.destroy()
    const newer = await open(options, After, server.url)
    expect(await syncAll(newer)).toMatchObject({ pushed: 2, conflicts: 0, unapplied: 0 })
    expect((await rowsOf(server.dataSource, Before)).map(r => r.name)).toEqual(['B'])
    await newer.getRepository(After).delete('b')
    expect(await syncAll(newer)).toMatchObject({ pushed: 1 })
  })

  test('a column whose property is renamed on both sides keeps its base, where the migration is seen', async () => {
    const [Before, After] = [version('task'), version('task', { name: 'title', property: 'title' })]
    const change = migration('ALTER TABLE "task" RENAME COLUMN "name" TO "title"')
    const [there, here] = [await database(), await database()]
    let server = await startServerOn(await open(there, Before, undefined, { synchronize: true }))
    const older = await open(here, Before, server.url, { synchronize: true })
    await older.getRepository(Before).save(['a', 'b'].map(id => ({ id, name: id })))
    await syncAll(older)
    await older.getRepository(Before).update('b', { name: 'B' })
    await older.destroy()
    await server.stop()
    server = await startServerOn(await open(there, After, undefined, { migrations: [change], migrationsRun: true }))
    closing.push(() => server.stop())
    const newer = await open(here, After, server.url, { migrations: [change], migrationsRun: true })
    // the server is at another address here
    await newer.query(`DELETE FROM sync_server WHERE url = '${server.url}/tasks'`)
    await newer.query(`UPDATE sync_server SET url = '${server.url}/tasks'`)
    expect(await syncAll(newer)).toMatchObject({ pushed: 1, conflicts: 0, unapplied: 0 })
    expect((await rowsOf(server.dataSource, After)).map(r => (r as any).title)).toEqual(['a', 'B'])
  })

  test('a server that renames its table still has what was removed before, and answers a push again', async () => {
    const [Before, After] = [version('task'), version('todo')]
    const options = await database()
    const first = await startServerOn(await open(options, Before, undefined, { synchronize: true }))
    const push = (url: string) =>
      fetch(`${url}/tasks`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'once' },
        body: JSON.stringify([{ id: 'a', name: 'a' }]),
      })
    const answer = await (await push(first.url)).json()
    await first.dataSource.getRepository(Before).save({ id: 'b', name: 'b' })
    const { now } = (await (await fetch(`${first.url}/tasks`)).json()) as { now: number }
    await first.dataSource.getRepository(Before).delete('b')
    await first.stop()
    const change = migration('ALTER TABLE "task" RENAME TO "todo"')
    const second = await startServerOn(await open(options, After, undefined, { migrations: [change], migrationsRun: true }))
    closing.push(() => second.stop())
    const since = (await (await fetch(`${second.url}/tasks?since=${now}`)).json()) as { updates: object[] }
    expect(since.updates).toMatchObject([{ id: 'b', _removed: true }])
    expect(await (await push(second.url)).json()).toEqual({ ...(answer as object), replayed: true })
  })

  test('a table that is made beside the old one is another table, and no removal of the old one’s rows is pushed', async () => {
    const [Before, After] = [version('task'), version('todo')]
    const server = await startServer([Before])
    closing.push(() => server.stop())
    const options = await database()
    const older = await open(options, Before, server.url, { synchronize: true })
    await older.getRepository(Before).save({ id: 'a', name: 'a' })
    await syncAll(older)
    await older.destroy()
    const change = migration(
      'CREATE TABLE "todo" ("id" varchar(40) PRIMARY KEY NOT NULL, "name" varchar(40), "note" varchar(40), "_lastChange" bigint)',
      'CREATE INDEX "todo_change" ON "todo" ("_lastChange")',
    )
    const newer = await open(options, After, server.url, { migrations: [change], migrationsRun: true })
    expect(await syncAll(newer)).toMatchObject({ pulled: 1, pushed: 0 })
    expect((await rowsOf(server.dataSource, Before)).map(r => r.id)).toEqual(['a'])
    expect((await rowsOf(newer, After)).map(r => r.id)).toEqual(['a'])
  })
})
