// JSON.parse rounds numbers beyond 2^53 without a word.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { serverKind, startTodo, type Todo } from './todoServer.js'

const Measure = new EntitySchema<any>({
  name: 'Measure',
  tableName: 'measure',
  columns: {
    id: { type: 'varchar', length: 255, primary: true },
    big: { type: 'bigint', nullable: true },
    real: { type: serverKind === 'postgres' ? 'double precision' : 'double', nullable: true },
    json: { type: serverKind === 'postgres' ? 'jsonb' : 'simple-json', nullable: true },
    name: { type: 'varchar', length: 255, nullable: true },
  },
})
enableSync(Measure, '/measureChanges')

let todo: Todo
beforeAll(async () => {
  todo = await startTodo({ entities: [Measure] })
})
afterAll(() => todo.stop())

const post = (values: string) => todo.post('/measureChanges', `[{"id": "other", "name": "x"}, {"id": "m", ${values}}]`)

test.each([
  ['big', '9007199254740993'],
  ['big', '-9007199254740993'],
  ['big', '9007199254740993.0'],
  ['big', '9007199254740992.5'],
  ['json', '9007199254740993'],
  ['json', '{"a": ["\\"", {"b": -12345678901234567890123}]}'],
  ['json', '[1e999]'],
  ['json', '[9'.padEnd(400, '9').concat(']')],
  ['real', '9007199254740993'],
  ['real', '1e999'],
  ['real', '-1E+999'],
])('a number that would be rounded is rejected, by its row and property: %s %s', async (property, value) => {
  const before = await todo.dump()
  const { status, json } = await post(`"name": "9007199254740993 \\\\", "${property}": ${value}`)
  expect({ status, errors: json.errors }).toEqual({
    status: 422,
    errors: [{ id: 'm', property, code: 'not-valid', detail: expect.any(String) }],
  })
  expect(await todo.dump()).toBe(before)
})

test.each<[string, string, unknown]>([
  ['big', '9007199254740991', 9007199254740991],
  ['big', '"9007199254740993"', '9007199254740993'],
  [
    'json',
    '[9007199254740992, 1e21, 123456789.12345678, 0.1234567890123456]',
    [9007199254740992, 1e21, 123456789.12345678, 0.1234567890123456],
  ],
  ['json', '["9007199254740993"]', ['9007199254740993']],
  ['real', '12345678901234567000', 12345678901234567000],
  ['real', '12345678901234567168', 12345678901234567000],
  ['real', '1.2345678901234567e+19', 12345678901234567000],
  ['name', '"9007199254740993"', '9007199254740993'],
])('another is not: %s %s', async (property, value, stored) => {
  expect(await post(`"${property}": ${value}`)).toMatchObject({ status: 200 })
  const { updates } = (await todo.get('/measureChanges')).json
  expect(updates.find((update: any) => update.id === 'm')[property]).toEqual(stored)
})
