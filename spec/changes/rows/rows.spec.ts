import { expect, test } from '@jest/globals'
import { compareIds } from '../../../src/changes/rows/place.js'

test('ids are compared as databases do, byte by byte', () => {
  const ids = [
    '',
    'a',
    'ab',
    'b',
    'Z',
    'é',
    '\u{7ff}',
    '\u{800}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10000}',
    '\u{1f600}',
    '\u{1f601}',
    '\u{10ffff}',
  ]
  const all = [...ids, ...ids.map(id => `x${id}`), ...ids.map(id => `${id}\u{1f600}`)]
  for (const x of all)
    for (const y of all) expect([x, y, Math.sign(compareIds(x, y))]).toEqual([x, y, Buffer.compare(Buffer.from(x), Buffer.from(y))])
})
