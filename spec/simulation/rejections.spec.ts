import { expect, test } from '@jest/globals'
import { wronglyRejected } from './rejections.js'
import { WIDE_SCHEMAS } from './schemas.js'

const players = WIDE_SCHEMAS.find(s => s.name === 'mutual, loose')?.tables.find(t => t.name === 'player')
const before = [
  { id: 'w', teamId: null, shirt: 3 },
  { id: 'z', teamId: null, shirt: 6 },
]
const notUnique = (...ids: string[]) => ids.map(id => ({ id, code: 'not-unique' }))

test.each([
  ['two players who exchange their numbers are rejected', null, notUnique('w', 'z'), ['w', 'z']],
  ['one of them needs a team that is rejected as well', 'y', notUnique('y', 'w', 'z'), []],
  ['one of them needs a team, and another one is rejected', 'x', notUnique('y', 'w', 'z'), ['w', 'z']],
])('%s', (_, teamId, rejected, wrongly) => {
  if (!players) throw new Error('The schema has no player.')
  const pushed = [
    { id: 'w', teamId, shirt: 6 },
    { id: 'z', shirt: 3 },
  ]
  expect(wronglyRejected(players, before, pushed, rejected)).toEqual(wrongly)
})
