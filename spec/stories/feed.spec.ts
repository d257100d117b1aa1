import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import type Koa from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import {
  type ConflictHandler,
  enableSync,
  hasLocalChanges,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  syncAll,
} from 'typeorm-sync'
import { databaseOn, type Kind, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { expectAtRest, expectEqual, rowsIn, startServer, Wire, withoutFeed } from './devices.js'

// A list has items, a label belongs to an item.
const text = { type: 'varchar', length: 100 } as const
const columns = { id: { ...text, primary: true }, name: { ...text, default: '' } } as const
const childOf = (name: string, parent: string, onDelete: 'CASCADE' | 'RESTRICT' | 'SET NULL') =>
  new EntitySchema<any>({
    ...{ name, tableName: name, columns },
    relations: { [parent]: { type: 'many-to-one', target: parent, nullable: true, onDelete } },
  })
const List = new EntitySchema<any>({ name: 'list', tableName: 'list', columns })
const Item = childOf('item', 'list', 'CASCADE')
const Label = childOf('label', 'item', 'RESTRICT')
const Note = new EntitySchema<any>({ name: 'note', tableName: 'note', columns })
for (const entity of [List, Item, Label, Note]) enableSync(entity, `/${entity.options.name}s`)
const ALL = [List, Item, Label, Note]
const Branch = childOf('branch', 'branch', 'CASCADE')
enableSync(Branch, '/branches')
const TABLES = ALL.map(entity => String(entity.options.name))

const add = (of: DataSource, table: string, id: string, more: object = {}) => of.getRepository(table).insert({ id, name: id, ...more })
const rename = (of: DataSource, table: string, id: string, name: string) => of.getRepository(table).update(id, { name })
const idsOf = async (of: DataSource, table: string) => (await sql(of, `SELECT "id" FROM "${table}" ORDER BY "id"`)).map((r: any) => r.id)

async function openDevice(url: string, entities = ALL, options: object = {}) {
  const wire = new Wire()
  const device = await openOn('sqljs', entities, { server: url, fetch: wire.fetch, ...options })
  return Object.assign(device, { wire })
}

async function start(before: Koa.Middleware[] = []) {
  const server = await startServer(ALL, { before })
  const alice = await openDevice(server.url)
  const bob = await openDevice(server.url)
  return { server, alice, bob }
}

const pathsOf = (wire: Wire) => wire.requests.map(r => `${r.method} ${new URL(r.url).pathname}`)

describe.each(SERVERS)('with a server on %s', kind => {
  const device: Kind = kind === 'libsql' ? 'sqljs' : kind
  test('a list with its items, made offline, reaches another device in one POST and one GET', async () => {
    const server = await openOn(kind, ALL)
    const { url } = await serve(server)
    const [hers, his] = [new Wire(), new Wire()]
    const alice = await openOn(device, ALL, { server: url, fetch: hers.fetch })
    const bob = await openOn(device, ALL, { server: url, fetch: his.fetch })
    await add(alice, 'list', 'home')
    for (const id of ['milk', 'bread']) await add(alice, 'item', id, { list: { id: 'home' } })
    await add(alice, 'label', 'urgent', { item: { id: 'milk' } })
    expect(await syncAll(alice)).toMatchObject({ pushed: 4, requests: 2, entities: { list: { pushed: 1 }, item: { pushed: 2 } } })
    expect(pathsOf(hers)).toEqual(['GET /sync', 'POST /sync'])
    expect(await syncAll(bob)).toMatchObject({
      pulled: 4,
      requests: 1,
      unapplied: 0,
      entities: { item: { pulled: 2 }, label: { pulled: 1 } },
    })
    for (const table of TABLES) expect(await idsOf(bob, table)).toEqual(await idsOf(server, table))
    his.mend()
    await syncAll(bob)
    expect(await syncAll(bob)).toMatchObject({ requests: 1, pulled: 0, pushed: 0 })
    // and goes in the same way
    await alice.getRepository('label').delete('urgent')
    await alice.getRepository('list').delete('home')
    expect(await syncAll(alice)).toMatchObject({ requests: 2, rejected: 0, unapplied: 0 })
    expect(await syncAll(bob)).toMatchObject({ unapplied: 0, conflicts: 0 })
    for (const table of TABLES) expect(await idsOf(bob, table)).toEqual([])
    expect(await hasLocalChanges(alice)).toBe(false)
  })
})

test('what one push has stored is stored by one transaction of another device, parents and children', async () => {
  const { server, alice, bob } = await start()
  await add(alice, 'list', 'home')
  await syncAll(alice)
  await syncAll(bob)
  await rename(alice, 'list', 'home', 'Home')
  for (let i = 0; i < 90; i++) await add(alice, 'item', `i${i}`, { list: { id: 'home' } })
  await syncAll(alice)
  const seen = new Set<string>()
  const look = setInterval(async () => {
    const [{ items }] = await bob.query('SELECT count(*) AS items FROM item')
    const [{ name }] = await bob.query('SELECT name FROM list')
    seen.add(`${items} ${name}`)
  }, 0)
  await syncAll(bob)
  clearInterval(look)
  expect([...seen].filter(s => !['0 home', '90 Home'].includes(s))).toEqual([])
  await expectEqual([server.dataSource, alice, bob], TABLES)
})

test('a list that was renamed after its items were made goes with the first batch of them', async () => {
  const { server, alice, bob } = await start()
  await add(alice, 'list', 'home')
  for (let i = 0; i < 7; i++) await add(alice, 'item', `i${i}`, { list: { id: 'home' } })
  await rename(alice, 'list', 'home', 'Home')
  expect(await syncAll(alice, undefined, { batchSize: 3 })).toMatchObject({ rejected: 0 })
  expect(pathsOf(alice.wire).filter(p => p.startsWith('POST'))).toHaveLength(3)
  await syncAll(bob)
  await expectAtRest([alice, bob])
  await expectEqual([server.dataSource, alice, bob], TABLES)
})

test('a list that came along with its first items is no conflict when another device edits it before its own turn', async () => {
  const { server, alice, bob } = await start()
  await add(alice, 'list', 'home')
  for (let i = 0; i < 4; i++) await add(alice, 'item', `i${i}`, { list: { id: 'home' } })
  await rename(alice, 'list', 'home', 'Home')
  alice.wire.after = async ({ method }, n) => {
    if (method === 'POST' && n === 2) await rename(server.dataSource, 'list', 'home', 'remote')
  }
  expect(await syncAll(alice, undefined, { batchSize: 2 })).toMatchObject({ conflicts: 0, unapplied: 0, rejected: 0 })
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 0 })
  expect(await sql(alice, 'SELECT "name" FROM "list"')).toEqual([{ name: 'remote' }])
  await syncAll(bob)
  await expectAtRest([alice, bob])
  await expectEqual([server.dataSource, alice, bob], TABLES)
})

