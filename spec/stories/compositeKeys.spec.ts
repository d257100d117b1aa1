// Entities whose key has several columns: who is a member of which list, what a product costs in which year.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import {
  Column,
  DataSource,
  type DataSourceOptions,
  Entity,
  JoinColumn,
  ManyToOne,
  type MigrationInterface,
  PrimaryColumn,
  type QueryRunner,
  type Relation,
  Unique,
} from 'typeorm'
import { EnableSync, hasLocalChanges, journal, preferLocalConflictHandler, resolveEach, syncAll } from 'typeorm-sync'
import { rule } from 'typeorm-sync/server-koa'
import { databaseOn, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

@Entity('list')
@EnableSync('/lists')
class List {
  @PrimaryColumn('varchar', { length: 36 })
  id!: string

  @Column('varchar', { length: 50 })
  name!: string
}

@Entity('member')
@EnableSync('/members', { scopes: ['listId'] })
class Member {
  @PrimaryColumn('varchar', { length: 36, name: 'list_id' })
  listId!: string

  @PrimaryColumn('varchar', { length: 40 })
  user!: string

  @ManyToOne(() => List, { onDelete: 'CASCADE', onUpdate: 'CASCADE' })
  @JoinColumn({ name: 'list_id' })
  list!: Relation<List>

  @Column('varchar', { length: 20, default: 'guest' })
  role!: string

  @Column('varchar', { length: 20, nullable: true })
  color!: string | null
}

@Entity('price')
@EnableSync('/prices')
class Price {
  @PrimaryColumn('varchar', { length: 60 })
  product!: string

  @PrimaryColumn('bigint')
  year!: string

  @Column('integer')
  cents!: number
}

@Entity('note')
@EnableSync('/notes')
class Note {
  @PrimaryColumn('varchar', { length: 20 })
  tenant!: string

  @PrimaryColumn('integer')
  id!: number

  @Column('varchar', { length: 50 })
  text!: string
}

@Entity('seat')
@EnableSync('/seats')
@Unique(['room', 'isBest'])
class Seat {
  @PrimaryColumn('varchar', { length: 20 })
  room!: string

  @PrimaryColumn('integer')
  number!: number

  @Column('boolean')
  isBest!: boolean
}

const ENTITIES = [List, Member, Price, Note, Seat]

const members = async (who: DataSource) =>
  (await sql(who, 'SELECT * FROM "member" ORDER BY "list_id", "user"')).map(
    (m: any) => `${m._sync_key} ${m.list_id} ${m.user} ${m.role} ${m.color}`,
  )
const prices = async (who: DataSource) =>
  (await sql(who, 'SELECT * FROM "price" ORDER BY "product", "year"')).map((p: any) => `${p._sync_key} ${p.product} ${p.cents}`)

class Change1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const own = (text: string) => (runner.connection.options.type === 'mariadb' ? text.replaceAll('"', '`') : text)
    await runner.query(own(`UPDATE "price" SET "cents" = 7 WHERE "product" = 'a/b'`))
    await runner.query(own(`UPDATE "price" SET "year" = 3 WHERE "product" = 'b'`))
    await runner.query(own(`INSERT INTO "price" ("product", "year", "cents") VALUES ('c', 1, 1)`))
  }

  async down(): Promise<void> {}
}

async function expectEqual(all: readonly DataSource[]): Promise<void> {
  const [first, ...others] = await Promise.all(all.map(async who => [await members(who), await prices(who)]))
  for (const other of others) expect(other).toEqual(first)
}

