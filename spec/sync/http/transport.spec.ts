import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import {
  AuthenticationError,
  InvalidAnswerError,
  NetworkError,
  RequestTimeoutError,
  ServerError,
  TooLargeError,
  TransportError,
} from '../../../src/sync/http/errors.js'
import { createTransport, type TransportOptions } from '../../../src/sync/http/transport.js'
import { wait } from '../../../src/sync/waiting.js'

type Handler = (request: IncomingMessage, response: ServerResponse) => void
type Seen = { method: string; url: string; headers: IncomingMessage['headers']; body: string }

let server: Server
let base: string
let url: string
let handle: Handler
let seen: Seen[]
let waits: number[]

beforeEach(async () => {
  seen = []
  waits = []
  server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    seen.push({ method: request.method!, url: request.url!, headers: request.headers, body })
    handle(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  url = `${base}/taskChanges`
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
})

/** Answers one after the other; the last one for ever. */
function answerWith(...answers: [status: number, body?: unknown, headers?: Record<string, string>][]) {
  let next = 0
  handle = (_request, response) => {
    const [status, body = '', headers = {}] = answers[Math.min(next++, answers.length - 1)]!
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body))
  }
}

const PULLED = { now: 7, collection: 'c', updates: [{ id: 'A', name: 'Milk', _lastChange: 7 }] }
const STORED = { status: 'ok', now: 9, since: 7 }
const ROWS = JSON.stringify([{ id: 'A', name: 'Milk 🙂' }])

const make = (options: TransportOptions = {}) =>
  createTransport({
    random: () => 0.5,
    wait: async milliseconds => {
      waits.push(milliseconds)
    },
    ...options,
  })
const pull = (options?: TransportOptions, signal?: AbortSignal) => make(options).pull(url, { since: 0 }, null, signal)
const push = (options?: TransportOptions, retry = true, signal?: AbortSignal) =>
  make(options).push(url, ROWS, { since: 7, collection: 'c', key: 'k', retry }, signal)
const errorOf = (work: Promise<unknown>): Promise<any> =>
  work.then(
    value => Promise.reject(new Error(`resolved to ${JSON.stringify(value)}`)),
    error => error,
  )

describe('asking what changed', () => {
  test('brings the checked answer, its ETag and its length', async () => {
    answerWith([200, PULLED, { etag: '"x"' }])
    expect(await pull()).toEqual({
      answer: { now: 7, collection: 'c', updates: [{ id: 'A', value: PULLED.updates[0], stamp: 7 }] },
      etag: '"x"',
      bytes: JSON.stringify(PULLED).length,
      isNearLimit: false,
    })
    expect(seen).toMatchObject([{ method: 'GET', url: '/taskChanges?since=0', headers: { accept: 'application/json' } }])
    expect(seen[0]!.headers).not.toHaveProperty('if-none-match')
  })

  test('with everything that is known, beside a query that the url has already', async () => {
    answerWith([200, PULLED])
    const query = { since: 5, limit: 100, after: 'a+b/c=&d', min: 6, collection: 'ü' }
    await make().pull(`${url}?list=shopping%20list#top`, query, '"x"')
    expect(seen[0]!.url).toBe('/taskChanges?list=shopping%20list&since=5&limit=100&after=a%2Bb%2Fc%3D%26d&min=6&collection=%C3%BC')
    expect(seen[0]!.headers['if-none-match']).toBe('"x"')
  })

  test('nothing new is no answer, and keeps the ETag', async () => {
    answerWith([304])
    expect(await make().pull(url, { since: 5 }, '"x"')).toEqual({ answer: undefined, etag: '"x"', bytes: 0, isNearLimit: false })
    answerWith([304, '', { etag: '"y"' }])
    expect(await make().pull(url, { since: 5 }, '"x"')).toMatchObject({ etag: '"y"' })
  })

  test('nothing new, where no ETag was sent, is an error', async () => {
    answerWith([304])
    expect(await errorOf(pull())).toBeInstanceOf(ServerError)
  })

  test.each(['text/html', 'text/plain', 'application/octet-stream'])('an old server may call its JSON %s', async type => {
    answerWith([200, '\ufeff{"now": 7, "updates": []}', { 'content-type': type }])
    expect((await pull()).answer).toEqual({ now: 7, updates: [] })
  })

  test('zipped answers are read, and measured unzipped', async () => {
    answerWith([200, gzipSync(JSON.stringify({ ...PULLED, hint: '🙂' })), { 'content-encoding': 'gzip' }])
    const { answer, bytes } = await pull()
    expect(answer?.now).toBe(7)
    expect(bytes).toBe(Buffer.byteLength(JSON.stringify({ ...PULLED, hint: '🙂' })))
  })

  test('a redirect is followed', async () => {
    handle = (request, response) =>
      request.url!.startsWith('/new')
        ? response.end(JSON.stringify(PULLED))
        : response.writeHead(308, { location: `/new${request.url}` }).end()
    expect((await pull()).answer?.now).toBe(7)
  })
})

