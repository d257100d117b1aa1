import { describe, expect, test } from '@jest/globals'
import { BadRequestError, MalformedAnswerError } from '../../src/protocol/errors.js'
import { isFeedStaleAnswer, readFeedAnswer, readFeedPushAnswer, readFeedStaleAnswer } from '../../src/protocol/feedAnswers.js'
import { readFeedGroups } from '../../src/protocol/pushedRows.js'
import { readFeedPushQuery, readFeedQuery } from '../../src/protocol/queries.js'
import { readRejections } from '../../src/protocol/rejections.js'

const milk = { id: 'milk', name: 'Buy milk', _lastChange: 4 }

describe('an answer of the feed', () => {
  test('has the updates of each collection by its path', () => {
    expect(
      readFeedAnswer({ now: 5, collection: 'c', changes: { '/taskChanges': [milk, { id: 7, _removed: true, _lastChange: 5 }] } }),
    ).toEqual({
      now: 5,
      collection: 'c',
      changes: new Map([
        [
          '/taskChanges',
          [
            { id: 'milk', value: milk, stamp: 4 },
            { id: '7', value: null, stamp: 5 },
          ],
        ],
      ]),
    })
  })

  test('has what is unknown, and what is no longer ignored', () => {
    const said = { now: 5, collection: 'c', next: 'n', full: true, reset: 'since-too-old', unknown: ['/colorChanges'] }
    expect(readFeedAnswer({ ...said, changes: {}, properties: { '/taskChanges': ['color'] }, hint: 1 })).toEqual({
      ...said,
      changes: new Map(),
      properties: new Map([['/taskChanges', ['color']]]),
    })
    expect(readFeedAnswer({ now: 5, collection: 'c', changes: {}, properties: null })).toEqual({
      now: 5,
      collection: 'c',
      changes: new Map(),
    })
  })

  test.each<[string, unknown]>([
    ['no object', []],
    ['no id of the history', { now: 5, changes: {} }],
    ['no now', { collection: 'c', changes: {} }],
    ['no changes', { now: 5, collection: 'c' }],
    ['changes that are an array', { now: 5, collection: 'c', changes: [] }],
    ['a group that is no array', { now: 5, collection: 'c', changes: { '/taskChanges': {} } }],
    ['a row without an id', { now: 5, collection: 'c', changes: { '/taskChanges': [{}] } }],
    ['a group that a prototype has', { now: 5, collection: 'c', changes: JSON.parse('{"__proto__": 1}') }],
    ['an unknown that is no list', { now: 5, collection: 'c', changes: {}, unknown: '/taskChanges' }],
    ['properties that are a list', { now: 5, collection: 'c', changes: {}, properties: ['color'] }],
    ['a property that is no text', { now: 5, collection: 'c', changes: {}, properties: { '/taskChanges': [1] } }],
  ])('is not believed with %s', (_, body) => {
    expect(() => readFeedAnswer(body)).toThrow(MalformedAnswerError)
  })

  test('an error names the group', () => {
    expect(() => readFeedAnswer({ now: 5, collection: 'c', changes: { '/taskChanges': [milk, {}] } })).toThrow(
      'changes[/taskChanges][1] has no id',
    )
  })
})

describe('an answer to a POST to the feed', () => {
  test('names what was ignored by path', () => {
    expect(
      readFeedPushAnswer({ status: 'ok', now: 5, since: 4, ignored: { '/taskChanges': ['color'] }, replayed: true, empty: true }),
    ).toEqual({
      status: 'ok',
      now: 5,
      since: 4,
      ignored: new Map([['/taskChanges', ['color']]]),
      replayed: true,
      empty: true,
    })
    expect(readFeedPushAnswer({ status: 'ok', now: 5 })).toEqual({ status: 'ok', now: 5 })
  })

  test.each([
    [{ now: 5 }],
    [{ status: 'ok' }],
    [{ status: 'ok', now: 5, since: 6 }],
    [{ status: 'ok', now: 5, ignored: ['color'] }],
    [{ status: 'ok', now: 5, ignored: { '/taskChanges': 'color' } }],
  ])('is not believed: %j', body => {
    expect(() => readFeedPushAnswer(body)).toThrow(MalformedAnswerError)
  })

  test('or the contested rows by path', () => {
    expect(readFeedStaleAnswer({ now: 5, collection: 'c', changes: { '/taskChanges': [milk] } })).toEqual({
      now: 5,
      changes: new Map([['/taskChanges', [{ id: 'milk', value: milk, stamp: 4 }]]]),
    })
    expect(readFeedStaleAnswer({ reset: 'collection-changed' })).toEqual({ now: 0, changes: new Map(), reset: 'collection-changed' })
    expect(() => readFeedStaleAnswer({ now: 5 })).toThrow(MalformedAnswerError)
    expect(() => readFeedStaleAnswer({ now: 5, updates: [] })).toThrow(MalformedAnswerError)
    expect([{ changes: {} }, { reset: 'x' }, { updates: [] }, {}, undefined, []].map(isFeedStaleAnswer)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ])
  })

  test('or why rows were rejected, and of which collection each is', () => {
    const rejection = { collection: '/taskChanges', id: 'milk', property: 'name', code: 'not-valid', detail: 'It is missing.' }
    expect(readRejections({ errors: [rejection, { ...rejection, collection: 7 }] })).toEqual([
      rejection,
      { ...rejection, collection: undefined },
    ])
  })
})

describe('a query of the feed', () => {
  test('asks about all collections, or some', () => {
    expect(readFeedQuery({})).toEqual({ since: 0 })
    expect(readFeedQuery({ since: '4', limit: '5', after: 'x', min: '6', collection: 'c', collections: '/a%2Cb,/c' })).toEqual({
      since: 4,
      limit: 5,
      after: 'x',
      min: 6,
      collection: 'c',
      collections: ['/a,b', '/c'],
    })
    expect(readFeedPushQuery({ since: '4', collection: 'c', collections: '/c', 'idempotency-key': 'k', seen: 'passed over' })).toEqual({
      since: 4,
      collection: 'c',
      collections: ['/c'],
      key: 'k',
    })
  })

  test('asks about properties by path; a path may have colons and commas', () => {
    expect(readFeedQuery({ properties: '/a:color,/v1:b%2C:size%2C,/a:size' }).properties).toEqual(
      new Map([
        ['/a', ['color', 'size']],
        ['/v1:b,', ['size,']],
      ]),
    )
  })

  test.each<[string, Record<string, string | string[]>]>([
    ['a path twice', { collections: '/a,/b,/a' }],
    ['no path', { collections: '' }],
    ['something that is no path', { collections: '/a,b' }],
    ['collections twice', { collections: ['/a', '/b'] }],
    ['collections written in another way', { Collections: '/a' }],
    ['a property without a path', { properties: 'color' }],
    ['a property without a name', { properties: '/a:' }],
    ['no property', { properties: '' }],
  ])('is rejected with %s', (_, query) => {
    expect(() => readFeedQuery(query)).toThrow(BadRequestError)
  })
})

test('a POST to the feed has rows by path', () => {
  expect(readFeedGroups({ changes: { '/a': [milk], '/b': [] } })).toEqual(
    new Map<string, unknown[]>([
      ['/a', [milk]],
      ['/b', []],
    ]),
  )
  expect(readFeedGroups({ changes: {} })).toEqual(new Map())
  for (const body of [
    undefined,
    null,
    'x',
    [],
    {},
    { changes: [] },
    { changes: null },
    { changes: { '/a': {} } },
    { changes: { '/a': null } },
  ])
    expect(() => readFeedGroups(body)).toThrow(BadRequestError)
})
