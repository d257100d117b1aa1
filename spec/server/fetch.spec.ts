// A Request becomes a Response, without a server around it.

import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { healthHandler, rule, type SyncHandlerOptions, type SyncRequest, syncHandler } from 'typeorm-sync/server'
import { changeLogOf } from '../../src/entity/registry.js'
import { openOn } from '../support/eachDatabase.js'
import { LIMIT, sleep, until } from '../support/until.js'

interface Note {
  id: string
  text: string
}
const Note = new EntitySchema<Note>({
  ...{ name: 'FetchNote', tableName: 'fetch_note' },
  columns: { id: { type: 'varchar', primary: true }, text: { type: 'text' } },
})
enableSync(Note, '/fetchNotes')

let there: DataSource
beforeEach(async () => {
  there = await openOn('libsql', [Note])
})
afterEach(() => {
  jest.useRealTimers()
  jest.restoreAllMocks()
})

const errors: unknown[] = []
const open = (options: Partial<SyncHandlerOptions> = {}) =>
  syncHandler(there, { public: true, onError: (error: unknown) => errors.push(error), ...options } as { public: true })
afterEach(() => expect(errors.splice(0)).toEqual([]))

const at = (path: string, init: RequestInit = {}) => new Request(`https://example.org${path}`, init)
const post = (body: BodyInit, headers: object = {}) =>
  at('/fetchNotes', { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body, duplex: 'half' } as RequestInit)
const milk = JSON.stringify([{ id: 'milk', text: 'Buy milk' }])
const fill = (count: number) =>
  there.query(
    `INSERT INTO fetch_note (id, text) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
       SELECT printf('%05d', i), hex(randomblob(1000)) FROM n`,
  )

describe('a push', () => {
  test('is stored, as a text, a stream or encoded', async () => {
    const { fetch } = open()
    const zipped = new Blob([milk]).stream().pipeThrough(new CompressionStream('gzip'))
    for (const request of [post(milk), post(new Blob([milk]).stream()), post(zipped, { 'Content-Encoding': 'gzip' })])
      expect((await fetch(request)).status).toBe(200)
    expect(await there.getRepository(Note).find()).toMatchObject([{ id: 'milk', text: 'Buy milk' }])
  })

  test('that somebody has read already is an error that says so, unless it is given once more', async () => {
    const { fetch } = open()
    const request = post(milk)
    const body = await request.text()
    const answer = await fetch(request)
    expect([answer.status, await answer.text()]).toEqual([500, expect.stringContaining('before that parser')])
    expect((await fetch(new Request(request, { body }))).status).toBe(200)
    expect(errors.splice(0)).toHaveLength(1)
  })

  test('without a body is no JSON', async () => {
    expect((await open().fetch(at('/fetchNotes', { method: 'POST', headers: { 'Content-Type': 'application/json' } }))).status).toBe(400)
  })

  test.each([
    ['too slow', 408],
    ['too large', 413],
    ['cut off', 400],
  ])('that is %s is left: %d', async (how, status) => {
    let [isCancelled, count] = [false, 0]
    const body = new ReadableStream({
      async pull(controller) {
        if (how === 'cut off') controller.error(new Error('gone'))
        else if (how === 'too large' && ++count < 100) controller.enqueue(new Uint8Array(1_000).fill(32))
        else await sleep(200)
      },
      cancel() {
        isCancelled = true
      },
    })
    const answer = await open({ requestTimeout: how === 'too slow' ? 50 : LIMIT, maxBodyBytes: 10_000 }).fetch(post(body))
    expect([answer.status, answer.headers.get('connection')]).toEqual([status, null])
    await until(() => isCancelled || how === 'cut off')
  })
})