describe('pushing what changed', () => {
  test('sends the text as it is, with key, since and collection', async () => {
    answerWith([200, STORED])
    expect(await push()).toEqual({
      kind: 'stored',
      answer: STORED,
      replayed: false,
      bytes: JSON.stringify(STORED).length,
      isNearLimit: false,
    })
    expect(seen).toMatchObject([
      {
        method: 'POST',
        url: '/taskChanges?since=7&collection=c&idempotency-key=k',
        body: ROWS,
        headers: { 'content-type': 'application/json', 'idempotency-key': 'k', accept: 'application/json' },
      },
    ])
  })

  test('to a server of 2011 says none of these', async () => {
    answerWith([200, { status: 'ok', now: 9 }])
    expect(await make().push(url, '[]', { retry: false })).toMatchObject({ answer: { status: 'ok', now: 9 } })
    expect(seen[0]!.url).toBe('/taskChanges')
    expect(seen[0]!.headers).not.toHaveProperty('idempotency-key')
  })

  test('learns that the answer is an old one', async () => {
    answerWith([200, STORED, { 'Idempotency-Replayed': 'true' }])
    expect(await push()).toMatchObject({ kind: 'stored', replayed: true })
  })

  test('learns it from the body, where a gateway hides the header', async () => {
    answerWith([200, { ...STORED, replayed: true }])
    expect(await push()).toMatchObject({ kind: 'stored', replayed: true })
  })

  test('too late: 409 brings the contested rows, or the reset', async () => {
    answerWith([409, { title: 'Contested', now: 8, updates: [{ id: 'A', _removed: true }] }])
    expect(await push()).toMatchObject({ kind: 'stale', answer: { now: 8, updates: [{ id: 'A', value: null }] }, isDefinite: true })
    answerWith([409, { reset: 'since-too-old' }])
    expect(await push()).toMatchObject({ kind: 'stale', answer: { reset: 'since-too-old' } })
  })

  test('rejected: 422 names the rows', async () => {
    answerWith([422, { title: 'No', errors: [{ id: 'A', code: 'not-unique', detail: 'is taken' }] }])
    expect(await push()).toMatchObject({
      kind: 'rejected',
      rejections: [{ id: 'A', code: 'not-unique', detail: 'is taken' }],
      isDefinite: true,
    })
  })

  test('409 and 422 that are not ours are errors, and nothing was stored', async () => {
    for (const [status, body] of [
      [409, 'Conflict'],
      [409, { title: 'Conflict' }],
      [422, { title: 'Key reused' }],
      [422, '<html>'],
    ] as const) {
      answerWith([status, body])
      const error = await errorOf(push())
      expect(error).toBeInstanceOf(ServerError)
      expect(error).toMatchObject({ status, isDefinite: true })
    }
  })

  test.each([400, 403, 412])('%d is an error whatever its body says', async status => {
    answerWith([status, { ...STORED, updates: [], reset: 'since-too-old', errors: [{ id: 'A' }] }])
    expect(await errorOf(push())).toMatchObject({ status })
  })

  test('a 409 that is ours by half is no answer', async () => {
    answerWith([409, { updates: [{ id: 'A' }] }])
    const error = await errorOf(push())
    expect(error).toBeInstanceOf(InvalidAnswerError)
    expect(error).toMatchObject({ status: 409, isDefinite: true })
  })

  test.each([301, 302, 303, 307, 308])('a redirect (%d) never passes for a stored push', async status => {
    handle = (request, response) =>
      request.url!.startsWith('/new')
        ? response.end(JSON.stringify(STORED))
        : response.writeHead(status, { location: 'https://example.org/new' }).end(JSON.stringify(STORED))
    const error = await errorOf(push())
    expect(error).toBeInstanceOf(ServerError)
    expect(error.message).toContain('https://example.org/new')
    expect(error).toMatchObject({ status, isDefinite: status >= 307 })
    expect(seen).toHaveLength(1)
  })

  test('neither where fetch followed it all the same, nor where the browser hides it', async () => {
    const followed = Object.defineProperties(new Response(JSON.stringify(STORED)), {
      redirected: { value: true },
      url: { value: `${base}/new` },
    })
    const error = await errorOf(push({ fetch: async () => followed }))
    expect(error.message).toContain(`${base}/new`)
    expect(error).toMatchObject({ isDefinite: false })

    const hidden = Object.defineProperties(Response.error(), { type: { value: 'opaqueredirect' } })
    const other = await errorOf(push({ fetch: async () => hidden }))
    expect(other).toBeInstanceOf(ServerError)
    expect(other.message).toContain('redirects to an address that the browser keeps to itself')
    expect(other).toMatchObject({ isDefinite: false })
    expect(other).not.toHaveProperty('status')
  })
})

