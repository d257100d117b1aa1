// Many rows with one statement, and when not: what is stored is the same, be they many or few.

import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import type { Database, Transaction } from '../../src/databases/database.js'
import { sqliteDatabase } from '../../src/databases/sqlite/database.js'
import { openOn, serve } from '../support/eachDatabase.js'
import { connectOf } from '../support/sqliteConnection.js'

type OnDelete = 'CASCADE' | 'RESTRICT'
const columns = { id: { type: 'varchar', primary: true } } as const
const entity = (name: string, target?: string, onDelete: OnDelete = 'CASCADE') => {
  const relations = target ? { parent: { type: 'many-to-one', target, nullable: true, onDelete } as const } : {}
  const indices = target ? [{ columns: ['parent'] }] : []
  const schema = new EntitySchema<any>({ name, tableName: name.toLowerCase(), columns, relations, indices })
  enableSync(schema, `/${name.toLowerCase()}s`)
  return schema
}
const entities = [
  entity('Project'),
  entity('Task', 'Project'),
  entity('Twig', 'Twig'),
  entity('Root', 'Root', 'RESTRICT'),
  entity('Left', 'Right'),
  entity('Right', 'Left'),
]

const MANY = 1500
const range = (n: number) => Array.from({ length: n }, (_, i) => i)
const id = (i: number) => `r${String(i).padStart(5, '0')}`
const ids = range(MANY).map(id)
/** Fills a table with a row for each number. */
const fill = (of: DataSource, table: string, n: number, cells: string) =>
  of.query(
    `WITH RECURSIVE i(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i WHERE n + 1 < ${n}) INSERT INTO "${table}" SELECT ${cells} FROM i`,
  )
const own = "printf('r%05d', n)"
const above = "CASE WHEN n > 0 THEN printf('r%05d', n - 1) END"

