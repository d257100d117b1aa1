import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import cors from '@koa/cors'
import { unavailable } from '../../server/problem.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { DatabaseBusyError, DatabaseFailedError } from '../../src/errors.js'
import { until } from '../support/until.js'
import { startTodo, type Todo } from './todoServer.js'

let todo: Todo
const stops: (() => Promise<void>)[] = []
async function start(...options: Parameters<typeof startTodo>): Promise<Todo> {
  const started = await startTodo(...options)
  stops.push(started.stop)
  return started
}
afterEach(async () => {
  jest.restoreAllMocks()
  for (const stop of stops.splice(0)) await stop()
})

const milk = { id: 'milk', name: 'Buy milk' }
const bread = { id: 'bread', name: 'Bake bread' }
const ids = (answer: { json: any }) => answer.json.updates.map((update: any) => update.id)

describe('GET answers', () => {
  beforeEach(async () => {
    todo = await start()
  })

  test('what changed since, as the seed protocol has it', async () => {
    const { now: first } = (await todo.post('/taskChanges', [milk])).json
    const { now: second } = (await todo.post('/taskChanges', [bread])).json
    const answer = await todo.get(`/taskChanges?since=${first}`)
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toMatch(/^application\/json\b/)
    expect(answer.json).toEqual({
      now: second,
      collection: expect.any(String),
      updates: [{ ...bread, done: false, dueDate: null, tags: null, project: null, _lastChange: second }],
    })
  })

  test.each(['', '?since=', '?since=null', '?since=0'])(
    'everything, and no removal, to a client that comes for the first time: %s',
    async query => {
      await todo.post('/taskChanges', [milk, bread])
      await todo.post('/taskChanges', [{ id: 'bread', _removed: true }])
      const answer = await todo.get(`/taskChanges${query}`)
      expect(ids(answer)).toEqual(['milk'])
      expect(answer.json.full).toBe(true)
    },
  )

  test('removals to a client that has seen the row', async () => {
    const { now } = (await todo.post('/taskChanges', [milk])).json
    const removal = (await todo.post('/taskChanges', [{ id: 'milk', _removed: true }])).json
    const { json } = await todo.get(`/taskChanges?since=${now}`)
    expect(json.updates).toEqual([{ id: 'milk', _removed: true, _lastChange: removal.now }])
  })

  test('pages, by a token, to a client that asks for them, though all rows have one stamp', async () => {
    const rows = ['a', 'b', 'c', 'd', 'e'].map(id => ({ id, name: id }))
    const { now } = (await todo.post('/taskChanges', rows)).json
    const pages = [await todo.get('/taskChanges?since=0&limit=2')]
    for (let last = pages[0]!; last.json.next; pages.push(last))
      last = await todo.get(`/taskChanges?since=0&limit=2&after=${encodeURIComponent(last.json.next)}`)
    expect(pages.map(ids)).toEqual([['a', 'b'], ['c', 'd'], ['e']])
    expect(pages.at(-1)!.json.now).toBe(now)
  })

  test('no larger pages than it wants to', async () => {
    const small = await start({ maxPageSize: 2 })
    await small.post('/taskChanges', [milk, bread, { id: 'tea', name: 'Drink tea' }])
    expect(ids(await small.get('/taskChanges?limit=1000000'))).toHaveLength(2)
  })

  test('everything again to a client that knows another history', async () => {
    await todo.post('/taskChanges', [milk])
    const { json } = await todo.get('/taskChanges?since=5&collection=another')
    expect(json).toMatchObject({ reset: 'collection-changed', updates: [{ id: 'milk' }] })
  })

  test('only those who have not heard: 304 without a body to the others', async () => {
    const { now } = (await todo.post('/taskChanges', [milk])).json
    const { etag } = (await todo.get('/taskChanges?since=0')).headers
    await todo.post('/projectChanges', [{ id: 'home', name: 'Home' }])
    const nothingNew = await todo.get(`/taskChanges?since=${now}`, { 'If-None-Match': etag })
    expect(nothingNew).toMatchObject({ status: 304, text: '', headers: { etag, 'cache-control': 'private, no-cache' } })
    await todo.post('/taskChanges', [bread])
    const news = await todo.get(`/taskChanges?since=${now}`, { 'If-None-Match': etag })
    expect(news.status).toBe(200)
    expect(ids(news)).toEqual(['bread'])
    expect(news.headers.etag).not.toBe(etag)
  })

  test('HEAD the same without a body', async () => {
    await todo.post('/taskChanges', [milk, bread])
    const { headers } = await todo.get('/taskChanges?since=0')
    const head = await todo.ask('/taskChanges?since=0', { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, text: '', headers: { etag: headers.etag, 'content-type': headers['content-type'] } })
    // nor the length of one
    expect((await todo.ask('/taskChanges?limit=5', { method: 'HEAD' })).headers['content-length']).toBeUndefined()
    const again = await todo.ask('/taskChanges?since=0', { method: 'HEAD', headers: { 'If-None-Match': headers.etag ?? '' } })
    expect(again.headers.etag).toBe(headers.etag)
  })

  test('caches what the answer depends on', async () => {
    const { headers } = await todo.get('/taskChanges')
    expect(headers['cache-control']).toBe('private, no-cache')
    expect(headers.vary?.split(', ')).toEqual(expect.arrayContaining(['Accept', 'Accept-Encoding', 'Authorization']))
  })

  test.each(['1e3', '0x10', '-1', '1.5', '%20', '9007199254740993', 'abc', '0&since=1'])(
    'nobody who asks with since=%s: 400',
    async since => {
      await todo.post('/taskChanges', [milk])
      const answer = await todo.get(`/taskChanges?since=${since}`)
      expect(answer).toMatchObject({ status: 400, json: { status: 400, title: 'Bad Request', type: 'about:blank' } })
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json\b/)
      expect(answer.text).not.toContain('milk')
    },
  )

  test('nothing to a client that took the time for a stamp, and where to go on from', async () => {
    const { now } = (await todo.post('/taskChanges', [milk])).json
    await until(() => Date.now() > now)
    const since = now + 1
    const { json } = await todo.get(`/taskChanges?since=${since}`)
    expect(json).toEqual({ now, collection: expect.any(String), updates: [] })
    // one that says which history it knows, or how far it has heard, hears that it was put back
    for (const more of [`collection=${json.collection}`, `min=${since}`, 'min=0'])
      expect((await todo.get(`/taskChanges?since=${since}&${more}`)).json).toMatchObject({ reset: 'collection-changed', updates: [milk] })
    expect((await todo.get(`/taskChanges?since=${Date.now() + 3_600_000}`)).json).toMatchObject({ reset: 'collection-changed' })
    // and no client has read what is not there yet
    expect(await todo.post(`/taskChanges?since=${since}`, [bread])).toMatchObject({ status: 409, json: { reset: 'collection-changed' } })
  })

  test.each(['since[]=1', 'since%5B%5D=1', 'Since=1', 'since%20=1', 'limit[0]=5', 'collection[]=x', 'min.x=1', 'AFTER=x', 'Seen=1:/x'])(
    'nobody who asks with %s, which looks like a parameter: 400, as to a POST',
    async query => {
      for (const answer of [await todo.get(`/taskChanges?${query}`), await todo.post(`/taskChanges?${query}`, [milk])])
        expect(answer).toMatchObject({ status: 400, json: { status: 400, detail: expect.stringContaining('looks like it') } })
      expect(ids(await todo.get('/taskChanges?_=1&cache[]=x&sincerely=yours&SINGLE=1'))).toEqual([])
    },
  )

  test.each(['limit=0', 'limit=x', 'limit=', 'after=rubbish', 'min=-1'])('nor with %s', async query => {
    expect(await todo.get(`/taskChanges?since=0&${query}`)).toMatchObject({ status: 400, json: { status: 400 } })
  })
})

