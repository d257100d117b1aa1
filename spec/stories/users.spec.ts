// Users: a device holds the rows of one, and says so before another one's are mixed with them.

import { expect, test } from '@jest/globals'
import type { Context, Middleware } from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import {
  AuthenticationError,
  adopt,
  ConstraintError,
  enableSync,
  hasLocalChanges,
  journal,
  NotInJournalError,
  OtherUserError,
  syncAll,
  UnpushedChangesError,
  wipe,
} from 'typeorm-sync'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

interface Folder {
  id: string
  name: string
  parent?: string | null
}

const Folder = new EntitySchema<Folder>({
  ...{ name: 'Folder', tableName: 'folder' },
  columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' }, parent: { type: 'varchar', nullable: true } },
  foreignKeys: [{ target: 'Folder', columnNames: ['parent'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
})
enableSync(Folder, '/folders')

interface Note {
  id: string
  text: string
  folder?: string | null
}
const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: { id: { type: 'varchar', primary: true }, text: { type: 'varchar' }, folder: { type: 'varchar', nullable: true } },
  foreignKeys: [{ target: 'Folder', columnNames: ['folder'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
})
enableSync(Note, '/notes')

const principal = (ctx: Context) => {
  const [, id] = /^Bearer (\w+)$/.exec(ctx.get('Authorization')) ?? []
  return id ? { id } : undefined
}

/** A server that knows users, and a device where `user.name` is signed in. `feed: false`: the server is one of before the feed. */
async function world(kind: (typeof SERVERS)[number], { feed = true, device = 'libsql' as (typeof SERVERS)[number] } = {}) {
  const there = await openOn(kind, [Folder, Note])
  const seen: string[] = []
  const user = { name: 'alice' as string | undefined, afterGet: undefined as string | undefined, afterPath: '/notes' }
  const look: Middleware = async (ctx, next) => {
    seen.push(`${ctx.method} ${ctx.path}`)
    if (!feed && ctx.path === '/sync') return
    await next()
    if (ctx.method === 'GET' && ['/sync', user.afterPath].includes(ctx.path) && ctx.status !== 404) user.name = user.afterGet ?? user.name
  }
  const { url } = await serve(there, { before: [look], principal })
  const headers = (): Record<string, string> => (user.name === undefined ? {} : { authorization: `Bearer ${user.name}` })
  const open = () => openOn(device, [Folder, Note], { server: url, headers })
  return { there, url, user, seen, open, phone: await open() }
}

const notes = async (dataSource: DataSource) =>
  (await dataSource.getRepository(Note).find({ order: { id: 'ASC' } })).map(n => `${n.id} ${n.text}`)

const each = SERVERS.flatMap(kind => [[kind, true] as const, [kind, false] as const])

test.each(each)('another user on the same device neither gets nor pushes anything (%s, feed %s)', async (kind, feed) => {
  const { there, user, phone } = await world(kind, { feed })
  await phone.getRepository(Note).save({ id: 'a', text: 'of Alice' })
  await syncAll(phone)
  await phone.getRepository(Note).save({ id: 'b', text: 'not pushed yet' })
  user.name = 'bob'
  await there.getRepository(Note).save({ id: 'c', text: 'new there' })
  await expect(syncAll(phone)).rejects.toThrow(OtherUserError)
  expect(await notes(phone)).toEqual(['a of Alice', 'b not pushed yet'])
  expect(await notes(there)).toEqual(['a of Alice', 'c new there'])
  user.name = 'alice'
  await syncAll(phone)
  expect(await notes(phone)).toEqual(['a of Alice', 'b not pushed yet', 'c new there'])
  expect(await notes(there)).toEqual(await notes(phone))
})

test.each(each)(
  'a user who changes between the pull and the push of a sync pushes nothing for the other one (%s, feed %s)',
  async (kind, feed) => {
    const { there, user, seen, open } = await world(kind, { feed })
    const phone = await open()
    await syncAll(phone)
    await phone.getRepository(Note).save({ id: 'a', text: 'of Alice' })
    seen.length = 0
    user.afterGet = 'bob'
    await expect(syncAll(phone)).rejects.toThrow(OtherUserError)
    expect(seen.some(line => line.startsWith('POST'))).toBe(true)
    expect(await notes(there)).toEqual([])
    Object.assign(user, { name: 'alice', afterGet: undefined })
    await syncAll(phone)
    expect(await notes(there)).toEqual(['a of Alice'])
  },
)

test.each(SERVERS)('a user who changes between two collections of a first sync gets nothing of the second (%s)', async kind => {
  const { there, user, phone } = await world(kind, { feed: false })
  await there.getRepository(Note).save({ id: 'a', text: 'there' })
  Object.assign(user, { afterGet: 'bob', afterPath: '/folders' })
  await expect(syncAll(phone)).rejects.toThrow(OtherUserError)
  expect(await notes(phone)).toEqual([])
})

test.each(SERVERS)('a push without an answer is not ended by another user (%s)', async kind => {
  const { there, user, phone, url } = await world(kind)
  await syncAll(phone)
  await phone.getRepository(Note).save({ id: 'a', text: 'of Alice' })
  const lossy: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    if (init?.method === 'POST') throw new TypeError('the answer was lost')
    return answer
  }
  await expect(syncAll(phone, undefined, { fetch: lossy })).rejects.toThrow()
  expect(await notes(there)).toEqual(['a of Alice'])
  user.name = 'bob'
  await expect(syncAll(phone)).rejects.toThrow(OtherUserError)
  user.name = 'alice'
  expect(await syncAll(phone)).toMatchObject({ pushed: 1, conflicts: 0 })
  expect(url).toMatch(/^http/)
})

test.each(SERVERS)('nobody signed in is 401, and nothing is lost (%s)', async kind => {
  const { there, user, phone } = await world(kind)
  await phone.getRepository(Note).save({ id: 'a', text: 'of Alice' })
  user.name = undefined
  await expect(syncAll(phone)).rejects.toThrow(AuthenticationError)
  expect(await hasLocalChanges(phone)).toBe(true)
  user.name = 'alice'
  await syncAll(phone)
  expect(await notes(there)).toEqual(['a of Alice'])
})

test.each(SERVERS)('a device is wiped for the next user, who is asked about what was not pushed (%s)', async device => {
  const { there, user, phone } = await world('libsql', { device })
  const [folders, texts] = [phone.getRepository(Folder), phone.getRepository(Note)]
  await folders.save([{ id: 'f', name: 'top' }])
  await folders.save({ id: 'g', name: 'below', parent: 'f' })
  await texts.save({ id: 'a', text: 'pushed', folder: 'g' })
  await syncAll(phone)
  await texts.save([
    { id: 'a', text: 'edited' },
    { id: 'b', text: 'new' },
  ])
  await expect(wipe(phone)).rejects.toThrow(UnpushedChangesError)
  await expect(wipe(phone)).rejects.toMatchObject({ count: 2, code: 'unpushed-changes' })
  const asked: number[] = []
  expect(await wipe(phone, n => asked.push(n) < 0)).toBe(false)
  expect(await notes(phone)).toEqual(['a edited', 'b new'])
  // what is changed while the user is asked is asked about as well
  const confirm = async (n: number) => {
    asked.push(n)
    if (n === 2) await texts.save({ id: 'c', text: 'meanwhile' })
    return n === 2
  }
  expect(await wipe(phone, confirm)).toBe(false)
  expect(await notes(phone)).toEqual(['a edited', 'b new', 'c meanwhile'])
  expect(await wipe(phone, n => asked.push(n) > 0)).toBe(true)
  expect(asked).toEqual([2, 2, 3, 3])
  expect([await notes(phone), await folders.count()]).toEqual([[], 0])
  expect(await hasLocalChanges(phone)).toBe(false)
  for (const table of ['sync_tombstone', 'sync_stamp', 'sync_unapplied', 'sync_resolution', 'sync_base_note'])
    expect(await phone.query(`SELECT count(*) AS n FROM ${table}`)).toEqual([{ n: expect.anything() }])

  user.name = 'bob'
  await texts.save({ id: 'd', text: 'of Bob' })
  await syncAll(phone)
  expect(await notes(phone)).toEqual(['a pushed', 'd of Bob'])
  expect(await notes(there)).toEqual(['a pushed', 'd of Bob'])
})

test.each(SERVERS)(
  'a change that is made while the user is asked is asked about, also where as many rows are pending (%s)',
  async device => {
    const { there, phone } = await world('libsql', { device })
    const texts = phone.getRepository(Note)
    await texts.save({ id: 'a', text: 'one' })
    const asked: number[] = []
    const edit = async (n: number) => {
      asked.push(n)
      if (asked.length > 1) return false
      await texts.save({ id: 'a', text: 'two' })
      return true
    }
    expect(await wipe(phone, edit)).toBe(false)
    expect(await notes(phone)).toEqual(['a two'])
    // one that a sync has pushed meanwhile, and another one in its place
    const syncAndEdit = async (n: number) => {
      asked.push(n)
      if (asked.length > 3) return false
      await syncAll(phone)
      await texts.save({ id: 'b', text: 'new' })
      return true
    }
    expect(await wipe(phone, syncAndEdit)).toBe(false)
    expect(asked).toEqual([1, 1, 1, 1])
    expect([await notes(phone), await notes(there)]).toEqual([['a two', 'b new'], ['a two']])
  },
)

test.each(each)('a sync that is under way while the device is wiped stores nothing (%s, feed %s)', async (kind, feed) => {
  const { there, phone } = await world(kind, { feed })
  await syncAll(phone)
  await there.getRepository(Note).save({ id: 'a', text: 'of Alice' })
  let wiped = 0
  const late: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    if (init?.method === 'GET' && answer.status === 200) {
      wiped++
      await wipe(phone)
    }
    return answer
  }
  await expect(syncAll(phone, undefined, { fetch: late })).rejects.toThrow(NotInJournalError)
  expect([wiped, await notes(phone)]).toEqual([1, []])
  await syncAll(phone)
  expect(await notes(phone)).toEqual(['a of Alice'])
})

const Team = new EntitySchema<{ id: string; captain: string | null }>({
  ...{ name: 'Team', tableName: 'team' },
  columns: { id: { type: 'varchar', primary: true }, captain: { type: 'varchar', nullable: true } },
  foreignKeys: [{ target: 'Player', columnNames: ['captain'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
})
const Player = new EntitySchema<{ id: string; team: string }>({
  ...{ name: 'Player', tableName: 'player' },
  columns: { id: { type: 'varchar', primary: true }, team: { type: 'varchar' } },
  foreignKeys: [{ target: 'Team', columnNames: ['team'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
})
enableSync(Team, '/teams')
enableSync(Player, '/players')
/** Of the device alone. */
const Pin = new EntitySchema<{ id: string; player: string }>({
  ...{ name: 'Pin', tableName: 'pin' },
  columns: { id: { type: 'varchar', primary: true }, player: { type: 'varchar' } },
  foreignKeys: [{ target: 'Player', columnNames: ['player'], referencedColumnNames: ['id'], onDelete: 'RESTRICT' }],
})

test.each(SERVERS)('rows that need each other are wiped; one that a row of the device alone needs stops it (%s)', async kind => {
  const phone = await openOn(kind, [Team, Player, Pin], { server: 'http://127.0.0.1:9' })
  const [teams, players, pins] = [phone.getRepository(Team), phone.getRepository(Player), phone.getRepository(Pin)]
  await teams.insert({ id: 't', captain: null })
  await players.insert({ id: 'p', team: 't' })
  await teams.update('t', { captain: 'p' })
  await pins.insert({ id: 'x', player: 'p' })
  await expect(wipe(phone, () => true)).rejects.toThrow(ConstraintError)
  expect([await teams.findOneBy({ captain: 'p' }), await players.count(), await pins.count()]).toEqual([{ id: 't', captain: 'p' }, 1, 1])
  await pins.delete('x')
  expect(await wipe(phone, () => true)).toBe(true)
  expect([await teams.count(), await players.count()]).toEqual([0, 0])
})

test.each(['wipe', 'adopt'] as const)('%s: who reads from the device reads everything anew, even who has read all of it', async how => {
  const device = await openOn('libsql', [Folder, Note])
  await device.getRepository(Note).insert({ id: 'a', text: 'one' })
  const { url } = await serve(device)
  const read = async (query = '') => (await fetch(`${url}/notes${query}`)).json() as Promise<any>
  const { now } = await read()
  if (how === 'wipe') await wipe(device, () => true)
  else await adopt(device)
  expect(await read(`?since=${now}`)).toMatchObject({ full: true, reset: 'since-too-old' })
})

test('a wiped device holds nothing of the user before in any table', async () => {
  const { there, phone } = await world('libsql')
  const texts = phone.getRepository(Note)
  await texts.save([
    { id: 'a', text: 'secret one' },
    { id: 'b', text: 'secret two' },
    { id: 'c', text: 'secret three' },
  ])
  await syncAll(phone)
  await there.getRepository(Note).save([{ id: 'a', text: 'secret four' }])
  await there.getRepository(Note).delete('b')
  await texts.save([
    { id: 'a', text: 'secret five' },
    { id: 'b', text: 'secret six' },
  ])
  await texts.delete('c')
  await syncAll(phone)
  await journal(texts).resolve('a', { text: 'secret seven' })
  await wipe(phone, () => true)
  const tables: { name: string }[] = await phone.query("SELECT name FROM sqlite_master WHERE type = 'table'")
  const found: string[] = []
  for (const { name } of tables) if (JSON.stringify(await phone.query(`SELECT * FROM "${name}"`)).includes('secret')) found.push(name)
  expect(tables.length).toBeGreaterThan(8)
  expect(found).toEqual([])
})

test.each(each)('rows that were made before any user signed in, or by another one, are adopted (%s, feed %s)', async (kind, feed) => {
  const { there, user, phone } = await world(kind, { feed })
  const texts = phone.getRepository(Note)
  await texts.save([
    { id: 'a', text: 'of Alice' },
    { id: 'b', text: 'removed' },
  ])
  await syncAll(phone)
  await texts.delete('b')
  await texts.save({ id: 'a', text: 'edited' })
  user.name = 'bob'
  await expect(syncAll(phone)).rejects.toThrow(OtherUserError)
  await adopt(phone)
  const report = await syncAll(phone)
  expect(report).toMatchObject({ pulled: 1, unapplied: 1, rejected: 0 })
  // what the former user removed is no matter of the new one's
  expect(await notes(phone)).toEqual(['a edited', 'b removed'])
  expect(await notes(there)).toEqual(['a of Alice', 'b removed'])
})

// ---------------------------------------------------------------- the wire

test.each(each)('an ETag, a page and an idempotency key of another user count for nothing (%s, feed %s)', async (kind, feed) => {
  const { there, url } = await world(kind)
  const path = feed ? '/sync' : '/notes'
  const as = (name: string, more: Record<string, string> = {}) => ({
    authorization: `Bearer ${name}`,
    'content-type': 'application/json',
    ...more,
  })
  const get = async (name: string, query: string, more = {}) => fetch(`${url}${path}?${query}`, { headers: as(name, more) })
  await there.getRepository(Note).save([
    { id: 'a', text: '1' },
    { id: 'b', text: '2' },
    { id: 'c', text: '3' },
  ])

  const first = await get('alice', 'since=0')
  const etag = first.headers.get('etag') as string
  const { now, principal: alice } = (await first.json()) as { now: number; principal: string }
  expect(alice).toMatch(/^[\w-]{22}$/)
  expect((await get('alice', `since=${now}`, { 'if-none-match': etag })).status).toBe(304)
  const other = await get('bob', `since=${now}`, { 'if-none-match': etag })
  expect(other.status).toBe(200)
  const { principal: bob } = (await other.json()) as { principal: string }
  expect(bob).not.toBe(alice)

  const page = (await (await get('alice', 'since=0&limit=2')).json()) as { next: string }
  const idsOf = async (answer: Response) => {
    const { updates, changes } = (await answer.json()) as { updates?: { id: string }[]; changes?: Record<string, { id: string }[]> }
    return (updates ?? changes?.['/notes'])?.map(row => row.id)
  }
  expect(await idsOf(await get('alice', `since=0&limit=2&after=${page.next}`))).toEqual(['c'])
  expect(await idsOf(await get('bob', `since=0&limit=2&after=${page.next}`))).toEqual(['a', 'b'])

  const post = (name: string, rows: object[], query = '') =>
    fetch(`${url}${path}?${query}`, {
      method: 'POST',
      headers: as(name, { 'idempotency-key': 'k' }),
      body: JSON.stringify(feed ? { changes: rows.length ? { '/notes': rows } : {} } : rows),
    })
  expect(await (await post('alice', [{ id: 'd', text: '4' }])).json()).toMatchObject({ status: 'ok', principal: alice })
  expect(await (await post('alice', [])).json()).toMatchObject({ replayed: true, principal: alice })
  expect(await (await post('bob', [])).json()).toMatchObject({ empty: true, principal: bob })

  const stale = await post('bob', [{ id: 'e', text: '5' }], `principal=${alice}`)
  expect([stale.status, await stale.json()]).toMatchObject([409, { reset: 'other-user', principal: bob }])
  expect(await notes(there)).toHaveLength(4)
})

test('what `principal` throws is the answer where it says so, and no more is said of anything else', async () => {
  const there = await openOn('libsql', [Folder, Note])
  const { url, errors } = await serve(there, {
    principal: ctx =>
      ctx.get('x') === 'no' ? ctx.throw(403) : ctx.get('x') === 'empty' ? { id: '' } : Promise.reject(new Error('secret')),
  })
  const statusOf = async (x: string) => {
    const answer = await fetch(`${url}/notes`, { headers: { x } })
    expect(await answer.text()).not.toContain('secret')
    return answer.status
  }
  expect([await statusOf('no'), await statusOf('empty'), await statusOf('')]).toEqual([403, 500, 500])
  expect(errors).toHaveLength(2)
})
