// What a server answers clients of earlier versions of its schema, on the wire.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, SyncConfigurationError } from 'typeorm-sync'
import { rule, type SchemaVersions } from 'typeorm-sync/server'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

const text = { type: 'varchar', length: 40 } as const
const Person = new EntitySchema<any>({
  ...{ name: 'Person', tableName: 'person' },
  columns: {
    id: { ...text, primary: true },
    first: { ...text, default: '' },
    last: { ...text, default: '' },
    handle: { ...text, unique: true, nullable: true },
    note: { ...text, nullable: true },
  },
})
enableSync(Person, '/people', { formerly: ['/persons'] })

// 1: nick and name; 2: tag and name; 3: handle, first and last
const schema: SchemaVersions = {
  version: 3,
  steps: {
    2: { '/people': { up: ({ nick, ...row }) => ({ ...row, tag: nick }), down: ({ tag, ...row }) => ({ ...row, nick: tag }) } },
    3: {
      '/people': {
        up: ({ name, tag, ...row }) => ({ ...row, handle: tag, ...split(name) }),
        down: ({ first, last, handle, ...row }) => ({ ...row, tag: handle, name: `${first} ${last}` }),
      },
    },
  },
}
const split = (name: string) => ({ first: name.split(' ')[0] as string, last: name.split(' ').slice(1).join(' ') })

const at = (url: string, query: string, init?: RequestInit) => fetch(`${url}${query}`, init)
const post = async (url: string, query: string, body: unknown, headers = {}) => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
  const response = await at(url, query, init)
  return { status: response.status, json: (await response.json()) as any }
}
const rowsOf = async (server: DataSource) =>
  (await sql(server, 'SELECT "id", "first", "last", "handle" FROM "person" ORDER BY "id"')) as object[]

async function start(options: Partial<SchemaVersions> = {}, kind = SERVERS[0]!) {
  const server = await openOn(kind, [Person])
  const { url, errors } = await serve(server, { schema: { ...schema, ...options } })
  const get = async (query: string, headers = {}) => {
    const response = await at(url, query, { headers })
    return { status: response.status, etag: response.headers.get('etag'), json: (await response.json().catch(() => undefined)) as any }
  }
  const save = (rows: object[]) => server.getRepository(Person).save(rows)
  return { server, url, errors, get, save }
}

describe('a version', () => {
  test('that is not served any more is 426, in every kind of request, and nothing is stored', async () => {
    const { server, url } = await start({ oldest: 2 })
    const problem = {
      ...{ type: 'urn:typeorm-sync:client-too-old', title: 'Client too old', status: 426, detail: expect.stringContaining('update') },
      ...{ schema: 3, oldest: 2 },
    }
    for (const query of ['/sync?schema=1', '/people?schema=1', '/sync', '/people']) {
      for (const init of [{}, { headers: { accept: 'text/event-stream' } }]) {
        if ('headers' in init && query.startsWith('/people')) continue
        const response = await at(url, query, init)
        expect([response.status, response.headers.get('content-type')]).toEqual([426, 'application/problem+json'])
        expect(await response.json()).toEqual(problem)
      }
      const body = query.startsWith('/sync') ? { changes: { '/people': [{ id: 'a' }] } } : [{ id: 'a' }]
      expect(await post(url, query, body)).toEqual({ status: 426, json: problem })
    }
    expect(await rowsOf(server)).toEqual([])
  })

  test('that is not known yet is 503, with a time to come again', async () => {
    const { url } = await start()
    const response = await at(url, '/sync?schema=4')
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '60'])
    expect(await response.json()).toMatchObject({ type: 'urn:typeorm-sync:server-too-old', schema: 3, oldest: 1 })
  })

  test.each(['schema=0', 'schema=x', 'schema=', 'schema=1&schema=2', 'Schema=1', 'schema[]=1'])('%s is 400', async query => {
    const { get } = await start()
    expect(await get(`/sync?${query}`)).toMatchObject({ status: 400 })
  })

  test('that is not named counts as the one that the server says', async () => {
    const { url, get, save } = await start({ unnamed: 2 })
    await save([{ id: 'a', first: 'Ann', last: 'Lee', handle: 'al' }])
    expect((await get('/people')).json.updates[0]).toMatchObject({ name: 'Ann Lee', tag: 'al' })
    const other = await serve(await openOn('libsql', [Person]))
    expect((await post(other.url, '/people?schema=7', [{ id: 'a', first: 'Ann' }])).status).toBe(200)
    expect(url).toBeDefined()
  })

  test.each<[object, string]>([
    [{ version: 0 }, 'schema.version'],
    [{ version: 2, oldest: 3 }, 'schema.oldest'],
    [{ version: 2, unnamed: 3 }, 'schema.unnamed'],
    [{ version: 2, steps: { 1: {} } }, 'a step to 1'],
    [{ version: 2, steps: { 3: {} } }, 'a step to 3'],
  ])('that makes no sense, %j, is rejected at once', async (options, why) => {
    const server = await openOn('libsql', [Person])
    await expect(serve(server, { schema: options as SchemaVersions })).rejects.toThrow(SyncConfigurationError)
    await expect(serve(server, { schema: options as SchemaVersions })).rejects.toThrow(why)
  })

  test('with a step for a path that no entity has answers nothing', async () => {
    const { get, errors } = await start({ steps: { 2: { '/peple': {} } } })
    expect(await get('/people?schema=3')).toMatchObject({ status: 500 })
    expect(String(errors[0])).toContain('/peple')
  })
})

