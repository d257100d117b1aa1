import 'reflect-metadata'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { DataSource } from 'typeorm'
import { journal, preferLocalConflictHandler, preferRemoteConflictHandler, resolveEach, syncAll } from 'typeorm-sync'
import { Project, Task } from '../../examples/model.js'
import { unappliedOf } from '../support/unapplied.js'
import { device, rowsOf, startServer, testOnSqlite, withoutFeed } from './devices.js'

const entities = [Project, Task]
let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource

beforeEach(async () => {
  server = await startServer(entities)
  alice = await device(entities, server.url)
  bob = await device(entities, server.url)
})
afterEach(async () => {
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
})

const tasks = (of: DataSource) => of.getRepository(Task)

async function expectEqual(): Promise<void> {
  for (const table of ['project', 'task']) {
    const rows = await rowsOf(server.dataSource, table)
    expect(await rowsOf(alice, table)).toEqual(rows)
    expect(await rowsOf(bob, table)).toEqual(rows)
  }
}

test('what Alice writes, Bob has after both have synced', async () => {
  const home = await alice.getRepository(Project).save({ name: 'Home' })
  const milk = await tasks(alice).save({ name: 'Buy milk', project: home, dueDate: new Date('2026-12-24T10:00:00Z') })
  const report = await syncAll(alice)
  expect(report).toMatchObject({ pulled: 0, pushed: 2, conflicts: 0, unapplied: 0, rejected: 0 })
  expect(await syncAll(bob)).toMatchObject({ pulled: 2, pushed: 0 })
  await expectEqual()
  await tasks(bob).update(milk.id, { done: true })
  await syncAll(bob)
  await syncAll(alice)
  expect(await tasks(alice).findOneByOrFail({ id: milk.id })).toMatchObject({ done: true, name: 'Buy milk' })
  await tasks(alice).delete(milk.id)
  await syncAll(alice)
  await syncAll(bob)
  expect(await tasks(bob).count()).toBe(0)
  await expectEqual()
})

test('changes to different properties merge without a question', async () => {
  const milk = await tasks(alice).save({ name: 'Buy milk' })
  await syncAll(alice)
  await syncAll(bob)
  await tasks(alice).update(milk.id, { name: 'Buy oat milk' })
  await tasks(bob).update(milk.id, { done: true })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ merged: 1, conflicts: 0 })
  await syncAll(alice)
  expect(await tasks(alice).findOneByOrFail({ id: milk.id })).toMatchObject({ name: 'Buy oat milk', done: true })
  await expectEqual()
})

test.each([
  ['local', preferLocalConflictHandler, 'Bob’s'],
  ['server', preferRemoteConflictHandler, 'Alice’s'],
  ['a new one', resolveEach<Task>(c => ({ name: `${c.local?.name} and ${c.remote?.name}` })), 'Bob’s and Alice’s'],
])('of two names for a task the %s one wins when Bob’s handler says so', async (_, handler, name) => {
  const milk = await tasks(alice).save({ name: 'Buy milk' })
  await syncAll(alice)
  await syncAll(bob)
  await tasks(alice).update(milk.id, { name: 'Alice’s' })
  await tasks(bob).update(milk.id, { name: 'Bob’s' })
  await syncAll(alice)
  expect(await syncAll(bob, handler)).toMatchObject({ conflicts: 1, unapplied: 0 })
  await syncAll(alice)
  expect((await tasks(alice).findOneByOrFail({ id: milk.id })).name).toBe(name)
  await expectEqual()
  expect(await journal(tasks(bob)).resolved()).toMatchObject([
    { id: milk.id, local: { name: 'Bob’s' }, remote: { name: 'Alice’s' }, decision: { name } },
  ])
})

test('a conflict that no handler resolves stays, and comes again', async () => {
  const milk = await tasks(alice).save({ name: 'Buy milk' })
  await syncAll(alice)
  await syncAll(bob)
  await tasks(alice).update(milk.id, { name: 'Alice’s' })
  await tasks(bob).update(milk.id, { name: 'Bob’s' })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ unapplied: 1 })
  expect(await unappliedOf(journal(tasks(bob)))).toMatchObject([
    { id: milk.id, reason: 'contested', local: { name: 'Bob’s' }, remote: { name: 'Alice’s' } },
  ])
  expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0 })
  await expectEqual()
})

test('a sync reports its progress, and what it has done', async () => {
  for (let i = 0; i < 7; i++) await tasks(alice).save({ name: `task ${i}` })
  const lines: string[] = []
  const report = await syncAll(tasks(alice), undefined, {
    batchSize: 3,
    onProgress: ({ entities, url, phase, report: { pushed, requests } }) => {
      expect([entities, url]).toEqual([['Project', 'Task'], `${server.url}/sync`])
      lines.push(`${phase} ${pushed} ${requests}`)
    },
  })
  expect(lines).toEqual(['pull 0 1', 'push 3 2', 'push 6 3', 'push 7 4'])
  expect(report).toMatchObject({ pushed: 7, requests: 4, rounds: 1 })
  expect(report.bytes.sent).toBeGreaterThan(7 * 50)
  const pages: number[] = []
  await syncAll(tasks(bob), undefined, { pageSize: 2, onProgress: ({ report: { pulled } }) => pages.push(pulled) })
  expect(pages).toEqual([2, 4, 6, 7])
  await expectEqual()
})

test('a sync with a server without a feed reports each entity by itself', async () => {
  const old = await startServer(entities, { before: [withoutFeed] })
  const carol = await device(entities, old.url)
  for (let i = 0; i < 7; i++) await tasks(carol).save({ name: `task ${i}` })
  const lines: string[] = []
  const report = await syncAll(tasks(carol), undefined, {
    batchSize: 3,
    onProgress: ({ entities, url, phase, report: { pushed, requests } }) => {
      lines.push(`${entities} ${url.slice(old.url.length)}: ${phase} ${pushed} ${requests}`)
    },
  })
  expect(lines).toEqual([
    'Project /projectChanges: pull 0 1',
    ...['pull 0 1', 'push 3 2', 'push 6 3', 'push 7 4'].map(each => `Task /taskChanges: ${each}`),
  ])
  expect(report).toMatchObject({ pushed: 7, requests: 5, rounds: 2 })
  await Promise.all([carol.destroy(), old.stop()])
})

testOnSqlite('a sync that finds nothing new asks once, and writes nothing', async () => {
  await tasks(alice).save({ name: 'Buy milk' })
  await syncAll(alice)
  await syncAll(tasks(bob))
  const written = async () => (await bob.query('SELECT total_changes() AS n'))[0].n
  const before = await written()
  expect(await syncAll(tasks(bob))).toMatchObject({ pulled: 0, pushed: 0, requests: 1 })
  expect(await written()).toBe(before)
})
