// Two devices move two folders into each other: neither has made a circle, both together would.

import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import {
  type Conflict,
  ConstraintError,
  enableSync,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  resolveEach,
  syncAll,
} from 'typeorm-sync'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, expectAtRest, expectEqual, startServer, Wire } from './devices.js'

interface Folder {
  id: string
  name: string
  parent: Folder | null
}

const text = { type: 'varchar', length: 40 } as const
const schemaOf = (name: string) =>
  new EntitySchema<Folder>({
    name,
    tableName: name.toLowerCase(),
    columns: { id: { ...text, primary: true }, name: text },
    relations: { parent: { type: 'many-to-one', target: name, nullable: true, onDelete: 'CASCADE' } },
  })
const folderSchema = schemaOf('Folder')
const friendSchema = schemaOf('Friend')
enableSync(folderSchema, '/folders')
enableSync(friendSchema, '/friends', { cyclic: ['parent'] })

let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource
let wire: Wire

beforeEach(async () => {
  server = await startServer([folderSchema, friendSchema])
  wire = new Wire()
  alice = await device([folderSchema, friendSchema], server.url)
  bob = await device([folderSchema, friendSchema], server.url, { fetch: wire.fetch })
})
afterEach(() => Promise.all([alice.destroy(), bob.destroy(), server.stop()]))

const folders = (who: DataSource) => journal(who.getRepository<Folder>('Folder'))
const put = (who: DataSource, id: string, parent: string | null, table = 'folder') =>
  who.query(`INSERT INTO ${table} (id, name, "parentId") VALUES (?, ?, ?)`, [id, id, parent])
const move = (who: DataSource, id: string, parent: string | null, table = 'folder') =>
  who.query(`UPDATE ${table} SET "parentId" = ? WHERE id = ?`, [parent, id])
const parents = async (who: DataSource, table = 'folder') =>
  Object.fromEntries(
    (await who.query(`SELECT id, "parentId" FROM ${table} ORDER BY id`)).map((r: { id: string; parentId: string }) => [r.id, r.parentId]),
  )

async function expectDone(expected: Record<string, string | null>): Promise<void> {
  await applyDecided([bob, alice])
  await expectEqual([server.dataSource, alice, bob], ['folder'])
  expect(await parents(alice)).toEqual(expected)
  await expectAtRest([alice, bob])
}

/** Alice has moved x into y, Bob y into x; Alice was faster. */
async function tie(): Promise<void> {
  for (const id of ['x', 'y']) await put(alice, id, null)
  await applyDecided([alice, bob])
  await move(alice, 'x', 'y')
  await move(bob, 'y', 'x')
  await syncAll(alice)
}