describe('the feed', () => {
  const push = (body = '{"changes":{}}') =>
    make().pushFeed(url, body, { since: 7, collection: 'c', key: 'k', collections: ['/a,b', '/c'], retry: true })
  const asked = () => new URL(seen.at(-1)!.url, base).searchParams

  test('is asked for the collections that the client has, and for properties of remote', async () => {
    answerWith([200, { now: 7, collection: 'c', changes: { '/c': [{ id: 'A' }] }, properties: { '/c': ['color'] } }])
    const query = { since: 0, collections: ['/a,b', '/c'], properties: new Map([['/c', ['color', 'si,ze']]]) }
    const { answer } = await make().pullFeed(url, query, null)
    expect(answer).toMatchObject({ now: 7, changes: new Map([['/c', [{ id: 'A' }]]]), properties: new Map([['/c', ['color']]]) })
    expect(Object.fromEntries(asked())).toEqual({ since: '0', collections: '/a%2Cb,/c', properties: '/c:color,/c:si%2Cze' })
  })

  test('has the text as it is, with the collections', async () => {
    answerWith([200, { ...STORED, ignored: { '/c': ['color'] } }])
    expect(await push('{"changes":{"/c":[]}}')).toMatchObject({ kind: 'stored', answer: { ignored: new Map([['/c', ['color']]]) } })
    expect(seen[0]).toMatchObject({ method: 'POST', body: '{"changes":{"/c":[]}}', headers: { 'idempotency-key': 'k' } })
    expect(Object.fromEntries(asked())).toEqual({ since: '7', collection: 'c', collections: '/a%2Cb,/c', 'idempotency-key': 'k' })
  })

  test('too late: 409 brings the contested rows of all collections, or the reset', async () => {
    answerWith([409, { title: 'Contested', now: 8, collection: 'c', changes: { '/c': [{ id: 'A', _removed: true }] } }])
    expect(await push()).toMatchObject({
      kind: 'stale',
      answer: { now: 8, changes: new Map([['/c', [{ id: 'A', value: null }]]]) },
      isDefinite: true,
    })
    answerWith([409, { reset: 'since-too-old' }])
    expect(await push()).toMatchObject({ kind: 'stale', answer: { reset: 'since-too-old' } })
  })

  test('what answers in the words of a route is no feed', async () => {
    answerWith([409, { now: 8, updates: [] }])
    expect(await errorOf(push())).toMatchObject({ status: 409, name: 'ServerError', isDefinite: true })
    answerWith([200, PULLED])
    expect(await errorOf(make().pullFeed(url, { since: 0, collections: [] }, null))).toBeInstanceOf(InvalidAnswerError)
  })

  test('rejected: 422 names the rows and their collections', async () => {
    answerWith([422, { title: 'No', errors: [{ collection: '/c', id: 'A', code: 'not-unique', detail: 'is taken' }] }])
    const rejections = [{ collection: '/c', id: 'A', code: 'not-unique', detail: 'is taken' }]
    expect(await push()).toMatchObject({ kind: 'rejected', rejections, isDefinite: true })
  })
})

