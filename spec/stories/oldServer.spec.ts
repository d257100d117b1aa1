import 'reflect-metadata'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import libsql from 'libsql'
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll, withSync } from 'typeorm-sync'
import { applyDecided, device, expectAtRest, expectEqual, Wire } from './devices.js'
import { type Old, OldServer } from './oldServer.js'

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

const Folder = new EntitySchema<{ id: string; name: string }>({
  ...{ name: 'OldFolder', tableName: 'old_folder' },
  columns: { id: { ...text, primary: true }, name: text },
})
enableSync(Folder, '/oldFolders')
const Note = new EntitySchema<{ id: string; folder: string }>({
  ...{ name: 'OldNote', tableName: 'old_note' },
  columns: { id: { ...text, primary: true }, folder: text },
  foreignKeys: [{ target: 'OldFolder', columnNames: ['folder'], referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
})
enableSync(Note, '/oldNotes')

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

/** The first push of Alice's seems lost, and arrives before her next one. */
function delayFirstPush(): void {
  let late: string | undefined
  wire.before = async ({ method, body }) => {
    if (method === 'POST' && late === undefined) {
      late = body
      throw new TypeError('fetch failed')
    }
    if (method === 'POST') await old.answer('POST', new URLSearchParams(), late as string)
  }
}

/** Both devices and the server have the same rows, and nothing moves. */
async function expectDone(): Promise<void> {
  await applyDecided([alice, bob])
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
  // whole, for it knows no parts, and without a mark that such a server would store
  expect(old.posts.at(-1)).toEqual([{ id: 'e1', name: 'Breakfast', done: true, at: '2026-12-24T08:00:00.000Z' }])
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

test('a row without a date does not decide how dates are written', async () => {
  old.rows.set('e1', { id: 'e1', name: 'Breakfast', done: false, at: null, _lastChange: old.tick() })
  await syncAll(alice)
  old.rows.set('e2', { id: 'e2', name: 'Lunch', done: false, at: 1_700_000_000, _lastChange: old.tick() })
  await syncAll(alice)
  await of(alice).update('e1', { at: new Date(1_700_000_060_000) })
  await syncAll(alice)
  expect(old.posts.at(-1)).toMatchObject([{ id: 'e1', at: 1_700_000_060 }])
  await expectDone()
})

test('both change a row: different properties merge, the same one is asked about', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  await of(alice).update('e1', { name: 'Brunch' })
  await of(bob).update('e1', { done: true })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ merged: 1, conflicts: 0 })
  await expectDone()
  expect(await of(alice).find()).toMatchObject([{ name: 'Brunch', done: true }])
  await of(alice).update('e1', { name: 'Alice’s' })
  await of(bob).update('e1', { name: 'Bob’s' })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ unapplied: 1 })
  expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 1 })
  await expectDone()
  expect(await of(alice).find()).toMatchObject([{ name: 'Bob’s' }])
})

test('a removal against a change is asked about, either way', async () => {
  for (const id of ['e1', 'e2', 'e3', 'e4']) await of(alice).save({ id, name: id, done: false, at: new Date(1_700_000_000_000) })
  await applyDecided([alice, bob])
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
  ).toMatchObject({ conflicts: 4, unapplied: 0 })
  await expectDone()
  // a row that was removed there is sent whole
  expect(await of(alice).find({ order: { id: 'ASC' } })).toMatchObject([
    { id: 'e2', name: 'Bob’s', at: new Date(1_700_000_000_000) },
    { id: 'e3', name: 'Alice’s' },
  ])
})

test('a lost answer to a push is no conflict with oneself', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  await of(alice).update('e1', { name: 'Brunch' })
  await of(alice).save({ id: 'e2', name: 'Lunch', done: false, at: new Date(1_700_000_000_000) })
  await of(alice).save({ id: 'e3', name: 'Dinner', done: false, at: null })
  wire.after = ({ method }) => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
  await expectDone()
})

test('a lost answer to a removal is no conflict with oneself', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  await of(alice).delete('e1')
  wire.after = ({ method }) => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
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
  expect(await syncAll(alice, preferRemoteConflictHandler)).toMatchObject({ conflicts: 0, unapplied: 0 })
  expect(await of(alice).find({ order: { id: 'ASC' } })).toMatchObject([
    { id: 'e1', done: true },
    { id: 'e3', name: 'Half a row', done: false },
  ])
  await expectDone()
})

// ---------------------------------------------------------------- an answer that was lost

const lose = (when: 'before' | 'after') => {
  wire[when] = ({ method }: { method: string }) => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
}

