// A push or a page is one change, whatever order its rows come in: unique values and keys that go from row to row arrive, in both directions,
// on every kind of database, and what cannot be stored stops no other row.

import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema, type EntitySchemaColumnOptions } from 'typeorm'
import { enableSync, journal, preferLocalConflictHandler, syncAll, type WithSyncOptions } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { unappliedOf } from '../support/unapplied.js'

const id = { type: 'varchar', length: 36, primary: true } as const
const short = { type: 'varchar', length: 20 } as const

let tables = 0
/** A table of its own, whose column `v` is unique. */
function uniqueTable(v: Omit<EntitySchemaColumnOptions, 'type'> & { type: string }, more: object = {}) {
  const tableName = `thing${++tables}`
  const entity = new EntitySchema<{ id: string; v: unknown }>({
    ...{ name: tableName, tableName },
    columns: { id, v: { ...v, unique: true } as EntitySchemaColumnOptions },
    ...more,
  })
  enableSync(entity, `/${tableName}`)
  return { entity, tableName }
}

interface World {
  there: DataSource
  alice: DataSource
  bob: DataSource
}

/** A server and Bob on a kind of database, Alice on sql.js. */
async function world(kind: Kind, entities: EntitySchema<any>[], options: WithSyncOptions = {}): Promise<World> {
  const there = await openOn(kind === 'sqljs' ? 'libsql' : kind, entities)
  const { url } = await serve(there)
  return {
    there,
    alice: await openOn('sqljs', entities, { server: url, ...options }),
    bob: await openOn(kind, entities, { server: url, ...options }),
  }
}

const rowsOf = async (of: DataSource, table: string, columns: string) => sql(of, `SELECT ${columns} FROM "${table}" ORDER BY "id"`)

async function expectEverywhere({ there, alice, bob }: World, table: string, columns: string, rows: object[]) {
  await syncAll(bob)
  for (const each of [there, alice, bob]) expect(await rowsOf(each, table, columns)).toEqual(rows)
  for (const each of [alice, bob]) {
    const { rejected, unapplied } = await syncAll(each)
    expect({ rejected, unapplied }).toEqual({ rejected: 0, unapplied: 0 })
  }
}

const KINDS = ['sqljs', ...SERVERS] as Kind[]

