// Rows of megabytes: answers are bounded by bytes as well as by rows.

import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { changeLogOf } from '../../src/entity/registry.js'
import { type Answer, serverKind, startTodo, type Todo } from './todoServer.js'

const bytes = ({ sqlite: 'blob', postgres: 'bytea', mysql: 'longblob' } as const)[serverKind]
const text = serverKind === 'mysql' ? 'longtext' : 'text'
const Photo = new EntitySchema<{ id: string; text: string | null; json: unknown; data: Uint8Array | null }>({
  name: 'Photo',
  tableName: 'photo',
  columns: {
    id: { type: 'varchar', length: 255, primary: true },
    text: { type: text, nullable: true },
    json: { type: serverKind === 'postgres' ? 'jsonb' : 'simple-json', nullable: true },
    data: { type: bytes, nullable: true },
  },
})
enableSync(Photo, '/photoChanges')

const PAGE = 20_000
let todo: Todo
beforeAll(async () => {
  todo = await startTodo({ entities: [Photo], pageBytes: PAGE })
})
afterAll(() => todo.stop())

const KINDS = ['text', 'json', 'data'] as const
const photo = (id: string, size: number, kind: (typeof KINDS)[number]) => {
  const value = { text: 'x'.repeat(size), json: { x: 'x'.repeat(size) }, data: Buffer.alloc(size, 7).toString('base64') }[kind]
  return { id, text: null, json: null, data: null, [kind]: value }
}
const sizeOf = ({ text, json, data }: any) => (text ?? json?.x ?? data ?? '').length
const ids = ({ json }: Answer) => json.updates.map((update: any) => update.id)

async function pagesOf(path: string): Promise<Answer[]> {
  const pages = [await todo.get(path)]
  while (pages.at(-1)?.json.next) pages.push(await todo.get(`${path}&after=${encodeURIComponent(pages.at(-1)?.json.next)}`))
  return pages
}

test.each(KINDS)('a page ends where its rows have so many bytes, and a larger row comes alone (%s)', async kind => {
  const { now } = (await todo.post('/photoChanges', [])).json
  const sizes = [1, 9_000, 9_000, 9_000, 30_000, 50, 60, 30_000, 19_000]
  for (const [i, size] of sizes.entries()) await todo.post('/photoChanges', [photo(`${kind}${i}`, size, kind)])
  const pages = await pagesOf(`/photoChanges?since=${now}&limit=100`)
  expect(pages.flatMap(ids)).toEqual(sizes.map((_, i) => `${kind}${i}`))
  for (const { json } of pages) {
    const sum = json.updates.reduce((all: number, update: any) => all + sizeOf(update), 0)
    // base64 is a third more
    expect(json.updates.length === 1 || sum <= (kind === 'data' ? 1.4 : 1) * PAGE).toBe(true)
    expect(json.next === undefined).toBe(json === pages.at(-1)?.json)
  }
  expect(pages.length).toBeLessThanOrEqual(8)
})

test('a client that asks for everything gets it in one answer, and no transaction reads more than a page', async () => {
  const { now } = (await todo.post('/photoChanges', [])).json
  await todo.post(
    '/photoChanges',
    Array.from({ length: 40 }, (_, i) => photo(`all${String(i).padStart(2, '0')}`, 10_000, 'text')),
  )
  const { database } = changeLogOf(todo.dataSource)
  const transaction = database.transaction.bind(database)
  const read: number[] = []
  jest.spyOn(database, 'transaction').mockImplementation((async (body: any, options: any) => {
    const result: any = await transaction(body, options)
    for (const updates of result.answer.changes.values()) read.push(updates.length)
    return result
  }) as any)
  const answer = await todo.get(`/photoChanges?since=${now}`)
  jest.restoreAllMocks()
  expect(ids(answer)).toHaveLength(40)
  expect(answer.json.next).toBeUndefined()
  expect(Math.max(...read)).toBeLessThanOrEqual(2)
  // a client that asks for pages gets no more than fits into one, though `limit` needs several transactions to read
  expect(ids(await todo.get(`/photoChanges?since=${now}&limit=5000`)).length).toBeLessThanOrEqual(4)
})

test('pages by bytes have what one page would have, removals in their place', async () => {
  const row = fc.record({ size: fc.constantFrom(1, 5_000, 12_000, 25_000), kind: fc.constantFrom(...KINDS), removed: fc.boolean() })
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(row, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 6 }),
      async (pushes, limit) => {
        run++
        const { now } = (await todo.post('/photoChanges', [])).json
        const named = pushes.map((rows, i) => rows.map((row, j) => ({ id: `r${run}.${i}.${j}`, ...row })))
        for (const rows of named)
          await todo.post(
            '/photoChanges',
            rows.map(r => photo(r.id, r.size, r.kind)),
          )
        for (const rows of named) {
          const gone = rows.filter(r => r.removed)
          if (gone.length)
            await todo.post(
              '/photoChanges',
              gone.map(r => ({ id: r.id, _removed: true })),
            )
        }
        const whole = await todo.get(`/photoChanges?since=${now}`)
        const pages = await pagesOf(`/photoChanges?since=${now}&limit=${limit}`)
        expect(pages.flatMap(page => page.json.updates)).toEqual(whole.json.updates)
        expect(pages.slice(0, -1).every(page => ids(page).length > 0)).toBe(true)
        expect(pages.every(page => ids(page).length <= limit)).toBe(true)
      },
    ),
    { numRuns: 25 },
  )
})
