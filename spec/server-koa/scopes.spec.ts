// Who may see and change which rows: the attacks of a caller who speaks HTTP, on each kind of database.

import { expect, test } from '@jest/globals'
import type { Context } from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { collectTombstones, keys, type Rule, rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

interface Project {
  id: string
  name: string
}
const Project = new EntitySchema<Project>({
  ...{ name: 'Project', tableName: 'project' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, name: { type: 'varchar', length: 64, unique: true } },
})
enableSync(Project, '/projects')

interface Member {
  id: string
  user: string
  role: string
  project: string
}
const Member = new EntitySchema<Member>({
  ...{ name: 'Member', tableName: 'member' },
  columns: {
    id: { type: 'varchar', length: 64, primary: true },
    user: { type: 'varchar', length: 64 },
    role: { type: 'varchar', length: 64 },
  },
  relations: { project: { type: 'many-to-one', target: 'Project', joinColumn: { name: 'project' }, nullable: false, onDelete: 'CASCADE' } },
})
enableSync(Member, '/members', { scopes: ['project'] })

interface Task {
  id: string
  title: string
  owner: string | null
  project: { id: string } | string | null
}
const Task = new EntitySchema<Task>({
  ...{ name: 'Task', tableName: 'task' },
  columns: {
    id: { type: 'varchar', length: 64, primary: true },
    title: { type: 'varchar', length: 64 },
    owner: { type: 'varchar', length: 64, nullable: true },
  },
  relations: { project: { type: 'many-to-one', target: 'Project', joinColumn: { name: 'project' }, nullable: true, onDelete: 'CASCADE' } },
})
enableSync(Task, '/tasks', { scopes: ['owner', 'project'] })

interface Note {
  id: string
  owner: string
  project: string | null
}
const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, owner: { type: 'varchar', length: 64 } },
  relations: { project: { type: 'many-to-one', target: 'Project', joinColumn: { name: 'project' }, nullable: true, onDelete: 'CASCADE' } },
})
enableSync(Note, '/notes', { scopes: ['owner'] })

interface Country {
  id: string
}
const Country = new EntitySchema<Country>({
  ...{ name: 'Country', tableName: 'country' },
  columns: { id: { type: 'varchar', length: 64, primary: true } },
})
enableSync(Country, '/countries')

const Secret = new EntitySchema<Country>({
  ...{ name: 'Secret', tableName: 'secret' },
  columns: { id: { type: 'varchar', length: 64, primary: true } },
})
enableSync(Secret, '/secrets')

const ENTITIES = [Project, Member, Task, Note, Country, Secret]
const mine = (p: { id: string }) => keys<Member>(Member, 'project', { user: p.id })
const owned = (p: { id: string }) => keys<Member>(Member, 'project', { user: p.id, role: 'owner' })
const rules = [
  rule<Project>(Project, { read: p => ({ id: mine(p) }), write: p => ({ id: owned(p) }) }),
  rule<Member>(Member, { read: p => ({ project: mine(p) }), write: p => ({ project: owned(p) }) }),
  rule<Task>(Task, { read: p => [{ owner: p.id }, { project: mine(p) }], dangling: ['project'] }),
  // whoever sees a note may give it away
  rule<Note>(Note, { read: p => ({ owner: p.id }), write: { update: () => true }, dangling: ['project'] }),
  rule<Country>(Country, { read: () => true, write: () => false }),
]

const principal = (ctx: Context) => {
  const [, id] = /^Bearer (\w+)$/.exec(ctx.get('Authorization')) ?? []
  return id ? { id } : undefined
}

interface Answer {
  readonly status: number
  readonly json: any
  readonly etag: string | null
}

