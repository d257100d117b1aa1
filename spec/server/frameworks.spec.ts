// The server in each framework, over real HTTP: what a client may notice is the same in all of them.

import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, syncAll } from 'typeorm-sync'
import { rule } from 'typeorm-sync/server'
import { changeLogOf } from '../../src/entity/registry.js'
import { openOn } from '../support/eachDatabase.js'
import { listen } from '../support/events.js'
import { LIMIT, sleep, until } from '../support/until.js'
import { adapters, type Options, type Served, serve } from './adapters.js'

interface Note {
  id: string
  owner: string
  text: string
}
const Note = new EntitySchema<Note>({
  ...{ name: 'FrameworkNote', tableName: 'framework_note' },
  columns: { id: { type: 'varchar', primary: true }, owner: { type: 'varchar' }, text: { type: 'text' } },
})
enableSync(Note, '/notes', { scopes: ['owner'] })
const own = (p: { id: string }) => ({ owner: p.id })
const rules = [rule<Note>(Note, { read: own, write: own })]

const json = { 'Content-Type': 'application/json' }
const milk = { id: 'milk', owner: 'alice', text: 'Buy milk' }

/** Koa tells of connections that end; we do not. */
const ofOurs = ({ errors }: Served) =>
  errors.filter(error => !/^(ECONNRESET|ECONNABORTED|HPE_\w+)$/.test(String((error as { code?: unknown }).code)))

const open: (() => unknown)[] = []
afterEach(async () => {
  jest.restoreAllMocks()
  for (const close of open.splice(0).reverse()) await close()
})

