import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { isStaleAnswer, readPullAnswer, readPushAnswer, readStaleAnswer } from '../../src/protocol/answers.js'
import { BadRequestError, MalformedAnswerError } from '../../src/protocol/errors.js'
import { readPushedRows } from '../../src/protocol/pushedRows.js'
import { readPullQuery, readPushQuery } from '../../src/protocol/queries.js'
import { readRejections } from '../../src/protocol/rejections.js'

const parse = (text: string): unknown => JSON.parse(text)

describe('an answer to a GET', () => {
  test("a server of 2011 sends now and updates alone, numbers for ids, SQLite's 1 for true, and no stamps", () => {
    const body = parse(
      '{"now": 1279888110421.0, "updates": [{"id": 7, "name": "Milk"}, {"id": "B", "_removed": 1}, {"id": "C", "_removed": 0}]}',
    )
    expect(readPullAnswer(body)).toEqual({
      now: 1279888110421,
      updates: [
        { id: '7', value: { id: '7', name: 'Milk' } },
        { id: 'B', value: null },
        { id: 'C', value: { id: 'C', _removed: 0 } },
      ],
    })
  })

  test('a server of today sends more', () => {
    const said = { now: 5, collection: 'c', next: 'n', full: true, reset: 'since-too-old' }
    const row = { id: 'A', name: 'Milk', _lastChange: 4 }
    expect(readPullAnswer({ ...said, updates: [row], hint: 'ignored' })).toEqual({ ...said, updates: [{ id: 'A', value: row, stamp: 4 }] })
  })

  test('rows are not copied', () => {
    const row = { id: 'A' }
    expect(readPullAnswer({ now: 1, updates: [row] }).updates[0]?.value).toBe(row)
  })

  test('null says the same as absent', () => {
    const said = { now: 5, updates: [], collection: null, next: null, full: null, reset: null }
    expect(readPullAnswer(said)).toEqual({ now: 5, updates: [] })
  })

  test.each([1.5, -1, '4', null, 2 ** 53])('%p is no stamp of a row, so it has none', stamp =>
    expect(readPullAnswer({ now: 5, updates: [{ id: 'A', _lastChange: stamp }] }).updates[0]).not.toHaveProperty('stamp'),
  )

  test.each([
    null,
    undefined,
    'text',
    3,
    [],
    [{ now: 1, updates: [] }],
    {},
    { updates: [] },
    ...[null, '5', -1, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, true, [5], {}].map(now => ({ now, updates: [] })),
    { now: 5 },
    ...[null, {}, 'x', 0].map(updates => ({ now: 5, updates })),
    ...[null, [], 'A', {}, { id: null }, { id: {} }, { id: 1.5 }, { id: ['A'] }, { id: true }].map(row => ({
      now: 5,
      updates: [{ id: 'A' }, row],
    })),
    { now: 5, updates: [{ id: 'A', _removed: 'no' }] },
    ...['', 7, {}].flatMap(text => [
      { now: 5, updates: [], next: text },
      { now: 5, updates: [], collection: text },
    ]),
    { now: 5, updates: [], full: 1 },
    { now: 5, updates: [], reset: 'because' },
    { now: 5, updates: [], reset: true },
    parse('{"__proto__": {"now": 5, "updates": []}}'),
    Object.create({ now: 5, updates: [] }),
  ])('%j is none', body => expect(() => readPullAnswer(body)).toThrow(MalformedAnswerError))

  test.each(['a\0b', '\ud800', 'a\udc00'])('an id that no database stores is none: %j', id =>
    expect(() => readPullAnswer({ now: 5, updates: [{ id }] })).toThrow('the id of updates[0]'),
  )

  test('a row may not reach a prototype', () => {
    const { updates } = readPullAnswer(parse('{"now": 5, "updates": [{"id": "A", "__proto__": {"_removed": true, "polluted": 1}}]}'))
    expect(updates[0]?.value).not.toBeNull()
    expect(({} as any).polluted).toBeUndefined()
    expect(() => readPullAnswer(parse('{"now": 5, "updates": [{"__proto__": {"id": "A"}}]}'))).toThrow('updates[0] has no id')
  })
})

describe('an answer to a POST', () => {
  test.each([
    [{ status: 'ok', now: 5 }, {}],
    [{ status: 'ok', now: 5, since: 5 }, { since: 5 }],
    [
      { status: 'ok', now: 5, since: 0, empty: true },
      { since: 0, empty: true },
    ],
    [{ status: 'ok', now: 5, since: null, empty: false, replayed: false, ignored: null, more: 1 }, {}],
    [{ status: 'ok', now: 5, replayed: true }, { replayed: true }],
    [{ status: 'ok', now: 5, ignored: ['priority'] }, { ignored: ['priority'] }],
  ])('%j is one', (body, more) => expect(readPushAnswer(body)).toEqual({ status: 'ok', now: 5, ...more }))

  test.each([
    null,
    [],
    { now: 5 },
    { status: 'OK', now: 5 },
    { status: 'error', now: 5 },
    { status: 'ok' },
    { status: 'ok', now: '5' },
    { status: 'ok', now: 5, since: '4' },
    { status: 'ok', now: 5, since: 6 },
    { now: 5, updates: [] },
    { status: 'ok', now: 5, ignored: 'priority' },
    { status: 'ok', now: 5, ignored: [1] },
  ])('%j is none', body => expect(() => readPushAnswer(body)).toThrow(MalformedAnswerError))
})

