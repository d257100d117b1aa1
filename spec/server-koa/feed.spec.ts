// The feed: what changed in all collections, by one request.

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { Project, Task } from '../../examples/model.js'
import { readVersion } from '../../src/changes/rows/rows.js'
import { storeChanges } from '../../src/changes/store/storeChanges.js'
import type { Transaction } from '../../src/databases/database.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { type Answer, serverKind, startTodo, type Todo } from './todoServer.js'

const Note = new EntitySchema<{ id: string; text: string | null }>({
  name: 'Note',
  tableName: 'note',
  columns: {
    id: { type: 'varchar', length: 255, primary: true },
    text: { type: serverKind === 'mysql' ? 'longtext' : 'text', nullable: true },
  },
})
enableSync(Note, ['/noteChanges', '/notes'])

const entities = [Project, Task, Note]
const TABLES = ['note', 'project', 'task'] as const
type Table = (typeof TABLES)[number]
const pathOf = (table: Table) => `/${table}Changes`

let todo: Todo
afterEach(() => {
  jest.restoreAllMocks()
})

interface Change {
  readonly table: Table
  readonly id: string
  readonly value: Record<string, string | null> | null
}

/** Stores changes of several collections under one stamp. */
function store({ dataSource }: Todo, changes: readonly Change[]): Promise<number> {
  const log = changeLogOf(dataSource)
  return log.database.transaction(function* (): Transaction<number> {
    const stamp = yield* log.database.tick()
    const all = []
    for (const { table, id, value } of changes) {
      const collection = log.collections.find(c => c.name === table)!
      all.push({ collection, id, value, stamp, old: yield* readVersion(log.database, collection, id) })
    }
    yield* storeChanges(log, all)
    return stamp
  })
}

const row = (table: Table, id: string, text = 'x'): Change => ({ table, id, value: table === 'note' ? { text } : { name: text } })
const gone = (table: Table, id: string): Change => ({ table, id, value: null })

/** Everything that stands at the routes, in the order of the feed. */
async function whole(server: Todo, since: number) {
  const order = changeLogOf(server.dataSource).collections.map(c => c.name)
  const all: { path: string; at: number; row: any }[] = []
  for (const table of TABLES) {
    const { updates } = (await server.get(`${pathOf(table)}?since=${since}`)).json
    all.push(...updates.map((update: any) => ({ path: pathOf(table), at: order.indexOf(table), row: update })))
  }
  const compare = (x: string, y: string) => (x < y ? -1 : x > y ? 1 : 0)
  all.sort((x, y) => x.row._lastChange - y.row._lastChange || x.at - y.at || compare(x.row.id, y.row.id))
  return all.map(({ path, row }) => ({ path, row }))
}

async function pagesOf(server: Todo, query: string, between: () => unknown = () => {}): Promise<Answer[]> {
  const pages = [await server.get(`/sync?${query}`)]
  for (let next = pages[0]?.json.next; next; next = pages.at(-1)?.json.next) {
    await between()
    pages.push(await server.get(`/sync?${query}&after=${encodeURIComponent(next)}`))
  }
  return pages
}

const updatesOf = (pages: readonly Answer[]) =>
  pages.map(({ json }) => Object.keys(json.changes).flatMap(path => json.changes[path].map((row: any) => ({ path, row }))))

/** A page has the rows of a stretch of the whole, those of each collection in their order. */
function expectStretch(page: { path: string; row: any }[], stretch: { path: string; row: any }[]) {
  for (const table of TABLES) {
    const of = (rows: typeof page) => rows.filter(({ path }) => path === pathOf(table))
    expect(of(page)).toEqual(of(stretch))
  }
}

const byPlace = (x: { path: string; row: any }, y: { path: string; row: any }) =>
  `${x.row._lastChange} ${x.path} ${x.row.id}` < `${y.row._lastChange} ${y.path} ${y.row.id}` ? -1 : 1

