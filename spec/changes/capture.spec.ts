import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import libsql from 'libsql'
import {
  Column,
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
import { basesOf, expectSeen, fails, fill, type Row, rowsOf, type World, WRITES, type Write, worldOf } from '../support/captured.js'

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

const writes: Write[] = [
  ...WRITES,
  [
    'upsert by another key',
    { changed: ['a'] },
    w => w.sql(`INSERT INTO task (id, code) VALUES ('n', 'A') ON CONFLICT (code) DO UPDATE SET name = 'x'`),
  ],
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
  ['a stamp that is overwritten', { changed: ['a'] }, w => w.sql(`UPDATE task SET "_lastChange" = 5 WHERE id = 'a'`)],
  ['a stamp of the future', { changed: ['a'] }, w => w.sql(`UPDATE task SET name = 'x', "_lastChange" = 9e15 WHERE id = 'a'`)],
  [
    'a stamp that is copied',
    { changed: ['a', 'b'] },
    w => w.sql(`UPDATE task SET "_lastChange" = (SELECT now FROM sync_clock) WHERE id IN ('a', 'b')`),
  ],
  ['a stamp that is taken away', { changed: ['a'] }, w => w.sql(`UPDATE task SET "_lastChange" = NULL WHERE id = 'a'`)],
]

async function open(kind: Kind): Promise<World> {
  const dataSource = await dataSourceOn(kind, newFile(), { entities: [Project, Task], synchronize: true }).initialize()
  const world = worldOf(dataSource, ['project', 'task'])
  await fill(world)
  return world
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
    const baseVersions = (await basesOf(world, 'knows')).filter(baseVersion => baseVersion._sync_id === 'a')
    expect(baseVersions.map(baseVersion => baseVersion._sync_removed)).toEqual([0])
  })

  test('that a row took the place of another one: there was never nothing', async () => {
    await world.sql(`UPDATE OR REPLACE task SET id = 'b' WHERE id = 'a'`)
    await world.sql(`INSERT OR REPLACE INTO task (id) VALUES ('c')`)
    expect((await basesOf(world, 'knows')).filter(baseVersion => baseVersion._sync_removed)).toEqual([])
  })

  test('a row that the application makes anew after a transaction has removed it', async () => {
    await world.sql(`INSERT OR IGNORE INTO task (id) VALUES ('a')`)
    await changeLogOf(world.dataSource).database.transaction(() => query(`DELETE FROM task WHERE id = 'a'`))
    await world.sql(`INSERT INTO task (id) VALUES ('a')`)
    expect((await basesOf(world, 'knows')).map(baseVersion => [baseVersion._sync_id, baseVersion._sync_removed])).toContainEqual(['a', 1])
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
    expect((await basesOf(world, 'ignorant')).map(baseVersion => [baseVersion._sync_id, baseVersion.name])).toEqual([['a', 'task a']])
  })

  test('versions that were stored for one server', async () => {
    await world.sql(
      `INSERT INTO sync_stamp (server, stamp) SELECT r.id, t."_lastChange" FROM sync_server r, task t WHERE r.url = 'ignorant' AND r.collection = 'task' AND t.id = 'b'`,
    )
    await world.tasks.update(['a', 'b'], { name: 'x' })
    expect((await basesOf(world, 'ignorant')).map(baseVersion => [baseVersion._sync_id, baseVersion.name])).toEqual([['b', 'task b']])
  })

  test('that a version which waits or was rejected is not known', async () => {
    await world.sql(
      `INSERT INTO sync_unapplied (server, id, unpushed, reason) SELECT r.id, t.id, t."_lastChange", 'contested' FROM sync_server r, task t WHERE r.url = 'knows' AND t.id = 'a'`,
    )
    await world.sql(
      `INSERT INTO sync_rejection (server, id, stamp, code, again) SELECT r.id, t.id, t."_lastChange", 'x', 0 FROM sync_server r, task t WHERE r.url = 'knows' AND t.id = 'b'`,
    )
    await world.tasks.update(['a', 'b', 'c'], { name: 'x' })
    expect((await basesOf(world, 'knows')).map(baseVersion => baseVersion._sync_id)).toEqual(['c'])
  })

  test('nothing of what a transaction of the engine writes', async () => {
    await world.sql('UPDATE sync_clock SET bypass = 1')
    await world.sql(`UPDATE task SET name = 'x', "_lastChange" = 5 WHERE id = 'a'`)
    await world.sql(`DELETE FROM task WHERE id = 'b'`)
    await world.sql('UPDATE sync_clock SET bypass = NULL')
    expect((await world.sql(`SELECT "_lastChange" AS stamp FROM task WHERE id = 'a'`))[0]).toEqual({ stamp: 5 })
    expect([await world.sql('SELECT * FROM sync_tombstone'), await basesOf(world, 'knows')]).toEqual([[], []])
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
