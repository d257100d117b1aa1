// What SQLite's capture and transactions do, on MySQL and MariaDB (capture.spec.ts, schema.spec.ts, transaction.spec.ts), and what only those do.

import 'reflect-metadata'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { createConnection } from 'mysql2/promise'
import {
  Column,
  type DataSource,
  DeleteDateColumn,
  Entity,
  EntitySchema,
  ManyToOne,
  type MigrationInterface,
  OneToMany,
  PrimaryColumn,
  type QueryRunner,
  type Relation,
  UpdateDateColumn,
} from 'typeorm'
import { readChanges } from '../../src/changes/rows/changePage.js'
import { ensureTriggers } from '../../src/changes/setUp/setUp.js'
import { query, savepoint, type Transaction } from '../../src/databases/database.js'
import { EnableSync, enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { ConstraintError, DatabaseBusyError, SyncConfigurationError } from '../../src/errors.js'
import { basesOf, expectSeen, fails, fill, type Row, rowsOf, type World, WRITES, type Write, worldOf } from '../support/captured.js'
import { dataSourceOn, newDatabase } from '../support/mysqlDatabase.js'
import { describeMysql, mysqlUrl } from '../support/mysqlServer.js'
import { until } from '../support/until.js'

@Entity('my_owner')
class Owner {
  @PrimaryColumn() id!: string
}

@Entity('my_project')
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
  @ManyToOne(() => Owner, { onDelete: 'CASCADE' }) owner?: Relation<Owner> | null
}