describe('two folders that were moved into each other', () => {
  test.each([
    ['ours stays', preferLocalConflictHandler, { x: null, y: 'x' }],
    ['remote stays', preferRemoteConflictHandler, { x: 'y', y: null }],
    ['both are put elsewhere', resolveEach<Folder>(() => ({ parent: null })), { x: null, y: 'x' }],
    ['the remote one is returned', resolveEach<Folder>(c => c.remote as Folder), { x: 'y', y: null }],
  ])('are one conflict: %s', async (_, handler, expected) => {
    await tie()
    const asked: Conflict<Folder>[] = []
    const report = await syncAll(bob, (conflicts, updates, callback) => {
      asked.push(...(conflicts as Conflict<Folder>[]))
      return handler(conflicts as never, updates, callback)
    })
    expect(report).toMatchObject({ conflicts: 1, unapplied: 0, rejected: 0 })
    expect(asked).toMatchObject([{ id: 'x', properties: ['parent'], local: { name: 'x' }, remote: { name: 'x' } }])
    await expectDone(expected)
  })

  test('stay in conflict without a handler, no database has a circle, and the journal resolves them', async () => {
    await tie()
    await syncAll(bob)
    await syncAll(bob)
    await syncAll(alice)
    expect(await parents(server.dataSource)).toEqual({ x: 'y', y: null })
    expect(await parents(bob)).toEqual({ x: null, y: 'x' })
    expect(await unappliedOf(folders(bob))).toMatchObject([{ id: 'x', reason: 'cycle' }])
    expect(await folders(bob).rejected()).toEqual([])
    expect(await folders(bob).pending()).toMatchObject([{ id: 'y', heldBack: expect.stringMatching(/^It was moved below/) }])
    await folders(bob).resolve('x', { parent: null })
    await expectDone({ x: null, y: 'x' })
  })

  test('close no circle by other rows while ours is held back', async () => {
    await put(alice, 'w', null)
    await tie()
    await syncAll(bob)
    await move(alice, 'w', 'y')
    await move(alice, 'x', 'w')
    await syncAll(alice)
    await syncAll(bob)
    expect(await parents(server.dataSource)).toEqual({ w: 'y', x: 'w', y: null })
    expect(await parents(bob)).toEqual({ w: null, x: 'w', y: 'x' })
    await syncAll(bob, preferRemoteConflictHandler)
    await expectDone({ w: 'y', x: 'w', y: null })
  })

  test('close no circle by a row above both of them, which is the only one that arrives', async () => {
    for (const [id, parent] of [
      ['w', null],
      ['x', 'w'],
      ['y', null],
    ] as const)
      await put(alice, id, parent)
    await applyDecided([alice, bob])
    await move(alice, 'x', 'y')
    await move(bob, 'y', 'x')
    await syncAll(alice)
    for (let i = 0; i < 2; i++) await syncAll(bob)
    await move(alice, 'w', 'y')
    await syncAll(alice)
    await syncAll(bob)
    expect(await parents(bob)).toEqual({ w: null, x: 'w', y: 'x' })
    expect(await unappliedOf(folders(bob))).toMatchObject([
      { id: 'w', reason: 'cycle' },
      { id: 'x', reason: 'cycle' },
    ])
    await syncAll(bob, preferRemoteConflictHandler)
    await expectDone({ w: 'y', x: 'y', y: null })
  })

  test.each([
    ['the server’s move is taken', 'x'],
    ['our own is given up', 'y'],
  ])('are discarded in the journal: %s', async (_, id) => {
    await tie()
    await syncAll(bob)
    await folders(bob).discard(id)
    if (id === 'x') expect(await folders(bob).resolved()).toMatchObject([{ id: 'x' }, { id: 'y', decision: { name: 'y' } }])
    await expectDone({ x: 'y', y: null })
  })

  test('what was discarded for it can be brought back', async () => {
    await tie()
    await syncAll(bob, preferRemoteConflictHandler)
    await applyDecided([bob, alice])
    await move(alice, 'x', null)
    await applyDecided([alice, bob])
    const decision = (await folders(bob).resolved()).find(d => d.id === 'y')
    await folders(bob).undo(Number(decision?.resolutionId), 'local')
    await expectDone({ x: null, y: 'x' })
  })

  test('are contested as well where the other move arrives between our question and our push', async () => {
    for (const id of ['x', 'y']) await put(alice, id, null)
    await applyDecided([alice, bob])
    await move(alice, 'x', 'y')
    await move(bob, 'y', 'x')
    let isFirst = true
    wire.before = async ({ method }) => {
      if (method !== 'POST' || !isFirst) return
      isFirst = false
      await syncAll(alice)
    }
    expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 1 })
    await expectDone({ x: null, y: 'x' })
  })

  test('by way of others, which came on other pages', async () => {
    for (const id of ['a', 'b', 'x', 'y']) await put(alice, id, null)
    await put(alice, 'z', 'y')
    await applyDecided([alice, bob])
    await move(alice, 'x', 'b')
    await put(alice, 'new', 'z')
    await move(alice, 'b', 'new')
    await move(bob, 'y', 'a')
    await move(bob, 'a', 'x')
    await syncAll(alice)
    const report = await syncAll(bob, preferRemoteConflictHandler, { pageSize: 1 })
    expect(report).toMatchObject({ conflicts: 1, unapplied: 0 })
    await expectDone({ a: null, b: 'new', new: 'z', x: 'b', y: null, z: 'y' })
  })

  test('are no conflict any more once one of them was moved on', async () => {
    await tie()
    await syncAll(bob)
    await move(bob, 'y', null)
    expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 0, unapplied: 0 })
    await expectDone({ x: 'y', y: null })
  })
})

