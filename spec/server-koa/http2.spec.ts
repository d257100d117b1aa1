// The same middleware behind HTTP/2, whose requests and answers are not those of node:http.

import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type Http2Server,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, expect, jest, test } from '@jest/globals'
import cors from '@koa/cors'
import { changeLogOf } from '../../src/entity/registry.js'
import { DatabaseFailedError } from '../../src/errors.js'
import { until } from '../support/until.js'
import { startTodo, type Todo, type TodoOptions } from './todoServer.js'

let todo: Todo
let server: Http2Server
let session: ClientHttp2Session
let running = 0
let streams: ServerHttp2Stream[] = []
const headersSet = new Set<string>()

async function start(options: TodoOptions = {}): Promise<void> {
  const watch = async (ctx: any, next: () => Promise<void>) => {
    running++
    const set = ctx.res.setHeader.bind(ctx.res)
    ctx.res.setHeader = (name: string, value: string) => {
      headersSet.add(name.toLowerCase())
      return set(name, value)
    }
    await next().finally(() => running--)
  }
  todo = await startTodo({ ...options, before: [watch, cors()] })
  streams = []
  server = createServer(todo.app.callback()).on('stream', stream => streams.push(stream))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  session.on('error', () => {})
}
afterEach(async () => {
  jest.restoreAllMocks()
  session.destroy()
  await new Promise(resolve => server.close(resolve))
  await todo.stop()
  // which Node warns of, and leaves out
  expect(headersSet).not.toContain('connection')
})

const milk = { id: 'milk', name: 'Buy milk' }
const json = { 'content-type': 'application/json' }
const many = (count: number) => Array.from({ length: count }, (_, i) => ({ id: `t${i}`, name: 'x'.repeat(1_000) }))

function request(path: string, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
  const stream = session.request({ ':path': path, ...headers })
  stream.on('error', () => {})
  return stream
}
const beginPost = () => request('/taskChanges', { ':method': 'POST', ...json })

async function answerOf(stream: ClientHttp2Stream) {
  const [headers] = await once(stream, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return { status: headers[':status'], headers, json: text ? JSON.parse(text) : undefined }
}

const get = (path: string, headers: OutgoingHttpHeaders = {}) => answerOf(request(path, headers))
function post(rows: unknown, headers: OutgoingHttpHeaders = {}) {
  const stream = request('/taskChanges', { ':method': 'POST', ...json, ...headers })
  stream.end(Buffer.isBuffer(rows) ? rows : JSON.stringify(rows))
  return answerOf(stream)
}

test('rows go and come', async () => {
  await start()
  const { json: stored } = await post([milk])
  expect(stored).toMatchObject({ status: 'ok' })
  const answer = await get('/taskChanges?since=0', { origin: 'https://example.org' })
  expect(answer).toMatchObject({ status: 200, json: { updates: [milk] }, headers: { 'access-control-allow-origin': '*' } })
  expect(await get(`/taskChanges?since=${stored.now}`, { 'if-none-match': answer.headers.etag })).toMatchObject({ status: 304 })
  expect(await get('/taskChanges', { ':method': 'HEAD' })).toMatchObject({ status: 200, json: undefined })
  expect(await post(gzipSync('[{"id":"bread","name":"Bread"}]'), { 'content-encoding': 'gzip' })).toMatchObject({ status: 200 })
  expect(await post({ no: 'array' })).toMatchObject({ status: 400, headers: { 'content-type': 'application/problem+json' } })
})

test('a push that comes again under its key is not stored twice, and two keys are none', async () => {
  await start()
  await post([milk], { 'idempotency-key': 'a0b1' })
  const again = await post([milk], { 'idempotency-key': 'a0b1' })
  expect(again).toMatchObject({ status: 200, json: { replayed: true }, headers: { 'idempotency-replayed': 'true' } })
  expect(await post([milk], { 'idempotency-key': ['a', 'b'] })).toMatchObject({ status: 400 })
})

test('a body that is too large is not read to its end, and the next request is welcome', async () => {
  await start({ maxBodyBytes: 1_000 })
  const stream = beginPost()
  const answer = answerOf(stream)
  stream.write(' '.repeat(2_000))
  expect(await answer).toMatchObject({ status: 413 })
  // its sender may go on, for a moment
  const flood = setInterval(() => !stream.destroyed && stream.write(' '.repeat(1_000)), 1)
  await until(() => streams.every(s => s.closed))
  clearInterval(flood)
  expect(await post([milk])).toMatchObject({ status: 200 })
})

test('a body that is too slow: 408', async () => {
  await start({ requestTimeout: 1_000 })
  const stream = beginPost()
  stream.write('[')
  expect(await answerOf(stream)).toMatchObject({ status: 408 })
  expect(await post([milk])).toMatchObject({ status: 200 })
})

test('half a body, then nothing: its sender is gone', async () => {
  await start()
  const before = await todo.dump()
  const stream = beginPost()
  stream.write('[{"id":"milk",')
  await until(() => running === 1)
  stream.close(constants.NGHTTP2_CANCEL)
  await until(() => running === 0)
  expect(await todo.dump()).toBe(before)
})

test('half an answer never looks whole', async () => {
  await start({ pageSize: 100 })
  await post(many(500))
  const { database } = changeLogOf(todo.dataSource)
  const transaction = database.transaction.bind(database)
  let count = 0
  const spy = jest.spyOn(database, 'transaction').mockImplementation((async (body: any, options: any) => {
    if (++count === 2) throw new DatabaseFailedError('The disk is gone')
    return transaction(body, options)
  }) as any)
  await expect(get('/taskChanges')).rejects.toThrow('NGHTTP2_INTERNAL_ERROR')
  spy.mockRestore()
  expect((await get('/taskChanges')).json.updates).toHaveLength(500)
})

test('a client that goes away is not read for', async () => {
  await start({ pageSize: 100 })
  await post(many(2_000))
  const from = jest.spyOn(Readable, 'from')
  const stream = request('/taskChanges')
  await once(stream, 'response')
  stream.close(constants.NGHTTP2_CANCEL)
  const bodies = from.mock.results.map(({ value }) => value as Readable)
  expect(bodies).toHaveLength(1)
  await until(() => bodies.every(body => body.destroyed))
})

test('a client that reads no more is left', async () => {
  await start({ requestTimeout: 1_000 })
  await post(many(2_000))
  const from = jest.spyOn(Readable, 'from')
  const stream = request('/taskChanges')
  await once(stream, 'response')
  stream.pause()
  await until(() => streams.every(s => s.closed))
  expect(streams.at(-1)?.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR)
  await until(() => from.mock.results.every(({ value }) => (value as Readable).destroyed))
  expect(await get('/taskChanges?limit=1')).toMatchObject({ status: 200 })
})

test('a stream of events tells, and ends with a word when the server stops', async () => {
  await start()
  const stream = request('/sync?since=0', { accept: 'text/event-stream' })
  let text = ''
  stream.on('data', chunk => {
    text += chunk
  })
  await until(() => text.includes('event: hello'))
  await answerOf(beginPost().end(JSON.stringify([milk])))
  await until(() => /event: changes\nid: \d+\ndata: .*"\/taskChanges":\d+/.test(text))
  const closed = once(stream, 'close')
  server.close()
  await closed
  expect(text).toContain('event: bye\ndata: {"reason":"stopping"}')
})
