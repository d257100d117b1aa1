import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { syncAll } from 'typeorm-sync'
import { changeSchema } from '../../src/changes/setUp/changeSchema.js'
import { enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { databaseOn, type Kind, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

interface Note {
  id: string
  text: string
  owner: string
}

/** The entity as a version of the application has it. */
function noteWith(scopes: string[], columns: Partial<EntitySchema<Note>['options']['columns']> = {}) {
  const Note = new EntitySchema<Note>({
    ...{ name: 'Note', tableName: 'note' },
    columns: {
      id: { type: 'varchar', length: 40, primary: true },
      text: { type: 'varchar', length: 40, default: '' },
      owner: { type: 'varchar', length: 40, nullable: true },
      ...columns,
    },
  })
  enableSync(Note, '/notes', { scopes })
  return Note
}

async function exitsOf(dataSource: DataSource, server = 0) {
  const rows = await sql(
    dataSource,
    `SELECT "_sync_id" AS id, "_sync_removed" AS removed, "owner" FROM "sync_base_note" WHERE "_sync_server" = ? ORDER BY "_sync_stamp", "_sync_id"`,
    [server],
  )
  return rows.map((row: { id: string; removed: unknown; owner: string }) => [row.id, Number(row.removed), row.owner])
}

async function indexesOf(dataSource: DataSource): Promise<string[]> {
  const { type } = dataSource.options
  const from =
    type === 'postgres'
      ? `pg_indexes WHERE tablename = 'sync_base_note' AND indexname LIKE 'sync_exit%'`
      : type === 'mariadb'
        ? `information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'sync_base_note' AND INDEX_NAME LIKE 'sync_exit%' AND SEQ_IN_INDEX = 1`
        : `sqlite_master WHERE type = 'index' AND tbl_name = 'sync_base_note' AND name LIKE 'sync_exit%'`
  const name = type === 'postgres' ? 'indexname' : type === 'mariadb' ? 'INDEX_NAME' : 'name'
  return (await dataSource.query(`SELECT ${name} AS name FROM ${from} ORDER BY 1`)).map((row: { name: string }) => row.name)
}

const clockOf = async (dataSource: DataSource) => {
  const [row] = await sql(dataSource, 'SELECT "now", "horizon" FROM "sync_clock"')
  return { now: Number(row.now), horizon: Number(row.horizon) }
}

const insert = (dataSource: DataSource, ...ids: string[]) =>
  sql(dataSource, `INSERT INTO "note" ("id", "owner") VALUES ${ids.map(() => `(?, 'ann')`).join(', ')}`, ids)

describe.each(SERVERS)('on %s', kind => {
  test('scopes that are declared later lose nothing, and clients read everything again', async () => {
    const options = await databaseOn(kind)
    const before = await openIn(options, [noteWith([])])
    await insert(before, 'a')
    await sql(
      before,
      `INSERT INTO "sync_base_note" ("_sync_server", "_sync_id", "_sync_stamp", "_sync_removed", "owner") VALUES (7, 'a', 1, 0, 'x')`,
    )
    await sql(before, `UPDATE "note" SET "owner" = 'bob'`)
    const { now, horizon } = await clockOf(before)
    expect([await exitsOf(before), await indexesOf(before), horizon]).toEqual([[], [], 0])
    await before.destroy()

    const after = await openIn(options, [noteWith(['owner'])])
    expect(await indexesOf(after)).toHaveLength(1)
    expect((await clockOf(after)).horizon).toBeGreaterThan(now)
    expect(await exitsOf(after, 7)).toEqual([['a', 0, 'x']])
    await sql(after, `UPDATE "note" SET "owner" = 'cay'`)
    expect(await exitsOf(after)).toEqual([['a', 0, 'bob']])
    const since = await clockOf(after)
    await after.destroy()

    const again = await openIn(options, [noteWith(['owner'], { extra: { type: 'varchar', length: 10, nullable: true } } as object)])
    expect([await exitsOf(again), (await indexesOf(again)).length, (await clockOf(again)).horizon]).toEqual([
      [['a', 0, 'bob']],
      1,
      since.horizon,
    ])
    await again.destroy()

    const without = await openIn(options, [noteWith([])])
    expect([await exitsOf(without), await exitsOf(without, 7), await indexesOf(without)]).toEqual([[], [['a', 0, 'x']], []])
    await sql(without, `DELETE FROM "note"`)
    expect(await exitsOf(without)).toEqual([])
  })

  test('a migration that moves and removes rows leaves exits', async () => {
    const dataSource = await openOn(kind, [noteWith(['owner'])])
    await insert(dataSource, 'a', 'b', 'c')
    const migrate = async () => {
      await sql(dataSource, `UPDATE "note" SET "owner" = 'bob' WHERE "id" = 'a'`)
      await sql(dataSource, `UPDATE "note" SET "text" = 'new' WHERE "id" = 'b'`)
      await sql(dataSource, `DELETE FROM "note" WHERE "id" = 'c'`)
    }
    await changeSchema(changeLogOf(dataSource), migrate, { changesRows: true })
    expect((await exitsOf(dataSource)).sort()).toEqual([
      ['a', 0, 'ann'],
      ['c', 1, 'ann'],
    ])
    const [row] = await sql(
      dataSource,
      `SELECT count(*) AS n FROM "sync_base_note" i JOIN "note" x ON x."id" = i."_sync_id" WHERE x."_lastChange" = i."_sync_stamp"`,
    )
    expect(Number(row.n)).toBe(1)
  })

  test('a row that a trigger of the application moves leaves an exit', async () => {
    const dataSource = await openOn(kind, [noteWith(['owner'])])
    await insert(dataSource, 'a', 'b')
    await trigger(dataSource, kind)
    await sql(dataSource, `UPDATE "note" SET "text" = 'bob' WHERE "id" = 'a'`)
    expect(await exitsOf(dataSource)).toEqual([['a', 0, 'ann']])
    const { post } = await serve(dataSource)
    expect(await post('/notes', [{ id: 'b', _partial: true, text: 'cay' }])).toMatchObject({ status: 200 })
    expect(await exitsOf(dataSource)).toEqual([
      ['a', 0, 'ann'],
      ['b', 0, 'ann'],
    ])
    // what it does not move leaves none
    expect(await post('/notes', [{ id: 'b', _partial: true, text: '' }])).toMatchObject({ status: 200 })
    expect(await exitsOf(dataSource)).toHaveLength(2)
  })
})

/** Gives a row to the one whom its text names. */
async function trigger(dataSource: DataSource, kind: Kind): Promise<void> {
  if (kind === 'mysql')
    await dataSource.query(
      "CREATE TRIGGER app BEFORE UPDATE ON note FOR EACH ROW BEGIN IF NEW.text <> '' THEN SET NEW.owner = NEW.text; END IF; END",
    )
  else if (kind === 'postgres')
    await dataSource.query(`
      CREATE FUNCTION app() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE note SET owner = NEW.text WHERE id = NEW.id AND owner <> NEW.text AND NEW.text <> ''; RETURN NULL; END $$;
      CREATE TRIGGER app AFTER UPDATE ON note FOR EACH ROW EXECUTE FUNCTION app()`)
  else
    await dataSource.query(`CREATE TRIGGER app AFTER UPDATE ON note WHEN NEW.text <> '' AND NEW.owner <> NEW.text
      BEGIN UPDATE note SET owner = NEW.text WHERE id = NEW.id; END`)
}

test('PostgreSQL: where a trigger moves a row on, the first scope is the one that it left', async () => {
  if (!SERVERS.includes('postgres')) return
  const dataSource = await openOn('postgres', [noteWith(['owner'])])
  await insert(dataSource, 'a')
  await trigger(dataSource, 'postgres')
  await sql(dataSource, `UPDATE "note" SET "owner" = 'cay', "text" = 'bob'`)
  expect(await exitsOf(dataSource)).toEqual([['a', 0, 'ann']])
})

test('a removal that a trigger makes a move of leaves an exit', async () => {
  const dataSource = await openOn('libsql', [noteWith(['owner'])])
  await insert(dataSource, 'a')
  await dataSource.query(
    `CREATE TRIGGER app BEFORE DELETE ON note BEGIN UPDATE note SET owner = 'bin' WHERE id = OLD.id; SELECT RAISE(IGNORE); END`,
  )
  const { post } = await serve(dataSource)
  expect(await post('/notes', [{ id: 'a', _removed: true }])).toMatchObject({ status: 200 })
  expect(await exitsOf(dataSource)).toEqual([['a', 0, 'ann']])
  expect(await sql(dataSource, 'SELECT "owner" FROM "note"')).toEqual([{ owner: 'bin' }])
})

test.each(['sqljs', 'libsql'] as const)('what a device pulls leaves exits there: %s', async kind => {
  const Note = noteWith(['owner'])
  const server = await openOn('libsql', [Note])
  const { url } = await serve(server)
  await insert(server, 'a', 'b', 'c')
  const device = await openOn(kind, [Note], { server: url })
  await syncAll(device)
  expect(await exitsOf(device)).toEqual([])
  await sql(server, `UPDATE "note" SET "owner" = 'bob' WHERE "id" = 'a'`)
  await sql(server, `UPDATE "note" SET "text" = 'new' WHERE "id" = 'b'`)
  await syncAll(device)
  expect(await exitsOf(device)).toEqual([['a', 0, 'ann']])
  await sql(server, `DELETE FROM "note" WHERE "id" = 'c'`)
  await syncAll(device)
  expect(await exitsOf(device)).toEqual([
    ['a', 0, 'ann'],
    ['c', 1, 'ann'],
  ])
  await device.getRepository(Note).update('b', { owner: 'cay' })
  await syncAll(device)
  expect(await exitsOf(server)).toEqual([
    ['a', 0, 'ann'],
    ['c', 1, 'ann'],
    ['b', 0, 'ann'],
  ])
})