test.each(['before', 'after'] as const)(
  'a row that is edited while its push is undecided is no conflict with oneself (lost %s it was stored)',
  async when => {
    await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
    await applyDecided([alice, bob])
    await of(alice).update('e1', { name: 'Brunch' })
    await of(alice).save({ id: 'e2', name: 'Lunch', done: false, at: null })
    lose(when)
    await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
    wire.mend()
    await of(alice).update('e1', { name: 'Late brunch' })
    await of(alice).update('e2', { name: 'Late lunch' })
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 2 })
    await expectDone()
    expect((await of(bob).find({ order: { id: 'ASC' } })).map(e => e.name)).toEqual(['Late brunch', 'Late lunch'])
  },
)

test.each(['before', 'after'] as const)(
  'a row that was made, sent and removed again does not come back (lost %s it was stored)',
  async when => {
    await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
    lose(when)
    await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
    wire.mend()
    await of(alice).delete('e1')
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
    await expectDone()
    expect(await of(bob).find()).toEqual([])
  },
)

test('a row that was made, sent and removed stays away, though the push arrives after the next pull', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  delayFirstPush()
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  await of(alice).delete('e1')
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 1 })
  wire.mend()
  await expectDone()
  expect(await of(bob).find()).toEqual([])
})

test('a row that was removed and made anew while the push of the removal is undecided stays', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  await of(alice).delete('e1')
  lose('after')
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  await of(alice).save({ id: 'e1', name: 'Breakfast again', done: false, at: null })
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
  await expectDone()
  expect(await of(bob).find()).toMatchObject([{ name: 'Breakfast again' }])
})

test('a row that is made anew as it was, while nothing is known of its pushes, arrives', async () => {
  const event = { id: 'e1', name: 'Breakfast', done: false, at: null }
  lose('before')
  await of(alice).save(event)
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  await of(alice).delete('e1')
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  await of(alice).save(event)
  wire.mend()
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 1 })
  await expectDone()
  expect(await of(bob).find()).toMatchObject([{ id: 'e1', name: 'Breakfast' }])
})

test('a row that is changed back stays so, though the push of the change arrives after the next pull', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  delayFirstPush()
  await of(alice).update('e1', { name: 'Brunch' })
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  await of(alice).update('e1', { name: 'Breakfast' })
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 1 })
  wire.mend()
  await expectDone()
  expect(await of(bob).find()).toMatchObject([{ name: 'Breakfast' }])
})

test('what others changed of an undecided row is merged, and the same property is a conflict', async () => {
  await of(alice).save([
    { id: 'e1', name: 'Breakfast', done: false, at: null },
    { id: 'e2', name: 'Lunch', done: false, at: null },
    { id: 'e3', name: 'Dinner', done: false, at: null },
  ])
  await applyDecided([alice, bob])
  await of(alice).update(['e1', 'e2', 'e3'], { name: 'Sent' })
  lose('after')
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'network' })
  wire.mend()
  await syncAll(bob)
  await of(bob).update('e1', { done: true })
  await of(bob).update('e2', { name: 'Bob’s', done: true })
  await of(bob).update('e3', { at: new Date(1_700_000_000_000) })
  await syncAll(bob)
  await of(alice).update(['e1', 'e2', 'e3'], { name: 'Later' })
  await of(alice).update('e3', { at: new Date(1_800_000_000_000) })
  const asked: unknown[] = []
  await syncAll(alice, (conflicts, updates) => {
    for (const c of conflicts) {
      asked.push([c.id, c.properties])
      preferLocalConflictHandler([c], updates, () => {})
    }
  })
  expect(asked).toEqual([
    ['e2', ['name']],
    ['e3', ['at']],
  ])
  await expectDone()
  expect(await of(bob).find({ order: { id: 'ASC' } })).toMatchObject([
    { name: 'Later', done: true },
    { name: 'Later', done: true },
    { name: 'Later', at: new Date(1_800_000_000_000) },
  ])
})

test('two windows: one looks while the other’s push is under way', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'windows-'))
  const windows: DataSource[] = []
  for (const synchronize of [true, false]) {
    const database = join(folder, 'db')
    const window = new DataSource({ type: 'better-sqlite3', driver: libsql, database, entities: [schema], synchronize })
    windows.push(await withSync(window, { server: url, fetch: wire.fetch, retries: 0 }).initialize())
  }
  const [one, two] = windows as [DataSource, DataSource]
  await of(one).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  let isSecond = false
  wire.before = async ({ method }) => {
    if (method !== 'POST' || isSecond) return
    isSecond = true
    await of(two).update('e1', { name: 'Brunch' })
    expect(await syncAll(two)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 1 })
  }
  expect(await syncAll(one)).toMatchObject({ conflicts: 0, unapplied: 0 })
  wire.mend()
  await applyDecided([one, two])
  await Promise.all(windows.map(window => window.destroy()))
  rmSync(folder, { recursive: true })
  await expectDone()
})