describe('no circle is closed by way of a row whose move is not applied here', () => {
  /** Both have named the folder, so that it is a conflict; Alice has moved it, too. */
  async function contest(id: string, parent: string | null): Promise<void> {
    await alice.query('UPDATE folder SET name = ?, "parentId" = ? WHERE id = ?', ['hers', parent, id])
    await bob.query('UPDATE folder SET name = ? WHERE id = ?', ['his', id])
  }

  const rejectBad = () =>
    server.dataSource.query(
      `CREATE TRIGGER rule BEFORE UPDATE ON folder WHEN NEW.name = 'bad' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`,
    )

  test('the server’s move of another one waits for it', async () => {
    await put(alice, 'w', null)
    await put(alice, 'x', 'w')
    await applyDecided([alice, bob])
    await contest('x', null)
    await move(alice, 'w', 'x')
    await syncAll(alice)
    expect(await syncAll(bob)).toMatchObject({ unapplied: 2 })
    expect(await parents(bob)).toEqual({ w: null, x: 'w' })
    expect(await unappliedOf(folders(bob))).toMatchObject([
      { id: 'w', reason: 'parent-missing' },
      { id: 'x', reason: 'contested' },
    ])
    expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 1 })
    await expectDone({ w: 'x', x: null })
  })

  test('the journal says which one is to be resolved first', async () => {
    await put(alice, 'w', null)
    await put(alice, 'x', 'w')
    await applyDecided([alice, bob])
    await contest('x', null)
    await contest('w', 'x')
    await syncAll(alice)
    await syncAll(bob)
    await expect(folders(bob).discard('w')).rejects.toThrow(ConstraintError)
    await expect(folders(bob).discard('w')).rejects.toThrow(/would close a circle with a row that is to be resolved, or moved, first/)
    expect(await parents(bob)).toEqual({ w: null, x: 'w' })
    for (const id of ['x', 'w']) await folders(bob).discard(id)
    await expectDone({ w: 'x', x: null })
  })

  test('of two decisions the one that needs the other is stored after it', async () => {
    await put(alice, 'w', null)
    await put(alice, 'x', 'w')
    await applyDecided([alice, bob])
    await contest('x', null)
    await contest('w', 'x')
    await syncAll(alice)
    expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 2, unapplied: 0 })
    await expectDone({ w: 'x', x: null })
  })

  test('a decision waits for a row that both have made, and that cannot be moved back', async () => {
    await put(alice, 'y', null)
    await applyDecided([alice, bob])
    await put(alice, 'x', null)
    await contest('y', 'x')
    await put(bob, 'x', 'y')
    await syncAll(alice)
    const takesY = resolveEach<Folder>(c => (c.id === 'y' ? (c.remote as Folder) : undefined))
    await syncAll(bob, takesY)
    expect(await parents(bob)).toEqual({ x: 'y', y: null })
    await syncAll(bob, preferRemoteConflictHandler)
    await expectDone({ x: null, y: 'x' })
  })

  test('our move is held back where the server has moved the other one', async () => {
    for (const id of ['x', 'y']) await put(alice, id, null)
    await applyDecided([alice, bob])
    await contest('x', 'y')
    await move(bob, 'y', 'x')
    await syncAll(alice)
    for (let i = 0; i < 2; i++) await syncAll(bob)
    expect(await parents(server.dataSource)).toEqual({ x: 'y', y: null })
    expect(await folders(bob).pending()).toMatchObject([{ id: 'y', heldBack: expect.stringMatching(/^It was moved below/) }])
    await syncAll(bob, preferRemoteConflictHandler)
    await expectDone({ x: 'y', y: null })
  })

  test('our move is held back where the server has rejected that of the other one', async () => {
    for (const [id, parent] of [
      ['z', null],
      ['q', 'z'],
      ['y', 'q'],
    ] as const)
      await put(alice, id, parent)
    await applyDecided([alice, bob])
    await rejectBad()
    await bob.query(`UPDATE folder SET name = 'bad', "parentId" = NULL WHERE id = 'y'`)
    await move(bob, 'z', 'y')
    for (let i = 0; i < 2; i++) expect(await syncAll(bob)).toMatchObject({ rejected: 1 })
    expect(await parents(server.dataSource)).toEqual({ q: 'z', y: 'q', z: null })
    await bob.query(`UPDATE folder SET name = 'good' WHERE id = 'y'`)
    await expectDone({ q: 'z', y: null, z: 'y' })
  })

  test.each(['rejected', 'held back'])('what a row was moved out of is not removed there before that, where its move is %s', async why => {
    for (const [id, parent] of [
      ['z', null],
      ['y', null],
      ['w', 'y'],
      ['q', 'w'],
    ] as const)
      await put(alice, id, parent)
    await applyDecided([alice, bob])
    await rejectBad()
    if (why === 'rejected') await bob.query(`UPDATE folder SET name = 'bad' WHERE id = 'w'`)
    else await contest('z', 'w')
    await move(bob, 'w', 'z')
    await bob.query(`DELETE FROM folder WHERE id = 'y'`)
    await syncAll(alice)
    for (let i = 0; i < 2; i++) await syncAll(bob)
    expect(await parents(server.dataSource)).toMatchObject({ w: 'y', q: 'w', y: null })
    expect(await folders(bob).pending()).toEqual(
      expect.arrayContaining([expect.objectContaining({ id: 'y', heldBack: expect.stringMatching(/^Rows that need it/) })]),
    )
    await bob.query(`UPDATE folder SET name = 'good' WHERE id = 'w'`)
    await syncAll(
      bob,
      resolveEach<Folder>(() => ({ parent: null })),
    )
    await expectDone({ q: 'w', w: 'z', z: null })
  })

  test('the server’s move is a conflict with one that it has rejected', async () => {
    for (const id of ['x', 'y']) await put(alice, id, null)
    await applyDecided([alice, bob])
    await rejectBad()
    await bob.query(`UPDATE folder SET name = 'bad', "parentId" = 'x' WHERE id = 'y'`)
    expect(await syncAll(bob)).toMatchObject({ rejected: 1 })
    await move(alice, 'x', 'y')
    await syncAll(alice)
    await syncAll(bob)
    expect(await parents(bob)).toEqual({ x: null, y: 'x' })
    expect(await unappliedOf(folders(bob))).toMatchObject([{ id: 'x', reason: 'cycle' }])
    await syncAll(bob, preferRemoteConflictHandler)
    expect(await parents(bob)).toEqual({ x: 'y', y: null })
    await bob.query(`UPDATE folder SET name = 'good' WHERE id = 'y'`)
    await expectDone({ x: 'y', y: null })
  })

  test('a move that is discarded closes none with another one of ours', async () => {
    for (const [id, parent] of [
      ['w', null],
      ['y', null],
      ['x', 'y'],
    ] as const)
      await put(alice, id, parent)
    await applyDecided([alice, bob])
    await move(alice, 'w', 'x')
    await move(bob, 'x', 'w')
    await move(bob, 'y', 'x')
    await syncAll(alice)
    expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1 })
    await expectDone({ w: 'x', x: 'y', y: null })
  })

  test('our move is discarded where a parent that comes back would close one with it', async () => {
    for (const [id, parent] of [
      ['v', null],
      ['x', null],
      ['z', 'x'],
    ] as const)
      await put(alice, id, parent)
    await applyDecided([alice, bob])
    await move(alice, 'v', 'z')
    await bob.query(`DELETE FROM folder WHERE id = 'z'`)
    await move(bob, 'x', 'v')
    await syncAll(alice)
    expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1 })
    await expectDone({ v: 'z', x: null, z: 'x' })
  })

  test.each(['a handler', 'the journal'])('what our move was out of comes back where %s discards it', async who => {
    for (const id of ['v', 'z']) await put(alice, id, null)
    await put(alice, 'w', 'v')
    await applyDecided([alice, bob])
    await move(alice, 'z', 'w')
    await syncAll(alice)
    await move(bob, 'w', 'z')
    await bob.query(`DELETE FROM folder WHERE id = 'v'`)
    await syncAll(bob, who === 'a handler' ? preferRemoteConflictHandler : undefined)
    if (who === 'the journal') await folders(bob).discard('z')
    expect(await parents(bob)).toEqual({ v: null, w: 'v', z: 'w' })
    await expectDone({ v: null, w: 'v', z: 'w' })
  })
})

