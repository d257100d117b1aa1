// docs/how-it-works.md, «Attacks on the server»: each is answered with problem+json, nothing is stored, no answer has anything that is not the caller's, and the
// server goes on.

import { once } from 'node:events'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import cors from '@koa/cors'
import { Column, Entity, PrimaryColumn, VersionColumn } from 'typeorm'
import { EnableSync, SyncedEntity } from 'typeorm-sync'
import { until } from '../support/until.js'
import { type Answer, serverKind, startTodo, type Todo } from './todoServer.js'

@Entity('account')
@EnableSync('/accountChanges')
class Account extends SyncedEntity {
  @PrimaryColumn() id!: string
  @Column({ type: 'integer' }) cents!: number
  @Column({ type: 'varchar', nullable: true, unique: true }) iban!: string | null
  @Column({ type: 'integer', generatedType: 'STORED', asExpression: 'cents / 100' }) euros!: number
  @VersionColumn() version!: number
}

let todo: Todo
let running = 0
beforeEach(async () => {
  const count = async (_: unknown, next: () => Promise<void>) => {
    running++
    await next().finally(() => running--)
  }
  todo = await startTodo({ before: [count, cors()] })
  await todo.post('/projectChanges', [{ id: 'home', name: 'Home' }])
  await todo.post('/taskChanges', [
    { id: 'milk', name: 'Buy milk', project: 'home' },
    { id: 'secret', name: 'swordfish' },
  ])
})
afterEach(() => todo.stop())

const LEAKS =
  /postgres|pg_|mysql|mariadb|ER_[A-Z]|sqlState|errno|SELECT|INSERT|UPDATE |SQLITE|sqlite|sync_|node_modules|\.ts|\.js|\n\s+at |stack|swordfish|"task"|QueryFailed|Error:/

/** The answer is a problem that says nothing of the inside, and the database holds what it held. */
async function expectHarmless(attack: () => Promise<Answer>, status: number | number[]): Promise<Answer> {
  const before = await todo.dump()
  const answer = await attack()
  expect([status].flat()).toContain(answer.status)
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json\b/)
  expect(answer.json).toMatchObject({
    type: expect.any(String),
    title: expect.any(String),
    status: answer.status,
    detail: expect.any(String),
  })
  expect(answer.text).not.toMatch(LEAKS)
  expect(answer.text.length).toBeLessThan(20_000)
  expect(await todo.dump()).toBe(before)
  expect((await todo.get('/taskChanges?since=0')).status).toBe(200)
  return answer
}

const row = (more: object) => [{ id: 'new', name: 'New', ...more }]

describe('rows that are none', () => {
  test.each<[string, unknown, number]>([
    ['an id that is empty', [{ id: '', name: 'x' }], 422],
    ['an id that is null', [{ id: null, name: 'x' }], 422],
    ['an id that is an object', [{ id: {}, name: 'x' }], 422],
    ['an id that is an operator', [{ id: { $ne: '' }, name: 'x' }], 422],
    ['an id that is a number', [{ id: 1, name: 'x' }], 422],
    ['an id that is an array', [{ id: ['milk'], name: 'x' }], 422],
    ['an id of 10 kB', [{ id: 'x'.repeat(10_000), name: 'x' }], 422],
    ['an id with NUL', [{ id: 'a\0b', name: 'x' }], 422],
    ['an id with half a character', '[{"id":"\\ud800","name":"x"}]', 422],
    ['no id', [{ name: 'x' }], 422],
    [
      'an id twice',
      [
        { id: 'a', name: 'x' },
        { id: 'a', name: 'y' },
      ],
      422,
    ],
    ['an operator for a value', row({ name: { $gt: '' } }), 422],
    ['an array for a value', row({ name: ['x'] }), 422],
    ['an object for a boolean', row({ done: {} }), 422],
    ['null where there must be a value', row({ name: null }), 422],
    ['a date that is none', row({ dueDate: 'tomorrow' }), 422],
    ['a related object, with a cascade in mind', row({ project: { id: 'home', name: 'Hacked' } }), 422],
    ['a parent that is not there', row({ project: 'nowhere' }), 422],
    ['a mark that is none', [{ id: 'milk', _removed: 'yes' }], 422],
    ['a part of a row that is not there', [{ id: 'nowhere', _partial: true, name: 'x' }], 409],
    ['a string', '"milk"', 400],
    ['null', 'null', 400],
    ['an object', { id: 'milk', _removed: true }, 400],
    ['an array of arrays', [[]], 400],
    ['an array of strings', ['milk'], 400],
    ['a row that has all array methods', { length: 1, 0: { id: 'milk', _removed: true } }, 400],
  ])('%s', (_, body, status) => expectHarmless(() => todo.post('/taskChanges', body as string), status))
})

