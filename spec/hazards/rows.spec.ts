import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { device, startServer, testOnSqlite } from '../stories/devices.js'
import { unappliedOf } from '../support/unapplied.js'
import {
  beforeRoutes,
  client,
  closing,
  drop,
  edit,
  entities,
  hasFeed,
  nowOf,
  put,
  rowsIn,
  server,
  syncOnly,
  titles,
  twoWindows,
} from './world.js'

const post = async (url: string, path: string, body: unknown) => {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { code: response.status, ...((await response.json()) as { now?: number; since?: number }) }
}
/** The notes before their folders, where that is possible. */
const syncNotes = (of: Awaited<ReturnType<typeof client>>) => (hasFeed ? syncAll(of.notes) : syncOnly(of, '/notes'))
const putFolder = (of: DataSource, id: string) => of.query('INSERT INTO folder (id, name) VALUES (?, ?)', [id, id])
const dropFolder = (of: DataSource, id: string) => of.query('DELETE FROM folder WHERE id = ?', [id])
const slugs = async (of: DataSource) =>
  (await of.query('SELECT id, slug FROM note ORDER BY id')).map((n: { id: string; slug: string }) => n.id + n.slug)

const Branch = new EntitySchema<{ id: string; name: string }>({
  ...{ name: 'Branch', tableName: 'branch' },
  columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' } },
  relations: { parent: { type: 'many-to-one', target: 'Branch', nullable: true, onDelete: 'CASCADE' } },
} as never)
enableSync(Branch, '/branches')

// ---------------------------------------------------------------- rules of the database

test('a note whose unique slug another one has is in conflict, the others arrive, and nothing of the server’s is pushed back', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c', 'd']) await put(there, id, id, { slug: id })
  const alice = await client(url)
  await put(alice.dataSource, 'x', 'hers', { slug: 'b' })
  expect(await syncAll(alice.notes)).toMatchObject({ pulled: 3, unapplied: 1, rejected: 1 })
  expect(await slugs(alice.dataSource)).toEqual(['aa', 'cc', 'dd', 'xb'])
  expect(await unappliedOf(journal(alice.notes))).toMatchObject([{ id: 'b', reason: 'not-unique' }])
  // the transactions that were tried in vain have left no stamp that would count as a change of ours
  await edit(alice.dataSource, 'a', 'edited')
  await syncAll(alice.notes)
  const pushedIds = alice.wire.requests.filter(r => r.method === 'POST').flatMap(r => rowsIn(r.body).map(row => row.id))
  expect(new Set(pushedIds)).toEqual(new Set(['x', 'a']))
  await alice.dataSource.query(`UPDATE note SET slug = 'x' WHERE id = 'x'`)
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  expect(await slugs(alice.dataSource)).toEqual(['aa', 'bb', 'cc', 'dd', 'xx'])
  expect(await slugs(there)).toEqual(['aa', 'bb', 'cc', 'dd', 'xx'])
})

test('two notes that exchange their unique slugs arrive as they are, in both directions', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id, id, { slug: id })
  const alice = await client(url)
  const swap = async (of: DataSource) => {
    await of.query(`UPDATE note SET slug = NULL WHERE id = 'a'`)
    await of.query(`UPDATE note SET slug = CASE slug WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = 'b'`)
    await of.query(`UPDATE note SET slug = (SELECT CASE slug WHEN 'a' THEN 'b' ELSE 'a' END FROM note WHERE id = 'b') WHERE id = 'a'`)
  }
  await syncAll(alice.notes)
  await swap(there)
  expect(await syncAll(alice.notes)).toMatchObject({ pulled: 2, unapplied: 0 })
  expect(await slugs(alice.dataSource)).toEqual(['ab', 'ba'])
  await swap(alice.dataSource)
  expect(await syncAll(alice.notes)).toMatchObject({ rejected: 0 })
  expect(await slugs(there)).toEqual(['aa', 'bb'])
})

test('what they had before is still what a server above knows of them', async () => {
  const above = await server()
  const relay = await startServer(entities, { before: beforeRoutes, options: { server: above.url, retries: 0 } })
  closing(() => relay.stop())
  for (const id of ['a', 'b']) await put(above.dataSource, id, id, { slug: id })
  await syncAll(relay.dataSource)
  const swapped = [
    { id: 'a', slug: 'b', _partial: true },
    { id: 'b', slug: 'a', _partial: true },
  ]
  expect(await post(relay.url, '/notes', swapped)).toMatchObject({ code: 200 })
  await above.dataSource.query(`UPDATE note SET slug = 'c' WHERE id = 'a'`)
  const bases: unknown[] = []
  await syncAll(relay.dataSource, conflicts => void bases.push(...conflicts.map(c => (c.base as { slug: string } | null)?.slug)))
  expect(new Set(bases)).toEqual(new Set(['a']))
})

