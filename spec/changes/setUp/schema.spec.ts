import { describe, expect, test } from '@jest/globals'
import { DataSource, type DataSourceOptions, EntitySchema, type MigrationInterface, type QueryRunner } from 'typeorm'
import { ensureTriggers } from '../../../src/changes/setUp/setUp.js'
import { enableSync } from '../../../src/entity/enableSync.js'
import { changeLogOf } from '../../../src/entity/registry.js'
import { SyncSchemaError } from '../../../src/errors.js'
import { dataSourceOn, type Kind, kinds, newFile, optionsOn } from '../../entity/openDataSource.js'

type Columns = EntitySchema<any>['options']['columns']

/** A table `task` as one version of an application knows it. */
function taskWith(columns: Columns): EntitySchema {
  const Task = new EntitySchema<any>({ name: 'Task', tableName: 'task', columns: { id: { type: 'text', primary: true }, ...columns } })
  enableSync(Task, '/tasks')
  return Task
}

const name = { type: 'text', default: '' } as const
const Task = taskWith({ name })
const plain: EntitySchema = new EntitySchema<any>({
  name: 'Task',
  tableName: 'task',
  columns: { id: { type: 'text', primary: true }, name },
})

function migration(timestamp: number, up: (sql: (text: string) => Promise<any>) => Promise<unknown>, down = up) {
  const name = `Migration${timestamp}`
  const methods = class implements MigrationInterface {
    name = name
    async up(runner: QueryRunner) {
      await up(text => runner.query(text))
    }
    async down(runner: QueryRunner) {
      await down(text => runner.query(text))
    }
  }
  return methods
}

const makeTask = migration(1_600_000_000_000, async sql => {
  await sql(`CREATE TABLE task (id text PRIMARY KEY NOT NULL, name text NOT NULL DEFAULT '', "_lastChange" bigint)`)
})

async function open(kind: Kind, file: string, options: Partial<DataSourceOptions>): Promise<DataSource> {
  const dataSource = dataSourceOn(kind, file, { entities: [Task], ...options })
  await dataSource.initialize()
  return dataSource
}

/** Three rows; all of them were pushed to one server, none to another. */
async function fill(dataSource: DataSource): Promise<void> {
  await dataSource.query(`INSERT INTO task (id, name) VALUES ('a', 'A'), ('b', 'B'), ('c', 'C')`)
  await dataSource.query(`INSERT INTO sync_server (collection, url, origin, server_date, page, etag, pulling, pushed_stamp, pushed_id)
     SELECT 'task', 'knows', 'knows', 7, 'page', 'etag', 1, now, '~' FROM sync_clock UNION ALL SELECT 'task', 'ignorant', 'ignorant', 0, NULL, NULL, 0, -1, ''`)
}

const stampsOf = async (dataSource: DataSource): Promise<Record<string, number>> =>
  Object.fromEntries((await dataSource.query('SELECT id, "_lastChange" AS stamp FROM task')).map((row: any) => [row.id, row.stamp]))
const tombstonesOf = async (dataSource: DataSource) =>
  (await dataSource.query('SELECT id FROM sync_tombstone ORDER BY id')).map((r: any) => r.id)
const baseTableOf = async (dataSource: DataSource) =>
  (await dataSource.query('SELECT * FROM sync_base_task ORDER BY _sync_id')).map((row: any) => {
    const { _sync_id: id, _sync_server, _sync_stamp, _sync_removed, ...values } = row
    return _sync_removed ? { id, removed: true } : { id, ...values }
  })
const triggersOf = async (dataSource: DataSource) =>
  (await dataSource.query(`SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name`)).map((row: any) => row.name)
const copiesOf = (dataSource: DataSource) => dataSource.query(`SELECT name FROM sqlite_master WHERE name LIKE 'sync_copy%'`)

async function expectCapture(dataSource: DataSource): Promise<void> {
  const highest = Math.max(0, ...Object.values(await stampsOf(dataSource)))
  await dataSource.query(`INSERT INTO task (id) VALUES ('seen')`)
  expect((await stampsOf(dataSource)).seen).toBeGreaterThan(highest)
  await dataSource.query(`DELETE FROM task WHERE id = 'seen'`)
  expect(await tombstonesOf(dataSource)).toContain('seen')
}

