import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import libsql from 'libsql'
import { runStory } from '../../examples/start.js'

let folder: string
let isEqual: boolean
const lines: string[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'typeorm-sync-'))
  isEqual = await runStory(folder, line => lines.push(line))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function rowsOf(name: string, table: string): Record<string, unknown>[] {
  const database = new libsql(join(folder, `${name}.sqlite`))
  try {
    const rows = database.prepare(`SELECT * FROM ${table} ORDER BY id`).all() as Record<string, unknown>[]
    return rows.map(({ _lastChange, ...row }) => row)
  } finally {
    database.close()
  }
}

test('at the end of the story the files of server and devices hold the same rows', () => {
  expect(isEqual).toBe(true)
  for (const table of ['project', 'member', 'task', 'holiday']) {
    const rows = rowsOf('server', table)
    expect(rows.length).toBeGreaterThan(0)
    expect(rowsOf('alice', table)).toEqual(rows)
    expect(rowsOf('bob', table)).toEqual(rows)
  }
  expect(rowsOf('server', 'task').map(({ name, done }) => [name, done])).toEqual(
    expect.arrayContaining([
      ['Book a train', 1],
      ['Buy oat milk, buy two milk', 0],
      ['Water the plants twice', 0],
      ['Buy a map', 0],
    ]),
  )
  // what was edited in a list that was lost for a while
  expect(rowsOf('server', 'task')).toContainEqual(
    expect.objectContaining({ name: 'Bake a cake', dueDate: expect.stringContaining('2027-04-01') }),
  )
})

test('the story shows what it promises', () => {
  const text = lines.join('\n')
  expect(text).toMatch(/conflict \(name\): here "Buy two milk", on the server "Buy oat milk"/)
  expect(text).toMatch(/NetworkError, code 'network'/)
  expect(text).toMatch(/POST .* 200 \(replayed\)/)
  expect(text).toMatch(/no-access: "Bake a cake", due 2027-04-01/)
  expect(text).toMatch(/All three databases are equal/)
})

test('the story fits into 100 columns, and has no colours where none are asked for', () => {
  expect(lines.filter(line => line.length > 100)).toEqual([])
  expect(lines.join('')).not.toContain('\u001b')
})

test('databases that differ are reported, and the story fails', async () => {
  const { compare } = await import('../../examples/start.js')
  const printed: string[] = []
  const holding = (...rows: object[]) => ({ query: async () => rows }) as never
  const milk = { id: 'milk', name: 'Buy milk', _lastChange: 1 }
  const databases: [string, never][] = [
    ['server', holding(milk)],
    ['Alice', holding({ ...milk, _lastChange: 2 })],
    ['Bob', holding({ ...milk, name: 'Buy oat milk' }, { id: 'tea', name: 'Buy tea' })],
  ]
  expect(await compare(['task'], databases, line => printed.push(line))).toBe(2)
  expect(printed.join('\n')).toMatch(/Bob: .*Buy oat milk/)
  expect(printed.join('\n')).toMatch(/Alice: no such row/)
})