/** The statements of one request. */
async function statementsOf(server: Todo, work: () => Promise<unknown>): Promise<string[]> {
  const { database } = changeLogOf(server.dataSource)
  const transaction = database.transaction.bind(database)
  const seen: string[] = []
  const spy = jest.spyOn(database, 'transaction').mockImplementation(((body: any, options: any) =>
    transaction(function* () {
      const steps = body()
      for (let next = steps.next(); ; ) {
        if (next.done) return next.value
        seen.push(next.value.sql)
        try {
          next = steps.next(yield next.value)
        } catch (error) {
          next = steps.throw(error)
        }
      }
    }, options)) as any)
  await work()
  spy.mockRestore()
  return seen
}

describe('a GET', () => {
  beforeAll(async () => {
    todo = await startTodo({ entities, pageBytes: 20_000, maxPageSize: 50 })
  })
  afterAll(() => todo.stop())

  test('has what changed in each collection since, and leaves out those in which nothing did', async () => {
    expect((await todo.get('/sync')).json).toEqual({ collection: expect.any(String), full: true, changes: {}, now: expect.any(Number) })
    await store(todo, [row('note', 'first')])
    const before = (await todo.get('/sync')).json
    const stamp = await store(todo, [row('task', 'milk'), row('project', 'home')])
    const { json, status, headers } = await todo.get(`/sync?since=${before.now}`)
    expect([status, headers['content-type']]).toEqual([200, 'application/json; charset=utf-8'])
    expect(json).toEqual({
      collection: before.collection,
      changes: {
        '/projectChanges': [{ id: 'home', name: 'x', _lastChange: stamp }],
        '/taskChanges': [{ id: 'milk', name: 'x', done: false, dueDate: null, tags: null, project: null, _lastChange: stamp }],
      },
      now: stamp,
    })
    await store(todo, [gone('task', 'milk')])
    expect((await todo.get(`/sync?since=${stamp}`)).json.changes).toEqual({
      '/taskChanges': [{ id: 'milk', _removed: true, _lastChange: expect.any(Number) }],
    })
  })

  test('has the collections of the paths that were asked for, and names those that it does not serve', async () => {
    const { now } = (await todo.get('/sync')).json
    await store(todo, [row('task', 'bread'), row('project', 'work'), row('note', 'one')])
    const { json } = await todo.get(`/sync?since=${now}&collections=/notes,/colorChanges,/projectChanges`)
    expect(Object.keys(json.changes).sort()).toEqual(['/notes', '/projectChanges'])
    expect(json.unknown).toEqual(['/colorChanges'])
    expect((await todo.get('/sync?collections=/colorChanges')).json).toMatchObject({ changes: {}, unknown: ['/colorChanges'] })
    for (const query of [
      'collections=/notes,/notes',
      'collections=/notes,/noteChanges',
      'collections=',
      'collections=x',
      'Collections=/notes',
    ])
      expect((await todo.get(`/sync?${query}`)).status).toBe(400)
  })

  test('names the properties for which there are columns now', async () => {
    const { json } = await todo.get('/sync?properties=/taskChanges:color,/taskChanges:done,/projectChanges:size,/colorChanges:x')
    expect(json.properties).toEqual({ '/taskChanges': ['done'] })
    expect((await todo.get('/sync?properties=/taskChanges:color')).json.properties).toEqual({})
    expect((await todo.get('/sync?properties=color')).status).toBe(400)
  })

  test('says that nothing is new, to those who have heard of the same collections: 304', async () => {
    const first = await todo.get('/sync')
    const { etag } = first.headers as { etag: string }
    const { now } = first.json
    expect(await todo.get(`/sync?since=${now}`, { 'If-None-Match': etag })).toMatchObject({ status: 304, text: '' })
    const some = await todo.get(`/sync?since=${now}&collections=/projectChanges`, { 'If-None-Match': etag })
    expect(some.status).toBe(200)
    await store(todo, [row('task', 'new')])
    expect((await todo.get(`/sync?since=${now}`, { 'If-None-Match': etag })).status).toBe(200)
    const query = `/sync?since=${now}&collections=/projectChanges`
    expect((await todo.get(query, { 'If-None-Match': some.headers.etag as string })).status).toBe(304)
    const head = await todo.ask('/sync', { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, text: '', headers: { etag: (await todo.get('/sync')).headers.etag } })
  })

  test('begins again for another history, or one that is behind', async () => {
    const { now, collection } = (await todo.get('/sync')).json
    for (const query of [
      'since=5&collection=other',
      `since=${now + 9}&collection=${collection}`,
      `since=5&min=${now + 9}&collection=${collection}`,
    ])
      expect((await todo.get(`/sync?${query}`)).json).toMatchObject({ reset: 'collection-changed', full: true, collection })
  })

  test.each(['after=rubbish', 'after=WzUsIngiLG51bGxd', 'limit=0', 'limit=x', 'since=x', 'since[]=1', 'min=-1'])('400: %s', async query => {
    expect((await todo.get(`/sync?${query}`)).status).toBe(400)
  })

  test('the tokens of an entity and of the feed are not the same', async () => {
    await store(todo, [row('task', 'a'), row('task', 'b')])
    const one = (await todo.get('/taskChanges?limit=1')).json.next
    const all = (await todo.get('/sync?limit=1')).json.next
    expect([typeof one, typeof all]).toEqual(['string', 'string'])
    expect((await todo.get(`/sync?limit=1&after=${one}`)).status).toBe(400)
    expect((await todo.get(`/taskChanges?limit=1&after=${all}`)).status).toBe(400)
  })

  test('begins again where the pages were those of other collections', async () => {
    const { next } = (await todo.get('/sync?limit=1&collections=/taskChanges,/noteChanges')).json
    const all = await todo.get(`/sync?limit=1&after=${next}`)
    expect(all.json).toEqual((await todo.get('/sync?limit=1')).json)
  })

  test('does not accept other methods', async () => {
    expect((await todo.ask('/sync', { method: 'DELETE' })).status).toBe(405)
    expect((await todo.get('/sync', { Accept: 'text/html' })).status).toBe(406)
  })
})

