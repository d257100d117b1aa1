// Conflicts with a row that the server has hung on one which this user does not see: what is decided waits in the journal for that one.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import {
  type ConflictHandler,
  ConstraintError,
  enableSync,
  hasLocalChanges,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  resolveEach,
  syncAll,
} from 'typeorm-sync'
import { SERVERS, sql } from '../support/eachDatabase.js'
import { deviceOf, HandMade } from './handMade.js'

const text = { type: 'varchar', length: 64 } as const
const Shelf = new EntitySchema<{ id: string; name: string }>({
  ...{ name: 'DecidedShelf', tableName: 'decided_shelf' },
  columns: { id: { ...text, primary: true }, name: text },
})
enableSync(Shelf, '/shelves')

interface Book {
  id: string
  title: string
  mark: string | null
  shelf: string | null
  part: string | null
}
const Book = new EntitySchema<Book>({
  ...{ name: 'DecidedBook', tableName: 'decided_book' },
  columns: {
    ...{ id: { ...text, primary: true }, title: text, mark: { ...text, nullable: true }, shelf: { ...text, nullable: true } },
    part: { ...text, nullable: true },
  },
  foreignKeys: [
    { target: 'DecidedShelf', columnNames: ['shelf'], referencedColumnNames: ['id'], onDelete: 'SET NULL' },
    { target: 'DecidedBook', columnNames: ['part'], referencedColumnNames: ['id'], onDelete: 'CASCADE' },
  ],
})
enableSync(Book, '/books')

/** A book that both sides have changed, and that the server has put on a shelf which is not seen. `scoped`: what the user sees a part of. */
async function world(kind: (typeof SERVERS)[number] = 'libsql', scoped = ['/shelves', '/books']) {
  const server = new HandMade()
  const phone = await deviceOf(server, [Shelf, Book], kind)
  const books = phone.getRepository(Book)
  const book = (title: string, shelf: string | null, more = {}) => server.row('b', { title, mark: null, shelf, part: null, ...more })
  const shelf = (id: string) => server.row(id, { name: id })
  const read = async (changes: Record<string, object[]>, handler?: ConflictHandler, answer = {}) => {
    server.answers.push({ changes: changes as never, ...answer })
    return syncAll(phone, handler)
  }
  await read({ '/shelves': [shelf('seen')], '/books': [book('base', 'seen')] }, undefined, { scoped })
  await books.update('b', { title: 'ours' })
  const now = async () => Number((await sql(phone, 'SELECT now FROM sync_clock'))[0].now)
  return {
    ...{ server, phone, books, book, shelf, read, journal: journal(books), sync: (handler?: ConflictHandler) => syncAll(phone, handler) },
    /** Twice nothing moves, and nobody is asked. */
    async rest(deferred: number) {
      const before = await now()
      const asked: string[] = []
      const handler: ConflictHandler = conflicts => void asked.push(...conflicts.map(c => c.id))
      for (let i = 0; i < 2; i++)
        expect(await syncAll(phone, handler)).toMatchObject({ pulled: 0, pushed: 0, conflicts: 0, unapplied: deferred, requests: 1 })
      expect([asked, await now()]).toEqual([[], before])
    },
    pushed: () => server.posts.map(({ changes }) => changes['/books']),
  }
}

const each = SERVERS.map(kind => [kind] as const)

test.each(each)('what a handler decides waits, and is pushed when what it needs is there (%s)', async kind => {
  const { book, shelf, books, phone, read, rest, journal, pushed } = await world(kind)
  let asked = 0
  const handler = resolveEach<Book>(({ local, remote }) => {
    asked++
    return { ...remote, title: `${local?.title} and ${remote?.title}` }
  }) as ConflictHandler
  expect(await read({ '/books': [book('theirs', 'hidden')] }, handler)).toMatchObject({ conflicts: 1, unapplied: 1, pushed: 0 })
  expect(await books.find()).toEqual([])
  expect(await journal.conflicts()).toEqual([])
  const sides = { local: { title: 'ours and theirs', shelf: 'hidden' }, remote: { title: 'theirs' }, base: { title: 'theirs' } }
  expect(await journal.deferred()).toMatchObject([{ id: 'b', reason: 'parent-missing', ...sides }])
  expect(await journal.resolved()).toMatchObject([{ id: 'b', local: { title: 'ours' }, decision: { title: 'ours and theirs' } }])
  expect([await journal.rejected(), await hasLocalChanges(phone)]).toEqual([[], true])
  await rest(1)
  // it is edited there meanwhile
  await read({ '/books': [book('theirs', 'hidden', { mark: 'new' })] }, handler)
  await rest(1)
  expect(await read({ '/shelves': [shelf('hidden')] }, handler)).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 1 })
  expect(await books.find()).toMatchObject([{ title: 'ours and theirs', mark: 'new', shelf: 'hidden' }])
  expect(pushed()).toEqual([[{ id: 'b', _partial: true, title: 'ours and theirs' }]])
  expect([asked, await hasLocalChanges(phone)]).toEqual([1, false])
  await rest(0)
})

