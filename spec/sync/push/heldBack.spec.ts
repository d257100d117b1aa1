// A row that this device pushes later, because others have to be pushed or decided first: it is pending, and no server has rejected it.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, journal, NotInJournalError, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { openOn, serve } from '../../support/eachDatabase.js'
import { unappliedOf } from '../../support/unapplied.js'

const text = { type: 'varchar' } as const
const Box = new EntitySchema<any>({
  name: 'Box',
  tableName: 'box',
  columns: { id: { ...text, primary: true } },
  relations: { parent: { type: 'many-to-one', target: 'Box', nullable: true, onDelete: 'CASCADE' } },
})
const Thing = new EntitySchema<any>({
  name: 'Thing',
  tableName: 'thing',
  columns: { id: { ...text, primary: true } },
  relations: { box: { type: 'many-to-one', target: 'Box', nullable: true, onDelete: 'CASCADE' } },
})
const entities = [Box, Thing]
for (const entity of entities) enableSync(entity, `/${entity.options.tableName}es`)

async function world() {
  const server = await openOn('sqljs', entities)
  const { url } = await serve(server)
  const [alice, bob] = [await openOn('sqljs', entities, { server: url }), await openOn('sqljs', entities, { server: url })]
  const boxes = alice.getRepository<any>(Box)
  await boxes.insert([{ id: 'x' }, { id: 'y' }])
  for (const device of [alice, bob]) await syncAll(device)
  return { server, alice, bob, boxes }
}

test('a removal that waits with a conflict of its child is pending and not rejected', async () => {
  const { server, alice, bob, boxes } = await world()
  await bob.getRepository(Thing).insert({ id: 't', box: { id: 'x' } })
  await syncAll(bob)
  await boxes.delete('x')
  const report = await syncAll(alice)
  expect(await unappliedOf(journal(alice.getRepository(Thing)))).toMatchObject([{ id: 't', reason: 'parent-removed' }])
  expect(report).toMatchObject({ pushed: 0, rejected: 0, heldBack: 1, entities: { Box: { heldBack: 1 }, Thing: { heldBack: 0 } } })
  expect(await journal(boxes).rejected()).toEqual([])
  expect(await journal(boxes).pending()).toMatchObject([
    { id: 'x', local: null, base: { id: 'x' }, heldBack: expect.stringMatching(/^Rows that need it/) },
  ])
  expect(await journal(boxes).pendingCount()).toBe(1)
  expect(await journal(boxes).hasLocalChanges()).toBe(true)
  await expect(journal(boxes).retry('x')).rejects.toThrow(NotInJournalError)
  // what is not held back says nothing of it
  await boxes.insert({ id: 'z' })
  expect((await journal(boxes).pending()).map(row => [row.id, row.heldBack !== undefined])).toEqual([
    ['z', false],
    ['x', true],
  ])
  await journal(alice.getRepository(Thing)).resolve('t', null)
  for (let i = 0; i < 2; i++) await syncAll(alice)
  expect(await journal(boxes).pending()).toEqual([])
  expect((await server.getRepository<any>(Box).find()).map(box => box.id).sort()).toEqual(['y', 'z'])
})

test('a change of a row that was held back is listed once, and held back again', async () => {
  const { alice, bob, boxes } = await world()
  await bob.getRepository(Box).update('y', { parent: { id: 'x' } })
  await syncAll(bob)
  await boxes.update('x', { parent: { id: 'y' } })
  await syncAll(alice)
  expect(await journal(boxes).rejected()).toEqual([])
  expect(await journal(boxes).pending()).toMatchObject([{ id: 'x', heldBack: expect.stringMatching(/^It was moved/) }])
  await boxes.update('x', { parent: { id: 'y' } })
  expect((await journal(boxes).pending()).map(row => [row.id, row.heldBack])).toEqual([['x', undefined]])
  expect(await syncAll(alice)).toMatchObject({ pushed: 0, rejected: 0, heldBack: 1, unapplied: 1 })
  expect(await syncAll(alice, preferRemoteConflictHandler)).toMatchObject({ rejected: 0, heldBack: 0, unapplied: 0 })
  expect(await journal(boxes).pending()).toEqual([])
})

test('a held-back change can be discarded', async () => {
  const { alice, bob, boxes } = await world()
  await bob.getRepository(Thing).insert({ id: 't', box: { id: 'x' } })
  await syncAll(bob)
  await boxes.delete('x')
  await syncAll(alice)
  await journal(boxes).discard('x')
  expect(await journal(boxes).pending()).toEqual([])
  expect(await syncAll(alice)).toMatchObject({ heldBack: 0, unapplied: 0 })
  expect((await alice.getRepository<any>(Thing).find()).map(thing => thing.id)).toEqual(['t'])
})
