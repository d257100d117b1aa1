import 'reflect-metadata'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { device, expectAtRest, expectEqual, settle, Wire } from './devices.js'

interface Event {
  id: string
  name: string
  done: boolean
  at: Date | null
}

const text = { type: 'varchar' } as const
const schema = new EntitySchema<Event>({
  ...{ name: 'Event', tableName: 'event' },
  columns: {
    ...{ id: { ...text, primary: true }, name: { ...text, default: '' } },
    ...{ done: { type: 'boolean', default: false }, at: { type: 'datetime', nullable: true } },
  },
})
enableSync(schema, '/eventChanges')

type Old = Record<string, unknown> & { id: string; _lastChange: number }

/** The server that persistence.sync.js documents, as of 2011: no pages, no keys, no collection id, dates in seconds, the last write wins. */
class OldServer {
  readonly rows = new Map<string, Old>()
  readonly posts: Record<string, unknown>[][] = []
  readonly gets: string[] = []
  #clock = Date.now()
  #http: Server | undefined

  tick(): number {
    this.#clock = Math.max(Date.now(), this.#clock + 1)
    return this.#clock
  }

  async start(): Promise<string> {
    this.#http = createServer(async (request, response) => {
      const url = new URL(request.url ?? '/', 'http://old')
      response.setHeader('Content-Type', 'application/json')
      if (url.pathname !== '/eventChanges') return void response.writeHead(404).end()
      if (request.method === 'GET') {
        this.gets.push(url.search)
        const since = Number(url.searchParams.get('since') ?? 0)
        const updates = [...this.rows.values()].filter(r => r._lastChange > since)
        return void response.end(JSON.stringify({ now: this.#clock, updates }))
      }
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const posted = JSON.parse(Buffer.concat(chunks).toString()) as Old[]
      this.posts.push(posted)
      const now = this.tick()
      for (const row of posted) {
        const before = this.rows.get(row.id)
        this.rows.set(row.id, { ...(row._removed || before?._removed ? {} : before), ...row, _lastChange: now })
      }
      response.end(JSON.stringify({ status: 'ok', now }))
    })
    this.#http.listen(0, '127.0.0.1')
    await once(this.#http, 'listening')
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#http?.close()
    this.#http?.closeAllConnections()
    await once(this.#http as Server, 'close')
  }
}

let old: OldServer
let url: string
let alice: DataSource
let bob: DataSource
let wire: Wire
const of = (who: DataSource) => who.getRepository<Event>('Event')

beforeEach(async () => {
  old = new OldServer()
  url = await old.start()
  wire = new Wire()
  alice = await device([schema], url, { fetch: wire.fetch })
  bob = await device([schema], url)
})
afterEach(async () => {
  await Promise.all([alice.destroy(), bob.destroy(), old.stop()])
})

/** Both devices and the server have the same rows, and nothing moves. */
async function expectDone(): Promise<void> {
  await settle([alice, bob])
  await expectEqual([alice, bob], ['event'])
  const rows = [...old.rows.values()].filter(r => !r._removed).sort((x, y) => (x.id < y.id ? -1 : 1))
  const seconds = (date: unknown) => (typeof date === 'number' ? date : typeof date === 'string' ? Date.parse(date) / 1000 : null)
  expect(rows.map(({ id, name, done, at }) => ({ id, name, done: Boolean(done), at: seconds(at) }))).toEqual(
    (await of(alice).find({ order: { id: 'ASC' } })).map(({ at, ...row }) => ({ ...row, at: at && at.getTime() / 1000 })),
  )
  const posts = old.posts.length
  await expectAtRest([alice, bob])
  expect(old.posts).toHaveLength(posts)
}

test('two devices sync through a server of 2011', async () => {
  await of(alice).save([
    { id: 'e1', name: 'Breakfast', done: false, at: new Date('2026-12-24T08:00:00Z') },
    { id: 'e2', name: 'Lunch', done: false, at: null },
  ])
  await syncAll(alice)
  await syncAll(bob)
  await of(bob).update('e1', { done: true })
  await syncAll(bob)
  // what changed, and no mark that such a server would store
  expect(old.posts.at(-1)).toEqual([{ id: 'e1', done: true }])
  await syncAll(alice)
  await of(alice).delete('e2')
  await syncAll(alice)
  expect(old.posts.at(-1)).toEqual([{ id: 'e2', _removed: true }])
  await expectDone()
  expect(await of(bob).find()).toMatchObject([{ id: 'e1', done: true, at: new Date('2026-12-24T08:00:00Z') }])
})

test('dates come as seconds and go as seconds', async () => {
  old.rows.set('e1', { id: 'e1', name: 'Breakfast', done: false, at: 1_700_000_000, _lastChange: old.tick() })
  await syncAll(alice)
  expect(await of(alice).find()).toMatchObject([{ at: new Date(1_700_000_000_000) }])
  await of(alice).update('e1', { at: new Date(1_700_000_060_500) })
  await of(alice).save({ id: 'e2', name: 'Lunch', done: false, at: new Date(1_700_000_000_000) })
  await syncAll(alice)
  expect(old.posts.at(-1)?.map(r => r.at)).toEqual([1_700_000_060.5, 1_700_000_000])
  await expectDone()
})

test('a row that knows no date yet does not settle how dates are written', async () => {
  old.rows.set('e1', { id: 'e1', name: 'Breakfast', done: false, at: null, _lastChange: old.tick() })
  await syncAll(alice)
  old.rows.set('e2', { id: 'e2', name: 'Lunch', done: false, at: 1_700_000_000, _lastChange: old.tick() })
  await syncAll(alice)
  await of(alice).update('e1', { at: new Date(1_700_000_060_000) })
  await syncAll(alice)
  expect(old.posts.at(-1)).toEqual([{ id: 'e1', at: 1_700_000_060 }])
  await expectDone()
})

test('both change a row: different properties merge, the same one is asked about', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await settle([alice, bob])
  await of(alice).update('e1', { name: 'Brunch' })
  await of(bob).update('e1', { done: true })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ merged: 1, conflicts: 0 })
  await expectDone()
  expect(await of(alice).find()).toMatchObject([{ name: 'Brunch', done: true }])
  await of(alice).update('e1', { name: 'Alice’s' })
  await of(bob).update('e1', { name: 'Bob’s' })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ waiting: 1 })
  expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 1 })
  await expectDone()
  expect(await of(alice).find()).toMatchObject([{ name: 'Bob’s' }])
})

