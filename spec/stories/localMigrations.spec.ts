// Devices that are updated: what each computes for itself is no change, and what was pending is still.

import 'reflect-metadata'
import { beforeEach, describe, expect, test } from '@jest/globals'
import { DataSource, type DataSourceOptions, EntitySchema, type EntitySchemaColumnOptions } from 'typeorm'
import {
  enableSync,
  hasLocalChanges,
  journal,
  localMigration,
  preferLocalConflictHandler,
  SyncConfigurationError,
  syncAll,
  withSync,
} from 'typeorm-sync'
import type { SchemaVersions } from 'typeorm-sync/server'
import { AppVersions, migration, type Place, runAll, type Work } from '../support/appVersions.js'
import { databaseOn, SERVERS, sql } from '../support/eachDatabase.js'

const text = { type: 'varchar', length: 40 } as const

function entity(columns: Record<string, EntitySchemaColumnOptions>): EntitySchema<any> {
  const made = new EntitySchema<any>({
    ...{ name: 'Person', tableName: 'person' },
    columns: { id: { ...text, primary: true }, note: { ...text, nullable: true }, ...columns },
  })
  enableSync(made, '/people')
  return made
}

const Before = entity({ name: text, done: { type: 'int', default: 0 } })
const After = entity({ first: { ...text, default: '' }, last: { ...text, default: '' }, done: { ...text, default: 'no' } })

/** A column is split in two, and another gets another type under its name. */
const change = (table: string) => [
  `ALTER TABLE ${table} ADD COLUMN "first" varchar(40) NOT NULL DEFAULT ''`,
  `ALTER TABLE ${table} ADD COLUMN "last" varchar(40) NOT NULL DEFAULT ''`,
  `UPDATE ${table} SET "first" = REPLACE("name", ' Lee', ''), "last" = 'Lee'`,
  `ALTER TABLE ${table} DROP COLUMN "name"`,
  `ALTER TABLE ${table} ADD COLUMN "state" varchar(40) NOT NULL DEFAULT 'no'`,
  `UPDATE ${table} SET "state" = 'yes' WHERE "done" = 1`,
  `ALTER TABLE ${table} DROP COLUMN "done"`,
  `ALTER TABLE ${table} RENAME COLUMN "state" TO "done"`,
]

const schema: SchemaVersions = {
  version: 2,
  steps: {
    2: {
      '/people': {
        up: ({ name, done, ...row }) => ({ ...row, first: name.replace(' Lee', ''), last: 'Lee', done: done === 1 ? 'yes' : 'no' }),
        down: ({ first, last, done, ...row }) => ({ ...row, name: `${first} ${last}`, done: done === 'yes' ? 1 : 0 }),
      },
    },
  },
}

const local: Work = runner => localMigration(runner, 'person', table => runAll(change(table))(runner))