const changes = fc.array(
  fc.array(
    fc.record({ table: fc.constantFrom(...TABLES), id: fc.constantFrom('a', 'b', 'c', 'd', 'é', '\u{1f600}'), isGone: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 8,
    },
  ),
  { minLength: 1, maxLength: 6 },
)

async function happen(
  server: Todo,
  steps: readonly { table: Table; id: string; isGone: boolean }[][],
  size: () => number = () => 1,
): Promise<void> {
  for (const transaction of steps) {
    const once = new Map(transaction.map(c => [`${c.table} ${c.id}`, c]))
    await store(
      server,
      [...once.values()].map(({ table, id, isGone }) => (isGone ? gone(table, id) : row(table, id, 'x'.repeat(size())))),
    )
  }
}

describe('pages of a GET', () => {
  beforeAll(async () => {
    todo = await startTodo({ entities, pageBytes: 5_000 })
    await store(todo, [row('note', 'first')])
  })
  afterAll(() => todo.stop())

  test('end anywhere, and are the whole together, in order, nothing twice', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.integer({ min: 1, max: 9 }), fc.boolean(), async (steps, limit, isFull) => {
        const since = isFull ? 0 : (await todo.get('/sync?limit=1')).json.now
        await happen(todo, steps)
        const pages = await pagesOf(todo, `since=${since}&limit=${limit}`)
        const expected = await whole(todo, since)
        expect(pages.every(({ json }) => Boolean(json.full) === isFull)).toBe(true)
        expect(
          updatesOf(pages)
            .flatMap(page => page.sort(byPlace))
            .sort(byPlace),
        ).toEqual(expected.sort(byPlace))
        // every page but the last is full, and each is a stretch of the whole
        const counts = updatesOf(pages).map(page => page.length)
        expect(counts.slice(0, -1).every(count => count === limit)).toBe(true)
        const stretches = await whole(todo, since)
        let at = 0
        for (const page of updatesOf(pages)) {
          expectStretch(page, stretches.slice(at, at + page.length))
          at += page.length
        }
      }),
      { numRuns: 25 },
    )
  })

  test('end by their bytes, over all collections', async () => {
    const sizes = [10, 4_000, 10, 3_000, 2_500, 9_000, 10]
    await fc.assert(
      fc.asyncProperty(changes, fc.integer({ min: 0, max: 6 }), async (steps, from) => {
        const since = (await todo.get('/sync?limit=1')).json.now
        let nth = from
        // a name is a short text, notes are large
        await happen(
          todo,
          steps.map(transaction => transaction.map(c => ({ ...c, table: c.table === 'project' ? 'project' : 'note' }))),
          () => 1,
        )
        for (const table of ['note', 'note', 'project', 'note'] as const)
          await store(todo, [
            row(table, `n${nth}`, 'x'.repeat(table === 'note' ? (sizes[nth++ % 7] as number) : 9)),
            row('task', `t${nth}`),
          ])
        const pages = await pagesOf(todo, `since=${since}&limit=100`)
        const stretches = await whole(todo, since)
        let at = 0
        for (const page of updatesOf(pages)) {
          const notes = page.filter(({ path, row }) => path === '/noteChanges' && !row._removed).map(({ row }) => row.text?.length ?? 0)
          expect(notes.length === 1 || notes.reduce((sum, size) => sum + size, 0) <= 5_000).toBe(true)
          expectStretch(page, stretches.slice(at, at + page.length))
          at += page.length
        }
        expect(at).toBe(stretches.length)
      }),
      { numRuns: 10 },
    )
  })

  test('of a full answer have what is removed while a client reads them', async () => {
    const before = await whole(todo, 0)
    const removed = before.at(-1)!
    let isRemoved = false
    const pages = await pagesOf(todo, 'limit=3', async () => {
      if (!isRemoved) await store(todo, [gone(removed.path.slice(1, -'Changes'.length) as Table, removed.row.id)])
      isRemoved = true
    })
    const last = updatesOf(pages)
      .flat()
      .filter(({ path, row }) => path === removed.path && row.id === removed.row.id)
    expect(last).toMatchObject([{ row: { _removed: true } }])
    expect(updatesOf(pages).flat().length).toBe(before.length)
  })

  test('begin again where tombstones went meanwhile', async () => {
    const since = (await todo.get('/sync?limit=1')).json.now
    await store(todo, [row('task', 'x'), row('project', 'x'), row('note', 'x')])
    const { next, now } = (await todo.get(`/sync?since=${since}&limit=1`)).json
    const { database } = changeLogOf(todo.dataSource)
    const clock = database.clock.bind(database)
    const spy = jest.spyOn(database, 'clock').mockImplementation(function* (): any {
      return { ...(yield* clock()), horizon: now }
    })
    expect((await todo.get(`/sync?since=${since}&limit=1&after=${next}`)).json).toMatchObject({ reset: 'since-too-old', full: true })
    expect((await todo.get(`/sync?since=${since}`)).json).toMatchObject({ reset: 'since-too-old', full: true })
    spy.mockRestore()
  })

  test('are answered by a replica that has come as far, and by no other', async () => {
    const { now, collection } = (await todo.get('/sync?limit=1')).json
    const { database } = changeLogOf(todo.dataSource)
    const isReplica = database.isReplica.bind(database)
    jest.spyOn(database, 'isReplica').mockImplementation(function* (): any {
      return !(yield* isReplica())
    })
    const answer = await todo.get(`/sync?since=${now + 5}&collection=${collection}`)
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect((await todo.get(`/sync?since=${now}&collection=${collection}`)).status).toBe(200)
  })

  test('need the same statements, however many rows there are; an answer without changes needs one beside the clock', async () => {
    const { now } = (await todo.get('/sync?limit=1')).json
    const count = async (query: string) =>
      (await statementsOf(todo, () => todo.get(`/sync?${query}`))).filter(sql => !/sync_clock|PRAGMA/.test(sql))
    expect(await count(`since=${now}`)).toHaveLength(1)
    await store(
      todo,
      TABLES.map(table => row(table, 'few')),
    )
    const few = await count(`since=${now}&limit=1000`)
    await store(
      todo,
      TABLES.flatMap(table => Array.from({ length: 100 }, (_, i) => row(table, `many${i}`))),
    )
    expect(await count(`since=${now}&limit=1000`)).toHaveLength(few.length)
    // who has nothing new is not read
    const { now: then } = (await todo.get('/sync?limit=1')).json
    await store(todo, [row('project', 'only')])
    const one = await count(`since=${then}&limit=1000`)
    expect(one.filter(sql => /FROM "(note|task)" x/.test(sql))).toEqual([])
    expect(one.length).toBeLessThan(few.length)
  })
})