test('a list that came along with its first items, without an answer, and was removed since, is removed there', async () => {
  const { server, alice, bob } = await start()
  await add(alice, 'list', 'home')
  for (let i = 0; i < 4; i++) await add(alice, 'item', `i${i}`, { list: { id: 'home' } })
  await rename(alice, 'list', 'home', 'Home')
  alice.wire.after = ({ method }) => {
    if (method === 'POST') throw new Error('connection reset')
  }
  await expect(syncAll(alice, undefined, { batchSize: 2 })).rejects.toThrow(/could not be reached/)
  expect(await idsOf(server.dataSource, 'list')).toEqual(['home'])
  alice.wire.mend()
  await alice.getRepository('list').delete('home')
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
  await syncAll(bob)
  for (const table of TABLES) expect(await idsOf(server.dataSource, table)).toEqual([])
  await expectAtRest([alice, bob])
  await expectEqual([server.dataSource, alice, bob], TABLES)
})

describe('a push that is too large', () => {
  /** Takes bodies of so many bytes; the fiftieth push is one too many. */
  const takes = (most: number): Koa.Middleware => {
    let pushes = 0
    return (ctx, next) => {
      if (ctx.method !== 'POST') return next()
      if (++pushes > 50) throw new Error('It pushes without end.')
      if (Number(ctx.length ?? ctx.get('content-length')) <= most) return next()
      ctx.status = 413
    }
  }
  const LISTS = ['home', 'work']
  const fill = async (alice: DataSource) => {
    for (const id of LISTS) await add(alice, 'list', id)
    for (let i = 0; i < 5; i++) await add(alice, 'item', `i${i}`, { list: { id: LISTS[i % 2] } })
    for (const id of LISTS) await rename(alice, 'list', id, 'n'.repeat(100))
  }

  test('for the lists that come along with their items arrives in smaller ones', async () => {
    const { server, alice, bob } = await start([takes(230)])
    await fill(alice)
    expect(await syncAll(alice, undefined, { batchSize: 2 })).toMatchObject({ unapplied: 0, rejected: 0 })
    await syncAll(bob)
    await expectAtRest([alice, bob])
    await expectEqual([server.dataSource, alice, bob], TABLES)
  })

  test('for lists that are too large by themselves ends: they are rejected, and their items wait for them', async () => {
    const { server, alice } = await start([takes(140)])
    await fill(alice)
    expect(await syncAll(alice, undefined, { batchSize: 2 })).toMatchObject({ pushed: 0, rejected: 7 })
    expect(await journal(alice.getRepository('list')).rejected()).toMatchObject(LISTS.map(id => ({ id, code: 'too-large' })))
    expect(await journal(alice.getRepository('item')).rejected()).toMatchObject(Array(5).fill({ code: 'parent-missing' }))
    for (const id of LISTS) await rename(alice, 'list', id, id)
    expect(await syncAll(alice, undefined, { batchSize: 2 })).toMatchObject({ rejected: 0 })
    expect(await idsOf(server.dataSource, 'item')).toHaveLength(5)
    await expectAtRest([alice])
  })
})