describe.each(KINDS)('on %s', kind => {
  test('a tag that is removed and made anew, or renamed and made anew, arrives with those beside it', async () => {
    const { entity, tableName: tag } = uniqueTable(short)
    const all = await world(kind, [entity])
    const { alice, bob } = all
    for (const [key, v] of [
      ['m', 'red'],
      ['n', 'blue'],
    ])
      await sql(alice, `INSERT INTO ${tag} (id, v) VALUES (?, ?)`, [key, v])
    await syncAll(alice)
    await syncAll(bob)
    await sql(alice, `DELETE FROM ${tag} WHERE id = 'm'`)
    await sql(alice, `INSERT INTO ${tag} (id, v) VALUES ('x', 'red')`)
    await sql(alice, `UPDATE ${tag} SET v = 'navy' WHERE id = 'n'`)
    await sql(alice, `INSERT INTO ${tag} (id, v) VALUES ('a', 'blue'), ('z', 'green')`)
    expect(await syncAll(alice)).toMatchObject({ pushed: 5, rejected: 0 })
    await expectEverywhere(all, tag, 'id, v', [
      { id: 'a', v: 'blue' },
      { id: 'n', v: 'navy' },
      { id: 'x', v: 'red' },
      { id: 'z', v: 'green' },
    ])
  })

  const values: [string, Omit<EntitySchemaColumnOptions, 'type'> & { type: string }, unknown, unknown][] = [
    ['a number', { type: 'int' }, 1, 2],
    ['a small number at both ends of its range', { type: 'smallint' }, -32768, 32767],
    ['a large number', { type: 'bigint' }, '9007199254740993', '9007199254740994'],
    ['a text of one letter', { type: 'varchar', length: 1 }, 'a', 'b'],
    ['a short text', { type: 'varchar', length: 10 }, 'abcdefghij', 'b'],
    ['a date', { type: 'date' }, '2026-01-01', '9999-12-31'],
    ['a time', { type: 'time' }, '10:00:00', '11:00:00'],
    ['a decimal', { type: 'decimal', precision: 4, scale: 2 }, '99.99', '-99.99'],
    ['a real', { type: 'double precision' }, 1.5, 2.5],
    ['a boolean, which has no third value', { type: 'boolean' }, true, false],
    ['a text that may be null', { type: 'varchar', length: 10, nullable: true }, 'a', 'b'],
  ]
  test.each(values)('two rows exchange %s', async (_, column, x, y) => {
    const type = column.type === 'double precision' && (kind === 'mysql' || kind === 'sqljs' || kind === 'libsql') ? 'double' : column.type
    // each data source has columns of its own
    const { entity, tableName } = uniqueTable({ ...column, type: kind === 'postgres' && type === 'double' ? 'double precision' : type })
    const there = await openOn(kind, [entity])
    const { url, post } = await serve(there)
    const bob = await openOn(kind, [entity], { server: url })
    expect(
      (
        await post(`/${tableName}`, [
          { id: '1', v: x },
          { id: '2', v: y },
        ])
      ).status,
    ).toBe(200)
    await syncAll(bob)
    const before = await rowsOf(bob, tableName, 'id, v')
    const pushed = await post(`/${tableName}`, [
      { id: '1', v: y },
      { id: '2', v: x },
    ])
    expect(pushed).toMatchObject({ status: 200 })
    await syncAll(bob)
    const [one, two] = before as { v: unknown }[]
    for (const each of [there, bob])
      expect(await rowsOf(each, tableName, 'id, v')).toEqual([
        { id: '1', v: two?.v },
        { id: '2', v: one?.v },
      ])
    expect(await syncAll(bob)).toMatchObject({ unapplied: 0, pulled: 0 })
  })

  test('two rows exchange a value for which the database has rules', async () => {
    const rule = kind === 'mysql' ? 'v BETWEEN 1 AND 9' : 'v BETWEEN 1 AND 9'
    const { entity, tableName } = uniqueTable({ type: 'int' }, { checks: [{ expression: rule }] })
    const all = await world(kind, [entity])
    if (kind === 'mysql') for (const each of [all.there, all.bob]) await sql(each, `ALTER TABLE ${tableName} ADD CHECK (${rule})`)
    for (const [key, v] of [
      ['1', 1],
      ['2', 9],
    ])
      await sql(all.alice, `INSERT INTO ${tableName} (id, v) VALUES (?, ?)`, [key, v])
    await syncAll(all.alice)
    await syncAll(all.bob)
    for (const [key, v] of [
      ['2', 5],
      ['1', 9],
      ['2', 1],
    ])
      await sql(all.alice, `UPDATE ${tableName} SET v = ? WHERE id = ?`, [v, key])
    expect(await syncAll(all.alice)).toMatchObject({ rejected: 0 })
    await expectEverywhere(all, tableName, 'id, v', [
      { id: '1', v: 9 },
      { id: '2', v: 1 },
    ])
  })

  test('a child moves from a folder that is removed to the one that gets its name', async () => {
    const Folder = new EntitySchema<any>({
      ...{ name: 'Folder', tableName: 'folder' },
      columns: { id, name: { ...short, unique: true } },
      relations: { parent: { type: 'many-to-one', target: 'Folder', nullable: true, onDelete: 'CASCADE' } },
    })
    enableSync(Folder, '/folders')
    const all = await world(kind, [Folder])
    const { alice, bob } = all
    await sql(alice, `INSERT INTO folder (id, name) VALUES ('p', 'Inbox')`)
    await sql(alice, `INSERT INTO folder (id, name, "parentId") VALUES ('c', 'Child', 'p')`)
    await syncAll(alice)
    await syncAll(bob)
    await sql(alice, `UPDATE folder SET name = 'old' WHERE id = 'p'`)
    await sql(alice, `INSERT INTO folder (id, name) VALUES ('a', 'Inbox')`)
    await sql(alice, `UPDATE folder SET "parentId" = 'a' WHERE id = 'c'`)
    await sql(alice, `DELETE FROM folder WHERE id = 'p'`)
    expect(await syncAll(alice)).toMatchObject({ pushed: 3, rejected: 0 })
    await expectEverywhere(all, 'folder', 'id, name, "parentId"', [
      { id: 'a', name: 'Inbox', parentId: null },
      { id: 'c', name: 'Child', parentId: 'a' },
    ])
  })

  test('two collections that reference each other come to a new device', async () => {
    const to = (target: string) => ({ type: 'many-to-one', target, nullable: true }) as const
    const Team = new EntitySchema<any>({
      ...{ name: 'Team', tableName: 'team' },
      columns: { id },
      relations: { captain: to('Player') },
    })
    const Player = new EntitySchema<any>({
      ...{ name: 'Player', tableName: 'player' },
      columns: { id },
      relations: { team: to('Team') },
    })
    for (const entity of [Team, Player]) enableSync(entity, `/${entity.options.tableName}s`)
    const { there, bob } = await world(kind, [Team, Player])
    await sql(there, `INSERT INTO team (id) VALUES ('t')`)
    await sql(there, `INSERT INTO player (id, "teamId") VALUES ('p', 't')`)
    await sql(there, `UPDATE team SET "captainId" = 'p' WHERE id = 't'`)
    await syncAll(bob)
    expect(await rowsOf(bob, 'team', 'id, "captainId"')).toEqual([{ id: 't', captainId: 'p' }])
    expect(await rowsOf(bob, 'player', 'id, "teamId"')).toEqual([{ id: 'p', teamId: 't' }])
    expect(await syncAll(bob)).toMatchObject({ unapplied: 0, pulled: 0, pushed: 0 })
  })

  test('a folder whose name another one has is in conflict, its child is deferred, and every other collection goes on', async () => {
    const relation = {
      type: 'many-to-one',
      target: 'Folder',
      nullable: true,
      deferrable: kind === 'mysql' ? undefined : 'INITIALLY DEFERRED',
    } as const
    const Folder = new EntitySchema<any>({
      ...{ name: 'Folder', tableName: 'folder' },
      columns: { id, name: { ...short, unique: true } },
      relations: { parent: relation },
    })
    const Other = new EntitySchema<any>({ ...{ name: 'Other', tableName: 'other' }, columns: { id } })
    enableSync(Folder, '/folders')
    enableSync(Other, '/others')
    const { there, bob } = await world(kind, [Folder, Other])
    await sql(bob, `INSERT INTO folder (id, name) VALUES ('b', 'Inbox')`)
    await sql(bob, `INSERT INTO other (id) VALUES ('o')`)
    await sql(there, `INSERT INTO folder (id, name) VALUES ('p', 'Inbox')`)
    await sql(there, `INSERT INTO folder (id, name, "parentId") VALUES ('c', 'Child', 'p')`)
    for (let i = 0; i < 3; i++) await syncAll(bob, preferLocalConflictHandler)
    const unapplied = await unappliedOf(journal(bob.getRepository(Folder)))
    expect(Object.fromEntries(unapplied.map(w => [w.id, w.reason]))).toEqual({ c: 'parent-missing', p: 'not-unique' })
    expect(await rowsOf(there, 'other', 'id')).toEqual([{ id: 'o' }])
  })

  test('a key that is looked at when the transaction ends rejects its row, not the push', async () => {
    if (kind === 'mysql') return // InnoDB looks at once
    const Folder = new EntitySchema<any>({
      ...{ name: 'Folder', tableName: 'folder' },
      columns: { id, name: { ...short, unique: true } },
      relations: { parent: { type: 'many-to-one', target: 'Folder', nullable: true, deferrable: 'INITIALLY DEFERRED' } },
    })
    enableSync(Folder, '/folders')
    const there = await openOn(kind, [Folder])
    const { post } = await serve(there)
    await post('/folders', [{ id: 'x', name: 'taken' }])
    const answer = await post('/folders', [
      { id: 'p', name: 'taken' },
      { id: 'c', name: 'child', parent: 'p' },
      { id: 'd', name: 'fine' },
    ])
    expect([answer.status, answer.json.errors.map((e: { id: string; code: string }) => [e.id, e.code])]).toEqual([
      422,
      [
        ['p', 'not-unique'],
        ['c', 'parent-missing'],
      ],
    ])
  })

  test('of rows that exchange their values the bad one is named, and innocent ones arrive', async () => {
    const { entity, tableName } = uniqueTable({ type: 'varchar', length: 5 })
    const { there, alice } = await world(kind, [entity])
    const put = (key: string, v: string) => sql(alice, `INSERT INTO ${tableName} (id, v) VALUES (?, ?)`, [key, v])
    for (const key of ['a', 'b', 'c', 'd']) await put(key, key)
    await syncAll(alice)
    await sql(alice, `UPDATE ${tableName} SET v = v || '!'`)
    for (const [key, v] of [
      ['a', 'b'],
      ['b', 'a'],
      ['c', 'd'],
      ['d', 'far too long'],
    ] as const)
      await sql(alice, `UPDATE ${tableName} SET v = ? WHERE id = ?`, [v, key])
    await put('e', 'c')
    for (let i = 0; i < 20; i++) await put(`f${i}`, `n${i}`)
    await syncAll(alice)
    const rejected = await journal(alice.getRepository(entity)).rejected()
    expect(Object.fromEntries(rejected.map(r => [r.id, r.code]))).toEqual({ c: 'not-unique', d: 'not-valid', e: 'not-unique' })
    const stored = await rowsOf(there, tableName, 'id, v')
    expect(stored.filter((r: { id: string }) => ['a', 'b'].includes(r.id))).toEqual([
      { id: 'a', v: 'b' },
      { id: 'b', v: 'a' },
    ])
    expect(stored).toHaveLength(24)
    // once the bad one is mended the others follow by themselves
    await sql(alice, `UPDATE ${tableName} SET v = 'short' WHERE id = 'd'`)
    await syncAll(alice)
    await syncAll(alice)
    expect(await journal(alice.getRepository(entity)).rejected()).toEqual([])
    expect(await rowsOf(there, tableName, 'id, v')).toEqual(await rowsOf(alice, tableName, 'id, v'))
  })

  test('places in a list move by one, over several pushes and pages', async () => {
    const { entity, tableName } = uniqueTable({ type: 'int' })
    const rejected = new Map<string, number>()
    const listening: typeof fetch = async (url, init) => {
      const response = await fetch(url, init)
      if (response.status === 422)
        for (const error of ((await response.clone().json()) as { errors: { id: string }[] }).errors)
          rejected.set(error.id, (rejected.get(error.id) ?? 0) + 1)
      return response
    }
    const { alice, bob, there } = await world(kind, [entity], { batchSize: 100, pageSize: 100, fetch: listening })
    const length = 300
    await alice.getRepository(entity).insert(Array.from({ length }, (_, i) => ({ id: `${i + 1}`, v: i + 1 })))
    await syncAll(alice)
    await syncAll(bob)
    await sql(alice, `UPDATE ${tableName} SET v = -v`)
    await sql(alice, `UPDATE ${tableName} SET v = 1 - v`)
    await sql(alice, `INSERT INTO ${tableName} (id, v) VALUES ('first', 1)`)
    for (let i = 0; i < 3; i++) await syncAll(alice)
    // pushed again, each row came after the one whose place it gets
    expect(Math.max(...rejected.values())).toBe(1)
    await syncAll(bob)
    for (const each of [alice, bob, there]) {
      expect(
        (
          await sql(
            each,
            `SELECT count(*) AS n FROM ${tableName} WHERE id <> 'first' AND v = CAST(id AS ${kind === 'mysql' && each !== alice ? 'SIGNED' : 'INTEGER'}) + 1`,
          )
        ).map((r: { n: unknown }) => Number(r.n)),
      ).toEqual([length])
      expect(await sql(each, `SELECT v FROM ${tableName} WHERE id = 'first'`)).toEqual([{ v: 1 }])
    }
    expect(await journal(alice.getRepository(entity)).rejected()).toEqual([])
  })
})

