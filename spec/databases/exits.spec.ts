import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { collectTombstones } from 'typeorm-sync/server-koa'
import { EnableSync } from '../../src/entity/enableSync.js'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

@EnableSync('/projects')
@Entity('project')
class Project {
  @PrimaryColumn('varchar', { length: 40 }) id!: string
}

@EnableSync('/tasks', { scopes: ['owner', 'project', 'room', 'checker'] })
@Entity('task')
class Task {
  @PrimaryColumn('varchar', { length: 40 }) id!: string
  @Column('varchar', { length: 40, default: '' }) name!: string
  @Column('varchar', { length: 40, nullable: true, unique: true }) code!: string | null
  @Column('varchar', { length: 40, nullable: true }) owner!: string | null
  @Column('integer', { nullable: true }) room!: number | null
  @ManyToOne(() => Project, { onDelete: 'CASCADE', onUpdate: 'CASCADE' }) project!: Relation<Project> | null
  @ManyToOne(() => Project, { onDelete: 'SET NULL' }) checker!: Relation<Project> | null
  @ManyToOne(() => Task, { onDelete: 'CASCADE' }) parent!: Relation<Task> | null
}

@EnableSync('/plain')
@Entity('plain')
class Plain {
  @PrimaryColumn('varchar', { length: 40 }) id!: string
  @Column('varchar', { length: 40 }) owner!: string
}

const KINDS: Kind[] = ['sqljs', ...SERVERS]
const entities = [Project, Task, Plain]

interface Exit {
  id: string
  removed: 0 | 1
  owner: string | null
  project: string | null
  room: number | null
  checker: string | null
}

/** `t1` and `t2` are Ann's, in the project p; `t3` is nobody's, and hangs below t1. */
async function open(kind: Kind) {
  const dataSource = await openOn(kind, entities)
  const run = (text: string, ...values: unknown[]) => sql(dataSource, text, values)
  await run(`INSERT INTO "project" ("id") VALUES ('p'), ('q'), ('c')`)
  await run(
    `INSERT INTO "task" ("id", "owner", "projectId", "room", "checkerId", "code") VALUES ('t1', 'ann', 'p', 1, 'c', 'X'), ('t2', 'ann', 'p', NULL, NULL, 'Y')`,
  )
  await run(`INSERT INTO "task" ("id", "parentId") VALUES ('t3', 't1')`)
  await run(`INSERT INTO "plain" ("id", "owner") VALUES ('x', 'ann')`)
  return { dataSource, run }
}

async function exitsOf(dataSource: DataSource): Promise<(Exit & { stamp: number })[]> {
  const rows = await sql(
    dataSource,
    `SELECT "_sync_id" AS id, "_sync_removed" AS removed, "_sync_stamp" AS stamp, "owner", "projectId" AS project, "room", "checkerId" AS checker
       FROM "sync_base_task" WHERE "_sync_server" = 0 ORDER BY "_sync_stamp", "_sync_id"`,
  )
  return rows.map((row: Record<string, unknown>) => ({ ...row, removed: Number(row.removed), stamp: Number(row.stamp) }))
}

const first = { owner: 'ann', project: 'p', room: 1, checker: 'c' }
const second = { owner: 'ann', project: 'p', room: null, checker: null }
const third = { owner: null, project: null, room: null, checker: null }
const moved = (id: string, values: object) => ({ id, removed: 0, ...values }) as Exit
const gone = (id: string, values: object) => ({ id, removed: 1, ...values }) as Exit

type Write = (run: (text: string, ...values: unknown[]) => Promise<any>, dataSource: DataSource, kind: Kind) => Promise<unknown>
const isSqlite = (kind: Kind) => kind === 'sqljs' || kind === 'libsql'
const only = (...kinds: Kind[]) => kinds

