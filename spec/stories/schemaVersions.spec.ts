// Clients of last year's app and this year's server, and the other way round: what is more than an addition.

import 'reflect-metadata'
import { beforeEach, describe, expect, test } from '@jest/globals'
import { EntitySchema, type EntitySchemaColumnOptions } from 'typeorm'
import {
  ClientTooOldError,
  enableSync,
  hasLocalChanges,
  journal,
  keepSynced,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  ServerTooOldError,
  syncAll,
} from 'typeorm-sync'
import type { SchemaStep, SchemaVersions } from 'typeorm-sync/server'
import { AppVersions, type Place, rowsOf, runAll } from '../support/appVersions.js'
import { openOn, SERVERS, sql } from '../support/eachDatabase.js'
import { until } from '../support/until.js'

type Columns = Record<string, EntitySchemaColumnOptions>

const text = { type: 'varchar', length: 40 } as const

/** The entity as a version of the app knows it; on the wire it has one path. */
function entity(columns: Columns): EntitySchema<any> {
  const made = new EntitySchema<any>({
    ...{ name: 'Person', tableName: 'person' },
    columns: { id: { ...text, primary: true }, note: { ...text, nullable: true }, ...columns },
  })
  enableSync(made, '/people')
  return made
}

interface Change {
  readonly what: string
  readonly before: Columns
  readonly after: Columns
  readonly statements: readonly string[]
  readonly step: SchemaStep
  /** A value of the changed properties in the words of each version, as they come: three of them. */
  readonly old: readonly [object, object, object]
  readonly now: readonly [object, object, object]
}

const CHANGES: Change[] = [
  {
    what: 'is renamed',
    before: { name: text },
    after: { title: text },
    statements: ['ALTER TABLE "person" RENAME COLUMN "name" TO "title"'],
    step: { up: ({ name, ...row }) => ({ ...row, title: name }), down: ({ title, ...row }) => ({ ...row, name: title }) },
    old: [{ name: 'one' }, { name: 'two' }, { name: 'three' }],
    now: [{ title: 'one' }, { title: 'two' }, { title: 'three' }],
  },
  {
    what: 'is split in two',
    before: { name: text },
    after: { first: { ...text, default: '' }, last: { ...text, default: '' } },
    statements: [
      `ALTER TABLE "person" ADD COLUMN "first" varchar(40) NOT NULL DEFAULT ''`,
      `ALTER TABLE "person" ADD COLUMN "last" varchar(40) NOT NULL DEFAULT ''`,
      `UPDATE "person" SET "first" = REPLACE("name", ' Lee', ''), "last" = 'Lee'`,
      'ALTER TABLE "person" DROP COLUMN "name"',
    ],
    step: {
      up: ({ name, ...row }) => ({ ...row, first: name.split(' ')[0], last: name.split(' ').slice(1).join(' ') }),
      down: ({ first, last, ...row }) => ({ ...row, name: `${first} ${last}` }),
    },
    old: [{ name: 'Ann Lee' }, { name: 'Bob Lee' }, { name: 'Cid Lee' }],
    now: [
      { first: 'Ann', last: 'Lee' },
      { first: 'Bob', last: 'Lee' },
      { first: 'Cid', last: 'Lee' },
    ],
  },
  {
    what: 'gets another type',
    before: { done: { type: 'int' } },
    after: { done: { ...text, default: 'no' } },
    statements: [
      `ALTER TABLE "person" ADD COLUMN "state" varchar(40) NOT NULL DEFAULT 'no'`,
      `UPDATE "person" SET "state" = CASE "done" WHEN 0 THEN 'no' WHEN 1 THEN 'yes' ELSE 'half' END`,
      'ALTER TABLE "person" DROP COLUMN "done"',
      'ALTER TABLE "person" RENAME COLUMN "state" TO "done"',
    ],
    step: {
      up: ({ done, ...row }) => ({ ...row, done: ['no', 'yes', 'half'][done] }),
      down: ({ done, ...row }) => ({ ...row, done: ['no', 'yes', 'half'].indexOf(done) }),
    },
    old: [{ done: 0 }, { done: 1 }, { done: 2 }],
    now: [{ done: 'no' }, { done: 'yes' }, { done: 'half' }],
  },
  {
    what: 'is removed',
    before: { name: text, color: { ...text, default: 'red' } },
    after: { name: text },
    statements: ['ALTER TABLE "person" DROP COLUMN "color"'],
    step: { up: ({ color, ...row }) => row },
    old: [
      { name: 'one', color: 'red' },
      { name: 'two', color: 'blue' },
      { name: 'three', color: 'green' },
    ],
    now: [{ name: 'one' }, { name: 'two' }, { name: 'three' }],
  },
  {
    what: 'is added, without a default',
    before: { name: text },
    after: { name: text, size: { type: 'int' } },
    statements: [`ALTER TABLE "person" ADD COLUMN "size" int NOT NULL DEFAULT 1`],
    step: { up: row => ({ size: 1, ...row }) },
    old: [{ name: 'one' }, { name: 'two' }, { name: 'three' }],
    now: [
      { name: 'one', size: 1 },
      { name: 'two', size: 1 },
      { name: 'three', size: 1 },
    ],
  },
]

