// News without being asked: the held GET and the stream of events, over real HTTP, on each kind of database.

import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import Koa, { type Context } from 'koa'
import compress from 'koa-compress'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { keys, rule, type SyncRoutesOptions, syncRoutes } from 'typeorm-sync/server-koa'
import { databaseOn, openIn, openOn, SERVERS, sql } from '../support/eachDatabase.js'
import { listen } from '../support/events.js'
import { LIMIT, sleep, until } from '../support/until.js'

interface Row {
  id: string
  owner: string
  team: string | null
}
const columns = {
  id: { type: 'varchar', length: 64, primary: true },
  owner: { type: 'varchar', length: 64 },
  team: { type: 'varchar', length: 64, nullable: true },
} as const
const Task = new EntitySchema<Row>({ name: 'LiveTask', tableName: 'live_task', columns })
enableSync(Task, '/liveTasks', { scopes: ['owner', 'team'] })
const Note = new EntitySchema<Row>({ name: 'LiveNote', tableName: 'live_note', columns })
enableSync(Note, '/liveNotes', { scopes: ['owner', 'team'] })
/** Memberships, which are not synced. */
const Member = new EntitySchema<{ id: string; user: string; team: string }>({
  ...{ name: 'LiveMember', tableName: 'live_member' },
  columns: {
    id: { type: 'varchar', length: 64, primary: true },
    user: { type: 'varchar', length: 64 },
    team: { type: 'varchar', length: 64 },
  },
})
const rules = [
  rule<Row>(Task, { read: p => [{ owner: p.id }, { team: keys(Member, 'team', { user: p.id }) }] }),
  rule<Row>(Note, { read: p => ({ owner: p.id }) }),
]

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const principal = (ctx: Context) => ({
  id: ctx.get('user'),
  ...(ctx.get('expires') && { expires: Number(ctx.get('expires')) }),
})

async function serve(there: DataSource, options: Partial<SyncRoutesOptions>, before: Koa.Middleware[] = []) {
  const app = new Koa()
  const errors: unknown[] = []
  app.on('error', error => errors.push(error))
  for (const middleware of before) app.use(middleware)
  app.use(syncRoutes(there, { watchInterval: 50, ...options } as any))
  const server: Server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const get = async (query: string, headers: Record<string, string> = {}, method = 'GET') => {
    const response = await fetch(`${url}/sync?${query}`, { headers, method })
    const text = await response.text()
    return { status: response.status, headers: response.headers, json: text ? JSON.parse(text) : undefined }
  }
  const post = (rows: object[], headers: Record<string, string> = {}, path = '/liveTasks') =>
    fetch(`${url}/sync`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ changes: { [path]: rows } }),
    })
  return { url, get, post, server, errors }
}

async function publicWorld(kind: (typeof SERVERS)[number] = 'libsql', options: Partial<SyncRoutesOptions> = {}) {
  const there = await openOn(kind, [Task, Note, Member])
  await there.getRepository(Task).insert({ id: 'a', owner: 'alice' })
  return { there, ...(await serve(there, { public: true, ...options })) }
}

async function ruledWorld(kind: (typeof SERVERS)[number] = 'libsql', options: Partial<SyncRoutesOptions> = {}) {
  const there = await openOn(kind, [Task, Note, Member])
  await there.getRepository(Task).insert([
    { id: 'a', owner: 'alice' },
    { id: 't', owner: 'alice', team: 'blue' },
  ])
  return { there, ...(await serve(there, { rules, principal, ...options })) }
}

const raw = (there: DataSource, id: string, owner = 'alice') =>
  sql(there, `INSERT INTO "live_task" ("id", "owner") VALUES (?, ?)`, [id, owner])

