import 'reflect-metadata'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { ChildEntity, Column, DataSource, Entity, EntitySchema, ManyToOne, PrimaryColumn, type Relation, TableInheritance } from 'typeorm'
import {
  type ConflictHandler,
  EnableSync,
  enableSync,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  SyncedEntity,
  syncAll,
  withSync,
} from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, type Entities, expectAtRest, expectEqual, rowsOf, startServer, testOfTrees, Wire } from './devices.js'

const varchar = { type: 'varchar' } as const

interface Note {
  id: string
  text: string
}
const columns = { id: { ...varchar, primary: true }, text: varchar } as const
const schema = new EntitySchema<Note>({ name: 'Note', tableName: 'note', columns: { ...columns } })
enableSync(schema, '/noteChanges')

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function server(entities: Entities) {
  const started = await startServer(entities)
  open.push(() => started.stop())
  return started
}
async function client(entities: Entities, url: string, options = {}): Promise<DataSource> {
  const opened = await device(entities, url, options)
  open.push(() => opened.destroy())
  return opened
}
const of = (who: DataSource) => who.getRepository<Note>('Note')
const put = (who: DataSource, id: string, text: string) => of(who).save({ id, text })
const texts = async (who: DataSource) => Object.fromEntries((await of(who).find()).map(n => [n.id, n.text]))

// ---------------------------------------------------------------- relays

