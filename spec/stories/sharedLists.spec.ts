// Shared lists: what devices of several users hold, while memberships change.

import { expect, test } from '@jest/globals'
import type { Context } from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import { AuthenticationError, enableSync, hasLocalChanges, journal, preferLocalConflictHandler, syncAll } from 'typeorm-sync'
import { keys, rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

interface List {
  id: string
  name: string
}
const text = { type: 'varchar', length: 64 } as const
const List = new EntitySchema<List>({
  ...{ name: 'List', tableName: 'list' },
  columns: { id: { ...text, primary: true }, name: text },
})
enableSync(List, '/lists')

interface Item {
  id: string
  title: string
  done: boolean
  list: string | { id: string }
}
const Item = new EntitySchema<Item>({
  ...{ name: 'Item', tableName: 'item' },
  columns: { id: { ...text, primary: true }, title: text, done: { type: 'boolean' } },
  relations: { list: { type: 'many-to-one', target: 'List', joinColumn: { name: 'list' }, nullable: false, onDelete: 'CASCADE' } },
})
enableSync(Item, '/items', { scopes: ['list'] })

interface Member {
  id: string
  user: string
  list: string
  role: string
}
/** It is not synced: the host alone grants. */
const Member = new EntitySchema<Member>({
  ...{ name: 'Member', tableName: 'list_member' },
  columns: { id: { ...text, primary: true }, user: text, list: text, role: text },
})

const rules = [
  rule(List, {
    read: p => ({ id: keys(Member, 'list', { user: p.id }) }),
    write: p => ({ id: keys(Member, 'list', { user: p.id, role: 'owner' }) }),
  }),
  rule(Item, {
    read: p => ({ list: keys(Member, 'list', { user: p.id }) }),
    write: p => ({ list: keys(Member, 'list', { user: p.id, role: ['owner', 'editor'] }) }),
  }),
]

const signedIn = new Set<string>()
const principal = (ctx: Context) => {
  const [, id] = /^Bearer (\w+)$/.exec(ctx.get('Authorization')) ?? []
  return id && signedIn.has(id) ? { id } : undefined
}

async function world(kind: (typeof SERVERS)[number]) {
  const there = await openOn(kind, [List, Item, Member])
  const { url } = await serve(there, { principal, rules })
  for (const name of ['alice', 'bob', 'carol']) signedIn.add(name)
  const open = (user: string, server = url) =>
    openOn('libsql', [List, Item], { server, headers: () => ({ authorization: `Bearer ${user}` }) })
  const grant = (user: string, list: string, role = 'editor') =>
    there.getRepository(Member).save({ id: `${user} ${list}`, user, list, role })
  const revoke = (user: string, list: string) => there.getRepository(Member).delete(`${user} ${list}`)
  await there.getRepository(List).save([
    { id: 'home', name: 'At home' },
    { id: 'work', name: 'At work' },
  ])
  await there.getRepository(Item).save([
    { id: 'h1', title: 'Bread', done: false, list: { id: 'home' } },
    { id: 'w1', title: 'Report', done: false, list: { id: 'work' } },
  ])
  await grant('alice', 'home', 'owner')
  await grant('alice', 'work', 'owner')
  await grant('bob', 'home')
  return { there, url, open, grant, revoke, alice: await open('alice'), bob: await open('bob') }
}

const items = async (who: DataSource) => (await who.getRepository(Item).find({ order: { id: 'ASC' } })).map(i => `${i.id} ${i.title}`)
const lists = async (who: DataSource) => (await who.getRepository(List).find({ order: { id: 'ASC' } })).map(l => l.id)
const of = (who: DataSource) => who.getRepository(Item)

/** What is left of a row anywhere in the file. */
async function traces(who: DataSource, id: string): Promise<string[]> {
  const tables: { name: string }[] = await who.query(`SELECT name FROM sqlite_master WHERE type = 'table'`)
  const found: string[] = []
  for (const { name } of tables) {
    const rows: object[] = await who.query(`SELECT * FROM "${name}"`)
    if (rows.some(row => Object.values(row).includes(id))) found.push(name)
  }
  return found
}

test.each(SERVERS)('a grant brings a list, a revocation takes it without a trace, and other rows stay (%s)', async kind => {
  const { grant, revoke, bob } = await world(kind)
  await syncAll(bob)
  expect(await items(bob)).toEqual(['h1 Bread'])
  await grant('bob', 'work')
  expect(await syncAll(bob)).toMatchObject({ pulled: 2, conflicts: 0 })
  expect(await items(bob)).toEqual(['h1 Bread', 'w1 Report'])
  expect(await lists(bob)).toEqual(['home', 'work'])
  await of(bob).update('w1', { title: 'Report 2' })
  await syncAll(bob)
  await revoke('bob', 'work')
  await syncAll(bob)
  expect(await items(bob)).toEqual(['h1 Bread'])
  expect(await lists(bob)).toEqual(['home'])
  expect([await traces(bob, 'w1'), await traces(bob, 'work')]).toEqual([[], []])
  expect(await syncAll(bob)).toMatchObject({ pulled: 0, pushed: 0, requests: 1 })
})

test.each(SERVERS)('an edit of a row that was lost waits in the journal, and is pushed when access comes back (%s)', async kind => {
  const { there, alice, bob, grant, revoke } = await world(kind)
  await syncAll(alice)
  await syncAll(bob)
  await of(bob).update('h1', { title: 'Rye bread' })
  await of(bob).insert({ id: 'h2', title: 'Butter', done: false, list: { id: 'home' } })
  await revoke('bob', 'home')
  await of(alice).update('h1', { done: true })
  await syncAll(alice)
  await syncAll(bob)
  expect(await lists(bob)).toEqual([])
  expect(await hasLocalChanges(bob)).toBe(true)
  expect(await journal(of(bob)).rejected()).toMatchObject([{ id: 'h1', code: 'no-access', local: { title: 'Rye bread' } }])
  expect(await items(there)).toEqual(['h1 Bread', 'w1 Report'])
  await grant('bob', 'home')
  expect(await syncAll(bob)).toMatchObject({ conflicts: 0 })
  expect(await items(there)).toEqual(['h1 Rye bread', 'h2 Butter', 'w1 Report'])
  expect(await of(there).findOneBy({ id: 'h1' })).toMatchObject({ done: true })
  expect(await hasLocalChanges(bob)).toBe(false)
  await syncAll(alice)
  expect(await items(alice)).toEqual(['h1 Rye bread', 'h2 Butter', 'w1 Report'])
})

test.each(SERVERS)('a row that moves to another list goes from one device and comes to another (%s)', async kind => {
  const { there, alice, bob, open, grant } = await world(kind)
  await grant('carol', 'work')
  const carol = await open('carol')
  for (const who of [alice, bob, carol]) await syncAll(who)
  await of(alice).save({ id: 'h1', list: { id: 'work' } })
  for (const who of [alice, bob, carol]) await syncAll(who)
  expect(await items(bob)).toEqual([])
  expect(await items(carol)).toEqual(['h1 Bread', 'w1 Report'])
  await of(carol).delete('h1')
  for (const who of [carol, alice, bob]) await syncAll(who)
  expect([await items(there), await items(alice), await items(bob)]).toEqual([['w1 Report'], ['w1 Report'], []])
})

test.each(SERVERS)('what one may not change is kept and shown, and pushed with the right to it (%s)', async kind => {
  const { there, bob, grant } = await world(kind)
  await grant('bob', 'home', 'reader')
  await syncAll(bob)
  await of(bob).update('h1', { title: 'Cake' })
  expect(await syncAll(bob)).toMatchObject({ rejected: 1 })
  expect(await journal(of(bob)).rejected()).toMatchObject([{ id: 'h1', code: 'not-allowed' }])
  expect(await items(there)).toEqual(['h1 Bread', 'w1 Report'])
  expect(await items(bob)).toEqual(['h1 Cake'])
  await journal(of(bob)).discard('h1')
  expect(await items(bob)).toEqual(['h1 Bread'])
  expect(await syncAll(bob)).toMatchObject({ rejected: 0, pushed: 0 })
  await of(bob).update('h1', { title: 'Scones' })
  expect(await syncAll(bob)).toMatchObject({ rejected: 1 })
  // a role opens no row more, and he may write those that he sees
  await grant('bob', 'home', 'editor')
  expect(await syncAll(bob)).toMatchObject({ rejected: 0, pushed: 1 })
  expect(await items(there)).toEqual(['h1 Scones', 'w1 Report'])
})

test.each(SERVERS)('who is signed out, or deleted, changes nothing and loses nothing of their own (%s)', async kind => {
  const { there, bob } = await world(kind)
  await syncAll(bob)
  await of(bob).update('h1', { title: 'Rolls' })
  signedIn.delete('bob')
  await expect(syncAll(bob)).rejects.toThrow(AuthenticationError)
  expect(await items(bob)).toEqual(['h1 Rolls'])
  signedIn.add('bob')
  await there.getRepository(Member).delete({ user: 'bob' })
  await syncAll(bob)
  expect(await items(bob)).toEqual([])
  expect(await journal(of(bob)).rejected()).toMatchObject([{ id: 'h1', code: 'no-access' }])
})

test.each(SERVERS)('a relay that sees everything serves by rules of its own (%s)', async kind => {
  const { there, url, alice } = await world(kind)
  signedIn.add('relay')
  for (const list of ['home', 'work']) await there.getRepository(Member).save({ id: `relay ${list}`, user: 'relay', list, role: 'owner' })
  const relay = await openOn('libsql', [List, Item, Member], { server: url, headers: () => ({ authorization: 'Bearer relay' }) })
  await relay.getRepository(Member).save({ id: 'dora home', user: 'dora', list: 'home', role: 'editor' })
  const below = await serve(relay, { principal, rules })
  signedIn.add('dora')
  const dora = await openOn('libsql', [List, Item], { server: below.url, headers: () => ({ authorization: 'Bearer dora' }) })
  const around = async () => {
    for (const who of [alice, relay, dora, relay, alice, relay, dora]) await syncAll(who, preferLocalConflictHandler)
  }
  await around()
  expect(await items(dora)).toEqual(['h1 Bread'])
  await of(dora).update('h1', { title: 'Buns' })
  await of(alice).insert({ id: 'h2', title: 'Milk', done: false, list: { id: 'home' } })
  await around()
  expect(await items(dora)).toEqual(['h1 Buns', 'h2 Milk'])
  expect(await items(there)).toEqual(['h1 Buns', 'h2 Milk', 'w1 Report'])
  await of(alice).save({ id: 'h2', list: { id: 'work' } })
  await around()
  expect(await items(dora)).toEqual(['h1 Buns'])
  await of(alice).delete('h1')
  await around()
  expect(await items(dora)).toEqual([])
})