describe('bodies that are none', () => {
  const valid = JSON.stringify(row({}))
  test.each<[string, string | Buffer, Record<string, string>, number]>([
    ['nothing', '', {}, 400],
    ['not JSON', '{', {}, 400],
    ['JavaScript', "[{id: 'milk'}]", {}, 400],
    ['garbage behind', `${valid} DROP TABLE task`, {}, 400],
    ['UTF-16', Buffer.from(valid, 'utf16le'), {}, 400],
    ['UTF-16 with its mark', Buffer.from(`\ufeff${valid}`, 'utf16le'), {}, 400],
    ['bytes that are not UTF-8', Buffer.from(valid.replace('New', '\xff'), 'latin1'), {}, 400],
    ['100,000 arrays in each other', '['.repeat(100_000) + ']'.repeat(100_000), {}, 400],
    ['100,000 objects in each other', `[{"id":"new","name":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}]`, {}, 400],
    ['100,000 open brackets', '['.repeat(100_000), {}, 400],
    ['not gzip', valid, { 'Content-Encoding': 'gzip' }, 400],
    ['half of gzip', gzipSync(valid).subarray(0, 20), { 'Content-Encoding': 'gzip' }, 400],
    ['a gzip bomb', gzipSync(Buffer.alloc(200 * 1024 * 1024, 0x20)), { 'Content-Encoding': 'gzip' }, 413],
    ['a brotli bomb', brotliCompressSync(Buffer.alloc(50 * 1024 * 1024, 0x20)), { 'Content-Encoding': 'br' }, 413],
    ['gzip in gzip', gzipSync(gzipSync(valid)), { 'Content-Encoding': 'gzip, gzip' }, 415],
    ['a form', 'id=milk&_removed=true', { 'Content-Type': 'application/x-www-form-urlencoded' }, 415],
    [
      'plain text, as a simple request from another site may be',
      valid,
      { 'Content-Type': 'text/plain', Origin: 'https://evil.example' },
      415,
    ],
  ])('%s', async (_, body, headers, status) => {
    const answer = await expectHarmless(() => todo.post('/taskChanges', body, headers), status)
    if (headers.Origin) expect(answer.headers['access-control-allow-origin']).toBe('*')
  })

  test('100,001 rows', () =>
    expectHarmless(
      () =>
        todo.post(
          '/taskChanges',
          Array.from({ length: 100_001 }, (_, i) => ({ id: `n${i}`, name: 'x' })),
        ),
      413,
    ))

  test('a gigabyte, announced', async () => {
    const before = await todo.dump()
    const socket = await todo.connect()
    socket.write('POST /taskChanges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n[')
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 413 /)
    socket.destroy()
    expect(await todo.dump()).toBe(before)
  })

  test('chunks without end', async () => {
    const before = await todo.dump()
    const socket = await todo.connect()
    socket.write('POST /taskChanges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n')
    const chunk = `100000\r\n${' '.repeat(0x100000)}\r\n`
    const closed = new Promise(resolve => socket.on('close', resolve))
    const flood = setInterval(() => socket.writable && socket.write(chunk), 1)
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 413 /)
    // and what comes after the answer is not read for ever
    await closed
    clearInterval(flood)
    expect(await todo.dump()).toBe(before)
  })

  test('gzip that goes on without ever giving a byte', async () => {
    const nothing = Buffer.alloc(11 * 1024 * 1024, Buffer.from([0, 0, 0, 0xff, 0xff]))
    const body = Buffer.concat([gzipSync('').subarray(0, 10), nothing])
    await expectHarmless(() => todo.post('/taskChanges', body, { 'Content-Encoding': 'gzip', 'Transfer-Encoding': 'chunked' }), 413)
  })

  test('half a body, then nothing: its sender is gone', async () => {
    const before = await todo.dump()
    const socket = await todo.connect()
    socket.write(`POST /taskChanges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${valid.length}\r\n\r\n`)
    await until(() => running === 1)
    socket.end(valid.slice(0, 10))
    await until(() => running === 0)
    await once(socket.resume(), 'close')
    expect(await todo.dump()).toBe(before)
    expect((await todo.get('/taskChanges')).status).toBe(200)
  })
})

describe('methods', () => {
  test.each(['PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND'])('%s', method =>
    expectHarmless(() => todo.ask('/taskChanges', { method, headers: { 'Content-Type': 'application/json' }, body: '[]' }), 405),
  )

  test('a header that asks for another method is a header like any other', async () => {
    const before = await todo.dump()
    const answer = await todo.post('/taskChanges', [], { 'X-HTTP-Method-Override': 'DELETE', 'X-HTTP-Method': 'DELETE' })
    expect(answer.json).toMatchObject({ status: 'ok' })
    expect(await todo.dump()).toBe(before)
  })
})

