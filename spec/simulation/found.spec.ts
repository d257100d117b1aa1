// What the simulation has found in the engine, as stories.

import 'reflect-metadata'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import libsql from 'libsql'
import { DataSource } from 'typeorm'
import { journal, preferLocalConflictHandler, syncAll } from 'typeorm-sync'
import { collectTombstones, renewHistory } from 'typeorm-sync/server-koa'
import { Project, Task } from '../../examples/model.js'
import { type HookedOptions, withHooks } from '../../src/entity/withSync.js'
import { device, rowsOf, startServer, syncAlone, Wire, withoutFeed } from '../stories/devices.js'

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

async function expectEqual(): Promise<void> {
  for (const table of ['project', 'task']) {
    const rows = await rowsOf(server.dataSource, table)
    expect(await rowsOf(alice, table)).toEqual(rows)
    expect(await rowsOf(bob, table)).toEqual(rows)
  }
}

test('a removal that Alice pushes does not cascade to a task that she has never seen', async () => {
  // collection by collection
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
  const wire = new Wire()
  server = await startServer(entities, { before: [withoutFeed] })
  alice = await device(entities, server.url, { fetch: wire.fetch })
  bob = await device(entities, server.url)
  const home = await alice.getRepository(Project).save({ name: 'Home' })
  await syncAll(alice)
  await syncAll(bob)
  await bob.getRepository(Task).save({ name: 'Buy milk', project: home })
  await syncAll(bob)
  // her projects are up to date, her tasks are not
  await syncAlone(alice, wire, '/projectChanges')
  await alice.getRepository(Project).delete(home.id)
  expect(await syncAlone(alice, wire, '/projectChanges')).toMatchObject({ rejected: 1, pushed: 0 })
  expect(await journal(alice.getRepository(Project)).rejected()).toMatchObject([{ id: home.id, code: 'children-unseen' }])
  expect(await server.dataSource.getRepository(Task).count()).toBe(1)
  // now she is asked, and lets her removal stand
  const asked: string[] = []
  await syncAll(alice, (conflicts, updates, callback) => {
    asked.push(...conflicts.map(c => c.entity))
    return preferLocalConflictHandler(conflicts, updates, callback)
  })
  expect(asked).toEqual(['Task'])
  await syncAll(alice)
  await syncAll(bob)
  expect(await server.dataSource.getRepository(Task).count()).toBe(0)
  await expectEqual()
})

test('a client that never read anything new can still push after removals were collected', async () => {
  const task = await server.dataSource.getRepository(Project).save({ name: 'Soon gone' })
  await syncAll(alice)
  await server.dataSource.getRepository(Project).delete(task.id)
  await collectTombstones(server.dataSource, { olderThan: -1_000 })
  // nothing was ever in her tasks, so that the server has answered 304 and her cursor is still 0
  await alice.getRepository(Task).save({ name: 'Buy milk' })
  await syncAll(alice)
  await syncAll(bob)
  expect(await bob.getRepository(Task).count()).toBe(1)
  await expectEqual()
})

test('a row that was rejected and then changed is not listed as rejected when its push was acknowledged by a replay', async () => {
  await server.dataSource.query(
    `CREATE TRIGGER rule BEFORE INSERT ON task WHEN NEW.name = 'bad' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`,
  )
  const task = await alice.getRepository(Task).save({ name: 'bad' })
  expect(await syncAll(alice)).toMatchObject({ rejected: 1 })
  await alice.getRepository(Task).update(task.id, { name: 'good' })
  let lose = true
  const losing: typeof fetch = async (url, init) => {
    const answer = await fetch(url, init)
    if (init?.method === 'POST' && lose) {
      lose = false
      throw new TypeError('the connection broke')
    }
    return answer
  }
  await expect(syncAll(alice, undefined, { fetch: losing })).rejects.toThrow(/could not be reached/)
  expect(await syncAll(alice)).toMatchObject({ rejected: 0, pushed: 1 })
  await syncAll(bob)
  await expectEqual()
})

test('an older answer that comes while a newer one is half stored does not bring back what that one replaced', async () => {
  const [first, second] = [await alice.getRepository(Project).save({ name: 'A' }), await alice.getRepository(Project).save({ name: 'B' })]
  await syncAll(alice)
  // a second window on Alice's database, held where it has stored the rows of a full answer and not yet swept
  let hold = false
  let isHeld = () => {}
  const held = new Promise<void>(resolve => {
    isHeld = resolve
  })
  let release = () => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const file = join(mkdtempSync(join(tmpdir(), 'windows-')), 'db')
  const window = (options: HookedOptions = {}) =>
    withHooks(new DataSource({ type: 'better-sqlite3', driver: libsql, database: file, enableWAL: true, entities, synchronize: true }), {
      server: server.url,
      retries: 0,
      ...options,
    }).initialize()
  const left = await window()
  await syncAll(left)
  const right = await window({
    beforeTransaction: async () => {
      await new Promise(resolve => setImmediate(resolve))
      if (!hold || (await left.getRepository(Project).countBy({ name: 'newest' })) === 0) return
      isHeld()
      await released
    },
  })
  await server.dataSource.getRepository(Project).delete(second.id)
  await collectTombstones(server.dataSource, { olderThan: -1_000 })
  await server.dataSource.getRepository(Project).update(first.id, { name: 'newer' })
  // where something is to be pushed, what is stored of an answer does not move the place up to which all was
  await left.getRepository(Project).save({ name: 'hers' })

  const late: typeof fetch = async (url, init) => {
    const answer = await fetch(url, init)
    if (hold) return answer
    // this answer is on its way while the other window reads
    hold = true
    await server.dataSource.getRepository(Project).update(first.id, { name: 'newest' })
    reading = syncAll(right.getRepository(Project))
    await held
    return answer
  }
  let reading: Promise<unknown> = Promise.resolve()
  const names: string[] = []
  await syncAll(left.getRepository(Project), undefined, {
    fetch: late,
    onProgress: async () => {
      names.push((await left.getRepository(Project).findOneByOrFail({ id: first.id })).name)
    },
  })
  expect((await left.getRepository(Project).findOneByOrFail({ id: first.id })).name).toBe('newest')
  expect(names).not.toContain('newer')
  release()
  await reading
  expect((await left.getRepository(Project).find()).map(p => p.name).sort()).toEqual(['hers', 'newest'])
  await Promise.all([left.destroy(), right.destroy()])
})

