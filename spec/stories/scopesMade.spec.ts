// Rows that their makers do not see: they leave the device, as what is moved out of one's sight does.

import { expect, test } from '@jest/globals'
import type { Context } from 'koa'
import { EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, journal, syncAll } from 'typeorm-sync'
import { keys, type Rule, rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

const text = { type: 'varchar', length: 40 } as const
const id = { ...text, primary: true } as const

interface Report {
  id: string
  owner: string
  text: string
}
const Report = new EntitySchema<Report>({ ...{ name: 'Report', tableName: 'report' }, columns: { id, owner: text, text } })
enableSync(Report, '/reports', { scopes: ['owner'] })

interface Order {
  id: string
  team: number
}
const Order = new EntitySchema<Order>({ ...{ name: 'Order', tableName: 'orders' }, columns: { id, team: { type: 'int' } } })
enableSync(Order, '/orders', { scopes: ['team'] })

interface List {
  id: string
  owner: string
}
const List = new EntitySchema<List>({ ...{ name: 'List', tableName: 'list' }, columns: { id, owner: text } })
enableSync(List, '/lists', { scopes: ['owner'] })

interface Member {
  id: string
  user: string
  list: { id: string }
}
const Member = new EntitySchema<Member>({
  ...{ name: 'Member', tableName: 'member' },
  columns: { id, user: text },
  relations: { list: { type: 'many-to-one', target: 'List', nullable: false, onDelete: 'CASCADE' } },
})
enableSync(Member, '/members', { scopes: ['user', 'list'] })

const principal = (ctx: Context) => ({ id: ctx.get('x-user') })

async function world(kind: (typeof SERVERS)[number], entities: EntitySchema<any>[], rules: Rule[]) {
  const there = await openOn(kind, entities)
  const { url } = await serve(there, { principal, rules })
  const device = (user: string) => openOn('libsql', entities, { server: url, headers: { 'x-user': user } })
  const leavingOf = async (user: string, since: number) => {
    const answer = await fetch(`${url}/sync?since=${since}`, { headers: { 'x-user': user } })
    return Object.values(((await answer.json()) as { changes: Record<string, object[]> }).changes).flat()
  }
  return { there, device, leavingOf }
}

test.each(SERVERS)('what is made for others goes to them, and leaves the device (%s)', async kind => {
  const { there, device, leavingOf } = await world(
    kind,
    [Report],
    [rule<Report>(Report, { read: p => ({ owner: p.id }), write: { create: () => true } })],
  )
  const [alice, admin] = [await device('alice'), await device('admin')]
  await alice.getRepository(Report).save({ id: 'a', owner: 'alice', text: 'own' })
  await syncAll(alice)
  await alice.getRepository(Report).save({ id: 'b', owner: 'admin', text: 'to the admin' })
  for (let i = 0; i < 2; i++) await syncAll(alice)
  expect(await alice.getRepository(Report).find()).toMatchObject([{ id: 'a' }])
  expect([await hasLocalChanges(alice), await journal(alice.getRepository(Report)).rejected()]).toEqual([false, []])
  await syncAll(admin)
  expect(await admin.getRepository(Report).find()).toMatchObject([{ id: 'b', text: 'to the admin' }])
  expect(await there.getRepository(Report).count()).toBe(2)
  // nobody else hears of it
  expect(await leavingOf('bob', 1)).toEqual([])
})

test.each(SERVERS)('a key may be a number (%s)', async kind => {
  const { device } = await world(
    kind,
    [Order],
    [rule<Order>(Order, { read: p => ({ team: Number(p.id) }), write: { create: () => true } })],
  )
  const [one, two] = [await device('1'), await device('2')]
  await one.getRepository(Order).save([
    { id: 'a', team: 1 },
    { id: 'b', team: 2 },
  ])
  for (let i = 0; i < 2; i++) await syncAll(one)
  await syncAll(two)
  expect(await one.getRepository(Order).find()).toMatchObject([{ id: 'a' }])
  expect(await two.getRepository(Order).find()).toMatchObject([{ id: 'b' }])
})

test.each(SERVERS)('what was seen by a membership of the same push leaves where that is lost before the next sync (%s)', async kind => {
  const mine = (p: { id: string }) => keys<Member>(Member, 'list', { user: p.id })
  const { there, device } = await world(
    kind,
    [List, Member],
    [
      rule<List>(List, { read: p => [{ owner: p.id }, { id: mine(p) }] }),
      rule<Member>(Member, { read: p => [{ user: p.id }, { list: mine(p) }], write: p => ({ list: mine(p) }), dangling: ['list'] }),
    ],
  )
  const alice = await device('alice')
  await syncAll(alice)
  await alice.getRepository(List).save({ id: 'l', owner: 'alice' })
  await alice.getRepository(Member).save([
    { id: 'm1', user: 'alice', list: { id: 'l' } },
    { id: 'm2', user: 'bob', list: { id: 'l' } },
  ])
  await syncAll(alice)
  expect(await there.getRepository(Member).count()).toBe(2)
  await there.getRepository(Member).delete('m1')
  await there.getRepository(List).update('l', { owner: 'bob' })
  for (let i = 0; i < 2; i++) await syncAll(alice)
  expect([await alice.getRepository(List).find(), await alice.getRepository(Member).find()]).toEqual([[], []])
  expect([await journal(alice.getRepository(Member)).deferred(), await hasLocalChanges(alice)]).toEqual([[], false])
})
