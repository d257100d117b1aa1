import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import libsql from 'libsql'
import {
  Column,
  type DataSource,
  DeleteDateColumn,
  Entity,
  EntitySchema,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  type Relation,
  UpdateDateColumn,
} from 'typeorm'
import { ensureTriggers } from '../../src/changes/setUp/setUp.js'
import { query } from '../../src/databases/database.js'
import { EnableSync, enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { dataSourceOn, type Kind, kinds, newFile } from '../entity/openDataSource.js'

@Entity('project')
@EnableSync('/projects')
class Project {
  @PrimaryColumn() id!: string
  @Column({ default: '' }) name!: string
  @OneToMany(
    () => Task,
    task => task.project,
    { cascade: true },
  )
  tasks?: Relation<Task>[]
}

@EnableSync('/tasks')
@Entity('task')
class Task {
  @PrimaryColumn() id!: string
  @Column({ default: '' }) name!: string
  @Column('text', { nullable: true, unique: true }) code!: string | null
  @Column({ default: 0 }) count!: number
  @Column('text', { nullable: true }) touched!: string | null
  @UpdateDateColumn() updatedAt!: Date
  @DeleteDateColumn() deletedAt!: Date | null
  @ManyToOne(
    () => Project,
    project => project.tasks,
    { onDelete: 'CASCADE', onUpdate: 'CASCADE' },
  )
  project?: Relation<Project> | null
  @ManyToOne(() => Project, { onDelete: 'SET NULL' }) reviewer?: Relation<Project> | null
}

type Row = Record<string, any>
interface World {
  dataSource: DataSource
  sql(text: string, ...values: unknown[]): Promise<Row[]>
  tasks: ReturnType<typeof tasksOf>
  projects: ReturnType<typeof projectsOf>
}
const tasksOf = (dataSource: DataSource) => dataSource.getRepository(Task)
const projectsOf = (dataSource: DataSource) => dataSource.getRepository(Project)

/** What is to be seen afterwards, by ids; all ids are different. */
interface Seen {
  changed?: string[]
  removed?: string[]
  made?: string[]
}

const task = (id: string) => ({ id, name: `task ${id}`, code: id.toUpperCase() })

const writes: [title: string, seen: Seen, write: (world: World) => Promise<unknown>][] = [
  ['save makes a row', { made: ['n'] }, w => w.tasks.save({ id: 'n', name: 'new' })],
  ['save changes a row', { changed: ['a'] }, w => w.tasks.save({ id: 'a', name: 'x' })],
  ['save of many', { changed: ['a', 'b'], made: ['n'] }, w => w.tasks.save(['a', 'b', 'n'].map(id => ({ id, name: 'x' })))],
  ['save of what is so already', {}, w => w.tasks.save({ id: 'a', name: 'task a' })],
  ['remove', { removed: ['a'] }, async w => w.tasks.remove(await w.tasks.findOneByOrFail({ id: 'a' }))],
  ['insert()', { made: ['n', 'm'] }, w => w.tasks.insert([task('n'), task('m')])],
  ['update(criteria)', { changed: ['a', 'b', 'c', 'd'] }, w => w.tasks.update({ count: 0 }, { name: 'x' })],
  ['delete(criteria)', { removed: ['a', 'b'] }, w => w.tasks.delete(['a', 'b'])],
  ['upsert', { changed: ['a'], made: ['n'] }, w => w.tasks.upsert([{ ...task('a'), name: 'x' }, task('n')], ['id'])],
  [
    'upsert by another key',
    { changed: ['a'] },
    w => w.sql(`INSERT INTO task (id, code) VALUES ('n', 'A') ON CONFLICT (code) DO UPDATE SET name = 'x'`),
  ],
  ['increment', { changed: ['a'] }, w => w.tasks.increment({ id: 'a' }, 'count', 1)],
  ['softDelete', { changed: ['a'] }, w => w.tasks.softDelete('a')],
  ['softRemove', { changed: ['a'] }, async w => w.tasks.softRemove(await w.tasks.findOneByOrFail({ id: 'a' }))],
  ['restore', { changed: ['d'] }, w => w.tasks.restore('d')],
  ['QueryBuilder insert', { made: ['n'] }, w => w.tasks.createQueryBuilder().insert().values(task('n')).execute()],
  ['QueryBuilder update', { changed: ['a'] }, w => w.tasks.createQueryBuilder().update().set({ name: 'x' }).where({ id: 'a' }).execute()],
  ['QueryBuilder delete', { removed: ['a'] }, w => w.tasks.createQueryBuilder().delete().where({ id: 'a' }).execute()],
  [
    'orIgnore',
    { made: ['n'] },
    w =>
      w.tasks
        .createQueryBuilder()
        .insert()
        .values([task('a'), task('n')])
        .orIgnore()
        .execute(),
  ],
  [
    'orUpdate',
    { changed: ['a'] },
    w =>
      w.tasks
        .createQueryBuilder()
        .insert()
        .values({ ...task('a'), name: 'x' })
        .orUpdate(['name'], ['id'])
        .execute(),
  ],
  ['relation().set', { changed: ['a'] }, w => w.tasks.createQueryBuilder().relation('project').of('a').set('q')],
  ['save cascades', { made: ['r', 'n'] }, w => w.projects.save({ id: 'r', name: 'r', tasks: [task('n') as Task] })],
  ['save of a parent lets a child go', { changed: ['a', 'b'] }, w => w.projects.save({ id: 'p', tasks: [{ id: 'c' } as Task] })],
  ['clear()', { removed: ['a', 'b', 'c', 'd'] }, w => w.tasks.clear()],
  ['raw INSERT', { made: ['n'] }, w => w.sql(`INSERT INTO task (id) VALUES ('n')`)],
  ['raw INSERT with a stamp', { made: ['n'] }, w => w.sql(`INSERT INTO task (id, "_lastChange") VALUES ('n', 5)`)],
  ['raw UPDATE', { changed: ['a'] }, w => w.sql(`UPDATE task SET name = 'x' WHERE id = 'a'`)],
  ['raw UPDATE of all', { changed: ['a', 'b', 'c', 'd'] }, w => w.sql(`UPDATE task SET count = count + 1`)],
  ['raw UPDATE OR IGNORE', { changed: ['b'] }, w => w.sql(`UPDATE OR IGNORE task SET code = 'B' || substr(id, 2) WHERE id IN ('a', 'b')`)],
  ['raw DELETE', { removed: ['a'] }, w => w.sql(`DELETE FROM task WHERE id = 'a'`)],
  [
    'INSERT … SELECT *',
    { made: ['n'] },
    async w => {
      await w.sql(`CREATE TABLE other AS SELECT * FROM task WHERE id = 'a'`)
      await w.sql(`UPDATE other SET id = 'n', code = 'N'`)
      await w.sql('INSERT INTO task SELECT * FROM other')
    },
  ],
  ['INSERT OR REPLACE by key', { changed: ['a'] }, w => w.sql(`INSERT OR REPLACE INTO task (id, name) VALUES ('a', 'x')`)],
  [
    'INSERT OR REPLACE by another key',
    { removed: ['a'], made: ['n'] },
    w => w.sql(`INSERT OR REPLACE INTO task (id, code) VALUES ('n', 'A')`),
  ],
  [
    'INSERT OR REPLACE of several',
    { removed: ['b'], changed: ['a', 'c'], made: ['n'] },
    w => w.sql(`INSERT OR REPLACE INTO task (id, code) VALUES ('a', 'B'), ('n', 'N'), ('c', NULL)`),
  ],
  [
    'INSERT OR REPLACE of two in one row',
    { removed: ['b'], changed: ['a'] },
    w => w.sql(`INSERT OR REPLACE INTO task (id, code) VALUES ('a', 'B')`),
  ],
  ['REPLACE', { changed: ['a'], made: ['n'] }, w => w.sql(`REPLACE INTO task (id) VALUES ('a'), ('n')`)],
  ['INSERT OR IGNORE', { made: ['n'] }, w => w.sql(`INSERT OR IGNORE INTO task (id, code) VALUES ('a', 'X'), ('n', 'N'), ('m', 'B')`)],
  ['INSERT OR FAIL keeps what came before', { made: ['n'] }, w => fails(w.sql(`INSERT OR FAIL INTO task (id) VALUES ('n'), ('a'), ('m')`))],
  ['INSERT OR ABORT', {}, w => fails(w.sql(`INSERT OR ABORT INTO task (id) VALUES ('n'), ('a')`))],
  ['INSERT OR ROLLBACK', {}, w => fails(w.sql(`INSERT OR ROLLBACK INTO task (id) VALUES ('n'), ('a')`))],
  ['INSERT OR ABORT that meets nothing', { made: ['n'] }, w => w.sql(`INSERT OR ABORT INTO task (id) VALUES ('n')`)],
  ['INSERT OR FAIL that meets nothing', { made: ['n'] }, w => w.sql(`INSERT OR FAIL INTO task (id) VALUES ('n')`)],
  ['INSERT OR ROLLBACK that meets nothing', { made: ['n'] }, w => w.sql(`INSERT OR ROLLBACK INTO task (id) VALUES ('n')`)],
  ['UPDATE OR REPLACE', { removed: ['b'], changed: ['a'] }, w => w.sql(`UPDATE OR REPLACE task SET code = 'B' WHERE id = 'a'`)],
  [
    'UPDATE OR REPLACE of the key',
    { removed: ['a'], changed: ['b'] },
    w => w.sql(`UPDATE OR REPLACE task SET id = 'b', code = 'X' WHERE id = 'a'`),
  ],
  ['UPDATE OR ROLLBACK', { changed: ['a'] }, w => w.sql(`UPDATE OR ROLLBACK task SET name = 'x' WHERE id = 'a'`)],
  [
    'ON CONFLICT DO UPDATE',
    { changed: ['a'], made: ['n'] },
    w => w.sql(`INSERT INTO task (id) VALUES ('a'), ('n') ON CONFLICT DO UPDATE SET name = 'x'`),
  ],
  ['ON CONFLICT DO NOTHING', { made: ['n'] }, w => w.sql(`INSERT INTO task (id) VALUES ('a'), ('n') ON CONFLICT DO NOTHING`)],
  [
    'an ignored row that is removed',
    { removed: ['a'] },
    async w => {
      await w.sql(`INSERT OR IGNORE INTO task (id) VALUES ('a')`)
      await w.sql(`DELETE FROM task WHERE id = 'a'`)
    },
  ],
  ['an update of the key', { removed: ['a'], made: ['n'] }, w => w.sql(`UPDATE task SET id = 'n' WHERE id = 'a'`)],
  ['ON DELETE CASCADE', { removed: ['p', 'a', 'b', 'c', 'd'] }, w => w.projects.delete('p')],
  ['ON DELETE SET NULL', { removed: ['q'], changed: ['c'] }, w => w.projects.delete('q')],
  [
    'ON UPDATE CASCADE',
    { removed: ['p'], made: ['r'], changed: ['a', 'b', 'c', 'd'] },
    w => w.sql(`UPDATE project SET id = 'r' WHERE id = 'p'`),
  ],
  [
    'OR REPLACE cascades',
    { changed: ['p'], removed: ['a', 'b', 'c', 'd'] },
    w => w.sql(`INSERT OR REPLACE INTO project (id) VALUES ('p')`),
  ],
  ['an object with another stamp', { changed: ['a'] }, w => w.tasks.save({ id: 'a', name: 'x', _lastChange: 5 } as object)],
  ['a stamp that is overwritten', { changed: ['a'] }, w => w.sql(`UPDATE task SET "_lastChange" = 5 WHERE id = 'a'`)],
  ['a stamp of the future', { changed: ['a'] }, w => w.sql(`UPDATE task SET name = 'x', "_lastChange" = 9e15 WHERE id = 'a'`)],
  [
    'a stamp that is copied',
    { changed: ['a', 'b'] },
    w => w.sql(`UPDATE task SET "_lastChange" = (SELECT now FROM sync_clock) WHERE id IN ('a', 'b')`),
  ],
  ['a stamp that is taken away', { changed: ['a'] }, w => w.sql(`UPDATE task SET "_lastChange" = NULL WHERE id = 'a'`)],
  [
    'a transaction',
    { changed: ['a', 'b'] },
    w =>
      w.dataSource.transaction(async manager => {
        await manager.update(Task, 'a', { name: 'x' })
        await manager.update(Task, 'b', { name: 'x' })
      }),
  ],
  [
    'a transaction that is rolled back',
    {},
    w =>
      fails(
        w.dataSource.transaction(async manager => {
          await manager.update(Task, 'a', { name: 'x' })
          await manager.insert(Task, task('n'))
          await manager.delete(Task, 'b')
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

const fails = (promise: Promise<unknown>) => expect(promise).rejects.toThrow()

async function open(kind: Kind): Promise<World> {
  const dataSource = await dataSourceOn(kind, newFile(), { entities: [Project, Task], synchronize: true }).initialize()
  const [tasks, projects] = [tasksOf(dataSource), projectsOf(dataSource)]
  await projects.insert([
    { id: 'p', name: 'project p' },
    { id: 'q', name: 'project q' },
  ])
  await tasks.insert(['a', 'b', 'c', 'd'].map(id => ({ ...task(id), project: { id: 'p' } })))
  await tasks.update('c', { reviewer: { id: 'q' } })
  await tasks.softDelete('d')
  const world: World = { dataSource, tasks, projects, sql: (text, ...values) => dataSource.query(text, values) }
  for (const collection of ['project', 'task']) {
    // one server to which everything was pushed, one to which nothing was
    await world.sql(
      `INSERT INTO sync_server (id, collection, url, origin, pushed_stamp, pushed_id) SELECT NULL, ?, 'knows', 'knows', now, '~' FROM sync_clock`,
      collection,
    )
    await world.sql(
      `INSERT INTO sync_server (id, collection, url, origin, pushed_stamp, pushed_id) VALUES (NULL, ?, 'ignorant', 'ignorant', -1, '')`,
      collection,
    )
  }
  return world
}

const TABLES = ['project', 'task']

async function rowsOf({ sql }: World): Promise<Map<string, Row>> {
  const rows = new Map<string, Row>()
  for (const table of TABLES) for (const row of await sql(`SELECT * FROM ${table}`)) rows.set(String(row.id), row)
  return rows
}

async function baseTableOf({ sql }: World, url: string): Promise<Row[]> {
  const baseVersions: Row[] = []
  for (const table of TABLES)
    baseVersions.push(
      ...(await sql(`SELECT i.* FROM sync_base_${table} i JOIN sync_server r ON r.id = i._sync_server WHERE r.url = ?`, url)),
    )
  return baseVersions
}

async function expectSeen(world: World, before: Map<string, Row>, { changed = [], removed = [], made = [] }: Seen): Promise<void> {
  const after = await rowsOf(world)
  const tombstones = new Map((await world.sql('SELECT id, stamp FROM sync_tombstone')).map(row => [String(row.id), Number(row.stamp)]))
  const highest = Math.max(...[...before.values()].map(row => row._lastChange))
  const [clock] = await world.sql('SELECT now, bypass FROM sync_clock')
  const ids = [...new Set([...before.keys(), ...after.keys(), ...tombstones.keys()])].sort()
  const seen = { changed: [] as string[], removed: [] as string[], made: [] as string[] }
  for (const id of ids) {
    const [old, row, tombstone] = [before.get(id), after.get(id), tombstones.get(id)]
    if (tombstone !== undefined) expect([id, row, tombstone > highest]).toEqual([id, undefined, true])
    if (row) expect([id, typeof row._lastChange, row._lastChange <= clock!.now]).toEqual([id, 'number', true])
    if (tombstone !== undefined) seen.removed.push(id)
    else if (row?._lastChange > highest) seen[old ? 'changed' : 'made'].push(id)
    else expect([id, row]).toEqual([id, old])
  }
  expect(seen).toEqual({ changed: [...changed].sort(), removed: [...removed].sort(), made: [...made].sort() })
  expect(clock!.bypass).toBe(null)

  expect(await baseTableOf(world, 'ignorant')).toEqual([])
  const baseVersions = await baseTableOf(world, 'knows')
  // what the server knows and was replaced is kept as it was, and that there was nothing before what was made
  for (const id of ids) {
    const old = before.get(id)
    const [newest] = baseVersions.filter(baseVersion => baseVersion._sync_id === id).sort((x, y) => y._sync_stamp - x._sync_stamp)
    if (old && (changed.includes(id) || removed.includes(id))) {
      const { _sync_id, _sync_server, _sync_removed, _sync_stamp, ...values } = newest ?? {}
      expect({ ...values, id: _sync_id, _lastChange: _sync_stamp, removed: _sync_removed }).toEqual({ ...old, removed: 0 })
    } else if (!old) expect([id, newest?._sync_stamp, newest?._sync_removed]).toEqual([id, 0, 1])
  }
}

describe.each(kinds)('%s sees', kind => {
  let world: World
  let before: Map<string, Row>
  beforeEach(async () => {
    world = await open(kind)
    before = await rowsOf(world)
  })
  afterEach(() => world.dataSource.destroy())

  test.each(writes)('%s', async (_, seen, write) => {
    await write(world)
    await expectSeen(world, before, seen)
  })

  test.each(writes)('%s, with recursive triggers', async (_, seen, write) => {
    await world.sql('PRAGMA recursive_triggers = ON')
    await write(world)
    await expectSeen(world, before, seen)
  })

  const touch = `BEGIN UPDATE task SET touched = coalesce(touched, '') || 'x' WHERE id = NEW.id; END`
  test.each([
    ['without a list of columns', 'AFTER UPDATE ON task', false],
    ['with a list of columns', 'AFTER UPDATE OF name ON task', false],
    ['with a list of columns and recursive triggers', 'AFTER UPDATE OF name ON task', true],
  ])('what a trigger of the application touches, %s', async (_, event, recursive) => {
    await world.sql(`CREATE TRIGGER touch ${event} ${touch}`)
    await world.sql(`PRAGMA recursive_triggers = ${recursive ? 'ON' : 'OFF'}`)
    await world.tasks.update(['a', 'b'], { name: 'x' })
    await expectSeen(world, before, { changed: ['a', 'b'] })
    expect((await world.sql(`SELECT touched FROM task WHERE id = 'a'`))[0]!.touched).toMatch(/^x+$/)
  })

  test('other rows that a trigger of the application touches', async () => {
    await world.sql(`CREATE TRIGGER others AFTER UPDATE ON task BEGIN UPDATE task SET touched = 'x' WHERE id = 'b'; END`)
    await world.tasks.update('a', { name: 'x' })
    await expectSeen(world, before, { changed: ['a', 'b'] })
  })

  test('a row that a trigger of the application touches when it is inserted or replaced', async () => {
    await world.sql(`CREATE TRIGGER touch AFTER INSERT ON task ${touch}`)
    await world.sql(`INSERT OR REPLACE INTO task (id) VALUES ('a'), ('n')`)
    await expectSeen(world, before, { changed: ['a'], made: ['n'] })
    const baseVersions = (await baseTableOf(world, 'knows')).filter(baseVersion => baseVersion._sync_id === 'a')
    expect(baseVersions.map(baseVersion => baseVersion._sync_removed)).toEqual([0])
  })

  test('that a row took the place of another one: there was never nothing', async () => {
    await world.sql(`UPDATE OR REPLACE task SET id = 'b' WHERE id = 'a'`)
    await world.sql(`INSERT OR REPLACE INTO task (id) VALUES ('c')`)
    expect((await baseTableOf(world, 'knows')).filter(baseVersion => baseVersion._sync_removed)).toEqual([])
  })

  test('a row that the application makes anew after a transaction has removed it', async () => {
    await world.sql(`INSERT OR IGNORE INTO task (id) VALUES ('a')`)
    await changeLogOf(world.dataSource).database.transaction(() => query(`DELETE FROM task WHERE id = 'a'`))
    await world.sql(`INSERT INTO task (id) VALUES ('a')`)
    expect((await baseTableOf(world, 'knows')).map(baseVersion => [baseVersion._sync_id, baseVersion._sync_removed])).toContainEqual([
      'a',
      1,
    ])
  })

  test('rows that are replaced by way of an index with a collation of its own', async () => {
    await world.sql('CREATE UNIQUE INDEX nocase ON task (name COLLATE NOCASE)')
    await ensureTriggers(changeLogOf(world.dataSource))
    await world.sql(`INSERT OR REPLACE INTO task (id, name) VALUES ('n', 'TASK A')`)
    await expectSeen(world, before, { removed: ['a'], made: ['n'] })
  })

  test('versions that a push under way has, though they are not acknowledged', async () => {
    await world.sql(
      `UPDATE sync_server SET push_key = 'k', push_stamp = (SELECT now FROM sync_clock), push_id = '~', push_since = 0 WHERE url = 'ignorant' AND collection = 'task'`,
    )
    await world.tasks.update(['a'], { name: 'x' })
    expect((await baseTableOf(world, 'ignorant')).map(baseVersion => [baseVersion._sync_id, baseVersion.name])).toEqual([['a', 'task a']])
  })

  test('versions that were stored for one server', async () => {
    await world.sql(
      `INSERT INTO sync_stamp (server, stamp) SELECT r.id, t."_lastChange" FROM sync_server r, task t WHERE r.url = 'ignorant' AND r.collection = 'task' AND t.id = 'b'`,
    )
    await world.tasks.update(['a', 'b'], { name: 'x' })
    expect((await baseTableOf(world, 'ignorant')).map(baseVersion => [baseVersion._sync_id, baseVersion.name])).toEqual([['b', 'task b']])
  })

  test('that a version which waits or was rejected is not known', async () => {
    await world.sql(
      `INSERT INTO sync_unapplied (server, id, unpushed, reason) SELECT r.id, t.id, t."_lastChange", 'contested' FROM sync_server r, task t WHERE r.url = 'knows' AND t.id = 'a'`,
    )
    await world.sql(
      `INSERT INTO sync_rejection (server, id, stamp, code, again) SELECT r.id, t.id, t."_lastChange", 'x', 0 FROM sync_server r, task t WHERE r.url = 'knows' AND t.id = 'b'`,
    )
    await world.tasks.update(['a', 'b', 'c'], { name: 'x' })
    expect((await baseTableOf(world, 'knows')).map(baseVersion => baseVersion._sync_id)).toEqual(['c'])
  })

  test('nothing of what a transaction of the engine writes', async () => {
    await world.sql('UPDATE sync_clock SET bypass = 1')
    await world.sql(`UPDATE task SET name = 'x', "_lastChange" = 5 WHERE id = 'a'`)
    await world.sql(`DELETE FROM task WHERE id = 'b'`)
    await world.sql('UPDATE sync_clock SET bypass = NULL')
    expect((await world.sql(`SELECT "_lastChange" AS stamp FROM task WHERE id = 'a'`))[0]).toEqual({ stamp: 5 })
    expect([await world.sql('SELECT * FROM sync_tombstone'), await baseTableOf(world, 'knows')]).toEqual([[], []])
  })
})

test.each(kinds)('names may be anything, on %s', async kind => {
  const table = 'my order; --'
  const Odd = new EntitySchema<Record<string, string>>({
    name: 'Odd',
    tableName: table,
    columns: {
      id: { name: 'select id', type: 'text', primary: true },
      value: { name: 'group [x]', type: 'text', unique: true },
      due: { name: '日付', type: 'datetime', nullable: true },
    },
  })
  enableSync(Odd, '/odd')
  const dataSource = await dataSourceOn(kind, newFile(), { entities: [Odd], synchronize: true }).initialize()
  const rows = dataSource.getRepository(Odd)
  await rows.insert([
    { id: `'a"`, value: '1' },
    { id: 'b', value: '2' },
  ])
  await dataSource.query(
    `INSERT INTO sync_server (collection, url, origin, pushed_stamp, pushed_id) SELECT ?, 'u', 's', now, '~' FROM sync_clock`,
    [table],
  )
  await rows.update(`'a"`, { value: '3' })
  await rows.delete('b')
  expect(await dataSource.query('SELECT collection, id FROM sync_tombstone')).toEqual([{ collection: table, id: 'b' }])
  const baseVersions = await dataSource.query(`SELECT _sync_id AS id, "group [x]" AS value FROM "sync_base_${table}" ORDER BY 1`)
  expect(baseVersions).toEqual([
    { id: `'a"`, value: '1' },
    { id: 'b', value: '2' },
  ])
  await dataSource.destroy()
})

test('what another connection to the same file writes is seen', async () => {
  const file = newFile()
  const dataSource = await dataSourceOn('libsql', file, { entities: [Project, Task], synchronize: true }).initialize()
  const other = new libsql(file)
  other.exec(`INSERT INTO task (id) VALUES ('a'), ('b')`)
  const first = await dataSource.query('SELECT "_lastChange" AS stamp FROM task ORDER BY 1')
  other.exec(`UPDATE task SET name = 'x' WHERE id = 'a'; DELETE FROM task WHERE id = 'b'`)
  other.close()
  const [a] = await dataSource.query('SELECT "_lastChange" AS stamp FROM task')
  expect(a.stamp).toBeGreaterThan(first[1].stamp)
  expect(await dataSource.query('SELECT id FROM sync_tombstone')).toEqual([{ id: 'b' }])
  await dataSource.destroy()
})
