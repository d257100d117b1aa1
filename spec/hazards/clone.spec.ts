// A device's database is copied to another device: nothing that travels is named by a counter of the client's.

import 'reflect-metadata'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { DataSource } from 'typeorm'
import { syncAll, withSync } from 'typeorm-sync'
import { Project, Task } from '../../examples/model.js'
import { device, rowsOf, startServer } from '../stories/devices.js'

const entities = [Project, Task]
let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
const open: DataSource[] = []

beforeEach(async () => {
  server = await startServer(entities)
  alice = await device(entities, server.url)
  open.push(alice)
})
afterEach(async () => {
  await Promise.all(open.splice(0).map(each => each.destroy()))
  await server.stop()
})

/** Another device with what stands in Alice's database. */
async function cloneOfAlice(): Promise<DataSource> {
  const database = (alice.driver as unknown as { export(): Uint8Array }).export()
  const clone = withSync(new DataSource({ type: 'sqljs', database, entities, synchronize: true }), { server: server.url, retries: 0 })
  open.push(clone)
  return clone.initialize()
}

const tasks = (of: DataSource) => of.getRepository(Task)

async function expectEqual(clone: DataSource): Promise<void> {
  for (const each of [alice, clone, alice, clone]) await syncAll(each)
  const rows = await rowsOf(server.dataSource, 'task')
  expect(await rowsOf(alice, 'task')).toEqual(rows)
  expect(await rowsOf(clone, 'task')).toEqual(rows)
}

test('two devices from one copy do not mistake each other’s pushes for their own', async () => {
  await tasks(alice).save({ name: 'Buy milk' })
  await syncAll(alice)
  const clone = await cloneOfAlice()
  await tasks(alice).save({ name: 'Alice’s' })
  await tasks(clone).save({ name: 'The clone’s' })
  await syncAll(alice)
  await syncAll(clone)
  await expectEqual(clone)
  const names = (await tasks(server.dataSource).find()).map(t => t.name)
  expect(names.sort()).toEqual(['Alice’s', 'Buy milk', 'The clone’s'])
})

test('a copy that was made while a push had no answer ends it as well, and pushes what it changed since', async () => {
  const milk = await tasks(alice).save({ name: 'Buy milk' })
  await syncAll(alice)
  await tasks(alice).update(milk.id, { name: 'Buy oat milk' })
  const losing: typeof fetch = async (url, init) => {
    const answer = await fetch(url, init)
    if (init?.method === 'POST') throw new TypeError('the connection broke')
    return answer
  }
  await expect(syncAll(alice, undefined, { fetch: losing })).rejects.toThrow(/could not be reached/)
  const clone = await cloneOfAlice()
  await tasks(alice).update(milk.id, { done: true })
  await tasks(clone).update(milk.id, { dueDate: new Date('2026-12-24T10:00:00Z') })
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
  expect(await syncAll(clone)).toMatchObject({ conflicts: 0, unapplied: 0 })
  await expectEqual(clone)
  expect(await tasks(server.dataSource).findOneByOrFail({ id: milk.id })).toMatchObject({
    name: 'Buy oat milk',
    done: true,
    dueDate: new Date('2026-12-24T10:00:00Z'),
  })
})