describe('POST', () => {
  beforeEach(async () => {
    todo = await start()
  })

  test('stores rows, parts of rows and removals, all under one stamp', async () => {
    const rest = { done: false, dueDate: null, project: null }
    const first = await todo.post('/taskChanges', [
      { ...milk, ...rest },
      { ...bread, ...rest },
    ])
    expect(first).toMatchObject({ status: 200, json: { status: 'ok', now: expect.any(Number), since: expect.any(Number) } })
    const second = (
      await todo.post('/taskChanges', [
        { id: 'milk', done: true },
        { id: 'bread', _removed: true },
      ])
    ).json
    expect(second.since).toBe(first.json.now)
    const { json } = await todo.get(`/taskChanges?since=${first.json.now}`)
    expect(json.updates).toEqual([
      { id: 'bread', _removed: true, _lastChange: second.now },
      { ...milk, done: true, dueDate: null, tags: null, project: null, _lastChange: second.now },
    ])
  })

  test('needs no stamp for an empty array', async () => {
    const { now } = (await todo.post('/taskChanges', [milk])).json
    expect(await todo.post('/taskChanges', [])).toMatchObject({ status: 200, json: { status: 'ok', now } })
  })

  test('answers 409 with rows that others changed meanwhile, and stores nothing', async () => {
    const { now, collection } = (await todo.get('/taskChanges')).json
    const alice = (await todo.post('/taskChanges', [milk])).json
    const bob = await todo.post(`/taskChanges?since=${now}&collection=${collection}`, [{ id: 'milk', name: 'Buy oat milk' }, bread])
    expect(bob).toMatchObject({
      status: 409,
      json: {
        type: 'urn:typeorm-sync:rows-contested',
        status: 409,
        now: alice.now,
        collection,
        updates: [{ ...milk, _lastChange: alice.now }],
      },
    })
    expect(bob.headers['content-type']).toMatch(/^application\/problem\+json\b/)
    expect(ids(await todo.get('/taskChanges'))).toEqual(['milk'])
    // without since the last write wins
    expect((await todo.post('/taskChanges', [{ id: 'milk', name: 'Buy oat milk' }])).status).toBe(200)
  })

  test('is not stored where its sender knows another history: 409 with the reset', async () => {
    const answer = await todo.post('/taskChanges?since=0&collection=another', [milk])
    expect(answer).toMatchObject({ status: 409, json: { reset: 'collection-changed', type: 'urn:typeorm-sync:collection-reset' } })
    expect(ids(await todo.get('/taskChanges'))).toEqual([])
  })

  test('names every bad row and stores none: 422', async () => {
    const rows = [milk, { id: 'bread', name: null }, { id: 'tea', name: 'Drink tea', project: 'nowhere' }, { name: 'nameless' }, bread]
    const answer = await todo.post('/taskChanges', rows)
    expect(answer).toMatchObject({ status: 422, json: { type: 'urn:typeorm-sync:rows-refused', status: 422 } })
    expect(answer.json.errors.map((e: any) => [e.id, e.code])).toEqual(
      expect.arrayContaining([
        ['', 'bad-id'],
        ['bread', 'duplicate-id'],
        ['tea', 'parent-missing'],
      ]),
    )
    expect(ids(await todo.get('/taskChanges'))).toEqual([])
  })

  test('that comes again under its key gets the same answer, and is not stored twice', async () => {
    const key = { 'Idempotency-Key': 'a0b1' }
    const first = await todo.post('/taskChanges', [milk], key)
    await todo.post('/taskChanges', [{ id: 'milk', name: 'Buy oat milk' }])
    const again = await todo.post('/taskChanges', [milk], key)
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect(again).toMatchObject({ status: 200, headers: { 'idempotency-replayed': 'true' } })
    // in the body as well: a gateway may hide the header
    expect(again.json).toEqual({ ...first.json, replayed: true })
    expect((await todo.get('/taskChanges')).json.updates[0].name).toBe('Buy oat milk')
    const other = await todo.post('/taskChanges', [bread], key)
    expect(other).toMatchObject({ status: 422, json: { type: 'urn:typeorm-sync:key-reused' } })
    expect(other.json.errors).toBeUndefined()
  })

  test('that may not have arrived is found again, or ended, by an empty one', async () => {
    const first = await todo.post('/taskChanges', [milk], { 'Idempotency-Key': 'came' })
    expect(await todo.post('/taskChanges', [], { 'Idempotency-Key': 'came' })).toMatchObject({
      json: first.json,
      headers: { 'idempotency-replayed': 'true' },
    })
    expect((await todo.post('/taskChanges', [], { 'Idempotency-Key': 'lost' })).json.empty).toBe(true)
    await todo.post('/taskChanges', [bread], { 'Idempotency-Key': 'lost' })
    expect(ids(await todo.get('/taskChanges'))).toEqual(['milk'])
  })

  test('is known by a key in the query as well, where a proxy strips the header', async () => {
    const first = await todo.post('/taskChanges?idempotency-key=a0b1', [milk])
    await todo.post('/taskChanges', [{ id: 'milk', name: 'Buy oat milk' }])
    expect((await todo.post('/taskChanges?idempotency-key=a0b1', [milk])).json).toEqual({ ...first.json, replayed: true })
    expect((await todo.post('/taskChanges', [milk], { 'Idempotency-Key': 'a0b1' })).json).toEqual({ ...first.json, replayed: true })
    expect((await todo.post('/taskChanges?idempotency-key=a0b1', [milk], { 'Idempotency-Key': 'a0b1' })).json.replayed).toBe(true)
    for (const query of [
      'idempotency-key=',
      'idempotency-key=a&idempotency-key=b',
      'idempotency-key=schl%C3%BCssel',
      `idempotency-key=${'k'.repeat(256)}`,
    ])
      expect(await todo.post(`/taskChanges?${query}`, [milk])).toMatchObject({ status: 400, json: { status: 400 } })
    expect((await todo.post('/taskChanges?idempotency-key=one', [milk], { 'Idempotency-Key': 'two' })).status).toBe(400)
  })

  test('may have the same row twice, as clients of 2012 have removals; two rows of one id that differ: 422', async () => {
    await todo.post('/taskChanges', [milk, bread])
    const removal = { id: 'milk', _removed: true }
    expect((await todo.post('/taskChanges', [removal, removal, { id: 'bread', done: true }, { id: 'bread', done: true }])).json).toEqual({
      ...{ status: 'ok', now: expect.any(Number), since: expect.any(Number) },
    })
    expect((await todo.get('/taskChanges')).json.updates).toMatchObject([{ id: 'bread', done: true }])
    const differing = [{ ...bread }, removal, { id: 'bread', _removed: true }, removal, { ...bread }]
    const answer = await todo.post('/taskChanges', differing)
    expect(answer).toMatchObject({ status: 422, json: { errors: [{ id: 'bread', code: 'duplicate-id' }] } })
    expect(ids(await todo.get('/taskChanges'))).toEqual(['bread'])
  })

  test('names the properties that the server does not know, each once, and again where it comes again', async () => {
    const rows = [
      { ...milk, done: false, dueDate: null, tags: null, project: null, _lastChange: 5, _removed: false, priority: 1 },
      { id: 'milk2', _partial: false, name: 'More milk', done: false, dueDate: null, project: null, priority: null, 'address.city': 'x' },
      { id: 'bread', _removed: true, color: 'red' },
    ]
    const key = { 'Idempotency-Key': 'newer' }
    const { json } = await todo.post('/taskChanges', rows, key)
    expect(json).toEqual({ status: 'ok', now: expect.any(Number), since: expect.any(Number), ignored: ['priority', 'address.city'] })
    expect((await todo.post('/taskChanges', rows, key)).json).toEqual({ ...json, replayed: true })
    // nor does a push of which nothing is left need a stamp
    expect((await todo.post('/taskChanges', [{ id: 'milk', priority: 2 }])).json).toMatchObject({ now: json.now, ignored: ['priority'] })
    expect((await todo.post('/taskChanges', [milk])).json.ignored).toBeUndefined()
  })

  test('does not name properties without end: 400', async () => {
    const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`p${i}`, i]))
    for (const row of [
      { ...milk, ...many },
      { ...milk, ['p'.repeat(100_000)]: 1 },
    ]) {
      const answer = await todo.post('/taskChanges', [row])
      expect(answer).toMatchObject({ status: 400, json: { status: 400 } })
      expect(answer.text.length).toBeLessThan(1_000)
    }
    expect(ids(await todo.get('/taskChanges'))).toEqual([])
  })

  test.each([
    ['empty', ''],
    ['too long', 'k'.repeat(256)],
    ['not ASCII', 'schl\u00fcssel'],
    ['two', ['one', 'two']],
  ])('with a key that is %s: 400', async (_, key) => {
    expect(await todo.post('/taskChanges', [milk], { 'Idempotency-Key': key })).toMatchObject({ status: 400, json: { status: 400 } })
  })

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('may be encoded: %s', async (encoding, encode) => {
    const answer = await todo.post('/taskChanges', encode(JSON.stringify([milk])), { 'Content-Encoding': encoding })
    expect(answer.status).toBe(200)
    expect(ids(await todo.get('/taskChanges'))).toEqual(['milk'])
  })

  test('may begin with a byte order mark, and may come in chunks', async () => {
    const answer = await todo.post('/taskChanges', `\ufeff${JSON.stringify([milk])}`, { 'Transfer-Encoding': 'chunked' })
    expect(answer.status).toBe(200)
  })

  test('is on the disk, and saved, before the answer leaves', async () => {
    const { database } = changeLogOf(todo.dataSource)
    const transaction = jest.spyOn(database, 'transaction')
    const save = jest.spyOn(database, 'save')
    await todo.post('/taskChanges', [milk])
    expect(transaction.mock.calls.map(([, options]) => options)).toEqual([{ durable: true }])
    expect(save).toHaveBeenCalledTimes(1)
    save.mockRejectedValueOnce(new DatabaseFailedError('The disk is full'))
    expect((await todo.post('/taskChanges', [bread])).status).toBe(503)
  })

  test('is a sum of what came before: the hash is that of the text', async () => {
    await todo.post('/taskChanges', [milk], { 'Idempotency-Key': 'key' })
    const hash = createHash('sha256')
      .update(JSON.stringify([milk]))
      .digest('hex')
    expect(await todo.dataSource.query('SELECT hash FROM sync_push')).toEqual([{ hash }])
  })
})