describe('an answer', () => {
  test('has no body where there is none', async () => {
    const { fetch } = open()
    const etag = (await fetch(at('/fetchNotes'))).headers.get('etag') as string
    for (const [request, status] of [
      [at('/fetchNotes', { method: 'HEAD' }), 200],
      [at('/fetchNotes?since=x', { method: 'HEAD' }), 400],
      [at('/fetchNotes', { headers: { 'If-None-Match': etag } }), 304],
      [at('/fetchNotes', { method: 'OPTIONS' }), 204],
    ] as const) {
      const answer = await fetch(request)
      expect([answer.status, answer.body]).toEqual([status, null])
    }
  })

  test('that is read slowly is read for slowly, and left when it is not read any more', async () => {
    await fill(5_000)
    const steps = jest.spyOn(changeLogOf(there).database, 'transaction')
    const answer = await open({ pageSize: 100, requestTimeout: 1_000 }).fetch(at('/fetchNotes'))
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    // by a clock of its own, which a slow machine does not turn faster than it reads
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] })
    for (let i = 0; i < 5; i++) {
      jest.advanceTimersByTime(300)
      expect((await reader.read()).value?.length).toBeLessThanOrEqual(64 * 1024)
    }
    jest.advanceTimersByTime(1_200)
    await expect(reader.read()).rejects.toThrow('The client does not read.')
    expect(steps.mock.calls.length).toBeLessThan(10)
  })

  test('whose reader leaves is not read on', async () => {
    await fill(5_000)
    const steps = jest.spyOn(changeLogOf(there).database, 'transaction')
    const { body } = await open({ pageSize: 100 }).fetch(at('/fetchNotes'))
    const reader = (body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    await reader.cancel()
    await sleep(50)
    expect(steps.mock.calls.length).toBeLessThan(10)
  })

  test('that breaks off is an error of its reader', async () => {
    await fill(500)
    const { database } = changeLogOf(there)
    const transaction = database.transaction.bind(database)
    let count = 0
    jest.spyOn(database, 'transaction').mockImplementation((async (body: any, options: any) => {
      if (++count === 3) throw new Error('The disk is gone')
      return transaction(body, options)
    }) as any)
    const answer = await open({ pageSize: 100 }).fetch(at('/fetchNotes'))
    await expect(answer.text()).rejects.toThrow('The disk is gone')
    expect(errors.splice(0)).toMatchObject([{ message: 'The disk is gone' }])
  })

  test('that waits ends when the client has left, even before it began', async () => {
    const { fetch } = open({ maxListeners: 1 })
    await there.getRepository(Note).insert({ id: 'milk', text: 'Buy milk' })
    const { now } = (await (await fetch(at('/sync'))).json()) as { now: number }
    const wait = (signal: AbortSignal) => fetch(at(`/sync?since=${now}`, { headers: { Prefer: 'wait=55' }, signal }))
    const start = Date.now()
    const controller = new AbortController()
    const waiting = wait(controller.signal)
    await sleep(50)
    controller.abort()
    await waiting
    await wait(AbortSignal.abort())
    expect(Date.now() - start).toBeLessThan(LIMIT)
  })

  test('that is a stream of events makes room when its client has left, even before it began', async () => {
    const { fetch } = open({ maxListeners: 1 })
    const listen = (signal: AbortSignal) => fetch(at('/sync', { headers: { Accept: 'text/event-stream' }, signal }))
    const getRoom = async (signal: AbortSignal) => {
      let answer: Response | undefined
      await until(async () => {
        answer = await listen(signal)
        return answer.status === 200
      })
      return answer
    }
    await listen(AbortSignal.abort())
    const controller = new AbortController()
    await getRoom(controller.signal)
    expect((await listen(new AbortController().signal)).status).toBe(503)
    controller.abort()
    const answer = await getRoom(new AbortController().signal)
    await answer?.body?.cancel()
    await getRoom(AbortSignal.timeout(100))
  })
})

test('what is not ours is 404, and before the data source is open all may be ours', async () => {
  const { fetch } = open()
  expect((await fetch(at('/nonsense'))).status).toBe(404)
  await there.destroy()
  expect((await fetch(at('/sync'))).status).toBe(503)
})

test('`principal` gets what the framework calls a request', async () => {
  const seen: unknown[] = []
  const principal = ({ raw, path }: SyncRequest<{ user: string } | Request>) => {
    seen.push(raw)
    return path === '/sync' && 'user' in raw ? { id: raw.user } : null
  }
  const { fetch } = syncHandler(there, { principal, rules: [rule<Note>(Note, { read: () => true })] })
  expect((await fetch(at('/sync'), { user: 'alice' })).status).toBe(200)
  const request = at('/sync')
  expect((await fetch(request)).status).toBe(401)
  expect(seen).toEqual([{ user: 'alice' }, request])
})

test('health is asked in the same way', async () => {
  const { fetch, respond } = healthHandler(there, { path: '/well' })
  expect(await (await fetch(at('/well'))).json()).toMatchObject({ status: 'ok', replica: false })
  expect((await fetch(at('/health'))).status).toBe(404)
  const request = { method: 'GET', path: '/health', query: {}, headers: {}, signal: new AbortController().signal, raw: undefined }
  expect(await respond(request)).toBeUndefined()
  expect(await respond({ ...request, path: '/well' })).toMatchObject({ status: 200, headers: { 'Cache-Control': 'no-store' } })
  await there.destroy()
  const closed = await fetch(at('/well'))
  expect([closed.status, closed.headers.get('retry-after')]).toEqual([503, '5'])
})