test.each(each)('our side, where it is preferred, waits as well (%s)', async kind => {
  const { book, shelf, books, read, rest, journal, pushed } = await world(kind)
  await read({ '/books': [book('theirs', 'hidden')] }, preferLocalConflictHandler)
  expect(await journal.deferred()).toMatchObject([{ local: { title: 'ours', shelf: 'hidden' }, base: { title: 'theirs' } }])
  await rest(1)
  await read({ '/shelves': [shelf('hidden')] }, preferLocalConflictHandler)
  expect((await books.find()).map(b => b.title)).toEqual(['ours'])
  expect(pushed()).toEqual([[{ id: 'b', _partial: true, title: 'ours' }]])
})

test.each(each)("of a decision for the server's side nothing of ours remains (%s)", async kind => {
  const { book, shelf, books, phone, read, rest, journal, pushed } = await world(kind)
  await read({ '/books': [book('theirs', 'hidden')] }, preferRemoteConflictHandler)
  expect(await books.find()).toEqual([])
  expect(await journal.deferred()).toMatchObject([{ local: null, remote: { title: 'theirs' } }])
  for (const table of ['sync_no_access', 'sync_tombstone', 'sync_base_decided_book'])
    expect([table, await sql(phone, `SELECT * FROM "${table}"`)]).toEqual([table, []])
  expect(await hasLocalChanges(phone)).toBe(false)
  await rest(1)
  await read({ '/shelves': [shelf('hidden')] })
  expect((await books.find()).map(b => b.title)).toEqual(['theirs'])
  expect(pushed()).toEqual([])
})

test.each(each)('what the application decides in the journal waits, and can be decided again (%s)', async kind => {
  const { book, books, phone, read, rest, journal, pushed, sync } = await world(kind)
  await read({ '/books': [book('theirs', 'hidden')] })
  expect(await journal.conflicts()).toMatchObject([{ reason: 'contested' }])
  await journal.resolve('b', { title: 'both', shelf: 'hidden' })
  expect([await journal.conflicts(), await books.find()]).toEqual([[], []])
  expect(await journal.deferred()).toMatchObject([{ local: { title: 'both', shelf: 'hidden' }, base: { title: 'theirs' } }])
  await rest(1)
  await journal.resolve('b', { title: 'again', shelf: 'seen' })
  await sync()
  expect(await books.find()).toMatchObject([{ title: 'again', shelf: 'seen' }])
  expect(pushed()).toEqual([[{ id: 'b', _partial: true, title: 'again', shelf: 'seen' }]])
  expect(await hasLocalChanges(phone)).toBe(false)
})

test('a conflict is discarded though its row cannot be stored, and so is what was decided', async () => {
  const { book, books, read, rest, journal, pushed } = await world()
  await read({ '/books': [book('theirs', 'hidden')] })
  await journal.discard('b')
  expect(await journal.deferred()).toMatchObject([{ local: null, remote: { title: 'theirs' } }])
  await journal.resolve('b', { title: 'ours' })
  expect(await journal.deferred()).toMatchObject([{ local: { title: 'ours' } }])
  await journal.discard('b')
  expect(await journal.deferred()).toMatchObject([{ local: null }])
  await rest(1)
  expect([await books.find(), pushed()]).toEqual([[], []])
})