test('a resolution that the database rejects leaves the others as they are, and no stamp behind', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c']) await put(there, id, 'zero')
  const alice = await client(url)
  await syncAll(alice.notes)
  for (const id of ['a', 'b']) await edit(alice.dataSource, id, 'hers')
  for (const id of ['a', 'b']) await edit(there, id, 'remote')
  await alice.dataSource.query(`UPDATE note SET slug = 'taken' WHERE id = 'c'`)
  await syncAll(alice.notes)
  alice.wire.mend()
  await syncAll(alice.notes, (conflicts, updates) => {
    updates.push({ id: 'a', slug: 'taken' })
    conflicts.find(c => c.id === 'b')?.takeRemote()
  })
  expect(alice.wire.requests.filter(r => r.method === 'POST')).toEqual([])
  expect(await titles(alice.dataSource)).toEqual({ a: 'hers', b: 'remote', c: 'zero' })
  await edit(alice.dataSource, 'c', 'later')
  await syncAll(alice.notes)
  expect(alice.wire.requests.flatMap(r => (r.method === 'POST' ? rowsIn(r.body) : []))).toMatchObject([{ id: 'c', title: 'later' }])
  await syncAll(alice.notes, preferLocalConflictHandler)
  expect(await titles(there)).toEqual({ a: 'hers', b: 'remote', c: 'later' })
})

testOnSqlite('triggers that somebody dropped are back for the sync, and what was made meanwhile is told', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  const triggers = await alice.dataSource.query(`SELECT name FROM sqlite_master WHERE type = 'trigger'`)
  for (const { name } of triggers) await alice.dataSource.query(`DROP TRIGGER "${name}"`)
  await put(alice.dataSource, 'a')
  await syncAll(alice.notes)
  await put(alice.dataSource, 'b')
  await syncAll(alice.notes)
  expect(await titles(there)).toEqual({ a: 'a', b: 'b' })
})

// ---------------------------------------------------------------- a decision counts for what was shown

test('what is written while a conflict handler runs is not overwritten by its resolution', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'zero')
  const alice = await client(url)
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'a', 'hers')
  await edit(there, 'a', 'remote')
  await syncAll(alice.notes, async (conflicts, updates) => {
    await edit(alice.dataSource, 'a', 'hers, later')
    preferRemoteConflictHandler(conflicts, updates, () => {})
  })
  expect(await titles(alice.dataSource)).toEqual({ a: 'hers, later' })
  expect(await syncAll(alice.notes, preferLocalConflictHandler)).toMatchObject({ conflicts: 1 })
  expect(await titles(there)).toEqual({ a: 'hers, later' })
})

test('nor does a decision count for a version of the server’s that came after it was asked for', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'zero')
  const [first, second] = await twoWindows(url)
  await syncAll(first.notes)
  await edit(first.dataSource, 'a', 'hers')
  await edit(there, 'a', 'remote')
  const asked: unknown[] = []
  await syncAll(first.notes, async (conflicts, updates) => {
    asked.push(...conflicts.map(c => (c.remote as { title: string }).title))
    if (asked.length === 1) {
      await edit(there, 'a', 'remote, later')
      await syncAll(second.notes)
    }
    preferLocalConflictHandler(conflicts, updates, () => {})
  })
  await syncAll(first.notes, (conflicts, updates) => {
    asked.push(...conflicts.map(c => (c.remote as { title: string }).title))
    preferLocalConflictHandler(conflicts, updates, () => {})
  })
  expect(asked).toEqual(['remote', 'remote, later'])
})

test('a removal as resolution cascades to the notes that were shown, and to no others', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  await put(there, 'a', 'a', { folderId: 'f' })
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await edit(alice.dataSource, 'a', 'hers')
  await dropFolder(there, 'f')
  const shown: unknown[] = []
  await syncAll(alice.folders, async conflicts => {
    shown.push(conflicts.map(c => c.children.map(child => child.id)))
    if (shown.length === 1) await put(alice.dataSource, 'b', 'b', { folderId: 'f' })
    for (const c of conflicts) c.takeRemote()
  })
  expect(shown[0]).toEqual([['a']])
  expect(await titles(alice.dataSource)).toEqual({ a: 'hers', b: 'b' })
  await syncAll(alice.dataSource, conflicts => {
    shown.push(conflicts.map(c => c.children.map(child => child.id)))
    for (const c of conflicts) c.takeRemote()
  })
  expect(shown[1]).toEqual([['a', 'b']])
})

