// What the simulation with users who see a part of the rows has found in the engine, as stories.

import { expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, syncAll } from 'typeorm-sync'
import { keys, type Rule, rule } from 'typeorm-sync/server-koa'
import { withoutFeed } from '../stories/devices.js'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

interface Box {
  id: string
  owner: string | null
}
const Box = new EntitySchema<Box>({
  ...{ name: 'Box', tableName: 'box' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, owner: { type: 'varchar', length: 64, nullable: true } },
})
enableSync(Box, '/boxes', { scopes: ['owner'] })

interface Thing extends Box {
  box: { id: string } | string | null
}
const Thing = new EntitySchema<Thing>({
  ...{ name: 'Thing', tableName: 'thing' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, owner: { type: 'varchar', length: 64, nullable: true } },
  relations: { box: { type: 'many-to-one', target: 'Box', joinColumn: { name: 'box' }, nullable: true, onDelete: 'SET NULL' } },
})
enableSync(Thing, '/things', { scopes: ['owner', 'box'] })

const ownRows = [rule(Box, { read: p => ({ owner: p.id }) }), rule(Thing, { read: p => ({ owner: p.id }), dangling: ['box'] })]

/** Whoever sees a thing may change it, whosever it becomes. */
const writtenByAll = [
  rule(Box, { read: p => ({ owner: p.id }) }),
  rule(Thing, { read: p => ({ owner: p.id }), write: () => true, dangling: ['box'] }),
]

async function world(kind: (typeof SERVERS)[number], rules: readonly Rule[]) {
  const there = await openOn(kind, [Box, Thing])
  const { url } = await serve(there, { principal: ctx => ({ id: ctx.get('user') }), rules })
  const push = async (user: string, changes: Record<string, object[]>) => {
    const headers = { user, 'content-type': 'application/json' }
    const response = await fetch(`${url}/sync`, { method: 'POST', headers, body: JSON.stringify({ changes }) })
    return { status: response.status, json: await response.json() }
  }
  return { there, push }
}

const thing = (there: DataSource, id: string) => there.getRepository(Thing).findOne({ where: { id }, loadRelationIds: true })

test.each(
  SERVERS.flatMap(kind => [
    { kind, rules: ownRows, writers: 'its owner writes' },
    { kind, rules: writtenByAll, writers: 'who sees it writes' },
  ]),
)('a removal does not take the box from a thing that its sender does not see, and that $writers ($kind)', async ({ kind, rules }) => {
  const { there, push } = await world(kind, rules)
  await there.getRepository(Box).save({ id: 'b', owner: 'alice' })
  await there.getRepository<any>(Thing).save({ id: 't', owner: 'bob', box: 'b' })
  const answer = await push('alice', { '/boxes': [{ id: 'b', _removed: true }] })
  expect(answer).toMatchObject({ status: 422, json: { errors: [{ id: 'b', code: 'children-exist' }] } })
  expect(await thing(there, 't')).toMatchObject({ box: 'b' })
})

/** Who may remove a box of theirs and change the things in it, as long as these are in a box. */
const inBoxes = [
  rule(Box, { read: p => ({ owner: p.id }) }),
  rule(Thing, { read: p => [{ owner: p.id }, { box: keys(Box, 'id', { owner: p.id }) }], dangling: ['box'] }),
]

test.each(SERVERS)('a removal takes nothing out of a box that its sender might not take out (%s)', async kind => {
  const { there, push } = await world(kind, inBoxes)
  await there.getRepository(Box).save([
    { id: 'b', owner: 'alice' },
    { id: 'c', owner: 'alice' },
  ])
  await there.getRepository<any>(Thing).save([
    { id: 'own', owner: 'alice', box: 'c' },
    { id: 't', owner: 'bob', box: 'b' },
  ])
  const remove = (id: string) => push('alice', { '/boxes': [{ id, _removed: true }] })
  const before = await thing(there, 't')
  expect(await push('alice', { '/things': [{ id: 't', _partial: true, box: null }] })).toMatchObject({
    ...{ status: 422, json: { errors: [{ id: 't', code: 'not-allowed' }] } },
  })
  expect(await remove('b')).toMatchObject({ status: 422, json: { errors: [{ id: 'b', code: 'children-exist' }] } })
  expect(await thing(there, 't')).toEqual(before)
  expect((await remove('c')).status).toBe(200)
  expect(await thing(there, 'own')).toMatchObject({ box: null })
})

test('a removal does not take along what a grant has brought in sight, and was not read yet, collection by collection', async () => {
  const text = { type: 'varchar', length: 40 } as const
  const Member = new EntitySchema<any>({
    name: 'Seat',
    tableName: 'seat',
    columns: { id: { ...text, primary: true }, user: text, list: text },
  })
  const Case = new EntitySchema<any>({ name: 'Case', tableName: 'case_', columns: { id: { ...text, primary: true } } })
  const relation = { type: 'many-to-one', target: 'Case', joinColumn: { name: 'case' }, onDelete: 'CASCADE' } as const
  const Paper = new EntitySchema<any>({
    ...{ name: 'Paper', tableName: 'paper' },
    ...{ columns: { id: { ...text, primary: true }, list: text }, relations: { case: relation } },
  })
  enableSync(Case, '/cases')
  enableSync(Paper, '/papers', { scopes: ['list'] })
  const there = await openOn('libsql', [Member, Case, Paper])
  const mine = rule<any>(Paper, { read: p => ({ list: keys<any>(Member, 'list', { user: p.id }) }) })
  const rules = [rule<any>(Case, { read: () => true }), mine]
  const { url } = await serve(there, { principal: ctx => ({ id: ctx.get('user') }), rules, before: [withoutFeed] })
  const ann = await openOn('libsql', [Case, Paper], { server: url, headers: { user: 'ann' } })
  await there.getRepository(Case).save({ id: 'c' })
  await there.getRepository(Paper).save({ id: 'p', list: 'l', case: { id: 'c' } })
  await syncAll(ann)
  await there.getRepository(Member).save({ id: 'm', user: 'ann', list: 'l' })
  await ann.getRepository(Case).delete('c')
  expect(await syncAll(ann)).toMatchObject({ entities: { Case: { rejected: 1 } } })
  expect(await there.getRepository(Paper).count()).toBe(1)
})