describe('the whole', () => {
  let many: Todo
  beforeAll(async () => {
    many = await startTodo({ entities, pageSize: 150 })
    for (let from = 0; from < 600; from += 200)
      await store(
        many,
        TABLES.flatMap(table => Array.from({ length: 200 }, (_, i) => row(table, `r${String(from + i).padStart(4, '0')}`))),
      )
  })
  afterAll(() => many.stop())

  test('is streamed, collection by collection, and has what the routes have', async () => {
    const { json } = await many.get('/sync')
    expect(Object.keys(json.changes).sort()).toEqual(TABLES.map(pathOf))
    for (const table of TABLES) expect(json.changes[pathOf(table)]).toEqual((await many.get(pathOf(table))).json.updates)
    expect(Object.keys(json)).toEqual(['collection', 'full', 'changes', 'now'])
  })

  test('in pages too', async () => {
    const pages = await pagesOf(many, 'limit=500')
    expect(updatesOf(pages).map(page => page.length)).toEqual([500, 500, 500, 300])
    expect(updatesOf(pages).flat().sort(byPlace)).toEqual((await whole(many, 0)).sort(byPlace))
  })

  test('has the first now, and what is written meanwhile comes with the next since', async () => {
    const { now: before } = (await many.get('/sync?limit=1')).json
    const { database } = changeLogOf(many.dataSource)
    const transaction = database.transaction.bind(database)
    let count = 0
    const spy = jest.spyOn(database, 'transaction').mockImplementation((async (body: any, options: any) => {
      if (++count === 4) {
        spy.mockRestore()
        await store(
          many,
          TABLES.flatMap(table => [row(table, 'r0000', 'later'), row(table, 'new', 'later')]),
        )
      }
      return transaction(body, options)
    }) as any)
    const { json } = await many.get('/sync')
    expect(json.now).toBe(before)
    const next = (await many.get(`/sync?since=${json.now}`)).json
    for (const table of TABLES) {
      const rows = new Map([...json.changes[pathOf(table)], ...next.changes[pathOf(table)]].map((update: any) => [update.id, update]))
      expect([...rows.values()].sort((x, y) => (x.id < y.id ? -1 : 1))).toEqual(
        (await many.get(pathOf(table))).json.updates.sort((x: any, y: any) => (x.id < y.id ? -1 : 1)),
      )
      expect(rows.get('new')).toBeDefined()
    }
  })

  test('is broken off where the history is reset meanwhile', async () => {
    const { database } = changeLogOf(many.dataSource)
    const clock = database.clock.bind(database)
    let count = 0
    jest.spyOn(database, 'clock').mockImplementation(function* (): any {
      const now = yield* clock()
      return ++count > 3 ? { ...now, collection: 'another' } : now
    })
    await expect(many.get('/sync')).rejects.toThrow()
  })

  test('of which a large page comes as it stood at one moment', async () => {
    const steps = jest.spyOn(changeLogOf(many.dataSource).database, 'transaction')
    const { json } = await many.get('/sync?limit=1700')
    expect(steps).toHaveBeenCalledTimes(1)
    expect(Object.values<any[]>(json.changes).flat()).toHaveLength(1700)
  })
})

test('an entity may not have the path of the feed', async () => {
  const Thief = new EntitySchema<any>({
    name: 'Thief',
    tableName: 'thief',
    columns: { id: { type: 'varchar', length: 255, primary: true } },
  })
  enableSync(Thief, '/sync')
  const server = await startTodo({ entities: [Thief] })
  expect((await server.get('/sync')).status).toBe(500)
  expect(String(server.errors[0])).toContain('has the path of the feed')
  await server.stop()
})