const writes: [title: string, exits: Exit[], write: Write, kinds?: Kind[]][] = [
  ['an insert', [], run => run(`INSERT INTO "task" ("id", "owner") VALUES ('n', 'bob')`)],
  ['a change of another column', [], run => run(`UPDATE "task" SET "name" = 'new', "code" = 'Z' WHERE "id" = 't1'`)],
  ['a scope that is set to what it is', [], run => run(`UPDATE "task" SET "owner" = 'ann', "room" = 1 WHERE "id" = 't1'`)],
  ['a move', [moved('t1', first)], run => run(`UPDATE "task" SET "owner" = 'bob' WHERE "id" = 't1'`)],
  ['a move that only the bytes tell', [moved('t1', first)], run => run(`UPDATE "task" SET "owner" = 'ANN' WHERE "id" = 't1'`)],
  ['a move of an integer', [moved('t1', first)], run => run(`UPDATE "task" SET "room" = 2 WHERE "id" = 't1'`)],
  ['a scope that is left', [moved('t1', first)], run => run(`UPDATE "task" SET "room" = NULL WHERE "id" = 't1'`)],
  ['a scope that is entered', [moved('t2', second)], run => run(`UPDATE "task" SET "room" = 1 WHERE "id" = 't2'`)],
  ['many moves at once', [moved('t1', first), moved('t2', second)], run => run(`UPDATE "task" SET "owner" = 'bob' WHERE "owner" = 'ann'`)],
  ['a save', [moved('t2', second)], async (_, dataSource) => dataSource.getRepository(Task).save({ id: 't2', owner: 'bob' })],
  ['a removal', [gone('t2', second)], run => run(`DELETE FROM "task" WHERE "id" = 't2'`)],
  ['a removal with what hangs below', [gone('t1', first), gone('t3', third)], run => run(`DELETE FROM "task" WHERE "id" = 't1'`)],
  ['another key', [gone('t2', second)], run => run(`UPDATE "task" SET "id" = 'n' WHERE "id" = 't2'`)],
  ['a cascade', [gone('t1', first), gone('t2', second), gone('t3', third)], run => run(`DELETE FROM "project" WHERE "id" = 'p'`)],
  ['a cascade that sets null', [moved('t1', first)], run => run(`DELETE FROM "project" WHERE "id" = 'c'`)],
  ['a cascade of another key', [moved('t1', first), moved('t2', second)], run => run(`UPDATE "project" SET "id" = 'r' WHERE "id" = 'p'`)],
  [
    'an upsert that moves',
    [moved('t2', second)],
    run => run(`INSERT INTO "task" ("id", "owner") VALUES ('t2', 'bob') ON CONFLICT ("id") DO UPDATE SET "owner" = 'bob'`),
    only('sqljs', 'libsql', 'postgres'),
  ],
  [
    'an upsert that moves, and another insert',
    [moved('t2', second)],
    async run => {
      await run(`INSERT INTO "task" ("id", "owner") VALUES ('t2', 'bob') ON CONFLICT ("id") DO UPDATE SET "owner" = 'bob'`)
      await run(`INSERT INTO "task" ("id", "owner") VALUES ('n', 'bob')`)
      await run(`INSERT INTO "task" ("id", "owner") VALUES ('t2', 'cay') ON CONFLICT ("id") DO NOTHING`)
    },
    only('sqljs', 'libsql', 'postgres'),
  ],
  [
    'a row that is replaced where it is',
    [],
    (run, _, kind) => run(`${replace(kind)} INTO "task" ("id", "owner", "projectId", "name") VALUES ('t2', 'ann', 'p', 'new')`),
    only('sqljs', 'libsql', 'mysql'),
  ],
  [
    'a row that is replaced elsewhere',
    [moved('t2', second)],
    (run, _, kind) => run(`${replace(kind)} INTO "task" ("id", "owner", "projectId") VALUES ('t2', 'bob', 'p')`),
    only('sqljs', 'libsql', 'mysql'),
  ],
  [
    'a row that is replaced by another one',
    [gone('t2', second)],
    (run, _, kind) => run(`${replace(kind)} INTO "task" ("id", "owner", "code") VALUES ('n', 'bob', 'Y')`),
    only('sqljs', 'libsql', 'mysql'),
  ],
  [
    'an update that replaces another row',
    [gone('t2', second)],
    run => run(`UPDATE OR REPLACE "task" SET "code" = 'Y' WHERE "id" = 't1'`),
    only('sqljs', 'libsql'),
  ],
  [
    'a key that replaces another row',
    [gone('t3', third), moved('t2', second)],
    run => run(`UPDATE OR REPLACE "task" SET "id" = 't2' WHERE "id" = 't3'`),
    only('sqljs', 'libsql'),
  ],
  ['a truncation', [gone('t1', first), gone('t2', second), gone('t3', third)], run => run(`TRUNCATE "task"`), only('postgres')],
  [
    'a row that comes again where it was',
    [],
    async run => {
      await run(`DELETE FROM "task" WHERE "id" = 't2'`)
      await run(`INSERT INTO "task" ("id", "owner", "projectId") VALUES ('t2', 'ann', 'p')`)
    },
  ],
  [
    'a row that comes again elsewhere',
    [moved('t2', second)],
    async run => {
      await run(`DELETE FROM "task" WHERE "id" = 't2'`)
      await run(`INSERT INTO "task" ("id", "owner", "projectId") VALUES ('t2', 'bob', 'p')`)
    },
  ],
]

const replace = (kind: Kind) => (isSqlite(kind) ? 'INSERT OR REPLACE' : 'REPLACE')