describe.each(SERVERS)('on %s', kind => {
  let app: AppVersions
  beforeEach(() => {
    app = new AppVersions()
  })

  /** `schema` 0: a device that says no version. */
  const place = (entities: EntitySchema[], schema?: number) =>
    schema === undefined ? app.server(kind, { entities }) : app.device('libsql', { entities, schema })
  const upgrade = (of: Place, entities: EntitySchema[], schema: number | undefined, statements: readonly string[]) =>
    app.upgrade(of, { entities, schema, migrate: runAll(statements) })
  const serveIt = (server: Place, schema: SchemaVersions) => app.serve(server, { schema })
  const people = (of: Place) => rowsOf(of, 'person')
  const repository = ({ dataSource }: Place) => dataSource.getRepository<any>('Person')

  // that which differs between databases is in the columns; the words of a version are the same everywhere
  describe.each(kind === 'libsql' ? CHANGES : CHANGES.slice(1, 3))('a column $what:', ({ before, after, statements, step, old, now }) => {
    const [Before, After] = [entity(before), entity(after)]
    const schema: SchemaVersions = { version: 2, steps: { 2: { '/people': step } } }

    test.each([0, 1])('a device of version %s that was offline meanwhile syncs with the server of the next one', async said => {
      const server = await place([Before])
      await serveIt(server, { version: 1 })
      const alice = await place([Before], said)
      await repository(alice).save(['a', 'b', 'c', 'd'].map(id => ({ id, ...old[0] })))
      await syncAll(alice.dataSource)
      await repository(alice).update('a', old[1])
      await repository(alice).update('b', { note: 'Alice’s' })
      await repository(alice).delete('c')
      await repository(alice).save({ id: 'e', ...old[2] })

      await upgrade(server, [After], undefined, statements)
      await serveIt(server, schema)
      const carol = await place([After], 2)
      await syncAll(carol.dataSource)
      await repository(carol).update('b', now[2])
      await repository(carol).update('d', now[1])
      await syncAll(carol.dataSource)

      expect(await syncAll(alice.dataSource)).toMatchObject({ conflicts: 0, unapplied: 0, rejected: 0, unknownThere: [] })
      const lasting = (values: readonly object[]) => [
        { id: 'a', note: null, ...values[1] },
        { id: 'b', note: 'Alice’s', ...values[2] },
        { id: 'd', note: null, ...values[1] },
        { id: 'e', note: null, ...values[2] },
      ]
      expect(await people(server)).toEqual(lasting(now))
      await syncAll(alice.dataSource)
      // what has no place there any more stays as it was on the device
      const own = lasting(old).map((row, i) => ('color' in row && (i === 1 || i === 2) ? { ...row, color: 'red' } : row))
      expect(await people(alice)).toEqual(own)
      await app.expectAtRest(alice)
      await syncAll(carol.dataSource)
      expect(await people(carol)).toEqual(lasting(now))
      await app.expectAtRest(carol)
    })

    test('a device of the next version waits for the server, and keeps its edits', async () => {
      const server = await place([Before])
      await serveIt(server, { version: 1 })
      const carol = await place([After], 2)
      await repository(carol).save({ id: 'a', ...now[1] })
      const failed = syncAll(carol.dataSource)
      await expect(failed).rejects.toBeInstanceOf(ServerTooOldError)
      await expect(failed).rejects.toMatchObject({ code: 'server-too-old', status: 503, retryAfter: 60_000 })
      expect(await people(server)).toEqual([])
      expect(await journal(repository(carol)).pending()).toMatchObject([{ id: 'a' }])
      await upgrade(server, [After], undefined, statements)
      await serveIt(server, schema)
      expect(await syncAll(carol.dataSource)).toMatchObject({ pushed: 1 })
      expect(await people(server)).toEqual([{ id: 'a', note: null, ...now[1] }])
      await app.expectAtRest(carol)
    })
  })

  describe('an app that is too old', () => {
    const Before = entity({ name: text })
    const After = entity({ title: text })
    const statements = ['ALTER TABLE "person" RENAME COLUMN "name" TO "title"']
    const up = ({ name, ...row }: Record<string, any>) => ({ ...row, title: name })
    const down = ({ title, ...row }: Record<string, any>) => ({ ...row, name: title })
    const later: SchemaVersions = { version: 2, oldest: 2, steps: { 2: { '/people': { up, down } } } }

    /** Alice has synced `a`; of her push of `b` the answer was lost, `c` came after that. Then the server is another one. */
    async function begin() {
      const server = await place([Before])
      await serveIt(server, { version: 1 })
      const alice = await place([Before], 1)
      await repository(alice).save({ id: 'a', name: 'one' })
      await syncAll(alice.dataSource)
      await repository(alice).save({ id: 'b', name: 'two' })
      const lost: typeof fetch = async (input, init) => {
        const answer = await app.fetch(input, init)
        if (init?.method === 'POST') throw new TypeError('fetch failed')
        return answer
      }
      await expect(syncAll(alice.dataSource, undefined, { fetch: lost })).rejects.toMatchObject({ code: 'network' })
      await repository(alice).update('b', { note: 'later' })
      await repository(alice).save({ id: 'c', name: 'three' })
      await upgrade(server, [After], undefined, statements)
      await serveIt(server, later)
      return { server, alice }
    }

    test('is told so, keeps what was not pushed, and pushes it when it is updated', async () => {
      const { server, alice } = await begin()
      for (let times = 0; times < 2; times++) {
        const failed = syncAll(alice.dataSource)
        await expect(failed).rejects.toBeInstanceOf(ClientTooOldError)
        await expect(failed).rejects.toMatchObject({ code: 'client-too-old', status: 426, message: expect.stringContaining('update it') })
      }
      expect((await people(server)).map(r => r.title)).toEqual(['one', 'two'])
      expect((await journal(repository(alice)).pending()).map(p => p.id)).toEqual(['b', 'c'])
      await upgrade(alice, [After], 2, statements)
      expect(await syncAll(alice.dataSource)).toMatchObject({ conflicts: 0, unapplied: 0, rejected: 0 })
      const all = [
        { id: 'a', note: null, title: 'one' },
        { id: 'b', note: 'later', title: 'two' },
        { id: 'c', note: null, title: 'three' },
      ]
      expect(await people(server)).toEqual(all)
      expect(await people(alice)).toEqual(all)
      await app.expectAtRest(alice)
    })

    test('is kept in sync no further, and does not ask again and again', async () => {
      const { alice } = await begin()
      app.requests = []
      const kept = keepSynced(alice.dataSource, { interval: 50, debounce: 10 })
      await until(() => kept.status.state === 'failed')
      const { length } = app.requests
      expect(kept.status.lastError).toBeInstanceOf(ClientTooOldError)
      await repository(alice).save({ id: 'd', name: 'four' })
      await until(() => kept.status.pending === 3)
      await new Promise(resolve => setTimeout(resolve, 500))
      expect(app.requests).toHaveLength(length)
      expect(kept.status).toMatchObject({ state: 'failed', pending: 3 })
      await kept.stop()
    })
  })

  describe('an older app', () => {
    const Before = entity({ name: text })
    const After = entity({ title: text })
    const up = ({ name, ...row }: Record<string, any>) => ({ ...row, title: name })
    const down = ({ title, ...row }: Record<string, any>) => ({ ...row, name: title })
    const versions: SchemaVersions = { version: 2, steps: { 2: { '/people': { up, down } } } }

    test('is asked about a conflict in its own words, and so is a newer one', async () => {
      const server = await place([After])
      await serveIt(server, versions)
      const [alice, carol] = [await place([Before], 1), await place([After], 2)]
      await repository(alice).save(['a', 'b'].map(id => ({ id, name: id })))
      for (const { dataSource } of [alice, carol]) await syncAll(dataSource)
      await repository(alice).update('a', { name: 'Alice' })
      await repository(carol).update('a', { title: 'Carol' })
      await repository(alice).update('b', { name: 'Alice' })
      await syncAll(carol.dataSource)
      const seen: unknown[] = []
      await syncAll(alice.dataSource, (conflicts, ...rest) => {
        for (const { id, properties, local, remote, base } of conflicts) seen.push([id, properties, local?.name, remote?.name, base?.name])
        return preferLocalConflictHandler(conflicts, ...rest)
      })
      await repository(carol).update('b', { title: 'Carol' })
      await syncAll(carol.dataSource, (conflicts, ...rest) => {
        for (const { id, properties, local, remote, base } of conflicts)
          seen.push([id, properties, local?.title, remote?.title, base?.title])
        return preferRemoteConflictHandler(conflicts, ...rest)
      })
      expect(seen).toEqual([
        ['a', ['name'], 'Alice', 'Carol', 'a'],
        ['b', ['title'], 'Carol', 'Alice', 'b'],
      ])
      await syncAll(alice.dataSource)
      expect((await people(server)).map(row => row.title)).toEqual(['Alice', 'Alice'])
      for (const each of [alice, carol]) await app.expectAtRest(each)
    })

    test('syncs with a relay of today, whose server is of today', async () => {
      const server = await place([After])
      await serveIt(server, { version: 2, oldest: 2 })
      const upper = app.url
      const relay = await openOn(kind, [After], { server: upper, schema: 2 })
      await app.serve({ dataSource: relay }, { schema: versions })
      const alice = await place([Before], 1)
      await repository(alice).save({ id: 'a', name: 'one' })
      await repository(server).save({ id: 'b', title: 'two' })
      for (const dataSource of [alice.dataSource, relay, alice.dataSource]) await syncAll(dataSource)
      await repository(server).update('a', { title: 'eins' })
      await repository(alice).update('b', { name: 'zwei' })
      for (const dataSource of [relay, alice.dataSource, relay, alice.dataSource])
        expect(await syncAll(dataSource)).toMatchObject({ conflicts: 0 })
      expect((await people(server)).map(row => row.title)).toEqual(['eins', 'zwei'])
      expect((await people(alice)).map(row => row.name)).toEqual(['eins', 'zwei'])
      await app.expectAtRest(alice)
    })

    test('syncs collection by collection, where something on the way hides the feed', async () => {
      const server = await place([After])
      const hidden = async (ctx: { path: string }, next: () => Promise<unknown>) => (ctx.path === '/sync' ? undefined : next())
      await app.serve(server, { schema: versions, before: [hidden] })
      const alice = await place([Before], 1)
      await repository(alice).save(['a', 'b'].map(id => ({ id, name: id })))
      await syncAll(alice.dataSource)
      await repository(server).update('a', { title: 'there' })
      await repository(alice).update('b', { name: 'here' })
      await repository(alice).update('a', { name: 'here' })
      expect(await syncAll(alice.dataSource, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0 })
      await syncAll(alice.dataSource)
      expect((await people(server)).map(row => row.title)).toEqual(['there', 'here'])
      expect((await people(alice)).map(row => row.name)).toEqual(['there', 'here'])
      expect(await syncAll(alice.dataSource)).toMatchObject({ pulled: 0, pushed: 0, unapplied: 0 })
      expect(await hasLocalChanges(alice.dataSource)).toBe(false)
    })
  })

  test('what waits is called as the properties are, after a migration has renamed them', async () => {
    const There = entity({ name: text })
    const Here = entity({ name: text, mood: { ...text, nullable: true } })
    const After = entity({ title: text, humour: { ...text, nullable: true } })
    const rename = 'ALTER TABLE "person" RENAME COLUMN "name" TO "title"'
    const server = await place([There])
    await serveIt(server, { version: 1 })
    const alice = await place([Here], 1)
    await repository(alice).save(['a', 'b', 'c'].map(id => ({ id, name: id, mood: 'good' })))
    await syncAll(alice.dataSource)
    await repository(server).update('a', { name: 'there' })
    await repository(alice).update('a', { name: 'here' })
    expect(await syncAll(alice.dataSource)).toMatchObject({ unapplied: 1, unknownThere: ['mood'] })
    await upgrade(server, [After], undefined, [rename, 'ALTER TABLE "person" ADD COLUMN "humour" varchar(40)'])
    await upgrade(alice, [After], 2, [rename, 'ALTER TABLE "person" RENAME COLUMN "mood" TO "humour"'])
    const [conflict] = await journal(repository(alice)).conflicts()
    expect(conflict).toMatchObject({ id: 'a', properties: ['title'], remote: { title: 'there' }, local: { title: 'here' } })
    await serveIt(server, { version: 2, steps: { 2: { '/people': {} } } })
    for (let round = 0; round < 2; round++) await syncAll(alice.dataSource, preferRemoteConflictHandler)
    const all = ['there', 'b', 'c'].map((title, i) => ({ id: 'abc'[i], note: null, title, humour: 'good' }))
    for (const each of [alice, server]) expect(await people(each)).toEqual(all)
    await app.expectAtRest(alice)
  })

  test('each request says the version, also those that wait for news', async () => {
    const After = entity({ title: text })
    const server = await place([After])
    await serveIt(server, { version: 2, oldest: 2 })
    const alice = await place([After], 2)
    const kept = keepSynced(alice.dataSource, { debounce: 10 })
    await until(() => kept.status.isLive)
    await repository(server).save({ id: 'a', title: 'one' })
    await until(async () => (await people(alice)).length === 1)
    await repository(alice).save({ id: 'b', title: 'two' })
    await until(async () => (await people(server)).length === 2)
    await kept.stop()
    expect(app.requests.length).toBeGreaterThan(3)
    expect(app.requests.filter(request => !request.includes('schema=2'))).toEqual([])
  })

  test('a collection whose table and url were renamed goes on where it was', async () => {
    const columns = { id: { ...text, primary: true }, name: text } as const
    const Before = new EntitySchema<any>({ name: 'Person', tableName: 'person', columns })
    const After = new EntitySchema<any>({ name: 'Person', tableName: 'human', columns })
    enableSync(Before, '/people')
    enableSync(After, '/humans', { formerly: ['/people'] })
    const statements = ['ALTER TABLE "person" RENAME TO "human"']
    const server = await place([Before])
    await serveIt(server, { version: 1 })
    const [alice, bob] = [await place([Before], 1), await place([Before], 1)]
    await repository(alice).save(['a', 'b', 'c'].map(id => ({ id, name: id })))
    for (const { dataSource } of [alice, bob]) await syncAll(dataSource)
    for (const each of [alice, bob]) {
      await repository(each).update('a', { name: each === alice ? 'A' : 'a' })
      await repository(each).delete(each === alice ? 'b' : 'c')
    }
    await upgrade(server, [After], undefined, statements)
    await serveIt(server, { version: 2 })
    // Bob's app is the one of then
    expect(await syncAll(bob.dataSource)).toMatchObject({ pushed: 1, conflicts: 0 })
    await upgrade(alice, [After], 2, statements)
    app.requests = []
    expect(await syncAll(alice.dataSource)).toMatchObject({ pulled: 1, pushed: 2, conflicts: 0, unapplied: 0 })
    expect(app.requests[0]).toMatch(/since=[1-9].*humans/)
    await syncAll(bob.dataSource)
    const human = async (of: Place, table: string) => (await sql(of.dataSource, `SELECT "id", "name" FROM "${table}"`)) as object[]
    for (const rows of [await human(server, 'human'), await human(alice, 'human'), await human(bob, 'person')])
      expect(rows).toEqual([{ id: 'a', name: 'A' }])
    await app.expectAtRest(bob)
    await app.expectAtRest(alice)
  })
})
