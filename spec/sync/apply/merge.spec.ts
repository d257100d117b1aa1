// The three-way merge of one row, as a table of decisions, and its laws over random rows.

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { WireRow } from '../../../src/protocol/messages.js'
import { isSameRow, merge } from '../../../src/sync/apply/merge.js'

const row = (title: string, done: boolean): WireRow => ({ title, done })
const [old, mine, other] = [row('old', false), row('mine', false), row('other', false)]

type Side = WireRow | null

describe('what both sides know, our side, the server’s side: what becomes of the row', () => {
  test.each<[what: string, base: Side | undefined, local: Side, remote: Side, value: Side, properties: string[] | 'existence']>([
    ['nothing changed', old, old, old, old, []],
    ['changed here', old, mine, old, mine, []],
    ['changed there', old, old, other, other, []],
    ['changed alike', old, mine, mine, mine, []],
    ['changed each in its own way', old, mine, other, mine, ['title']],
    ['different properties changed', old, row('mine', false), row('old', true), row('mine', true), []],
    ['one property contested, one changed there', old, row('mine', false), row('other', true), row('mine', true), ['title']],
    ['all properties contested', old, row('mine', true), row('other', 2 as never), row('mine', true), ['title', 'done']],

    ['removed on both sides', old, null, null, null, []],
    ['removed here, unchanged there', old, null, old, null, []],
    ['removed there, unchanged here', old, old, null, null, []],
    ['removed here, changed there', old, null, other, null, 'existence'],
    [
      'removed here, and there is a value of which the known version says nothing',
      { title: 'old' },
      null,
      row('old', true),
      null,
      'existence',
    ],
    ['removed here, and there is a property without a value', { title: 'old' }, null, { title: 'old', done: null }, null, []],
    ['removed there, changed here', old, mine, null, mine, 'existence'],

    ['made here', null, mine, null, mine, []],
    ['made there', null, null, other, other, []],
    ['made alike on both sides', null, mine, mine, mine, []],
    ['made on both sides, each in its own way', null, mine, other, mine, ['title']],
    ['made and removed here, of which nothing was heard', null, null, null, null, []],

    ['nothing is known, here alone', undefined, mine, null, mine, 'existence'],
    ['nothing is known, there alone', undefined, null, other, null, 'existence'],
    ['nothing is known, alike', undefined, mine, mine, mine, []],
    ['nothing is known, different', undefined, mine, other, mine, ['title']],
    ['nothing is known, on neither side', undefined, null, null, null, []],

    ['the server’s row lacks a property', old, row('mine', true), { title: 'old' }, row('mine', true), []],
    ['our row lacks a property', old, { title: 'old' }, row('old', true), row('old', true), []],
    ['the known version lacks a property', { title: 'old' }, row('old', false), row('old', true), row('old', false), ['done']],
    [
      'a value was set to null here',
      { done: null, title: 'old' },
      { done: null, title: null },
      { done: true, title: 'old' },
      { done: true, title: null },
      [],
    ],
  ])('%s', (_, base, local, remote, value, contested) => {
    const isExistence = contested === 'existence'
    const properties = isExistence ? [] : contested
    expect(merge(base, local, remote)).toEqual({ value, properties, isContested: isExistence || properties.length > 0 })
  })
})

describe('of a property that changes by itself the later value counts', () => {
  const isAutomatic = (property: string) => property === 'at'
  test.each<[base: unknown, local: unknown, remote: unknown, value: unknown]>([
    [1, 2, 3, 3],
    [1, 3, 2, 3],
    [1, 1, 2, 2],
    // a value that was put back on one side alone is no contest
    [3, 1, 3, 1],
    ['2020-01-01T00:00:00.000Z', '2020-01-02T00:00:00.000Z', '2020-01-03T00:00:00.000Z', '2020-01-03T00:00:00.000Z'],
    [1, null, 2, 2],
    [1, 2, null, 2],
    [1, -2, null, -2],
    [1, null, -2, -2],
  ])('%j: %j here, %j there', (base, local, remote, value) => {
    const merged = merge({ at: base } as WireRow, { at: local } as WireRow, { at: remote } as WireRow, isAutomatic)
    expect(merged).toEqual({ value: { at: value }, properties: [], isContested: false })
  })

  test('and another property is contested all the same', () => {
    const merged = merge({ at: 1, title: 'old' }, { at: 2, title: 'mine' }, { at: 3, title: 'other' }, isAutomatic)
    expect(merged).toEqual({ value: { at: 3, title: 'mine' }, properties: ['title'], isContested: true })
  })
})

