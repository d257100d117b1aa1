import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { collectTombstones, forgetPushes, maintain, renewHistory } from 'typeorm-sync/server-koa'
import { changeLogOf } from '../../src/entity/registry.js'
import { until } from '../support/until.js'
import { startTodo, type Todo } from './todoServer.js'

let todo: Todo
beforeEach(async () => {
  todo = await startTodo()
  await todo.post('/taskChanges', [
    { id: 'milk', name: 'Buy milk' },
    { id: 'bread', name: 'Bake bread' },
  ])
})
afterEach(async () => {
  jest.restoreAllMocks()
  await todo.stop()
})

const sql = (statement: string, ...values: unknown[]) => todo.dataSource.query(statement, values)
const remove = async (id: string) => (await todo.post('/taskChanges', [{ id, _removed: true }])).json.now as number
const tombstones = async () => (await sql('SELECT id FROM sync_tombstone ORDER BY id')).map((row: any) => row.id)
const DAY = 86_400_000

describe('collectTombstones', () => {
  test('deletes old tombstones, and a client that has not pulled them begins anew', async () => {
    const { now } = (await todo.get('/taskChanges')).json
    await remove('milk')
    expect(await collectTombstones(todo.dataSource)).toBe(0)
    expect(await tombstones()).toEqual(['milk'])
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 181 * DAY)
    expect(await collectTombstones(todo.dataSource)).toBe(1)
    expect(await tombstones()).toEqual([])
    const away = (await todo.get(`/taskChanges?since=${now}`)).json
    expect(away).toMatchObject({ reset: 'since-too-old', full: true, updates: [{ id: 'bread' }] })
    // the horizon is never above now: a client that has read everything is not reset again and again
    const present = (await todo.get(`/taskChanges?since=${away.now}`)).json
    expect(present.reset).toBeUndefined()
  })

  test('keeps tombstones that a server of this database does not know, and drops base versions with the tombstones', async () => {
    const { collections } = changeLogOf(todo.dataSource)
    const name = collections.find(c => c.entity === 'Task')!.name
    await remove('milk')
    await remove('bread')
    const [milk] = await sql("SELECT stamp FROM sync_tombstone WHERE id = 'milk'")
    await sql("INSERT INTO sync_server (id, collection, url, origin, pushed_stamp, pushed_id) VALUES (1, ?, 'u', 's', 0, '')", name)
    await sql(
      `INSERT INTO "sync_base_${name}" (_sync_server, _sync_id, _sync_stamp, _sync_removed) VALUES (1, 'milk', 1, 1), (1, 'bread', 1, 1)`,
    )
    expect(await collectTombstones(todo.dataSource, { olderThan: 0 })).toBe(0)
    // pushed up to milk's removal, which it knows, but not bread's
    await sql("UPDATE sync_server SET pushed_stamp = ?, pushed_id = 'milk'", milk.stamp)
    expect(await collectTombstones(todo.dataSource, { olderThan: 0 })).toBe(1)
    expect(await tombstones()).toEqual(['bread'])
    expect(await sql(`SELECT _sync_id AS id FROM "sync_base_${name}"`)).toEqual([{ id: 'bread' }])
    // the server does not know what is in conflict, or was rejected
    await sql("UPDATE sync_server SET pushed_stamp = 9e15, pushed_id = ''")
    await sql("INSERT INTO sync_unapplied (server, id, reason) VALUES (1, 'bread', 'contested')")
    expect(await collectTombstones(todo.dataSource, { olderThan: 0 })).toBe(0)
    await sql('DELETE FROM sync_unapplied')
    await sql("INSERT INTO sync_rejection (server, id, stamp, code, again) SELECT 1, id, stamp, 'x', 0 FROM sync_tombstone")
    expect(await collectTombstones(todo.dataSource, { olderThan: 0 })).toBe(0)
    await sql('DELETE FROM sync_rejection')
    // nor what is kept apart: the server does not show the row, and the removal is pushed once it does
    await sql(`INSERT INTO sync_no_access (server, id, local) VALUES (1, 'bread', 'null')`)
    expect(await collectTombstones(todo.dataSource, { olderThan: 0 })).toBe(0)
    await sql('DELETE FROM sync_no_access')
    // what this server removed itself it knows
    await sql("UPDATE sync_server SET pushed_stamp = 0, pushed_id = ''")
    await sql('INSERT INTO sync_stamp (server, stamp) SELECT 1, stamp FROM sync_tombstone')
    expect(await collectTombstones(todo.dataSource, { olderThan: 0 })).toBe(1)
  })

  test('goes on in small transactions where there are many', async () => {
    await sql(
      `INSERT INTO task (id, name, done) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT 'n' || i, 'x', 0 FROM n`,
    )
    await sql("DELETE FROM task WHERE id LIKE 'n%'")
    const transaction = jest.spyOn(changeLogOf(todo.dataSource).database, 'transaction')
    expect(await collectTombstones(todo.dataSource, { olderThan: -DAY })).toBe(5_000)
    expect(transaction.mock.calls.length).toBeGreaterThanOrEqual(4)
    expect(await tombstones()).toEqual([])
  })
})

test('forgetPushes forgets old idempotency keys alone', async () => {
  await todo.post('/taskChanges', [{ id: 'milk', name: 'Old' }], { 'Idempotency-Key': 'old' })
  await sql('UPDATE sync_push SET answered_at = answered_at - ?', 31 * DAY)
  await todo.post('/taskChanges', [{ id: 'milk', name: 'New' }], { 'Idempotency-Key': 'new' })
  expect(await forgetPushes(todo.dataSource)).toBe(1)
  expect(
    (await todo.post('/taskChanges', [{ id: 'milk', name: 'New' }], { 'Idempotency-Key': 'new' })).headers['idempotency-replayed'],
  ).toBe('true')
})

test('renewCollection lets every client begin anew after a backup was restored', async () => {
  const { now, collection } = (await todo.get('/taskChanges')).json
  const name = await renewHistory(todo.dataSource)
  expect(name).not.toBe(collection)
  expect((await todo.get(`/taskChanges?since=${now}&collection=${collection}`)).json).toMatchObject({
    reset: 'collection-changed',
    collection: name,
    updates: [{ id: 'bread' }, { id: 'milk' }],
  })
})

test('maintain does so again and again, reports failures, and stops', async () => {
  const transaction = jest.spyOn(changeLogOf(todo.dataSource).database, 'transaction')
  const failures: unknown[] = []
  transaction.mockRejectedValueOnce(new Error('locked'))
  const stop = maintain(todo.dataSource, { every: 10, onError: error => failures.push(error) })
  await until(() => transaction.mock.calls.length > 5)
  stop()
  expect(failures).toMatchObject([{ message: 'locked' }])
  await new Promise(resolve => setTimeout(resolve, 50))
  const count = transaction.mock.calls.length
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(transaction.mock.calls.length).toBe(count)
})
