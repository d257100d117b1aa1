import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, syncAll } from 'typeorm-sync'
import { changeLogOf } from '../../src/entity/registry.js'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { rowsIn } from './devices.js'

const sheet = (name: string, type: 'text' | 'mediumtext') =>
  new EntitySchema<any>({
    ...{ name, tableName: 'sheet' },
    columns: {
      ...{ id: { type: 'varchar', length: 100, primary: true }, text: { type } },
      name: { type: 'varchar', length: 20, nullable: true },
    },
  })
const Sheet = sheet('Sheet', 'text')
const MysqlSheet = sheet('MysqlSheet', 'mediumtext')
enableSync(Sheet, '/sheets')
enableSync(MysqlSheet, '/sheets')

/** A server with so many sheets, and a device; `limits` are the pages that were asked for. */
async function open(count: number, bytes: number) {
  const server = await openOn('libsql', [Sheet])
  for (let i = 0; i < count; i++)
    await sql(server, 'INSERT INTO "sheet" ("id", "text") VALUES (?, ?)', [`s${String(i).padStart(4, '0')}`, 'x'.repeat(bytes)])
  const { url } = await serve(server)
  const limits: number[] = []
  const ask: typeof globalThis.fetch = (input, init) => {
    if (init?.method === 'GET') limits.push(Number(new URL(String(input)).searchParams.get('limit')))
    return fetch(input, init)
  }
  return { server, url, limits, ask }
}

const count = async (of: DataSource) => Number((await sql(of, 'SELECT count(*) AS n FROM "sheet"'))[0].n)
const pageSize = async (of: DataSource) => (await sql(of, 'SELECT page_size FROM sync_server'))[0].page_size

/** A line that lets so many rows pass until the time-out; what needs more than a quarter of that is slow. */
function slow(ask: typeof globalThis.fetch, rows: number, timeout: number): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await ask(input, init)
    const body = await response.text()
    const count = body === '' ? 0 : rowsIn(body).length
    if (count > rows) await new Promise(resolve => init?.signal?.addEventListener('abort', resolve))
    else if (count > rows / 4) await new Promise(resolve => setTimeout(resolve, 0.27 * timeout))
    return new Response(response.status === 304 ? null : body, { status: response.status, headers: response.headers })
  }
}

test('a page that does not arrive in time is asked for smaller, and what was stored is not asked for again', async () => {
  const { url, limits, ask } = await open(300, 10)
  const device = await openOn('sqljs', [Sheet], { server: url, fetch: slow(ask, 100, 2_400), timeout: 2_400 })
  await expect(syncAll(device)).rejects.toMatchObject({ code: 'timeout' })
  await expect(syncAll(device)).rejects.toMatchObject({ code: 'timeout' })
  expect(limits).toEqual([1000, 250])
  expect(await syncAll(device)).toMatchObject({ pulled: 300 })
  expect(await count(device)).toBe(300)
  // no larger ones, for they would not arrive
  expect(new Set(limits.slice(2))).toEqual(new Set([62]))
  expect(limits).toHaveLength(2 + 5)
  await syncAll(device)
  expect(await pageSize(device)).toBe(62)
})

test('pages grow again where the line is fast', async () => {
  const { url, limits, ask } = await open(200, 10)
  const device = await openOn('sqljs', [Sheet], { server: url, fetch: ask })
  await syncAll(device)
  await sql(device, 'UPDATE sync_server SET server_date = 0, page_size = 20')
  limits.length = 0
  await syncAll(device)
  expect(limits).toEqual([20, 40, 80, 160])
  expect(await pageSize(device)).toBe(320)
})

test('the pages before one that did not arrive in time are stored', async () => {
  const { url, limits, ask } = await open(300, 10)
  let isSlow = false
  const device = await openOn('sqljs', [Sheet], {
    server: url,
    pageSize: 100,
    timeout: 2_000,
    fetch: (input, init) => (isSlow ? slow(ask, 50, 2_000)(input, init) : ask(input, init)),
  })
  const report = syncAll(device, undefined, {
    onProgress: () => {
      isSlow = true
    },
  })
  await expect(report).rejects.toMatchObject({ code: 'timeout' })
  const stored = await count(device)
  expect(stored).toBeGreaterThanOrEqual(100)
  limits.length = 0
  expect(await syncAll(device)).toMatchObject({ pulled: 300 - stored })
  expect(limits.every(limit => limit === 25)).toBe(true)
})

test('an answer of too many bytes is abandoned, and a smaller one is asked for', async () => {
  const { url, ask, limits } = await open(100, 20_000)
  let read = 0
  const device = await openOn('sqljs', [Sheet], {
    server: url,
    largestAnswer: 1_000_000,
    async fetch(input, init) {
      const response = await ask(input, init)
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      const body = new ReadableStream({
        async pull(controller) {
          const { done, value } = await reader.read()
          read += value?.length ?? 0
          done ? controller.close() : controller.enqueue(value)
        },
      })
      return new Response(body, { status: response.status, headers: response.headers })
    },
  })
  await expect(syncAll(device)).rejects.toMatchObject({
    code: 'answer-too-large',
    isDefinite: true,
    message: expect.stringMatching(/largestAnswer/),
  })
  expect(read).toBeLessThan(1_500_000)
  for (let time = 0; time < 3 && (await count(device)) < 100; time++) await syncAll(device).catch(() => {})
  expect(await count(device)).toBe(100)
  expect(Math.max(...limits.slice(-1))).toBeLessThan(50)
})

