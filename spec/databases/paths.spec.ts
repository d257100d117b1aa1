import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, EntitySchema, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { hasLocalChanges, syncAll } from 'typeorm-sync'
import { changeSchema } from '../../src/changes/setUp/changeSchema.js'
import { EnableSync, enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { SyncConfigurationError } from '../../src/errors.js'
import { databaseOn, type Kind, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

const text = { length: 40 } as const

@EnableSync('/projects')
@Entity('project')
class Project {
  @PrimaryColumn('varchar', { ...text }) id!: string
}

@EnableSync('/replies', { scopes: ['comment.task.project', 'author'] })
@Entity('reply')
class Reply {
  @PrimaryColumn('varchar', { ...text }) id!: string
  @Column('varchar', { ...text, nullable: true }) author!: string | null
  @ManyToOne(() => Comment, { onDelete: 'CASCADE' }) comment!: Relation<Comment> | null
}

@EnableSync('/comments', { scopes: ['task.project'] })
@Entity('comment')
class Comment {
  @PrimaryColumn('varchar', { ...text }) id!: string
  @Column('varchar', { ...text, default: '' }) text!: string
  @ManyToOne(() => Task, { onDelete: 'CASCADE' }) task!: Relation<Task> | null
}

@EnableSync('/tasks', { scopes: ['project'] })
@Entity('task')
class Task {
  @PrimaryColumn('varchar', { ...text }) id!: string
  @ManyToOne(() => Project, { onDelete: 'SET NULL' }) project!: Relation<Project> | null
}

const entities = [Project, Reply, Comment, Task]
const KINDS: Kind[] = ['sqljs', ...SERVERS]
const COLUMN = { comment: '_sync_scope_task_project', reply: '_sync_scope_comment_task_project' }

const clock = async (dataSource: DataSource) => Number((await sql(dataSource, 'SELECT "now" AS stamp FROM "sync_clock"'))[0].stamp)

/** Tasks t in the project p, and u in q; on t a comment c with a reply r, on u a comment d. */
async function open(kind: Kind) {
  const dataSource = await openOn(kind, entities)
  const run = (statement: string, ...values: unknown[]) => sql(dataSource, statement, values)
  await run(`INSERT INTO "project" ("id") VALUES ('p'), ('q')`)
  await run(`INSERT INTO "task" ("id", "projectId") VALUES ('t', 'p'), ('u', 'q')`)
  await run(`INSERT INTO "comment" ("id", "taskId") VALUES ('c', 't'), ('d', 'u')`)
  await run(`INSERT INTO "reply" ("id", "commentId") VALUES ('r', 'c')`)
  return { dataSource, run, before: await clock(dataSource) }
}

async function scopesOf(dataSource: DataSource, above = 0) {
  const found: Record<string, string | null> = {}
  const changed: string[] = []
  for (const [table, column] of Object.entries(COLUMN))
    for (const row of await sql(dataSource, `SELECT "id", "${column}" AS scope, "_lastChange" AS stamp FROM "${table}" ORDER BY "id"`)) {
      found[row.id] = row.scope
      if (Number(row.stamp) > above) changed.push(row.id)
    }
  return { found, changed }
}

async function exitsOf(dataSource: DataSource) {
  const exits: unknown[] = []
  for (const [table, column] of Object.entries(COLUMN))
    for (const row of await sql(
      dataSource,
      `SELECT "_sync_id" AS id, "_sync_removed" AS removed, "${column}" AS scope FROM "sync_base_${table}" WHERE "_sync_server" = 0 ORDER BY "_sync_stamp", "_sync_id"`,
    ))
      exits.push([row.id, Number(row.removed), row.scope])
  return exits
}

type Write = (run: (statement: string, ...values: unknown[]) => Promise<any>, kind: Kind) => Promise<unknown>
const filled = { c: 'p', d: 'q', r: 'p' }

const writes: [title: string, found: object, changed: string[], exits: unknown[], write: Write, kinds?: Kind[]][] = [
  ['nothing', filled, [], [], async () => {}],
  ['an edit', filled, ['c'], [], run => run(`UPDATE "comment" SET "text" = 'new' WHERE "id" = 'c'`)],
  [
    'a task that moves',
    { ...filled, c: 'q', r: 'q' },
    ['c', 'r'],
    [
      ['c', 0, 'p'],
      ['r', 0, 'p'],
    ],
    run => run(`UPDATE "task" SET "projectId" = 'q' WHERE "id" = 't'`),
  ],
  ['a task that is set to what it is', filled, [], [], run => run(`UPDATE "task" SET "projectId" = 'p' WHERE "id" = 't'`)],
  [
    'a comment that moves',
    { ...filled, c: 'q', r: 'q' },
    ['c', 'r'],
    [
      ['c', 0, 'p'],
      ['r', 0, 'p'],
    ],
    run => run(`UPDATE "comment" SET "taskId" = 'u' WHERE "id" = 'c'`),
  ],
  [
    'a comment without a task',
    { ...filled, c: null, r: null },
    ['c', 'r'],
    [
      ['c', 0, 'p'],
      ['r', 0, 'p'],
    ],
    run => run(`UPDATE "comment" SET "taskId" = NULL WHERE "id" = 'c'`),
  ],
  [
    'a project that is removed',
    { ...filled, c: null, r: null },
    ['c', 'r'],
    [
      ['c', 0, 'p'],
      ['r', 0, 'p'],
    ],
    run => run(`DELETE FROM "project" WHERE "id" = 'p'`),
  ],
  [
    'a task that is removed',
    { d: 'q' },
    [],
    [
      ['c', 1, 'p'],
      ['r', 1, 'p'],
    ],
    run => run(`DELETE FROM "task" WHERE "id" = 't'`),
  ],
  [
    'all tasks at once',
    { c: null, d: null, r: null },
    ['c', 'd', 'r'],
    [
      ['c', 0, 'p'],
      ['d', 0, 'q'],
      ['r', 0, 'p'],
    ],
    run => run(`UPDATE "task" SET "projectId" = NULL`),
  ],
  [
    'a comment that is replaced where it is',
    filled,
    ['c'],
    [],
    (run, kind) => run(`INSERT OR REPLACE INTO "comment" ("id", "taskId", "text") VALUES ('d', 'u', 'new')`).then(() => kind),
    ['sqljs', 'libsql'],
  ],
]

describe.each(KINDS)('on %s', kind => {
  test.each(writes.filter(w => !w[5] || w[5].includes(kind)))('%s', async (title, found, changed, exits, write) => {
    const { dataSource, run, before } = await open(kind)
    await write(run, kind)
    expect(await scopesOf(dataSource, before)).toEqual({ found, changed: title.includes('replaced') ? ['d'] : changed })
    expect(new Set((await exitsOf(dataSource)).map(e => JSON.stringify(e)))).toEqual(new Set(exits.map(e => JSON.stringify(e))))
  })

  test('what is posted', async () => {
    const { dataSource, before } = await open(kind)
    const { post, url, errors } = await serve(dataSource)
    expect((await post('/tasks', [{ id: 't', _partial: true, project: 'q' }])).status).toBe(200)
    expect(await scopesOf(dataSource, before)).toEqual({ found: { c: 'q', d: 'q', r: 'q' }, changed: ['c', 'r'] })
    expect(await exitsOf(dataSource)).toEqual([
      ['c', 0, 'p'],
      ['r', 0, 'p'],
    ])
    const answer = (await (await fetch(`${url}/comments?since=${before}`)).json()) as any
    expect(answer.updates.map((u: { id: string }) => u.id)).toEqual(['c'])
    expect(Object.keys(answer.updates[0]).sort()).toEqual(['_lastChange', 'id', 'task', 'text'])
    // of what moves itself, and what is new
    expect((await post('/tasks', [{ id: 'v', project: 'p' }])).status).toBe(200)
    expect((await post('/comments', [{ id: 'd', _partial: true, task: 'v' }])).status).toBe(200)
    expect((await post('/comments', [{ id: 'e', text: '', task: 'v' }])).status).toBe(200)
    expect((await post('/comments', [{ id: 'd', _partial: true, task: 'v', text: 'new' }])).status).toBe(200)
    expect((await scopesOf(dataSource)).found).toEqual({ c: 'q', d: 'p', e: 'p', r: 'q' })
    expect((await exitsOf(dataSource)).filter(e => (e as string[])[0] === 'd')).toEqual([['d', 0, 'q']])
    expect(await sql(dataSource, 'SELECT 1 FROM "sync_replaced"').catch(() => [])).toEqual([])
    expect(errors).toEqual([])
    // and the engine is not left where it captures itself
    const now = await clock(dataSource)
    await sql(dataSource, `UPDATE "comment" SET "text" = 'x' WHERE "id" = 'c'`)
    expect((await scopesOf(dataSource, now)).changed).toEqual(['c'])
  })

  test('a migration that moves tasks', async () => {
    const { dataSource, run, before } = await open(kind)
    await changeSchema(changeLogOf(dataSource), () => run(`UPDATE "task" SET "projectId" = 'q' WHERE "id" = 't'`), { changesRows: true })
    expect(await scopesOf(dataSource, before)).toEqual({ found: { c: 'q', d: 'q', r: 'q' }, changed: ['c', 'r'] })
    expect(new Set((await exitsOf(dataSource)).map(e => JSON.stringify(e)))).toEqual(new Set(['["c",0,"p"]', '["r",0,"p"]']))
  })

  test('a device that pulls: nothing of it is a change of the device', async () => {
    const { dataSource, run } = await open(kind)
    const { url } = await serve(dataSource)
    const device = await openOn('libsql', entities, { server: url })
    await syncAll(device)
    expect((await scopesOf(device)).found).toEqual(filled)
    await run(`UPDATE "task" SET "projectId" = 'q' WHERE "id" = 't'`)
    await syncAll(device)
    expect((await scopesOf(device)).found).toEqual({ c: 'q', d: 'q', r: 'q' })
    expect(await hasLocalChanges(device)).toBe(false)
    expect(await exitsOf(device)).toEqual([])
    await device.getRepository(Task).update('u', { project: { id: 'p' } })
    await syncAll(device)
    expect((await scopesOf(device)).found).toEqual({ c: 'q', d: 'p', r: 'q' })
    expect((await scopesOf(dataSource)).found).toEqual({ c: 'q', d: 'p', r: 'q' })
    await syncAll(device)
    expect(await hasLocalChanges(device)).toBe(false)
  })
})

function schemas(scopes: string[]) {
  const Owner = new EntitySchema<any>({
    name: 'Owner',
    columns: { id: { type: 'varchar', length: 40, primary: true }, name: { type: 'varchar', length: 40 } },
  })
  const Note = new EntitySchema<any>({
    name: 'Note',
    columns: { id: { type: 'varchar', length: 40, primary: true } },
    relations: { owner: { type: 'many-to-one', target: 'Owner' }, other: { type: 'many-to-one', target: 'Note' } },
  })
  enableSync(Owner, '/owners')
  enableSync(Note, '/notes', { scopes })
  return [Owner, Note]
}

test.each(SERVERS)('a path that is declared later is filled: %s', async kind => {
  const options = await databaseOn(kind)
  const before = await openIn(options, schemas([]))
  await sql(before, `INSERT INTO "owner" ("id", "name") VALUES ('o', 'Ann')`)
  await sql(before, `INSERT INTO "note" ("id", "ownerId") VALUES ('n', 'o')`)
  await before.destroy()
  const after = await openIn(options, schemas(['owner.name']))
  expect(await sql(after, 'SELECT "_sync_scope_owner_name" AS scope FROM "note"')).toEqual([{ scope: 'Ann' }])
  await sql(after, `UPDATE "owner" SET "name" = 'Bob'`)
  expect(await sql(after, 'SELECT "_sync_scope_owner_name" AS scope FROM "note"')).toEqual([{ scope: 'Bob' }])
  expect(await after.getRepository('Note').find()).toEqual([{ id: 'n' }])
  expect((await after.driver.createSchemaBuilder().log()).upQueries.map(q => q.query)).toEqual([])
})

test.each([
  ['owner.size', /Owner has no such column or to-one relation/],
  ['other.owner', /it leads from the entity to itself/],
  ['nobody.name', /it has no such column or to-one relation/],
])('a path that cannot be one: %s', async (path, says) => {
  const opening = openOn('libsql', schemas([path]))
  await expect(opening).rejects.toThrow(SyncConfigurationError)
  await expect(opening).rejects.toThrow(says)
})