// ---------------------------------------------------------------- its clock, and its errors

test('what is stored between a server’s rows and its clock comes with the next pull', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  old.beforeClock = async () => {
    old.beforeClock = undefined
    await syncAll(alice)
  }
  await syncAll(bob)
  expect(await of(bob).find()).toEqual([])
  await syncAll(bob)
  expect(await of(bob).find()).toHaveLength(1)
  old.wait(120_000)
  await expectDone()
  // at rest nothing is asked for again
  const since = (search: string | undefined) => Number(new URLSearchParams(search).get('since'))
  const before = since(old.gets.at(-1))
  await syncAll(bob)
  expect(since(old.gets.at(-1))).toBe(before)
})

test('a rejected row is not applied again and again, though such a server sends it again', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  await of(alice).update('e1', { name: 'Too long' })
  wire.before = ({ method }) => (method === 'POST' ? new Response('', { status: 413 }) : undefined)
  expect(await syncAll(alice)).toMatchObject({ rejected: 1 })
  wire.requests.length = 0
  expect(await syncAll(alice)).toMatchObject({ rejected: 1, pulled: 0, merged: 0 })
  expect(wire.requests.map(r => r.method)).toEqual(['GET'])
})

test('a server whose clock went back is an error that says so, and nothing is stored', async () => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  await applyDecided([alice, bob])
  old.late = 3_600_000
  old.rows.set('e2', { id: 'e2', name: 'Lunch', done: false, at: null, _lastChange: old.tick() })
  await expect(syncAll(bob)).rejects.toMatchObject({
    code: 'invalid-answer',
    isDefinite: true,
    message: expect.stringMatching(/clock set back/),
  })
  expect(await of(bob).find()).toHaveLength(1)
  // the way out that it names
  await journal(of(bob)).forget(`${url}/eventChanges`)
  expect(await syncAll(bob)).toMatchObject({ pulled: 2, conflicts: 0, unapplied: 0 })
  expect(await of(bob).find()).toHaveLength(2)
})

test.each([
  { answer: { status: 'error', error: 'quota exceeded' } },
  { answer: { status: 'error', message: 'quota exceeded' } },
  { answer: { status: 'error', error: { message: 'quota exceeded' } } },
])('a rejection of the server has its text: $answer', async ({ answer }) => {
  await of(alice).save({ id: 'e1', name: 'Breakfast', done: false, at: null })
  old.rejection = answer
  await expect(syncAll(alice)).rejects.toMatchObject({ code: 'server', message: expect.stringMatching(/quota exceeded/) })
  expect(await journal(of(alice)).pending()).toMatchObject([{ id: 'e1' }])
  old.rejection = undefined
  expect(await syncAll(alice)).toMatchObject({ pushed: 1 })
  await expectDone()
})

test('a removal that the journal decides takes along what such a server would keep, and pushes that too', async () => {
  const ofPath: Readonly<Record<string, OldServer>> = { '/oldFolders': new OldServer(), '/oldNotes': new OldServer() }
  const fetch: typeof globalThis.fetch = async (input, init) =>
    ofPath[new URL(String(input)).pathname]?.fetch(input, init) ?? new Response('', { status: 404 })
  const [carol, dora] = await Promise.all([1, 2].map(() => device([Folder, Note], 'http://old', { fetch })))
  if (!carol || !dora) throw new Error('no devices')
  await carol.getRepository(Folder).save({ id: 'f', name: 'base' })
  await carol.getRepository(Note).save({ id: 'n', folder: 'f' })
  for (const who of [carol, dora]) await syncAll(who)
  await dora.getRepository(Folder).update('f', { name: 'theirs' })
  await syncAll(dora)
  await carol.getRepository(Folder).update('f', { name: 'ours' })
  await syncAll(carol)
  await journal(carol.getRepository(Folder)).resolve('f', null)
  for (const who of [carol, dora, carol]) await syncAll(who)
  for (const who of [carol, dora]) expect([await who.getRepository(Folder).find(), await who.getRepository(Note).find()]).toEqual([[], []])
  expect([...(ofPath['/oldNotes']?.rows.values() ?? [])]).toMatchObject([{ id: 'n', _removed: true }])
  await Promise.all([carol.destroy(), dora.destroy()])
})