describe.each(SERVERS)('on %s', kind => {
  let app: AppVersions
  beforeEach(() => {
    app = new AppVersions()
  })

  const upgrade = (of: Place, work: Work) => app.upgrade(of, { entities: [After], schema: 2, migrate: work })
  const serveIt = (server: Place, schema: SchemaVersions) => app.serve(server, { schema })
  const people = ({ dataSource }: Place) => dataSource.getRepository<any>('Person')
  const rowsOf = ({ dataSource }: Place) => dataSource.getRepository<any>('Person').find({ order: { id: 'ASC' } })
  const row = (id: string, first: string, done = 'no', note: string | null = null) => ({ id, note, first, last: 'Lee', done })

  /** The server is on a file; Alice's device is on the database that this is about, and has synced four rows. */
  async function begin() {
    const server = await app.server('libsql', { entities: [Before] })
    await serveIt(server, { version: 1 })
    const alice = await app.device(kind, { entities: [Before], schema: 1 })
    await people(alice).save(['Ann', 'Bob', 'Cid', 'Dan'].map(first => ({ id: first[0], name: `${first} Lee` })))
    await syncAll(alice.dataSource)
    return { server, alice }
  }

  test('nothing of it is pushed, and what was pending is, without a conflict', async () => {
    const { server, alice } = await begin()
    await people(alice).update('A', { name: 'Amy Lee' })
    await people(alice).update('B', { note: 'Alice’s' })
    await people(alice).delete('C')
    await people(alice).save({ id: 'E', name: 'Eve Lee', done: 1 })
    // that a row was made here, and did not come from another server
    const made = () => sql(alice.dataSource, 'SELECT "_sync_id" AS id FROM "sync_base_person" WHERE "_sync_removed" = 1')
    expect(await made()).toEqual([{ id: 'E' }])
    await upgrade(server, local)
    await serveIt(server, schema)
    const carol = await app.device('libsql', { entities: [After], schema: 2 })
    await syncAll(carol.dataSource)
    await people(carol).update('B', { first: 'Bea' })
    await people(carol).update('D', { done: 'yes' })
    await syncAll(carol.dataSource)

    await upgrade(alice, local)
    expect(await made()).toEqual([{ id: 'E' }])
    expect((await journal(people(alice)).pending()).map(p => p.id).sort()).toEqual(['A', 'B', 'C', 'E'])
    expect(await rowsOf(alice)).toEqual([row('A', 'Amy'), row('B', 'Bob', 'no', 'Alice’s'), row('D', 'Dan'), row('E', 'Eve', 'yes')])
    const report = await syncAll(alice.dataSource)
    expect(report).toMatchObject({ pushed: 4, conflicts: 0, unapplied: 0, rejected: 0 })
    const all = [row('A', 'Amy'), row('B', 'Bea', 'no', 'Alice’s'), row('D', 'Dan', 'yes'), row('E', 'Eve', 'yes')]
    expect(await rowsOf(server)).toEqual(all)
    expect(await rowsOf(alice)).toEqual(all)
    // what is written from now on is captured, new rows and removals too
    await people(alice).save({ id: 'F', first: 'Fay', last: 'Lee' })
    await people(alice).delete('E')
    expect(await syncAll(alice.dataSource)).toMatchObject({ pushed: 2, conflicts: 0 })
    expect(await rowsOf(server)).toEqual([...all.slice(0, 3), row('F', 'Fay')])
    app.requests = []
    expect(await syncAll(alice.dataSource)).toMatchObject({ pulled: 0, pushed: 0 })
    expect(app.requests).toHaveLength(1)
  })

  test('a device without pending changes pushes nothing, and takes what the server computed otherwise', async () => {
    const { server, alice } = await begin()
    await upgrade(server, runner => runAll([...change('"person"'), `UPDATE "person" SET "first" = 'Anna' WHERE "id" = 'A'`])(runner))
    await serveIt(server, schema)
    await upgrade(alice, local)
    expect(await hasLocalChanges(alice.dataSource)).toBe(false)
    app.requests = []
    expect(await syncAll(alice.dataSource)).toMatchObject({ pushed: 0, conflicts: 0 })
    expect(app.requests.filter(r => r.startsWith('POST'))).toEqual([])
    expect(await rowsOf(alice)).toEqual([row('A', 'Anna'), row('B', 'Bob'), row('C', 'Cid'), row('D', 'Dan')])
  })

  test('a device that skipped a version goes through both, and renames the table then', async () => {
    const { server, alice } = await begin()
    await people(alice).update('A', { name: 'Amy Lee' })
    await people(alice).update('B', { done: 1 })
    await upgrade(server, local)
    await serveIt(server, schema)
    const Renamed = new EntitySchema<any>({ ...After.options, tableName: 'human' })
    enableSync(Renamed, '/people')
    const inSteps: Work = async runner => {
      await localMigration(runner, 'person', table => runAll(change(table).slice(0, 4))(runner))
      await localMigration(runner, 'person', table => runAll(change(table).slice(4))(runner))
      await runAll(['ALTER TABLE "person" RENAME TO "human"'])(runner)
    }
    await app.upgrade(alice, { entities: [Renamed], schema: 2, migrate: inSteps })
    expect((await journal(people(alice)).pending()).map(p => p.id).sort()).toEqual(['A', 'B'])
    expect(await syncAll(alice.dataSource)).toMatchObject({ pushed: 2, conflicts: 0, unapplied: 0 })
    const all = [row('A', 'Amy'), row('B', 'Bob', 'yes'), row('C', 'Cid'), row('D', 'Dan')]
    for (const each of [alice, server]) expect(await rowsOf(each)).toEqual(all)
    expect(await hasLocalChanges(alice.dataSource)).toBe(false)
  })

  test('what the same migration changes otherwise is a change', async () => {
    const { server, alice } = await begin()
    await upgrade(server, local)
    await serveIt(server, schema)
    await upgrade(alice, async runner => {
      await local(runner)
      await runAll([`UPDATE "person" SET "note" = 'migrated' WHERE "id" = 'B'`])(runner)
    })
    expect((await journal(people(alice)).pending()).map(p => p.id)).toEqual(['B'])
    expect(await syncAll(alice.dataSource)).toMatchObject({ pushed: 1, conflicts: 0 })
    expect((await rowsOf(server))[1]).toEqual(row('B', 'Bob', 'no', 'migrated'))
  })

  test('a conflict that waits is about the properties of today afterwards', async () => {
    const { server, alice } = await begin()
    await people(alice).update('A', { name: 'Amy Lee' })
    await sql(server.dataSource, `UPDATE "person" SET "name" = 'Ada Lee', "done" = 1 WHERE "id" = 'A'`)
    expect(await syncAll(alice.dataSource)).toMatchObject({ unapplied: 1 })
    await upgrade(server, local)
    await serveIt(server, schema)
    await upgrade(alice, local)
    const seen: unknown[] = []
    await syncAll(alice.dataSource, (conflicts, ...rest) => {
      for (const { id, properties, local: own, remote, base } of conflicts)
        seen.push([id, properties, own?.first, remote?.first, base?.first])
      return preferLocalConflictHandler(conflicts, ...rest)
    })
    expect(seen).toEqual([['A', ['first'], 'Amy', 'Ada', 'Ann']])
    for (const each of [alice, server]) expect((await rowsOf(each))[0]).toEqual(row('A', 'Amy', 'yes'))
  })

  test('a push without an answer is still known to have arrived', async () => {
    const { server, alice } = await begin()
    await people(alice).update('A', { name: 'Amy Lee' })
    const lost: typeof fetch = async (input, init) => {
      const answer = await app.fetch(input, init)
      if (init?.method === 'POST') throw new TypeError('fetch failed')
      return answer
    }
    await expect(syncAll(alice.dataSource, undefined, { fetch: lost })).rejects.toMatchObject({ code: 'network' })
    await people(alice).update('A', { done: 1 })
    await upgrade(server, local)
    await serveIt(server, schema)
    await sql(server.dataSource, `UPDATE "person" SET "note" = 'there' WHERE "id" = 'A'`)
    await upgrade(alice, local)
    expect(await syncAll(alice.dataSource)).toMatchObject({ conflicts: 0, unapplied: 0 })
    for (const each of [alice, server]) expect((await rowsOf(each))[0]).toEqual(row('A', 'Amy', 'yes', 'there'))
  })

  test('on a server whose rows have scopes, clients read everything once more: nobody knows any more what left which', async () => {
    const columns = { id: { ...text, primary: true }, owner: text, name: text } as const
    const [Then, Now] = [columns, { ...columns, size: { type: 'int', default: 0 } } as const].map(some => {
      const made = new EntitySchema<any>({ name: 'Thing', tableName: 'thing', columns: some })
      enableSync(made, '/things', { scopes: ['owner'] })
      return made
    }) as [EntitySchema<any>, EntitySchema<any>]
    const options = await databaseOn(kind)
    const before = await app.open(options, false, { entities: [Then] })
    await before.getRepository('Thing').save({ id: 'a', owner: 'alice', name: 'one' })
    await before.getRepository('Thing').update('a', { owner: 'bob' })
    await before.destroy()
    const lengths = (table: string) => [
      `ALTER TABLE ${table} ADD COLUMN "size" int NOT NULL DEFAULT 0`,
      `UPDATE ${table} SET "size" = LENGTH("name")`,
    ]
    const after = await app.open(options, false, {
      entities: [Now],
      migrate: runner => localMigration(runner, 'thing', table => runAll(lengths(table))(runner)),
    })
    await app.serve({ dataSource: after })
    const [{ now, stamp }] = await sql(after, 'SELECT "now" AS now, (SELECT "_lastChange" FROM "thing") AS stamp FROM sync_clock')
    const answer = (await (await fetch(`${app.url}/things?since=${Number(now) - 1}`)).json()) as object
    expect(answer).toMatchObject({ reset: 'since-too-old', full: true, updates: [{ id: 'a', size: 3, _lastChange: Number(stamp) }] })
    await sql(after, `UPDATE "thing" SET "owner" = 'carol'`)
    expect(await sql(after, 'SELECT "_sync_id" AS id, "owner" FROM "sync_base_thing" WHERE "_sync_server" = 0')).toEqual([
      { id: 'a', owner: 'bob' },
    ])
  })

  test('an enum type that a local migration has used can be dropped later', async () => {
    if (kind !== 'postgres') return
    const { alice } = await begin()
    await upgrade(alice, async runner => {
      await runAll([`CREATE TYPE mood AS ENUM ('good', 'bad')`])(runner)
      const work = (table: string) => runAll([...change(table), `ALTER TABLE ${table} ALTER COLUMN "note" TYPE mood USING 'good'`])(runner)
      await localMigration(runner, 'person', work)
    })
    await alice.dataSource.query('ALTER TABLE person ALTER COLUMN note TYPE text')
    await alice.dataSource.query('DROP TYPE mood')
  })

  test('a migration that fails leaves everything as it was', async () => {
    if (kind === 'mysql') return // a statement that changes a table is stored at once there
    const { server, alice } = await begin()
    await people(alice).update('A', { name: 'Amy Lee' })
    const failing: Work = async runner => {
      await local(runner)
      throw new Error('disk full')
    }
    await expect(upgrade(alice, failing)).rejects.toThrow('disk full')
    alice.dataSource = await app.open(alice.options, true, { entities: [Before], schema: 1 })
    expect((await journal(people(alice)).pending()).map(p => p.id)).toEqual(['A'])
    expect(await syncAll(alice.dataSource)).toMatchObject({ pushed: 1, conflicts: 0 })
    expect((await rowsOf(server))[0]).toMatchObject({ name: 'Amy Lee' })
  })
})

test('outside of a migration it is an error, and without sync it is a migration as any', async () => {
  const options = await databaseOn('libsql')
  const dataSource = await withSync(new DataSource({ ...options, entities: [Before], synchronize: true } as DataSourceOptions)).initialize()
  await dataSource.getRepository(Before).save({ id: 'A', name: 'Ann Lee' })
  const runner = dataSource.createQueryRunner()
  await expect(local(runner)).rejects.toThrow(SyncConfigurationError)
  await runner.release()
  await dataSource.destroy()
  const own = { ...(await databaseOn('libsql')), entities: [Before] } as DataSourceOptions
  const first = await new DataSource({ ...own, synchronize: true }).initialize()
  await first.getRepository(Before).save({ id: 'A', name: 'Ann Lee' })
  await first.destroy()
  const plain = await new DataSource({ ...own, migrations: [migration(local)], migrationsRun: true }).initialize()
  expect(await plain.query('SELECT first, last FROM person')).toEqual([{ first: 'Ann', last: 'Lee' }])
  await plain.destroy()
})
