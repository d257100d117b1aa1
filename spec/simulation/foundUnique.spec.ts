// What the simulation has found in worlds with unique values, as stories.

import 'reflect-metadata'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, ManyToOne, PrimaryColumn } from 'typeorm'
import { EnableSync, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { device, startServer } from '../stories/devices.js'

@Entity('simulated_song')
@EnableSync('/songs')
class Song {
  @PrimaryColumn('varchar', { length: 40 }) id!: string
  @Column('text') name!: string
  @Column('smallint', { unique: true }) place!: number
}

/** Decided one by one: a row may need another one of these. */
@Entity('simulated_part')
@EnableSync('/parts')
class Part extends Song {
  @ManyToOne(() => Part, { nullable: true, onDelete: 'CASCADE' }) whole!: Part | null
}

let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource

beforeEach(async () => {
  server = await startServer([Song, Part])
  alice = await device([Song, Part], server.url)
  bob = await device([Song, Part], server.url)
})
afterEach(async () => {
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
})

async function exchange(dataSource: DataSource, entity: typeof Song): Promise<void> {
  for (const [id, place] of [
    ['a', 100],
    ['b', 1],
    ['a', 2],
  ] as const)
    await dataSource.getRepository(entity).update(id, { place })
}

test.each([
  ['rows', Song],
  ['rows of a tree', Part],
])('two contested %s that exchange their unique places are decided together', async (_, entity) => {
  await alice.getRepository(entity).save([
    { id: 'a', name: 'A', place: 1 },
    { id: 'b', name: 'B', place: 2 },
  ])
  await syncAll(alice)
  await syncAll(bob)
  await exchange(alice, entity)
  for (const [who, dataSource] of [
    ['Alice', alice],
    ['Bob', bob],
  ] as const)
    for (const id of ['a', 'b']) await dataSource.getRepository(entity).update(id, { name: `${id} of ${who}` })
  await syncAll(alice)
  expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 2, unapplied: 0 })
  expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 0, unapplied: 0 })
  expect(await bob.getRepository(entity).find({ order: { id: 'ASC' } })).toEqual([
    { id: 'a', name: 'a of Alice', place: 2 },
    { id: 'b', name: 'b of Alice', place: 1 },
  ])
})