describe('the answer that a push came too late', () => {
  test('contested rows and now', () => {
    expect(readStaleAnswer({ title: 'Conflict', now: 5, updates: [{ id: 'A', _removed: true, _lastChange: 5 }] })).toEqual({
      now: 5,
      updates: [{ id: 'A', value: null, stamp: 5 }],
    })
  })

  test('a reset need not say more', () => {
    expect(readStaleAnswer({ reset: 'collection-changed' })).toEqual({ now: 0, updates: [], reset: 'collection-changed' })
    expect(readStaleAnswer({ reset: 'since-too-old', now: 7, updates: [] })).toEqual({ now: 7, updates: [], reset: 'since-too-old' })
  })

  test.each([{ now: 5 }, { updates: [] }, { reset: 'because' }, { reset: 'since-too-old', now: '7' }])('%j is none', body =>
    expect(() => readStaleAnswer(body)).toThrow(MalformedAnswerError),
  )

  test.each([
    [{ updates: [] }, true],
    [{ reset: null }, true],
    [{ title: 'Conflict', now: 5 }, false],
    [null, false],
    [[], false],
    [undefined, false],
  ])('%j: ours? %p', (body, ours) => expect(isStaleAnswer(body)).toBe(ours))
})

describe('rejected rows', () => {
  test('are named', () => {
    const errors = [
      { id: 'A', property: 'name', code: 'not-unique', detail: 'is taken', more: 1 },
      { id: '' },
      { id: 7, code: 4, property: 1 },
    ]
    expect(readRejections({ title: 'No', errors })).toEqual([
      { id: 'A', property: 'name', code: 'not-unique', detail: 'is taken' },
      { id: '', code: 'not-valid', detail: '' },
      { id: '7', code: 'not-valid', detail: '' },
    ])
  })

  // JSON:API, for one, has errors too
  test.each([
    null,
    [],
    'x',
    {},
    { errors: {} },
    { errors: [] },
    { errors: [null] },
    { errors: [{ id: 'A' }, { status: '422', title: 'No' }] },
  ])('%j names none', body => expect(readRejections(body)).toBeUndefined())
})

describe('the rows of a POST', () => {
  test('whole rows, parts and removals', () => {
    const [whole, part, removed] = [
      { id: 'A', name: 'Milk', _lastChange: 1, _removed: false },
      { id: 'B', name: 'Bread', _partial: true },
      { id: 'C', _removed: true, _partial: true },
    ]
    const { rows, rejections } = readPushedRows([whole, part, removed])
    expect(rejections).toEqual([])
    expect(rows).toEqual([
      { id: 'A', value: whole, partial: false },
      { id: 'B', value: part, partial: true },
      { id: 'C', value: null, partial: false },
    ])
    expect(rows[0]?.value).toBe(whole)
  })

  test('none at all', () => expect(readPushedRows([])).toEqual({ rows: [], rejections: [] }))

  test.each([null, undefined, {}, 'x', 5, { 0: { id: 'A' }, length: 1 }, [null], [[]], ['A'], [{ id: 'A' }, 5]])(
    '%j is no array of rows',
    body => expect(() => readPushedRows(body)).toThrow(BadRequestError),
  )

  const [longest, longestOfPairs] = ['x'.repeat(255), '🙂'.repeat(255)]
  test.each(['A', ' ', '0', longest, longestOfPairs, '__proto__', 'constructor', '\uffff', 'x\u{10ffff}', "';--"])('%j is an id', id => {
    expect(readPushedRows([{ id }])).toEqual({ rows: [{ id, value: { id }, partial: false }], rejections: [] })
  })

  test.each<[unknown, string]>([
    [undefined, ''],
    [null, ''],
    [7, ''],
    [{}, ''],
    [['A'], ''],
    [true, ''],
    ...['', `${longest}x`, `${longestOfPairs}x`, 'x'.repeat(10_000), 'a\0b', '\ud83d', 'a\ude42b', '\u{10ffff}', '\u{10ffff}a'].map(
      (id): [string, string] => [id, id],
    ),
  ])('%j is no id', (id, named) => {
    const { rows, rejections } = readPushedRows([{ id, name: 'Milk' }, { id: 'B' }])
    expect(rejections).toEqual([{ id: named, code: 'bad-id', detail: expect.stringMatching(/^The id of row 0 .*\.$/) }])
    expect(rows.map(row => row.id)).toEqual(['B'])
  })

  test('an id from a prototype is none', () => {
    expect(readPushedRows(parse('[{"__proto__": {"id": "A"}}]')).rejections).toMatchObject([{ code: 'bad-id' }])
    expect(readPushedRows(parse('[{"id": "A", "__proto__": {"_removed": true}}]')).rows[0]?.value).not.toBeNull()
  })

  test('an id that comes twice is rejected once, however often it comes; case matters', () => {
    const { rows, rejections } = readPushedRows([
      { id: 'A' },
      { id: 'a' },
      { id: 'A', _removed: true },
      { id: 'A' },
      { id: 'B' },
      { id: 'A' },
    ])
    expect(rejections).toEqual([{ id: 'A', code: 'duplicate-id', detail: expect.any(String) }])
    expect(rows.map(row => row.id)).toEqual(['A', 'a', 'B'])
  })

  test('what comes twice and is the same is one row', () => {
    const removal = { id: 'A', _removed: true }
    const rows = [removal, { ...removal, name: 'of no importance' }, { id: 'B', name: 'b' }, { id: 'B', name: 'b' }]
    expect(readPushedRows(rows)).toEqual({
      rows: [
        { id: 'A', value: null, partial: false },
        { id: 'B', value: { id: 'B', name: 'b' }, partial: false },
      ],
      rejections: [],
    })
    for (const other of [
      { id: 'B' },
      { id: 'B', name: 'c' },
      { id: 'B', name: 'b', _partial: true },
      { id: 'B', name: 'b', _removed: true },
    ])
      expect(readPushedRows([{ id: 'B', name: 'b' }, other]).rejections).toMatchObject([{ id: 'B', code: 'duplicate-id' }])
  })

  test.each(['_removed', '_partial'])('%s is true or false and nothing else', property => {
    for (const bypassCapture of [null, 1, 0, 'true', [], {}]) {
      const rejection = { id: 'A', property, code: 'not-valid', detail: expect.any(String) }
      expect(readPushedRows([{ id: 'A', [property]: bypassCapture }])).toEqual({ rows: [], rejections: [rejection] })
    }
  })

  test('whatever comes, it is rows, rejections or a bad request', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), fc.array(fc.record({ id: fc.jsonValue(), _removed: fc.jsonValue() }, { requiredKeys: [] }))),
        body => {
          try {
            const { rows, rejections } = readPushedRows(body)
            expect(new Set(rows.map(row => row.id)).size).toBe(rows.length)
            expect(rows.length + rejections.length).toBeLessThanOrEqual((body as unknown[]).length)
          } catch (error) {
            expect(error).toBeInstanceOf(BadRequestError)
          }
        },
      ),
    )
  })
})