describe.each(['sqljs', 'libsql'] as const)('on %s', kind => {
  async function start() {
    const statements: string[] = []
    const beforeStatement = (statement: string) => void statements.push(statement)
    const dataSource = await openOn(kind, entities, { beforeStatement })
    const database = sqliteDatabase(dataSource, connectOf(dataSource), { beforeStatement })
    const run = (body: (database: Database) => Transaction<void>) => database.transaction(() => body(database))
    /** The statements of a kind, one that ran for each row marked so. */
    const seen = (begin: string) => statements.filter(s => s.startsWith(begin)).map(s => (s.includes('json_each') ? 'one' : 'each'))
    const stored = async (table: string) => (await dataSource.query(`SELECT * FROM "${table}" ORDER BY 1, 2`)) as Record<string, unknown>[]
    return { dataSource, statements, run, seen, stored }
  }
  const remove = (table: string, some: readonly string[]) => (database: Database) =>
    database.deleteRows(
      table,
      ['id'],
      some.map(i => [i]),
    )
  const writeTombstone = (lists: readonly (readonly unknown[])[]) => (database: Database) =>
    database.upsertRows('sync_tombstone', ['collection', 'id', 'stamp'], ['collection', 'id'], lists)

  test('a removal cascades to its rows, and writes their tombstones, with one statement for each collection', async () => {
    const { dataSource, statements, seen, stored } = await start()
    const { post } = await serve(dataSource)
    await fill(dataSource, 'project', 2, `'p' || n, NULL`)
    await fill(dataSource, 'task', MANY + 1, `${own}, NULL, CASE WHEN n < ${MANY} THEN 'p0' ELSE 'p1' END`)
    statements.length = 0
    const { status, json } = await post('/projects', [{ id: 'p0', _removed: true }])
    expect(status).toBe(200)
    expect(seen('DELETE FROM "task"')).toEqual(['one'])
    expect(seen('INSERT INTO "sync_tombstone"')).toEqual(['one', 'each'])
    expect((await stored('task')).map(row => row.id)).toEqual([id(MANY)])
    const buried = (collection: string, some: string[]) => some.map(i => ({ collection, id: i, stamp: json.now }))
    expect(await stored('sync_tombstone')).toEqual([...buried('project', ['p0']), ...buried('task', ids)])
  })

  test('what is there already is set, and deleted, among many as among few', async () => {
    const { run, seen, stored } = await start()
    await run(
      writeTombstone([
        ['task', id(0), 1],
        ['other', id(0), 1],
      ]),
    )
    await run(writeTombstone([...ids, id(7)].map(i => ['task', i, 2])))
    const buried = (collection: string, some: string[], stamp: number) => some.map(i => ({ collection, id: i, stamp }))
    expect(await stored('sync_tombstone')).toEqual([...buried('other', [id(0)], 1), ...buried('task', ids, 2)])
    await run(database =>
      database.deleteRows(
        'sync_tombstone',
        ['collection', 'id'],
        ids.slice(1).map(i => ['task', i]),
      ),
    )
    expect(await stored('sync_tombstone')).toEqual([...buried('other', [id(0)], 1), ...buried('task', [id(0)], 2)])
    expect(seen('DELETE FROM "sync_tombstone"')).toEqual(['one'])
  })

  test('rows that differ in more than a text are stored one by one', async () => {
    const { run, seen, stored } = await start()
    await run(writeTombstone(ids.map((i, n) => ['task', i, n < 2 ? 1 : n])))
    expect(seen('INSERT INTO "sync_tombstone"')).toEqual(['each'])
    expect((await stored('sync_tombstone')).map(row => row.stamp)).toEqual(range(MANY).map(n => (n < 2 ? 1 : n)))
  })

  test.each(['NUL \0 within', 'half \ud83d a character', 'another \udc00 half'])(
    'the text %j is stored as among few, row by row',
    async text => {
      const { dataSource, run, seen } = await start()
      const bytes = () => dataSource.query(`SELECT hex(id) AS id FROM sync_tombstone WHERE id NOT LIKE 'r%' ORDER BY id`)
      await run(writeTombstone([['task', text, 1]]))
      const expected = await bytes()
      expect(expected).toHaveLength(1)
      await run(writeTombstone([...ids, text].map(i => ['task', i, 1])))
      expect(await bytes()).toEqual(expected)
      expect(seen('INSERT INTO "sync_tombstone"')).toEqual(['each', 'each'])
    },
  )

  test('what only looks like such a text is stored as it is', async () => {
    const { run, stored } = await start()
    const texts = [...ids, 'whole \u{1f600}', '\\u0000', '\\ud83d', '"', '\u0001\n']
    await run(writeTombstone(texts.map(i => ['task', i, 1])))
    expect(new Set((await stored('sync_tombstone')).map(row => row.id))).toEqual(new Set(texts))
  })

  test.each(['twig', 'root'])('a chain of rows of the table %s goes, the last one first', async table => {
    const { dataSource, run, stored } = await start()
    await dataSource.query('PRAGMA foreign_keys = OFF')
    await fill(dataSource, table, MANY, `${own}, NULL, ${above}`)
    await dataSource.query('PRAGMA foreign_keys = ON')
    await run(remove(table, [...ids].reverse()))
    expect(await stored(table)).toEqual([])
  })

  test('a chain that goes from one table to another and back goes, the last one first', async () => {
    const { dataSource, run, stored } = await start()
    await dataSource.query('PRAGMA foreign_keys = OFF')
    await fill(dataSource, 'left', MANY, `${own}, NULL, ${above}`)
    await fill(dataSource, 'right', MANY, `${own}, NULL, ${own}`)
    await dataSource.query('PRAGMA foreign_keys = ON')
    await run(remove('left', [...ids].reverse()))
    expect([await stored('left'), await stored('right')]).toEqual([[], []])
  })

  test('a trigger of the application sees rows removed in the order in which they are pulled', async () => {
    const { dataSource, run, stored } = await start()
    await fill(dataSource, 'task', MANY, `${own}, NULL, NULL`)
    await dataSource.query('CREATE TABLE gone (place INTEGER PRIMARY KEY, id TEXT)')
    await dataSource.query('CREATE TRIGGER seen AFTER DELETE ON task BEGIN INSERT INTO gone (id) VALUES (OLD.id); END')
    const shuffled = ids.map((_, i) => id((i * 7) % MANY))
    await run(remove('task', shuffled))
    expect((await stored('gone')).map(row => row.id)).toEqual(shuffled)
  })
})
