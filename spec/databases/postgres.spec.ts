import 'reflect-metadata'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import {
  Column,
  DataSource,
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
import { type Database, first, query, savepoint, type Transaction } from '../../src/databases/database.js'
import { openDatabase } from '../../src/databases/open.js'
import { EnableSync, enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { type WithSyncOptions, withSync } from '../../src/entity/withSync.js'
import { ConstraintError, DatabaseBusyError, DatabaseFailedError } from '../../src/errors.js'
import { basesOf, expectSeen, fails, fill, type Row, rowsOf, type World, WRITES, type Write, worldOf } from '../support/captured.js'
import { dropDatabases, newDatabase, optionsOn } from '../support/postgresDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'
import { until } from '../support/until.js'

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

const entities = [Project, Task]
const described = postgresUrl ? describe : describe.skip
const names: string[] = []
afterAll(async () => {
  if (names.length) await dropDatabases(...names)
})
async function fresh(): Promise<string> {
  const name = await newDatabase('changes')
  names.push(name)
  return name
}
const sourceOn = (database: string, options: object = {}, sync: WithSyncOptions = {}) =>
  withSync(new DataSource(optionsOn(database, { entities, ...options })), sync)

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

const inTransaction = (w: World, ...statements: string[]) =>
  w.dataSource.transaction(async manager => {
    for (const sql of statements) await manager.query(sql)
  })

/** A trigger of the application. */
const trigger = (w: World, event: string, body: string) =>
  w.sql(`CREATE OR REPLACE FUNCTION app() RETURNS trigger LANGUAGE plpgsql AS $$ ${body} $$;
         CREATE TRIGGER app ${event} EXECUTE FUNCTION app()`)

const writes: Write[] = [
  ...WRITES,
  [
    'upsert by another key',
    { changed: ['a'] },
    w => w.sql(`INSERT INTO task (id, code) VALUES ('n', 'A') ON CONFLICT (code) DO UPDATE SET name = 'x'`),
  ],
  ['clear()', { removed: ['a', 'b', 'c', 'd'] }, w => w.tasks.clear()],
  ['TRUNCATE of both', { removed: ['p', 'q', 'a', 'b', 'c', 'd'] }, w => w.sql('TRUNCATE project CASCADE')],
  ['raw INSERT with a stamp', { made: ['n'] }, w => w.sql(`INSERT INTO task (id, "_lastChange") VALUES ('n', 5)`)],
  ['raw UPDATE of all', { changed: ['a', 'b', 'c', 'd'] }, w => w.sql(`UPDATE task SET count = count + 1`)],
  ['an update that meets nothing', {}, w => w.sql(`UPDATE task SET count = 1 WHERE id = 'z'`)],
  [
    'INSERT … SELECT *',
    { made: ['n'] },
    async w => {
      await w.sql(`CREATE TABLE other AS SELECT * FROM task WHERE id = 'a'`)
      await w.sql(`UPDATE other SET id = 'n', code = 'N'`)
      await w.sql('INSERT INTO task SELECT * FROM other')
    },
  ],
  ['COPY', { made: ['n', 'm'] }, w => w.sql(`COPY task (id) FROM PROGRAM 'printf "n\\nm\\n"'`)],
  [
    'MERGE',
    { changed: ['a'], removed: ['b'], made: ['n'] },
    w =>
      w.sql(`MERGE INTO task t USING (VALUES ('a'), ('b'), ('n')) AS v(id) ON t.id = v.id
             WHEN MATCHED AND v.id = 'b' THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'x' WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)`),
  ],
  [
    'a WITH that writes everywhere',
    { changed: ['a'], removed: ['b'], made: ['n'] },
    w =>
      w.sql(`WITH x AS (DELETE FROM task WHERE id = 'b'), y AS (UPDATE task SET name = 'x' WHERE id = 'a')
             INSERT INTO task (id) VALUES ('n')`),
  ],
  [
    'ON CONFLICT DO UPDATE',
    { changed: ['a'], made: ['n'] },
    w => w.sql(`INSERT INTO task (id) VALUES ('a'), ('n') ON CONFLICT (id) DO UPDATE SET name = 'x'`),
  ],
  ['ON CONFLICT DO NOTHING', { made: ['n'] }, w => w.sql(`INSERT INTO task (id) VALUES ('a'), ('n') ON CONFLICT DO NOTHING`)],
  ['a statement that fails', {}, w => fails(w.sql(`INSERT INTO task (id) VALUES ('n'), ('a')`))],
  ['an update of the key', { removed: ['a'], made: ['n'] }, w => w.sql(`UPDATE task SET id = 'n' WHERE id = 'a'`)],
  [
    'keys that move on by one',
    { removed: ['a', 'b', 'c', 'd'], made: ['ax', 'bx', 'cx', 'dx'] },
    w => w.sql(`UPDATE task SET id = id || 'x'`),
  ],
  ['a removal that cascades and clears', { removed: ['p', 'q', 'a', 'b', 'c', 'd'] }, w => w.sql('DELETE FROM project')],
  [
    'ON UPDATE CASCADE',
    { removed: ['p'], made: ['r'], changed: ['a', 'b', 'c', 'd'] },
    w => w.sql(`UPDATE project SET id = 'r' WHERE id = 'p'`),
  ],
  ['a stamp that is overwritten', { changed: ['a'] }, w => w.sql(`UPDATE task SET "_lastChange" = 5 WHERE id = 'a'`)],
  ['a stamp of the future', { changed: ['a'] }, w => w.sql(`UPDATE task SET name = 'x', "_lastChange" = 9e15 WHERE id = 'a'`)],
  ['a stamp that is taken away', { changed: ['a'] }, w => w.sql(`UPDATE task SET "_lastChange" = NULL WHERE id = 'a'`)],
  [
    'several statements on one row',
    { changed: ['a'] },
    w =>
      inTransaction(
        w,
        `UPDATE task SET name = 'x' WHERE id = 'a'`,
        `UPDATE task SET name = 'y' WHERE id = 'a'`,
        `UPDATE task SET count = 3 WHERE id = 'a'`,
      ),
  ],
  [
    'a savepoint that is rolled back',
    { changed: ['b'] },
    w =>
      inTransaction(
        w,
        'SAVEPOINT s',
        `UPDATE task SET name = 'x' WHERE id = 'a'`,
        'ROLLBACK TO s',
        `UPDATE task SET name = 'x' WHERE id = 'b'`,
      ),
  ],
  [
    'what came before a savepoint that is rolled back',
    { changed: ['a', 'c'] },
    w =>
      inTransaction(
        w,
        `UPDATE task SET name = 'x' WHERE id = 'a'`,
        'SAVEPOINT s',
        `DELETE FROM task WHERE id = 'b'`,
        'ROLLBACK TO s',
        `UPDATE task SET name = 'x' WHERE id = 'c'`,
      ),
  ],
  [
    'a row that goes and comes in one transaction',
    { changed: ['a'] },
    w => inTransaction(w, `DELETE FROM task WHERE id = 'a'`, `INSERT INTO task (id) VALUES ('a')`),
  ],
  [
    'what a trigger of the application touches',
    { changed: ['a', 'b'] },
    async w => {
      await trigger(
        w,
        'AFTER UPDATE OF name ON task FOR EACH ROW',
        `BEGIN UPDATE task SET touched = 'x' WHERE id = NEW.id; RETURN NULL; END`,
      )
      await w.tasks.update(['a', 'b'], { name: 'x' })
    },
  ],
  [
    'other rows that a trigger of the application touches first',
    { changed: ['a', 'b'] },
    async w => {
      await trigger(w, 'BEFORE UPDATE OF name ON task FOR EACH ROW', `BEGIN UPDATE task SET touched = 'x' WHERE id = 'b'; RETURN NEW; END`)
      await w.tasks.update('a', { name: 'x' })
    },
  ],
  [
    'another table that a trigger of the application writes to',
    { changed: ['a', 'p'] },
    async w => {
      await trigger(w, 'AFTER UPDATE ON task FOR EACH STATEMENT', `BEGIN UPDATE project SET name = 'x' WHERE id = 'p'; RETURN NULL; END`)
      await w.sql(`UPDATE task SET name = 'x' WHERE id = 'a'`)
    },
  ],
  [
    'a row that a trigger of the application makes again',
    { changed: ['a'] },
    async w => {
      await trigger(w, 'AFTER DELETE ON task FOR EACH ROW', `BEGIN INSERT INTO task (id) VALUES (OLD.id); RETURN NULL; END`)
      await w.sql(`DELETE FROM task WHERE id = 'a'`)
    },
  ],
  [
    'a row that a trigger of the application removes at once',
    {},
    async w => {
      await trigger(w, 'BEFORE INSERT ON task FOR EACH ROW', 'BEGIN RETURN NULL; END')
      await w.sql(`INSERT INTO task (id) VALUES ('n')`)
    },
  ],
  [
    'what a trigger of the application fails to do',
    { changed: ['a'] },
    async w => {
      await trigger(
        w,
        'AFTER UPDATE OF name ON task FOR EACH ROW',
        `BEGIN BEGIN DELETE FROM task WHERE id = 'b'; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN NULL; END`,
      )
      await w.sql(`UPDATE task SET name = 'x' WHERE id = 'a'`)
    },
  ],
]

const TABLES = ['project', 'task']

async function begin(world: World): Promise<void> {
  await world.sql('DROP FUNCTION IF EXISTS app CASCADE')
  await world.sql('DROP TABLE IF EXISTS other')
  await world.sql(
    'TRUNCATE project, task, sync_tombstone, sync_server, sync_stamp, sync_unapplied, sync_rejection, sync_base_project, sync_base_task',
  )
  await world.sql('TRUNCATE sync_tombstone')
  await fill(world)
}

described('PostgreSQL sees', () => {
  let world: World
  let before: Map<string, Row>
  beforeAll(async () => {
    world = worldOf(await sourceOn(await fresh(), { synchronize: true }).initialize(), TABLES)
  })
  beforeEach(async () => {
    await begin(world)
    before = await rowsOf(world)
  })
  afterAll(() => world.dataSource.destroy())

  test.each(writes)('%s', async (_, seen, write) => {
    await write(world)
    await expectSeen(world, before, seen)
  })

  test('one stamp for a transaction, another one for the next', async () => {
    await inTransaction(
      world,
      `UPDATE task SET name = 'x' WHERE id = 'a'`,
      `UPDATE project SET name = 'x'`,
      `DELETE FROM task WHERE id = 'b'`,
    )
    await world.sql(`UPDATE task SET name = 'x' WHERE id = 'c'`)
    const stamps =
      await world.sql(`SELECT "_lastChange" AS stamp FROM task WHERE id IN ('a', 'c') UNION ALL SELECT "_lastChange" FROM project
      UNION ALL SELECT stamp FROM sync_tombstone`)
    expect(new Set(stamps.map((row: Row) => row.stamp)).size).toBe(2)
  })

  test('commits in the order of stamps: who writes later waits for the clock, and gets a higher stamp', async () => {
    const runner = world.dataSource.createQueryRunner()
    await runner.startTransaction()
    await runner.query(`UPDATE task SET name = 'x' WHERE id = 'a'`)
    let isThere = false
    const later = world.sql(`UPDATE task SET name = 'x' WHERE id = 'b'`).then(() => {
      isThere = true
    })
    await pause(150)
    expect(isThere).toBe(false)
    await runner.commitTransaction()
    await runner.release()
    await later
    const [a, b] = await world.sql(`SELECT "_lastChange" AS stamp FROM task WHERE id IN ('a', 'b') ORDER BY id`)
    expect(Number(b!.stamp)).toBeGreaterThan(Number(a!.stamp))
  })

  test('plain updates of the same rows in another order without a deadlock', async () => {
    const writers = Array.from({ length: 16 }, (_, i) =>
      inTransaction(
        world,
        `UPDATE task SET count = count + 1 WHERE id = '${'ab'[i % 2]}'`,
        `UPDATE task SET count = count + 1 WHERE id = '${'ba'[i % 2]}'`,
      ),
    )
    await Promise.all(writers)
    expect((await world.sql(`SELECT count FROM task WHERE id IN ('a', 'b')`)).map((row: Row) => row.count)).toEqual([16, 16])
  })

  test('what a role writes that has no right to our tables', async () => {
    await world.sql(`DROP OWNED BY CURRENT_USER RESTRICT`).catch(() => {})
    await world.sql(`DO $$ BEGIN CREATE ROLE sync_writer_${process.pid}; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
    await world.sql(`GRANT SELECT, INSERT, UPDATE, DELETE ON task TO sync_writer_${process.pid}`)
    await inTransaction(
      world,
      `SET LOCAL ROLE sync_writer_${process.pid}`,
      `SET LOCAL search_path = pg_catalog`,
      `UPDATE public.task SET name = 'x' WHERE id = 'a'`,
      `DELETE FROM public.task WHERE id = 'b'`,
    )
    await world.sql(`DROP OWNED BY sync_writer_${process.pid}`)
    await world.sql(`DROP ROLE sync_writer_${process.pid}`)
    await expectSeen(world, before, { changed: ['a'], removed: ['b'] })
  })

  test('versions that a push under way has, though they are not acknowledged', async () => {
    await world.sql(
      `UPDATE sync_server SET push_key = 'k', push_stamp = (SELECT now FROM sync_clock), push_id = '~', push_since = 0 WHERE url = 'ignorant' AND collection = 'task'`,
    )
    await world.tasks.update(['a'], { name: 'x' })
    expect((await basesOf(world, 'ignorant')).map(baseVersion => [baseVersion._sync_id, baseVersion.name])).toEqual([['a', 'task a']])
  })

  test.each(['REPEATABLE READ', 'SERIALIZABLE'] as const)(
    'no write of a %s transaction that is older than a push under way',
    async isolation => {
      const runner = world.dataSource.createQueryRunner()
      await runner.startTransaction(isolation)
      await runner.query('SELECT count(*) FROM task')
      await changeLogOf(world.dataSource).database.transaction(() =>
        query(
          `UPDATE sync_server SET push_key = 'k', push_stamp = (SELECT now FROM sync_clock), push_id = '~', push_since = 0 WHERE url = 'ignorant' AND collection = 'task'`,
        ),
      )
      // it does not see the push, so it would keep no base version of what that has
      await expect(runner.query(`UPDATE task SET name = 'x' WHERE id = 'a'`)).rejects.toThrow(/could not serialize/)
      await runner.rollbackTransaction()
      await runner.release()
    },
  )

  test('versions that were stored for one server', async () => {
    await world.sql(
      `INSERT INTO sync_stamp (server, stamp) SELECT r.id, t."_lastChange" FROM sync_server r, task t WHERE r.url = 'ignorant' AND r.collection = 'task' AND t.id = 'd'`,
    )
    await world.tasks.update(['a', 'd'], { name: 'x' })
    expect((await basesOf(world, 'ignorant')).map(baseVersion => [baseVersion._sync_id, baseVersion.name])).toEqual([['d', 'task d']])
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
    await changeLogOf(world.dataSource).database.transaction(function* () {
      yield* query(`UPDATE task SET name = 'x', "_lastChange" = 5 WHERE id = 'a'`)
      yield* query(`DELETE FROM task WHERE id = 'b'`)
    })
    expect((await world.sql(`SELECT "_lastChange" AS stamp FROM task WHERE id = 'a'`))[0]).toEqual({ stamp: '5' })
    expect([await world.sql('SELECT * FROM sync_tombstone'), await basesOf(world, 'knows')]).toEqual([[], []])
  })
})

described('a step on PostgreSQL', () => {
  let world: World
  let database: Database
  beforeAll(async () => {
    world = worldOf(await sourceOn(await fresh(), { synchronize: true }).initialize(), TABLES)
  })
  beforeEach(async () => {
    await begin(world)
    database = changeLogOf(world.dataSource).database
  })
  afterAll(() => world.dataSource.destroy())

  const impatient = (busyTimeout: number, more: object = {}) => openDatabase(world.dataSource, { busyTimeout, ...more })
  const setName = (id: string, name: string) => query('UPDATE task SET name = ? WHERE id = ?', name, id)
  const nameOf = async (id: string) => (await world.sql('SELECT name FROM task WHERE id = $1', id))[0]?.name

  /** A transaction of the application's that holds a row of its own, and the clock. */
  async function holding(...statements: string[]) {
    const runner = world.dataSource.createQueryRunner()
    await runner.startTransaction()
    for (const sql of statements) await runner.query(sql)
    return {
      runner,
      async end() {
        await runner.rollbackTransaction()
        await runner.release()
      },
    }
  }

  test('gives numbers, booleans and texts, whatever parsers the application has', async () => {
    const [row] = await database.transaction(() =>
      query(`SELECT 1::int2 AS a, 2 AS b, 3::int8 AS c, 9007199254740993 AS d, 1.5::float8 AS e, 1.50 AS f, true AS g, NULL AS h,
        '2026-01-02'::timestamp AS i, '{"b":1, "a":2}'::json AS j, '{1,2}'::int[] AS k`),
    )
    expect(row).toEqual({
      ...{ a: 1, b: 2, c: 3, d: '9007199254740993', e: 1.5, f: '1.50', g: true, h: null },
      ...{ i: '2026-01-02 00:00:00', j: '{"b":1, "a":2}', k: '{1,2}' },
    })
  })

  test('is stored as a whole, or not at all', async () => {
    const failing = database.transaction(function* (): Transaction<void> {
      yield* setName('a', 'x')
      throw new RangeError('local')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(await nameOf('a')).toBe('task a')
  })

  test('waits for a transaction that holds the clock', async () => {
    const other = await holding(`UPDATE task SET name = 'other' WHERE id = 'b'`)
    const transaction = database.transaction(() => setName('a', 'x'))
    await pause(100)
    expect(await nameOf('a')).toBe('task a')
    await other.end()
    await transaction
    expect(await nameOf('a')).toBe('x')
  })

  test('says that it is busy when it has waited long enough', async () => {
    const other = await holding(`UPDATE task SET name = 'other' WHERE id = 'b'`)
    await expect(impatient(150).transaction(() => setName('a', 'x'))).rejects.toThrow(DatabaseBusyError)
    // what only reads does not wait
    expect(await impatient(5_000).transaction(() => first('SELECT name FROM task WHERE id = ?', 'b'), { mode: 'read' })).toEqual({
      name: 'task b',
    })
    await other.end()
  })

  test('says that it is busy where the application holds all connections', async () => {
    const held = await Promise.all(Array.from({ length: 10 }, () => holding()))
    await expect(impatient(150).transaction(() => setName('a', 'x'))).rejects.toThrow('No connection of the pool became free')
    for (const each of held) await each.end()
    await database.transaction(() => setName('a', 'x'))
  })

  test('is done again after a deadlock', async () => {
    let tries = 0
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
    const other = await holding(`SELECT 1 FROM task WHERE id = 'a' FOR UPDATE`, `SET LOCAL deadlock_timeout = '1min'`)
    const transaction = database.transaction(function* () {
      tries++
      yield* setName('a', 'x') // waits for the other, which waits for the clock
    })
    await until(async () => (await world.sql(waiting)).length)
    const write = other.runner.query(`UPDATE task SET name = 'y' WHERE id = 'b'`)
    await write
    await other.end()
    await transaction
    expect(tries).toBeGreaterThan(1)
    expect(await nameOf('a')).toBe('x')
  })

  test('is done again after its connection was cut', async () => {
    let tries = 0
    await database.transaction(function* () {
      yield* setName('a', `try ${++tries}`)
      if (tries === 1) yield* query('SELECT pg_terminate_backend(pg_backend_pid())')
    })
    expect(await nameOf('a')).toBe('try 2')
    // and the pool is as good as before
    await Promise.all(Array.from({ length: 12 }, () => database.transaction(() => setName('a', 'y'))))
  })

  test('is done again after its connection was cut between two statements', async () => {
    let tries = 0
    const cut = impatient(10_000, {
      beforeStatement(sql: string) {
        if (sql === 'COMMIT' && ++tries === 1) throw Object.assign(new Error('cut'), { code: '57P01' })
      },
    })
    await cut.transaction(() => setName('a', 'x'))
    expect([tries, await nameOf('a')]).toEqual([2, 'x'])
  })

  test('whose connection breaks while it commits is not run again: it may have been stored', async () => {
    await world.sql(
      `CREATE FUNCTION app() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
    )
    await world.sql(`CREATE CONSTRAINT TRIGGER app AFTER UPDATE ON task DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app()`)
    let tries = 0
    const transaction = database.transaction(function* () {
      tries++
      yield* setName('a', 'x')
    })
    await expect(transaction).rejects.toThrow(/broke during a commit/)
    expect(tries).toBe(1)
  })

  test('what the database rejects has a kind and a column', async () => {
    const rejection = async (sql: string) => {
      const error = await database.transaction(() => query(sql)).catch((e: unknown) => e)
      expect(error).toBeInstanceOf(ConstraintError)
      return [(error as ConstraintError).kind, (error as ConstraintError).column]
    }
    expect(await rejection(`UPDATE task SET code = 'B' WHERE id = 'a'`)).toEqual(['unique', 'code'])
    expect(await rejection(`UPDATE task SET "projectId" = 'none' WHERE id = 'a'`)).toEqual(['foreign-key', 'projectId'])
    expect(await rejection(`UPDATE task SET name = NULL WHERE id = 'a'`)).toEqual(['not-null', 'name'])
    await world.sql('ALTER TABLE task ADD CONSTRAINT few CHECK (count < 10)')
    expect(await rejection(`UPDATE task SET count = 11 WHERE id = 'a'`)).toEqual(['check', undefined])
    await world.sql('ALTER TABLE task DROP CONSTRAINT few')
  })

  test('a constraint that is checked in the end is reported as one', async () => {
    await world.sql('ALTER TABLE task ALTER CONSTRAINT "FK_3797a20ef5553ae87af126bc2fe" DEFERRABLE').catch(() => {})
    const [{ conname } = { conname: '' }] = await world.sql(
      `SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'task'::regclass LIMIT 1`,
    )
    await world.sql(`ALTER TABLE task ALTER CONSTRAINT "${conname}" DEFERRABLE`)
    const transaction = database.transaction(function* () {
      yield* database.deferConstraints(true)
      yield* query(`UPDATE task SET "projectId" = 'none', "reviewerId" = 'none' WHERE id = 'a'`)
    })
    await expect(transaction).rejects.toThrow(ConstraintError)
    await world.sql(`ALTER TABLE task ALTER CONSTRAINT "${conname}" NOT DEFERRABLE`)
  })

  test('a savepoint that fails leaves nothing behind, within another one too', async () => {
    await database.transaction(function* () {
      yield* setName('a', 'kept')
      try {
        yield* savepoint(function* (): Transaction<void> {
          yield* setName('b', 'gone')
          try {
            yield* savepoint(() => query(`UPDATE task SET code = 'B' WHERE id = 'a'`))
          } catch {
            yield* setName('c', 'gone as well')
          }
          throw new RangeError()
        })
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
      }
    })
    expect([await nameOf('a'), await nameOf('b'), await nameOf('c')]).toEqual(['kept', 'task b', 'task c'])
  })

  test('a closed data source, and a database that only reads, say so', async () => {
    const other = await sourceOn(String(world.dataSource.driver.database)).initialize()
    await world.sql(`ALTER DATABASE ${world.dataSource.driver.database} SET default_transaction_read_only = on`)
    const reading = new DataSource(optionsOn(String(world.dataSource.driver.database), { entities: [] }))
    await reading.initialize()
    await expect(openDatabase(reading, {}).transaction(() => setName('a', 'x'))).rejects.toThrow(/read-only/)
    await reading.destroy()
    await world.sql(`ALTER DATABASE ${world.dataSource.driver.database} RESET default_transaction_read_only`)
    const log = changeLogOf(other)
    await other.destroy()
    await expect(log.database.transaction(() => query('SELECT 1'))).rejects.toThrow(DatabaseFailedError)
  })

  test('rows in any number: inserted, set, updated and removed by one statement each', async () => {
    const statements: string[] = []
    const watched = impatient(10_000, { beforeStatement: (sql: string) => void statements.push(sql) })
    const ids = Array.from({ length: 5_000 }, (_, i) => `n${i}`)
    await watched.transaction(() =>
      watched.insertRows(
        'task',
        ['id', 'name', 'count', '_lastChange'],
        ids.map((id, i) => [id, `"\\${id}`, i, 7]),
      ),
    )
    await watched.transaction(() =>
      watched.updateRows(
        'task',
        ['name', 'code'],
        ['id'],
        ids.map(id => ['x', null, id]),
      ),
    )
    await watched.transaction(() =>
      watched.upsertRows(
        'task',
        ['id', 'name'],
        ['id'],
        [
          ['n1', 'first'],
          ['n1', 'last'],
          ['m', 'new'],
          ['n2', ''],
        ],
      ),
    )
    expect(await world.sql(`SELECT id, name, count FROM task WHERE id IN ('m', 'n1', 'n2', 'n3') ORDER BY id`)).toEqual([
      { id: 'm', name: 'new', count: 0 },
      { id: 'n1', name: 'last', count: 1 },
      { id: 'n2', name: '', count: 2 },
      { id: 'n3', name: 'x', count: 3 },
    ])
    await watched.transaction(() =>
      watched.deleteRows(
        'task',
        ['id'],
        ids.map(id => [id]),
      ),
    )
    expect((await world.sql('SELECT id FROM task ORDER BY id')).map((row: Row) => row.id)).toEqual(['a', 'b', 'c', 'd', 'm'])
    expect(statements.filter(sql => /^(INSERT|UPDATE|DELETE)/.test(sql)).length).toBe(4)
  })

  test('the history has the name of its timeline', async () => {
    const { collection, now } = await database.transaction(() => database.clock(), { mode: 'read' })
    const [clock] = await world.sql('SELECT now, collection FROM sync_clock')
    expect([collection, now]).toEqual([`${clock!.collection}.00000001`, Number(clock!.now)])
    expect(await database.transaction(() => database.isReplica(), { mode: 'read' })).toBe(false)
  })
})

type Columns = EntitySchema<any>['options']['columns']

function thingWith(columns: Columns, id: object = { type: 'uuid', primary: true }): EntitySchema {
  const Thing = new EntitySchema<any>({ name: 'Thing', tableName: 'thing', columns: { id, ...columns } as Columns })
  enableSync(Thing, '/things')
  return Thing
}

const UUID = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002']

described('the set-up on PostgreSQL', () => {
  let database: string
  const open: DataSource[] = []
  beforeEach(async () => {
    database = await fresh()
  })
  afterEach(async () => {
    for (const each of open.splice(0)) if (each.isInitialized) await each.destroy()
  })
  async function start(options: object, sync: WithSyncOptions = {}): Promise<DataSource> {
    const dataSource = await sourceOn(database, options, sync).initialize()
    open.push(dataSource)
    return dataSource
  }

  test('the schema builder finds nothing to do after it, and a second start changes nothing', async () => {
    const one = await start({ synchronize: true })
    expect((await one.driver.createSchemaBuilder().log()).upQueries).toEqual([])
    const state = () =>
      one.query(`SELECT oid, xmin, tgname AS name FROM pg_trigger UNION ALL SELECT oid, xmin, relname FROM pg_class WHERE relname LIKE 'sync%' AND relkind = 'r'
        UNION ALL SELECT oid, xmin, proname FROM pg_proc WHERE proname LIKE 'sync%' ORDER BY 1, 3`)
    const before = await state()
    await start({ synchronize: true })
    expect(await state()).toEqual(before)
    await start({})
    expect(await state()).toEqual(before)
    expect(before.length).toBeGreaterThan(20)
  })

  test('two processes that begin at once', async () => {
    await start({ synchronize: true, entities: [] })
    const plain = await new DataSource(optionsOn(database, { entities: [] })).initialize()
    open.push(plain)
    const bare = await sourceOn(database, { synchronize: true }).initialize()
    await bare.query('DROP TABLE sync_clock, sync_base_task, sync_base_project, sync_tombstone, sync_server CASCADE')
    await bare.destroy()
    const started = await Promise.all([start({}), start({}), start({}), start({})])
    const names = await Promise.all(started.map(each => changeLogOf(each).database.transaction(() => changeLogOf(each).database.clock())))
    expect(new Set(names.map(clock => clock.collection)).size).toBe(1)
    await started[0]!.query(`INSERT INTO task (id) VALUES ('a')`)
    expect((await started[1]!.query('SELECT "_lastChange" AS stamp FROM task'))[0].stamp).not.toBe(null)
  })

  test('triggers that are missing, switched off or outdated come back', async () => {
    const one = await start({ synchronize: true })
    const log = changeLogOf(one)
    const isIntact = () => log.database.transaction(() => log.database.hasTriggers(log.collections.map(c => c.table)), { mode: 'read' })
    const spoil = [
      'DROP TRIGGER sync_delete ON task',
      'ALTER TABLE task DISABLE TRIGGER "~sync_stamp"',
      'ALTER TABLE project DISABLE TRIGGER USER',
      `CREATE OR REPLACE FUNCTION sync_update_task() RETURNS trigger LANGUAGE plpgsql AS '/* typeorm-sync 0 */ BEGIN RETURN NULL; END'`,
    ]
    expect(await isIntact()).toBe(true)
    for (const sql of spoil) {
      await one.query(sql)
      expect([sql, await isIntact()]).toEqual([sql, false])
      await ensureTriggers(log)
      expect([sql, await isIntact()]).toEqual([sql, true])
    }
    await one.query('ALTER TABLE task DISABLE TRIGGER USER')
    await one.query(`INSERT INTO task (id) VALUES ('unseen')`)
    await ensureTriggers(log)
    expect((await one.query('SELECT "_lastChange" AS stamp FROM task'))[0].stamp).not.toBe(null)
  })

  const makeThing = migration(
    1,
    `CREATE TABLE thing (id uuid PRIMARY KEY, kind text NOT NULL DEFAULT 'a', data json, "_lastChange" bigint)`,
  )
  const kind = { type: 'text', default: 'a' } as const
  const data = { type: 'json', nullable: true } as const

  test('rows that a migration changes are changes, and those alone', async () => {
    const one = await start({ entities: [thingWith({ kind, data })], migrations: [makeThing], migrationsRun: true })
    await one.query(
      `INSERT INTO thing (id, data) VALUES ($1, '{"b": 1, "a": [2]}'), ($2, NULL), ('00000000-0000-4000-8000-000000000003', NULL)`,
      UUID,
    )
    await one.query(
      `INSERT INTO sync_server (collection, url, origin, pushed_stamp, pushed_id) SELECT 'thing', 'knows', 'knows', now, '~' FROM sync_clock`,
    )
    const stamps = async () =>
      Object.fromEntries((await one.query('SELECT id, "_lastChange" AS stamp FROM thing')).map((r: any) => [r.id.at(-1), Number(r.stamp)]))
    const before = await stamps()
    const change = migration(
      2,
      `ALTER TABLE thing ALTER COLUMN kind TYPE varchar(50)`,
      `UPDATE thing SET kind = 'b' WHERE id = '${UUID[0]}'`,
      `DELETE FROM thing WHERE id = '${UUID[1]}'`,
      `INSERT INTO thing (id) VALUES ('00000000-0000-4000-8000-000000000004')`,
    )
    one.migrations.push(new change() as any)
    await one.runMigrations()
    const after = await stamps()
    expect(after).toEqual({ 1: after[4], 3: before[3], 4: expect.any(Number) })
    expect(after[4]).toBeGreaterThan(before[1]!)
    expect(await one.query('SELECT id FROM sync_tombstone')).toEqual([{ id: UUID[1] }])
    expect(await one.query('SELECT _sync_id AS id, _sync_removed AS removed, kind, data FROM sync_base_thing ORDER BY 1')).toEqual([
      { id: UUID[0], removed: 0, kind: 'a', data: { b: 1, a: [2] } },
      { id: UUID[1], removed: 0, kind: 'a', data: null },
      { id: '00000000-0000-4000-8000-000000000004', removed: 1, kind: null, data: null },
    ])
    expect(await one.query(`SELECT relname FROM pg_class WHERE relname LIKE 'sync_copy%'`)).toEqual([])
  })

  test('an enum that changes is not held by base versions or copies', async () => {
    const state = (...values: string[]) => ({ type: 'enum', enum: values, default: values[0] }) as const
    const one = await start({ entities: [thingWith({ state: state('a', 'b') })], synchronize: true })
    await one.query('INSERT INTO thing (id) VALUES ($1)', [UUID[0]])
    await one.query(
      `INSERT INTO sync_server (collection, url, origin, pushed_stamp, pushed_id) SELECT 'thing', 'knows', 'knows', now, '~' FROM sync_clock`,
    )
    await one.query(`UPDATE thing SET state = 'b'`)
    await one.destroy()
    const two = await start({
      entities: [thingWith({ state: state('a', 'b', 'c'), note: { type: 'integer', default: 3 } })],
      synchronize: true,
    })
    await two.query(`UPDATE thing SET state = 'c'`)
    expect(await two.query('SELECT state, note FROM sync_base_thing')).toEqual([{ state: 'a', note: 3 }])
    const { database: log, collections } = changeLogOf(two)
    const tables = collections.map(c => c.table)
    await log.transaction(() => log.copyRows(tables))
    await two.query(`ALTER TYPE thing_state_enum RENAME TO old; CREATE TYPE thing_state_enum AS ENUM ('a', 'b', 'c');
      ALTER TABLE thing ALTER state DROP DEFAULT; ALTER TABLE thing ALTER state TYPE thing_state_enum USING state::text::thing_state_enum; DROP TYPE old`)
    const [{ stamp }] = await two.query('SELECT "_lastChange" AS stamp FROM thing')
    await log.transaction(() => log.stampDifferences(tables))
    expect(await two.query('SELECT "_lastChange" AS stamp FROM thing')).toEqual([{ stamp }])
  })

  test('columns that come, go and change their type', async () => {
    const one = await start({ entities: [thingWith({ kind, count: { type: 'text', default: '5' } })], synchronize: true })
    await one.query('INSERT INTO thing (id) VALUES ($1), ($2)', UUID)
    await one.query(
      `INSERT INTO sync_server (collection, url, origin, server_date, pushed_stamp, pushed_id) SELECT 'thing', 'knows', 'knows', 7, now, '~' FROM sync_clock`,
    )
    await one.query(`UPDATE thing SET kind = 'b'`)
    await one.destroy()
    const two = await start({
      entities: [thingWith({ count: { type: 'integer', default: 6 }, at: { type: 'timestamptz', nullable: true } })],
      synchronize: true,
    })
    const [baseVersion] = await two.query('SELECT * FROM sync_base_thing')
    expect(Object.keys(baseVersion).slice(4)).toEqual(['count', 'at'])
    expect(await two.query('SELECT server_date FROM sync_server')).toEqual([{ server_date: '0' }])
    await two.query('UPDATE thing SET count = 8 WHERE id = $1', [UUID[0]])
    await two.query('DELETE FROM thing WHERE id = $1', [UUID[1]])
    expect(await two.query('SELECT id FROM sync_tombstone')).toEqual([{ id: UUID[1] }])
  })

  test('names may be anything, and as long as they may be', async () => {
    const tables = [`my order; -- ? $1`, 'ä'.repeat(31), `${'long_'.repeat(12)}one`, `${'long_'.repeat(12)}two`]
    const schemas = tables.map((tableName, i) => {
      const Odd = new EntitySchema<any>({
        name: `Odd${i}`,
        tableName,
        columns: { id: { name: 'select id', type: 'text', primary: true }, value: { name: `group ? 'x'`, type: 'text', unique: true } },
      })
      enableSync(Odd, `/odd${i}`)
      return Odd
    })
    const one = await start({ entities: schemas, synchronize: true })
    for (const [i, table] of tables.entries()) {
      const rows = one.getRepository(schemas[i]!)
      await rows.insert([
        { id: `'a"`, value: '1' },
        { id: 'b', value: '2' },
      ])
      await one.query(
        `INSERT INTO sync_server (collection, url, origin, pushed_stamp, pushed_id) SELECT $1, 'u', 's', now, '~' FROM sync_clock`,
        [table],
      )
      await rows.update({ id: `'a"` }, { value: '3' })
      await rows.delete({ id: 'b' })
      expect(await one.query('SELECT id FROM sync_tombstone WHERE collection = $1', [table])).toEqual([{ id: 'b' }])
    }
    const baseVersions = await one.query(`SELECT relname FROM pg_class WHERE relname LIKE 'sync_base%' AND relkind = 'r'`)
    expect(baseVersions.length).toBe(tables.length)
    await start({ entities: schemas, synchronize: true })
    expect(await one.query('SELECT count(*) FROM sync_tombstone')).toEqual([{ count: '4' }])
  })
})

function migration(number: number, ...statements: string[]) {
  return class {
    name = `Migration${1_600_000_000_000 + number}`
    async up(runner: { query(sql: string): Promise<unknown> }) {
      for (const sql of statements) await runner.query(sql)
    }
    async down() {}
  }
}
