import 'reflect-metadata'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import libsql from 'libsql'
import { DataSource, EntitySchema } from 'typeorm'
import {
  AuthenticationError,
  DatabaseFailedError,
  enableSync,
  hasLocalChanges,
  InvalidAnswerError,
  journal,
  NetworkError,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  RequestTimeoutError,
  ServerError,
  SyncConfigurationError,
  SyncError,
  syncAll,
  withSync,
} from 'typeorm-sync'
import { collectTombstones, renewHistory } from 'typeorm-sync/server-koa'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, type Entities, expectAtRest, expectEqual, startServer, Wire } from './devices.js'

interface Note {
  id: string
  text: string
  color: string | null
}

const varchar = { type: 'varchar' } as const
const columns = { id: { ...varchar, primary: true }, text: varchar, color: { ...varchar, nullable: true } } as const
const schema = new EntitySchema<Note>({ name: 'Note', tableName: 'note', columns: { ...columns } })
enableSync(schema, '/noteChanges')

let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource
let wire: Wire
const of = (who: DataSource) => who.getRepository<Note>('Note')
const put = (who: DataSource, id: string, text: string) => of(who).save({ id, text, color: null })

async function open({ pageSize = 2, batchSize = 2, onAlice = schema as Entities[never], onServer = schema as Entities[never] } = {}) {
  server = await startServer([onServer] as Entities)
  wire = new Wire()
  alice = await device([onAlice] as Entities, server.url, { fetch: wire.fetch, pageSize, batchSize })
  bob = await device([schema], server.url)
}
beforeEach(() => open())
afterEach(() => Promise.all([alice.destroy(), bob.destroy(), server.stop()]))

async function expectDone(...others: DataSource[]): Promise<void> {
  await applyDecided([alice, bob, ...others])
  await expectEqual([server.dataSource, alice, bob, ...others], ['note'])
  await expectAtRest([alice, bob, ...others])
}

/** Both have rows to push, and Alice some to pull, of each kind. */
async function prepare(): Promise<void> {
  for (const i of [1, 2, 3, 4, 5]) await put(bob, `b${i}`, 'Bob’s')
  await applyDecided([bob, alice])
  await of(bob).update('b1', { text: 'Bob’s other' })
  await of(bob).delete('b2')
  for (const i of [6, 7, 8]) await put(bob, `b${i}`, 'Bob’s')
  await syncAll(bob)
  for (const i of [1, 2, 3, 4, 5]) await put(alice, `a${i}`, 'Alice’s')
  await of(alice).update('b3', { text: 'Alice’s' })
  await of(alice).update('b1', { color: 'red' })
  await of(alice).delete('b4')
}