test('a removal against a change is asked about, either way', async () => {
  for (const id of ['e1', 'e2', 'e3', 'e4']) await of(alice).save({ id, name: id, done: false, at: new Date(1_700_000_000_000) })
  await settle([alice, bob])
  await of(alice).delete(['e1', 'e2'])
  await of(alice).update(['e3', 'e4'], { name: 'Alice’s' })
  await of(bob).update(['e1', 'e2'], { name: 'Bob’s' })
  await of(bob).delete(['e3', 'e4'])
  await syncAll(alice)
  const remote = ['e1', 'e3']
  expect(
    await syncAll(bob, (conflicts, updates) => {
      for (const c of conflicts)
        if (remote.includes(c.id)) c.takeRemote()
        else preferLocalConflictHandler([c], updates, () => {})
    }),
  ).toMatchObject({ conflicts: 4, waiting: 0 })
  await expectDone()
  // a row that was removed there is sent whole
  expect(await of(alice).find({ order: { id: 'ASC' } })).toMatchObject([
    { id: 'e2', name: 'Bob’s', at: new Date(1_700_000_000_000) },
    { id: 'e3', name: 'Alice’s' },
  ])
})

test('a lost answer to a push is no conflict with oneself', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await settle([alice, bob])
  await of(alice).update('e1', { name: 'Brunch' })
  await of(alice).save({ id: 'e2', name: 'Lunch', done: false, at: new Date(1_700_000_000_000) })
  await of(alice).save({ id: 'e3', name: 'Dinner', done: false, at: null })
  wire.after = ({ method }) => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, waiting: 0 })
  await expectDone()
})

test('a lost answer to a removal is no conflict with oneself', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await settle([alice, bob])
  await of(alice).delete('e1')
  wire.after = ({ method }) => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, waiting: 0 })
  await expectDone()
})

test('a request that was lost on its way is sent again by the next sync', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  wire.before = ({ method }) => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  expect(await journal(of(alice)).pending()).toMatchObject([{ id: 'e1' }])
  expect(await syncAll(alice)).toMatchObject({ pushed: 1 })
  await expectDone()
})

test('rows that a 2011 server writes in its own manner are read', async () => {
  const now = old.tick()
  old.rows.set('e1', { id: 'e1', name: 'Breakfast', done: 1, at: 1_700_000_000, unknown: 'x', _lastChange: now })
  old.rows.set('e2', { id: 'e2', _removed: 1, _lastChange: now })
  old.rows.set('e3', { id: 'e3', name: 'Half a row', _lastChange: now } as Old)
  expect(await syncAll(alice, preferRemoteConflictHandler)).toMatchObject({ conflicts: 0, waiting: 0 })
  expect(await of(alice).find({ order: { id: 'ASC' } })).toMatchObject([
    { id: 'e1', done: true },
    { id: 'e3', name: 'Half a row', done: false },
  ])
  await expectDone()
})