describe('circles that the application wants', () => {
  test('a circle of our own stays as it is where one of its rows is decided and not moved', async () => {
    for (const id of ['x', 'y']) await put(alice, id, null)
    await applyDecided([alice, bob])
    await alice.query(`UPDATE folder SET name = 'hers' WHERE id = 'x'`)
    await bob.query(`UPDATE folder SET name = 'his' WHERE id = 'x'`)
    await move(bob, 'x', 'y')
    await move(bob, 'y', 'x')
    await syncAll(alice)
    expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1 })
    await expectDone({ x: 'y', y: 'x' })
  })

  test('a row that is its own parent, and a circle that one device has made, are stored', async () => {
    for (const id of ['x', 'y', 'z']) await put(alice, id, null)
    await applyDecided([alice, bob])
    await move(alice, 'x', 'x')
    await move(alice, 'y', 'z')
    await move(alice, 'z', 'y')
    await bob.query(`UPDATE folder SET name = 'Bob’s' WHERE id = 'z'`)
    await syncAll(alice)
    expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 0, unapplied: 0, merged: 1 })
    await expectDone({ x: 'x', y: 'z', z: 'y' })
  })

  test('a row that is its own parent can be contested, removed and brought back', async () => {
    await put(alice, 'x', null)
    await applyDecided([alice, bob])
    await move(alice, 'x', 'x')
    await bob.query(`DELETE FROM folder WHERE id = 'x'`)
    await syncAll(alice)
    await syncAll(bob, preferRemoteConflictHandler)
    await expectDone({ x: 'x' })
    await alice.query(`DELETE FROM folder WHERE id = 'x'`)
    await bob.query(`UPDATE folder SET name = 'Bob’s' WHERE id = 'x'`)
    await syncAll(bob)
    expect(await syncAll(alice, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1 })
    await expectDone({ x: 'x' })
  })

  test('a row that is its own parent, removed here and edited there, comes back from the journal', async () => {
    await put(alice, 'own', 'own')
    for (const device of [alice, bob]) await syncAll(device)
    await alice.query(`UPDATE folder SET name = 'hers'`)
    await bob.query('DELETE FROM folder')
    await syncAll(alice)
    expect(await syncAll(bob)).toMatchObject({ unapplied: 1 })
    await folders(bob).resolve('own', { id: 'own', name: 'ours', parent: { id: 'own' } } as never)
    for (const device of [bob, alice]) await syncAll(device)
    expect(await alice.query('SELECT * FROM folder')).toMatchObject([{ id: 'own', name: 'ours', parentId: 'own' }])
    await expectEqual([alice, bob, server.dataSource], ['folder'])
  })

  test('a circle that was removed here and edited there comes back whole', async () => {
    for (const id of ['x', 'y']) await put(alice, id, null)
    await applyDecided([alice, bob])
    await move(alice, 'x', 'y')
    await move(alice, 'y', 'x')
    await applyDecided([alice, bob])
    await bob.query(`UPDATE folder SET name = 'Bob’s'`)
    await alice.query(`DELETE FROM folder WHERE id = 'x'`)
    await syncAll(bob)
    await syncAll(alice, preferRemoteConflictHandler)
    await expectDone({ x: 'y', y: 'x' })
  })

  test('friends of each other are no conflict where the relation is said to run in circles', async () => {
    for (const id of ['x', 'y']) await put(alice, id, null, 'friend')
    await applyDecided([alice, bob])
    await move(alice, 'x', 'y', 'friend')
    await move(bob, 'y', 'x', 'friend')
    await syncAll(alice)
    expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 0, pushed: 1 })
    await applyDecided([alice, bob])
    expect(await parents(alice, 'friend')).toEqual({ x: 'y', y: 'x' })
  })
})

test('friends in a circle of the device’s own are removed one by one where the server’s removal of one is applied, and are in the journal', async () => {
  for (const id of ['x', 'y']) await put(alice, id, null, 'friend')
  await applyDecided([alice, bob])
  await server.dataSource.query(`DELETE FROM friend WHERE id = 'x'`)
  await move(alice, 'x', 'y', 'friend')
  await move(alice, 'y', 'x', 'friend')
  await syncAll(alice, preferRemoteConflictHandler)
  expect(await parents(alice, 'friend')).toEqual({})
  const friends = journal(alice.getRepository<Folder>('Friend'))
  expect(await unappliedOf(friends)).toEqual([])
  expect((await friends.resolved()).map(d => [d.id, d.local?.name, d.decision]).sort()).toEqual([
    ['x', 'x', null],
    ['y', 'y', null],
  ])
  await applyDecided([alice, bob])
  await expectEqual([server.dataSource, alice, bob], ['friend'])
})