describe.each(SERVERS)('on %s', kind => {
  test('a GET that waits is answered when somebody posts, or the application writes', async () => {
    const { there, get, post } = await publicWorld(kind)
    let { json } = await get('since=0')
    const { headers } = await get(`since=${json.now}`)
    const etag = headers.get('etag') as string
    for (const write of [() => post([{ id: 'b', owner: 'x' }]), () => raw(there, 'c')]) {
      const start = Date.now()
      const waiting = get(`since=${json.now}`, { prefer: 'wait=55' })
      await sleep(150)
      await write()
      const answer = await waiting
      expect([answer.status, answer.headers.get('preference-applied')]).toEqual([200, 'wait=55'])
      expect(Object.keys(answer.json.changes)).toEqual(['/liveTasks'])
      expect(Date.now() - start).toBeLessThan(LIMIT)
      json = answer.json
    }
    expect((await get(`since=${json.now}`, { prefer: 'respond-async, wait=1', 'if-none-match': etag })).status).toBe(200)
  })

  test('a stream tells who listens what changed, and no row', async () => {
    const { there, url, post, get } = await publicWorld(kind)
    const { json } = await get('since=0')
    const ear = await listen(`${url}/sync?since=${json.now}&collection=${json.collection}`)
    await until(() => ear.of('hello').length)
    expect(ear.of('hello')).toEqual([{ now: json.now, collection: json.collection, heartbeat: 20_000 }])
    await post([{ id: 'secret', owner: 'x' }])
    await until(() => ear.of('changes').length === 1)
    await raw(there, 'c')
    await until(() => ear.of('changes').length === 2)
    const [posted, written] = ear.of('changes')
    expect(posted).toEqual({ now: posted.now, changes: { '/liveTasks': posted.now } })
    expect(written.now).toBeGreaterThan(posted.now)
    expect(JSON.stringify(ear.events)).not.toContain('secret')
    expect(ear.events.at(-1)?.id).toBe(String(written.now))
    // who comes again with that id is told what was missed
    const again = await listen(`${url}/sync`, { 'last-event-id': String(posted.now) })
    await until(() => again.of('changes').length)
    expect(again.of('changes')).toEqual([written])
    for (const each of [ear, again]) each.close()
  })

  test('a server hears of what another one on the same database is posted, and its application writes', async () => {
    const database = await databaseOn(kind)
    const [one, other] = [await openIn(database, [Task, Note, Member]), await openIn(database, [Task, Note, Member])]
    const [{ url, get }, { post }] = [await serve(one, { public: true }), await serve(other, { public: true })]
    const { json } = await get('since=0')
    const ear = await listen(`${url}/sync?since=${json.now}&collection=${json.collection}`)
    await until(() => ear.of('hello').length)
    await post([{ id: 'p', owner: 'x' }])
    await until(() => ear.of('changes').length === 1)
    await raw(other, 'w')
    await until(() => ear.of('changes').length === 2)
    ear.close()
    const waiting = get(`since=${ear.of('changes')[1].now}`, { prefer: 'wait=55' })
    await sleep(150)
    await post([{ id: 'q', owner: 'x' }])
    expect((await waiting).json.changes['/liveTasks']).toMatchObject([{ id: 'q' }])
  })

  test('nobody hears of rows that they do not see; what they gain, move and lose is news', async () => {
    const { there, url, get, post, errors } = await ruledWorld(kind, { heartbeat: 200 })
    const ears = new Map<string, Awaited<ReturnType<typeof listen>>>()
    for (const user of ['alice', 'bob']) {
      const { json } = await get('since=0', { user })
      ears.set(user, await listen(`${url}/sync?since=${json.now}&scope=${json.scope}`, { user }))
    }
    const told = (user: string) => ears.get(user)?.of('changes') ?? []
    await until(() => [...ears.values()].every(ear => ear.of('hello').length))
    await post([{ id: 'b', owner: 'alice' }], { user: 'alice' })
    await until(() => told('alice').length === 1)
    await raw(there, 'c')
    await until(() => told('alice').length === 2)
    await sleep(200)
    expect(told('bob')).toEqual([])
    // a membership, in a table that is not synced, and so moves no clock
    await there.getRepository(Member).insert({ id: 'm', user: 'bob', team: 'blue' })
    await until(() => told('bob').length === 1)
    expect(told('bob')[0].changes).toEqual({})
    const { json } = await get('since=0', { user: 'bob' })
    expect(json.scope).toBe(told('bob')[0].scope)
    await there.getRepository(Task).update('t', { owner: 'carol' })
    await until(() => told('bob').length === 2)
    expect(Object.keys(told('bob')[1].changes)).toEqual(['/liveTasks'])
    // it leaves what bob sees
    await there.getRepository(Task).update('t', { team: null })
    await until(() => told('bob').length === 3)
    await there.getRepository(Task).update('t', { owner: 'dave' })
    await there.getRepository(Member).delete('m')
    await until(() => told('bob').length === 4)
    expect(told('bob')[3].changes).toEqual({})
    await until(() => told('alice').length > 2)
    expect(told('alice').length).toBe(3)
    expect(errors).toEqual([])
    for (const ear of ears.values()) ear.close()
  })
})