// ---------------------------------------------------------------- what a removal cascades to

test('a removal that reaches a note which its sender has not seen is not stored', async () => {
  const there = await startServer([Branch], { before: beforeRoutes })
  closing(() => there.stop())
  await there.dataSource.query('INSERT INTO branch (id, name) VALUES (?, ?)', ['root', 'root'])
  const since = await nowOf(there.dataSource)
  await there.dataSource.query('INSERT INTO branch (id, name, "parentId") VALUES (?, ?, ?)', ['twig', 'twig', 'root'])
  expect(await post(there.url, `/branches?since=${since}`, [{ id: 'root', _removed: true }])).toMatchObject({ code: 409 })
  expect(await there.dataSource.query('SELECT id FROM branch')).toHaveLength(2)
  const { now } = await post(there.url, `/branches?since=${await nowOf(there.dataSource)}`, [{ id: 'root', _removed: true }])
  expect(now).toBe(await nowOf(there.dataSource))
})

test('a note that is moved to a folder which Alice has removed is asked about', async () => {
  const { dataSource: there, url } = await server()
  for (const folder of ['f', 'g']) await putFolder(there, folder)
  await put(there, 'a', 'a', { folderId: 'f' })
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(alice.dataSource, 'g')
  await there.query(`UPDATE note SET "folderId" = 'g'`)
  await syncNotes(alice)
  expect(await unappliedOf(journal(alice.notes))).toMatchObject([{ id: 'a', reason: 'parent-removed' }])
})

test('a removal that was read ahead is not stored where a note comes to it meanwhile that needs a word about it', async () => {
  const { dataSource: there, url } = await server()
  for (const folder of ['f', 'g']) await putFolder(there, folder)
  await put(there, 'a', 'a', { folderId: 'f' })
  const [alice, other] = await twoWindows(url, { batchSize: 1 })
  for (const window of [alice, other]) await syncAll(window.dataSource)
  await alice.dataSource.query(`UPDATE folder SET name = 'hers' WHERE id = 'f'`)
  await dropFolder(alice.dataSource, 'g')
  alice.wire.before = async request => {
    if (request.method !== 'POST') return
    alice.wire.mend()
    await new Promise(resolve => setTimeout(resolve, 50)) // the removal is read meanwhile
    await there.query(`UPDATE note SET "folderId" = 'g'`)
    if (hasFeed) return
    // it is read here as well, where the notes are synced by themselves
    other.wire.before = ({ url }) => (new URL(url).pathname === '/folders' ? new Response('{}', { status: 503 }) : undefined)
    await expect(syncAll(other.notes)).rejects.toMatchObject({ status: 503 })
    expect(await unappliedOf(journal(other.notes))).toMatchObject([{ id: 'a', reason: 'parent-removed' }])
  }
  expect((await syncAll(alice.folders)).entities.Folder).toMatchObject({ pushed: 1, rejected: 0, heldBack: 1 })
  expect(await titles(there)).toEqual({ a: 'a' })
  expect(await there.query('SELECT id, name FROM folder ORDER BY id')).toEqual([
    { id: 'f', name: 'hers' },
    { id: 'g', name: 'g' },
  ])
  expect(await unappliedOf(journal(alice.notes))).toMatchObject([{ id: 'a', reason: 'parent-removed' }])
})

test('a folder is removed with the notes that Alice has seen in it; one that she has not seen is asked about first', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  await put(there, 'a', 'a', { folderId: 'f' })
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(alice.dataSource, 'f')
  let isPut = false
  alice.wire.before = async request => {
    if (request.method !== 'POST' || isPut) return
    isPut = true
    await put(there, 'b', 'unseen', { folderId: 'f' })
  }
  if (hasFeed) {
    expect(await syncAll(alice.folders)).toMatchObject({
      rejected: 0,
      heldBack: 1,
      unapplied: 1,
      entities: { Folder: { heldBack: 1 }, Note: { unapplied: 1 } },
    })
    // that note goes which she has seen, and its folder stays
    expect(await titles(there)).toEqual({ b: 'unseen' })
  } else {
    expect(await syncOnly(alice, '/folders')).toMatchObject({ rejected: 1 })
    expect(await titles(there)).toEqual({ a: 'a', b: 'unseen' })
  }
  expect(await there.query('SELECT id FROM folder')).toEqual([{ id: 'f' }])
  const asked: string[] = []
  for (let i = 0; i < 3; i++)
    await syncAll(alice.dataSource, conflicts => {
      for (const c of conflicts) {
        asked.push(c.id)
        c.takeRemote()
      }
    })
  expect(asked).toContain('b')
  expect(await titles(there)).toMatchObject({ b: 'unseen' })
  expect(await titles(alice.dataSource)).toEqual(await titles(there))
  // and now that she has seen it
  await dropFolder(alice.dataSource, 'f')
  for (let i = 0; i < 2; i++) await syncAll(alice.dataSource)
  expect(await titles(there)).toEqual({})
  expect(await journal(alice.folders).rejected()).toEqual([])
})