test('a row that came along with one which needs it is removed there as well, though no stamp is free to note it', async () => {
  const server = await startServer([Branch])
  const alice = await openDevice(server.url, [Branch])
  await alice.query('UPDATE sync_clock SET now = 4000000000000') // ahead of the wall: stamps follow each other
  await syncAll(alice)
  // what a relay is posted has one stamp: the batch ends between a and z
  const relay = await serve(alice)
  const rows = ['a', 'b', 'c', 'z'].map(id => ({ id, name: '', branch: id === 'a' ? 'z' : null }))
  expect(await relay.post('/branches', rows)).toMatchObject({ status: 200 })
  alice.wire.before = () => {
    if (alice.wire.requests.filter(r => r.method === 'POST').length > 1) throw new TypeError('fetch failed')
  }
  await expect(syncAll(alice, undefined, { batchSize: 2, retries: 0 })).rejects.toMatchObject({ code: 'network' })
  expect(await idsOf(server.dataSource, 'branch')).toEqual(['a', 'b', 'z'])
  alice.wire.mend()
  await alice.query(`DELETE FROM branch WHERE id = 'z'`)
  await syncAll(alice)
  for (const database of [alice, server.dataSource]) expect(await idsOf(database, 'branch')).toEqual(['b', 'c'])
})

test('a list is not removed on the server before the items that were moved out of it, however the batches are cut', async () => {
  const { server, alice, bob } = await start()
  for (const id of ['old', 'new']) await add(alice, 'list', id)
  for (let i = 0; i < 5; i++) await add(alice, 'item', `i${i}`, { list: { id: 'old' } })
  await syncAll(alice)
  await syncAll(bob)
  await alice.getRepository('item').updateAll({ list: { id: 'new' } })
  await alice.getRepository('list').delete('old')
  // pushed later than the removal
  for (let i = 0; i < 5; i++) await rename(alice, 'item', `i${i}`, `moved ${i}`)
  expect(await syncAll(alice, undefined, { batchSize: 2 })).toMatchObject({ conflicts: 0, unapplied: 0, rejected: 0 })
  await syncAll(bob)
  expect(await idsOf(server.dataSource, 'item')).toHaveLength(5)
  expect(await idsOf(server.dataSource, 'list')).toEqual(['new'])
  await expectAtRest([alice, bob])
  await expectEqual([server.dataSource, alice, bob], TABLES)
})

test('an entity that is new in the app is read from its beginning, and the others go on from where they were', async () => {
  const server = await startServer(ALL)
  const alice = await openDevice(server.url)
  const options = await databaseOn('libsql')
  const before = await openIn(options, [List, Item], { server: server.url })
  await add(alice, 'list', 'home')
  await add(alice, 'note', 'n')
  await syncAll(alice)
  await syncAll(before)
  await before.destroy()
  await add(alice, 'item', 'milk', { list: { id: 'home' } })
  await syncAll(alice)
  const wire = new Wire()
  const after = await openIn(options, ALL, { server: server.url, fetch: wire.fetch })
  expect(await syncAll(after)).toMatchObject({ pulled: 2, pushed: 0, entities: { note: { pulled: 1 }, item: { pulled: 1 } } })
  const asked = wire.requests.map(r => [new URL(r.url).searchParams.get('collections'), new URL(r.url).searchParams.get('since') !== '0'])
  expect(asked).toEqual([
    ['/labels,/notes', false],
    ['/lists,/items,/labels,/notes', true],
  ])
  await expectAtRest([after])
})