// tokens that say what ours do not
const HOSTILE_TOKENS = [
  '[1,"x",null]',
  '[1,"\\u0000",null,null,null,null]',
  '[1,"a\\u0000b",1,null,null,null]',
  '[1,"\\ud800",null,null,null,null]',
  '[1,{},null,null,null,null]',
  '[-1,"x",null,null,null,null]',
  '[1,"x","y",null,null,null]',
  '[9007199254740992,"x",null,null,null,null]',
]

describe('queries', () => {
  test.each([
    "since=0' OR '1'='1",
    'since=0;DROP TABLE task',
    'since[]=0',
    'since[$gt]=0',
    'since=0&since=1',
    'limit=1e9',
    'limit=-1',
    'after=%00',
    "after=' UNION SELECT 1",
    'after=eyJzdGFtcCI6MH0',
    ...HOSTILE_TOKENS.map(token => `after=${Buffer.from(token).toString('base64url')}`),
    'min=NaN',
  ])('%s', async query => {
    const answer = await todo.get(`/taskChanges?${query.replaceAll(' ', '%20').replaceAll("'", '%27')}`)
    await expectHarmless(() => Promise.resolve(answer), 400)
  })

  test.each(['toString', '__proto__', 'constructor', '..%2f..%2fetc%2fpasswd', 'task', 'sync_clock'])(
    'a collection named %s',
    async name => {
      expect((await todo.get(`/${name}`)).status).toBe(404)
      expect((await todo.post(`/${name}`, row({}))).status).toBe(404)
    },
  )
})

describe('properties that are not the caller’s to set', () => {
  test('names of prototypes do nothing', async () => {
    const body = '[{"id":"new","name":"New","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"x"}]'
    expect((await todo.post('/taskChanges', body)).status).toBe(200)
    expect((await todo.post('/taskChanges', '[{"__proto__":{"id":"milk"},"_removed":true}]')).status).toBe(422)
    expect(({} as any).polluted).toBeUndefined()
    expect((await todo.get('/taskChanges')).json.updates.find((u: any) => u.id === 'new')).toEqual({
      ...{ id: 'new', name: 'New', done: false, dueDate: null, tags: null, project: null },
      _lastChange: expect.any(Number),
    })
  })

  test('names of columns with quotes in them are unknown properties', async () => {
    const answer = await todo.post(
      '/taskChanges',
      row({ "name\" = 'x' --": 'y', "x'; DROP TABLE task; --": 1, projectId: 'nowhere', rowid: 1 }),
    )
    expect(answer.status).toBe(200)
    expect((await todo.get('/taskChanges')).json.updates).toHaveLength(3)
  })

  test('a stamp of the caller’s is not stored', async () => {
    const { now } = (await todo.post('/taskChanges', row({ _lastChange: 9007199254740991 }))).json
    expect((await todo.get('/taskChanges')).json).toMatchObject({
      now,
      updates: expect.arrayContaining([expect.objectContaining({ _lastChange: now })]),
    })
  })

  test('values are values, whatever they say', async () => {
    const name = "Robert'); DROP TABLE task;-- \u0000 \u202e <script>"
    expect((await todo.post('/taskChanges', row({ name: name.replace('\0', '') }))).status).toBe(200)
    expect((await todo.get('/taskChanges')).json.updates.find((u: any) => u.id === 'new').name).toBe(name.replace('\0', ''))
  })

  test('brackets in a string are not nesting', async () => {
    const name = `"${'['.repeat(200)}\\`
    const rows = ['a', 'b', 'c'].map(id => ({ id, name }))
    expect((await todo.post('/taskChanges', rows)).status).toBe(200)
  })

  test('ABC is not abc', async () => {
    await todo.post('/taskChanges', [{ id: 'MILK', name: 'Another' }])
    const { updates } = (await todo.get('/taskChanges')).json
    expect(updates.map((u: any) => [u.id, u.name])).toEqual(
      expect.arrayContaining([
        ['milk', 'Buy milk'],
        ['MILK', 'Another'],
      ]),
    )
  })

  test('an answer names only the column of another row’s unique value, and the clock does not move', async () => {
    const bank = await startTodo({ entities: [Account] })
    await bank.post('/accountChanges', [{ id: 'alice', cents: 1, iban: 'DE02', version: 1 }])
    const before = await bank.dump()
    const answer = await bank.post('/accountChanges', [{ id: 'mallory', cents: 1, iban: 'DE02', version: 1 }])
    expect(answer).toMatchObject({ status: 422, json: { errors: [{ id: 'mallory', property: 'iban', code: 'not-unique' }] } })
    expect(answer.text).not.toMatch(/alice|DE02/)
    expect(await bank.dump()).toBe(before)
    await bank.stop()
  })

  test('a generated column stays generated', async () => {
    const bank = await startTodo({ entities: [Account] })
    await bank.post('/accountChanges', [{ id: 'local', cents: 500, euros: 1_000_000, version: 1 }])
    expect(await bank.dataSource.query('SELECT cents, euros FROM account')).toEqual([{ cents: 500, euros: 5 }])
    expect((await bank.get('/accountChanges')).json.updates[0].euros).toBeUndefined()
    await bank.stop()
  })
})