describe.each(SERVERS)('on %s', kind => {
  async function start() {
    const server = await openOn(kind, ENTITIES)
    const { url, post, errors } = await serve(server)
    const alice = await openOn('sqljs', ENTITIES, { server: url })
    const bob = await openOn(kind, ENTITIES, { server: url })
    const both = async () => {
      for (const who of [alice, bob, alice]) await syncAll(who)
      await expectEqual([server, alice, bob])
      for (const who of [alice, bob]) expect(await hasLocalChanges(who)).toBe(false)
    }
    return { server, url, post, errors, alice, bob, both }
  }

  test('rows with a key of several columns travel, change, merge and go', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(List).save({ id: 'l1', name: 'Shopping' })
    await alice.getRepository(Member).save({ listId: 'l1', user: 'alice', role: 'owner' })
    await bob.getRepository(Price).save([
      { product: 'a/b~c', year: '2026', cents: 5 },
      { product: 'a', year: '-9007199254740993', cents: 7 },
    ])
    await both()
    expect(await members(server)).toEqual(['l1/alice l1 alice owner null'])
    expect(await prices(alice)).toEqual(['a/-9007199254740993 a 7', 'a~1b~0c/2026 a/b~c 5'])

    // to different properties of one row
    await alice.getRepository(Member).update({ listId: 'l1', user: 'alice' }, { role: 'admin' })
    await sql(bob, `UPDATE "member" SET "color" = 'red'`)
    await both()
    expect(await members(server)).toEqual(['l1/alice l1 alice admin red'])
    expect(await bob.getRepository(Member).find({ relations: { list: true } })).toEqual([
      { listId: 'l1', user: 'alice', role: 'admin', color: 'red', list: { id: 'l1', name: 'Shopping' } },
    ])

    await alice.getRepository(Price).delete({ product: 'a' })
    await sql(bob, `INSERT INTO "member" ("list_id", "user") VALUES ('l1', 'bob')`)
    await both()
    expect(await prices(server)).toEqual(['a~1b~0c/2026 a/b~c 5'])
    expect(await members(server)).toEqual(['l1/alice l1 alice admin red', 'l1/bob l1 bob guest null'])
  })

  test('a changed part of a key is a removal and a new row', async () => {
    const { server, alice, bob, both } = await start()
    await sql(bob, `INSERT INTO "price" ("product", "year", "cents") VALUES ('a', 1, 5), ('b', 1, 6)`)
    await both()
    await sql(bob, `UPDATE "price" SET "year" = 2 WHERE "product" = 'a'`)
    await sql(alice, `UPDATE "price" SET "product" = 'c' WHERE "product" = 'b'`)
    await both()
    expect(await prices(server)).toEqual(['a/2 a 5', 'c/1 c 6'])
    expect(await sql(server, 'SELECT "id" FROM "sync_tombstone" ORDER BY "id"')).toEqual([{ id: 'a/1' }, { id: 'b/1' }])
    // back again
    await sql(alice, `UPDATE "price" SET "year" = 1 WHERE "product" = 'a'`)
    await sql(server, `UPDATE "price" SET "product" = 'b' WHERE "product" = 'c'`)
    await both()
    expect(await prices(alice)).toEqual(['a/1 a 5', 'b/1 b 6'])
  })

  test('a removed parent takes its rows along, those that were made elsewhere too', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(List).save([
      { id: 'l1', name: 'Shopping' },
      { id: 'l2', name: 'Work' },
    ])
    for (const listId of ['l1', 'l2']) await alice.getRepository(Member).save({ listId, user: 'alice' })
    await both()
    await sql(alice, `DELETE FROM "list" WHERE "id" = 'l1'`)
    await sql(server, `DELETE FROM "list" WHERE "id" = 'l2'`)
    await both()
    expect(await members(bob)).toEqual([])
    expect(await sql(server, 'SELECT "id" FROM "sync_tombstone" ORDER BY "id"')).toEqual(
      ['l1', 'l1/alice', 'l2', 'l2/alice'].map(id => ({ id })),
    )
  })

  test('rows follow the changed key of their parent, as other rows', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(List).save({ id: 'l1', name: 'Shopping' })
    await alice.getRepository(Member).save({ listId: 'l1', user: 'alice' })
    await both()
    for (const [who, from, to] of [
      [server, 'l1', 'l2'],
      [bob, 'l2', 'l3'],
      [alice, 'l3', 'l1'],
      [server, 'l1', 'l3'],
    ] as const) {
      await sql(who, `UPDATE "list" SET "id" = '${to}' WHERE "id" = '${from}'`)
      await both()
      expect(await members(server)).toEqual([`${to}/alice ${to} alice guest null`])
      expect(await sql(server, `SELECT "id" FROM "sync_tombstone" WHERE "collection" = 'member' AND "id" LIKE '${from}/%'`)).toHaveLength(1)
      expect(await sql(server, `SELECT "id" FROM "sync_tombstone" WHERE "collection" = 'member' AND "id" LIKE '${to}/%'`)).toEqual([])
    }
  })

  test('two devices make the same row: their values conflict, not their keys', async () => {
    const { server, alice, bob } = await start()
    await alice.getRepository(Price).save({ product: 'a', year: '1', cents: 5 })
    await bob.getRepository(Price).save({ product: 'a', year: '1', cents: 6 })
    await syncAll(alice)
    const asked: unknown[] = []
    await syncAll(
      bob,
      resolveEach<Price>(conflict => {
        const { id, properties, local } = conflict
        asked.push([id, properties, local?.product, Number(local?.year)])
        return { product: 'elsewhere', year: '1', cents: 11 }
      }),
    )
    expect(asked).toEqual([['a/1', ['cents'], 'a', 1]])
    await syncAll(alice, preferLocalConflictHandler)
    await expectEqual([server, alice, bob])
    expect(await prices(server)).toEqual(['a/1 a 11'])
    expect(await journal(alice.getRepository(Price)).conflicts()).toEqual([])
  })

  test('a posted row has the key that its id says', async () => {
    const { server, post } = await start()
    const row = { id: 'a/1', product: 'a', year: 1, cents: 5 }
    const refused = async (changed: object) => {
      const { status, json } = await post('/prices', [{ ...row, ...changed }])
      expect([status, changed]).toEqual([422, changed])
      return json.errors[0]
    }
    expect(await refused({ product: 'b' })).toMatchObject({ property: 'id', code: 'not-valid', detail: expect.stringContaining('product') })
    expect(await refused({ year: '2' })).toMatchObject({ property: 'id', code: 'not-valid' })
    for (const id of ['a', 'a/1/2', 'a/01', 'a/x', 'a~2/1', 'a/'])
      expect(await refused({ id })).toMatchObject({ property: 'id', code: 'not-valid' })
    expect((await post('/prices', [{ id: 'a/1', cents: 5 }])).status).toBe(422)
    expect((await post('/prices', [row, { id: 'a/2', product: 'a', year: '2', cents: 5 }])).status).toBe(200)
    expect((await post('/prices', [{ id: 'a/1', year: 3 }])).status).toBe(422)
    expect((await post('/prices', [{ id: 'a/1', cents: 6 }])).status).toBe(200)
    expect((await post('/prices', [{ id: 'a/2', _removed: true }])).status).toBe(200)
    expect(await prices(server)).toEqual(['a/1 a 6'])
  })

  test('a part that is called id is not the id of the row', async () => {
    const { alice, bob, both, post, url } = await start()
    await alice.getRepository(Note).save({ tenant: 't', id: 7, text: 'Milk' })
    await both()
    expect((await (await fetch(`${url}/notes`)).json()).updates).toEqual([
      { id: 't/7', tenant: 't', _id: 7, text: 'Milk', _lastChange: expect.any(Number) },
    ])
    await alice.getRepository(Note).save({ tenant: 't', id: 7, text: 'Bread' })
    await bob.getRepository(Note).save({ tenant: 't', id: 7, text: 'Butter' })
    await syncAll(alice)
    const repository = bob.getRepository(Note)
    await syncAll(
      repository,
      resolveEach<Note>(({ local, remote }) => ({ ...local, text: `${local?.text}, ${remote?.text}` })),
    )
    await syncAll(alice)
    expect(await alice.getRepository(Note).find()).toEqual([{ tenant: 't', id: 7, text: 'Butter, Bread' }])
    await alice.getRepository(Note).save({ tenant: 't', id: 7, text: 'a' })
    await bob.getRepository(Note).save({ tenant: 't', id: 7, text: 'b' })
    await syncAll(alice)
    await syncAll(bob)
    await journal(repository).resolve('t/7', { tenant: 't', id: 7, text: 'c' })
    await both()
    expect(await alice.getRepository(Note).find()).toEqual([{ tenant: 't', id: 7, text: 'c' }])
    expect((await post('/notes', [{ id: 't/8', tenant: 't', _id: 9, text: 'x' }])).status).toBe(422)
  })

  test('two rows exchange a unique value that a part of their key belongs to', async () => {
    const { server, alice, both } = await start()
    const seats = alice.getRepository(Seat)
    await seats.insert([
      { room: 'a', number: 1, isBest: true },
      { room: 'a', number: 2, isBest: false },
    ])
    await both()
    await seats.clear()
    await seats.insert([
      { room: 'a', number: 1, isBest: false },
      { room: 'a', number: 2, isBest: true },
    ])
    await both()
    expect(await server.getRepository(Seat).find({ order: { number: 'ASC' } })).toEqual(await seats.find({ order: { number: 'ASC' } }))
    expect(await journal(seats).rejected()).toEqual([])
  })

  test('rows from before, and what a migration changes', async () => {
    const options = await databaseOn(kind)
    const before = await new DataSource({ ...options, entities: ENTITIES, synchronize: true } as DataSourceOptions).initialize()
    await sql(before, `INSERT INTO "price" ("product", "year", "cents") VALUES ('a/b', 1, 5), ('b', 2, 6)`)
    await before.destroy()
    const server = await openIn({ ...options, migrations: [Change1700000000000] } as DataSourceOptions, ENTITIES)
    const { url } = await serve(server)
    const alice = await openOn('sqljs', ENTITIES, { server: url })
    await syncAll(alice)
    expect(await prices(alice)).toEqual(['a~1b/1 a/b 5', 'b/2 b 6'])
    await server.runMigrations()
    await syncAll(alice)
    expect(await prices(alice)).toEqual(['a~1b/1 a/b 7', 'b/3 b 6', 'c/1 c 1'])
    expect(await prices(server)).toEqual(await prices(alice))
    await sql(alice, `UPDATE "price" SET "cents" = 8 WHERE "product" = 'c'`)
    await syncAll(alice)
    expect(await prices(server)).toEqual(await prices(alice))
  })

  test('synchronize has nothing to do the second time', async () => {
    const { server, alice, bob, both } = await start()
    await bob.getRepository(Price).save({ product: 'a', year: '1', cents: 5 })
    await both()
    for (const who of [server, alice, bob]) {
      expect((await who.driver.createSchemaBuilder().log()).upQueries.map(q => q.query)).toEqual([])
      await who.synchronize()
    }
    await both()
    await sql(server, `UPDATE "price" SET "cents" = 6`)
    await both()
    expect(await prices(alice)).toEqual(['a/1 a 6'])
  })

  test('a write that takes the place of a row is seen', async () => {
    const { server, alice, bob, both } = await start()
    await bob.getRepository(Price).save({ product: 'a', year: '1', cents: 5 })
    await both()
    await bob.getRepository(Price).upsert({ product: 'a', year: '1', cents: 6 }, ['product', 'year'])
    await both()
    expect(await prices(server)).toEqual(['a/1 a 6'])
    // both sides know the version before: no conflict
    await sql(alice, `UPDATE "price" SET "cents" = 7`)
    await sql(alice, `INSERT OR REPLACE INTO "price" ("product", "year", "cents") VALUES ('a', 1, 8), ('b', 1, 1)`)
    await both()
    await sql(alice, `UPDATE OR REPLACE "price" SET "product" = 'a' WHERE "product" = 'b'`)
    await both()
    expect(await prices(server)).toEqual(['a/1 a 1'])
  })

  test('who loses a list loses its members, by a scope that is a part of the key', async () => {
    const server = await openOn(kind, ENTITIES)
    const lists: Record<string, string[]> = { alice: ['l1', 'l2'], bob: ['l1'] }
    const { url } = await serve(server, {
      principal: ctx => ({ id: ctx.get('authorization') }),
      rules: [
        rule(List, { read: p => ({ id: lists[p.id]! }) }),
        rule(Member, { read: p => ({ listId: lists[p.id]! }) }),
        ...[Price, Note, Seat].map(entity => rule<object>(entity, { read: () => true })),
      ],
    })
    const alice = await openOn('sqljs', ENTITIES, { server: url, headers: { Authorization: 'alice' } })
    const bob = await openOn(kind, ENTITIES, { server: url, headers: { Authorization: 'bob' } })
    for (const id of ['l1', 'l2']) {
      await alice.getRepository(List).save({ id, name: id })
      await alice.getRepository(Member).save({ listId: id, user: 'x' })
    }
    await syncAll(alice)
    await syncAll(bob)
    expect(await members(bob)).toEqual(['l1/x l1 x guest null'])
    // the row leaves as its key does
    await sql(server, `UPDATE "member" SET "list_id" = 'l2', "user" = 'y' WHERE "list_id" = 'l1'`)
    await syncAll(bob)
    expect(await members(bob)).toEqual([])
    lists.bob = ['l2']
    await syncAll(bob)
    expect(await members(bob)).toEqual(['l2/x l2 x guest null', 'l2/y l2 y guest null'])
    lists.bob = []
    await syncAll(bob)
    expect(await members(bob)).toEqual([])
    await syncAll(alice)
    expect(await members(alice)).toEqual(await members(server))
  })
})