describe('a status that is no success', () => {
  const definite = [400, 401, 403, 404, 405, 409, 413, 415, 422]
  const retried = [408, 425, 429, 500, 502, 503, 504]
  const others = [402, 406, 410, 418, 431, 451, 501, 505, 511]

  test.each([...definite, ...retried, ...others])('%d', async status => {
    answerWith([status, { title: 'Short', detail: 'What the server says.' }])
    for (const [work, isPush] of [
      [push, true],
      [pull, false],
    ] as const) {
      seen = []
      const error = await errorOf(work())
      const kind = status === 401 || status === 403 ? AuthenticationError : status === 413 ? TooLargeError : ServerError
      expect(error).toBeInstanceOf(TransportError)
      expect(error.constructor).toBe(kind)
      expect(error).toMatchObject({ status, name: kind.name, isDefinite: !isPush || definite.includes(status) })
      expect(error.url).toBe(isPush ? `${url}?since=7&collection=c&idempotency-key=k` : `${url}?since=0`)
      expect(error.message).toContain(`${url} answered ${status}: What the server says. `)
      expect(seen).toHaveLength(retried.includes(status) ? 4 : 1)
    }
  })

  test('is reported without a query, which may hold a token', async () => {
    answerWith([404])
    const error = await errorOf(make().pull(`${url}?token=secret`, { since: 0 }, null))
    expect(error.message).toContain(`${url} answered 404.`)
    expect(error.message).not.toContain('secret')
  })

  test.each([
    [{ title: 'Short' }, ': Short. '],
    [{ title: 5, detail: {} }, ' 404. '],
    ['<html>Not found</html>', ' 404. '],
    [[], ' 404. '],
    ['null', ' 404. '],
    [{ detail: 'x'.repeat(100_000) }, `: ${'x'.repeat(300)}. `],
  ])('%.40j', async (body, said) => {
    answerWith([404, body])
    expect((await errorOf(pull())).message).toContain(said)
  })
})