test('every client gets what a removal on the server cascaded to, the one that pushed it as well', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  await put(there, 'a', 'a', { folderId: 'f' })
  const bob = await client(url)
  await syncAll(bob.dataSource)
  const since = await nowOf(there)
  const answer = await post(url, `/folders?since=${since}&seen=${since}:/notes`, [{ id: 'f', _removed: true }])
  expect(answer).toMatchObject({ code: 200, now: await nowOf(there) })
  expect(answer).not.toHaveProperty('since')
  await syncAll(bob.notes)
  expect(await titles(bob.dataSource)).toEqual({})
})

test('what is removed with a folder of the server’s is not pushed back', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['f', 'g']) await putFolder(there, id)
  await put(there, 'a', 'a', { folderId: 'f' })
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(there, 'f')
  await syncAll(alice.dataSource)
  expect(await titles(alice.dataSource)).toEqual({})
  expect(alice.wire.requests.filter(r => r.method === 'POST')).toEqual([])
})

test('a note that was removed with its folder, and made anew elsewhere, is no conflict', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  await put(there, 'a', 'a', { folderId: 'f' })
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(there, 'f')
  // with a feed both come at once
  if (!hasFeed) await syncOnly(alice, '/folders')
  await put(there, 'a', 'anew')
  expect(await syncAll(alice.dataSource)).toMatchObject({ conflicts: 0, unapplied: 0 })
  expect(await titles(alice.dataSource)).toEqual({ a: 'anew' })
})

test('a removal that was rejected or held back for a note which is gone since is pushed again', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(alice.dataSource, 'f')
  alice.wire.before = async request => {
    if (request.method !== 'POST') return
    alice.wire.mend()
    await put(there, 'a', 'unseen', { folderId: 'f' })
  }
  expect(await syncAll(alice.folders)).toMatchObject(hasFeed ? { rejected: 0, heldBack: 1 } : { rejected: 1, heldBack: 0 })
  await there.query(`DELETE FROM note WHERE id = 'a'`)
  await syncAll(alice.dataSource)
  await syncAll(alice.dataSource)
  expect(await there.query('SELECT id FROM folder')).toEqual([])
})

testOnSqlite('nor what goes beside a folder that a rule of the application’s keeps here', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['f', 'g']) await putFolder(there, id)
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await alice.dataSource.query(
    `CREATE TRIGGER keeper BEFORE DELETE ON folder WHEN OLD.id = 'f' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: keeper'); END`,
  )
  for (const id of ['f', 'g']) await dropFolder(there, id)
  expect(await syncAll(alice.folders)).toMatchObject({ unapplied: 1 })
  expect(await alice.dataSource.query('SELECT id FROM folder')).toEqual([{ id: 'f' }])
  const pushes = () => alice.wire.requests.filter(r => r.method === 'POST').map(r => r.body)
  expect(pushes()).toEqual([])
  // nor later: the stamp of the removal that was undone is not forgotten with it
  await putFolder(alice.dataSource, 'h')
  await syncAll(alice.folders)
  expect(pushes()).toEqual([hasFeed ? '{"changes":{"/folders":[{"id":"h","name":"h"}]}}' : '[{"id":"h","name":"h"}]'])
})

test('a folder that Alice removed stays on the server while a note that came into it waits for a word', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(alice.dataSource, 'f')
  await put(there, 'a', 'a', { folderId: 'f' })
  await syncNotes(alice)
  expect(await unappliedOf(journal(alice.notes))).toMatchObject([{ id: 'a' }])
  await syncAll(alice.folders)
  expect(await titles(there)).toEqual({ a: 'a' })
  await syncAll(alice.notes, conflicts => {
    for (const c of conflicts) c.takeRemote()
  })
  await syncAll(alice.dataSource)
  expect(await titles(alice.dataSource)).toEqual({ a: 'a' })
  expect(await there.query('SELECT id FROM folder')).toEqual([{ id: 'f' }])
})

