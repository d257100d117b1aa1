// Rows that are seen by what their parents are seen by.

import { expect, test } from '@jest/globals'
import type { Context } from 'koa'
import { EntitySchema } from 'typeorm'
import { enableSync, syncAll } from 'typeorm-sync'
import { keys, rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

const id = { type: 'varchar', length: 40, primary: true } as const
const Member = new EntitySchema<any>({
  ...{ name: 'Member', tableName: 'member' },
  columns: { id: { ...id }, user: { type: 'varchar', length: 40 }, project: { type: 'varchar', length: 40 } },
})
const Task = new EntitySchema<any>({
  ...{ name: 'Task', tableName: 'task' },
  columns: { id: { ...id }, project: { type: 'varchar', length: 40 } },
})
const Comment = new EntitySchema<any>({
  ...{ name: 'Comment', tableName: 'comment' },
  columns: { id: { ...id }, text: { type: 'varchar', length: 40 }, author: { type: 'varchar', length: 40 } },
  relations: { task: { type: 'many-to-one', target: 'Task', joinColumn: { name: 'task' }, onDelete: 'CASCADE' } },
})
enableSync(Task, '/tasks', { scopes: ['project'] })
enableSync(Comment, '/comments', { scopes: ['task.project', 'author'] })

const mine = (p: { id: string }) => keys<any>(Member, 'project', { user: p.id })
const rules = [
  // u is seen by everybody, what hangs below it is not
  rule<any>(Task, { read: p => [{ project: mine(p) }, { id: 'u' }] }),
  rule<any>(Comment, { read: p => [{ 'task.project': mine(p) }, { author: p.id }], dangling: ['task'] }),
]
const principal = (ctx: Context) => ({ id: ctx.get('Authorization') })

test.each(SERVERS)('comments follow their task: %s', async kind => {
  const there = await openOn(kind, [Member, Task, Comment])
  await there.getRepository(Member).save([
    { id: '1', user: 'ann', project: 'p' },
    { id: '2', user: 'bob', project: 'q' },
  ])
  await there.getRepository(Task).save([
    { id: 't', project: 'p' },
    { id: 'u', project: 'q' },
  ])
  await there.getRepository(Comment).save([
    { id: 'c', text: 'one', author: 'x', task: { id: 't' } },
    { id: 'd', text: 'two', author: 'x', task: { id: 'u' } },
  ])
  const { url } = await serve(there, { public: undefined as never, principal, rules })
  const devices = await Promise.all(
    ['ann', 'bob'].map(async user => {
      const device = await openOn('libsql', [Task, Comment], { server: url, headers: { Authorization: user } } as object)
      await syncAll(device)
      return device
    }),
  )
  const seen = async () => {
    const ids: string[][] = []
    for (const device of devices) {
      await syncAll(device)
      ids.push((await sql(device, 'SELECT "id" FROM "comment" ORDER BY "id"')).map((row: { id: string }) => row.id))
    }
    return ids
  }
  expect(await seen()).toEqual([['c'], ['d']])
  await sql(there, `UPDATE "task" SET "project" = 'q' WHERE "id" = 't'`)
  expect(await seen()).toEqual([[], ['c', 'd']])
  // back, by a device that may see both
  await there.getRepository(Member).save({ id: '3', user: 'bob', project: 'p' })
  expect(await seen()).toEqual([[], ['c', 'd']])
  await devices[1]!.getRepository(Task).update('t', { project: 'p' })
  await syncAll(devices[1]!)
  expect(await seen()).toEqual([['c'], ['c', 'd']])
  // nobody puts a comment where they see nothing
  await devices[0]!.getRepository(Comment).insert({ id: 'e', text: 'mine', author: 'ann', task: { id: 't' } })
  await syncAll(devices[0]!)
  const response = await fetch(`${url}/comments`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: 'ann' },
    body: JSON.stringify([{ id: 'e', _partial: true, task: 'u' }]),
  })
  expect([response.status, JSON.stringify(await response.json())]).toEqual([422, expect.stringContaining('not-allowed')])
  expect(await sql(there, `SELECT "task" FROM "comment" WHERE "id" = 'e'`)).toEqual([{ task: 't' }])
})

test.each(SERVERS)('comments follow their task at a relay, wherever it was moved: %s', async kind => {
  const members = [
    { id: '1', user: 'ann', project: 'p' },
    { id: '2', user: 'bob', project: 'q' },
    { id: '3', user: 'cleo', project: 'p' },
    { id: '4', user: 'cleo', project: 'q' },
  ]
  const top = await openOn('libsql', [Member, Task, Comment])
  await top.getRepository(Member).save([...members, { id: '5', user: 'relay', project: 'p' }, { id: '6', user: 'relay', project: 'q' }])
  await top.getRepository(Task).save({ id: 't', project: 'p' })
  await top.getRepository(Comment).save({ id: 'c', text: 'one', author: 'x', task: { id: 't' } })
  const options = { public: undefined as never, principal, rules }
  const { url: topUrl } = await serve(top, options)
  const relay = await openOn(kind, [Member, Task, Comment], { server: topUrl, headers: { Authorization: 'relay' } } as object)
  await relay.getRepository(Member).save(members)
  const { url } = await serve(relay, options)
  const devices = await Promise.all(
    ['ann', 'bob', 'cleo'].map(user => openOn('libsql', [Task, Comment], { server: url, headers: { Authorization: user } } as object)),
  )
  const seen = async () => {
    await syncAll(relay)
    for (const device of devices) await syncAll(device)
    return Promise.all(devices.map(async device => (await sql(device, 'SELECT "id" FROM "comment"')).length))
  }
  expect(await seen()).toEqual([1, 0, 1])
  await sql(top, `UPDATE "task" SET "project" = 'q' WHERE "id" = 't'`)
  expect(await seen()).toEqual([0, 1, 1])
  // by a device of the relay
  await devices[2]!.getRepository(Task).update('t', { project: 'p' })
  await syncAll(devices[2]!)
  expect(await seen()).toEqual([1, 0, 1])
  expect(await seen()).toEqual([1, 0, 1])
  expect(await sql(top, 'SELECT "project" FROM "task"')).toEqual([{ project: 'p' }])
  // what is below another task moves no cursor
  const [{ horizon }] = await sql(relay, 'SELECT horizon FROM sync_clock')
  await sql(top, `UPDATE "comment" SET "text" = 'two'`)
  expect(await seen()).toEqual([1, 0, 1])
  expect(await sql(relay, 'SELECT horizon FROM sync_clock')).toEqual([{ horizon }])
  // who moves a task reads what is below it, though they have said themselves all that was new
  await top.getRepository(Task).save({ id: 'u', project: 'q' })
  await top.getRepository(Comment).save({ id: 'd', text: 'one', author: 'x', task: { id: 'u' } })
  expect(await seen()).toEqual([1, 1, 2])
  await devices[0]!.getRepository(Task).update('u', { project: 'p' })
  await syncAll(devices[0]!)
  expect(await seen()).toEqual([2, 0, 2])
})
