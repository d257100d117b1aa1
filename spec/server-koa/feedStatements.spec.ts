// A POST to the feed needs no statement for each row, and a fixed number for each collection, on each database.

import { describe, expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve } from '../support/eachDatabase.js'

const text = { type: 'varchar', length: 100 } as const
type Groups = Record<string, Record<string, unknown>[]>

/** Collections of which each hangs on the one before. */
const CHAIN = Array.from({ length: 6 }, (_, n) => {
  const link = new EntitySchema<any>({
    ...{ name: `link${n}`, tableName: `link${n}` },
    columns: { id: { ...text, primary: true }, name: text },
    relations: n ? { parent: { type: 'many-to-one', target: `link${n - 1}`, nullable: true, onDelete: 'CASCADE' } } : {},
  })
  enableSync(link, `/link${n}`)
  return link
})

/** Groups of so many rows, for so many collections of the chain, each with the one of its parent’s that begins alike. */
const inChain = (collections: number, rows: number, letter: string, rowOf: (row: { id: string; parent?: string }) => object): Groups =>
  Object.fromEntries(
    CHAIN.slice(0, collections).map((_, n) => {
      const ids = Array.from({ length: rows }, (_, i) => `${letter}${i}`)
      return [`/link${n}`, ids.map(id => rowOf({ id, ...(n && { parent: id }) }) as Record<string, unknown>)]
    }),
  )

/** Both, where they have the same paths. */
const join = (some: Groups, others: Groups): Groups =>
  Object.fromEntries(Object.entries(some).map(([path, rows]) => [path, [...rows, ...(others[path] ?? [])]]))

/** One after the other. */
const PUSHES: Record<string, (collections: number, rows: number) => Groups> = {
  'the first rows': (c, n) => inChain(c, n, 'a', row => ({ ...row, name: 'x' })),
  'more rows': (c, n) => inChain(c, n, 'b', row => ({ ...row, name: 'x' })),
  'changed rows': (c, n) => inChain(c, n, 'a', row => ({ ...row, name: 'y' })),
  'parts of rows': (c, n) => inChain(c, n, 'a', ({ id }) => ({ id, _partial: true, name: 'z' })),
  'new rows among changed ones': (c, n) =>
    join(
      inChain(c, n, 'a', row => ({ ...row, name: 'x' })),
      inChain(c, n, 'c', row => ({ ...row, name: 'x' })),
    ),
  removals: (c, n) => inChain(c, n, 'a', ({ id }) => ({ id, _removed: true })),
  'removals that take rows along': (_, n) => inChain(1, n, 'b', ({ id }) => ({ id, _removed: true })),
}

/** The statements of these POSTs, where there are so many collections, and so many rows in each of their groups. */
async function statementsOf(kind: Kind, collections: number, rows: number): Promise<number[]> {
  let count = 0
  const there = await openOn(kind, CHAIN.slice(0, collections), { beforeStatement: () => void count++ })
  const { url } = await serve(there)
  const counts: number[] = []
  for (const push of Object.values(PUSHES)) {
    const { now } = (await (await fetch(`${url}/sync?limit=1`)).json()) as { now: number }
    count = 0
    const headers = { 'Content-Type': 'application/json' }
    const body = JSON.stringify({ changes: push(collections, rows) })
    expect(await fetch(`${url}/sync?since=${now}`, { method: 'POST', headers, body })).toMatchObject({ status: 200 })
    counts.push(count)
  }
  return counts
}

describe.each(SERVERS)('on %s', kind => {
  test('a POST needs as many statements however many rows it has, and so many more for each collection', async () => {
    const [two, four, six] = [await statementsOf(kind, 2, 10), await statementsOf(kind, 4, 10), await statementsOf(kind, 6, 10)]
    const many = await statementsOf(kind, 2, 200)
    for (const [n, push] of Object.keys(PUSHES).entries()) {
      const more = (than: number[], counts: number[]) => (counts[n] as number) - (than[n] as number)
      // a few are there for many rows alone
      expect({ push, forRows: more(two, many) <= 6 }).toEqual({ push, forRows: true })
      expect({ push, forTwoCollections: more(four, six) }).toEqual({ push, forTwoCollections: more(two, four) })
      expect(more(two, four)).toBeLessThanOrEqual(2 * 12)
    }
  })
})