describe('a GET that waits', () => {
  test('is a 304, or an empty answer, when its time is over', async () => {
    const { get } = await publicWorld()
    const { json, headers } = await get('since=0')
    const start = Date.now()
    const none = await get(`since=${json.now}`, { prefer: 'wait=1', 'if-none-match': headers.get('etag') as string })
    expect(none.status).toBe(304)
    const empty = await get(`since=${json.now}`, { prefer: 'wait=1' })
    expect([empty.status, empty.json.changes]).toEqual([200, {}])
    expect((await get(`since=${json.now}`, { prefer: 'wait=1' }, 'HEAD')).status).toBe(200)
    expect(Date.now() - start).toBeGreaterThan(2_900)
  })

  test('does not wait where there is something', async () => {
    const { get } = await publicWorld()
    const start = Date.now()
    expect((await get('since=0', { prefer: 'wait=55' })).status).toBe(200)
    expect((await get('since=0', { prefer: 'wait=55' }, 'HEAD')).status).toBe(200)
    const { json } = await get('since=0&limit=1')
    expect((await get(`since=${json.now}&collection=another`, { prefer: 'wait=55' })).json.reset).toBe('collection-changed')
    expect(Date.now() - start).toBeLessThan(LIMIT)
  })

  test('is one of a route of an entity as well, and hears nothing of others there', async () => {
    const { url, post, there } = await publicWorld()
    const { now } = (await (await fetch(`${url}/liveNotes?since=0`)).json()) as { now: number }
    let isAnswered = false
    const waiting = fetch(`${url}/liveNotes?since=${now}`, { headers: { prefer: 'wait=55' } }).finally(() => (isAnswered = true))
    await sleep(100)
    await post([{ id: 'b', owner: 'x' }])
    await sleep(300)
    expect(isAnswered).toBe(false)
    await there.getRepository(Note).insert({ id: 'n', owner: 'x' })
    expect(await (await waiting).json()).toMatchObject({ updates: [{ id: 'n' }] })
  })

  test('of a caller with rules is answered for what they see alone', async () => {
    const { get, there } = await ruledWorld()
    const { json } = await get('since=0', { user: 'bob' })
    let isAnswered = false
    const waiting = get(`since=${json.now}&scope=${json.scope}`, { user: 'bob', prefer: 'wait=55' }).finally(() => (isAnswered = true))
    await sleep(100)
    await raw(there, 'c')
    await sleep(300)
    expect(isAnswered).toBe(false)
    await raw(there, 'd', 'bob')
    expect((await waiting).json.changes).toMatchObject({ '/liveTasks': [{ id: 'd' }] })
  })
})

