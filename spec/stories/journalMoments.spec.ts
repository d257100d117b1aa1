// Every call of the journal at every moment of a sync: whatever differs afterwards is in a journal, and what was discarded is discarded everywhere.

import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, journal, NotInJournalError, syncAll } from 'typeorm-sync'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, expectEqual, rowsOf, startServer, Wire } from './devices.js'

interface Folder {
  id: string
  name: string
}
interface Note {
  id: string
  body: string
  folder: Folder | null
}

const text = { type: 'varchar', length: 40 } as const
const Folder = new EntitySchema<Folder>({
  name: 'Folder',
  tableName: 'folder',
  columns: { id: { ...text, primary: true }, name: text },
})
const Note = new EntitySchema<Note>({
  name: 'Note',
  tableName: 'note',
  columns: { id: { ...text, primary: true }, body: text },
  relations: { folder: { type: 'many-to-one', target: 'Folder', nullable: true, onDelete: 'CASCADE' } },
})
enableSync(Folder, '/folders')
enableSync(Note, '/notes')

let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource
let wire: Wire

beforeEach(async () => {
  server = await startServer([Folder, Note])
  wire = new Wire()
  alice = await device([Folder, Note], server.url)
  bob = await device([Folder, Note], server.url, { fetch: wire.fetch })
  for (const name of ['edited', 'removed', 'contested', 'undone', 'quiet', 'parent'])
    await alice.getRepository(Folder).save({ id: name, name: 'one' })
  await alice.getRepository(Note).save({ id: 'n1', body: 'pushed', folder: { id: 'parent' } })
  await applyDecided([alice, bob])
  // a decision of before, which can be undone
  await alice.getRepository(Folder).update('undone', { name: 'Alice’s' })
  await bob.getRepository(Folder).update('undone', { name: 'Bob’s' })
  await syncAll(alice)
  await syncAll(bob, conflicts => {
    for (const conflict of conflicts) conflict.takeRemote()
  })
  await applyDecided([alice, bob])
  // and what a journal is about
  await alice.getRepository(Folder).update('contested', { name: 'Alice’s' })
  await bob.getRepository(Folder).update('contested', { name: 'Bob’s' })
  await bob.getRepository(Folder).update('edited', { name: 'two' })
  await bob.getRepository(Folder).delete('removed')
  await bob.getRepository(Folder).save({ id: 'made', name: 'new' })
  await bob.getRepository(Folder).save({ id: 'family', name: 'new' })
  await bob.getRepository(Folder).update('parent', { name: 'two' })
  await bob.getRepository(Note).save({ id: 'n2', body: 'hours of work', folder: { id: 'family' } })
  await bob.getRepository(Note).save({ id: 'n3', body: 'hours of work', folder: { id: 'parent' } })
  await syncAll(alice)
  wire.mend()
})
afterEach(() => Promise.all([alice.destroy(), bob.destroy(), server.stop()]))

const folders = () => journal(bob.getRepository(Folder))
const bobs = (id: string) => bob.getRepository(Folder).findOneBy({ id })

/** What each call is, and the version that is everywhere once it was done and all is pushed; undefined where that depends on what came first. */
const calls: [string, () => Promise<unknown>, string, string | null | undefined][] = [
  ['an edit is given up', () => folders().discard('edited'), 'edited', 'one'],
  ['a removal is given up', () => folders().discard('removed'), 'removed', 'one'],
  ['a new row is given up', () => folders().discard('made'), 'made', null],
  ['a new row with children is given up', () => folders().discard('family', { children: 'journal' }), 'family', null],
  ['a conflict is given up', () => folders().discard('contested'), 'contested', undefined],
  ['a conflict is decided', () => folders().resolve('contested', { name: 'both' }), 'contested', 'both'],
  ['a conflict is decided to be a removal', () => folders().resolve('contested', null), 'contested', null],
  ['a decision is undone', async () => folders().undo(Number((await folders().resolved()).at(-1)?.resolutionId ?? 0)), 'undone', 'Bob’s'],
  ['what was not rejected is retried', () => folders().retry('edited'), 'edited', undefined],
]