async function expectPrepared(): Promise<void> {
  await expectDone()
  const rows = await of(bob).find({ order: { id: 'ASC' } })
  expect(rows.map(r => r.id)).toEqual(['a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'b3', 'b5', 'b6', 'b7', 'b8'])
  expect(rows.find(r => r.id === 'b1')).toMatchObject({ text: 'Bob’s other', color: 'red' })
  expect(rows.find(r => r.id === 'b3')).toMatchObject({ text: 'Alice’s' })
}

const problem = (status: number, headers: Record<string, string> = {}, body = '{"title":"No"}') => new Response(body, { status, headers })
const faults: [string, () => unknown, new (...p: never[]) => Error, object][] = [
  [
    'the network is gone',
    () => {
      throw new TypeError('fetch failed')
    },
    NetworkError,
    { code: 'network' },
  ],
  ['the server is overloaded', () => problem(503, { 'Retry-After': '7' }), ServerError, { status: 503, retryAfter: 7000 }],
  ['the server fails', () => problem(500), ServerError, { status: 500 }],
  [
    'a hotel wants a sign-in',
    () => new Response('<html>Welcome</html>', { headers: { 'Content-Type': 'text/html' } }),
    InvalidAnswerError,
    {},
  ],
  ['half of the answer is missing', () => new Response('{"now": 17, "upda'), InvalidAnswerError, {}],
  ['the answer is another one', () => new Response('{"hello": "world"}'), InvalidAnswerError, {}],
  ['the session has ended', () => problem(401), AuthenticationError, { status: 401 }],
  ['a proxy knows better', () => problem(418), ServerError, { status: 418 }],
  ['there is no such collection', () => problem(404), ServerError, { status: 404 }],
]

describe.each(faults)('%s', (_, fault, type, details) => {
  test.each(['before', 'after'] as const)(
    '%s the server has seen the request, at each of them: a typed error, and the next sync goes on',
    async when => {
      await prepare()
      for (let at = 1; ; at++) {
        expect(at).toBeLessThan(40)
        let hit = false
        wire.mend()
        wire[when] = (_request, number) => {
          // where there is no feed, the routes of the entities are asked, and they are not there either
          if (number < at) return
          hit = true
          return fault()
        }
        const outcome = await syncAll(alice).catch(error => error)
        if (!hit) break
        expect(outcome).toBeInstanceOf(type)
        expect(outcome).toMatchObject(details)
        expect(outcome).toBeInstanceOf(SyncError)
      }
      wire.mend()
      await expectPrepared()
    },
  )
})

test('a server that accepts and never answers is abandoned in time', async () => {
  await prepare()
  for (let at = 1; at <= 3; at++) {
    wire.mend()
    wire.before = (_request, number) => (number === at ? new Promise(() => {}) : undefined)
    await expect(syncAll(alice, undefined, { timeout: 60 })).rejects.toBeInstanceOf(RequestTimeoutError)
  }
  wire.mend()
  await expectPrepared()
})

test.each(['before', 'after'] as const)('a sync that is aborted %s the answer, at each request, goes on with the next one', async when => {
  await prepare()
  for (let at = 1; ; at++) {
    expect(at).toBeLessThan(40)
    const controller = new AbortController()
    const reason = new Error(`given up at ${at}`)
    wire.mend()
    wire[when] = (_request, number) => {
      if (number === at) controller.abort(reason)
    }
    const outcome = await syncAll(alice, undefined, { signal: controller.signal }).catch(error => error)
    if (!controller.signal.aborted) break
    expect(outcome).toBe(reason)
  }
  wire.mend()
  await expectPrepared()
})

test('one sync after the other, each cut off after one more request, gets there', async () => {
  await prepare()
  for (let i = 0; i < 60; i++) {
    wire.mend()
    // the first request passes, all others fail
    wire.before = (_request, number) => {
      if (number > 1) throw new TypeError('fetch failed')
    }
    if (
      await syncAll(alice).then(
        () => true,
        () => false,
      )
    )
      break
  }
  wire.mend()
  await expectPrepared()
})

test('a push that is too large is halved, and a row that is too large alone is set aside', async () => {
  await alice.destroy()
  alice = await device([schema], server.url, { fetch: wire.fetch, batchSize: 100 })
  for (let i = 0; i < 9; i++) await put(alice, `a${i}`, i === 4 ? 'x'.repeat(600) : 'small')
  wire.before = ({ method, body }) => (method === 'POST' && (body?.length ?? 0) > 400 ? problem(413) : undefined)
  expect(await syncAll(alice)).toMatchObject({ pushed: 8, rejected: 1 })
  expect(await journal(of(alice)).rejected()).toMatchObject([{ id: 'a4', code: 'too-large' }])
  const requests = wire.requests.length
  expect(await syncAll(alice)).toMatchObject({ pushed: 0, rejected: 1 })
  expect(wire.requests.length - requests).toBe(1)
  await syncAll(bob)
  expect(await of(bob).count()).toBe(8)
  await of(alice).update('a4', { text: 'short' })
  expect(await syncAll(alice)).toMatchObject({ pushed: 1, rejected: 0 })
  wire.mend()
  await expectDone()
})

test('who may not write still reads', async () => {
  await put(alice, 'a1', 'Alice’s')
  await put(bob, 'b1', 'Bob’s')
  await syncAll(bob)
  wire.before = ({ method }) => (method === 'POST' ? problem(403) : undefined)
  await expect(syncAll(alice)).rejects.toBeInstanceOf(AuthenticationError)
  expect(await of(alice).findOneByOrFail({ id: 'b1' })).toMatchObject({ text: 'Bob’s' })
  await of(bob).update('b1', { text: 'Bob’s other' })
  await syncAll(bob)
  await expect(syncAll(alice)).rejects.toBeInstanceOf(AuthenticationError)
  expect(await of(alice).findOneByOrFail({ id: 'b1' })).toMatchObject({ text: 'Bob’s other' })
  expect(await journal(of(alice)).pending()).toMatchObject([{ id: 'a1' }])
  wire.mend()
  await expectDone()
})

// ---------------------------------------------------------------- histories that are put back

/** What is stored on the server, as a backup has it. */
async function backUp(): Promise<() => Promise<void>> {
  const tables = ['note', 'sync_clock', 'sync_tombstone', 'sync_push']
  const saved = new Map<string, Record<string, unknown>[]>()
  for (const table of tables) saved.set(table, await server.dataSource.query(`SELECT * FROM "${table}"`))
  return async () => {
    // as the file itself would be put back: no trigger sees it
    await server.dataSource.query('UPDATE sync_clock SET bypass = 1')
    for (const table of [...tables].reverse()) {
      await server.dataSource.query(`DELETE FROM "${table}"`)
      for (const row of saved.get(table) ?? []) {
        const names = Object.keys(row)
        const values = names.map(n => (n === 'bypass' ? 1 : row[n]))
        await server.dataSource.query(`INSERT INTO "${table}" (${names.map(n => `"${n}"`)}) VALUES (${names.map(() => '?')})`, values)
      }
    }
    await server.dataSource.query('UPDATE sync_clock SET bypass = NULL')
  }
}

test.each([true, false])(
  'a server is put back to a backup (its collection renewed: %s), and what the devices have comes back',
  async renewed => {
    await put(alice, 'a1', 'old')
    await put(alice, 'a2', 'stays')
    await put(bob, 'b1', 'old')
    await applyDecided([alice, bob])
    const putBack = await backUp()
    await of(alice).update('a1', { text: 'new' })
    await put(alice, 'a3', 'after the backup')
    await of(bob).delete('b1')
    await applyDecided([alice, bob])
    await put(bob, 'b2', 'not told yet')
    await putBack()
    if (renewed) await renewHistory(server.dataSource)
    const report = await syncAll(alice, preferLocalConflictHandler)
    // a text, and a removal that the backup does not know
    expect(report).toMatchObject({ conflicts: 2 })
    await applyDecided([alice, bob], preferLocalConflictHandler)
    await expectDone()
    expect((await of(bob).find({ order: { id: 'ASC' } })).map(n => [n.id, n.text])).toEqual([
      ['a1', 'new'],
      ['a2', 'stays'],
      ['a3', 'after the backup'],
      ['b2', 'not told yet'],
    ])
  },
)

test('what was changed here, and not pushed, is not overwritten where the server is reset', async () => {
  for (const id of ['x', 'y']) await put(alice, id, 'old')
  await applyDecided([alice, bob])
  await of(alice).update('x', { text: 'hers' })
  await of(server.dataSource).update('x', { text: 'theirs' })
  await renewHistory(server.dataSource)
  expect(await syncAll(alice)).toMatchObject({ unapplied: 1 })
  expect((await of(alice).find({ order: { id: 'ASC' } })).map(n => n.text)).toEqual(['hers', 'old'])
  await syncAll(alice, preferLocalConflictHandler)
  await syncAll(bob, preferRemoteConflictHandler)
  await expectDone()
})

test('a device that was away while removals were forgotten loses what is gone, and keeps what it changed', async () => {
  for (const id of ['n1', 'n2', 'n3', 'n4', 'n5']) await put(alice, id, id)
  await applyDecided([alice, bob])
  await of(bob).update('n2', { text: 'Bob’s' })
  await put(bob, 'n6', 'Bob’s')
  for (const id of ['n1', 'n2', 'n3']) await of(alice).delete(id)
  await of(alice).update('n5', { text: 'Alice’s' })
  await syncAll(alice)
  await new Promise(resolve => setTimeout(resolve, 2)) // stamps are milliseconds
  expect(await collectTombstones(server.dataSource, { olderThan: 0 })).toBe(3)
  expect(await syncAll(bob, undefined, { pageSize: 1 })).toMatchObject({ unapplied: 1, pushed: 1 })
  expect((await of(bob).find({ order: { id: 'ASC' } })).map(n => n.id)).toEqual(['n2', 'n4', 'n5', 'n6'])
  expect(await unappliedOf(journal(of(bob)))).toMatchObject([{ id: 'n2', reason: 'contested', local: { text: 'Bob’s' }, remote: null }])
  await syncAll(bob, preferLocalConflictHandler)
  await expectDone()
  expect((await of(alice).find({ order: { id: 'ASC' } })).map(n => n.text)).toEqual(['Bob’s', 'n4', 'Alice’s', 'Bob’s'])
})

test('a push that was made before removals were forgotten is read anew, not stored', async () => {
  for (const id of ['n1', 'n2']) await put(alice, id, id)
  await applyDecided([alice, bob])
  await of(bob).delete('n1')
  await syncAll(bob)
  await of(alice).update('n1', { text: 'Alice’s' })
  wire.before = async ({ method }) => {
    if (method !== 'POST') return
    wire.mend()
    await put(bob, 'n3', 'n3')
    await syncAll(bob)
    await new Promise(resolve => setTimeout(resolve, 2))
    await collectTombstones(server.dataSource, { olderThan: 0 })
  }
  await put(alice, 'n4', 'n4')
  await syncAll(alice)
  expect(await unappliedOf(journal(of(alice)))).toMatchObject([{ id: 'n1', remote: null }])
  await syncAll(alice, preferRemoteConflictHandler)
  await expectDone()
  expect((await of(bob).find({ order: { id: 'ASC' } })).map(n => n.id)).toEqual(['n2', 'n3', 'n4'])
})

// ---------------------------------------------------------------- schemas that differ

const wider = new EntitySchema<Note & { size: number | null }>({
  ...{ name: 'Note', tableName: 'note' },
  columns: { ...columns, size: { type: 'integer', nullable: true } },
})
enableSync(wider, '/noteChanges')

test('a server that has one property more keeps it', async () => {
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
  await open({ onServer: wider as never })
  await server.dataSource.getRepository('Note').save({ id: 'n1', text: 'n1', color: null, size: 7 })
  await applyDecided([alice, bob])
  await of(alice).update('n1', { text: 'Alice’s' })
  await put(bob, 'n2', 'n2')
  await applyDecided([alice, bob])
  await expectEqual([alice, bob], ['note'])
  await expectAtRest([alice, bob])
  expect(await server.dataSource.getRepository('Note').find({ order: { id: 'ASC' } })).toMatchObject([
    { id: 'n1', text: 'Alice’s', size: 7 },
    { id: 'n2', size: null },
  ])
})

test('a device that has one property more than the server keeps it as not pushed, and is quiet', async () => {
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
  await open({ onAlice: wider as never })
  const local = alice.getRepository('Note')
  await local.save({ id: 'n1', text: 'n1', color: null, size: 7 })
  await applyDecided([alice, bob])
  await of(bob).update('n1', { text: 'Bob’s' })
  await syncAll(bob)
  await syncAll(alice)
  expect(await local.find()).toMatchObject([{ text: 'Bob’s', size: 7 }])
  await local.update('n1', { size: 8 })
  await applyDecided([alice, bob])
  expect(await local.find()).toMatchObject([{ text: 'Bob’s', size: 8 }])
  await expectAtRest([bob])
  const nothing = { pulled: 0, pushed: 0, merged: 0, conflicts: 0, unapplied: 0, rejected: 0, requests: 1 }
  for (let time = 0; time < 2; time++) expect(await syncAll(alice)).toMatchObject({ ...nothing, unknownThere: ['size'] })
  expect(await journal(local).pending()).toMatchObject([{ id: 'n1', ignored: ['size'] }])
  expect(await journal(local).pendingCount()).toBe(1)
  await expectEqual([server.dataSource, bob], ['note'])
})

// ---------------------------------------------------------------- databases that fail

test('a database that fails at each statement stores nothing by half, and the next sync goes on', async () => {
  await alice.destroy()
  let at = 0
  let count = 0
  let isWatched = false
  const beforeStatement = (sql: string) => {
    if (!isWatched || /^(COMMIT|PRAGMA)/.test(sql)) return
    if (++count === at) throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
  }
  alice = await device([schema], server.url, { fetch: wire.fetch, pageSize: 3, batchSize: 3, beforeStatement })
  await prepare()
  // dense at the beginning, then in larger and larger strides
  for (at = 1; ; at += 1 + Math.floor(at / 25)) {
    count = 0
    isWatched = true
    const outcome = await syncAll(alice).catch(error => error)
    isWatched = false
    if (count < at) break
    expect(outcome).toBeInstanceOf(DatabaseFailedError)
    expect(await alice.query('SELECT bypass FROM sync_clock')).toEqual([{ bypass: null }])
    if (at % 5 === 0) await put(alice, 'a5', `Alice’s ${at}`)
  }
  await put(alice, 'a5', 'Alice’s')
  await expectPrepared()
})

test('a file that is killed between request and answer wakes up and goes on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sync-'))
  const open = () =>
    withSync(
      new DataSource({ type: 'better-sqlite3', driver: libsql, database: join(folder, 'carol.db'), entities: [schema], synchronize: true }),
      {
        ...{ server: server.url, fetch: wire.fetch, retries: 0, pageSize: 2, batchSize: 2 },
      },
    ).initialize()
  await prepare()
  let carol = await open()
  for (const i of [1, 2, 3, 4, 5]) await put(carol, `c${i}`, 'Carol’s')
  for (let at = 1; at < 12; at++) {
    let hit = false
    wire.mend()
    wire.after = async (_request, number) => {
      if (number !== at) return
      hit = true
      await carol.destroy()
      throw new TypeError('killed')
    }
    const outcome = await syncAll(carol).catch(error => error)
    if (!hit) break
    expect(outcome).toBeInstanceOf(Error)
    carol = await open()
    await of(carol).update('c1', { text: `Carol’s ${at}` })
  }
  wire.mend()
  await expectDone(carol)
  expect(await of(bob).count()).toBe(16)
  await carol.destroy()
  await rm(folder, { recursive: true })
})