describe('what is no answer', () => {
  const html = `<!DOCTYPE html><title>Welcome to our hotel</title>${'x'.repeat(1000)}`
  test.each([
    ['a web page', html],
    ['half an answer', '{"now": 7, "status": "ok", "updates": [{"id": "A", "na'],
    ['nothing', ''],
    ['another JSON', '{"hello": "world"}'],
    ['null', 'null'],
    ['trailing garbage', `${JSON.stringify({ ...PULLED, ...STORED })}x`],
  ])('%s', async (_what, body) => {
    answerWith([200, body, { 'content-type': 'text/html' }])
    for (const [work, isDefinite] of [
      [push, false],
      [pull, true],
    ] as const) {
      const error = await errorOf(work())
      expect(error).toBeInstanceOf(InvalidAnswerError)
      expect(error).toMatchObject({ status: 200, excerpt: body.slice(0, 100), isDefinite })
      expect(error.message).toContain(body.slice(0, 100))
    }
    expect(seen).toHaveLength(2)
  })

  test('says what a web page may mean, and where it came from', async () => {
    handle = (request, response) =>
      request.url === '/login' ? response.end(html) : response.writeHead(302, { location: `${base}/login` }).end()
    const { message } = await errorOf(pull())
    expect(message).toContain('does this network want you to sign in first')
    expect(message).toContain(`redirected to ${base}/login`)
  })

  test('204 is nothing', async () => {
    answerWith([204])
    expect(await errorOf(push())).toMatchObject({ name: 'InvalidAnswerError', status: 204, isDefinite: false })
  })

  test('texts in another encoding do not become rows full of question marks', async () => {
    answerWith([200, Buffer.from('{"now": 7, "updates": [{"id": "A", "name": "Käse"}]}', 'latin1')])
    expect(await errorOf(pull())).toMatchObject({ name: 'InvalidAnswerError', message: expect.stringContaining('UTF-8') })
  })
})

describe('retries', () => {
  test('until it works, waiting longer each time, at random', async () => {
    answerWith([503], [502], [500], [200, PULLED])
    const random = jest.fn<() => number>().mockReturnValueOnce(0.25).mockReturnValueOnce(0.5).mockReturnValueOnce(0.75)
    expect((await pull({ random })).answer?.now).toBe(7)
    expect(waits).toEqual([0.25 * 300, 0.5 * 600, 0.75 * 1200])
  })

  test('as often as the options say', async () => {
    answerWith([503])
    for (const [retries, times] of [
      [0, 1],
      [1, 2],
      [6, 7],
      [Number.NaN, 1],
    ] as const) {
      seen = []
      await errorOf(pull({ retries }))
      expect(seen).toHaveLength(times)
    }
  })

  test('never wait longer than the options say', async () => {
    answerWith([503])
    await errorOf(pull({ maxRetryDelay: 500, retries: 5, random: () => 0.999 }))
    expect(waits.map(Math.round)).toEqual([300, 500, 500, 500, 500])
  })

  test('honour Retry-After in seconds', async () => {
    answerWith([429, '', { 'retry-after': '2' }], [200, PULLED])
    await pull()
    expect(waits).toEqual([2000 + 150])
  })

  test("honour Retry-After as a date, by the server's clock", async () => {
    const date = { date: 'Sun, 06 Nov 1994 08:49:37 GMT', 'retry-after': 'Sun, 06 Nov 1994 08:49:40 GMT' }
    answerWith([503, '', date], [503, '', { ...date, 'retry-after': 'Sun, 06 Nov 1994 08:49:30 GMT' }], [200, PULLED])
    await pull()
    expect(waits).toEqual([3000 + 150, 300])
  })

  test('honour such a date by our own clock where the server sends none', async () => {
    const inTenSeconds = new Date(Date.now() + 10_000).toUTCString()
    const answers = [new Response('', { status: 503, headers: { 'retry-after': inTenSeconds } }), new Response(JSON.stringify(PULLED))]
    await pull({ fetch: async () => answers.shift()! })
    expect(waits[0]).toBeGreaterThan(8000)
    expect(waits[0]).toBeLessThan(10_300)
  })

  test.each(['soon', '-1', '1.5', '2001', '5 minutes'])('pass over a Retry-After %j that is none, or wait', async text => {
    answerWith([503, '', { 'retry-after': text }])
    const error = await errorOf(pull({ maxRetryDelay: 1e9 }))
    expect(error.retryAfter).toBe(text === '2001' ? 2_001_000 : undefined)
  })

  test('end with the error, which carries it, where the server wants a longer rest', async () => {
    answerWith([503, '', { 'retry-after': '31' }])
    const error = await errorOf(push())
    expect(error).toMatchObject({ name: 'ServerError', status: 503, retryAfter: 31_000, isDefinite: false })
    expect(error.message).toContain('sync again in 31 seconds')
    expect(seen).toHaveLength(1)
  })

  test('repeat the same push under the same key', async () => {
    answerWith([502], [200, STORED, { 'idempotency-replayed': 'true' }])
    expect(await push()).toMatchObject({ kind: 'stored', replayed: true })
    expect(seen.map(({ body, headers }) => [body, headers['idempotency-key']])).toEqual([
      [ROWS, 'k'],
      [ROWS, 'k'],
    ])
  })

  test('never repeat a push that the server cannot recognise', async () => {
    answerWith([503], [200, STORED])
    expect(await errorOf(push({}, false))).toMatchObject({ status: 503, isDefinite: false })
    handle = request => request.socket.destroy()
    expect(await errorOf(push({}, false))).toMatchObject({ name: 'NetworkError', isDefinite: false })
    expect(seen).toHaveLength(2)
  })

  test('a rejection is not definite while an earlier try may still arrive', async () => {
    for (const [status, body] of [
      [409, { now: 8, updates: [] }],
      [422, { errors: [{ id: 'A' }] }],
    ] as const) {
      answerWith([502], [status, body])
      expect(await push()).toMatchObject({ isDefinite: false })
    }
    answerWith([502], [413])
    expect(await errorOf(push())).toMatchObject({ name: 'TooLargeError', isDefinite: false })
  })
})