describe.each(KINDS)('on %s', kind => {
  test.each(writes.filter(([, , , kinds]) => !kinds || kinds.includes(kind)))('%s', async (_, expected, write) => {
    const { dataSource, run } = await open(kind)
    expect(await exitsOf(dataSource)).toEqual([])
    const [{ stamp: before }] = await run('SELECT max("now") AS stamp FROM "sync_clock"')
    await write(run, dataSource, kind)
    const exits = await exitsOf(dataSource)
    const byId = (one: { id: string }, other: { id: string }) => (one.id < other.id ? -1 : 1)
    expect(exits.map(({ stamp, ...exit }) => exit).sort(byId)).toEqual([...expected].sort(byId))
    for (const { stamp } of exits) expect(stamp).toBeGreaterThan(Number(before))
    const [{ stamp: after }] = await run('SELECT max("now") AS stamp FROM "sync_clock"')
    for (const { stamp } of exits) expect(stamp).toBeLessThanOrEqual(Number(after))
  })

  test('an exit has the stamp of its row, or of its tombstone', async () => {
    const { dataSource, run } = await open(kind)
    await run(`UPDATE "task" SET "owner" = 'bob' WHERE "id" = 't1'`)
    await run(`DELETE FROM "task" WHERE "id" = 't2'`)
    const [row] = await run(`SELECT "_lastChange" AS stamp FROM "task" WHERE "id" = 't1'`)
    const [tombstone] = await run(`SELECT "stamp" FROM "sync_tombstone" WHERE "id" = 't2'`)
    expect((await exitsOf(dataSource)).map(e => e.stamp)).toEqual([Number(row.stamp), Number(tombstone.stamp)])
  })

  test('within a transaction the first counts where stamps are of transactions, and all elsewhere', async () => {
    const { dataSource } = await open(kind)
    await dataSource.transaction(async manager => {
      await manager.update(Task, 't2', { name: 'new' })
      await manager.update(Task, 't2', { owner: 'bob' })
      await manager.update(Task, 't2', { owner: 'cay' })
      await manager.delete(Task, 't2')
    })
    const exits = (await exitsOf(dataSource)).map(e => [e.id, e.removed, e.owner])
    const all = [
      ['t2', 0, 'ann'],
      ['t2', 0, 'bob'],
      ['t2', 1, 'cay'],
    ]
    expect(exits).toEqual(kind === 'postgres' ? [['t2', 1, 'ann']] : all)
  })

  const posts: [title: string, exits: Exit[], rows: object[], path?: string][] = [
    ['a new row', [], [{ id: 'n', owner: 'bob', name: '', code: null, room: null, project: null, checker: null, parent: null }]],
    ['a part that moves nothing', [], [{ id: 't1', _partial: true, name: 'new', owner: 'ann' }]],
    ['a part that moves', [moved('t1', first)], [{ id: 't1', _partial: true, owner: 'bob' }]],
    ['a part that leaves a project', [moved('t1', first)], [{ id: 't1', _partial: true, project: null }]],
    ['a removal', [gone('t2', second)], [{ id: 't2', _removed: true }]],
    ['a removal with what hangs below', [gone('t1', first), gone('t3', third)], [{ id: 't1', _removed: true }]],
    ['a removal that sets null', [moved('t1', first)], [{ id: 'c', _removed: true }], '/projects'],
    [
      'two rows that exchange a unique value, one of which moves',
      [moved('t2', second)],
      [
        { id: 't1', _partial: true, code: 'Y' },
        { id: 't2', _partial: true, code: 'X', room: 3 },
      ],
    ],
  ]

  test.each(posts)('posted: %s', async (_, expected, rows, path = '/tasks') => {
    const { dataSource } = await open(kind)
    const { post, errors } = await serve(dataSource)
    const { status, json } = await post(path, rows)
    expect([status, errors]).toEqual([200, []])
    const exits = await exitsOf(dataSource)
    expect(exits.map(({ stamp, ...exit }) => exit)).toEqual(expected)
    for (const { stamp } of exits) expect(stamp).toBe(json.now)
  })

  test('an entity without scopes leaves tombstones alone', async () => {
    const { run } = await open(kind)
    await run(`UPDATE "plain" SET "owner" = 'bob'`)
    await run(`DELETE FROM "plain"`)
    expect(await run('SELECT * FROM "sync_base_plain"')).toEqual([])
  })

  test('exits are collected with tombstones', async () => {
    const { dataSource, run } = await open(kind)
    await run(`UPDATE "task" SET "owner" = 'bob'`)
    await run(`DELETE FROM "task" WHERE "id" = 't2'`)
    expect(await exitsOf(dataSource)).toHaveLength(4)
    expect(await collectTombstones(dataSource, { olderThan: 60_000 })).toBe(0)
    expect(await exitsOf(dataSource)).toHaveLength(4)
    expect(await collectTombstones(dataSource, { olderThan: -60_000 })).toBe(1)
    expect(await exitsOf(dataSource)).toEqual([])
  })
})
