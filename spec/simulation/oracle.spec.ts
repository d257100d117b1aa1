// The oracle itself: where a database lacks a column there is nothing, and nothing has no ancestry of its own.

import { expect, test } from '@jest/globals'
import { type Cells, Oracle } from './oracle.js'

const row = (a: string, b: string | null, c: string) => ({ a, b, c }) as Cells

/** The relay R has made a row, and d1 has read it. The server U has made one as well, without b. */
function world() {
  const oracle = new Oracle(() => {})
  const token = (name: string, ...before: string[]) => oracle.token(name, ...before)
  const ofR = row(token('R'), token('R'), token('R'))
  const ofU = row(token('U'), null, token('U'))
  oracle.observe({ database: 'R', id: 'x', old: null, value: ofR, cause: 'application' })
  oracle.observe({ database: 'd1', id: 'x', old: null, value: ofR, cause: 'merge' })
  oracle.observe({ database: 'U', id: 'x', old: null, value: ofU, cause: 'application' })
  const takes = (database: string, old: Cells | { removed: string }, base: 'gone' | 'row') => () =>
    oracle.observe({ database, id: 'x', old, value: ofU, cause: 'merge', remote: ofU, base })
  /** R removes its row, which U has never had, and applies the one of U's. */
  const replace = (seen: Cells) => {
    const removed = { removed: token('Rr', seen.a, seen.b, seen.c) }
    oracle.observe({ database: 'R', id: 'x', old: seen, value: removed, cause: 'application' })
    takes('R', removed, 'gone')()
  }
  return { oracle, token, ofR, ofU, takes, replace }
}

test('a value may be absent if it was removed before the rest of the row came', () => {
  const { ofR, takes, replace } = world()
  replace(ofR)
  expect(takes('d1', ofR, 'row')).not.toThrow()
})

test('a value may not be absent if it was not removed', () => {
  const { ofR, ofU, takes } = world()
  expect(takes('d1', row(ofU.a, ofR.b, ofU.c), 'row')).toThrow(`lost ${ofR.b} of x on d1`)
})

test('nor where one stood that who removed the row had not seen', () => {
  const { token, ofR, takes, replace } = world()
  const edited = { ...ofR, b: token('d1', ofR.b) }
  replace(ofR)
  expect(takes('d1', edited, 'row')).toThrow(`lost ${edited.b} of x on d1`)
})

test('nor where the removal came before a part of the row alone', () => {
  const { oracle, token, ofR, ofU, replace } = world()
  replace(ofR)
  const value = { ...ofU, c: token('U') }
  const take = () => oracle.observe({ database: 'd1', id: 'x', old: { ...value, b: ofR.b }, value, cause: 'merge', remote: value })
  expect(take).toThrow(`lost ${ofR.b} of x on d1`)
})

test('who writes where nothing stood has seen what was removed before it', () => {
  const { oracle, token, ofR, ofU, replace } = world()
  const early = { ...ofU, b: token('d2') }
  oracle.observe({ database: 'd2', id: 'x', old: ofU, value: early, cause: 'application' })
  replace(ofR)
  const late = { ...ofU, b: token('d1') }
  oracle.observe({ database: 'd1', id: 'x', old: ofU, value: late, cause: 'application' })
  expect(oracle.isAfter(late.b, ofR.b)).toBe(true)
  expect(oracle.isAfter(early.b, ofR.b)).toBe(false)
})

test('so has a handler that chose between nothing and a value', () => {
  const { oracle, token, ofR, ofU, replace } = world()
  replace(ofR)
  const ofD2 = row(token('d2'), token('d2'), token('d2'))
  const value = { ...ofU, b: ofD2.b }
  oracle.observe({ database: 'd2', id: 'x', old: ofD2, value, cause: 'handler', remote: ofU })
  expect(oracle.isAfter(ofD2.b, ofR.b)).toBe(true)
})

test('a resolution to nothing discards the value that was seen, and none that came after it', () => {
  const { oracle, token, ofR, ofU, takes } = world()
  const edited = { ...ofU, b: token('d2', ofR.b) }
  oracle.discard(ofR, ofU)
  expect(takes('d1', row(ofU.a, ofR.b, ofU.c), 'row')).not.toThrow()
  expect(takes('d2', edited, 'row')).toThrow(`lost ${edited.b} of x on d2`)
})