describe('a connection', () => {
  test('that breaks before the answer, or in it, is tried again', async () => {
    let times = 0
    handle = (request, response) => {
      times++
      if (times === 1) return request.socket.destroy()
      if (times === 3) return response.end(JSON.stringify(PULLED))
      response.writeHead(200, { 'content-length': '1000' })
      response.write('{"now": 7', () => request.socket.destroy())
    }
    expect((await pull()).answer?.now).toBe(7)
    expect(times).toBe(3)
  })

  test('that cannot be made is a NetworkError after the last try', async () => {
    handle = request => request.socket.destroy()
    const error = await errorOf(push())
    expect(error).toBeInstanceOf(NetworkError)
    expect(error).toMatchObject({ isDefinite: false, url: `${url}?since=7&collection=c&idempotency-key=k`, code: 'network' })
    expect(error).not.toHaveProperty('status')
    expect(error.cause).toBeDefined()
    expect(seen).toHaveLength(4)
    const rejected = await errorOf(make({ retries: 0 }).pull('http://127.0.0.1:1/x', { since: 0 }, null))
    expect(rejected.message).toMatch(/^http:\/\/127\.0\.0\.1:1\/x could not be reached.*(ECONNREFUSED|bad port)/)
  })

  test.each([
    ['undefined', () => Promise.reject(undefined)],
    ['a text', () => Promise.reject('offline')],
    ['an object without a prototype', () => Promise.reject(Object.create(null))],
    ['a symbol', () => Promise.reject(Symbol('x'))],
    [
      'at once',
      () => {
        throw new TypeError('Failed to fetch')
      },
    ],
    ['nothing', () => undefined],
    ['no Response', () => Promise.resolve({ status: 200 })],
  ])('own fetch that throws or gives %s is a NetworkError', async (_what, fetch) => {
    const error = await errorOf(push({ fetch: fetch as unknown as typeof globalThis.fetch, retries: 1 }))
    expect(error).toBeInstanceOf(NetworkError)
    expect(error.isDefinite).toBe(false)
    expect(waits).toHaveLength(1)
  })

  test('own fetch is called without `this`, as browsers demand', async () => {
    let receiver: unknown = 'not called'
    const fetch = async function (this: unknown) {
      receiver = this
      return new Response(JSON.stringify(PULLED))
    }
    await pull({ fetch })
    expect(receiver).toBeUndefined()
  })
})

