// What the journal lists: no more than was asked for, and how far each server is read and pushed.

import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, servers, syncAll } from 'typeorm-sync'
import { device, startServer, Wire } from './devices.js'

interface Note {
  id: string
  text: string | null
}
const Note = new EntitySchema<Note>({
  ...{ name: 'ListedNote', tableName: 'listed_note' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, text: { type: 'varchar', length: 64, nullable: true } },
})
/** It is not accepted without its note. */
const Remark = new EntitySchema<{ id: string; note: { id: string } }>({
  ...{ name: 'ListedRemark', tableName: 'listed_remark' },
  columns: { id: { type: 'varchar', length: 64, primary: true } },
  relations: { note: { type: 'many-to-one', target: 'ListedNote', nullable: false } },
})
enableSync(Note, '/listedNotes')
enableSync(Remark, '/listedRemarks')

let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource
let wire: Wire
beforeEach(async () => {
  server = await startServer([Note, Remark])
  wire = new Wire()
  alice = await device([Note, Remark], server.url)
  bob = await device([Note, Remark], server.url, { fetch: wire.fetch })
})
afterEach(() => Promise.all([alice.destroy(), bob.destroy(), server.stop()]))

const notes = (who: DataSource) => who.getRepository<Note>('ListedNote')
const add = (who: DataSource, text: string, ...ids: string[]) => notes(who).save(ids.map(id => ({ id, text })))

test('lists have as many rows as were asked for', async () => {
  const idsOf = async (limit?: number) => {
    const listed = journal(notes(bob))
    const options = limit === undefined ? undefined : { limit }
    const lists = [await listed.pending(options), await listed.conflicts(options), await listed.rejected(options)]
    return lists.map(rows => rows.map(row => row.id))
  }
  await add(alice, 'Alice’s', 'a', 'b', 'c')
  await syncAll(alice)
  await add(bob, 'Bob’s', 'a', 'b', 'c', 'd', 'e', 'f')
  wire.before = ({ method }) => {
    if (method === 'GET') return
    const errors = ['d', 'e', 'f'].map(id => ({ collection: '/listedNotes', id, code: 'not-allowed', detail: 'Not today.' }))
    return new Response(JSON.stringify({ errors }), { status: 422, headers: { 'content-type': 'application/problem+json' } })
  }
  await syncAll(bob)
  await add(bob, 'Bob’s', 'x', 'y', 'z')
  expect(await idsOf()).toEqual([
    ['x', 'y', 'z'],
    ['a', 'b', 'c'],
    ['d', 'e', 'f'],
  ])
  expect(await idsOf(2)).toEqual([
    ['x', 'y'],
    ['a', 'b'],
    ['d', 'e'],
  ])
  await notes(bob).update('d', { text: 'It is pending again.' })
  expect((await idsOf(2))[2]).toEqual(['e', 'f'])
  expect(await journal(notes(bob)).pending({ url: 'http://elsewhere', limit: 2 })).toEqual([])
})

test('of what is not applied a list has the conflicts, or what is deferred', async () => {
  await add(alice, 'Alice’s', 'a', 'b')
  await syncAll(alice)
  await add(bob, 'Bob’s', 'a', 'b')
  await syncAll(bob)
  const listed = journal(notes(bob))
  expect((await listed.conflicts({ limit: 1 })).map(row => row.id)).toEqual(['a'])
  expect(await listed.deferred({ limit: 1 })).toEqual([])
})

test('a server is listed for each entity, with how far it is read and pushed', async () => {
  const first = async () => (await servers(bob))[0]
  expect(await servers(bob)).toMatchObject([
    { entity: 'ListedNote', url: `${server.url}/listedNotes`, readUpTo: 0, pushedUpTo: 0, changedUpTo: 0, isPushed: true },
    { entity: 'ListedRemark', url: `${server.url}/listedRemarks`, readUpTo: 0 },
  ])
  await add(alice, 'Alice’s', 'a')
  await syncAll(alice)
  await syncAll(bob)
  const read = await first()
  expect(read).toMatchObject({ isPushed: true, hasOpenPush: false, isReading: false })
  expect(read?.readUpTo).toBeGreaterThan(Date.now() - 60_000)

  await notes(bob).update('a', { text: 'Bob’s' })
  const changed = await first()
  expect(changed).toMatchObject({ isPushed: false, readUpTo: read?.readUpTo, pushedUpTo: read?.pushedUpTo })
  expect(changed?.changedUpTo).toBeGreaterThan(Number(read?.changedUpTo))

  wire.after = ({ method }) => {
    if (method === 'POST') throw new Error('the answer is lost')
  }
  await expect(syncAll(bob)).rejects.toThrow('the answer is lost')
  expect(await first()).toMatchObject({ isPushed: false, hasOpenPush: true })
  wire.mend()
  await syncAll(bob)
  const pushed = await first()
  expect(pushed).toMatchObject({ isPushed: true, hasOpenPush: false })
  expect(pushed?.pushedUpTo).toBeGreaterThanOrEqual(Number(changed?.changedUpTo))
  expect(await journal(notes(bob)).servers()).toEqual([pushed])
})

test('what was pulled is nothing to be pushed', async () => {
  await add(alice, 'Alice’s', 'a')
  await syncAll(alice)
  await syncAll(bob)
  await notes(alice).update('a', { text: 'Again' })
  await syncAll(alice)
  await syncAll(bob)
  expect(await servers(bob)).toMatchObject([{ isPushed: true }, { isPushed: true }])
})