describe('an error is a problem of RFC 9457', () => {
  const problem = (status: number) => ({
    status,
    json: { type: 'about:blank', title: expect.any(String), status, detail: expect.any(String) },
  })
  const isProblem = (answer: { headers: any }) => expect(answer.headers['content-type']).toMatch(/^application\/problem\+json\b/)

  test.each(['PUT', 'DELETE', 'PATCH', 'TRACE'])('405: %s', async method => {
    todo = await start()
    const answer = await todo.ask('/taskChanges', { method })
    expect(answer).toMatchObject({ ...problem(405), headers: { allow: 'GET, HEAD, POST' } })
    isProblem(answer)
  })

  test.each(['text/event-stream', 'text/html', 'application/json;q=0'])('406: no client can have %s', async accept => {
    todo = await start()
    isProblem(await todo.get('/taskChanges', { Accept: accept }))
    expect(await todo.get('/taskChanges', { Accept: accept })).toMatchObject(problem(406))
    expect((await todo.get('/taskChanges', { Accept: 'text/event-stream, application/json' })).status).toBe(200)
  })

  test.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['application/jsonp'],
    ['application/json; charset=utf-16'],
    [''],
  ])('415: a body that says it is «%s»', async type => {
    todo = await start()
    expect(await todo.post('/taskChanges', JSON.stringify([milk]), { 'Content-Type': type })).toMatchObject(problem(415))
    expect((await todo.post('/taskChanges', [milk], { 'Content-Type': 'Application/JSON; Charset="UTF-8"' })).status).toBe(200)
  })

  test.each(['zstd', 'gzip, gzip', 'constructor'])('415: a body encoded as %s', async encoding => {
    todo = await start()
    const answer = await todo.post('/taskChanges', [milk], { 'Content-Encoding': encoding })
    expect(answer).toMatchObject({ ...problem(415), headers: { 'accept-encoding': 'gzip, deflate, br' } })
  })

  test('413: a body with too many bytes, announced or not, encoded or not; the next request is welcome', async () => {
    todo = await start({ maxBodyBytes: 1_000 })
    const large = [{ id: 'milk', name: 'x'.repeat(2_000) }]
    expect(await todo.post('/taskChanges', large)).toMatchObject(problem(413))
    expect(await todo.post('/taskChanges', large, { 'Transfer-Encoding': 'chunked' })).toMatchObject(problem(413))
    expect(await todo.post('/taskChanges', gzipSync(JSON.stringify(large)), { 'Content-Encoding': 'gzip' })).toMatchObject(problem(413))
    expect((await todo.post('/taskChanges', [milk])).status).toBe(200)
  })

  test('413 at once, before the body has come', async () => {
    todo = await start()
    const socket = await todo.connect()
    socket.write('POST /taskChanges HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n[')
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 413 /)
    socket.destroy()
  })

  test('413: too many rows', async () => {
    todo = await start({ maxRows: 2 })
    expect(await todo.post('/taskChanges', [milk, bread, { id: 'tea', name: 'Drink tea' }])).toMatchObject(problem(413))
    expect((await todo.post('/taskChanges', [milk, bread])).status).toBe(200)
  })

  test('408: a body that does not come', async () => {
    todo = await start({ requestTimeout: 50 })
    const socket = await todo.connect()
    socket.write('POST /taskChanges HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[')
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 408 /)
    await once(socket, 'close')
  })

  test('404: an unknown collection below the prefix', async () => {
    todo = await start({ prefix: '/sync' })
    const answer = await todo.get('/sync/nonsense')
    expect(answer).toMatchObject(problem(404))
    isProblem(answer)
    expect((await todo.get('/sync/taskChanges')).status).toBe(200)
    expect((await todo.get('/taskChanges')).status).toBe(404)
  })

  test.each([
    [new DatabaseBusyError('busy'), false],
    [unavailable('A replica is behind.', 1), false],
    [new DatabaseFailedError('The disk of /var/lib is full'), true],
  ])('503 with Retry-After: %s', async (error, isPushed) => {
    todo = await start()
    jest.spyOn(changeLogOf(todo.dataSource).database, 'transaction').mockRejectedValue(error)
    for (const answer of [await todo.get('/taskChanges'), await todo.post('/taskChanges', [milk])]) {
      expect(answer).toMatchObject({ ...problem(503), headers: { 'retry-after': expect.stringMatching(/^\d+$/) } })
      expect(answer.text).not.toContain('/var/lib')
    }
    expect(todo.errors).toEqual(isPushed ? [error, error] : [])
  })

  test('500: an unforeseen error is reported to the application alone', async () => {
    todo = await start({ before: [cors()] })
    const error = new Error('SELECT secret FROM passwords')
    jest.spyOn(changeLogOf(todo.dataSource).database, 'transaction').mockRejectedValue(error)
    const answer = await todo.get('/taskChanges', { Origin: 'https://example.org' })
    expect(answer).toMatchObject({ ...problem(500), headers: { 'access-control-allow-origin': '*' } })
    expect(answer.text).not.toMatch(/SELECT|secret| at /)
    expect(todo.errors).toEqual([error])
  })
})