test('a row that comes with another key than its id says waits, and nothing else does', async () => {
  const server = await openOn('libsql', ENTITIES)
  const { url } = await serve(server)
  let isWrong = true
  const alice = await openOn('sqljs', ENTITIES, {
    server: url,
    fetch: async (input, init) => {
      const response = await fetch(input, init)
      const text = await response.text()
      const body = response.status === 304 ? null : isWrong ? text.replaceAll('"product":"a"', '"product":"x"') : text
      return new Response(body, { status: response.status, headers: response.headers })
    },
  })
  const deferred = async () => (await journal(alice.getRepository(Price)).deferred()).map(({ id, reason }) => [id, reason])
  await server.getRepository(Price).insert([
    { product: 'a', year: '1', cents: 5 },
    { product: 'b', year: '1', cents: 5 },
  ])
  await syncAll(alice)
  expect([await prices(alice), await deferred()]).toEqual([['b/1 b 5'], [['a/1', 'not-valid']]])
  isWrong = false
  await sql(server, 'UPDATE "price" SET "cents" = 6')
  await syncAll(alice)
  expect([await prices(alice), await deferred()]).toEqual([['a/1 a 6', 'b/1 b 6'], []])
  isWrong = true
  await sql(server, 'UPDATE "price" SET "cents" = 7')
  await syncAll(alice)
  expect([await prices(alice), await deferred()]).toEqual([['a/1 a 6', 'b/1 b 7'], [['a/1', 'not-valid']]])
})