describe('many at once', () => {
  test('100 times the same push: applied once', async () => {
    const { now } = (await todo.get('/taskChanges')).json
    const push = () => todo.post('/taskChanges', row({}), { 'Idempotency-Key': 'same' })
    const answers = await Promise.all(Array.from({ length: 100 }, push))
    expect(new Set(answers.map(a => JSON.stringify({ ...a.json, replayed: undefined }))).size).toBe(1)
    expect(answers.filter(a => a.json.replayed === undefined)).toHaveLength(1)
    expect(answers.filter(a => a.status === 200)).toHaveLength(100)
    expect(answers.filter(a => a.headers['idempotency-replayed'] === undefined)).toHaveLength(1)
    const { updates } = (await todo.get(`/taskChanges?since=${now}`)).json
    expect(updates).toMatchObject([{ id: 'new', _lastChange: answers[0]!.json.now }])
    const [clock] = await todo.dataSource.query('SELECT * FROM sync_clock')
    expect(Number(clock.now)).toBe(answers[0]!.json.now)
  })

  test('two pushes of one row: one is stored, the other is contested', async () => {
    const { now, collection } = (await todo.get('/taskChanges')).json
    const push = (name: string) => todo.post(`/taskChanges?since=${now}&collection=${collection}`, [{ id: 'milk', name }])
    const answers = await Promise.all([push('Alice'), push('Bob')])
    expect(answers.map(a => a.status).sort()).toEqual([200, 409])
    const winner = answers[0]!.status === 200 ? 'Alice' : 'Bob'
    expect(answers.find(a => a.status === 409)!.json.updates).toMatchObject([{ id: 'milk', name: winner }])
    expect((await todo.get('/taskChanges')).json.updates.find((u: any) => u.id === 'milk').name).toBe(winner)
  })
})

describe('a database that cannot be used', () => {
  test('closed: 503 with Retry-After, never 200', async () => {
    await todo.dataSource.destroy()
    for (const answer of [await todo.get('/taskChanges'), await todo.post('/taskChanges', row({}))]) {
      expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': expect.any(String) } })
      expect(answer.text).not.toMatch(LEAKS)
    }
  })

  test('in the middle of a transaction of the application’s: 503, and no client gets what is rolled back', async () => {
    const busy = await startTodo({ busyTimeout: 50 })
    const runner = busy.dataSource.createQueryRunner()
    await runner.startTransaction()
    await runner.query("INSERT INTO task (id, name, done) VALUES ('phantom', 'Never was', false)")
    const [got, posted] = [await busy.get('/taskChanges'), await busy.post('/taskChanges', row({}))]
    expect(posted).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    // with a connection of its own a reader need not wait for it
    if (serverKind === 'sqlite') expect(got).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    else expect(got).toMatchObject({ status: 200, json: { updates: [] } })
    await runner.rollbackTransaction()
    expect((await busy.get('/taskChanges')).json.updates).toEqual([])
    await busy.stop()
  })

  const onSqlite: (name: string, body: () => Promise<void>) => void = serverKind === 'sqlite' ? test : () => {} // elsewhere it is another matter
  onSqlite('full, then roomy again', async () => {
    const [{ page_count }] = await todo.dataSource.query('PRAGMA page_count')
    await todo.dataSource.query(`PRAGMA max_page_count = ${page_count}`)
    const large = Array.from({ length: 500 }, (_, i) => ({ id: `n${i}`, name: 'x'.repeat(500) }))
    const answer = await expectHarmless(() => todo.post('/taskChanges', large), 503)
    expect(answer.headers['retry-after']).toBeDefined()
    await todo.dataSource.query('PRAGMA max_page_count = 1000000')
    expect((await todo.post('/taskChanges', large)).status).toBe(200)
  })

  onSqlite('read-only', async () => {
    await todo.dataSource.query('PRAGMA query_only = ON')
    expect((await todo.post('/taskChanges', row({}))).status).toBe(503)
    expect((await todo.get('/taskChanges')).status).toBe(200)
    await todo.dataSource.query('PRAGMA query_only = OFF')
  })
})