test('what was decided is asked about again where the row is changed there in the same way, when it can be stored', async () => {
  const { book, shelf, books, read, rest, journal, pushed } = await world()
  await read({ '/books': [book('theirs', 'hidden')] }, preferLocalConflictHandler)
  await read({ '/books': [book('theirs again', 'hidden')] })
  await rest(1)
  expect(await read({ '/shelves': [shelf('hidden')] })).toMatchObject({ unapplied: 1, pushed: 0 })
  expect(await journal.conflicts()).toMatchObject([
    { local: { title: 'ours' }, remote: { title: 'theirs again' }, base: { title: 'theirs' } },
  ])
  await journal.resolve('b', { title: 'ours' })
  await read({})
  expect((await books.find()).map(b => b.title)).toEqual(['ours'])
  expect(pushed()).toEqual([[{ id: 'b', _partial: true, title: 'ours' }]])
})

test('what was decided is kept where the row leaves', async () => {
  const { server, book, read, rest, journal, pushed } = await world()
  await read({ '/books': [book('theirs', 'hidden')] }, preferLocalConflictHandler)
  await read({ '/books': [server.left('b')] })
  expect(await journal.deferred()).toEqual([])
  expect(await journal.rejected()).toMatchObject([{ code: 'no-access', local: { title: 'ours' }, base: { title: 'theirs' } }])
  await rest(0)
  await read({ '/books': [book('theirs', 'seen')] })
  expect(pushed()).toEqual([[{ id: 'b', _partial: true, title: 'ours' }]])
})

test('what hangs on the row waits with it', async () => {
  const { book, shelf, books, read, rest, journal, pushed } = await world()
  await books.save({ id: 'c', title: 'chapter', mark: null, shelf: null, part: 'b' })
  await read({ '/books': [book('theirs', 'hidden')] }, preferRemoteConflictHandler)
  expect([await books.find(), (await journal.deferred()).map(row => row.id)]).toEqual([[], ['b', 'c']])
  await rest(2)
  await read({ '/shelves': [shelf('hidden')] })
  expect((await books.find({ order: { id: 'ASC' } })).map(b => b.title)).toEqual(['theirs', 'chapter'])
  expect(
    pushed()
      .flat()
      .map(row => row?.id),
  ).toEqual(['c'])
})

test.each(each)('a row that was hung on one which is not seen is not here as it was, whether it was edited or not (%s)', async kind => {
  const { server, book, shelf, books, phone, read, rest, journal, pushed } = await world(kind)
  const named = (id: string, more = {}) => server.row(id, { title: id, mark: null, shelf: null, part: null, ...more })
  await read({ '/books': [named('a'), named('c', { part: 'a' }), named('d', { part: 'a' })] })
  await books.update('d', { mark: 'ours' })
  await read({ '/books': [named('c', { shelf: 'hidden' }), named('d', { shelf: 'hidden' }), server.removed('a')] })
  // nor is it in the way of what it hung on
  expect((await books.find()).map(b => b.id)).toEqual(['b'])
  expect((await journal.deferred()).map(row => [row.id, row.local?.mark])).toEqual([
    ['c', undefined],
    ['d', 'ours'],
  ])
  await rest(2)
  expect(await hasLocalChanges(phone)).toBe(true)
  await read({ '/books': [book('base', 'seen')], '/shelves': [shelf('hidden')] })
  expect((await books.find({ order: { id: 'ASC' } })).map(b => [b.id, b.mark, b.part])).toEqual([
    ['b', null, null],
    ['c', null, null],
    ['d', 'ours', null],
  ])
  expect(
    pushed()
      .flat()
      .filter(row => row?.id !== 'b'),
  ).toEqual([{ id: 'd', _partial: true, mark: 'ours' }])
})

test.each([
  ['theirs', preferRemoteConflictHandler, 0],
  ['ours', preferLocalConflictHandler, 1],
] as const)('an edit of a row that waits, and was removed there, is asked about once (%s)', async (_, handler, deferred) => {
  const { server, shelf, books, phone, read, rest, journal, pushed } = await world()
  await read({ '/shelves': [server.left('seen')] })
  expect(await journal.deferred()).toMatchObject([{ local: { title: 'ours' } }])
  expect(await read({ '/books': [server.removed('b')] }, handler)).toMatchObject({ conflicts: 1, pushed: 0 })
  await rest(deferred)
  expect([await books.find(), (await journal.deferred()).length, await hasLocalChanges(phone)]).toEqual([[], deferred, deferred > 0])
  await read({ '/shelves': [shelf('seen')] })
  expect((await books.find()).map(b => b.title)).toEqual(deferred ? ['ours'] : [])
  expect(
    pushed()
      .flat()
      .map(row => [row?.title, row?._partial]),
  ).toEqual(deferred ? [['ours', undefined]] : [])
})