/** A database that is the client of one server and the server of others. */
async function relay(entities: Entities, upstream: string) {
  const dataSource = await withSync(
    new DataSource({ type: 'better-sqlite3', driver: libsql, database: ':memory:', entities, synchronize: true }),
    {
      ...{ server: upstream, retries: 0, pageSize: 2, batchSize: 2 },
    },
  ).initialize()
  const http = new Koa().use(syncRoutes(dataSource, { public: true }).routes()).listen(0, '127.0.0.1')
  await once(http, 'listening')
  open.push(async () => {
    http.close()
    http.closeAllConnections()
    await dataSource.destroy()
  })
  return { dataSource, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
}

describe('a branch office with a relay', () => {
  async function office() {
    const main = await server([schema])
    const branch = await relay([schema], main.url)
    const alice = await client([schema], main.url)
    const [bob, carol] = [await client([schema], branch.url), await client([schema], branch.url)]
    const all = [alice, bob, branch.dataSource, carol]
    return { main, branch: branch.dataSource, alice, bob, carol, all, databases: [main.dataSource, ...all] }
  }

  test('what anybody writes gets to everybody', async () => {
    const { alice, bob, branch, all, databases } = await office()
    await put(alice, 'a', 'Alice’s')
    await put(bob, 'b', 'Bob’s')
    await put(branch, 'r', 'the relay’s own')
    await applyDecided(all)
    await expectEqual(databases, ['note'])
    await of(bob).update('a', { text: 'Bob’s' })
    await of(alice).delete('b')
    await of(branch).update('r', { text: 'edited' })
    await applyDecided(all)
    await expectEqual(databases, ['note'])
    expect(await texts(alice)).toEqual({ a: 'Bob’s', r: 'edited' })
    await expectAtRest(all)
  })

  test('a conflict across it is asked about where it meets, and its decision gets to everybody', async () => {
    const { alice, bob, branch, all, databases } = await office()
    await put(alice, 'a', 'first')
    await applyDecided(all)
    await of(alice).update('a', { text: 'Alice’s' })
    await of(bob).update('a', { text: 'Bob’s' })
    await syncAll(alice)
    await syncAll(bob)
    expect(await syncAll(branch)).toMatchObject({ unapplied: 1 })
    expect(await unappliedOf(journal(of(branch)))).toMatchObject([{ local: { text: 'Bob’s' }, remote: { text: 'Alice’s' } }])
    // Bob goes on while it is held back
    await of(bob).update('a', { text: 'Bob’s last' })
    await syncAll(bob)
    expect(await syncAll(branch, preferLocalConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0 })
    await applyDecided(all)
    await expectEqual(databases, ['note'])
    expect(await texts(alice)).toEqual({ a: 'Bob’s last' })
    await expectAtRest(all)
  })

  test('a removal meets an edit in the relay, either way', async () => {
    const { alice, bob, carol, branch, all, databases } = await office()
    for (const id of ['a', 'b', 'c', 'd']) await put(alice, id, 'first')
    await applyDecided(all)
    await of(alice).delete(['a', 'b'])
    await of(bob).update(['a', 'b'], { text: 'Bob’s' })
    await of(alice).update(['c', 'd'], { text: 'Alice’s' })
    await of(carol).delete(['c', 'd'])
    for (const each of [alice, bob, carol]) await syncAll(each)
    const handler: ConflictHandler = (conflicts, updates) => {
      for (const c of conflicts)
        (c.id < 'b' || c.id === 'c' ? preferLocalConflictHandler : preferRemoteConflictHandler)([c], updates, () => {})
    }
    expect(await syncAll(branch, handler)).toMatchObject({ conflicts: 4, unapplied: 0 })
    await applyDecided(all)
    await expectEqual(databases, ['note'])
    expect(await texts(bob)).toEqual({ a: 'Bob’s', d: 'Alice’s' })
    await expectAtRest(all)
  })
})

// ---------------------------------------------------------------- two servers

describe('an entity with two servers', () => {
  async function pair() {
    const [one, two] = [await server([schema]), await server([schema])]
    const both = new EntitySchema<Note>({ name: 'Note', tableName: 'note', columns: { ...columns } })
    enableSync(both, [`${one.url}/noteChanges`, `${two.url}/noteChanges`])
    const [alice, bob] = [await client([both], one.url), await client([both], one.url)]
    const [here, there] = [await client([schema], one.url), await client([schema], two.url)]
    return { one, two, alice, bob, here, there, databases: [one.dataSource, two.dataSource, alice, bob, here, there] }
  }
  const quiet = async ({ alice, bob, here, there }: Awaited<ReturnType<typeof pair>>, handler?: ConflictHandler) =>
    applyDecided([alice, bob, here, there], handler, 8)

  test('a row of one gets to the other, and each knows its own state', async () => {
    const world = await pair()
    const { alice, bob, here, there, one, two, databases } = world
    await put(here, 'h', 'here')
    await put(there, 't', 'there')
    await put(alice, 'a', 'Alice’s')
    await quiet(world)
    await expectEqual(databases, ['note'])
    expect((await journal(of(alice)).servers()).map(s => s.url)).toEqual([`${one.url}/noteChanges`, `${two.url}/noteChanges`])
    await expectAtRest([alice, bob], 2)

    // only one server gets it
    await of(alice).update('h', { text: 'edited' })
    const [first = '', second = ''] = (await journal(of(alice)).servers()).map(s => s.url)
    expect(await syncAll(of(alice), undefined, { url: second })).toMatchObject({ pushed: 1 })
    expect((await journal(of(alice)).pending()).map(p => p.url)).toEqual([first])
    await syncAll(there)
    expect(await texts(there)).toMatchObject({ h: 'edited' })
    expect(await texts(one.dataSource)).toMatchObject({ h: 'here' })
    await quiet(world)
    await expectEqual(databases, ['note'])
    await expectAtRest([alice, bob], 2)
    await expectAtRest([here, there])
  })

  test('a change that one server has is discarded for the other, and the first one gets that', async () => {
    const world = await pair()
    const { alice, here, databases } = world
    await put(here, 'h', 'here')
    await quiet(world)
    const [first = '', second = ''] = (await journal(of(alice)).servers()).map(s => s.url)
    for (const url of [first, second]) {
      await of(alice).update('h', { text: 'edited' })
      await syncAll(of(alice), undefined, { url: url })
      await journal(of(alice)).discard('h')
      expect(await texts(alice)).toEqual({ h: 'here' })
      expect((await journal(of(alice)).pending()).map(p => p.url)).toEqual([url])
      await quiet(world)
      await expectEqual(databases, ['note'])
      expect(await texts(alice)).toEqual({ h: 'here' })
    }
  })

  test('a removal at one server is one at the other, and no old copy brings the row back', async () => {
    const world = await pair()
    const { alice, bob, here, there, databases } = world
    await put(here, 'h', 'here')
    await quiet(world)
    await of(there).delete('h')
    await syncAll(there)
    await syncAll(alice)
    await syncAll(bob)
    await quiet(world)
    await expectEqual(databases, ['note'])
    expect(await texts(here)).toEqual({})
    // a row that came from one server is removed here before the other has heard of it
    await put(here, 'n', 'new')
    await syncAll(here)
    const [first = ''] = (await journal(of(alice)).servers()).map(s => s.url)
    await syncAll(of(alice), undefined, { url: first })
    await syncAll(bob)
    await of(alice).delete('n')
    await quiet(world, preferLocalConflictHandler)
    await expectEqual(databases, ['note'])
    await expectAtRest([alice, bob], 2)
  })

  test('edits at both servers meet on a device, and its decision gets to both', async () => {
    const world = await pair()
    const { alice, here, there, databases, bob } = world
    await put(here, 'h', 'here')
    await quiet(world)
    await of(here).update('h', { text: 'here’s' })
    await of(there).update('h', { text: 'there’s' })
    await syncAll(here)
    await syncAll(there)
    expect(await syncAll(alice)).toMatchObject({ unapplied: 1 })
    await quiet(world, preferRemoteConflictHandler)
    await expectEqual(databases, ['note'])
    await expectAtRest([alice, bob], 2)
    await expectAtRest([here, there])
  })

  test('a server that is away does not keep the other from syncing', async () => {
    const world = await pair()
    const { alice, one, two } = world
    await put(alice, 'a', 'Alice’s')
    await one.stop()
    open.splice(
      open.findIndex(close => close.toString().includes('started.stop')),
      1,
    )
    await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
    expect(await texts(two.dataSource)).toEqual({ a: 'Alice’s' })
    const [, second = ''] = (await journal(of(alice)).servers()).map(s => s.url)
    expect(await syncAll(of(alice), undefined, { url: second })).toMatchObject({ pushed: 0, requests: 1 })
    await journal(of(alice)).forget(`${one.url}/noteChanges`)
    expect((await journal(of(alice)).servers()).map(s => s.url)).toEqual([`${two.url}/noteChanges`])
    await expectEqual([two.dataSource, alice], ['note'])
  })
})

// ---------------------------------------------------------------- forms of entities

@Entity('plain_note')
class PlainNote {
  @PrimaryColumn() id!: string
  @Column() text!: string
}
enableSync(PlainNote, '/plainChanges')

@Entity('animal')
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
@EnableSync('/animalChanges')
class Animal extends SyncedEntity {
  @PrimaryColumn() tag!: string
  @Column() name!: string
}
@ChildEntity('dog')
class Dog extends Animal {
  @Column({ nullable: true }) trick!: string
}
@ChildEntity('cat')
class Cat extends Animal {
  @Column({ type: 'integer', nullable: true }) lives!: number | null
  @ManyToOne(() => Dog, { nullable: true, onDelete: 'SET NULL' }) enemy!: Relation<Dog> | null
}

test('an entity without decorators of ours, with the same class on client and server', async () => {
  const { dataSource, url } = await server([PlainNote, schema])
  const [alice, bob] = [await client([PlainNote, schema], url), await client([PlainNote, schema], url)]
  await alice.getRepository(PlainNote).save({ id: 'p', text: 'plain' })
  await put(alice, 'n', 'note')
  // whichever of them is synced, the others of its server are synced with it
  expect(await syncAll(alice.getRepository(PlainNote))).toMatchObject({
    pushed: 2,
    entities: { PlainNote: { pushed: 1 }, Note: { pushed: 1 } },
  })
  expect(await syncAll(of(alice))).toMatchObject({ pushed: 0 })
  expect(await syncAll(bob)).toMatchObject({ pulled: 2 })
  await applyDecided([alice, bob])
  await expectEqual([dataSource, alice, bob], ['note', 'plain_note'])
  await expectAtRest([alice, bob])
})

testOfTrees('dogs and cats share a table, and a key that is not called id', async () => {
  const entities = [Animal, Dog, Cat]
  const { dataSource, url } = await server(entities)
  const [alice, bob] = [await client(entities, url), await client(entities, url)]
  const rex = await alice.getRepository(Dog).save({ tag: 'd1', name: 'Rex', trick: 'roll' })
  await alice.getRepository(Cat).save({ tag: 'c1', name: 'Tom', lives: 9, enemy: rex })
  await applyDecided([alice, bob])
  const cats = bob.getRepository(Cat)
  expect(await cats.findOne({ where: { tag: 'c1' }, relations: { enemy: true } })).toMatchObject({
    name: 'Tom',
    lives: 9,
    enemy: { tag: 'd1', trick: 'roll' },
  })
  expect(await bob.getRepository(Animal).find({ order: { tag: 'ASC' } })).toEqual([expect.any(Cat), expect.any(Dog)])
  await cats.update('c1', { lives: 8 })
  await alice.getRepository(Cat).update('c1', { lives: 7 })
  await syncAll(alice)
  const seen: unknown[] = []
  await syncAll(bob, conflicts => {
    for (const c of conflicts) {
      seen.push(c.local instanceof Cat, c.remote instanceof Cat, c.local?.lives, c.remote?.lives, c.properties)
      c.takeRemote()
    }
  })
  expect(seen).toEqual([true, true, 8, 7, ['lives']])
  await bob.getRepository(Dog).delete('d1')
  await applyDecided([bob, alice])
  for (const each of [alice, bob, dataSource])
    expect(await each.query('SELECT tag, lives, "enemyTag" FROM animal')).toEqual([{ tag: 'c1', lives: 7, enemyTag: null }])
  await expectAtRest([alice, bob])
})

testOfTrees('one class, several data sources in one process', async () => {
  const { url, dataSource } = await server([Animal, Dog, Cat])
  const alice = await client([Animal, Dog, Cat], url)
  const bob = await client([Animal, Dog, Cat], url)
  Animal.useDataSource(alice)
  Dog.useDataSource(alice)
  await Dog.create({ tag: 'd1', name: 'Rex', trick: 'sit' }).save()
  expect(await Animal.hasLocalChanges()).toBe(true)
  expect(await Animal.syncAll()).toMatchObject({ pushed: 1 })
  expect(await Animal.syncJournal().pending()).toEqual([])
  Animal.useDataSource(bob)
  expect(await Animal.syncAll()).toMatchObject({ pulled: 1 })
  for (const each of [alice, bob]) expect(await each.query('SELECT tag FROM animal')).toEqual([{ tag: 'd1' }])
  expect(await dataSource.query('SELECT tag FROM animal')).toEqual([{ tag: 'd1' }])
  await expectAtRest([alice, bob])
})

// ---------------------------------------------------------------- at the same time

test('calls at the same time join, and each pushes what was written before it', async () => {
  const { url, dataSource } = await server([schema])
  const wire = new Wire()
  const alice = await client([schema], url, { fetch: wire.fetch })
  await put(alice, 'a', 'first')
  const calls = [syncAll(of(alice)), syncAll(alice), syncAll(of(alice)), syncAll(alice)]
  await put(alice, 'b', 'second')
  calls.push(syncAll(alice))
  const reports = await Promise.all(calls)
  expect(await texts(dataSource)).toEqual({ a: 'first', b: 'second' })
  // one pass that runs, one that all the others share
  expect(wire.requests.filter(r => r.method === 'GET').length).toBeLessThanOrEqual(2)
  expect(reports[1]).toEqual(reports[2])
  await expectEqual([dataSource, alice], ['note'])
  await expectAtRest([alice])
})

test('a caller without a handler who joins does not remove the handler of another', async () => {
  const { url } = await server([schema])
  const [alice, bob] = [await client([schema], url), await client([schema], url)]
  await put(alice, 'a', 'first')
  await applyDecided([alice, bob])
  await of(alice).update('a', { text: 'Alice’s' })
  await of(bob).update('a', { text: 'Bob’s' })
  await syncAll(alice)
  const [running, asked, joined] = await Promise.all([syncAll(of(bob)), syncAll(of(bob), preferLocalConflictHandler), syncAll(of(bob))])
  expect(running).toMatchObject({ unapplied: 1 })
  expect(asked).toMatchObject({ conflicts: 1, unapplied: 0 })
  expect(joined).toEqual(asked)
  await applyDecided([alice, bob])
  await expectEqual([alice, bob], ['note'])
  await expectAtRest([alice, bob])
})

test('one caller gives up, the other’s sync goes on', async () => {
  const { url, dataSource } = await server([schema])
  const wire = new Wire()
  const alice = await client([schema], url, { fetch: wire.fetch })
  await put(alice, 'a', 'first')
  const [first, second] = [new AbortController(), new AbortController()]
  const reason = new Error('closed the window')
  wire.before = (_, number) => {
    if (number === 1) first.abort(reason)
  }
  const calls = [syncAll(alice, undefined, { signal: first.signal }), syncAll(alice), syncAll(alice, undefined, { signal: second.signal })]
  second.abort(reason)
  const outcomes = await Promise.allSettled(calls)
  expect(outcomes.map(o => o.status)).toEqual(['rejected', 'fulfilled', 'rejected'])
  expect(outcomes[0]).toMatchObject({ reason })
  expect(outcomes[2]).toMatchObject({ reason })
  wire.mend()
  expect(await texts(dataSource)).toEqual({ a: 'first' })
  await expect(syncAll(alice, undefined, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  await expectEqual([dataSource, alice], ['note'])
  await expectAtRest([alice])
})

test('a handler may not wait for its own sync for ever: a call from within joins the next pass', async () => {
  const { url } = await server([schema])
  const [alice, bob] = [await client([schema], url), await client([schema], url)]
  await put(alice, 'a', 'first')
  await applyDecided([alice, bob])
  await of(alice).update('a', { text: 'Alice’s' })
  await of(bob).update('a', { text: 'Bob’s' })
  await syncAll(alice)
  let inner: Promise<unknown> | undefined
  await syncAll(bob, (conflicts, updates) => {
    inner = syncAll(bob)
    preferLocalConflictHandler(conflicts, updates, () => {})
  })
  await inner
  await applyDecided([alice, bob])
  await expectEqual([alice, bob], ['note'])
  await expectAtRest([alice, bob])
})

test('two processes have one file open and sync at the same time', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sync-'))
  open.push(() => rm(folder, { recursive: true }))
  const { url, dataSource } = await server([schema])
  const openFile = async () => {
    const file = await withSync(
      new DataSource({ type: 'better-sqlite3', driver: libsql, database: join(folder, 'file.db'), entities: [schema], synchronize: true }),
      { server: url, pageSize: 2, batchSize: 2, retries: 0 },
    ).initialize()
    open.push(() => file.destroy())
    return file
  }
  const [one, two] = [await openFile(), await openFile()]
  const bob = await client([schema], url)
  for (let i = 0; i < 7; i++) await put(bob, `b${i}`, 'Bob’s')
  await syncAll(bob)
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 5; i++) await put(one, `one ${round} ${i}`, 'one')
    const syncs = [syncAll(one), syncAll(two)]
    await put(two, `two ${round}`, 'two')
    await of(two).update(`b${round}`, { text: `two’s ${round}` })
    await Promise.all(syncs)
    await Promise.all([syncAll(two), syncAll(one), syncAll(bob)])
  }
  await applyDecided([one, bob])
  expect(await rowsOf(bob, 'note')).toHaveLength(7 + 4 * 6)
  await expectEqual([dataSource, one, two, bob], ['note'])
  await expectAtRest([one, two, bob])
})