const moments: [string, (call: () => Promise<void>) => Promise<unknown>][] = [
  ['before the sync', async call => [await call(), await syncAll(bob)]],
  [
    'before the POST leaves',
    call => {
      wire.before = request => (request.method === 'POST' ? once(call) : undefined)
      return syncAll(bob)
    },
  ],
  [
    'while the server has stored it and the answer is under way',
    call => {
      wire.after = request => (request.method === 'POST' ? once(call) : undefined)
      return syncAll(bob)
    },
  ],
  [
    'after an answer that was lost',
    async call => {
      wire.after = request => {
        if (request.method === 'POST') throw new TypeError('fetch failed')
      }
      await syncAll(bob).catch(() => {})
      await call()
    },
  ],
  [
    'after a request that was lost',
    async call => {
      wire.before = request => {
        if (request.method === 'POST') throw new TypeError('fetch failed')
      }
      await syncAll(bob).catch(() => {})
      await call()
    },
  ],
  ['during a handler', call => syncAll(bob, () => call())],
  [
    'between two pages',
    async call => {
      for (const id of ['q1', 'q2', 'q3']) await alice.getRepository(Folder).save({ id, name: 'page' })
      await alice.getRepository(Folder).update('edited', { name: 'one' })
      await syncAll(alice)
      wire.before = (request, number) => (request.method === 'GET' && number === 2 ? once(call) : undefined)
      await syncAll(bob, undefined, { pageSize: 1 })
    },
  ],
  [
    'between two batches',
    async call => {
      wire.before = (request, number) => (request.method === 'POST' && number > 2 ? once(call) : undefined)
      await syncAll(bob, undefined, { batchSize: 1 })
    },
  ],
]

let isCalled: boolean
const once = (call: () => Promise<void>) => {
  if (isCalled) return
  isCalled = true
  return call()
}

describe.each(moments)('%s', (moment, during) => {
  // every second one is called twice at once, another half at each moment
  const isTwice = (i: number) => (i + moments.findIndex(([each]) => each === moment)) % 2 === 1
  const table = calls.map(
    ([what, call, id, expected], i) => [isTwice(i) ? `${what}, twice at once` : what, call, id, expected, isTwice(i) ? 2 : 1] as const,
  )
  test.each(table)('%s', async (_, call, id, expected, times) => {
    isCalled = false
    let isDone = false
    const tell = async () => {
      const results = await Promise.allSettled(Array.from({ length: times }, () => call()))
      for (const result of results)
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(NotInJournalError)
        else isDone = true
    }
    await during(tell)
    // what was done stands here, at least until others have a word
    if (isDone && expected !== undefined) expect((await bobs(id))?.name ?? null).toBe(expected)
    await expectDifferencesToBeListed()
    wire.mend()
    await settleQuietly()
    await expectDifferencesToBeListed()
    if (isDone && expected !== undefined)
      for (const each of [bob, server.dataSource, alice]) {
        const row = await each.getRepository(Folder).findOneBy({ id })
        expect([moment, row?.name ?? null]).toEqual([moment, expected])
      }
    // and decided, everything is equal
    for (const { id: left } of await unappliedOf(folders())) await folders().discard(left)
    for (const { id: left } of await folders().rejected()) await folders().discard(left)
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
    expect(await hasLocalChanges(bob)).toBe(false)
  })
})

/** Until nothing moves but what is unapplied. */
async function settleQuietly(): Promise<void> {
  for (let round = 0; round < 6; round++) {
    let moved = false
    for (const each of [bob, alice]) {
      const { pulled, pushed, merged } = await syncAll(each)
      moved ||= pulled + pushed + merged > 0
    }
    if (!moved) return
  }
  throw new Error('Not quiet after 6 rounds.')
}

/** Every row in which Bob and the server differ stands in Bob's journal, unless Bob has not read the server's last word. */
async function expectDifferencesToBeListed(): Promise<void> {
  for (const [entity, table] of [
    [Folder, 'folder'],
    [Note, 'note'],
  ] as const) {
    const notes = journal(bob.getRepository<Folder | Note>(entity))
    const listed = new Set([...(await notes.pending()), ...(await unappliedOf(notes)), ...(await notes.rejected())].map(row => row.id))
    const [here, there] = [await rowsOf(bob, table), await rowsOf(server.dataSource, table)].map(
      rows => new Map(rows.map(row => [String(row.id), JSON.stringify(row)])),
    )
    const unread = new Set(['contested', 'q1', 'q2', 'q3'])
    for (const id of new Set([...(here?.keys() ?? []), ...(there?.keys() ?? [])]))
      if (here?.get(id) !== there?.get(id) && !unread.has(id)) expect([...listed]).toContain(id)
    if (listed.size) expect(await hasLocalChanges(bob)).toBe(true)
  }
}
