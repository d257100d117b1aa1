import { once } from 'node:events'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import compress from 'koa-compress'
import { Column, Entity, PrimaryColumn } from 'typeorm'
import { EnableSync, SyncedEntity } from 'typeorm-sync'
import { changeLogOf } from '../../src/entity/registry.js'
import { DatabaseFailedError } from '../../src/errors.js'
import { until } from '../support/until.js'
import { startTodo, type Todo } from './todoServer.js'

@Entity('appointment')
@EnableSync('/appointmentChanges', { dates: 'number' })
class Appointment extends SyncedEntity {
  @PrimaryColumn('text') id!: string
  @Column({ type: 'datetime', nullable: true }) at!: Date | null
}

let todo: Todo
afterEach(() => {
  jest.restoreAllMocks()
})

/** Looks on as transactions are run. */
function watchSteps(server: Todo, before: (nth: number) => unknown = () => {}): () => number {
  const { database } = changeLogOf(server.dataSource)
  const transaction = database.transaction.bind(database)
  let count = 0
  jest.spyOn(database, 'transaction').mockImplementation((async (body: any, options: any) => {
    await before(++count)
    return transaction(body, options)
  }) as any)
  return () => count
}

const countConnections = ({ server }: Todo) =>
  new Promise<number>((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))))

describe('the whole difference is streamed', () => {
  let compressing: Todo

  // 20,000 rows, 40 MB: more than the buffers of the sockets hold
  async function fill({ dataSource }: Todo) {
    await dataSource.query(
      `INSERT INTO task (id, name, done)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         SELECT printf('%05d', i), hex(randomblob(1000)), 0 FROM n`,
    )
  }
  beforeAll(async () => {
    todo = await startTodo({ requestTimeout: 3_000 })
    compressing = await startTodo({ before: [compress()] })
    await fill(todo)
    await fill(compressing)
  })
  afterAll(async () => {
    await todo.stop()
    await compressing.stop()
  })

  test('as one object, read page by page', async () => {
    const steps = watchSteps(todo)
    const { json, headers } = await todo.get('/taskChanges?since=0')
    expect(headers['transfer-encoding']).toBe('chunked')
    expect(json.updates).toHaveLength(20_000)
    expect(new Set(json.updates.map((update: any) => update.id)).size).toBe(20_000)
    expect(json.now).toBe(json.updates.at(-1)._lastChange)
    expect(json).toMatchObject({ full: true, collection: expect.any(String) })
    expect(json.next).toBeUndefined()
    expect(steps()).toBeGreaterThanOrEqual(20)
  })

  test('no faster than the client reads, and a client that reads no more is left', async () => {
    const steps = watchSteps(todo)
    const socket = await todo.connect()
    // more than two pages, and no more: how much lies between us is up to the sockets
    socket.on('data', () => socket.bytesRead > 5_000_000 && socket.pause())
    socket.write('GET /taskChanges?since=0 HTTP/1.1\r\nHost: here\r\n\r\n')
    await until(() => steps() > 2)
    await until(async () => (await countConnections(todo)) === 0)
    expect(steps()).toBeLessThan(15)
    socket.destroy()
  })

  test.each(['identity', 'gzip'])('until the client goes away (%s)', async encoding => {
    const server = encoding === 'gzip' ? compressing : todo
    const from = jest.spyOn(Readable, 'from')
    const steps = watchSteps(server)
    const socket = await server.connect()
    socket.write(`GET /taskChanges?since=0 HTTP/1.1\r\nHost: here\r\nAccept-Encoding: ${encoding}\r\n\r\n`)
    await once(socket, 'data')
    socket.destroy()
    await until(async () => (await countConnections(server)) === 0)
    const bodies = from.mock.results.map(result => result.value as Readable)
    expect(bodies).toHaveLength(1)
    await until(() => bodies.every(body => body.destroyed))
    const read = steps()
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(steps()).toBeLessThanOrEqual(read + 1)
    expect(read).toBeLessThan(20)
  })

  test('with what is written meanwhile, up to the last now', async () => {
    const write = (nth: number) => nth === 3 && todo.dataSource.query("INSERT INTO task (id, name, done) VALUES ('late', 'Come late', 0)")
    watchSteps(todo, write)
    const { json } = await todo.get('/taskChanges?since=0')
    expect(json.updates.at(-1).id).toBe('late')
    expect(json.now).toBe(json.updates.at(-1)._lastChange)
  })

  test.each(['plain', 'compressed'])('and broken off where a page cannot be read: half an answer never looks whole (%s)', async how => {
    const server = how === 'plain' ? todo : compressing
    server.errors.length = 0
    watchSteps(server, nth => {
      if (nth === 5) throw new DatabaseFailedError('The disk is gone')
    })
    await expect(server.get('/taskChanges?since=0', { 'Accept-Encoding': how === 'plain' ? 'identity' : 'gzip' })).rejects.toThrow()
    expect(server.errors).toContainEqual(expect.objectContaining({ message: 'The disk is gone' }))
    expect((await server.get('/taskChanges?limit=1')).status).toBe(200)
  })

  test('and broken off where the collection is reset meanwhile', async () => {
    const rename = (nth: number) => nth === 4 && todo.dataSource.query("UPDATE sync_clock SET collection = 'another'")
    watchSteps(todo, rename)
    await expect(todo.get('/taskChanges?since=0')).rejects.toThrow()
  })
})

test('a client that is ahead of the server gets everything, page after page, with one reset', async () => {
  const small = await startTodo({ pageSize: 2 })
  await small.post(
    '/taskChanges',
    ['a', 'b', 'c', 'd', 'e'].map(id => ({ id, name: id })),
  )
  const { json } = await small.get('/taskChanges?since=9000000000000000&min=9000000000000000&collection=another')
  expect(json.updates.map((update: any) => update.id)).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(json).toMatchObject({ reset: 'collection-changed', full: true, now: json.updates[0]._lastChange })
  await small.stop()
})

test('dates are numbers in a collection for clients of 2012, in a conflict as well', async () => {
  const old = await startTodo({ entities: [Appointment] })
  const { now } = (await old.post('/appointmentChanges', [{ id: 'dentist', at: 1279888110.421 }])).json
  expect((await old.get('/appointmentChanges')).json.updates).toEqual([{ id: 'dentist', at: 1279888110.421, _lastChange: now }])
  const contested = await old.post('/appointmentChanges?since=0', [{ id: 'dentist', at: null }])
  expect(contested).toMatchObject({ status: 409, json: { updates: [{ id: 'dentist', at: 1279888110.421 }] } })
  await old.stop()
})