test('what was read before the server was reset does not count as seen', async () => {
  // stamps that only count, so that those of the new history are below those of the old one
  const counting = await startServer(entities, { before: [withoutFeed], options: { wallClock: '0' } })
  const wire = new Wire()
  const [carol, dave] = [await device(entities, counting.url, { fetch: wire.fetch }), await device(entities, counting.url)]
  const home = await carol.getRepository(Project).save({ name: 'Home' })
  for (let i = 0; i < 20; i++) await counting.dataSource.getRepository(Task).save({ name: `task ${i}` })
  await syncAll(carol)
  for (const sql of ['DELETE FROM task', 'DELETE FROM project', 'DELETE FROM sync_tombstone', 'UPDATE sync_clock SET now = 0'])
    await counting.dataSource.query(sql)
  await renewHistory(counting.dataSource)
  // her projects know of the new history, her tasks do not
  await syncAlone(carol, wire, '/projectChanges')
  await syncAll(dave)
  await dave.getRepository(Task).save({ name: 'Buy milk', project: home })
  await syncAll(dave)
  await carol.getRepository(Project).delete(home.id)
  expect(await syncAlone(carol, wire, '/projectChanges')).toMatchObject({ rejected: 1, pushed: 0 })
  expect(await counting.dataSource.getRepository(Task).countBy({ name: 'Buy milk' })).toBe(1)
  await Promise.all([carol.destroy(), dave.destroy(), counting.stop()])
})

test('a row that waits, and that the server makes equal to ours, is left as it is, and nothing is kept for it any more', async () => {
  const milk = await alice.getRepository(Task).save({ name: 'Buy milk' })
  await syncAll(alice)
  await syncAll(bob)
  await alice.getRepository(Task).update(milk.id, { name: 'Buy oat milk' })
  await bob.getRepository(Task).update(milk.id, { name: 'Buy soy milk' })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ unapplied: 1 })
  const stampOf = async () => (await bob.query('SELECT "_lastChange" AS stamp FROM task'))[0].stamp
  const stamp = await stampOf()
  await alice.getRepository(Task).update(milk.id, { name: 'Buy soy milk' })
  await syncAll(alice)
  expect(await syncAll(bob)).toMatchObject({ unapplied: 0, pushed: 0 })
  expect(await stampOf()).toBe(stamp)
  expect(await bob.query('SELECT * FROM sync_base_task')).toEqual([])
  await expectEqual()
})

test('a rejection that is heard late does not pass a later version, rejected as well, for one that the server has', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'windows-')), 'db')
  const window = () =>
    withHooks(new DataSource({ type: 'better-sqlite3', driver: libsql, database: file, enableWAL: true, entities, synchronize: true }), {
      server: server.url,
      retries: 0,
    }).initialize()
  const left = await window()
  const right = await window()
  const task = await left.getRepository(Task).save({ name: 'Buy milk' })
  await syncAll(left)
  await server.dataSource.query(
    `CREATE TRIGGER rule BEFORE UPDATE ON task WHEN NEW.name LIKE '%bad' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`,
  )
  await left.getRepository(Task).update(task.id, { name: 'bad' })
  let isFirst = true
  const late: typeof fetch = async (url, init) => {
    const answer = await fetch(url, init)
    if (init?.method === 'POST' && isFirst) {
      isFirst = false
      await right.getRepository(Task).update(task.id, { name: 'as bad' })
      expect(await syncAll(right)).toMatchObject({ rejected: 1 })
    }
    return answer
  }
  expect(await syncAll(left, undefined, { fetch: late })).toMatchObject({ rejected: 1 })
  expect(isFirst).toBe(false)
  expect(await journal(left.getRepository(Task)).rejected()).toMatchObject([{ id: task.id, code: 'not-valid' }])
  await server.dataSource.query('DROP TRIGGER rule')
  await journal(left.getRepository(Task)).retry(task.id)
  await syncAll(left)
  expect((await server.dataSource.getRepository(Task).findOneByOrFail({ id: task.id })).name).toBe('as bad')
  await Promise.all([left.destroy(), right.destroy()])
})
