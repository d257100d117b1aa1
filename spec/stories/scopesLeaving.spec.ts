// Rows that leave: they are not seen any more, and nothing of them remains on the device but what was changed there and never pushed.

import { expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { adopt, enableSync, hasLocalChanges, journal, preferRemoteConflictHandler, syncAll, UnpushedChangesError, wipe } from 'typeorm-sync'
import { databaseOn, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { deviceOf, HandMade } from './handMade.js'

interface Folder {
  id: string
  name: string
  parentId?: string | null
}
const Folder = new EntitySchema<Folder>({
  ...{ name: 'Folder', tableName: 'folder' },
  columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' }, parentId: { type: 'varchar', nullable: true } },
  foreignKeys: [{ target: 'Folder', columnNames: ['parentId'], referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
})
enableSync(Folder, '/folders')

interface Note {
  id: string
  text: string
  mark?: string | null
  folderId?: string | null
  place?: string | null
}
const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: {
    ...{ id: { type: 'varchar', primary: true }, text: { type: 'varchar' }, mark: { type: 'varchar', nullable: true } },
    ...{ folderId: { type: 'varchar', nullable: true }, place: { type: 'varchar', nullable: true } },
  },
  foreignKeys: [
    { target: 'Folder', columnNames: ['folderId'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' },
    { target: 'Folder', columnNames: ['place'], referencedColumnNames: ['id'], onDelete: 'SET NULL' },
  ],
})
enableSync(Note, '/notes')

const OWN_TABLES = [
  'sync_unapplied',
  'sync_rejection',
  'sync_resolution',
  'sync_tombstone',
  'sync_no_access',
  'sync_base_note',
  'sync_base_folder',
]

async function world(kind: (typeof SERVERS)[number] = 'libsql', more = {}) {
  const server = new HandMade()
  const phone = await deviceOf(server, [Folder, Note], kind, more)
  const notes = phone.getRepository(Note)
  const folders = phone.getRepository(Folder)
  const note = (id: string, text = id, values = {}) => server.row(id, { text, mark: null, folderId: null, place: null, ...values })
  const folder = (id: string, parentId: string | null = null) => server.row(id, { name: id, parentId })
  return {
    ...{ server, phone, notes, folders, note, folder, journal: journal(notes), sync: (handler?: never) => syncAll(phone, handler) },
    texts: async () => (await notes.find({ order: { id: 'ASC' } })).map(n => `${n.id} ${n.text}`),
    names: async () => (await folders.find({ order: { id: 'ASC' } })).map(f => f.id),
    /** What one answer brings. */
    read: async (changes: Record<string, object[]>, answer = {}) => {
      server.answers.push({ changes: changes as never, ...answer })
      return syncAll(phone)
    },
    remains: () => remainsOf(phone),
  }
}

/** The tables of the change log in which anything is. */
async function remainsOf(phone: DataSource): Promise<string[]> {
  const some: string[] = []
  for (const table of OWN_TABLES) if ((await sql(phone, `SELECT 1 FROM "${table}"`)).length) some.push(table)
  return some
}

const each = SERVERS.map(kind => [kind] as const)

test.each(each)('a row that left is gone without a trace, and is not pushed as a removal (%s)', async kind => {
  const { server, note, read, texts, remains, phone } = await world(kind)
  await read({ '/notes': [note('a'), note('b')] })
  const report = await read({ '/notes': [server.left('a')] })
  expect(report).toMatchObject({ pulled: 1, pushed: 0, rejected: 0 })
  expect(await texts()).toEqual(['b b'])
  expect(await remains()).toEqual([])
  await syncAll(phone)
  expect(server.posts).toEqual([])
  await read({ '/notes': [note('a', 'back')] })
  expect(await texts()).toEqual(['a back', 'b b'])
})

test('what a full answer lacks of a collection that the user sees in part has left; of another one it was removed', async () => {
  const { server, folder, note, read, texts, names, remains } = await world()
  await read({ '/folders': [folder('f'), folder('g')], '/notes': [note('a'), note('b')] })
  const full = { full: true, reset: 'scope-unknown', scoped: ['/notes'] }
  server.scope = 'two'
  await read({ '/folders': [folder('g')], '/notes': [note('b')] }, full)
  expect(await texts()).toEqual(['b b'])
  expect(await names()).toEqual(['g'])
  // the removed one alone left a tombstone
  expect(await remains()).toEqual(['sync_tombstone'])
})

test('a pull that breaks off before the sweep of a part goes on with it', async () => {
  const { server, note, read, texts, remains, sync } = await world()
  await read({ '/notes': [note('a'), note('b')] })
  server.scope = 'two'
  server.answers.push({ changes: { '/notes': [note('c')] }, full: true, reset: 'scope-unknown', scoped: ['/notes'], next: 'n' })
  let requests = 0
  server.before = () => {
    if (++requests === 2) throw new TypeError('fetch failed')
  }
  await expect(sync()).rejects.toThrow()
  server.before = undefined
  await read({ '/notes': [note('b', 'new')] }, { full: true, scoped: ['/notes'] })
  expect(await texts()).toEqual(['b new', 'c c'])
  expect(await remains()).toEqual([])
})

test.each(each)('an edit that was never pushed is kept, and comes back with the row, merged (%s)', async kind => {
  const { server, note, notes, read, texts, journal, phone } = await world(kind)
  await read({ '/notes': [note('a', 'theirs', { mark: 'x' })] })
  await notes.update('a', { text: 'ours' })
  expect(await read({ '/notes': [server.left('a')] })).toMatchObject({ rejected: 1, pushed: 0 })
  expect(await texts()).toEqual([])
  expect(await journal.rejected()).toMatchObject([
    { id: 'a', code: 'no-access', local: { text: 'ours', mark: 'x' }, base: { text: 'theirs' } },
  ])
  expect(await hasLocalChanges(phone)).toBe(true)
  expect(await journal.pending()).toEqual([])
  expect(await read({ '/notes': [note('a', 'theirs', { mark: 'y' })] })).toMatchObject({ rejected: 0, merged: 1, pushed: 1 })
  expect(await texts()).toEqual(['a ours'])
  expect((await notes.findOneByOrFail({ id: 'a' })).mark).toBe('y')
  expect(server.posts.map(({ changes }) => changes)).toEqual([{ '/notes': [{ id: 'a', _partial: true, text: 'ours' }] }])
  expect(await hasLocalChanges(phone)).toBe(false)
})

test.each(each)('a removal that was never pushed is kept, and comes back (%s)', async kind => {
  const { server, note, notes, read, texts, journal, remains } = await world(kind)
  await read({ '/notes': [note('a')] })
  await notes.delete('a')
  await read({ '/notes': [server.left('a')] })
  expect(await journal.rejected()).toMatchObject([{ id: 'a', code: 'no-access', local: null, base: { text: 'a' } }])
  expect(await remains()).toEqual(['sync_no_access'])
  await read({ '/notes': [note('a')] })
  expect(server.posts.map(({ changes }) => changes)).toEqual([{ '/notes': [{ id: 'a', _removed: true }] }])
  expect(await texts()).toEqual([])
})

test.each(each)('an edit that comes back to another one is a conflict (%s)', async kind => {
  const { server, note, notes, read, texts, journal } = await world(kind)
  await read({ '/notes': [note('a', 'base', { mark: 'x' })] })
  await notes.update('a', { text: 'ours' })
  await read({ '/notes': [server.left('a')] })
  expect(await read({ '/notes': [note('a', 'theirs', { mark: 'y' })] })).toMatchObject({ unapplied: 1, rejected: 0, pushed: 0 })
  const [conflict] = await journal.conflicts()
  expect(conflict).toMatchObject({
    reason: 'contested',
    properties: ['text'],
    local: { text: 'ours' },
    remote: { text: 'theirs' },
    base: { text: 'base' },
  })
  await journal.resolve('a', { text: 'both' })
  await read({})
  expect(await texts()).toEqual(['a both'])
  expect(server.posts.at(-1)?.changes).toEqual({ '/notes': [{ id: 'a', _partial: true, text: 'both' }] })
})

test('a removal that comes back to an edit is a conflict', async () => {
  const { server, note, notes, read, texts, journal, sync } = await world()
  await read({ '/notes': [note('a', 'base')] })
  await notes.delete('a')
  await read({ '/notes': [server.left('a')] })
  await read({ '/notes': [note('a', 'theirs')] })
  expect(await journal.conflicts()).toMatchObject([{ local: null, remote: { text: 'theirs' }, base: { text: 'base' } }])
  await journal.discard('a')
  await sync()
  expect(await texts()).toEqual(['a theirs'])
  expect(server.posts).toEqual([])
})

test('what is kept can be discarded, and then nothing remains', async () => {
  const { server, note, notes, read, texts, journal, remains } = await world()
  await read({ '/notes': [note('a'), note('b')] })
  await notes.update('a', { text: 'ours' })
  await read({ '/notes': [server.left('a')] })
  await journal.discard('a')
  expect(await journal.rejected()).toEqual([])
  expect(await remains()).toEqual([])
  await read({ '/notes': [note('a', 'theirs')] })
  expect(await texts()).toEqual(['a theirs', 'b b'])
})

test('nothing is kept where the application says so', async () => {
  const { server, note, notes, read, texts, journal, remains } = await world('libsql', { noAccess: 'drop' })
  await read({ '/notes': [note('a')] })
  await notes.update('a', { text: 'ours' })
  expect(await read({ '/notes': [server.left('a')] })).toMatchObject({ rejected: 0 })
  expect([await texts(), await journal.rejected(), await remains()]).toEqual([[], [], []])
})

test('a row that was made here and never pushed stays', async () => {
  const { server, notes, read, texts, journal } = await world()
  await read({})
  await notes.save({ id: 'a', text: 'ours' })
  server.replies.push({ status: 422, body: { errors: [{ collection: '/notes', id: 'a', code: 'not-allowed', detail: 'no' }] } })
  await read({})
  await read({ '/notes': [server.left('a')] })
  expect(await texts()).toEqual(['a ours'])
  expect(await journal.rejected()).toMatchObject([{ id: 'a', code: 'not-allowed' }])
})

test('a conflict, a rejection and a decision of a row go with it', async () => {
  const { server, note, notes, read, journal, remains } = await world()
  await read({ '/notes': [note('a'), note('b'), note('c')] })
  for (const id of ['a', 'b', 'c']) await notes.update(id, { text: 'ours' })
  server.replies.push({ status: 422, body: { errors: [{ collection: '/notes', id: 'b', code: 'not-allowed', detail: 'no' }] } })
  await read({ '/notes': [note('a', 'theirs'), note('c', 'theirs')] })
  await journal.discard('c')
  expect(await remains()).toEqual(['sync_unapplied', 'sync_rejection', 'sync_resolution', 'sync_base_note'])
  await read({ '/notes': [server.left('a'), server.left('b'), server.left('c')] })
  expect(await remains()).toEqual(['sync_no_access'])
  expect((await journal.rejected()).map(row => [row.id, row.local?.text, row.base?.text])).toEqual([
    ['a', 'ours', 'a'],
    ['b', 'ours', 'b'],
  ])
})

test('a decision about a row that leaves meanwhile does not count', async () => {
  const server = new HandMade()
  const options = await databaseOn('libsql')
  const [phone, window] = await Promise.all(
    [0, 1].map(() => openIn(options, [Folder, Note], { server: 'http://hand.made', fetch: server.fetch })),
  )
  const notes = phone!.getRepository(Note)
  const row = (text: string) => server.row('a', { text, mark: null, folderId: null, place: null })
  server.answers.push({ changes: { '/notes': [row('base')] } })
  await syncAll(phone!)
  await notes.update('a', { text: 'ours' })
  server.answers.push({ changes: { '/notes': [row('theirs')] } })
  let asked = 0
  await syncAll(phone!, async conflicts => {
    asked++
    // the row leaves while the user looks at the conflict
    server.answers.push({ changes: { '/notes': [server.left('a')] } })
    await syncAll(window!)
    for (const conflict of conflicts) conflict.takeRemote()
  })
  expect(asked).toBe(1)
  expect(await notes.find()).toEqual([])
  expect((await journal(notes).rejected()).map(({ code, local }) => [code, local?.text])).toEqual([['no-access', 'ours']])
  expect(await journal(notes).resolved()).toEqual([])
  expect(server.posts).toEqual([])
})

test.each(each)('a parent leaves with its children, and with a tree below it (%s)', async kind => {
  const { server, note, folder, read, texts, names, remains } = await world(kind)
  await read({
    '/folders': [folder('f'), folder('g', 'f'), folder('h', 'g'), folder('k')],
    '/notes': [note('a', 'a', { folderId: 'h' }), note('b')],
  })
  await read({ '/folders': [server.left('f'), server.left('g'), server.left('h')], '/notes': [server.left('a')] })
  expect([await names(), await texts(), await remains()]).toEqual([['k'], ['b b'], []])
})

test.each(each)('rows that need each other leave together (%s)', async kind => {
  const { server, folder, read, names, phone, remains } = await world(kind)
  await read({ '/folders': [folder('f'), folder('g', 'f'), folder('k')] })
  await read({ '/folders': [folder('f', 'g'), folder('k', 'k')] })
  expect((await phone.getRepository(Folder).find()).map(f => f.parentId).sort()).toEqual(['f', 'g', 'k'])
  await read({ '/folders': ['f', 'g', 'k'].map(server.left) })
  expect([await names(), await remains()]).toEqual([[], []])
})

test.each(each)('a child that is still shown waits for its parent, with what was changed in it here (%s)', async kind => {
  const { server, note, folder, notes, read, texts, names, journal } = await world(kind)
  const rows = [note('a', 'a', { folderId: 'f' }), note('b', 'b', { folderId: 'f' }), note('c', 'c', { place: 'f' })]
  await read({ '/folders': [folder('f')], '/notes': rows })
  await notes.update('b', { text: 'ours' })
  expect(await read({ '/folders': [server.left('f')] })).toMatchObject({ unapplied: 3, rejected: 0, pushed: 0 })
  expect([await names(), await texts()]).toEqual([[], []])
  const deferred = await journal.deferred()
  expect(deferred.map(row => [row.id, row.reason, row.local?.text, row.remote?.text])).toEqual([
    ['a', 'parent-missing', undefined, 'a'],
    ['b', 'parent-missing', 'ours', 'b'],
    ['c', 'parent-missing', undefined, 'c'],
  ])
  expect(server.posts).toEqual([])
  await read({ '/notes': [note('b', 'b', { folderId: 'f', mark: 'new' })] })
  expect(await read({ '/folders': [folder('f')] })).toMatchObject({ unapplied: 0, pushed: 1 })
  expect(await texts()).toEqual(['a a', 'b ours', 'c c'])
  expect((await notes.findOneByOrFail({ id: 'c' })).place).toBe('f')
  expect(server.posts.at(-1)?.changes).toEqual({ '/notes': [{ id: 'b', _partial: true, text: 'ours' }] })
})

test('a child that was made here waits for its parent as well, and is pushed then', async () => {
  const { server, folder, notes, read, texts, journal, phone } = await world()
  await read({ '/folders': [folder('f')] })
  await notes.save({ id: 'a', text: 'ours', folderId: 'f' })
  await read({ '/folders': [server.left('f')] })
  expect(await texts()).toEqual([])
  expect(await journal.deferred()).toMatchObject([{ id: 'a', local: { text: 'ours' }, remote: null }])
  expect(await hasLocalChanges(phone)).toBe(true)
  await read({})
  expect(server.posts).toEqual([])
  expect(await read({ '/folders': [folder('f')] })).toMatchObject({ pushed: 1, unapplied: 0 })
  expect(await texts()).toEqual(['a ours'])
  expect(server.posts[0]?.changes['/notes']).toMatchObject([{ id: 'a', text: 'ours', folderId: 'f' }])
})

test('a child that leaves after its parent, and one that moved away', async () => {
  const { server, note, folder, notes, read, texts, names, journal, remains } = await world()
  await read({ '/folders': [folder('f'), folder('g')], '/notes': [note('a', 'a', { folderId: 'f' }), note('b', 'b', { folderId: 'f' })] })
  await notes.update('a', { text: 'ours' })
  await read({ '/folders': [server.left('f')], '/notes': [note('b', 'b', { folderId: 'g' })] })
  expect([await names(), await texts()]).toEqual([['g'], ['b b']])
  await read({ '/notes': [server.left('a')] })
  expect(await journal.deferred()).toEqual([])
  expect(await journal.rejected()).toMatchObject([{ id: 'a', code: 'no-access', local: { text: 'ours' }, base: { text: 'a' } }])
  expect(await remains()).toEqual(['sync_no_access'])
  // it comes back before its parent does, and waits
  expect(await read({ '/notes': [note('a', 'a', { folderId: 'f' })] })).toMatchObject({ unapplied: 1, rejected: 0, pushed: 0 })
  expect(await read({ '/folders': [folder('f')] })).toMatchObject({ unapplied: 0, pushed: 1 })
  expect(await texts()).toEqual(['a ours', 'b b'])
})

test('a part of a row that is not seen is kept: no pull speaks of it', async () => {
  const { server, note, notes, read, texts, journal } = await world()
  await read({ '/notes': [note('a')] })
  await notes.update('a', { text: 'ours' })
  server.replies.push({ status: 409, body: { changes: { '/notes': [{ id: 'a', _removed: true, _lastChange: 0 }] } } })
  expect(await read({})).toMatchObject({ rejected: 1, pushed: 0 })
  expect([await texts(), (await journal.rejected()).map(row => row.code)]).toEqual([[], ['no-access']])
  expect(server.posts).toHaveLength(1)
})

test('a push without an answer is ended first; what it carried and was not stored is kept', async () => {
  const { server, note, notes, read, texts, journal, sync } = await world()
  await read({ '/notes': [note('a')] })
  await notes.update('a', { text: 'ours' })
  server.before = method => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(sync()).rejects.toThrow()
  server.before = undefined
  server.scope = 'two'
  await read({ '/notes': [server.left('a')] })
  expect(server.posts.map(({ changes }) => changes)).toEqual([{}])
  expect([await texts(), (await journal.rejected()).map(row => row.local?.text)]).toEqual([[], ['ours']])
})

test('a sync at rest moves nothing, whatever is kept or waits', async () => {
  const { server, note, folder, notes, phone, read } = await world()
  await read({ '/folders': [folder('f')], '/notes': [note('a'), note('b', 'b', { folderId: 'f' })] })
  for (const id of ['a', 'b']) await notes.update(id, { text: 'ours' })
  await notes.save({ id: 'c', text: 'made here', folderId: 'f' })
  await read({ '/folders': [server.left('f')], '/notes': [server.left('a')] })
  await read({ '/notes': [note('b', 'theirs', { folderId: 'f' })] })
  const now = async () => Number((await sql(phone, 'SELECT now FROM sync_clock'))[0].now)
  const before = await now()
  for (let i = 0; i < 2; i++) expect(await read({})).toMatchObject({ pulled: 0, pushed: 0, rejected: 1, unapplied: 2, requests: 1 })
  expect(await now()).toBe(before)
})

test('wipe counts what is kept as never pushed, and removes it', async () => {
  const { server, note, notes, phone, read, remains } = await world()
  await read({ '/notes': [note('a')] })
  await notes.update('a', { text: 'ours' })
  await read({ '/notes': [server.left('a')] })
  await expect(wipe(phone)).rejects.toThrow(UnpushedChangesError)
  const asked: number[] = []
  await wipe(phone, count => asked.push(count) > 0)
  expect([asked, await remains()]).toEqual([[1], []])
})

test('adopt asks before it drops what is kept of rows that are not seen, made here or edited', async () => {
  const { server, note, folder, notes, phone, read, texts, remains } = await world()
  await read({ '/folders': [folder('f')], '/notes': [note('a'), note('b'), note('c'), note('d')] })
  await notes.update('a', { text: 'ours' })
  await notes.update('c', { text: 'edited' })
  await notes.delete('d')
  await notes.save({ id: 'e', text: 'made here', folderId: 'f' })
  await read({ '/folders': [server.left('f')], '/notes': [server.left('a'), server.left('c'), server.left('d')] })
  // a form that was open is saved: this one stays in its table
  await notes.save({ id: 'c', text: 'edited again' })
  await expect(adopt(phone)).rejects.toMatchObject({ code: 'unpushed-changes', count: 2, message: expect.stringContaining('adopt') })
  const asked: number[] = []
  const answer = (says: boolean) => adopt(phone, count => asked.push(count) > 0 && says)
  expect(await answer(false)).toBe(false)
  expect((await journal(notes).rejected()).map(row => row.id)).toEqual(['a', 'c', 'd'])
  expect([await answer(true), asked]).toEqual([true, [2, 2]])
  expect([await texts(), await remains()]).toEqual([['b b', 'c edited again'], []])
  expect([await answer(true), asked.length]).toEqual([true, 2])
})

test('a reset keeps what is kept, without its base', async () => {
  const { server, note, notes, read, texts, journal } = await world()
  await read({ '/notes': [note('a', 'base')] })
  await notes.update('a', { text: 'ours' })
  await read({ '/notes': [server.left('a')] })
  await read({}, { collection: 'other', reset: 'collection-changed', full: true })
  expect(await journal.rejected()).toMatchObject([{ id: 'a', local: { text: 'ours' }, base: undefined }])
  await read({ '/notes': [note('a', 'base')] }, { collection: 'other' })
  expect(await texts()).toEqual(['a ours'])
  expect(await journal.conflicts()).toMatchObject([{ id: 'a', local: { text: 'ours' }, remote: { text: 'base' } }])
})

test('a row that is made anew under the id of one that is not seen is not pushed, and can be discarded', async () => {
  const { server, note, notes, read, texts, journal, remains } = await world()
  await read({ '/notes': [note('a', 'base')] })
  await notes.update('a', { text: 'ours' })
  await read({ '/notes': [server.left('a')] })
  // a form that was open is saved
  await notes.save({ id: 'a', text: 'ours again' })
  await read({})
  expect(server.posts).toEqual([])
  expect(await journal.rejected()).toMatchObject([{ id: 'a', code: 'no-access', local: { text: 'ours again' }, base: { text: 'base' } }])
  await journal.discard('a')
  expect([await texts(), await remains()]).toEqual([[], []])
})

test('a full answer of everything shows again what was kept', async () => {
  const { server, note, notes, read, texts } = await world()
  await read({ '/notes': [note('a', 'base')] })
  await notes.update('a', { text: 'ours' })
  await read({ '/notes': [server.left('a')] })
  server.scope = 'two'
  expect(await read({ '/notes': [note('a', 'base')] }, { full: true, reset: 'scope-unknown' })).toMatchObject({ pushed: 1 })
  expect(await texts()).toEqual(['a ours'])
})

test('the clients of a relay lose what its user does not see any more', async () => {
  const { server, note, folder, phone: relay, read } = await world()
  await read({ '/folders': [folder('f')], '/notes': [note('a', 'a', { folderId: 'f' }), note('b')] })
  const { url } = await serve(relay)
  const client = await openOn('libsql', [Folder, Note], { server: url })
  await syncAll(client)
  await read({ '/folders': [server.left('f')], '/notes': [server.left('a')] })
  await syncAll(client)
  expect((await client.getRepository(Note).find()).map(n => n.id)).toEqual(['b'])
  expect(await client.getRepository(Folder).find()).toEqual([])
})

test('a row that comes in the same answer gets the unique value of one that leaves', async () => {
  const { server, phone, folder, note, read, notes, journal } = await world()
  await sql(phone, 'CREATE UNIQUE INDEX only_once ON note (mark)')
  await read({ '/folders': [folder('f')], '/notes': [note('a', 'a', { mark: 'x' })] })
  expect(await read({ '/notes': [server.left('a'), note('b', 'b', { mark: 'x' })] })).toMatchObject({ unapplied: 0, conflicts: 0 })
  expect([(await notes.find()).map(n => n.id), await journal.conflicts()]).toEqual([['b'], []])
})

test.each(each)('a row that a table of the application needs goes when that lets it (%s)', async kind => {
  const Pin = new EntitySchema<{ id: string; note: string }>({
    ...{ name: 'Pin', tableName: 'pin' },
    columns: { id: { type: 'varchar', primary: true }, note: { type: 'varchar' } },
    foreignKeys: [{ target: 'Note', columnNames: ['note'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
  })
  const server = new HandMade()
  const phone = await deviceOf(server, [Folder, Note, Pin], kind)
  const row = (id: string) => server.row(id, { text: id, mark: null, folderId: null, place: null })
  server.answers.push({ changes: { '/notes': [row('a'), row('b')] } })
  await syncAll(phone)
  await phone.getRepository(Pin).save({ id: 'p', note: 'a' })
  server.answers.push({ changes: { '/notes': [server.left('a'), server.left('b')] } })
  expect(await syncAll(phone)).toMatchObject({ unapplied: 1, pulled: 1 })
  const notes = phone.getRepository(Note)
  expect((await notes.find()).map(n => n.id)).toEqual(['a'])
  expect((await journal(notes).deferred()).map(waiting => [waiting.id, waiting.reason])).toEqual([['a', 'children-exist']])
  await phone.getRepository(Pin).delete('p')
  await syncAll(phone)
  expect(await notes.find()).toEqual([])
  expect(server.posts).toEqual([])
})

test.each(each)('nothing says in which scopes a row was that left (%s)', async kind => {
  const Card = new EntitySchema<{ id: string; list: string }>({
    ...{ name: 'Card', tableName: 'card' },
    columns: { id: { type: 'varchar', primary: true }, list: { type: 'varchar', length: 64 } },
  })
  enableSync(Card, '/cards', { scopes: ['list'] })
  const server = new HandMade()
  const phone = await deviceOf(server, [Card], kind)
  for (const list of ['one', 'two']) {
    server.answers.push({ changes: { '/cards': [server.row('a', { list })] } })
    await syncAll(phone)
  }
  const exits = () => sql(phone, 'SELECT * FROM "sync_base_card"')
  expect(await exits()).toHaveLength(1)
  server.answers.push({ changes: { '/cards': [server.left('a')] } })
  await syncAll(phone)
  expect([await phone.getRepository(Card).find(), await exits()]).toEqual([[], []])
})

test('a row that was rejected for one that it needs rests until something may have changed', async () => {
  const { server, folder, note, notes, phone, read, journal } = await world()
  await read({ '/folders': [folder('f')] })
  const reject = (...ids: string[]) =>
    server.replies.push({
      status: 422,
      body: { errors: ids.map(id => ({ collection: '/notes', id, property: 'folderId', code: 'parent-missing', detail: 'no' })) },
    })
  const pushes = () => server.posts.splice(0).map(({ changes }) => Object.values(changes).flatMap(rows => rows.map(row => row.id)))
  const now = async () => Number((await sql(phone, 'SELECT now FROM sync_clock'))[0].now)
  await notes.save({ id: 'a', text: 'ours', folderId: 'f' })
  reject('a')
  await read({})
  expect(pushes()).toEqual([['a']])
  const before = await now()
  for (let i = 0; i < 2; i++) await read({})
  expect([pushes(), await now()]).toEqual([[], before])
  expect(await journal.rejected()).toMatchObject([{ id: 'a', code: 'parent-missing' }])
  // rows come, of whichever collection
  reject('a')
  await read({ '/folders': [folder('g')] })
  expect(pushes()).toEqual([['a']])
  // the user holds other keys
  server.scope = 'two'
  reject('a')
  await read({})
  expect(pushes()).toEqual([['a']])
  // what is ours is stored there: it may be what the row needs
  await notes.save({ id: 'b', text: 'another' })
  server.replies.push({ status: 200, body: {} })
  reject('a')
  await read({})
  expect(pushes()).toEqual([['b'], ['a']])
  await read({})
  expect(pushes()).toEqual([])
  await read({ '/notes': [note('c')] })
  expect([pushes(), await journal.rejected()]).toEqual([[['a']], []])
})

test('what was rejected and goes with the row that it needs is not rejected any more', async () => {
  const { server, folder, folders, phone, read } = await world()
  await read({ '/folders': [folder('f')] })
  await folders.save({ id: 'k', name: 'ours', parentId: 'f' })
  const detail = { collection: '/folders', id: 'k', property: 'parentId', code: 'parent-missing', detail: 'no' }
  for (let i = 0; i < 2; i++) server.replies.push({ status: 422, body: { errors: [detail] } })
  expect(await read({})).toMatchObject({ rejected: 1 })
  expect(await read({ '/folders': [server.removed('f')] })).toMatchObject({ unapplied: 1, rejected: 1 })
  // nothing comes from the server any more
  expect(await syncAll(phone, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1, rejected: 0 })
  expect([await folders.find(), await journal(folders).rejected()]).toEqual([[], []])
})