test('what a row let go of before it went was never its version: another server’s base is as it was', async () => {
  const tableName = 'mark'
  const columns = { id, v: { ...short, unique: true }, name: short }
  const onServer = () => new EntitySchema<any>({ name: tableName, tableName, columns: { ...columns } } as never)
  const servers = []
  for (let i = 0; i < 2; i++) {
    const entity = onServer()
    enableSync(entity, `/${tableName}`)
    const there = await openOn('libsql', [entity])
    servers.push({ there, ...(await serve(there)) })
  }
  const [one, two] = servers as [(typeof servers)[0], (typeof servers)[0]]
  const entity = onServer()
  enableSync(entity, [`${one.url}/${tableName}`, `${two.url}/${tableName}`])
  const alice = await openOn('sqljs', [entity])
  await sql(alice, `INSERT INTO mark (id, v, name) VALUES ('m', 'red', 'first')`)
  await syncAll(alice)
  await syncAll(alice)
  await sql(one.there, `DELETE FROM mark WHERE id = 'm'`)
  await sql(one.there, `INSERT INTO mark (id, v, name) VALUES ('x', 'red', 'new')`)
  await sql(two.there, `UPDATE mark SET name = 'edited' WHERE id = 'm'`)
  const bases: unknown[] = []
  await syncAll(alice, conflicts => {
    for (const { base } of conflicts) bases.push(base)
  })
  expect([...new Set(bases.map(base => JSON.stringify(base)))].map(base => JSON.parse(base))).toEqual([
    { id: 'm', v: 'red', name: 'first' },
  ])
})