describe.each(SERVERS)('on %s', kind => {
  test('rows are brought down step by step, in pages and whole, to the feed and to a route', async () => {
    const { url, get, save } = await start({}, kind)
    await save([
      { id: 'a', first: 'Ann', last: 'Lee', handle: 'al' },
      { id: 'b', first: 'Bob', last: 'Ray', handle: 'br' },
    ])
    const of = { 1: { name: 'Ann Lee', nick: 'al' }, 2: { name: 'Ann Lee', tag: 'al' }, 3: { first: 'Ann', last: 'Lee', handle: 'al' } }
    for (const version of [1, 2, 3] as const) {
      const expected = { id: 'a', note: null, ...of[version], _lastChange: expect.any(Number) }
      expect((await get(`/people?schema=${version}`)).json.updates[0]).toEqual(expected)
      expect((await get(`/persons?schema=${version}`)).json.updates[0]).toEqual(expected)
      expect((await get(`/sync?schema=${version}`)).json.changes['/people'][0]).toEqual(expected)
      expect((await get(`/sync?collections=/persons&schema=${version}`)).json.changes['/persons'][0]).toEqual(expected)
    }
    const page = await get('/sync?schema=1&limit=1')
    const next = encodeURIComponent(page.json.next)
    const changes = { '/people': [expect.objectContaining({ id: 'b', nick: 'br' })] }
    expect((await get(`/sync?schema=1&limit=1&after=${next}`)).json.changes).toEqual(changes)
    // pages of another version are as if they did not exist
    expect((await get(`/sync?schema=2&limit=1&after=${next}`)).json.changes['/people'][0]).toMatchObject({ id: 'a', tag: 'al' })
    expect(url).toBeDefined()
  })

  test('an ETag is one of a version', async () => {
    const { get, save } = await start({}, kind)
    await save([{ id: 'a', first: 'Ann', last: 'Lee' }])
    for (const path of ['/people', '/sync']) {
      const { json, etag } = await get(`${path}?schema=1`)
      const since = `${path}?since=${json.now}`
      expect((await get(`${since}&schema=1`, { 'if-none-match': etag })).status).toBe(304)
      expect((await get(`${since}&schema=2`, { 'if-none-match': etag })).status).toBe(200)
    }
  })

  test('what a version does not tell apart survives its edits, whole or in part', async () => {
    const { server, url, save } = await start({}, kind)
    await save([{ id: 'a', first: 'Ann Mary', last: 'Lee', handle: 'al' }])
    const [row] = await rowsOf(server)
    expect(await post(url, '/people?schema=1', [{ id: 'a', _partial: true, note: 'x' }])).toMatchObject({ status: 200 })
    expect(await post(url, '/people?schema=1', [{ id: 'a', name: 'Ann Mary Lee', nick: 'al', note: 'y' }])).toMatchObject({ status: 200 })
    expect(await rowsOf(server)).toEqual([row])
    const pushed = await post(url, '/people?schema=1', [{ id: 'a', _partial: true, nick: 'am' }])
    // what the client reads back need not be what it has pushed
    expect(pushed.json).toEqual({ status: 'ok', now: expect.any(Number) })
    expect(await rowsOf(server)).toEqual([{ ...row, handle: 'am' }])
    await post(url, '/people?schema=1', [{ id: 'a', _partial: true, name: 'Cid Ray' }])
    expect(await rowsOf(server)).toEqual([{ id: 'a', first: 'Cid', last: 'Ray', handle: 'am' }])
  })

  test('a push is answered again under its key, and whatever version ends it', async () => {
    const { url } = await start({}, kind)
    const body = [{ id: 'a', name: 'Ann Lee' }]
    const first = await post(url, '/people?schema=1', body, { 'idempotency-key': 'k' })
    const again = { status: 200, json: { ...first.json, replayed: true } }
    expect(await post(url, '/people?schema=1', body, { 'idempotency-key': 'k' })).toEqual(again)
    expect(await post(url, '/people?schema=3', [], { 'idempotency-key': 'k' })).toEqual(again)
  })

  test('contested rows are answered in the words of the client, and half a row is none', async () => {
    const { server, url, save } = await start({}, kind)
    await save([{ id: 'a', first: 'Ann', last: 'Lee', handle: 'al' }])
    const own = { id: 'a', name: 'Ann Lee', nick: 'al', note: null, _lastChange: expect.any(Number) }
    const part = { id: 'a', _partial: true, name: 'Cid Ray' }
    expect(await post(url, '/people?schema=1&since=1', [part])).toMatchObject({ status: 409, json: { updates: [own] } })
    const feed = await post(url, '/sync?schema=1&since=1', { changes: { '/people': [part] } })
    expect(feed).toMatchObject({ status: 409, json: { changes: { '/people': [own] } } })
    const gone = await post(url, '/people?schema=1', [{ id: 'z', _partial: true, name: null }])
    expect(gone).toMatchObject({ status: 409, json: { updates: [{ id: 'z', _removed: true }] } })
    expect(await rowsOf(server)).toHaveLength(1)
  })

  test('a rejection names the property that the client knows', async () => {
    const { server, url, save } = await start({}, kind)
    await save([{ id: 'a', first: 'Ann', last: 'Lee', handle: 'al' }])
    const rejected = async (row: object) => {
      const { status, json } = await post(url, '/people?schema=1', [{ id: 'b', ...row }])
      expect(status).toBe(422)
      return json.errors
    }
    expect(await rejected({ name: 'Bob Lee', nick: 'al' })).toMatchObject([{ id: 'b', code: 'not-unique', property: 'nick' }])
    expect(await rejected({ name: 'Bob Lee', nick: 'x'.repeat(50) })).toMatchObject([{ code: 'not-valid', property: 'nick' }])
    expect(await rejected({ name: 'Bob Lee', note: 7 })).toMatchObject([{ code: 'not-valid', property: 'note' }])
    // what cannot be lifted is rejected, and nothing of the push is stored
    expect(await rejected({ name: 7 })).toEqual([{ id: 'b', code: 'not-valid', detail: expect.stringContaining('version') }])
    const { json } = await post(url, '/people?schema=1', [
      { id: 'c', name: 7 },
      { id: 'd', name: 'Dan Lee', note: 7 },
      { id: 'e', name: 'Eve Lee' },
    ])
    expect(json.errors.map((e: { id: string }) => e.id).sort()).toEqual(['c', 'd'])
    expect(await rowsOf(server)).toHaveLength(1)
  })

  test('properties that no version knows are ignored, by the name that they came with', async () => {
    const { url } = await start({}, kind)
    const pushed = await post(url, '/people?schema=1', [{ id: 'a', name: 'Ann Lee', nick: 'al', mood: 'good' }])
    expect(pushed.json).toMatchObject({ status: 'ok', ignored: ['mood'] })
  })

  test('a row that the caller does not see is answered as an unknown id, whatever a step makes of it', async () => {
    const server = await openOn(kind, [Person])
    const rules = [rule(Person, { read: p => ({ id: [p.id] }) })]
    const { url } = await serve(server, { schema, rules, principal: ctx => ({ id: ctx.get('x-user') }) })
    await server.getRepository(Person).save({ id: 'bob', first: 'Bob', last: 'Lee' })
    const answers = ['bob', 'nobody'].map(async id => {
      const { status, json } = await post(url, '/people?schema=1', [{ id, _partial: true, name: 7 }], { 'x-user': 'alice' })
      return [
        status,
        JSON.stringify(json)
          .replaceAll(id, '…')
          .replace(/"now":\d+/, ''),
      ]
    })
    const [hidden, unknown] = await Promise.all(answers)
    expect(hidden).toEqual(unknown)
    expect(hidden?.[0]).toBe(409)
  })
})
