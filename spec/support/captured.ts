// What capture has to see of what an application writes, the same on every database: rows, tombstones, and versions kept for a server that knows them.

import { expect } from '@jest/globals'
import type { DataSource, Repository } from 'typeorm'
import { sql } from './eachDatabase.js'

export type Row = Record<string, any>

/** A database with projects and tasks, under whatever names: `tasks` have a `project`, which takes them along, and a `reviewer`, which is cleared. */
export interface World {
  readonly dataSource: DataSource
  readonly tasks: Repository<any>
  readonly projects: Repository<any>
  /** The synced tables. */
  readonly tables: readonly string[]
  sql(text: string, ...values: unknown[]): Promise<any>
}

/** What is to be seen afterwards, by ids; all ids are different. */
export interface Seen {
  changed?: string[]
  removed?: string[]
  made?: string[]
}

export type Write = [title: string, seen: Seen, write: (world: World) => Promise<unknown>]

export const task = (id: string) => ({ id, name: `task ${id}`, code: id.toUpperCase() })
export const fails = (promise: Promise<unknown>) => expect(promise).rejects.toThrow()

export const worldOf = (dataSource: DataSource, tables: readonly string[]): World => ({
  ...{ dataSource, tables, tasks: dataSource.getRepository('Task'), projects: dataSource.getRepository('Project') },
  sql: (text, ...values) => dataSource.query(text, values),
})

/** What TypeORM writes. */
export const WRITES: Write[] = [
  ['save makes a row', { made: ['n'] }, w => w.tasks.save({ id: 'n', name: 'new' })],
  ['save changes a row', { changed: ['a'] }, w => w.tasks.save({ id: 'a', name: 'x' })],
  ['save of many', { changed: ['a', 'b'], made: ['n'] }, w => w.tasks.save(['a', 'b', 'n'].map(id => ({ id, name: 'x' })))],
  ['save of what is so already', {}, w => w.tasks.save({ id: 'a', name: 'task a' })],
  ['remove', { removed: ['a'] }, async w => w.tasks.remove(await w.tasks.findOneByOrFail({ id: 'a' }))],
  ['insert()', { made: ['n', 'm'] }, w => w.tasks.insert([task('n'), task('m')])],
  ['update(criteria)', { changed: ['a', 'b', 'c', 'd'] }, w => w.tasks.update({ count: 0 }, { name: 'x' })],
  ['delete(criteria)', { removed: ['a', 'b'] }, w => w.tasks.delete(['a', 'b'])],
  ['upsert', { changed: ['a'], made: ['n'] }, w => w.tasks.upsert([{ ...task('a'), name: 'x' }, task('n')], ['id'])],
  ['increment', { changed: ['a'] }, w => w.tasks.increment({ id: 'a' }, 'count', 1)],
  ['softDelete', { changed: ['a'] }, w => w.tasks.softDelete('a')],
  ['softRemove', { changed: ['a'] }, async w => w.tasks.softRemove(await w.tasks.findOneByOrFail({ id: 'a' }))],
  ['restore', { changed: ['d'] }, w => w.tasks.restore('d')],
  ['QueryBuilder insert', { made: ['n'] }, w => w.tasks.createQueryBuilder().insert().values(task('n')).execute()],
  ['QueryBuilder update', { changed: ['a'] }, w => w.tasks.createQueryBuilder().update().set({ name: 'x' }).where({ id: 'a' }).execute()],
  ['QueryBuilder delete', { removed: ['a'] }, w => w.tasks.createQueryBuilder().delete().where({ id: 'a' }).execute()],
  ['orIgnore', { made: ['n'] }, w => inserting(w, task('a'), task('n')).orIgnore().execute()],
  [
    'orUpdate',
    { changed: ['a'] },
    w =>
      inserting(w, { ...task('a'), name: 'x' })
        .orUpdate(['name'], ['id'])
        .execute(),
  ],
  ['relation().set', { changed: ['a'] }, w => w.tasks.createQueryBuilder().relation('project').of('a').set('q')],
  ['save cascades', { made: ['r', 'n'] }, w => w.projects.save({ id: 'r', name: 'r', tasks: [task('n')] })],
  ['save of a parent lets a child go', { changed: ['a', 'b'] }, w => w.projects.save({ id: 'p', tasks: [{ id: 'c' }] })],
  ['ON DELETE CASCADE', { removed: ['p', 'a', 'b', 'c', 'd'] }, w => w.projects.delete('p')],
  ['ON DELETE SET NULL', { removed: ['q'], changed: ['c'] }, w => w.projects.delete('q')],
  ['an object with another stamp', { changed: ['a'] }, w => w.tasks.save({ id: 'a', name: 'x', _lastChange: 5 })],
  [
    'a transaction',
    { changed: ['a', 'b'] },
    w =>
      w.dataSource.transaction(async manager => {
        await manager.update('Task', 'a', { name: 'x' })
        await manager.update('Task', 'b', { name: 'x' })
      }),
  ],
  [
    'a transaction that is rolled back',
    {},
    w =>
      fails(
        w.dataSource.transaction(async manager => {
          await manager.update('Task', 'a', { name: 'x' })
          await manager.insert('Task', task('n'))
          await manager.delete('Task', 'b')
          throw new Error('no')
        }),
      ),
  ],
  [
    'a row that comes and goes',
    { removed: ['n'] },
    async w => {
      await w.tasks.insert(task('n'))
      await w.tasks.delete('n')
    },
  ],
  [
    'a row that goes and comes',
    { changed: ['a'] },
    async w => {
      await w.tasks.delete('a')
      await w.tasks.insert(task('a'))
    },
  ],
]