describe.each(adapters)('$name', adapter => {
  let there: DataSource
  beforeEach(async () => {
    there = await openOn('libsql', [Note])
  })

  async function start(options: Options = {}) {
    const served = await serve(adapter, there, { watchInterval: 20, ...options })
    const { server, url } = served
    open.push(() => {
      server.close()
      server.closeAllConnections()
    })
    const get = (path: string, headers: Record<string, string> = {}, method = 'GET') => fetch(url + path, { method, headers })
    const post = (body: BodyInit | object, headers: Record<string, string> = {}, more: object = {}) =>
      fetch(`${url}/notes`, {
        ...{ method: 'POST', headers: { ...json, ...headers }, ...more },
        body: typeof body === 'string' || body instanceof Blob || body instanceof ReadableStream ? body : JSON.stringify(body),
      })
    return { ...served, get, post }
  }
  const fill = (count: number) =>
    there.query(
      `INSERT INTO framework_note (id, owner, text)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) SELECT printf('%06d', i), 'alice', hex(randomblob(1000)) FROM n`,
    )
  async function socketTo({ server }: Served) {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {})
    open.push(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }

  test('two devices of a user sync, and one of another user sees and writes nothing of theirs', async () => {
    const { url, errors } = await start({ rules })
    const device = (user: string) => openOn('sqljs', [Note], { server: url, headers: { user } })
    const [phone, laptop, bobs] = [await device('alice'), await device('alice'), await device('bob')]
    await phone.getRepository(Note).save({ ...milk })
    for (const each of [phone, laptop, bobs]) await syncAll(each)
    await laptop.getRepository(Note).update('milk', { text: 'Buy oat milk' })
    await bobs.getRepository(Note).save({ id: 'forged', owner: 'alice', text: 'Buy gin' })
    for (const each of [laptop, phone]) await syncAll(each)
    expect((await syncAll(bobs)).rejected).toBe(1)
    const oat = { ...milk, text: 'Buy oat milk' }
    expect(await phone.getRepository(Note).find()).toMatchObject([oat])
    expect(await there.getRepository(Note).find()).toMatchObject([oat])
    expect(await bobs.getRepository(Note).find()).toMatchObject([{ id: 'forged' }])
    expect(errors).toEqual([])
  })

  test('an ETag saves an answer, and HEAD has its headers', async () => {
    const { get, post } = await start()
    await post([milk])
    const whole = await get('/sync?since=0')
    const etag = whole.headers.get('etag') as string
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'private, no-cache',
    })
    const { now } = (await whole.json()) as { now: number }
    const head = await get('/sync?since=0', {}, 'HEAD')
    expect([head.status, head.headers.get('etag'), await head.text()]).toEqual([200, etag, ''])
    const again = await get(`/sync?since=${now}`, { 'if-none-match': etag })
    expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, etag, ''])
    expect((await get('/sync?since=x', {}, 'HEAD')).status).toBe(400)
  })

  test('a push that comes again under its key is stored once', async () => {
    const { post } = await start()
    const key = { 'Idempotency-Key': 'a0b1' }
    await post([milk], key)
    const again = await post([milk], key)
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true'])
  })

  test('what is too large, or no JSON, is not stored, and the next push is welcome', async () => {
    const { post, errors } = await start({ maxBodyBytes: 1_000 })
    const large = [{ ...milk, text: 'x'.repeat(5_000) }]
    expect((await post(large)).status).toBe(413)
    const chunked = new Blob([JSON.stringify(large)]).stream()
    expect((await post(chunked as never, {}, { duplex: 'half' })).status).toBe(413)
    if (!adapter.isParsed) {
      expect((await post('[{]')).status).toBe(400)
      expect((await post('id=milk', { 'Content-Type': 'text/plain' })).status).toBe(415)
      expect((await post(JSON.stringify([milk]), { 'Content-Encoding': 'zstd' })).status).toBe(415)
    }
    const answer = await post([milk])
    expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ status: 'ok' })])
    expect(await there.getRepository(Note).count()).toBe(1)
    expect(errors).toEqual([])
  })

  test('a client that cuts its push off stores nothing, and hurts nobody', async () => {
    const served = await start({ requestTimeout: 5_000 })
    const socket = await socketTo(served)
    socket.write('POST /api/notes HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[{"id":"milk",')
    await sleep(50)
    socket.destroy()
    await sleep(50)
    expect(await there.getRepository(Note).count()).toBe(0)
    expect((await served.post([milk])).status).toBe(200)
    expect(ofOurs(served)).toEqual([])
  })

  test('a GET that waits is answered when there is news', async () => {
    const { get, post } = await start()
    await post([{ ...milk, id: 'bread' }])
    const { now } = (await (await get('/sync?since=0')).json()) as { now: number }
    const waiting = get(`/sync?since=${now}`, { Prefer: 'wait=55' })
    await sleep(100)
    const began = Date.now()
    await post([milk])
    const answer = await waiting
    expect(Date.now() - began).toBeLessThan(LIMIT)
    expect([answer.headers.get('preference-applied'), await answer.json()]).toEqual([
      'wait=55',
      expect.objectContaining({ changes: { '/notes': [expect.objectContaining(milk)] } }),
    ])
  })

  test('a stream says hello, tells of changes and lives, and makes room when its client leaves', async () => {
    const { url, post, errors } = await start({ maxListeners: 1, heartbeat: 50 })
    const ear = await listen(`${url}/sync?since=0`)
    await until(() => ear.of('hello').length && ear.beats.count > 1)
    expect(Object.fromEntries(ear.response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'private, no-cache, no-transform',
      'x-accel-buffering': 'no',
    })
    await post([milk])
    await until(() => ear.of('changes').length)
    expect(Object.keys(ear.of('changes')[0].changes)).toEqual(['/notes'])
    expect((await listen(`${url}/sync?since=0`)).response.status).toBe(503)
    ear.close()
    await until(async () => {
      const next = await listen(`${url}/sync?since=0`)
      next.close()
      return next.response.status === 200
    })
    expect(errors).toEqual([])
  })

  test('a stream ends with a word when the database closes, and what comes then is answered with 503', async () => {
    const { url, get, server } = await start()
    const ear = await listen(`${url}/sync?since=0`)
    await until(() => ear.of('hello').length)
    await there.destroy()
    expect([await ear.ended, ear.of('bye')]).toEqual([true, [{ reason: 'stopping' }]])
    const answers = [await get('/sync'), await get('/notes')]
    expect(answers.map(({ status, headers }) => [status, headers.get('retry-after')])).toEqual(Array(2).fill([503, '5']))
    expect(await (await get('/hello')).text()).toBe('hello')
    server.close()
  })

  test('what is not ours is passed on, and OPTIONS says what there is', async () => {
    const { get, url } = await start()
    expect(await (await get('/hello')).text()).toBe('hello')
    expect((await get('/nonsense')).status).toBe(404)
    expect((await fetch(url.replace('/api', '/notes'))).status).toBe(404)
    const preflight = { Origin: 'https://example.org', 'Access-Control-Request-Method': 'POST' }
    const options = await get('/notes', preflight, 'OPTIONS')
    expect([options.status, options.headers.get('access-control-allow-origin')]).toEqual([204, '*'])
    expect(options.headers.get('allow') ?? options.headers.get('access-control-allow-methods')).toContain('POST')
    expect((await get('/notes', {}, 'DELETE')).status).toBe(405)
  })

  test.each(['/notes', '/notes?since=x'])('the headers of others stay, on errors too: %s', async path => {
    const { get } = await start()
    const answer = await get(path, { Origin: 'https://example.org' })
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.get('access-control-expose-headers')).toBe('ETag, Retry-After, Idempotency-Replayed, Preference-Applied')
    expect(answer.headers.get('vary')).toContain('Accept-Encoding')
  })

  test('an error that nothing expects is told to the application alone', async () => {
    const { get, errors } = await start({ rules })
    const answer = await get('/sync', { user: 'broken' })
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('access-control-allow-origin')]).toEqual([
      500,
      'application/problem+json',
      '*',
    ])
    expect(await answer.text()).not.toContain('SELECT')
    expect(errors).toEqual([expect.objectContaining({ message: 'SELECT secret FROM users' })])
    expect((await get('/sync')).status).toBe(401)
    expect((await get('/sync', { user: 'alice' })).status).toBe(200)
  })

  test('a long answer is whole, or breaks off', async () => {
    const { get, errors } = await start({ pageSize: 100 })
    jest.spyOn(console, 'error').mockImplementation(() => {}) // where the server of Hono tells it once more
    await fill(1_000)
    expect(((await (await get('/notes')).json()) as { updates: unknown[] }).updates).toHaveLength(1_000)
    const { database } = changeLogOf(there)
    const transaction = database.transaction.bind(database)
    let count = 0
    jest.spyOn(database, 'transaction').mockImplementation((async (body: any, options: any) => {
      if (++count === 4) throw new Error('The disk is gone')
      return transaction(body, options)
    }) as any)
    await expect(get('/notes').then(answer => answer.text())).rejects.toThrow()
    expect(errors.filter(error => (error as Error).message === 'The disk is gone')).toHaveLength(1)
  })

  test.each(['leaves', 'reads no more'])('for a client that %s nothing is read on', async how => {
    const served = await start({ pageSize: 100, requestTimeout: 300 })
    await fill(10_000)
    const { database } = changeLogOf(there)
    const steps = jest.spyOn(database, 'transaction')
    const socket = await socketTo(served)
    socket.once('data', () => (how === 'leaves' ? socket.destroy() : socket.pause()))
    socket.write('GET /api/notes?since=0 HTTP/1.1\r\nHost: here\r\n\r\n')
    const count = () =>
      new Promise<number>((resolve, reject) => served.server.getConnections((error, n) => (error ? reject(error) : resolve(n))))
    await until(async () => steps.mock.calls.length > 0 && (await count()) === 0)
    const read = steps.mock.calls.length
    await sleep(100)
    expect(steps.mock.calls.length).toBeLessThanOrEqual(read + 1)
    expect(read).toBeLessThan(90)
    expect(ofOurs(served)).toEqual([])
    expect((await served.get('/notes?limit=1')).status).toBe(200)
  })
})