describe('headers', () => {
  test.each([
    [{ authorization: 'Bearer a' }],
    [[['authorization', 'Bearer a']] as [string, string][]],
    [new Headers({ authorization: 'Bearer a' })],
    [() => ({ authorization: 'Bearer a' })],
    [async () => ({ Authorization: 'Bearer a', 'Content-Type': 'text/plain' })],
  ])('go along with every request, and ours stay ours: %#', async headers => {
    answerWith([200, STORED])
    await push({ headers })
    expect(seen[0]!.headers).toMatchObject({ authorization: 'Bearer a', 'content-type': 'application/json', 'idempotency-key': 'k' })
  })

  test('a token that has run out is renewed once, also for a push that may not be retried', async () => {
    answerWith([401], [200, STORED])
    const headers = jest.fn(({ renew }: { renew: boolean }) => ({ authorization: renew ? 'new' : 'old' }))
    expect(await push({ headers }, false)).toMatchObject({ kind: 'stored' })
    expect(seen.map(request => request.headers.authorization)).toEqual(['old', 'new'])
    expect(headers.mock.calls).toEqual([false, true].map(renew => [{ renew, url: `${url}?since=7&collection=c&idempotency-key=k` }]))
    expect(waits).toEqual([])
  })

  test('a renewed token that is rejected as well is an AuthenticationError', async () => {
    answerWith([401, { detail: 'Token expired' }])
    const headers = jest.fn(() => ({}))
    const error = await errorOf(push({ headers }))
    expect(error).toBeInstanceOf(AuthenticationError)
    expect(error).toMatchObject({ status: 401, isDefinite: true, message: expect.stringContaining('Token expired') })
    expect(headers).toHaveBeenCalledTimes(2)
  })

  test('fixed headers, and 403, are not asked for again', async () => {
    answerWith([401])
    await errorOf(push({ headers: { authorization: 'old' } }))
    answerWith([403])
    await errorOf(push({ headers: () => ({}) }))
    expect(seen).toHaveLength(2)
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no token')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no token'))],
    ['gives bad ones', () => ({ 'no token': 'x' })],
  ])('a function that %s sends nothing', async (_what, headers) => {
    const error = await errorOf(push({ headers }))
    expect(error.constructor).toBe(TransportError)
    expect(error).toMatchObject({ isDefinite: true, message: expect.stringContaining('no token'), cause: expect.anything() })
    expect(seen).toEqual([])
  })
})

describe('time-outs', () => {
  test.each([pull, push])('a server that accepts and never answers (%p)', async work => {
    handle = () => {}
    const error = await errorOf(work({ timeout: 500 }))
    expect(error).toBeInstanceOf(RequestTimeoutError)
    expect(error).toMatchObject({ code: 'timeout', isDefinite: work === pull, message: expect.stringContaining('0.5 seconds') })
    expect(seen).toHaveLength(1)
  })

  test('a server that stops inside the body, and a fetch that is deaf to its signal', async () => {
    handle = (_request, response) => response.writeHead(200).write('{"now": 7,')
    expect(await errorOf(push({ timeout: 50 }))).toBeInstanceOf(RequestTimeoutError)
    expect(await errorOf(push({ timeout: 50, fetch: () => new Promise(() => {}) }))).toBeInstanceOf(RequestTimeoutError)
  })

  test.each([Number.POSITIVE_INFINITY, 2 ** 40])('may be as long as %p', async timeout => {
    handle = (_request, response) => setTimeout(() => response.end(JSON.stringify(PULLED)), 30)
    expect((await pull({ timeout })).answer?.now).toBe(7)
  })

  test('leave no timer behind', async () => {
    const [start, stop] = [jest.spyOn(globalThis, 'setTimeout'), jest.spyOn(globalThis, 'clearTimeout')]
    answerWith([200, PULLED])
    await pull({ timeout: 12_345 })
    const timers = start.mock.calls.flatMap(([, time], i) => (time === 12_345 ? [start.mock.results[i]!.value] : []))
    expect(timers).toHaveLength(1)
    expect(stop.mock.calls.map(([timer]) => timer)).toContain(timers[0])
    start.mockRestore()
    stop.mockRestore()
  })
})

