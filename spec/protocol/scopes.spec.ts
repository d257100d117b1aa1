// What travels of scopes: sets of keys by name, and rows that a caller does not see any more.

import { describe, expect, test } from '@jest/globals'
import { readPullAnswer, readPushAnswer, readStaleAnswer } from '../../src/protocol/answers.js'
import { BadRequestError, MalformedAnswerError } from '../../src/protocol/errors.js'
import { readFeedAnswer, readFeedPushAnswer, readFeedStaleAnswer } from '../../src/protocol/feedAnswers.js'
import { writeUpdate } from '../../src/protocol/messages.js'
import { readFeedPushQuery, readFeedQuery, readPullQuery, readPushQuery } from '../../src/protocol/queries.js'
import { readUpdates } from '../../src/protocol/updates.js'

const LONGEST = 'x'.repeat(100)

describe('a request', () => {
  test.each([readPullQuery, readFeedQuery, readPushQuery, readFeedPushQuery])('names the set that is held, or none (%p)', read => {
    for (const scope of ['', 'a', LONGEST]) expect(read({ scope })).toMatchObject({ scope })
    expect(read({})).not.toHaveProperty('scope')
    for (const scope of [`${LONGEST}x`, ['a', 'b']]) expect(() => read({ scope })).toThrow(BadRequestError)
    expect(() => read({ Scope: 'a' })).toThrow('write scope=')
  })
})

describe('an answer', () => {
  const stored = { status: 'ok', now: 5 }
  test.each([
    [readPullAnswer, { now: 5, updates: [] }],
    [readFeedAnswer, { now: 5, changes: {}, collection: 'c' }],
    [readPushAnswer, stored],
    [readFeedPushAnswer, stored],
    [readStaleAnswer, { reset: 'scope-changed' }],
    [readFeedStaleAnswer, { reset: 'scope-changed' }],
  ])('names the set of the caller (%p)', (read, body) => {
    for (const scope of ['a', LONGEST]) expect(read({ ...body, scope })).toMatchObject({ scope })
    expect(read({ ...body, scope: null })).not.toHaveProperty('scope')
    for (const scope of ['', `${LONGEST}x`, 7, ['a']]) expect(() => read({ ...body, scope })).toThrow(MalformedAnswerError)
  })

  test('that is full says of which collections the caller sees a part', () => {
    const said = { now: 5, full: true, scoped: ['/a'] }
    expect(readPullAnswer({ ...said, updates: [] })).toEqual({ ...said, updates: [] })
    expect(readFeedAnswer({ ...said, changes: {}, collection: 'c' })).toMatchObject(said)
    for (const scoped of ['/a', [1], {}]) expect(() => readPullAnswer({ now: 5, updates: [], scoped })).toThrow(MalformedAnswerError)
  })

  test.each(['scope-unknown', 'scope-changed'])('may begin anew: %s', reset =>
    expect(readPullAnswer({ now: 5, updates: [], reset })).toMatchObject({ reset }),
  )
})

describe('a row that the caller does not see any more', () => {
  test('travels as a removal that says so', () => {
    const row = { id: 'a', _removed: true, _left: true, _lastChange: 4 }
    expect(readUpdates([row], 'updates')).toEqual([{ id: 'a', value: null, stamp: 4, left: true }])
    expect(writeUpdate({ id: 'a', value: null, stamp: 4, left: true })).toEqual(row)
    expect(writeUpdate({ id: 'a', value: null, stamp: 4 })).toEqual({ id: 'a', _removed: true, _lastChange: 4 })
  })

  test('of a row that is there, or that was removed, the mark means nothing', () => {
    const shown = { id: 'a', _left: true, text: 'here' }
    expect(readUpdates([shown], 'updates')).toEqual([{ id: 'a', value: shown }])
    for (const _left of [false, 0, null])
      expect(readUpdates([{ id: 'a', _removed: true, _left }], 'updates')).toEqual([{ id: 'a', value: null }])
    expect(() => readUpdates([{ id: 'a', _removed: true, _left: 'yes' }], 'updates')).toThrow(MalformedAnswerError)
  })
})