@EnableSync('/tasks')
@Entity('my_task')
class Task {
  @PrimaryColumn() id!: string
  @Column({ default: '' }) name!: string
  @Column('varchar', { nullable: true, unique: true }) code!: string | null
  @Column({ default: 0 }) count!: number
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

@EnableSync('/branches')
@Entity('my_branch')
class Branch {
  @PrimaryColumn() id!: string
  @ManyToOne(() => Branch, { onDelete: 'CASCADE' }) parent?: Relation<Branch> | null
}

@EnableSync('/leaves')
@Entity('my_leaf')
class Leaf {
  @PrimaryColumn() id!: string
  @ManyToOne(() => Branch, { onDelete: 'CASCADE' }) branch?: Relation<Branch> | null
}

const entities = [Owner, Project, Task, Branch, Leaf]
const TABLES = ['my_project', 'my_task', 'my_branch', 'my_leaf']

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

const writes: Write[] = [
  ...WRITES,
  [
    'upsert by another key',
    { changed: ['a'] },
    w => w.sql(`INSERT INTO my_task (id, code) VALUES ('n', 'A') ON DUPLICATE KEY UPDATE name = 'x'`),
  ],
  ['raw INSERT with a stamp', { made: ['n'] }, w => w.sql('INSERT INTO my_task (id, `_lastChange`) VALUES (?, 5)', 'n')],
  ['raw UPDATE of all', { changed: ['a', 'b', 'c', 'd'] }, w => w.sql('UPDATE my_task SET count = count + 1')],
  ['UPDATE IGNORE', { changed: ['b'] }, w => w.sql(`UPDATE IGNORE my_task SET code = CONCAT('B', SUBSTR(id, 2)) WHERE id = 'b'`)],
  ['DELETE IGNORE', { removed: ['a'] }, w => w.sql(`DELETE IGNORE FROM my_task WHERE id = 'a'`)],
  [
    'INSERT … SELECT',
    { made: ['a2'] },
    w => w.sql(`INSERT INTO my_task (id, \`_lastChange\`) SELECT CONCAT(id, '2'), \`_lastChange\` FROM my_task WHERE id = 'a'`),
  ],
  ['REPLACE', { changed: ['a'], made: ['n'] }, w => w.sql(`REPLACE INTO my_task (id) VALUES ('a'), ('n')`)],
  ['REPLACE by another key', { removed: ['a'], made: ['n'] }, w => w.sql(`REPLACE INTO my_task (id, code) VALUES ('n', 'A')`)],
  ['REPLACE of two in one row', { removed: ['b'], changed: ['a'] }, w => w.sql(`REPLACE INTO my_task (id, code) VALUES ('a', 'B')`)],
  ['REPLACE cascades', { changed: ['p'], removed: ['a', 'b', 'c', 'd'] }, w => w.sql(`REPLACE INTO my_project (id) VALUES ('p')`)],
  ['INSERT IGNORE', { made: ['n'] }, w => w.sql(`INSERT IGNORE INTO my_task (id, code) VALUES ('a', 'X'), ('n', 'N'), ('m', 'B')`)],
  ['an INSERT that fails', {}, w => fails(w.sql(`INSERT INTO my_task (id) VALUES ('n'), ('a')`))],
  ['an update of the key', { removed: ['a'], made: ['n'] }, w => w.sql(`UPDATE my_task SET id = 'n' WHERE id = 'a'`)],
  ['an update of the key’s case', { removed: ['a'], made: ['A'] }, w => w.sql(`UPDATE my_task SET id = 'A' WHERE id = 'a'`)],
  [
    'ON UPDATE CASCADE',
    { removed: ['p'], made: ['r'], changed: ['a', 'b', 'c', 'd'] },
    w => w.sql(`UPDATE my_project SET id = 'r' WHERE id = 'p'`),
  ],
  ['what goes with a row that is not synced', { removed: ['p', 'a', 'b', 'c', 'd'] }, w => w.sql(`DELETE FROM my_owner WHERE id = 'o'`)],
  [
    'a tree that goes with its root, and what hangs on it',
    { removed: ['t1', 't2', 't3', 'l'] },
    w => w.sql(`DELETE FROM my_branch WHERE id = 't1'`),
  ],
  ['a tree that goes whole', { removed: ['t1', 't2', 't3', 't4', 'l'] }, w => w.sql('DELETE FROM my_branch')],
  ['a stamp that is overwritten', { changed: ['a'] }, w => w.sql("UPDATE my_task SET `_lastChange` = 5 WHERE id = 'a'")],
  ['a stamp that is taken away', { changed: ['a'] }, w => w.sql("UPDATE my_task SET `_lastChange` = NULL WHERE id = 'a'")],
  [
    'a transaction that is rolled back in part',
    { changed: ['a'] },
    w =>
      w.dataSource.transaction(async manager => {
        await manager.update(Task, 'a', { name: 'x' })
        await manager.update(Task, 'a', { name: 'y' })
        await manager.query('SAVEPOINT here')
        await manager.delete(Task, 'b')
        await manager.query('ROLLBACK TO SAVEPOINT here')
      }),
  ],
]

async function begin(w: World): Promise<void> {
  for (const table of [...TABLES, 'my_owner'].reverse()) await w.sql(`DELETE FROM ${table}`)
  for (const table of ['sync_tombstone', 'sync_server', 'sync_stamp', ...TABLES.map(t => `sync_base_${t}`)])
    await w.sql(`DELETE FROM ${table}`)
  await w.sql("INSERT INTO my_owner (id) VALUES ('o')")
  await w.sql("INSERT INTO my_branch (id, parentId) VALUES ('t1', NULL), ('t2', 't1'), ('t3', 't2'), ('t4', NULL)")
  await w.sql("INSERT INTO my_leaf (id, branchId) VALUES ('l', 't3')")
  await fill(w, { owner: { id: 'o' } })
}

describeMysql('MySQL', () => {
  let database: Awaited<ReturnType<typeof newDatabase>>
  let w: World
  const opened: DataSource[] = []
  const open = async (options: object = {}, sync: object = {}) => {
    const dataSource = dataSourceOn(database.name, { entities, synchronize: true, ...options }, sync)
    opened.push(dataSource)
    return dataSource.initialize()
  }
  const other = () => createConnection({ uri: mysqlUrl as string, database: database.name })

  beforeAll(async () => {
    database = await newDatabase('capture', 'CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci')
    w = worldOf(await open(), TABLES)
  })
  beforeEach(() => begin(w))
  afterEach(async () => {
    for (const each of opened.splice(1)) if (each.isInitialized) await each.destroy()
  })
  afterAll(async () => {
    for (const each of opened) if (each.isInitialized) await each.destroy()
    await database.drop()
  })

  test.each(writes)('sees %s', async (_, seen, write) => {
    const before = await rowsOf(w)
    await write(w)
    await expectSeen(w, before, seen)
  })

  test('sees LOAD DATA', async () => {
    const before = await rowsOf(w)
    const connection = await createConnection({ uri: mysqlUrl as string, database: database.name })
    await connection
      .query({
        sql: "LOAD DATA LOCAL INFILE 'x' INTO TABLE my_task (id, name)",
        infileStreamFactory: () => Readable.from([Buffer.from('n\tx\n')]),
      })
      .finally(() => connection.end())
    await expectSeen(w, before, { made: ['n'] })
  })

  test('rejects TRUNCATE, which fires no trigger', async () => {
    await expect(w.tasks.clear()).rejects.toThrow(/truncate/i)
  })

  test('keeps what a push has that was noted after the application’s transaction began', async () => {
    for (const isolation of ['REPEATABLE READ', 'READ COMMITTED']) {
      await begin(w)
      const application = await other()
      await application.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${isolation}`)
      await application.query('START TRANSACTION')
      await application.query('SELECT * FROM my_task')
      await application.query('SELECT * FROM sync_server')
      await changeLogOf(w.dataSource).database.transaction(() =>
        query(
          `UPDATE sync_server SET push_key = 'k', push_stamp = (SELECT "now" FROM sync_clock), push_id = '~', push_since = 0 WHERE url = 'ignorant'`,
        ),
      )
      await application.query("UPDATE my_task SET name = 'x' WHERE id = 'a'")
      await application.query("DELETE FROM my_branch WHERE id = 't1'")
      await application.query('COMMIT')
      await application.end()
      expect((await basesOf(w, 'ignorant')).map(i => i._sync_id).sort()).toEqual(['a', 'l', 't1', 't2', 't3'])
    }
  })

  test('keeps what is pushed while a statement of READ COMMITTED waits for the clock', async () => {
    const application = await other()
    await application.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
    let written: Promise<unknown> | undefined
    await changeLogOf(w.dataSource).database.transaction(function* () {
      written ??= application.query("UPDATE my_task SET name = 'x' WHERE id = 'a'")
      yield* query('SELECT SLEEP(0.2)')
      yield* query(
        `UPDATE sync_server SET push_key = 'k', push_stamp = (SELECT "now" FROM sync_clock), push_id = '~', push_since = 0 WHERE url = 'ignorant'`,
      )
      const [remote] = yield* query("SELECT id FROM sync_server WHERE url = 'ignorant' AND collection = 'my_task'")
      yield* query('INSERT INTO sync_stamp (server, stamp) VALUES (?, 1)', remote?.id)
    })
    await written
    await application.end()
    expect((await basesOf(w, 'ignorant')).map(i => i._sync_id)).toEqual(['a'])
  })

  test('keeps still inside a transaction, and leaves no mark', async () => {
    const log = changeLogOf(w.dataSource)
    await log.database.transaction(() => query(`UPDATE my_task SET name = 'x', "_lastChange" = 5 WHERE id = 'a'`))
    await log.database.transaction(() => query('SELEC')).catch(() => {})
    expect(Number((await w.sql("SELECT `_lastChange` AS stamp FROM my_task WHERE id = 'a'"))[0].stamp)).toBe(5)
    expect(await w.sql('SELECT @sync_bypass AS bypass, @@innodb_lock_wait_timeout = @@GLOBAL.innodb_lock_wait_timeout AS same')).toEqual([
      { bypass: null, same: expect.anything() },
    ])
    expect(await basesOf(w, 'knows')).toEqual([])
  })

  // ---------------------------------------------------------------- set-up

  const hasTriggers = (dataSource: DataSource) => {
    const log = changeLogOf(dataSource)
    return log.database.transaction(() => log.database.hasTriggers(log.collections.map(c => c.table)), { mode: 'read' })
  }

  test('the schema builder finds nothing to do, and a second start changes nothing', async () => {
    const { upQueries } = await w.dataSource.driver.createSchemaBuilder().log()
    expect(upQueries).toEqual([])
    const before = await rowsOf(w)
    const again = worldOf(await open(), TABLES)
    expect(await rowsOf(again)).toEqual(before)
    expect(await hasTriggers(again.dataSource)).toBe(true)
  })

  test('a trigger that was dropped is put back', async () => {
    const log = changeLogOf(w.dataSource)
    await w.sql('DROP TRIGGER sync_after_update_my_task')
    await w.sql('DROP TABLE sync_guard_my_project')
    await w.sql('DROP TRIGGER sync_before_delete_my_owner')
    expect(await hasTriggers(w.dataSource)).toBe(false)
    await ensureTriggers(log)
    expect(await hasTriggers(w.dataSource)).toBe(true)
    // a trigger keeps the mode in which it was made, and a stricter one would reject what the application writes
    const modes = await w.sql('SELECT DISTINCT t.SQL_MODE AS mode FROM information_schema.TRIGGERS t WHERE t.TRIGGER_SCHEMA = DATABASE()')
    expect(modes).toEqual(await w.sql('SELECT @@sql_mode AS mode'))
    const before = await rowsOf(w)
    await w.sql("DELETE FROM my_owner WHERE id = 'o'")
    await expectSeen(w, before, { removed: ['p', 'a', 'b', 'c', 'd'] })
  })

  test('processes that start at once do not collide', async () => {
    const empty = await newDatabase('start')
    const all = await Promise.all(
      [1, 2, 3].map(() => {
        const dataSource = dataSourceOn(empty.name, { entities: [Owner, Project, Task], synchronize: false })
        return dataSource
      }),
    )
    const schema = dataSourceOn(empty.name, { entities: [Owner, Project, Task], synchronize: true })
    await schema.initialize()
    const log = changeLogOf(schema)
    await log.database.transaction(() => log.database.dropTriggers(), { mode: 'setUp' })
    await schema.query('DROP TABLE sync_clock, sync_base_my_task')
    await Promise.all(all.map(each => each.initialize()))
    expect(await schema.query('SELECT COUNT(*) AS n FROM sync_clock')).toEqual([{ n: '1' }])
    expect(await hasTriggers(schema)).toBe(true)
    await Promise.all([schema, ...all].map(each => each.destroy()))
    await empty.drop()
  })

  test('rows that a migration changes count as changed, and base versions follow the table', async () => {
    const own = await newDatabase('migration')
    const Note = (columns: object) => {
      const schema = new EntitySchema<any>({
        name: 'Note',
        tableName: 'note',
        columns: { id: { type: 'varchar', primary: true }, ...columns } as never,
      })
      enableSync(schema, '/notes')
      return schema
    }
    const first = await dataSourceOn(own.name, { entities: [Note({ name: { type: 'varchar' } })], synchronize: true }).initialize()
    await first.query("INSERT INTO note (id, name) VALUES ('a', 'A'), ('b', 'B'), ('c', 'C')")
    await first.query(
      "INSERT INTO sync_server (collection, url, origin, server_date, pushed_stamp, pushed_id) SELECT 'note', 'u', 's', 7, `now`, '~' FROM sync_clock",
    )
    await first.query("UPDATE note SET name = 'x' WHERE id = 'c'")
    const before = new Map((await first.query('SELECT id, `_lastChange` AS stamp FROM note')).map((r: Row) => [r.id, r.stamp]))
    await first.destroy()
    class Change1700000000000 implements MigrationInterface {
      name = 'Change1700000000000'
      async up(runner: QueryRunner) {
        await runner.query('ALTER TABLE note ADD COLUMN size int NOT NULL DEFAULT 7, MODIFY COLUMN name varchar(100) NOT NULL')
        await runner.query("UPDATE note SET name = 'a' WHERE id = 'a'")
        await runner.query("DELETE FROM note WHERE id = 'b'")
        await runner.query("INSERT INTO note (id, name) VALUES ('n', 'n')")
      }
      async down() {}
    }
    const second = await dataSourceOn(own.name, {
      entities: [Note({ name: { type: 'varchar', length: 100 }, size: { type: 'int', default: 7 } })],
      migrations: [Change1700000000000],
      migrationsRun: true,
    }).initialize()
    const after = new Map((await second.query('SELECT id, `_lastChange` AS stamp FROM note')).map((r: Row) => [r.id, r.stamp]))
    expect(Number(after.get('a'))).toBeGreaterThan(Number(before.get('a')))
    expect(after.get('c')).toBe(before.get('c'))
    expect(Number(after.get('n'))).toBeGreaterThan(Number(before.get('c')))
    expect((await second.query('SELECT id FROM sync_tombstone')).map((r: Row) => r.id)).toEqual(['b'])
    const baseVersions = await second.query(
      'SELECT _sync_id AS id, _sync_removed AS removed, name, size FROM sync_base_note ORDER BY _sync_id',
    )
    expect(baseVersions).toEqual([
      { id: 'a', removed: 0, name: 'A', size: 7 },
      // what a removed row would have in the new column is not known
      { id: 'b', removed: 0, name: 'B', size: null },
      { id: 'c', removed: 0, name: 'C', size: 7 },
      { id: 'n', removed: 1, name: null, size: 7 },
    ])
    expect(
      await second.query(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'sync\\_cop%'",
      ),
    ).toEqual([])
    expect((await second.query('SELECT server_date FROM sync_server'))[0].server_date).toBe('0')
    await second.destroy()
    await own.drop()
  })

  test('a table whose foreign key clears its own rows is rejected', async () => {
    const own = await newDatabase('rejected')
    const Node = new EntitySchema<any>({
      name: 'Node',
      tableName: 'node',
      columns: { id: { type: 'varchar', primary: true } },
      relations: { parent: { type: 'many-to-one', target: 'Node', onDelete: 'SET NULL' } },
    })
    enableSync(Node, '/nodes')
    const dataSource = dataSourceOn(own.name, { entities: [Node], synchronize: true })
    await expect(dataSource.initialize()).rejects.toThrow(SyncConfigurationError)
    if (dataSource.isInitialized) await dataSource.destroy()
    await own.drop()
  })

  // ---------------------------------------------------------------- transactions

  const databaseOf = (dataSource: DataSource) => changeLogOf(dataSource).database

  test('a deadlock is tried again', async () => {
    const application = await other()
    await application.query('START TRANSACTION')
    // enough to be spared
    await application.query("INSERT INTO my_leaf (id) VALUES ('l1'), ('l2'), ('l3')")
    await application.query('ROLLBACK')
    await application.query('START TRANSACTION')
    await application.query("SELECT * FROM my_task WHERE id = 'a' FOR UPDATE")
    let runs = 0
    let written: Promise<unknown> | undefined
    const transaction = databaseOf(w.dataSource).transaction(function* () {
      runs++
      written ??= application.query("UPDATE my_task SET name = 'application' WHERE id = 'a'").then(() => application.query('COMMIT'))
      yield* query('SELECT SLEEP(0.2)')
      yield* query(`UPDATE my_task SET count = count + 1, "_lastChange" = 5 WHERE id = 'a'`)
    })
    const [application1, engine] = await Promise.allSettled([until(() => written).then(() => written), transaction])
    await application.end()
    // one of them was rolled back: the transaction goes on by itself
    expect(engine.status).toBe('fulfilled')
    expect(runs + (application1.status === 'rejected' ? 1 : 0)).toBe(2)
    expect((await w.sql("SELECT count FROM my_task WHERE id = 'a'"))[0].count).toBe(1)
  })

  test('who keeps the clock locked is waited for, a bounded time', async () => {
    const impatient = await open({ synchronize: false }, { busyTimeout: 300 })
    const application = await other()
    await application.query('START TRANSACTION')
    await application.query("UPDATE my_task SET name = 'x' WHERE id = 'a'")
    await expect(databaseOf(impatient).transaction(() => query('SELECT 1'))).rejects.toThrow(DatabaseBusyError)
    const transaction = databaseOf(w.dataSource).transaction(() => query("SELECT name FROM my_task WHERE id = 'a'"))
    await pause(50)
    await application.query('COMMIT')
    expect(await transaction).toEqual([{ name: 'x' }])
    await application.end()
  })

  test('a connection that was killed is replaced, and the transaction runs anew', async () => {
    const killer = await other()
    let runs = 0
    await databaseOf(w.dataSource).transaction(function* () {
      const [row] = yield* query('SELECT CONNECTION_ID() AS id')
      if (++runs === 1) {
        void killer.query(`KILL ${row?.id}`)
        yield* query('SELECT SLEEP(1)')
      }
      yield* query(`UPDATE my_task SET name = 'local', "_lastChange" = 5 WHERE id = 'a'`)
    })
    await killer.end()
    expect(runs).toBe(2)
    expect((await w.sql("SELECT name FROM my_task WHERE id = 'a'"))[0].name).toBe('local')
  })

  test('names the rule that a statement broke, and a savepoint leaves nothing of itself', async () => {
    const mysql = databaseOf(w.dataSource)
    const broken = (sql: string) =>
      mysql.transaction(function* () {
        try {
          yield* savepoint(function* () {
            yield* query("INSERT INTO my_project (id) VALUES ('z')")
            yield* query(sql)
          })
        } catch (error) {
          expect(error).toBeInstanceOf(ConstraintError)
          expect(yield* query("SELECT id FROM my_project WHERE id = 'z'")).toEqual([])
          const { kind, column } = error as ConstraintError
          return [kind, column]
        }
        return undefined
      } as () => Transaction<unknown>)
    expect(await broken(`INSERT INTO "my_task" (id, code) VALUES ('n', 'A')`)).toEqual(['unique', 'code'])
    expect(await broken(`INSERT INTO "my_task" (id, code) VALUES ('a', 'N')`)).toEqual(['unique', 'id'])
    expect(await broken(`INSERT INTO "my_task" (id, "projectId") VALUES ('n', 'none')`)).toEqual(['foreign-key', 'projectId'])
    expect(await broken(`INSERT INTO "my_task" (id, name) VALUES ('n', NULL)`)).toEqual(['not-null', 'name'])
    expect(await broken(`INSERT INTO "my_task" (id, name) VALUES ('n', REPEAT('x', 300))`)).toEqual(['check', 'name'])
  })

  test('writes rows in bulk, parents and children in any order', async () => {
    const mysql = databaseOf(w.dataSource)
    const chain = Array.from({ length: 3_000 }, (_, i) => [`c${i}`, 9, `c${i + 1}`])
    await mysql.transaction(function* () {
      yield* mysql.insertRows('my_branch', ['id', '_lastChange', 'parentId'], [...chain, ['c3000', 9, 't4'], ['x', 9, 'y'], ['y', 9, 'x']])
      yield* mysql.insertRows(
        'my_task',
        ['id', '_lastChange', 'name'],
        Array.from({ length: 2_500 }, (_, i) => [`n${i}`, 9, `'"\\\0\n😀${i}`]),
      )
      yield* mysql.updateRows(
        'my_task',
        ['name'],
        ['id'],
        [
          ["it's", 'n1'],
          ["\\'", 'n2'],
        ],
      )
      yield* mysql.deleteRows(
        'my_branch',
        ['id'],
        chain.map(([id]) => [id]),
      )
      yield* mysql.upsertRows(
        'sync_seen',
        ['server', 'id'],
        ['server', 'id'],
        [
          [1, 'a'],
          [1, 'a'],
          [2, 'b'],
        ],
      )
      yield* mysql.deleteRows(
        'sync_seen',
        ['server', 'id'],
        [
          [1, 'a'],
          [2, 'b'],
        ],
      )
    })
    expect(await w.sql("SELECT id, parentId FROM my_branch WHERE id IN ('x', 'y', 'c3000') ORDER BY id")).toEqual([
      { id: 'c3000', parentId: 't4' },
      { id: 'x', parentId: 'y' },
      { id: 'y', parentId: 'x' },
    ])
    expect((await w.sql("SELECT name FROM my_task WHERE id = 'n7'"))[0].name).toBe(`'"\\\0\n😀7`)
    const [collection] = changeLogOf(w.dataSource).collections.filter(c => c.name === 'my_task')
    const changes = await mysql.transaction(() => readChanges(mysql, collection as never, { above: { stamp: 0, id: '' }, limit: 5_000 }), {
      mode: 'read',
    })
    expect(changes.filter(c => c.stamp === 9).length).toBe(2_500)
    await w.sql("UPDATE my_branch SET parentId = NULL WHERE id = 'x'")
  })
})