test('an entity that the app has no more keeps its rows, is no matter of the others, and goes on where it was when it comes back', async () => {
  const server = await startServer(ALL)
  const options = await databaseOn('libsql')
  const wire = new Wire()
  const open = (entities: typeof ALL) => openIn(options, entities, { server: server.url, fetch: wire.fetch })
  const first = await open(ALL)
  for (const id of ['kept', 'gone']) await add(first, 'note', id)
  await add(first, 'list', 'home')
  await syncAll(first)
  await add(first, 'note', 'unpushed')
  await rename(first, 'note', 'kept', 'local')
  await add(first, 'item', 'milk', { list: { id: 'home' } })
  wire.after = ({ method }) => {
    if (method === 'POST') throw new Error('connection reset')
  }
  await expect(syncAll(first)).rejects.toThrow(/could not be reached/)
  wire.mend()
  await first.destroy()
  const without = await open([List, Item, Label])
  await rename(without, 'item', 'milk', 'oat milk')
  await server.dataSource.getRepository('note').delete('gone')
  await add(server.dataSource, 'note', 'new')
  expect(await syncAll(without)).toMatchObject({ conflicts: 0, merged: 0, unapplied: 0, rejected: 0 })
  expect(await hasLocalChanges(without)).toBe(false)
  expect(await idsOf(without, 'note')).toEqual(['gone', 'kept', 'unpushed'])
  await expectAtRest([without])
  await without.destroy()
  const back = await open(ALL)
  expect(await syncAll(back)).toMatchObject({ conflicts: 0, merged: 0, unapplied: 0, rejected: 0 })
  expect(await sql(back, 'SELECT "id", "name" FROM "note" ORDER BY "id"')).toEqual([
    { id: 'kept', name: 'local' },
    { id: 'new', name: 'new' },
    { id: 'unpushed', name: 'unpushed' },
  ])
  await expectAtRest([back])
  await expectEqual([server.dataSource, back], TABLES)
})

test('a server that was reset is read from its beginning by all, though an entity that is new in the app is the first to hear of it', async () => {
  const server = await startServer(ALL)
  const options = await databaseOn('libsql')
  const before = await openIn(options, [Note], { server: server.url })
  await add(server.dataSource, 'note', 'old')
  await syncAll(before)
  await add(before, 'note', 'local')
  await syncAll(before)
  await before.destroy()
  // an older database was put in the place of the server’s, and another device has written since
  await server.dataSource.query("DELETE FROM note WHERE id = 'local'")
  await server.dataSource.query('DELETE FROM sync_tombstone')
  await server.dataSource.query("UPDATE sync_clock SET collection = 'another history'")
  await add(server.dataSource, 'list', 'home')
  const after = await openIn(options, ALL, { server: server.url })
  expect(await syncAll(after)).toMatchObject({ conflicts: 0, unapplied: 0 })
  expect(await idsOf(server.dataSource, 'note')).toEqual(['local', 'old'])
  expect(await idsOf(after, 'list')).toEqual(['home'])
  await expectAtRest([after])
})

test('an entity that the server lacks is an error in the end, and the others are synced', async () => {
  const server = await startServer([List, Item])
  const alice = await openDevice(server.url)
  await add(alice, 'list', 'home')
  await add(alice, 'note', 'n')
  await expect(syncAll(alice)).rejects.toThrow(/does not sync label, note/)
  expect(await idsOf(server.dataSource, 'list')).toEqual(['home'])
  await add(alice, 'item', 'milk', { list: { id: 'home' } })
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'server', isDefinite: true })
  expect(await idsOf(server.dataSource, 'item')).toEqual(['milk'])
  expect(await journal(alice.getRepository('note')).pendingCount()).toBe(1)
  // it is not asked for them by themselves each time
  alice.wire.mend()
  await expect(syncAll(alice)).rejects.toThrow(/does not sync label, note/)
  expect(alice.wire.requests.map(r => new URL(r.url).searchParams.get('collections'))).toEqual(['/lists,/items,/labels,/notes'])
  await server.stop()
})