describe('an abort rejects at once, with its own reason', () => {
  const reason = new Error('the user has left')

  test('before anything is sent', async () => {
    const headers = jest.fn(() => ({}))
    expect(await errorOf(push({ headers }, true, AbortSignal.abort(reason)))).toBe(reason)
    expect(headers).not.toHaveBeenCalled()
    expect(seen).toEqual([])
  })

  test('while the headers are made', async () => {
    const controller = new AbortController()
    const work = errorOf(push({ headers: () => new Promise(() => {}) }, true, controller.signal))
    controller.abort(reason)
    expect(await work).toBe(reason)
  })

  test('when the headers are there, but nothing is sent yet', async () => {
    const controller = new AbortController()
    const fetch = jest.fn<typeof globalThis.fetch>()
    const headers = () => {
      queueMicrotask(() => controller.abort(reason))
      return {}
    }
    expect(await errorOf(push({ headers, fetch }, true, controller.signal))).toBe(reason)
  })

  test('while the head is awaited, and the connection is closed', async () => {
    const controller = new AbortController()
    const closed = new Promise(resolve => {
      handle = request => {
        request.socket.once('close', resolve)
        controller.abort(reason)
      }
    })
    expect(await errorOf(push({}, true, controller.signal))).toBe(reason)
    await closed
  })

  test('in the body', async () => {
    const controller = new AbortController()
    handle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"now": 7,', () => setTimeout(() => controller.abort(reason), 30))
    }
    expect(await errorOf(pull({}, controller.signal))).toBe(reason)
    expect(seen).toHaveLength(1)
  })

  test('whatever fetch makes of it', async () => {
    const controller = new AbortController()
    const work = errorOf(push({ fetch: () => new Promise(() => {}) }, true, controller.signal))
    setTimeout(() => controller.abort(reason), 10)
    expect(await work).toBe(reason)
  })

  test('between two tries, whether the wait listens or not', async () => {
    answerWith([503])
    for (const wait of [undefined, () => new Promise<void>(() => {})]) {
      seen = []
      const controller = new AbortController()
      const random = () => {
        setTimeout(() => controller.abort(reason), 10)
        return 100
      }
      // createTransport itself, for the wait of its own
      const work = createTransport({ random, ...(wait && { wait }) }).pull(url, { since: 0 }, null, controller.signal)
      expect(await errorOf(work)).toBe(reason)
      expect(seen).toHaveLength(1)
    }
  })

  test('even where the reason looks like an error to be tried again, or is no error', async () => {
    handle = () => {}
    for (const odd of [new NetworkError('no', { url, isDefinite: false }), 'stop', 0, null]) {
      const controller = new AbortController()
      setTimeout(() => controller.abort(odd), 10)
      expect(await errorOf(pull({}, controller.signal))).toBe(odd)
    }
    expect(waits).toEqual([])
  })

  test('and leaves no listener behind', async () => {
    answerWith([503], [200, PULLED])
    const { signal } = new AbortController()
    const [add, remove] = [jest.spyOn(signal, 'addEventListener'), jest.spyOn(signal, 'removeEventListener')]
    await createTransport({ random: () => 0 }).pull(url, { since: 0 }, null, signal)
    expect(add.mock.calls.length).toBeGreaterThan(0)
    expect(remove.mock.calls.map(([, listener]) => listener)).toEqual(
      expect.arrayContaining(add.mock.calls.map(([, listener]) => listener)),
    )
  })
})

test('the default wait ends with an abort, so that no timer keeps a process alive', async () => {
  const controller = new AbortController()
  const over = wait(60_000, controller.signal)
  controller.abort()
  await over
})

test('the default wait waits', async () => {
  answerWith([503], [200, PULLED])
  const start = performance.now()
  await createTransport({ random: () => 0.2 }).pull(url, { since: 0 }, null)
  expect(performance.now() - start).toBeGreaterThan(50)
})