describe('a stream', () => {
  test('is passed on as it is, and lives', async () => {
    const there = await openOn('libsql', [Task, Note, Member])
    const { url } = await serve(there, { public: true, heartbeat: 50 }, [compress({ threshold: 0 })])
    const ear = await listen(`${url}/sync?since=0`)
    expect(Object.fromEntries(ear.response.headers)).toMatchObject({
      'content-type': expect.stringMatching(/^text\/event-stream/),
      'cache-control': 'private, no-cache, no-transform',
      'x-accel-buffering': 'no',
    })
    expect(ear.response.headers.get('content-encoding')).toBe(null)
    await until(() => ear.beats.count > 3)
    expect(ear.of('changes')).toEqual([]) // there is nothing yet
    const { now } = await there
      .getRepository(Task)
      .insert({ id: 'a', owner: 'x' })
      .then(() => ear.of('hello')[0])
    await until(() => ear.of('changes').length)
    expect([now, Object.keys(ear.of('changes')[0].changes)]).toEqual([0, ['/liveTasks']])
    // who has read nothing has everything to read
    const fresh = await listen(`${url}/sync`)
    await until(() => fresh.of('changes').length)
    expect(fresh.of('changes')).toEqual(ear.of('changes'))
    for (const each of [ear, fresh]) each.close()
  })

  test('is about the collections that were asked for, and is none where JSON is preferred, or of an entity', async () => {
    const { url, get, post, errors } = await publicWorld()
    const { json } = await get('since=0')
    const ear = await listen(`${url}/sync?since=${json.now}&collections=/liveNotes`)
    await post([{ id: 'b', owner: 'x' }])
    await post([{ id: 'n', owner: 'x' }], {}, '/liveNotes')
    await until(() => ear.of('changes').length)
    expect(ear.of('changes').map(told => Object.keys(told.changes))).toEqual([['/liveNotes']])
    ear.close()
    expect((await get('since=0', { accept: 'application/json, text/event-stream;q=0.5' })).json.now).toBeGreaterThan(0)
    expect((await fetch(`${url}/liveTasks`, { headers: { accept: 'text/event-stream' } })).status).toBe(406)
    expect((await fetch(`${url}/sync`, { headers: { accept: 'text/event-stream', 'last-event-id': 'x' } })).status).toBe(400)
    expect((await fetch(`${url}/sync`, { headers: { accept: 'text/event-stream' }, method: 'HEAD' })).status).toBe(406)
    await sleep(50)
    expect(errors).toEqual([]) // that a client leaves is no error
  })

  test('of a client that had read another history, or further than this one goes, says so', async () => {
    const { url, get } = await publicWorld()
    const { json } = await get('since=0')
    for (const query of [`since=${json.now}&collection=another`, `since=${json.now + 1e9}`]) {
      const ear = await listen(`${url}/sync?${query}`)
      await until(() => ear.of('changes').length)
      expect(ear.of('changes')[0]).toEqual({ now: json.now, changes: {} })
      ear.close()
    }
  })

  test('too many are answered with 503, of one user and in all; who leaves makes room', async () => {
    const { url, get } = await ruledWorld('libsql', { maxListeners: 3, maxListenersPerPrincipal: 2 })
    const from = (user: string) => listen(`${url}/sync?since=0`, { user })
    const [one, two] = [await from('alice'), await from('alice')]
    const third = await from('alice')
    expect([third.response.status, Number(third.response.headers.get('retry-after'))]).toEqual([503, expect.any(Number)])
    const bobs = await from('bob')
    expect((await from('carol')).response.status).toBe(503)
    const { json } = await get('since=0', { user: 'carol' }) // no matter to who does not wait
    expect((await get(`since=${json.now}`, { user: 'carol', prefer: 'wait=1' })).status).toBe(503)
    one.close()
    await until(async () => {
      const again = await from('alice')
      again.close()
      return again.response.status === 200
    })
    for (const ear of [two, bobs]) ear.close()
  })

  test('ends where its user does, with a word, and does not begin after that', async () => {
    const { url, get } = await ruledWorld()
    const soon = { user: 'alice', expires: String(Date.now() + 4_000) } // not before both have begun
    const { json } = await get('since=0', { user: 'alice' })
    const start = Date.now()
    const waiting = get(`since=${json.now}&scope=${json.scope}`, { ...soon, prefer: 'wait=55' })
    const ear = await listen(`${url}/sync?since=0`, soon)
    expect(await ear.ended).toBe(true)
    expect(ear.of('bye')).toEqual([{ reason: 'expired' }])
    expect((await waiting).status).toBe(200)
    expect(Date.now() - start).toBeLessThan(LIMIT)
    expect((await listen(`${url}/sync`, soon)).response.status).toBe(401)
    // seconds, as tokens have them, are long over
    expect((await get('since=0', { user: 'alice', expires: String(Math.floor(Date.now() / 1000) + 60) })).status).toBe(401)
  })

  test('says good-bye when the server stops, which then does not wait for it; so does one whose database closes', async () => {
    const { url, server, get, there } = await publicWorld()
    const { json } = await get('since=0')
    const ear = await listen(`${url}/sync?since=0`)
    const isAsked = once(server, 'request')
    const waiting = get(`since=${json.now}`, { prefer: 'wait=55' })
    await isAsked
    await sleep(100)
    const start = Date.now()
    const closed = once(server, 'close')
    server.close()
    expect(await ear.ended).toBe(true)
    expect(ear.of('bye')).toEqual([{ reason: 'stopping' }])
    await waiting
    await closed
    expect(Date.now() - start).toBeLessThan(LIMIT)
    const other = await serve(there, { public: true })
    const last = await listen(`${other.url}/sync?since=0`)
    await until(() => last.of('hello').length)
    await there.destroy()
    expect(await last.ended).toBe(true)
    expect(last.of('bye')).toEqual([{ reason: 'stopping' }])
    expect((await fetch(`${other.url}/sync`)).status).toBe(503)
  })

  test('of a client that reads nothing is bounded, and breaks off', async () => {
    const there = await openOn('libsql', [Task, Note, Member])
    let body: any
    const note: Koa.Middleware = async (ctx, next) => {
      await next()
      body = ctx.body
    }
    const { server } = await serve(there, { public: true, heartbeat: 50, requestTimeout: 3_000, watchInterval: 1 }, [note])
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    open.push(() => socket.destroy())
    await once(socket, 'connect')
    const connection: any = await new Promise(resolve => {
      server.once('request', (_, response) => resolve(response))
      socket.write('GET /sync?since=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n')
    })
    await until(() => connection.headersSent)
    connection.write = () => false // as of one whose peer takes nothing
    let longest = 0
    const end = Date.now() + LIMIT
    for (let i = 0; !connection.destroyed && Date.now() < end; i++) {
      await there.getRepository(Task).insert({ id: `n${i}`, owner: 'x' })
      await sleep(1)
      longest = Math.max(longest, body.readableLength + body.writableLength)
    }
    expect(connection.destroyed).toBe(true)
    expect(longest).toBeGreaterThan(4_000)
    expect(longest).toBeLessThan(12_000)
  })
})