test('an entity that the server has gained is read from its beginning by the next sync, also by a device that knows that the server lacked it', async () => {
  const options = await databaseOn('libsql')
  const before = await openIn(options, [List, Item])
  let { url } = await serve(before)
  const was = url
  const wire = new Wire()
  const alice = await openOn('sqljs', ALL, { server: url, fetch: (input, init) => wire.fetch(String(input).replace(was, url), init) })
  await add(alice, 'list', 'home')
  await add(alice, 'note', 'local')
  for (const _ of [1, 2]) await expect(syncAll(alice)).rejects.toThrow(/does not sync label, note/)
  await before.destroy()
  const after = await openIn(options, [List, Item, Note])
  url = (await serve(after)).url
  await add(after, 'note', 'remote')
  await rename(after, 'list', 'home', 'Home')
  wire.mend()
  await expect(syncAll(alice)).rejects.toThrow(/does not sync label\./)
  const asked = wire.requests.filter(r => r.method === 'GET').map(r => new URL(r.url).searchParams.get('collections'))
  expect(asked).toEqual(['/lists,/items,/labels,/notes', '/notes', '/lists,/items,/notes,/labels'])
  for (const each of [alice, after]) expect(await idsOf(each, 'note')).toEqual(['local', 'remote'])
  expect(await sql(alice, 'SELECT "name" FROM "list"')).toEqual([{ name: 'Home' }])
  wire.mend()
  await expect(syncAll(alice)).rejects.toThrow(/does not sync label\./)
  expect(wire.requests).toHaveLength(1)
})

test('a server that has none of the entities is asked for them each time', async () => {
  const server = await startServer([List])
  const alice = await openDevice(server.url, [Note])
  for (const _ of [1, 2]) await expect(syncAll(alice)).rejects.toThrow(/does not sync note/)
  expect(pathsOf(alice.wire)).toEqual(['GET /sync', 'GET /sync'])
  await server.stop()
})

test('a handler resolves conflicts of its entity alone, and onConflict those of the others', async () => {
  const { server, alice } = await start()
  const calls: string[] = []
  const handler =
    (name: string, then: ConflictHandler<any>): ConflictHandler<any> =>
    (conflicts, updates, callback) => {
      calls.push(`${name} ${conflicts.map(c => c.entity)}`)
      return then(conflicts, updates, callback)
    }
  const bob = await openDevice(server.url, ALL, { onConflict: handler('data source', preferRemoteConflictHandler) })
  for (const table of ['list', 'note']) await add(alice, table, 'x')
  await syncAll(alice)
  await syncAll(bob)
  for (const table of ['list', 'note']) {
    await rename(alice, table, 'x', 'hers')
    await rename(bob, table, 'x', 'his')
  }
  await syncAll(alice)
  expect(await syncAll(bob.getRepository('note'), handler('call', preferLocalConflictHandler))).toMatchObject({
    ...{ conflicts: 2, unapplied: 0 },
    entities: { list: { conflicts: 1 }, note: { conflicts: 1 } },
  })
  expect(calls.sort()).toEqual(['call note', 'data source list'])
  expect(await sql(server.dataSource, 'SELECT "name" FROM "note"')).toEqual([{ name: 'his' }])
  expect(await sql(bob, 'SELECT "name" FROM "list"')).toEqual([{ name: 'hers' }])
})

test('a server that has no feed is synced collection by collection, and is asked for it no more', async () => {
  const { server, alice, bob } = await start([withoutFeed])
  await add(alice, 'list', 'home')
  await add(alice, 'item', 'milk', { list: { id: 'home' } })
  expect(await syncAll(alice)).toMatchObject({ pushed: 2, rejected: 0 })
  expect(pathsOf(alice.wire)).toEqual([
    ...['GET /sync', 'GET /lists', 'POST /lists', 'GET /items', 'POST /items', 'GET /labels', 'GET /notes'],
  ])
  alice.wire.mend()
  await syncAll(alice)
  expect(pathsOf(alice.wire)).toEqual(['GET /lists', 'GET /items', 'GET /labels', 'GET /notes'])
  await syncAll(bob)
  await expectEqual([server.dataSource, alice, bob], TABLES)
})