test('nor is its removal applied while that note is in conflict: applying the note brings the folder back', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await dropFolder(alice.dataSource, 'f')
  await there.query(`UPDATE folder SET name = 'renamed'`)
  await put(there, 'a', 'a', { folderId: 'f' })
  const both = { Folder: { unapplied: 1 }, Note: { unapplied: 1 } }
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 2, entities: both })
  expect((await syncAll(alice.folders, preferLocalConflictHandler)).entities).toMatchObject({
    ...both,
    Folder: { conflicts: 1, unapplied: 1 },
  })
  await syncAll(alice.notes, preferRemoteConflictHandler)
  await syncAll(alice.dataSource)
  expect(await titles(alice.dataSource)).toEqual({ a: 'a' })
  expect(await alice.dataSource.query('SELECT name FROM folder')).toEqual([{ name: 'renamed' }])
  expect(await there.query('SELECT name FROM folder')).toEqual([{ name: 'renamed' }])
})

test('notes that come with their folder arrive with it, and those that are read before it wait for it', async () => {
  const { dataSource: there, url } = await server()
  await putFolder(there, 'f')
  for (const id of ['a', 'b']) await put(there, id, id, { folderId: 'f' })
  const alice = await client(url)
  if (!hasFeed) {
    await syncOnly(alice, '/notes')
    expect((await unappliedOf(journal(alice.notes))).map(w => [w.id, w.reason])).toEqual([
      ['a', 'parent-missing'],
      ['b', 'parent-missing'],
    ])
    expect(await titles(alice.dataSource)).toEqual({})
    await syncOnly(alice, '/folders')
  } else expect(await syncAll(alice.notes)).toMatchObject({ pulled: 3, unapplied: 0, requests: 1 })
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ a: 'a', b: 'b' })
})

test('notes that are pushed with their folder are stored with it, and those that are pushed before it are pushed again', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await putFolder(alice.dataSource, 'f')
  await put(alice.dataSource, 'a', 'a', { folderId: 'f' })
  if (!hasFeed) {
    expect(await syncOnly(alice, '/notes')).toMatchObject({ rejected: 1 })
    await syncOnly(alice, '/folders')
  } else expect(await syncAll(alice.notes)).toMatchObject({ pushed: 2, rejected: 0, requests: 2 })
  expect(await syncAll(alice.notes)).toMatchObject({ rejected: 0 })
  expect(await titles(there)).toEqual({ a: 'a' })
})

test('branches that hang on each other arrive together', async () => {
  const there = await startServer([Branch], { before: beforeRoutes })
  closing(() => there.stop())
  const [alice, bob] = await Promise.all([device([Branch], there.url), device([Branch], there.url)])
  for (const each of [alice, bob]) closing(() => each.destroy())
  for (const id of ['x', 'y']) await alice.query('INSERT INTO branch (id, name) VALUES (?, ?)', [id, id])
  await alice.query(`UPDATE branch SET "parentId" = CASE id WHEN 'x' THEN 'y' ELSE 'x' END`)
  expect(await syncAll(alice)).toMatchObject({ pushed: 2, rejected: 0 })
  expect(await syncAll(bob)).toMatchObject({ pulled: 2, unapplied: 0 })
  expect(await bob.query('SELECT id, "parentId" FROM branch ORDER BY id')).toEqual([
    { id: 'x', parentId: 'y' },
    { id: 'y', parentId: 'x' },
  ])
})

test('a note that was edited here and removed there is asked about', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const alice = await client(url)
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'a', 'hers')
  await there.query('DELETE FROM note')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  expect(await titles(alice.dataSource)).toEqual({ a: 'hers' })
})