async function open(kind: (typeof SERVERS)[number], entities: EntitySchema<any>[], rules: Rule[]) {
  const statements: string[] = []
  const there = await openOn(kind, entities, { beforeStatement: sql => void statements.push(sql) })
  const { url, errors } = await serve(there, { principal, rules })
  const ask = async (user: string, path: string, init: RequestInit = {}): Promise<Answer> => {
    const response = await fetch(url + path, { ...init, headers: { authorization: `Bearer ${user}`, ...init.headers } })
    const text = await response.text()
    return { status: response.status, json: text ? JSON.parse(text) : undefined, etag: response.headers.get('etag') }
  }
  const get = (user: string, query = 'since=0', headers: Record<string, string> = {}) => ask(user, `/sync?${query}`, { headers })
  const push = (user: string, changes: Record<string, object[]>, query = '') =>
    ask(user, `/sync?${query}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ changes }) })
  return { there, statements, errors, ask, get, push }
}

async function world(kind: (typeof SERVERS)[number]) {
  const opened = await open(kind, ENTITIES, rules)
  const { there } = opened
  await there.getRepository(Project).save([
    { id: 'p1', name: 'one' },
    { id: 'p2', name: 'two' },
  ])
  await there.getRepository<any>(Member).save([
    { id: 'm1', user: 'alice', role: 'owner', project: 'p1' },
    { id: 'm2', user: 'bob', role: 'member', project: 'p1' },
    { id: 'm3', user: 'bob', role: 'owner', project: 'p2' },
  ])
  await there.getRepository<any>(Task).save([
    { id: 't1', title: 'in p1', owner: null, project: 'p1' },
    { id: 't2', title: 'in p2', owner: null, project: 'p2' },
    { id: 'ta', title: 'of alice', owner: 'alice', project: null },
    { id: 'tb', title: 'of bob', owner: 'bob', project: null },
  ])
  await there.getRepository<any>(Note).save({ id: 'nb', owner: 'bob', project: 'p1' })
  await there.getRepository(Country).save({ id: 'de' })
  await there.getRepository(Secret).save({ id: 's' })
  return opened
}

/** Stamps may be ahead of the time. */
const ALL = { olderThan: -60_000 }

const idsIn = ({ json }: Answer) =>
  Object.fromEntries(
    Object.entries(json.changes as Record<string, any[]>).map(([path, rows]) => [
      path,
      rows.map(r => (r._left ? `${r.id} left` : r._removed ? `${r.id} removed` : r.id)).sort(),
    ]),
  )

/** Everything that is stored of the entities. */
const contents = async (there: DataSource) => {
  const tables = [
    ...ENTITIES.map(e => e.options.tableName as string),
    ...OWN_TABLES,
    ...ENTITIES.map(e => `sync_base_${e.options.tableName}`),
  ]
  const rows = await Promise.all(tables.map(table => sql(there, `SELECT * FROM "${table}"`)))
  return rows.map((some, i) => [tables[i], ...some.map((row: object) => JSON.stringify(row)).sort()].join('\n')).join('\n')
}
const OWN_TABLES = ['sync_clock', 'sync_tombstone', 'sync_scope', 'sync_push', 'sync_server', 'sync_stamp']

test.each(SERVERS)('each sees what their keys open, and nothing else (%s)', async kind => {
  const { get, ask, errors } = await world(kind)
  const alice = await get('alice')
  expect(idsIn(alice)).toEqual({ '/projects': ['p1'], '/members': ['m1', 'm2'], '/tasks': ['t1', 'ta'], '/countries': ['de'] })
  expect(alice.json).toMatchObject({ full: true, scoped: ['/projects', '/members', '/tasks', '/notes'], scope: expect.any(String) })
  expect(idsIn(await get('bob'))).toEqual({
    ...{ '/projects': ['p1', 'p2'], '/members': ['m1', 'm2', 'm3'], '/tasks': ['t1', 't2', 'tb'], '/notes': ['nb'], '/countries': ['de'] },
  })
  expect(idsIn(await get('carol'))).toEqual({ '/countries': ['de'] })
  expect((await ask('alice', '/secrets?since=0')).status).toBe(404)
  expect((await ask('alice', '/tasks?since=0')).json.updates.map((r: any) => r.id)).toEqual(['t1', 'ta'])
  expect((await get('', 'since=0')).status).toBe(401)
  expect(errors).toEqual([])
})

test.each(SERVERS)('what is new within the keys is told, and nothing is where nothing is (%s)', async kind => {
  const { there, get } = await world(kind)
  const { now, scope } = (await get('alice')).json
  const query = `since=${now}&scope=${scope}`
  const idle = await get('alice', query)
  expect(idle.json.changes).toEqual({})
  await there.getRepository<any>(Task).save({ id: 'tb', title: 'others' })
  expect((await get('alice', query, { 'if-none-match': String(idle.etag) })).status).toBe(304)
  await there.getRepository<any>(Task).save({ id: 't1', title: 'changed' })
  expect(idsIn(await get('alice', query, { 'if-none-match': String(idle.etag) }))).toEqual({ '/tasks': ['t1'] })
  await there.getRepository<any>(Task).delete(['tb', 'ta'])
  expect(idsIn(await get('alice', query))).toEqual({ '/tasks': ['t1', 'ta removed'] })
})

test.each(SERVERS)('what leaves a key goes from those who saw it there alone (%s)', async kind => {
  const { there, get } = await world(kind)
  const [alice, bob] = [await get('alice'), await get('bob')]
  const after = ({ json }: Answer) => `since=${json.now}&scope=${json.scope}`
  await there.getRepository<any>(Task).save({ id: 't1', project: 'p2' })
  expect(idsIn(await get('alice', after(alice)))).toEqual({ '/tasks': ['t1 left'] })
  expect(idsIn(await get('bob', after(bob)))).toEqual({ '/tasks': ['t1'] })
  await there.getRepository<any>(Task).save({ id: 't1', project: 'p1' })
  expect(idsIn(await get('alice', after(alice)))).toEqual({ '/tasks': ['t1'] })
  await there.getRepository<any>(Task).delete('t1')
  // one line for each time that it left: the last one counts
  expect(idsIn(await get('alice', after(alice)))).toEqual({ '/tasks': ['t1 left', 't1 removed'] })
  expect(idsIn(await get('bob', after(bob)))['/tasks']).toContain('t1 removed')
})

test.each(SERVERS)('a grant brings its rows whatever their age, a revocation takes them, pages or not (%s)', async kind => {
  const { there, get } = await world(kind)
  const first = (await get('alice')).json
  await there.getRepository<any>(Member).save({ id: 'm4', user: 'alice', role: 'member', project: 'p2' })
  const granted = await get('alice', `since=${first.now}&scope=${first.scope}`)
  expect(idsIn(granted)).toEqual({ '/projects': ['p2'], '/members': ['m3', 'm4'], '/tasks': ['t2'] })
  expect(granted.json.full).toBeUndefined()
  expect(granted.json.scope).not.toBe(first.scope)
  const paged: Record<string, any[]> = {}
  for (let [next, scope] = ['' as string | undefined, first.scope]; next !== undefined; scope = '') {
    const page: Answer = await get('alice', `since=${first.now}&scope=${scope}&limit=1${next && `&after=${encodeURIComponent(next)}`}`)
    for (const [path, rows] of Object.entries(idsIn(page))) paged[path] = [...(paged[path] ?? []), ...rows]
    next = page.json.next
  }
  expect(paged).toEqual(idsIn(granted))
  await there.getRepository<any>(Member).delete('m4')
  const revoked = await get('alice', `since=${granted.json.now}&scope=${granted.json.scope}`)
  expect(idsIn(revoked)).toEqual({ '/projects': ['p2 left'], '/members': ['m3 left', 'm4 removed'], '/tasks': ['t2 left'] })
  expect(revoked.json.scope).toBe(first.scope)
})

test.each(SERVERS)('a set that the server does not know is answered with everything (%s)', async kind => {
  const { get } = await world(kind)
  const { now, scope } = (await get('alice')).json
  const bob = (await get('bob')).json
  for (const other of ['nonsense', bob.scope, '']) {
    const answer = (await get('alice', `since=${now}&scope=${other}`)).json
    expect(answer).toMatchObject({ full: true, reset: 'scope-unknown', scope })
    expect(Object.keys(answer.changes)).toHaveLength(4)
  }
})

test.each(SERVERS)('a client of 2012 gets what its set gained, and removals for what it lost (%s)', async kind => {
  const { there, ask } = await world(kind)
  const tasks = (since: number) => ask('alice', `/tasks?since=${since}`)
  const first = (await tasks(0)).json
  await there.getRepository<any>(Member).save({ id: 'm4', user: 'alice', role: 'member', project: 'p2' })
  const granted = (await tasks(first.now)).json
  expect(granted.updates.map((r: any) => r.id)).toEqual(['t2'])
  await there.getRepository<any>(Member).delete('m4')
  const revoked = (await tasks(granted.now)).json
  expect(revoked.updates).toMatchObject([{ id: 't2', _removed: true }])
  expect((await tasks(revoked.now)).json.updates).toEqual([])
})

test.each(SERVERS)('a user whose name a collation takes for another’s is somebody else (%s)', async kind => {
  const { get, push } = await world(kind)
  expect(idsIn(await get('ALICE'))).toEqual({ '/countries': ['de'] })
  const task = { id: 'tn', title: 'x', owner: 'alice', project: null }
  expect(await push('ALICE', { '/tasks': [task] })).toMatchObject({ status: 422, json: { errors: [{ code: 'not-allowed' }] } })
})

const POISON: [string, string, (now: number) => Record<string, object[]>, object][] = [
  [
    'a part of a row that is not seen',
    'alice',
    () => ({ '/tasks': [{ id: 'tb', _partial: true, title: 'x' }] }),
    { status: 409, changes: { '/tasks': [{ id: 'tb', _removed: true, _lastChange: 0 }] } },
  ],
  [
    'a part of an unknown row',
    'alice',
    () => ({ '/tasks': [{ id: 'nix', _partial: true, title: 'x' }] }),
    { status: 409, changes: { '/tasks': [{ id: 'nix', _removed: true, _lastChange: 0 }] } },
  ],
  ['the removal of a row that is not seen', 'alice', () => ({ '/tasks': [{ id: 'tb', _removed: true }] }), { status: 200 }],
  ['the removal of a parent that is not seen', 'alice', () => ({ '/projects': [{ id: 'p2', _removed: true }] }), { status: 200 }],
  [
    'a whole row under the id of one that is not seen',
    'alice',
    () => ({ '/tasks': [{ id: 'tb', title: 'x', owner: 'alice' }] }),
    { status: 422, errors: [{ id: 'tb', code: 'not-allowed' }] },
  ],
  [
    'a row that is seen and not to be changed',
    'bob',
    () => ({ '/projects': [{ id: 'p1', _partial: true, name: 'x' }] }),
    { status: 422, errors: [{ id: 'p1', code: 'not-allowed' }] },
  ],
  [
    'the removal of a row that is seen and not to be changed',
    'bob',
    () => ({ '/members': [{ id: 'm1', _removed: true }] }),
    { status: 422, errors: [{ id: 'm1', code: 'not-allowed' }] },
  ],
  [
    'a right that one gives oneself',
    'alice',
    () => ({ '/members': [{ id: 'mx', user: 'alice', role: 'owner', project: 'p2' }] }),
    { status: 422 },
  ],
  [
    'a right that a row with a borrowed id brings',
    'alice',
    () => ({
      '/tasks': [{ id: 'p2', title: 'x', owner: 'alice', project: null }],
      '/members': [{ id: 'mx', user: 'alice', role: 'owner', project: 'p2' }],
    }),
    { status: 422 },
  ],
  [
    'a role that one takes',
    'bob',
    () => ({ '/members': [{ id: 'm2', _partial: true, role: 'owner' }] }),
    { status: 422, errors: [{ id: 'm2', code: 'not-allowed' }] },
  ],
  [
    'a row that one pushes on others by a second key',
    'alice',
    () => ({ '/tasks': [{ id: 'ta', _partial: true, project: 'p2' }] }),
    { status: 422 },
  ],
  [
    'a new row in a project that is not seen',
    'alice',
    () => ({ '/tasks': [{ id: 'tn', title: 'x', owner: 'alice', project: 'p2' }] }),
    { status: 422 },
  ],
  [
    'a row that hangs on one that is not seen',
    'alice',
    () => ({ '/notes': [{ id: 'nn', owner: 'alice', project: 'p2' }] }),
    { status: 422, errors: [{ id: 'nn', property: 'project', code: 'parent-missing' }] },
  ],
  [
    'a row that hangs on one that is not there',
    'alice',
    () => ({ '/notes': [{ id: 'nn', owner: 'alice', project: 'nix' }] }),
    { status: 422, errors: [{ id: 'nn', property: 'project', code: 'parent-missing' }] },
  ],
  [
    'a removal that takes along rows that are not seen',
    'alice',
    () => ({ '/projects': [{ id: 'p1', _removed: true }] }),
    { status: 422, errors: [{ id: 'p1', code: 'children-exist' }] },
  ],
  [
    'a row that one gives to another, and that is not one’s own',
    'alice',
    () => ({ '/notes': [{ id: 'nb', owner: 'alice', project: 'p1' }] }),
    { status: 422, errors: [{ id: 'nb', code: 'not-allowed' }] },
  ],
  [
    'a row that one makes one’s own before one changes it',
    'bob',
    () => ({
      '/projects': [{ id: 'p1', _partial: true, name: 'x' }],
      '/members': [{ id: 'm9', user: 'bob', role: 'owner', project: 'p1' }],
    }),
    { status: 422 },
  ],
  [
    'a row that is for everybody to read',
    'alice',
    () => ({ '/countries': [{ id: 'fr' }] }),
    { status: 422, errors: [{ id: 'fr', code: 'not-allowed' }] },
  ],
  ['a row of an entity without a rule', 'alice', () => ({ '/secrets': [{ id: 'x' }] }), { status: 422, unknown: ['/secrets'] }],
  [
    'an owner that one makes of another',
    'alice',
    () => ({ '/tasks': [{ id: 'tn', title: 'x', owner: 'bob', project: null }] }),
    { status: 422, errors: [{ id: 'tn', code: 'not-allowed' }] },
  ],
  [
    'a unique value of a row that is not seen',
    'alice',
    () => ({ '/projects': [{ id: 'p1', _partial: true, name: 'two' }] }),
    { status: 422, errors: [{ id: 'p1', code: 'not-unique' }] },
  ],
]

test.each(SERVERS)('what a caller may not do stores nothing (%s)', async kind => {
  const { there, get, push, errors } = await world(kind)
  for (const [what, user, changes, wanted] of POISON) {
    const { now, scope } = (await get(user)).json
    const before = await contents(there)
    const answer = await push(user, changes(now), `since=${now}&scope=${scope}`)
    const { status, ...json } = wanted as { status: number }
    expect([what, answer.status]).toEqual([what, status])
    expect({ what, ...answer.json }).toMatchObject({ what, ...json })
    expect([what, await contents(there)]).toEqual([what, before])
  }
  expect(errors).toEqual([])
})

interface Seat {
  id: string
  user: string
  board: string
}
const Seat = new EntitySchema<Seat>({
  ...{ name: 'Seat', tableName: 'seat' },
  columns: {
    id: { type: 'varchar', length: 64, primary: true },
    user: { type: 'varchar', length: 64 },
    board: { type: 'varchar', length: 64 },
  },
})
enableSync(Seat, '/seats', { scopes: ['board'] })

interface Card {
  id: string
  owner: string
  board: string | null
}
const Card = new EntitySchema<Card>({
  ...{ name: 'Card', tableName: 'card' },
  columns: {
    id: { type: 'varchar', length: 64, primary: true },
    owner: { type: 'varchar', length: 64 },
    board: { type: 'varchar', length: 64, nullable: true },
  },
})
enableSync(Card, '/cards', { scopes: ['owner', 'board'] })

/** Where no relation says that a board is not seen, the rules alone close it. */
test.each(SERVERS)('a scope without a relation opens to nobody by a push (%s)', async kind => {
  const boards = (p: { id: string }) => keys<Seat>(Seat, 'board', { user: p.id })
  const { there, get, push } = await open(
    kind,
    [Seat, Card],
    [rule<Seat>(Seat, { read: p => ({ board: boards(p) }) }), rule<Card>(Card, { read: p => [{ owner: p.id }, { board: boards(p) }] })],
  )
  await there.getRepository(Seat).save([
    { id: 's1', user: 'alice', board: 'b1' },
    { id: 's2', user: 'bob', board: 'b2' },
  ])
  await there.getRepository(Card).save({ id: 'ca', owner: 'alice', board: null })
  const { now, scope } = (await get('alice')).json
  const seat = { id: 'sx', user: 'alice', board: 'b2' }
  for (const [changes, id] of [
    [{ '/cards': [{ id: 'ca', _partial: true, board: 'b2' }] }, 'ca'],
    [{ '/seats': [seat] }, 'sx'],
    [{ '/cards': [{ id: 'b2', owner: 'alice', board: null }], '/seats': [seat] }, 'sx'],
  ] as [Record<string, object[]>, string][])
    expect(await push('alice', changes, `since=${now}&scope=${scope}`)).toMatchObject({
      status: 422,
      json: { errors: [{ id, code: 'not-allowed' }] },
    })
  const allowed = { '/cards': [{ id: 'ca', _partial: true, board: 'b1' }], '/seats': [{ ...seat, user: 'carol', board: 'b1' }] }
  expect(await push('alice', allowed, `since=${now}&scope=${scope}`)).toMatchObject({ status: 200 })
})

/** What is not seen, and what is not there. */
const ALIKE: [string, Record<string, object[]>, Record<string, object[]>][] = [
  ['a part of a row', { '/tasks': [{ id: 'tb', _partial: true, title: 'x' }] }, { '/tasks': [{ id: 'nix', _partial: true, title: 'x' }] }],
  ['a removal', { '/tasks': [{ id: 'tb', _removed: true }] }, { '/tasks': [{ id: 'nix', _removed: true }] }],
  ['the removal of a parent', { '/projects': [{ id: 'p2', _removed: true }] }, { '/projects': [{ id: 'nix', _removed: true }] }],
]

test.each(SERVERS)('what is not seen is answered like what is not there, word for word, by as many statements (%s)', async kind => {
  const { get, push, statements } = await world(kind)
  for (const [what, unseen, unknown] of ALIKE) {
    const { now, scope } = (await get('alice')).json
    const ask = async (changes: Record<string, object[]>) => {
      statements.length = 0
      const { status, json } = await push('alice', changes, `since=${now}&scope=${scope}`)
      return { what, status, text: JSON.stringify(json).replaceAll(/"(tb|p2)"/g, '"nix"'), count: statements.length }
    }
    await ask(unknown)
    expect(await ask(unseen)).toEqual(await ask(unknown))
  }
})

test.each(SERVERS)('a push is judged by as many statements, however many rows it has (%s)', async kind => {
  const { there, get, push, statements } = await world(kind)
  const counts: number[] = []
  for (const rows of [5, 50]) {
    const tasks = Array.from({ length: rows }, (_, i) => ({ id: `${rows}-${i}`, title: 'x', owner: 'alice', project: { id: 'p1' } }))
    await there.getRepository<any>(Task).save(tasks)
    const { now, scope } = (await get('alice')).json
    statements.length = 0
    const changes = { '/tasks': tasks.map(({ id }) => ({ id, _partial: true, title: 'y' })) }
    expect(await push('alice', changes, `since=${now}&scope=${scope}`)).toMatchObject({ status: 200 })
    counts.push(statements.length)
  }
  expect(counts[1]).toBe(counts[0])
})

test.each(SERVERS)('a client of 2012 writes within the rules (%s)', async kind => {
  const { there, ask } = await world(kind)
  const post = (rows: object[]) =>
    ask('alice', '/tasks', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(rows) })
  await ask('alice', '/tasks?since=0')
  const before = await contents(there)
  const whole = { title: 'x', owner: 'alice', project: null }
  expect(await post([{ id: 'tb', ...whole }])).toMatchObject({ status: 422, json: { errors: [{ id: 'tb', code: 'not-allowed' }] } })
  expect(await post([{ id: 'tb', _removed: true }])).toMatchObject({ status: 200 })
  expect(await contents(there)).toBe(before)
  expect(await post([{ id: 'tn', ...whole }])).toMatchObject({ status: 200, json: { status: 'ok' } })
})

test.each(SERVERS)('a caller with too many keys is told how many, by the entity (%s)', async kind => {
  const { there, get, errors } = await world(kind)
  // and one of Task, by its owner
  const some = Array.from({ length: 999 }, (_, i) => i)
  await there.getRepository(Project).insert(some.map(i => ({ id: `many${i}`, name: `many ${i}` })))
  await there.getRepository<any>(Member).insert(some.map(i => ({ id: `many${i}`, user: 'dora', role: 'member', project: `many${i}` })))
  expect((await get('dora')).json.changes['/projects']).toHaveLength(999)
  await there.getRepository<any>(Member).insert(['p1', 'p2'].map(project => ({ id: project, user: 'dora', role: 'member', project })))
  expect((await get('dora')).status).toBe(500)
  expect(String(errors[0])).toMatch(/1001 keys of Project; 1000 are possible/)
})

test.each(SERVERS)('a list and its membership are made in one push, and its tasks with them (%s)', async kind => {
  const { there, get, push } = await world(kind)
  const { now, scope } = (await get('alice')).json
  const answer = await push(
    'alice',
    {
      '/tasks': [{ id: 'tn', title: 'first', owner: null, project: 'pn' }],
      '/members': [{ id: 'mn', user: 'alice', role: 'owner', project: 'pn' }],
      '/projects': [{ id: 'pn', name: 'new' }],
    },
    `since=${now}&scope=${scope}`,
  )
  expect(answer).toMatchObject({ status: 200 })
  expect(await there.getRepository(Task).countBy({ id: 'tn' })).toBe(1)
  expect(idsIn(await get('alice', `since=${now}&scope=${scope}`))).toEqual({ '/projects': ['pn'], '/members': ['mn'], '/tasks': ['tn'] })
})

test.each(SERVERS)('a push that was made under other keys is read for first (%s)', async kind => {
  const { there, get, push } = await world(kind)
  const { now, scope } = (await get('bob')).json
  await there.getRepository<any>(Member).delete('m2')
  const answer = await push('bob', { '/tasks': [{ id: 't1', _partial: true, title: 'x' }] }, `since=${now}&scope=${scope}`)
  expect(answer).toMatchObject({ status: 409, json: { reset: 'scope-changed' } })
  expect(await push('bob', {}, `since=${now}&scope=${scope}`)).toMatchObject({ status: 200 })
})

test.each(SERVERS)('a row that one gives away is read as one that left (%s)', async kind => {
  const { there, get, push } = await world(kind)
  await there.getRepository<any>(Note).save({ id: 'na', owner: 'alice', project: null })
  const { now, scope } = (await get('alice')).json
  const given = await push('alice', { '/notes': [{ id: 'na', _partial: true, owner: 'bob' }] }, `since=${now}&scope=${scope}`)
  // without `since` the client reads on from where it was
  expect(given).toMatchObject({ status: 200, json: { status: 'ok' } })
  expect(given.json.since).toBeUndefined()
  expect(idsIn(await get('alice', `since=${now}&scope=${scope}`))).toEqual({ '/notes': ['na left'] })
  const kept = await push('bob', { '/notes': [{ id: 'na', _partial: true, project: 'p1' }] }, `since=${given.json.now}`)
  expect(kept).toMatchObject({ status: 200, json: { since: expect.any(Number) } })
})

test.each(SERVERS)('a page belongs to its sets and to its caller (%s)', async kind => {
  const { there, get } = await world(kind)
  const members = there.getRepository<any>(Member)
  const first = (await get('alice')).json
  await there.getRepository<any>(Task).save({ id: 't1', project: 'p2' })
  await members.save({ id: 'm4', user: 'alice', role: 'member', project: 'p2' })
  const page = (await get('alice', `since=${first.now}&scope=${first.scope}&limit=1`)).json
  const next = (user: string) => get(user, `since=${first.now}&scope=&limit=1&after=${encodeURIComponent(page.next)}`)
  expect((await next('alice')).json).not.toHaveProperty('reset')
  // another caller's is as if there were none
  expect((await next('bob')).json).toMatchObject({ full: true, reset: 'scope-unknown' })
  await members.delete('m4')
  expect((await next('alice')).json).toMatchObject({ full: true, reset: 'scope-changed' })
})

test.each(SERVERS)('a page is begun anew where exits that it would tell were collected meanwhile (%s)', async kind => {
  const { there, get } = await world(kind)
  const first = (await get('alice')).json
  await there.getRepository<any>(Task).save({ id: 't1', project: null })
  await there.getRepository<any>(Member).save({ id: 'm4', user: 'alice', role: 'member', project: 'p2' })
  const page = (await get('alice', `since=${first.now}&scope=${first.scope}&limit=1`)).json
  const next = () => get('alice', `since=${first.now}&scope=&limit=100&after=${encodeURIComponent(page.next)}`)
  expect(idsIn(await next())['/tasks']).toContain('t1 left')
  // what collectTombstones begins with; it forgets old sets when it is done
  await sql(there, 'UPDATE sync_clock SET horizon = now')
  expect((await next()).json).toMatchObject({ full: true, reset: 'since-too-old' })
})

test.each(SERVERS)('sets are forgotten with tombstones, the last ones of users who do not come back as well (%s)', async kind => {
  const { there, get } = await world(kind)
  const grant = (id: string, project: string) => there.getRepository<any>(Member).save({ id, user: 'alice', role: 'member', project })
  const names = async () =>
    (await sql(there, 'SELECT name FROM sync_scope ORDER BY principal, stamp')).map((row: { name: string }) => row.name)
  await get('bob')
  await get('alice')
  await grant('m4', 'p2')
  const { now, scope } = (await get('alice')).json
  expect((await names()).length).toBe(3)
  await collectTombstones(there, { olderThan: 180 * 24 * 60 * 60 * 1000 })
  expect((await names()).length).toBe(3)
  await collectTombstones(there, ALL)
  expect(await names()).toEqual([])
  // who holds the same set as before reads on, and it is noted anew
  const answer = (await get('alice', `since=${now}&scope=${scope}`)).json
  expect([answer.reset, answer.full, await names()]).toEqual([undefined, undefined, [scope]])
  await collectTombstones(there, ALL)
  await sql(there, `DELETE FROM member WHERE id = 'm4'`)
  expect((await get('alice', `since=${answer.now}&scope=${scope}`)).json).toMatchObject({ full: true, reset: 'scope-unknown' })
})

test.each(SERVERS)('exits are collected with tombstones, and who lacks them reads everything (%s)', async kind => {
  const { there, get } = await world(kind)
  const { now, scope } = (await get('alice')).json
  await there.getRepository<any>(Task).save({ id: 't1', project: 'p2' })
  await there.getRepository<any>(Task).save({ id: 'ta', title: 'later' })
  await collectTombstones(there, ALL)
  expect((await get('alice', `since=${now}&scope=${scope}`)).json).toMatchObject({ full: true, reset: 'since-too-old' })
})