test('a row that another table of the application needs stays, though it is out of date', async () => {
  const Pin = new EntitySchema<{ id: string; book: string }>({
    ...{ name: 'DecidedPin', tableName: 'decided_pin' },
    columns: { id: { ...text, primary: true }, book: text },
    foreignKeys: [{ target: 'DecidedBook', columnNames: ['book'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
  })
  const server = new HandMade()
  const phone = await deviceOf(server, [Shelf, Book, Pin])
  const books = phone.getRepository(Book)
  const row = (id: string, shelf: string | null) => server.row(id, { title: id, mark: null, shelf, part: null })
  server.answers.push({ changes: { '/books': [row('b', null), row('c', null)] }, scoped: ['/shelves'] })
  await syncAll(phone)
  await phone.getRepository(Pin).save({ id: 'p', book: 'b' })
  server.answers.push({ changes: { '/books': [row('b', 'hidden'), row('c', 'hidden')] } })
  expect(await syncAll(phone)).toMatchObject({ unapplied: 2 })
  expect((await books.find()).map(b => b.id)).toEqual(['b'])
  await phone.getRepository(Pin).delete('p')
  await syncAll(phone)
  expect([await books.find(), (await journal(books).deferred()).map(b => b.id)]).toEqual([[], ['b', 'c']])
})

interface Leaf {
  id: number
  title: string
  shelf: string | null
}
const Leaf = new EntitySchema<Leaf>({
  ...{ name: 'DecidedLeaf', tableName: 'decided_leaf' },
  columns: { id: { type: Number, primary: true, generated: true }, title: text, shelf: { ...text, nullable: true } },
  foreignKeys: [{ target: 'DecidedShelf', columnNames: ['shelf'], referencedColumnNames: ['id'], onDelete: 'SET NULL' }],
})
enableSync(Leaf, '/leaves')

test.each(each)(
  'a row that is edited after half an answer has hung it on such a one keeps its number, and is asked about (%s)',
  async kind => {
    const server = new HandMade()
    const phone = await deviceOf(server, [Shelf, Leaf], kind)
    const leaves = phone.getRepository(Leaf)
    const row = (id: string, title: string, shelf: string | null) => server.row(id, { title, shelf })
    server.answers.push({ changes: { '/leaves': [row('l', 'base', null), row('m', 'last', null)] }, scoped: ['/shelves', '/leaves'] })
    await syncAll(phone)
    const before = await leaves.findOneByOrFail({ title: 'base' })
    server.answers.push({ changes: { '/leaves': [row('l', 'theirs', 'hidden')] }, next: 'half' })
    server.before = () => {
      if (!server.answers.length) throw new TypeError('fetch failed')
    }
    await expect(syncAll(phone)).rejects.toThrow()
    await leaves.update(before.id, { title: 'ours' })
    server.before = undefined
    const seen: Leaf[] = []
    await syncAll(phone, async () => void seen.push(...(await leaves.findBy({ title: 'ours' }))))
    expect(seen).toEqual([{ ...before, title: 'ours' }])
  },
)

test.each(each)('a row that was made under the id of one that waits keeps its number, and is asked about (%s)', async kind => {
  const server = new HandMade()
  const phone = await deviceOf(server, [Shelf, Leaf], kind)
  const leaves = phone.getRepository(Leaf)
  const row = (id: string, title: string, shelf: string | null) => server.row(id, { title, shelf })
  server.answers.push({ changes: { '/leaves': [row('m', 'base', null), row('l', 'theirs', 'hidden')] }, scoped: ['/shelves', '/leaves'] })
  await syncAll(phone)
  await leaves.update({ title: 'base' }, { title: 'ours too' })
  server.answers.push({ changes: { '/leaves': [row('m', 'theirs too', null)] } })
  // while another conflict is decided: the push after it passes the row by
  await syncAll(phone, async (conflicts, updates) => {
    await sql(phone, `INSERT INTO "decided_leaf" ("_sync_identity", "title") VALUES ('l', 'ours')`)
    await leaves.save({ title: 'last', shelf: null })
    await preferLocalConflictHandler(conflicts, updates, () => {})
  })
  const before = await leaves.findOneByOrFail({ title: 'ours' })
  const seen: Leaf[] = []
  await syncAll(phone, async () => void seen.push(...(await leaves.findBy({ title: 'ours' }))))
  expect(seen).toEqual([before])
})

test('who sees all of a collection is asked again: what is missing there is nowhere', async () => {
  const { book, books, read, sync, journal } = await world('libsql', ['/books'])
  await read({ '/books': [book('theirs', 'hidden')] }, preferLocalConflictHandler)
  expect(await journal.conflicts()).toHaveLength(1)
  const asked: string[] = []
  for (let i = 0; i < 2; i++) await sync(conflicts => void asked.push(...conflicts.map(c => c.id)))
  expect([asked, (await books.find()).map(b => b.title)]).toEqual([['b', 'b'], ['ours']])
})

test('nobody is asked whether a row is to be restored that was only ever here, under the id of one that is not seen', async () => {
  const { server, phone, read, rest, journal } = await world()
  const shelves = phone.getRepository(Shelf)
  await shelves.save({ id: 'hidden', name: 'ours' })
  await shelves.delete('hidden')
  const asked: string[] = []
  const other = server.row('c', { title: 'theirs', mark: null, shelf: 'hidden', part: null })
  await read({ '/books': [other] }, conflicts => void asked.push(...conflicts.map(c => c.id)))
  expect([asked, await journal.conflicts()]).toEqual([[], []])
  expect(await journal.deferred()).toMatchObject([{ id: 'c', reason: 'parent-missing' }])
  await rest(1)
})

test('nobody is asked twice about a row that hangs on one which was only ever here, before the server was reset', async () => {
  const { server, phone, book, shelf, read, rest, journal } = await world()
  const shelves = phone.getRepository(Shelf)
  await shelves.save({ id: 'hidden', name: 'ours' })
  await shelves.delete('hidden')
  server.history = 'another'
  const asked: string[] = []
  const preferRemote: ConflictHandler = (conflicts, updates, callback) => {
    asked.push(...conflicts.map(c => c.id))
    return preferRemoteConflictHandler(conflicts, updates, callback)
  }
  const changes = { '/shelves': [shelf('seen')], '/books': [book('theirs', 'hidden')] }
  await read(changes, preferRemote, { reset: 'collection-changed', full: true, scoped: ['/shelves', '/books'] })
  expect([asked, await journal.conflicts()]).toEqual([['b'], []])
  expect(await journal.deferred()).toMatchObject([{ id: 'b', reason: 'parent-missing' }])
  await rest(1)
})

test.each(each)(
  'what goes along with a removal that was decided is removed there too, where it has been put under another row of that id (%s)',
  async kind => {
    const { server, books, read, rest, pushed } = await world(kind)
    const part = (title: string) => server.row('c', { title, mark: null, shelf: null, part: 'b' })
    await read({ '/books': [part('base')] })
    await read({ '/books': [server.removed('b')] })
    // there is another book under that id now, which is not seen, and this one is a part of it
    await read({ '/books': [part('theirs')] })
    await books.update('c', { mark: 'ours' })
    server.posts.length = 0
    await read({}, preferRemoteConflictHandler)
    expect(await books.find()).toEqual([])
    expect(pushed()).toEqual([[{ id: 'c', _removed: true }]])
    await rest(0)
  },
)

const Seat = new EntitySchema<{ id: string; guest: string; place: number | null }>({
  ...{ name: 'DecidedSeat', tableName: 'decided_seat' },
  columns: { id: { ...text, primary: true }, guest: text, place: { type: 'int', nullable: true, unique: true } },
})
enableSync(Seat, '/seats')

test.each(
  SERVERS.flatMap(kind => [
    { kind, decides: "the server's side", handler: preferRemoteConflictHandler, guest: 'theirs', place: null, pushed: 0 },
    {
      ...{ kind, decides: 'another value', guest: 'ours', place: 4, pushed: 1 },
      handler: resolveEach<{ id: string }>(({ local }) => ({ ...local, place: 4 }) as never) as ConflictHandler,
    },
  ]),
)(
  'a row that is seen again, and whose unique value another one has by now, is asked about: $decides ($kind)',
  async ({ kind, handler, guest, place, pushed }) => {
    const server = new HandMade()
    const phone = await deviceOf(server, [Seat], kind)
    const seats = phone.getRepository(Seat)
    const read = (changes: readonly Record<string, unknown>[], with_?: ConflictHandler, answer = {}) => {
      server.answers.push({ changes: { '/seats': changes as never }, ...answer })
      return syncAll(phone, with_)
    }
    await read([server.row('s', { guest: 'base', place: null })], undefined, { scoped: ['/seats'] })
    await seats.update('s', { guest: 'ours', place: 3 })
    await read([server.left('s'), server.row('t', { guest: 'other', place: 3 })])
    expect(await journal(seats).rejected()).toMatchObject([{ id: 's', code: 'no-access' }])
    await read([server.row('s', { guest: 'theirs', place: null })])
    expect(await journal(seats).conflicts()).toMatchObject([{ id: 's', reason: 'contested', local: { guest: 'ours', place: 3 } }])
    expect(await seats.find()).toMatchObject([{ id: 't', place: 3 }])
    // what the database does not accept is not stored, and asked about again
    for (let i = 0; i < 2; i++) expect(await syncAll(phone, preferLocalConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 1 })
    await expect(journal(seats).resolve('s', { place: 3 })).rejects.toThrow(ConstraintError)
    expect(await syncAll(phone, handler)).toMatchObject({ conflicts: 1, unapplied: 0, pushed })
    expect(await seats.find({ order: { id: 'ASC' } })).toMatchObject([{ id: 's', guest, place }, { id: 't' }])
    expect([await journal(seats).conflicts(), await journal(seats).rejected(), await hasLocalChanges(phone)]).toEqual([[], [], false])
  },
)

test.each(
  SERVERS.flatMap(kind => [
    { kind, title: 'ours', reason: 'cycle', properties: ['part'] },
    // of the relation as well, which only the server has changed: no decision about the title alone could be stored
    { kind, title: 'mine', reason: 'contested', properties: ['title', 'part'] },
  ]),
)('no decision closes a circle by way of a row that was made here, under the id of one that is not seen: $reason ($kind)', async each => {
  const { kind, title, reason, properties } = each
  const { server, phone, books, book, read, sync, journal, rest } = await world(kind)
  await sync()
  await books.insert({ id: 'c', title: 'mine', mark: null, shelf: null, part: 'b' })
  const errors = [{ collection: '/books', id: 'c', code: 'not-allowed', detail: 'It is not yours.' }]
  server.replies.push({ status: 422, body: { type: 'urn:typeorm-sync:rows-refused', errors } })
  expect(await sync()).toMatchObject({ rejected: 1 })
  await books.update('b', { title })
  // there it is a part of another book
  const parts = async () => (await books.find({ order: { id: 'ASC' } })).map(({ id, part }) => [id, part])
  expect(await read({ '/books': [book(title === 'ours' ? title : 'theirs', 'seen', { part: 'c' })] })).toMatchObject({ unapplied: 1 })
  expect(await journal.conflicts()).toMatchObject([{ id: 'b', reason, properties }])
  expect(await sync(preferRemoteConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 1 })
  await expect(journal.discard('b')).rejects.toThrow(ConstraintError)
  expect(await parts()).toEqual([
    ['b', null],
    ['c', 'b'],
  ])
  expect(await sync(preferLocalConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0, pushed: 1 })
  expect(server.posts.at(-1)?.changes).toEqual({ '/books': [{ id: 'b', _partial: true, ...(title === 'mine' && { title }), part: null }] })
  expect([await parts(), await hasLocalChanges(phone)]).toEqual([
    [
      ['b', null],
      ['c', 'b'],
    ],
    true,
  ])
  await rest(0)
})