describe('a query', () => {
  test.each([
    [{}, { since: 0 }],
    [{ since: '' }, { since: 0 }],
    [{ since: 'null' }, { since: 0 }],
    [{ since: '0' }, { since: 0 }],
    [{ since: '1279888110373' }, { since: 1279888110373 }],
    [{ since: '9007199254740991' }, { since: Number.MAX_SAFE_INTEGER }],
    [
      { since: '1', limit: '5', min: '7', after: 'token', collection: 'c', other: ['x', 'y'] },
      { since: 1, limit: 5, min: 7, after: 'token', collection: 'c' },
    ],
    [Object.assign(Object.create(null), { since: '3' }), { since: 3 }],
    [Object.create({ since: '3' }), { since: 0 }],
  ])('%j', (query, expected) => expect(readPullQuery(query)).toEqual(expected))

  test('a name that looks like one of the protocol’s is none of the others', () => {
    expect(readPullQuery({ since: '1', _: '2', 'a[]': ['3', '4'], sincere: '5' })).toEqual({ since: 1 })
    for (const name of ['since[]', 'since[$gt]', 'SINCE', ' since', 'limit[0]', 'collection[]', 'Idempotency-Key', 'seen.x'])
      for (const read of [readPullQuery, readPushQuery]) expect(() => read({ [name]: '1' })).toThrow(BadRequestError)
  })

  const noNumbers = ['1e3', '0x10', '-1', '+1', '1.0', ' 1', '1 ', '1,2', 'x', 'NaN', 'Infinity', '９', '9007199254740992', '9'.repeat(400)]
  test.each(noNumbers)('%j is no number', text => {
    for (const name of ['since', 'limit', 'min']) expect(() => readPullQuery({ [name]: text })).toThrow(BadRequestError)
    expect(() => readPushQuery({ since: text })).toThrow(BadRequestError)
  })

  test.each(['since', 'limit', 'min', 'after', 'collection'])('%s may not come twice', name =>
    expect(() => readPullQuery({ [name]: ['1', '1'] })).toThrow(`${name} is given more than once.`),
  )

  test.each([{ limit: '0' }, { limit: '' }, { limit: 'null' }, { min: '' }, { since: {} as string }])('%j is bad', query =>
    expect(() => readPullQuery(query)).toThrow(BadRequestError),
  )

  test('a bad request has its status', () => expect(new BadRequestError('No.')).toMatchObject({ status: 400, code: 'bad-request' }))

  test('of a POST: without since the last write wins', () => {
    expect(readPushQuery({})).toEqual({})
    expect(readPushQuery({ since: '0', collection: 'c' })).toEqual({ since: 0, collection: 'c' })
    expect(readPushQuery({ since: 'null' })).toEqual({ since: 0 })
    expect(readPushQuery({ 'idempotency-key': 'k' })).toEqual({ key: 'k' })
  })
})