describe.each(kinds)('on %s', kind => {
  test('the schema builder finds nothing to do after the set-up', async () => {
    const dataSource = await open(kind, newFile(), { synchronize: true })
    const { upQueries, downQueries } = await dataSource.driver.createSchemaBuilder().log()
    expect([upQueries, downQueries]).toEqual([[], []])
    const [{ sql }] = await dataSource.query(`SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'task' AND sql IS NOT NULL`)
    expect(sql).toContain('("_lastChange", "id")')
    await dataSource.destroy()
  })

  test('a migration can be generated that brings the column to an existing table', async () => {
    const file = newFile()
    const old = await new DataSource(optionsOn(kind, file, { entities: [plain], synchronize: true })).initialize()
    await old.query(`INSERT INTO task (id, name) VALUES ('a', 'A')`)
    await old.destroy()
    const unaware = await new DataSource(optionsOn(kind, file, { entities: [Task] })).initialize()
    const { upQueries } = await unaware.driver.createSchemaBuilder().log()
    await unaware.destroy()
    const bring = migration(1_600_000_000_001, async sql => {
      for (const { query } of upQueries) await sql(query)
    })
    const dataSource = await open(kind, file, { migrations: [bring], migrationsRun: true })
    expect(Object.values(await stampsOf(dataSource))).toEqual([expect.any(Number)])
    expect((await dataSource.driver.createSchemaBuilder().log()).upQueries).toEqual([])
    await expectCapture(dataSource)
    await dataSource.destroy()
  })

  test('_lastChange is hidden until it is asked for', async () => {
    const dataSource = await open(kind, newFile(), { synchronize: true })
    const repository = dataSource.getRepository(Task)
    const saved = await repository.save({ id: 'a', name: 'A' })
    // TypeORM sets every nullable column that has no value to null, in the object that was saved
    expect(saved).toEqual({ id: 'a', name: 'A', _lastChange: null })
    await repository.save({ ...saved, name: 'B' })
    await repository.save({ ...saved, name: 'A' })
    expect(await repository.find()).toEqual([{ id: 'a', name: 'A' }])
    const row = await repository.createQueryBuilder('t').addSelect('t._lastChange').getOneOrFail()
    expect(row).toEqual({ id: 'a', name: 'A', _lastChange: (await stampsOf(dataSource)).a })
    await dataSource.destroy()
  })

  test('a second start on the same file changes nothing', async () => {
    const file = newFile()
    const first = await open(kind, file, { synchronize: true })
    await fill(first)
    const state = async (dataSource: DataSource) => [
      await dataSource.query('SELECT * FROM sync_clock'),
      await dataSource.query('SELECT type, name, sql FROM sqlite_master ORDER BY name'),
      await stampsOf(dataSource),
      await dataSource.query('SELECT * FROM sync_server'),
    ]
    const before = await state(first)
    await first.destroy()
    const second = await open(kind, file, { synchronize: true })
    expect(await state(second)).toEqual(before)
    await expectCapture(second)
    // and once more with the same data source
    await second.destroy()
    expect(() => changeLogOf(second)).toThrow('is not initialised')
    await second.initialize()
    expect(changeLogOf(second).collections.map(c => c.name)).toEqual(['task'])
    await expectCapture(second)
    await second.destroy()
  })

  test('a synchronize that rebuilds the table keeps stamps, and base versions follow', async () => {
    const file = newFile()
    const first = await open(kind, file, { synchronize: true })
    await fill(first)
    await first.query(`UPDATE task SET name = 'x' WHERE id = 'a'`)
    const stamps = await stampsOf(first)
    await first.destroy()
    const Wider = taskWith({ name, done: { type: 'boolean', default: true }, note: { type: 'text', nullable: true } })
    const second = await open(kind, file, { entities: [Wider], synchronize: true })
    expect(await stampsOf(second)).toEqual(stamps)
    expect(await baseTableOf(second)).toEqual([{ id: 'a', name: 'A', done: 1, note: null }])
    // a server may long have had the columns that are new here
    expect(await second.query('SELECT url, server_date, page, etag, pulling FROM sync_server ORDER BY id')).toEqual([
      { url: 'knows', server_date: 0, page: null, etag: null, pulling: 0 },
      { url: 'ignorant', server_date: 0, page: null, etag: null, pulling: 0 },
    ])
    await second.query(`UPDATE task SET note = 'n' WHERE id = 'b'`)
    expect(await baseTableOf(second)).toContainEqual({ id: 'b', name: 'B', done: 1, note: null })
    await expectCapture(second)
    await second.destroy()
    const third = await open(kind, file, { entities: [taskWith({ name: { ...name, type: 'varchar' } })], synchronize: true })
    expect(await baseTableOf(third)).toContainEqual({ id: 'b', name: 'B' })
    expect((await third.driver.createSchemaBuilder().log()).upQueries).toEqual([])
    await expectCapture(third)
    await third.destroy()
  })

  test('columns that migrations add, drop and rename', async () => {
    const file = newFile()
    const first = await open(kind, file, { migrations: [makeTask], migrationsRun: true })
    await fill(first)
    await first.query(`UPDATE task SET name = 'x' WHERE id = 'a'`)
    await first.destroy()
    const change = migration(1_600_000_000_002, async sql => {
      await sql('ALTER TABLE task ADD COLUMN due text')
      await sql('ALTER TABLE task RENAME COLUMN name TO title')
    })
    const Renamed = taskWith({ title: name, due: { type: 'text', nullable: true } })
    const second = await open(kind, file, { entities: [Renamed], migrations: [makeTask, change], migrationsRun: true })
    expect((await baseTableOf(second)).map((baseVersion: object) => Object.keys(baseVersion))).toEqual([['id', 'title', 'due']])
    await expectCapture(second)
    await second.destroy()
    const drop = migration(1_600_000_000_003, sql => sql('ALTER TABLE task DROP COLUMN due'))
    const Narrow = taskWith({ title: name })
    const third = await open(kind, file, { entities: [Narrow], migrations: [makeTask, change, drop], migrationsRun: true })
    expect((await baseTableOf(third)).find((baseVersion: any) => baseVersion.id === 'a')).toEqual({ id: 'a', title: 'A' })
    await expectCapture(third)
    await third.destroy()
  })

  const rewrite = migration(
    1_600_000_000_004,
    async sql => {
      await sql(`UPDATE task SET name = 'migrated' WHERE id = 'a'`)
      await sql(`DELETE FROM task WHERE id = 'b'`)
      await sql(`INSERT INTO task (id, name) VALUES ('n', 'N')`)
    },
    sql => sql(`UPDATE task SET name = 'undone' WHERE id = 'c'`),
  )

  test('a conflict about one row does not keep the base version of another from being kept', async () => {
    const dataSource = await open(kind, newFile(), { migrations: [makeTask], migrationsRun: true })
    await fill(dataSource)
    await dataSource.query(
      `INSERT INTO sync_unapplied (server, id, remote, unpushed, reason)
         SELECT r.id, 'c', NULL, t."_lastChange", 'contested' FROM sync_server r, task t WHERE t.id = 'a'`,
    )
    dataSource.migrations.push(new rewrite() as any)
    await dataSource.runMigrations()
    expect(await baseTableOf(dataSource)).toContainEqual({ id: 'a', name: 'A' })
    await dataSource.destroy()
  })

  test('rows that a migration changes are changes', async () => {
    const dataSource = await open(kind, newFile(), { migrations: [makeTask], migrationsRun: true })
    await fill(dataSource)
    const before = await stampsOf(dataSource)
    dataSource.migrations.push(new rewrite() as any)
    await dataSource.runMigrations()
    const after = await stampsOf(dataSource)
    expect(after).toEqual({ a: after.n, c: before.c, n: expect.any(Number) })
    expect(after.n).toBeGreaterThan(before.c!)
    expect(await tombstonesOf(dataSource)).toEqual(['b'])
    expect(await baseTableOf(dataSource)).toEqual([
      { id: 'a', name: 'A' },
      { id: 'b', name: 'B' },
      { id: 'n', removed: true },
    ])
    expect(await copiesOf(dataSource)).toEqual([])
    await dataSource.undoLastMigration()
    expect((await stampsOf(dataSource)).c).toBeGreaterThan(after.n!)
    expect(await baseTableOf(dataSource)).toContainEqual({ id: 'c', name: 'C' })
    await expectCapture(dataSource)
    await dataSource.destroy()
  })

  test('where nothing is pending no row is copied', async () => {
    const statements: string[] = []
    const options = { entities: [Task], migrations: [makeTask], migrationsRun: true }
    const dataSource = dataSourceOn(kind, newFile(), options, { beforeStatement: sql => void statements.push(sql) })
    await dataSource.initialize()
    statements.length = 0
    expect(await dataSource.runMigrations()).toEqual([])
    expect(statements).toEqual([])
    await dataSource.destroy()
  })

  test('a migration that fails leaves everything as it was', async () => {
    const dataSource = await open(kind, newFile(), { migrations: [makeTask], migrationsRun: true })
    await fill(dataSource)
    const [before, triggers, [clock]] = [
      await stampsOf(dataSource),
      await triggersOf(dataSource),
      await dataSource.query('SELECT * FROM sync_clock'),
    ]
    const failing = migration(1_600_000_000_005, async sql => {
      await sql(`UPDATE task SET name = 'x'`)
      await sql('NONSENSE')
    })
    dataSource.migrations.push(new failing() as any)
    await expect(dataSource.runMigrations()).rejects.toThrow('NONSENSE')
    expect(await stampsOf(dataSource)).toEqual(before)
    expect(await triggersOf(dataSource)).toEqual(triggers)
    expect(await dataSource.query('SELECT * FROM sync_clock')).toEqual([clock])
    await expect(dataSource.runMigrations({ transaction: 'none' })).rejects.toThrow('NONSENSE')
    expect(Object.values(await stampsOf(dataSource)).every(stamp => stamp > before.c!)).toBe(true)
    expect(await copiesOf(dataSource)).toEqual([])
    await expectCapture(dataSource)
    await dataSource.destroy()
  })

  test('what a migration changes is a change, although it is equal in the collation of its column', async () => {
    const Word = new EntitySchema<any>({
      name: 'Word',
      tableName: 'word',
      columns: {
        id: { type: 'text', primary: true },
        name: { type: 'text', collation: 'NOCASE' },
        size: { type: 'numeric', nullable: true },
      },
    })
    enableSync(Word, '/words')
    const dataSource = await open(kind, newFile(), { entities: [Word], synchronize: true })
    await dataSource.query(`INSERT INTO word (id, name, size) VALUES ('a', 'abc', 1), ('b', 'ABC', 1)`)
    const stamps = async () => (await dataSource.query('SELECT "_lastChange" AS stamp FROM word ORDER BY id')).map((row: any) => row.stamp)
    const before = await stamps()
    const louder = migration(1_600_000_000_007, async sql => {
      await sql(`UPDATE word SET name = upper(name)`)
    })
    dataSource.migrations.push(new louder() as any)
    await dataSource.runMigrations()
    expect((await stamps()).map((stamp: number, i: number) => stamp > before[i])).toEqual([true, false])
    await dataSource.destroy()
  })

  test('a migration may synchronize', async () => {
    const dataSource: DataSource = await open(kind, newFile(), { migrations: [makeTask], migrationsRun: true })
    const nested = migration(1_600_000_000_006, () => dataSource.synchronize())
    dataSource.migrations.push(new nested() as any)
    await dataSource.runMigrations({ transaction: 'none' })
    await expectCapture(dataSource)
    await dataSource.destroy()
  })

  test('triggers that were dropped by hand come back', async () => {
    const dataSource = await open(kind, newFile(), { synchronize: true })
    const log = changeLogOf(dataSource)
    await dataSource.query(`INSERT INTO task (id) VALUES ('unseen')`)
    await dataSource.query(`DELETE FROM task WHERE id = 'unseen'`)
    const triggers = await triggersOf(dataSource)
    await ensureTriggers(log)
    for (const trigger of triggers) await dataSource.query(`DROP TRIGGER "${trigger}"`)
    await dataSource.query(`INSERT INTO task (id) VALUES ('unseen')`)
    await ensureTriggers(log)
    expect(await triggersOf(dataSource)).toEqual(triggers)
    expect([await stampsOf(dataSource), await tombstonesOf(dataSource)]).toEqual([{ unseen: expect.any(Number) }, []])
    await dataSource.query('CREATE UNIQUE INDEX another ON task (name)')
    await ensureTriggers(log)
    await dataSource.query(`INSERT OR REPLACE INTO task (id) VALUES ('again')`)
    expect(await tombstonesOf(dataSource)).toEqual(['unseen'])
    await dataSource.destroy()
  })

  test('a crash in the middle of a migration is made up for by the next start', async () => {
    const file = newFile()
    const first = await open(kind, file, { migrations: [makeTask], migrationsRun: true })
    await fill(first)
    const before = await stampsOf(first)
    const { database, collections } = changeLogOf(first)
    // what withSync does before a migration, and what the migration had done when the power failed
    const tables = collections.map(c => c.table)
    await database.transaction(
      function* () {
        yield* database.dropTriggers()
        yield* database.copyRows(tables)
      },
      { mode: 'setUp', duringSchemaChange: true },
    )
    await first.query(`UPDATE task SET name = 'half' WHERE id = 'a'`)
    await first.query(`DELETE FROM task WHERE id = 'b'`)
    await first.destroy()
    const second = await open(kind, file, { migrations: [makeTask, rewrite], migrationsRun: true })
    expect((await stampsOf(second)).a).toBeGreaterThan(before.c!)
    expect(await tombstonesOf(second)).toEqual(['b'])
    expect(await baseTableOf(second)).toEqual([
      { id: 'a', name: 'A' },
      { id: 'b', name: 'B' },
      { id: 'n', removed: true },
    ])
    expect(await copiesOf(second)).toEqual([])
    await expectCapture(second)
    await second.destroy()
  })

  test('a missing table or column is the error of each sync, until a synchronize or a migration has brought it', async () => {
    const file = newFile()
    const dataSource = await dataSourceOn(kind, file, { entities: [Task] }).initialize()
    expect(() => changeLogOf(dataSource)).toThrow(SyncSchemaError)
    expect(() => changeLogOf(dataSource)).toThrow(/There is no table task.*synchronize: true/)
    await dataSource.destroy()
    const old = await new DataSource(optionsOn(kind, file, { entities: [plain], synchronize: true })).initialize()
    await old.destroy()
    await dataSource.initialize()
    expect(() => changeLogOf(dataSource)).toThrow('has no column _lastChange')
    await dataSource.synchronize()
    await expectCapture(dataSource)
    await dataSource.destroy()
  })

  test('a dropped database is empty, and another history begins after it', async () => {
    const dataSource = await open(kind, newFile(), { synchronize: true })
    await fill(dataSource)
    const [{ collection }] = await dataSource.query('SELECT collection FROM sync_clock')
    await dataSource.dropDatabase()
    expect(await dataSource.query(`SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'`)).toEqual([])
    await expect(ensureTriggers(changeLogOf(dataSource))).rejects.toThrow(SyncSchemaError)
    await dataSource.synchronize()
    await expectCapture(dataSource)
    await dataSource.synchronize(true)
    await expectCapture(dataSource)
    expect((await dataSource.query('SELECT collection FROM sync_clock'))[0].collection).not.toBe(collection)
    await dataSource.destroy()
    const again = await open(kind, newFile(), { synchronize: true, dropSchema: true })
    await expectCapture(again)
    await again.destroy()
  })
})