test('a server has no local changes: there is no server to push to', async () => {
  await put(server.dataSource, 'x', 'x')
  expect(await hasLocalChanges(server.dataSource)).toBe(false)
  expect(await hasLocalChanges(of(server.dataSource))).toBe(false)
})

test('an entity without sync, and a url that is none, are typed errors', async () => {
  const plain = new EntitySchema<Note>({ name: 'Plain', tableName: 'plain', columns: { ...columns } })
  const dataSource = await device([plain, schema], server.url)
  await expect(syncAll(dataSource.getRepository('Plain'))).rejects.toBeInstanceOf(SyncConfigurationError)
  expect(() => journal(dataSource.getRepository('Plain'))).toThrow(SyncConfigurationError)
  expect(() => enableSync(plain, 'noteChanges')).toThrow(SyncConfigurationError)
  expect(() => enableSync(plain, '//example.org/x')).toThrow(SyncConfigurationError)
  expect(() => enableSync(plain, 'ftp://example.org/x')).toThrow(SyncConfigurationError)
  expect(() => enableSync(plain, [])).toThrow(SyncConfigurationError)
  expect(() => withSync(new DataSource({ type: 'sqljs' }), { server: 'example.org' })).toThrow(SyncConfigurationError)
  await expect(syncAll(new DataSource({ type: 'sqljs' }))).rejects.toBeInstanceOf(SyncConfigurationError)
  await expect(syncAll(of(dataSource), undefined, { url: 'http://unknown.example' })).rejects.toBeInstanceOf(SyncConfigurationError)
  await dataSource.destroy()
  await expect(syncAll(dataSource)).rejects.toBeInstanceOf(SyncConfigurationError)
  const nowhere = await device([schema], 'http://127.0.0.1:1')
  await put(nowhere, 'x', 'x')
  await expect(syncAll(nowhere)).rejects.toBeInstanceOf(NetworkError)
  expect(await hasLocalChanges(nowhere)).toBe(true)
  await nowhere.destroy()
})
