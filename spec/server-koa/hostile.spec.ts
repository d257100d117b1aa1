// Whatever stands in a push, and in a question: an answer of the protocol, never one of a server that failed.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { serverKind, startTodo, type Todo } from './todoServer.js'

const nullable = { nullable: true } as const
const own = {
  sqlite: { bytes: 'blob', stamp: 'datetime', real: 'double', json: 'json' },
  postgres: { bytes: 'bytea', stamp: 'timestamptz', real: 'double precision', json: 'jsonb' },
  mysql: { bytes: 'longblob', stamp: 'datetime', real: 'double', json: 'json' },
} as const
const { bytes, stamp, real, json } = own[serverKind]
const Thing = new EntitySchema<any>({
  name: 'Thing',
  tableName: 'thing',
  columns: {
    id: { type: 'varchar', length: 255, primary: true },
    short: { type: 'varchar', length: 10, ...nullable },
    long: { type: 'text', ...nullable },
    slug: { type: 'varchar', length: 100, unique: true, ...nullable },
    small: { type: 'smallint', ...nullable },
    big: { type: 'bigint', ...nullable },
    real: { type: real, ...nullable },
    price: { type: 'decimal', precision: 10, scale: 2, ...nullable },
    done: { type: 'boolean', ...nullable },
    at: { type: stamp, ...nullable },
    day: { type: 'date', ...nullable },
    hour: { type: 'time', ...nullable },
    json: { type: json, ...nullable },
    simple: { type: 'simple-json', ...nullable },
    list: { type: 'simple-array', ...nullable },
    bytes: { type: bytes, ...nullable },
  },
  relations: { parent: { type: 'many-to-one', target: 'Thing', nullable: true, onDelete: 'CASCADE' } },
})
enableSync(Thing, '/thingChanges')

let todo: Todo
beforeAll(async () => {
  todo = await startTodo({ entities: [Thing] })
})
afterAll(() => todo.stop())

const PROPERTIES = [
  ...Object.keys(Thing.options.columns),
  'parent',
  '_removed',
  '_partial',
  '_lastChange',
  '__proto__',
  'constructor',
  'x"y',
]
const deep = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)
const NASTY: unknown[] = [
  ...[
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud800',
    'a\udc00',
    '\u{10ffff}',
    '\ufeff',
    '\u202e',
    '١٢٣',
    "'; DROP TABLE thing; --",
    '\\',
    '\\0',
    '{}',
    '{',
    '{NULL}',
  ],
  ...[
    'null',
    'NaN',
    'Infinity',
    '-Infinity',
    '-0',
    '0x10',
    '1e5',
    '1e400',
    '9'.repeat(400),
    '99999999999.99',
    '0.005',
    '+1',
    '1_000',
    'true',
    't',
  ],
  ...[
    '2026-02-30',
    '0000-00-00',
    '-0001-01-01',
    '99999-01-01',
    '2026-12-24T25:00:00Z',
    '2026-12-24T10:00:00+99:00',
    'infinity',
    'now',
    'today',
    'BC',
  ],
  ...['24:00', '23:59:60', '99:99', '-1:00', 'AAAA', 'A', '====', 'x'.repeat(300), 'x'.repeat(70_000), '💩'.repeat(11)],
  ...[0, -0, 1, -1, 0.1, 1e21, 1e308, -1e308, 5e-324, 32_768, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 253_402_300_800_000, 1e15],
  ...[true, false, null, [], {}, [null], { $ne: '' }, { id: 'a' }, ['a'], deep(90), deep(400), { '': { '\0': '\ud800' } }, { length: 1 }],
]
const nasty = fc.oneof(fc.constantFrom(...NASTY), fc.jsonValue(), fc.string({ unit: 'binary' }))
const row = fc
  .tuple(fc.oneof(fc.constantFrom('a', 'b', 'c', 'A'), nasty), fc.array(fc.tuple(fc.constantFrom(...PROPERTIES), nasty), { maxLength: 5 }))
  .map(
    ([id, pairs]) =>
      `{"id":${JSON.stringify(id)}${pairs.map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`).join('')}}`,
  )

test('whatever is pushed is stored, or rejected by row and property', async () => {
  const reached = new Set<number>()
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 4 }), fc.constantFrom('', '?since=0', '?since=9007199254740991'), async (rows, query) => {
      const before = await todo.dump()
      const { status, json, text, headers } = await todo.post(`/thingChanges${query}`, `[${rows.join(',')}]`)
      reached.add(status)
      if (![200, 409, 422].includes(status) || todo.errors.length) throw new Error(`${status} ${text} ${todo.errors}`)
      if (status === 200) return
      expect(headers['content-type']).toMatch(/^application\/problem\+json\b/)
      expect(json.status).toBe(status)
      if (status === 422) expect(json.errors.length).toBeGreaterThan(0)
      expect(await todo.dump()).toBe(before)
    }),
    { numRuns: serverKind === 'sqlite' ? 600 : 200 },
  )
  expect(reached).toEqual(new Set([200, 409, 422]))
  // and every client can read what was stored
  const { status, json } = await todo.get('/thingChanges')
  expect({ status, errors: todo.errors }).toEqual({ status: 200, errors: [] })
  expect(await todo.post(`/thingChanges?since=${json.now}`, json.updates)).toMatchObject({ status: 200, json: { now: json.now } })
})

test('whatever is asked is answered, or a bad question', async () => {
  const value = fc.oneof(
    fc.constantFrom('', '0', '1', '-1', '1e3', '9007199254740991', '9007199254740992', 'null', '\0', '\ud800', 'x'.repeat(5_000)),
    nasty.map(v => Buffer.from(JSON.stringify([1, v, null])).toString('base64url')),
    fc.tuple(nasty, nasty, nasty).map(v => Buffer.from(JSON.stringify(v)).toString('base64url')),
    fc.string({ unit: 'binary', maxLength: 50 }),
  )
  const name = fc.constantFrom('since', 'limit', 'after', 'min', 'collection', 'seen', 'idempotency-key', 'since[]', '_', '__proto__')
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, value), { maxLength: 4 }), fc.constantFrom('GET', 'HEAD', 'POST'), async (pairs, method) => {
      const query = pairs.map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v.replace(/\p{Surrogate}/gu, '?'))}`).join('&')
      const body = method === 'POST' ? { body: '[]', headers: { 'Content-Type': 'application/json' } } : {}
      const { status } = await todo.ask(`/thingChanges?${query.slice(0, 10_000)}`, { method, ...body })
      if (![200, 400, 409].includes(status) || todo.errors.length) throw new Error(`${status} ${todo.errors}`)
    }),
    { numRuns: 300 },
  )
})
