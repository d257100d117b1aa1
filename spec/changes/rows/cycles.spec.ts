import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import type { Collection, Reference } from '../../../src/changes/collections/collection.js'
import { findCycles, treesOf } from '../../../src/changes/rows/cycles.js'
import { changeLogOf } from '../../../src/entity/registry.js'
import { withHooks } from '../../../src/entity/withSync.js'

const text = { type: 'varchar' } as const
const folder = new EntitySchema<{ id: string; parent: object | null }>({
  name: 'Folder',
  tableName: 'folder',
  columns: { id: { ...text, primary: true } },
  relations: { parent: { type: 'many-to-one', target: 'Folder', nullable: true } },
})
enableSync(folder, '/folders')

let statements = 0

/** Finds circles in a tree: each row's parent. */
async function find(tree: Record<string, string | null>, starts: string[], after: Record<string, string | null> = {}): Promise<string[][]> {
  const dataSource = withHooks(new DataSource({ type: 'sqljs', entities: [folder], synchronize: true }), {
    beforeStatement: () => {
      statements++
    },
  })
  await dataSource.initialize()
  const rows = Object.entries(tree).map(([id, parentId]) => ({ id, parentId }))
  await dataSource.query(`INSERT INTO folder (id, "parentId") SELECT value ->> 'id', value ->> 'parentId' FROM json_each(?)`, [
    JSON.stringify(rows),
  ])
  const { database, collections } = changeLogOf(dataSource)
  const collection = collections[0] as Collection
  const reference = treesOf(collection)[0] as Reference
  statements = 0
  const circles = await database.transaction(() => findCycles(database, collection, reference, starts, new Map(Object.entries(after))), {
    mode: 'read',
  })
  await dataSource.destroy()
  return circles.map(circle => circle.sort())
}

test.each([
  ['a chain has none', { a: null, b: 'a', c: 'b' }, ['c'], {}, []],
  ['a row may be its own parent', { a: 'a' }, ['a'], {}, [['a']]],
  ['a move closes one', { a: null, b: 'a', c: 'b' }, ['a'], { a: 'c' }, [['a', 'b', 'c']]],
  ['rows to come belong to it', { a: null, b: 'a' }, ['a'], { a: 'new', new: 'b' }, [['a', 'b', 'new']]],
  ['a move may open one', { a: 'b', b: 'a' }, ['a'], { a: null }, []],
  ['one above a row is not the row’s', { a: 'b', b: 'a', c: 'a' }, ['c'], {}, []],
  [
    'two are two',
    { a: 'b', b: 'a', c: 'd', d: 'c' },
    ['a', 'd', 'b'],
    {},
    [
      ['a', 'b'],
      ['c', 'd'],
    ],
  ],
  ['a parent that is not there ends it', { a: null }, ['a'], { a: 'nobody' }, []],
] as const)('of circles: %s', async (_, tree, starts, after, expected) => {
  expect(await find(tree as never, [...starts], after as never)).toEqual(expected)
})

test('a walk up reads each level once, however many rows begin there', async () => {
  const chain = (length: number) => Object.fromEntries(Array.from({ length }, (_, i) => [`r${i}`, i ? `r${i - 1}` : null]))
  const counts: number[] = []
  for (const length of [50, 200]) {
    await find(chain(length), Object.keys(chain(length)))
    counts.push(statements)
  }
  expect(counts[1]).toBe(counts[0])
  for (const length of [50, 200]) {
    await find(chain(length), [`r${length - 1}`])
    counts.push(statements)
  }
  expect(counts[3]).toBeLessThanOrEqual(4 * Number(counts[2]))
})