describe('a server that had no feed', () => {
  /** A device whose app is closed and opened again. */
  async function start() {
    const now = { hasFeed: false }
    const server = await startServer(ALL, { before: [(ctx, next) => (now.hasFeed ? next() : withoutFeed(ctx, next))] })
    const [options, wire] = [await databaseOn('libsql'), new Wire()]
    const open = () => openIn(options, ALL, { server: server.url, fetch: wire.fetch })
    return { server, wire, open, now }
  }
  const lose = (wire: Wire, isLost: (method: string, url: string) => boolean) => {
    wire.after = ({ method, url }) => {
      if (isLost(method, url)) throw new Error('connection reset')
    }
  }

  test('and has one now: a push to a route without an answer is ended there, then the feed is used', async () => {
    const { server, wire, open, now } = await start()
    const before = await open()
    lose(wire, method => method === 'POST')
    await add(before, 'list', 'home')
    await expect(syncAll(before)).rejects.toThrow(/could not be reached/)
    await rename(before, 'list', 'home', 'Home')
    await before.destroy()
    now.hasFeed = true
    wire.mend()
    const after = await open()
    expect(await syncAll(after)).toMatchObject({ conflicts: 0, merged: 0, rejected: 0 })
    expect(pathsOf(wire).slice(0, 2)).toEqual(['POST /lists', 'GET /lists'])
    expect(await sql(server.dataSource, 'SELECT "name" FROM "list"')).toEqual([{ name: 'Home' }])
    wire.mend()
    await syncAll(after)
    expect(pathsOf(wire)).toEqual(['GET /sync'])
    await expectAtRest([after])
  })

  test('and has one now begins a page of a route anew', async () => {
    const { server, wire, open, now } = await start()
    for (const id of ['a', 'b', 'c']) await add(server.dataSource, 'item', id)
    const before = await open()
    lose(wire, (_, url) => url.includes('after='))
    await expect(syncAll(before, undefined, { pageSize: 2 })).rejects.toThrow(/could not be reached/)
    expect(await before.query('SELECT page FROM sync_server WHERE page IS NOT NULL')).toHaveLength(1)
    await before.destroy()
    now.hasFeed = true
    wire.mend()
    const after = await open()
    expect(await syncAll(after)).toMatchObject({ conflicts: 0, merged: 0, rejected: 0 })
    expect(await idsOf(after, 'item')).toEqual(['a', 'b', 'c'])
    await expectAtRest([after])
  })

  test('and has one now: a push to it without an answer is ended there by clients that still use the routes', async () => {
    const { server, wire, open, now } = await start()
    const before = await open()
    await syncAll(before)
    now.hasFeed = true
    // another process of the same app
    const other = await open()
    await add(other, 'list', 'home')
    lose(wire, method => method === 'POST')
    await expect(syncAll(other)).rejects.toThrow(/could not be reached/)
    await other.destroy()
    wire.mend()
    await rename(before, 'list', 'home', 'Home')
    expect(await syncAll(before)).toMatchObject({ conflicts: 0, merged: 0, rejected: 0, unapplied: 0 })
    expect(pathsOf(wire).slice(0, 2)).toEqual(['POST /sync', 'GET /lists'])
    expect(await sql(server.dataSource, 'SELECT "name" FROM "list"')).toEqual([{ name: 'Home' }])
  })

  test('answers for the others while a route, whose push got no answer, is away', async () => {
    const { server, wire, open } = await start()
    const before = await open()
    lose(wire, method => method === 'POST')
    await add(before, 'list', 'home')
    await expect(syncAll(before)).rejects.toThrow(/could not be reached/)
    await before.destroy()
    await add(server.dataSource, 'note', 'news')
    wire.mend()
    wire.before = ({ url }) => (url.includes('/lists') ? new Response('{"title":"Busy"}', { status: 503 }) : undefined)
    const after = await open()
    await expect(syncAll(after)).rejects.toMatchObject({ status: 503 })
    expect(await idsOf(after, 'note')).toEqual(['news'])
    wire.mend()
    expect(await syncAll(after)).toMatchObject({ conflicts: 0, merged: 0 })
    expect(await hasLocalChanges(after)).toBe(false)
  })
})

test('a push to the feed, without an answer, is ended there; an edit made since follows', async () => {
  const { server, alice, bob } = await start()
  await add(alice, 'list', 'home')
  await add(alice, 'item', 'milk', { list: { id: 'home' } })
  alice.wire.after = request => {
    if (request.method === 'POST') throw new Error('connection reset')
  }
  await expect(syncAll(alice)).rejects.toThrow(/could not be reached/)
  alice.wire.mend()
  await rename(alice, 'item', 'milk', 'oat milk')
  await rename(server.dataSource, 'list', 'home', 'Home')
  expect(await syncAll(alice)).toMatchObject({ pulled: 1, conflicts: 0, merged: 0, unapplied: 0 })
  const [ended] = alice.wire.requests
  expect([ended?.method, rowsIn(ended?.body)]).toEqual(['POST', []])
  await syncAll(bob)
  await expectAtRest([alice, bob])
  await expectEqual([server.dataSource, alice, bob], TABLES)
})
