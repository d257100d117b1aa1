// What depends on a removed row: no unseen row is removed with it, and no edit is lost because of it.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, journal, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { unappliedOf } from '../support/unapplied.js'
import { beforeRoutes, hasFeed } from './world.js'

const text = { type: 'varchar' } as const
const under = (name: string, target: string | undefined, onDelete: 'CASCADE' | 'SET NULL' = 'CASCADE') =>
  new EntitySchema<any>({
    ...{ name, tableName: name.toLowerCase() },
    columns: { id: { ...text, primary: true }, name: { ...text, default: '' } },
    relations: target ? { parent: { type: 'many-to-one', target, nullable: true, onDelete } } : {},
  })
const Shelf = under('Shelf', undefined)
const Book = under('Book', 'Shelf')
const Remark = under('Remark', 'Book')
const Loan = under('Loan', 'Shelf', 'SET NULL')
const entities = [Shelf, Book, Remark, Loan]
for (const entity of entities) enableSync(entity, `/${entity.options.tableName}s`)

async function library(kind: (typeof SERVERS)[number], { isLent = false } = {}) {
  const there = await openOn(kind, entities)
  const { url } = await serve(there, { before: beforeRoutes })
  const alice = await openOn('sqljs', entities, { server: url })
  const bob = await openOn('sqljs', entities, { server: url })
  await alice.getRepository(Shelf).insert({ id: 's' })
  await alice.getRepository(Book).insert({ id: 'b', parent: { id: 's' } })
  if (isLent) await alice.getRepository(Loan).insert({ id: 'l', name: 'old', parent: { id: 's' } })
  for (const device of [alice, bob, alice]) await syncAll(device)
  return { there, alice, bob }
}

test.each(SERVERS)('a removal whose sender has not seen a grandchild does not cascade (%s)', async kind => {
  const { there, alice, bob } = await library(kind)
  await bob.getRepository(Remark).insert({ id: 'r', name: 'of Bob’s', parent: { id: 'b' } })
  await syncAll(bob)
  await alice.getRepository(Shelf).delete('s')
  // one by one the shelves come first: she does not know what came to the others. With the feed, it is read before anything is pushed
  await syncAll(alice.getRepository(Shelf))
  const shelves = journal(alice.getRepository(Shelf))
  expect((await shelves.rejected()).map(r => r.code)).toEqual(hasFeed ? [] : ['children-unseen'])
  expect((await shelves.pending()).map(r => r.id)).toEqual(hasFeed ? ['s'] : [])
  expect(await sql(there, 'SELECT name FROM remark')).toEqual([{ name: 'of Bob’s' }])
})

test.each(SERVERS)('an edit of a row whose parent is removed is pushed, though the row loses its parent (%s)', async kind => {
  const { there, alice, bob } = await library(kind, { isLent: true })
  await bob.getRepository(Shelf).delete('s')
  await syncAll(bob)
  await alice.getRepository(Loan).update('l', { name: 'hers' })
  for (const device of [alice, bob]) await syncAll(device)
  for (const each of [there, alice, bob])
    expect(await sql(each, 'SELECT name, "parentId" AS parent FROM loan')).toEqual([{ name: 'hers', parent: null }])
})

test.each(SERVERS)('a removal is held back while a grandchild is in conflict, and does not cascade (%s)', async kind => {
  const { there, alice, bob } = await library(kind)
  await bob.getRepository(Remark).insert({ id: 'r', name: 'of Bob’s', parent: { id: 'b' } })
  for (const device of [bob, alice]) await syncAll(device)
  await alice.getRepository(Shelf).delete('s')
  await bob.getRepository(Remark).update('r', { name: 'of Bob’s, once more' })
  await syncAll(bob)
  for (let i = 0; i < 3; i++) await syncAll(alice)
  expect(await sql(there, 'SELECT name FROM remark')).toEqual([{ name: 'of Bob’s, once more' }])
  expect((await unappliedOf(journal(alice.getRepository(Remark)))).map(w => [w.id, w.reason])).toEqual([['r', 'contested']])
  await syncAll(alice, preferRemoteConflictHandler)
  for (const device of [alice, bob, alice]) await syncAll(device, preferRemoteConflictHandler)
  for (const each of [there, alice, bob]) expect(await sql(each, 'SELECT name FROM remark')).toEqual([{ name: 'of Bob’s, once more' }])
})