test.each(SERVERS)('rows of megabytes are read few at a time, and a push says no more of them than changed (%s)', async kind => {
  const { url, server } = await open(12, 4_000_000)
  const device = await openOn(kind === 'libsql' ? 'sqljs' : kind, [kind === 'mysql' ? MysqlSheet : Sheet], { server: url })
  await syncAll(device)
  expect(await count(device)).toBe(12)
  await sql(device, 'UPDATE "sheet" SET "name" = ?', ['renamed'])
  // what a statement gives at once, at most
  let most = 0
  const { database } = changeLogOf(device)
  const { transaction } = database
  database.transaction = ((body: () => Generator, options: never) =>
    transaction.call(
      database,
      function* () {
        const running = body()
        for (let state = running.next(); ; ) {
          if (state.done) return state.value
          const rows = (yield state.value) as unknown[]
          const texts = rows.flatMap(row => Object.values(row as object)).filter(cell => typeof cell === 'string')
          most = Math.max(
            most,
            texts.reduce((sum, text) => sum + text.length, 0),
          )
          state = running.next(rows)
        }
      } as never,
      options,
    )) as never
  const bodies: string[] = []
  expect(
    await syncAll(device, undefined, {
      fetch(input, init) {
        if (init?.body) bodies.push(String(init.body))
        return fetch(input, init)
      },
    }),
  ).toMatchObject({ pushed: 12 })
  expect(most).toBeLessThan(13_000_000)
  expect(bodies).toHaveLength(1)
  expect(await sql(server, 'SELECT count(*) AS n FROM "sheet" WHERE "name" = ?', ['renamed'])).toEqual([{ n: 12 }])
})

test('a row that is too large is set aside alone, with its size', async () => {
  const server = await openOn('libsql', [Sheet])
  const { url } = await serve(server)
  const device = await openOn('sqljs', [Sheet], { server: url })
  const sheets = device.getRepository(Sheet)
  await sheets.save([
    { id: 'a', text: 'a' },
    { id: 'b', text: 'x'.repeat(11_000_000) },
    { id: 'c', text: 'c' },
  ])
  expect(await syncAll(device)).toMatchObject({ pushed: 2, rejected: 1 })
  expect(await journal(sheets).rejected()).toMatchObject([
    { id: 'b', code: 'too-large', detail: expect.stringMatching(/110000\d\d bytes/) },
  ])
  expect((await server.getRepository(Sheet).find()).map(s => s.id).sort()).toEqual(['a', 'c'])
  expect(await syncAll(device)).toMatchObject({ pushed: 0, rejected: 1, requests: 1 })
})

// ---------------------------------------------------------------- a server that never ends

describe.each(['/sync', '/sheets'])('at %s', path => {
  /** Answers there alone, so that it has a feed or has none, and counts how often it was asked. */
  const answering = (body: (asked: number) => { updates: object[] }) => {
    const server = {
      asked: 0,
      fetch: async (input: unknown) => {
        if (new URL(String(input)).pathname !== path) return new Response('', { status: 404 })
        const { updates, ...rest } = body(server.asked++)
        const rows = path === '/sync' ? { changes: { '/sheets': updates } } : { updates }
        return new Response(JSON.stringify({ ...rest, ...rows }), { headers: { 'content-type': 'application/json' } })
      },
    }
    return server
  }

  test.each([
    { what: 'repeats its next', tokens: ['x'] },
    { what: 'goes round in a circle', tokens: ['x', 'y', 'z'] },
  ])('a server that $what is an error that says so', async ({ tokens }) => {
    const server = answering(asked => ({
      ...{ now: 200, collection: 'c', updates: [{ id: `s${asked}`, text: '' }], next: tokens[asked % tokens.length] },
    }))
    const device = await openOn('sqljs', [Sheet], { server: 'http://server.test', fetch: server.fetch })
    await expect(syncAll(device)).rejects.toMatchObject({
      code: 'invalid-answer',
      isDefinite: true,
      message: expect.stringMatching(/next/),
    })
    expect(server.asked).toBeLessThan(tokens.length + 4)
    // what it pushed stays
    expect(await count(device)).toBe(tokens.length)
  })

  test('a server that is reset again and again is an error that says so', async () => {
    const server = answering(asked => ({ now: 200, collection: `c${asked}`, updates: [], reset: 'collection-changed', next: 'x' }))
    const device = await openOn('sqljs', [Sheet], { server: 'http://server.test', fetch: server.fetch })
    await expect(syncAll(device)).rejects.toMatchObject({ code: 'invalid-answer', message: expect.stringMatching(/reset/) })
    expect(server.asked).toBeLessThan(20)
  })
})