test('a note that was moved here into a folder that goes is asked about, where the folder may go without it', async () => {
  const text = { type: 'varchar' } as const
  const Box = new EntitySchema<{ id: string }>({ ...{ name: 'Box', tableName: 'box' }, columns: { id: { ...text, primary: true } } })
  const Thing = new EntitySchema<{ id: string; boxId: string | null }>({
    ...{ name: 'Thing', tableName: 'thing' },
    columns: { id: { ...text, primary: true } },
    relations: { box: { type: 'many-to-one', target: 'Box', nullable: true, onDelete: 'SET NULL' } },
  } as never)
  enableSync(Box, '/boxes')
  enableSync(Thing, '/things')
  const all = [Box, Thing]
  const there = await startServer(all, { before: beforeRoutes })
  closing(() => there.stop())
  const alice = await device(all, there.url)
  closing(() => alice.destroy())
  for (const id of ['one', 'two']) await there.dataSource.query('INSERT INTO box (id) VALUES (?)', [id])
  await there.dataSource.query(`INSERT INTO thing (id, "boxId") VALUES ('t', 'one')`)
  await syncAll(alice)
  await alice.query(`UPDATE thing SET "boxId" = 'two'`)
  await there.dataSource.query(`DELETE FROM box WHERE id = 'two'`)
  await syncAll(alice)
  expect(await unappliedOf(journal(alice.getRepository(Box)))).toMatchObject([{ id: 'two', reason: 'children-changed' }])
  expect(await alice.query('SELECT "boxId" FROM thing')).toEqual([{ boxId: 'two' }])
})

// ---------------------------------------------------------------- what counts as new

test('a note that was made and removed here before the first pull is the server’s, and its removal is not pushed', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  for (const id of ['a', 'b', 'c']) await put(there, id, 'remote')
  await put(alice.dataSource, 'a', 'hers')
  await drop(alice.dataSource, 'a')
  const all = { a: 'remote', b: 'remote', c: 'remote' }
  expect(await syncAll(alice.notes)).toMatchObject({ pulled: 3, unapplied: 0, pushed: 0 })
  await edit(alice.dataSource, 'b', 'edited')
  expect(await syncAll(alice.notes)).toMatchObject({ pushed: 1 })
  expect(await titles(alice.dataSource)).toEqual({ ...all, b: 'edited' })
  expect(await titles(there)).toEqual({ ...all, b: 'edited' })
  expect(await alice.dataSource.query('SELECT * FROM sync_tombstone')).toEqual([])
})

test('a whole note that is posted under an id which was removed since is not stored as if it were new', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'first')
  const since = await nowOf(there)
  await drop(there, 'a')
  const whole = (await (await fetch(`${url}/notes?since=0`)).json()) as { collection: string }
  const { dataSource: elsewhere, url: other } = await server()
  await put(elsewhere, 'a', 'hers')
  const [row] = ((await (await fetch(`${other}/notes?since=0`)).json()) as { updates: object[] }).updates
  expect(await post(url, `/notes?since=${since}&collection=${whole.collection}`, [row])).toMatchObject({ code: 409 })
  expect(await titles(there)).toEqual({})
})

test('a note that comes as it is here already does not move the clock, by which others would fetch it', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const alice = await client(url)
  await syncAll(alice.notes)
  const before = await nowOf(alice.dataSource)
  for (const title of ['b', 'a']) await edit(there, 'a', title)
  const { bytes } = await syncAll(alice.notes)
  expect(bytes.received).toBeGreaterThan(0)
  expect(await nowOf(alice.dataSource)).toBe(before)
})

testOnSqlite('the removal of a folder that a rule of the database here rejects makes no local changes of the other ones', async () => {
  const { dataSource: there, url } = await server()
  await there.query(`INSERT INTO folder (id, name) VALUES ('a', 'A'), ('b', 'B')`)
  const alice = await client(url)
  await syncAll(alice.dataSource)
  await alice.dataSource.query(
    `CREATE TRIGGER kept BEFORE DELETE ON folder WHEN OLD.id = 'b' BEGIN SELECT RAISE(ABORT, 'It is kept.'); END`,
  )
  await there.query('DELETE FROM folder')
  await put(alice.dataSource, 'n')
  expect(await syncAll(alice.dataSource)).toMatchObject({ unapplied: 1, pushed: 1 })
  expect(await alice.folders.find()).toMatchObject([{ id: 'b' }])
})

test('a note that is born in a relay keeps, for the server above, that there was none', async () => {
  const above = await server()
  const relay = await startServer(entities, { before: beforeRoutes, options: { server: above.url, retries: 0 } })
  closing(() => relay.stop())
  await put(above.dataSource, 'other')
  await syncAll(relay.dataSource)
  expect(await post(relay.url, '/notes', [{ id: 'a', title: 'new', body: null, slug: null, folder: null }])).toMatchObject({ code: 200 })
  const kept = await relay.dataSource.query('SELECT _sync_id AS id, _sync_removed AS removed FROM sync_base_note')
  expect(kept.map((k: { id: string; removed: unknown }) => [k.id, Number(k.removed)])).toEqual([['a', 1]])
})