const inserting = ({ tasks }: World, ...rows: object[]) => tasks.createQueryBuilder().insert().values(rows)

/** Four tasks of one of two projects, and two servers: one to which everything was pushed, and one to which nothing was. */
export async function fill({ dataSource, tasks, projects, tables }: World, project: object = {}): Promise<void> {
  await projects.insert([
    { id: 'p', name: 'project p', ...project },
    { id: 'q', name: 'project q' },
  ])
  await tasks.insert(['a', 'b', 'c', 'd'].map(id => ({ ...task(id), project: { id: 'p' } })))
  await tasks.update('c', { reviewer: { id: 'q' } })
  await tasks.softDelete('d')
  for (const table of tables) {
    const server = 'INSERT INTO sync_server (collection, url, origin, pushed_stamp, pushed_id) '
    await sql(dataSource, `${server} SELECT '${table}', 'knows', 'knows', "now", '~' FROM sync_clock`)
    await sql(dataSource, `${server} VALUES ('${table}', 'ignorant', 'ignorant', -1, '')`)
  }
}

const withNumbers = (row: Row): Row => {
  const numbers = ['_lastChange', '_sync_stamp'].filter(name => row[name] !== undefined && row[name] !== null)
  return { ...row, ...Object.fromEntries(numbers.map(name => [name, Number(row[name])])) }
}

/** The rows of all tables, by their ids. */
export async function rowsOf(world: World): Promise<Map<string, Row>> {
  const rows = new Map<string, Row>()
  for (const table of world.tables) for (const row of await world.sql(`SELECT * FROM ${table}`)) rows.set(String(row.id), withNumbers(row))
  return rows
}

export async function basesOf(world: World, url: string): Promise<Row[]> {
  const bases: Row[] = []
  for (const table of world.tables)
    bases.push(
      ...(await world.sql(`SELECT i.* FROM sync_base_${table} i JOIN sync_server r ON r.id = i._sync_server WHERE r.url = '${url}'`)),
    )
  return bases.map(withNumbers)
}

export async function expectSeen(world: World, before: Map<string, Row>, { changed = [], removed = [], made = [] }: Seen): Promise<void> {
  const after = await rowsOf(world)
  const tombstones = new Map<string, number>(
    (await world.sql('SELECT id, stamp FROM sync_tombstone')).map((row: Row) => [String(row.id), Number(row.stamp)]),
  )
  const highest = Math.max(...[...before.values()].map(row => row._lastChange))
  const [clock] = await world.sql('SELECT * FROM sync_clock')
  expect(clock.bypass ?? null).toBe(null)
  const ids = [...new Set([...before.keys(), ...after.keys(), ...tombstones.keys()])].sort()
  const seen = { changed: [] as string[], removed: [] as string[], made: [] as string[] }
  for (const id of ids) {
    const [old, row, tombstone] = [before.get(id), after.get(id), tombstones.get(id)]
    if (tombstone !== undefined) expect([id, row, tombstone > highest && tombstone <= Number(clock.now)]).toEqual([id, undefined, true])
    if (row) expect([id, typeof row._lastChange, row._lastChange <= Number(clock.now)]).toEqual([id, 'number', true])
    if (tombstone !== undefined) seen.removed.push(id)
    else if (row && row._lastChange > highest) seen[old ? 'changed' : 'made'].push(id)
    else expect([id, row]).toEqual([id, old])
  }
  expect(seen).toEqual({ changed: [...changed].sort(), removed: [...removed].sort(), made: [...made].sort() })

  expect(await basesOf(world, 'ignorant')).toEqual([])
  const bases = await basesOf(world, 'knows')
  // what the server knows and was replaced is kept as it was, and that there was nothing before what was made
  for (const id of ids) {
    const old = before.get(id)
    const [newest] = bases.filter(base => base._sync_id === id).sort((x, y) => y._sync_stamp - x._sync_stamp)
    if (old && (changed.includes(id) || removed.includes(id))) {
      const { _sync_id, _sync_server, _sync_removed, _sync_stamp, ...values } = newest ?? {}
      expect({ ...values, id: _sync_id, _lastChange: _sync_stamp, removed: _sync_removed }).toEqual({ ...old, removed: 0 })
    } else if (!old) expect([id, newest?._sync_stamp, newest?._sync_removed]).toEqual([id, 0, 1])
  }
}