describe('over random rows', () => {
  const value = fc.constantFrom<WireRow[string]>(null, 0, 1, 'a', 'b', true, [1], { x: 1 })
  const someRow = fc.dictionary(fc.constantFrom('p', 'q', 'r'), value) as fc.Arbitrary<WireRow>
  const wholeRow = fc.record({ p: value, q: value, r: value }) as fc.Arbitrary<WireRow>
  const side = fc.option(wholeRow, { nil: null })
  const known = fc.option(side, { nil: undefined })
  const law = <T extends unknown[]>(arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> }, holds: (...values: T) => void) =>
    fc.assert(
      fc.property(fc.tuple(...arbitraries), values => holds(...(values as T))),
      { numRuns: 3_000 },
    )

  test('a row that is as it was known gives way to the other side', () =>
    law<[Side, Side]>([side, side], (base, changed) => {
      const agreed = { properties: [], isContested: false }
      expect(merge(base, base, changed)).toEqual({ ...agreed, value: changed })
      expect(merge(base, changed, base)).toEqual({ ...agreed, value: changed })
    }))

  test('equal sides are never contested', () =>
    law<[Side | undefined, Side]>([known, side], (base, both) =>
      expect(merge(base, both, both)).toEqual({ value: both, properties: [], isContested: false }),
    ))

  test('what is contested does not depend on which side is ours', () =>
    law<[Side | undefined, Side, Side]>([known, side, side], (base, x, y) => {
      const [one, other] = [merge(base, x, y), merge(base, y, x)]
      expect([one.isContested, new Set(one.properties)]).toEqual([other.isContested, new Set(other.properties)])
      if (!one.isContested) expect(one.value).toEqual(other.value)
    }))

  test('each property is of one of the sides: the contested ones are ours, and changed on both', () =>
    law<[WireRow, WireRow, WireRow]>([someRow, someRow, someRow], (base, local, remote) => {
      const merged = merge(base, local, remote)
      expect(new Set(Object.keys(merged.value as WireRow))).toEqual(new Set([...Object.keys(local), ...Object.keys(remote)]))
      for (const [p, v] of Object.entries(merged.value as WireRow)) {
        expect([local, remote].some(row => Object.hasOwn(row, p) && isSameRow({ p: row[p] as never }, { p: v }))).toBe(true)
        if (!merged.properties.includes(p)) continue
        expect(v).toEqual(local[p])
        expect(isSameRow({ p: local[p] as never }, { p: remote[p] as never })).toBe(false)
      }
    }))

  test('no change of one side alone is lost', () =>
    law<[WireRow, WireRow, WireRow]>([wholeRow, wholeRow, wholeRow], (base, local, remote) => {
      const merged = merge(base, local, remote).value as WireRow
      for (const p of Object.keys(base)) {
        const isMine = !isSameRow({ p: local[p] as never }, { p: base[p] as never })
        const isTheirs = !isSameRow({ p: remote[p] as never }, { p: base[p] as never })
        if (isMine !== isTheirs) expect(merged[p]).toEqual((isMine ? local : remote)[p])
      }
    }))

  test('a merge that is merged again changes nothing', () =>
    law<[Side | undefined, Side, Side]>([known, side, side], (base, local, remote) => {
      const { value } = merge(base, local, remote)
      expect(merge(base, value, value).value).toEqual(value)
      // it is known to both now
      expect(merge(value, value, value)).toEqual({ value, properties: [], isContested: false })
    }))
})

describe('two versions are the same', () => {
  test.each<[Side, Side, boolean]>([
    [null, null, true],
    [null, {}, false],
    [{ a: 1 }, { a: 1 }, true],
    [{ a: 1 }, { a: 2 }, false],
    [{ a: 1 }, { a: null }, false],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, true],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, false],
    // a property that is absent says nothing
    [{ a: 1, b: 2 }, { a: 1 }, true],
    [{ a: 1 }, { a: 1, b: 2 }, true],
  ])('%j and %j: %j', (x, y, isSame) => {
    expect(isSameRow(x, y)).toBe(isSame)
    expect(isSameRow(y, x)).toBe(isSame)
  })
})

describe('properties that are one value together', () => {
  const base = { shop: 's', number: 1, note: 'old' }
  const cases: [title: string, local: object, remote: object, value: object, contested: string[]][] = [
    ['each side another part', { shop: 't' }, { number: 2 }, { shop: 't', number: 1 }, ['number', 'shop']],
    ['one side, and something else on the other', { shop: 't', number: 2 }, { note: 'new' }, { shop: 't', number: 2, note: 'new' }, []],
    ['both sides, the same', { shop: 't', number: 2 }, { shop: 't', number: 2 }, { shop: 't', number: 2 }, []],
    ['one side a part of what the other one changed', { shop: 't' }, { shop: 't', number: 2 }, { shop: 't', number: 1 }, ['number']],
  ]
  test.each(cases)('%s', (_, local, remote, value, contested) => {
    const merged = merge(base, { ...base, ...local }, { ...base, ...remote }, undefined, [['shop', 'number']])
    expect([merged.value, [...merged.properties].sort()]).toEqual([{ ...base, ...value }, contested])
  })
})
