import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DataSource, type DataSourceOptions, EntitySchema, type QueryRunner } from 'typeorm'
import { enableSync, localMigration, SyncConfigurationError, setUpStatements, syncAll, withSync } from 'typeorm-sync'
import { keys, rule, syncHandler } from 'typeorm-sync/server'
import { checkHealth } from 'typeorm-sync/server-koa'
import { device, type Entities, startServerOn } from '../stories/devices.js'
import { dropDatabases, newDatabase, optionsOn } from '../support/postgresDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'

const schema = (more: object = {}) => {
  const Note = new EntitySchema<{ id: string; name: string }>({
    name: 'Note',
    tableName: 'note',
    columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' } },
    ...more,
  })
  enableSync(Note, '/notes')
  return Note
}
const Note = schema()

const BILLING = '"Billing & Co"'

/** Entities in several schemas, or the same ones in one. */
function books(isSpread: boolean) {
  const where = (name: string) => (isSpread ? { schema: name } : {})
  const entity = (url: string, options: object, scopes: string[] = []) => {
    const made = new EntitySchema<{ id: string }>(options as never)
    enableSync(made, url, { scopes: scopes as never })
    return made
  }
  const id = { type: 'varchar', primary: true }
  return [
    entity('/customers', {
      ...{ name: 'Customer', tableName: 'customer', ...where('Other one') },
      columns: { id, region: { type: 'varchar' } },
      indices: [{ columns: ['region', 'id'], unique: true }],
    }),
    entity('/tags', { name: 'Tag', tableName: 'tag', columns: { id } }),
    entity(
      '/invoices',
      {
        ...{ name: 'Invoice', tableName: 'invoice', ...where('Billing & Co') },
        columns: { id, title: { type: 'varchar' } },
        relations: {
          customer: { type: 'many-to-one', target: 'Customer', onDelete: 'CASCADE' },
          tags: { type: 'many-to-many', target: 'Tag', joinTable: true },
        },
      },
      ['customer.region'],
    ),
    entity('/lines', {
      ...{ name: 'Line', tableName: 'line' },
      columns: { id: { type: Number, primary: true, generated: 'increment' } },
      relations: { invoice: { type: 'many-to-one', target: 'Invoice', nullable: true, onDelete: 'SET NULL' } },
    }),
  ]
}

/** The same on both sides: the numbers of lines are each database's own. */
async function contents(dataSource: DataSource) {
  const all = (name: string, relations: object = {}) =>
    dataSource.getRepository(name).find({ order: { id: 'ASC' }, relations: relations as never }) as Promise<any[]>
  const table = dataSource.options.type === 'postgres' ? `${BILLING}.invoice` : 'invoice'
  const kept: { id: string; region: string }[] = await dataSource.query(`SELECT id, "_sync_scope_customer_region" AS region FROM ${table}`)
  const regionOf = (id: string) => kept.find(row => row.id === id)?.region
  return {
    customers: (await all('Customer')).map(c => `${c.id} ${c.region}`),
    invoices: (await all('Invoice', { customer: true, tags: true })).map(
      i => `${i.id} ${i.title} ${i.customer.id} ${regionOf(i.id)} [${i.tags.map((t: { id: string }) => t.id)}]`,
    ),
    lines: (await all('Line', { invoice: true })).map(l => l.invoice?.id ?? '').sort(),
  }
}

const described = postgresUrl ? describe : describe.skip

described('schemas of one PostgreSQL database', () => {
  let database: string
  const closing: (() => Promise<unknown>)[] = []
  beforeEach(async () => {
    database = await newDatabase('schemas')
    await sql('CREATE SCHEMA app', 'CREATE SCHEMA "Other one"', `CREATE SCHEMA ${BILLING}`)
  })
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
    await dropDatabases(database)
  })

  async function sql(...statements: string[]): Promise<any[]> {
    const plain = await new DataSource(optionsOn(database, {})).initialize()
    let rows: any[] = []
    for (const statement of statements) rows = await plain.query(statement)
    await plain.destroy()
    return rows
  }

  async function open(options: object, entities: Entities = [Note]): Promise<DataSource> {
    const all = optionsOn(database, { entities, synchronize: true, ...options } as Partial<DataSourceOptions>)
    const dataSource = await withSync(new DataSource(all)).initialize()
    closing.push(async () => dataSource.isInitialized && dataSource.destroy())
    return dataSource
  }

  const ourTables = () =>
    sql(
      `SELECT table_schema AS schema, count(*)::int AS tables FROM information_schema.tables WHERE table_name LIKE 'sync%' GROUP BY 1 ORDER BY 1`,
    )

  async function clientOf(dataSource: DataSource, entities: Entities = [Note]): Promise<DataSource> {
    const there = await startServerOn(dataSource)
    closing.push(() => there.stop())
    const alice = await device(entities, there.url)
    closing.push(() => alice.destroy())
    return alice
  }
  const namesOn = async (dataSource: DataSource) => (await dataSource.getRepository(Note).find({ order: { id: 'ASC' } })).map(n => n.name)

  test.each([
    ['by the option schema', { schema: 'app' }, { schema: 'Other one' }],
    [
      'by search paths that have one of them in common',
      { extra: { options: '-c search_path=app,public' } },
      { extra: { options: '-c search_path=public' } },
    ],
    ['by the option and the path of the role', { schema: 'app' }, {}],
  ])('two data sources with the same tables keep account of their own changes: %s', async (_, first, second) => {
    const [one, other] = [await open(second), await open(first)]
    const [alice, bob] = [await clientOf(one), await clientOf(other)]
    await alice.getRepository(Note).save({ id: 'a', name: 'of one' })
    await syncAll(alice)
    await bob.getRepository(Note).save({ id: 'a', name: 'of the other' })
    await bob.getRepository(Note).save({ id: 'b', name: 'second' })
    await syncAll(bob)
    await one.getRepository(Note).update('a', { name: 'of one, again' })
    await other.getRepository(Note).delete('b')
    await syncAll(alice)
    await syncAll(bob)
    expect([await namesOn(alice), await namesOn(one)]).toEqual([['of one, again'], ['of one, again']])
    expect([await namesOn(bob), await namesOn(other)]).toEqual([['of the other'], ['of the other']])
    const tables = await ourTables()
    expect(tables).toHaveLength(2)
    expect(tables[0].tables).toBe(tables[1].tables)
    for (const each of [one, other]) expect((await each.driver.createSchemaBuilder().log()).upQueries).toEqual([])
  })

  test('a data source with a schema of its own also syncs as a client', async () => {
    const server = await open({})
    const there = await startServerOn(server)
    closing.push(() => there.stop())
    const options = optionsOn(database, { entities: [Note], synchronize: true, schema: 'app' } as Partial<DataSourceOptions>)
    const alice = await withSync(new DataSource(options), { server: there.url, retries: 0 }).initialize()
    closing.push(() => alice.destroy())
    await alice.getRepository(Note).save([
      { id: 'a', name: 'a' },
      { id: 'b', name: 'b' },
    ])
    expect(await syncAll(alice)).toMatchObject({ pushed: 2 })
    await server.getRepository(Note).delete('a')
    await alice.getRepository(Note).update('b', { name: 'B' })
    expect(await syncAll(alice)).toMatchObject({ pulled: 1, pushed: 1, conflicts: 0 })
    expect([await namesOn(alice), await namesOn(server)]).toEqual([['B'], ['B']])
  })

  test('what a transaction of one schema changes in another one, by a trigger of the application, is a change there', async () => {
    const [one, other] = [await open({}), await open({ schema: 'app' })]
    await sql(
      `CREATE FUNCTION public.copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.note (id, name) VALUES (NEW.id, 'copy'); RETURN NULL; END $$`,
      'CREATE TRIGGER copies AFTER INSERT ON public.note FOR EACH ROW EXECUTE FUNCTION public.copy()',
    )
    const [alice, bob] = [await clientOf(one), await clientOf(other)]
    await syncAll(bob)
    await alice.getRepository(Note).save({ id: 'a', name: 'a' })
    await syncAll(alice)
    await syncAll(bob)
    expect(await namesOn(bob)).toEqual(['copy'])
  })

  test('a data source can name the schema of its entities where it is the own one as well', async () => {
    const Same = schema({ schema: 'app' })
    await open({ schema: 'app' }, [Same])
    expect((await ourTables()).map(t => t.schema)).toEqual(['app'])
  })

  test.each([
    ['with a schema of its own', { schema: 'app' }, 'app'],
    ['without', {}, 'public'],
  ])('entities of one data source in several schemas sync with one change log: a data source %s', async (_, options, own) => {
    const server = await open(options, books(true))
    expect((await server.driver.createSchemaBuilder().log()).upQueries).toEqual([])
    const alice = await clientOf(server, books(false))
    const both = () => Promise.all([server, alice].map(contents))

    // whoever writes there
    await server.getRepository('Customer').save([
      { id: 'a', region: 'north' },
      { id: 'b', region: 'south' },
    ])
    await server.getRepository('Tag').save({ id: 't' })
    await server.getRepository('Invoice').save({ id: 'a1', title: 'a1', customer: { id: 'a' }, tags: [{ id: 't' }] })
    await server.query(`INSERT INTO ${BILLING}.invoice (id, title, "customerId") VALUES ('b1', 'b1', 'b')`)
    await server.getRepository('Line').save([{ invoice: { id: 'a1' } }, { invoice: { id: 'b1' } }])
    expect(await syncAll(alice)).toMatchObject({ pulled: 8, unapplied: 0 })
    let [there, here] = await both()
    expect(here).toEqual(there)
    expect(here).toMatchObject({
      customers: ['a north', 'b south'],
      invoices: ['a1 a1 a north [t]', 'b1 b1 b south []'],
      lines: ['a1', 'b1'],
    })

    // and here
    await alice.getRepository('Customer').update('a', { region: 'west' })
    await alice.getRepository('Invoice').save({ id: 'b1', tags: [{ id: 't' }] })
    await alice.getRepository('Invoice').save({ id: 'b2', title: 'b2', customer: { id: 'b' } })
    await alice.getRepository('Line').save({ invoice: { id: 'b2' } })
    expect(await syncAll(alice)).toMatchObject({ pushed: 4, conflicts: 0, unapplied: 0 })
    ;[there, here] = await both()
    expect(there).toEqual(here)
    expect(there).toMatchObject({ invoices: ['a1 a1 a west [t]', 'b1 b1 b south [t]', 'b2 b2 b south []'], lines: ['a1', 'b1', 'b2'] })

    // a parent moves, and is removed: what a scope follows and what a foreign key does are in other schemas
    await server.query(`UPDATE "Other one".customer SET region = 'east' WHERE id = 'b'`)
    await server.query(`DELETE FROM "Other one".customer WHERE id = 'a'`)
    await syncAll(alice)
    ;[there, here] = await both()
    expect(here).toEqual(there)
    expect(here).toMatchObject({ customers: ['b east'], invoices: ['b1 b1 b east [t]', 'b2 b2 b east []'], lines: ['', 'b1', 'b2'] })
    await alice.getRepository('Customer').delete('b')
    await alice.getRepository('Tag').delete('t')
    await syncAll(alice)
    expect(await contents(server)).toEqual({ customers: [], invoices: [], lines: ['', '', ''] })
    expect((await ourTables()).map(t => t.schema)).toEqual([own])
  })

  test('what the set-up would do can be run by an administrator whose path leads elsewhere', async () => {
    const options = optionsOn(database, { entities: books(true), schema: 'app' } as Partial<DataSourceOptions>)
    const reviewing = await withSync(new DataSource({ ...options, synchronize: true } as DataSourceOptions), { setUp: false }).initialize()
    closing.push(() => reviewing.destroy())
    await sql((await setUpStatements(reviewing)).join(';\n'))
    expect((await ourTables()).map(t => t.schema)).toEqual(['app'])
    const prepared = await withSync(new DataSource(options), { setUp: false }).initialize()
    closing.push(() => prepared.destroy())
    const { now } = await checkHealth(prepared)
    await prepared.getRepository('Customer').save({ id: 'a', region: 'north' })
    expect((await checkHealth(prepared)).now).toBeGreaterThan(now)
  })

  const migration = (work: (runner: QueryRunner) => Promise<unknown>) => [
    class {
      name = 'Work1700000000001'
      up = work
      async down() {}
    },
  ]
  const migrationOf =
    (...statements: string[]) =>
    async (runner: QueryRunner) => {
      for (const statement of statements) await runner.query(statement)
    }

  /** What counts as changed, of three notes in the schema billing, after a migration; `more`: where the entity is then. */
  async function changedBy(work: (runner: QueryRunner) => Promise<unknown>, more: object): Promise<string[]> {
    await sql('CREATE SCHEMA billing')
    const before = await open({ schema: 'app' }, [schema({ schema: 'billing' })])
    await before.getRepository('Note').save(['a', 'b', 'c'].map(id => ({ id, name: id })))
    const { now } = await checkHealth(before)
    await clientOf(before).then(syncAll)
    await before.destroy()
    const after = await open({ schema: 'app', migrations: migration(work), migrationsRun: true, synchronize: false }, [schema(more)])
    const { tablePath } = after.getMetadata('Note')
    const changed: { name: string }[] = await after.query(`SELECT name FROM ${tablePath} WHERE "_lastChange" > ${now} ORDER BY id`)
    const removed: { id: string }[] = await after.query('SELECT id FROM app.sync_tombstone ORDER BY id')
    const [clock] = await after.query('SELECT horizon FROM app.sync_clock')
    expect(Number(clock.horizon)).toBe(0) // nobody reads everything anew
    return [...changed.map(row => row.name), ...removed.map(row => `no ${row.id}`)]
  }

  test.each([
    [
      'changes rows of another schema',
      [`UPDATE billing.note SET name = 'B' WHERE id = 'b'`, `DELETE FROM billing.note WHERE id = 'c'`],
      { schema: 'billing' },
      ['B', 'no c'],
    ],
    [
      'renames a table of another schema',
      ['ALTER TABLE billing.note RENAME TO memo', `UPDATE billing.memo SET name = 'B' WHERE id = 'b'`],
      { schema: 'billing', tableName: 'memo' },
      ['B'],
    ],
    [
      'moves a table to another schema',
      ['ALTER TABLE billing.note SET SCHEMA app', `UPDATE app.note SET name = 'B' WHERE id = 'b'`],
      { schema: 'app' },
      ['B'],
    ],
  ])('a migration %s: what it changed counts as changed', async (_, statements, more, changed) => {
    expect(await changedBy(migrationOf(...statements), more)).toEqual(changed)
  })

  test('a migration that each device makes for itself finds the table, and what is kept of it, each in its schema', async () => {
    const work = (runner: QueryRunner) =>
      localMigration(runner, 'note', table => runner.query(`UPDATE ${table} SET name = upper(name) WHERE name = 'b'`))
    expect(await changedBy(work, { schema: 'billing' })).toEqual([])
    expect(await sql('SELECT name FROM billing.note ORDER BY id')).toEqual([{ name: 'a' }, { name: 'B' }, { name: 'c' }])
  })

  test('a table of the same name in the own schema is in the way of one in another', async () => {
    await sql('CREATE TABLE app.note (id text)')
    const Elsewhere = schema({ schema: 'Other one' })
    await expect(open({ schema: 'app' }, [Elsewhere])).rejects.toThrow(
      /The table Other one\.note cannot be synced: app\.note is in its way.* Rename or drop one/,
    )
    await sql('DROP TABLE app.note')
    await open({ schema: 'app' }, [Elsewhere])
    // the same where it comes later
    await sql('CREATE TABLE app.note (id text)')
    await expect(open({ schema: 'app' }, [Elsewhere])).rejects.toThrow(SyncConfigurationError)
  })

  test('who is a member is read where the entity has its table, whatever else has that name', async () => {
    const Member = new EntitySchema<{ id: string; user: string; note: string }>({
      ...{ name: 'Member', tableName: 'member', schema: 'Other one' },
      columns: { id: { type: 'varchar', primary: true }, user: { type: 'varchar' }, note: { type: 'varchar' } },
    })
    await sql('CREATE TABLE app.member (id text, "user" text, note text)', `INSERT INTO app.member VALUES ('1', 'bob', 'secret')`)
    const there = await open({ schema: 'app' }, [Note, Member])
    await there.getRepository(Note).save(['shared', 'secret'].map(id => ({ id, name: id })))
    await there.getRepository(Member).save({ id: '1', user: 'bob', note: 'shared' })
    const { fetch } = syncHandler(there, {
      principal: () => ({ id: 'bob' }),
      rules: [rule(Note, { read: p => ({ id: keys(Member, 'note', { user: p.id }) }) })],
    })
    const { updates } = await (await fetch(new Request('http://there/notes'))).json()
    expect(updates.map((row: { id: string }) => row.id)).toEqual(['shared'])
  })

  test('two entities with tables of one name are rejected, whether both are synced or one', async () => {
    const Elsewhere = schema({ schema: 'app' })
    const Twin = schema({ name: 'Twin' })
    await expect(open({}, [Elsewhere, Twin])).rejects.toThrow(/the tables app\.note and note have one name.* Rename one/)
    const Unsynced = new EntitySchema({ name: 'Unsynced', tableName: 'note', columns: { id: { type: 'varchar', primary: true } } })
    await expect(open({}, [Elsewhere, Unsynced])).rejects.toThrow(SyncConfigurationError)
  })

  test('a table that another change log keeps account of is rejected, and stays its table', async () => {
    const other = await open({ schema: 'Other one' })
    await expect(open({ schema: 'app' }, [schema({ schema: 'Other one' })])).rejects.toThrow(
      /Other one\.note cannot be synced: the change log in the schema Other one syncs it/,
    )
    const alice = await clientOf(other)
    await other.getRepository(Note).save({ id: 'a', name: 'a' })
    await syncAll(alice)
    expect(await namesOn(alice)).toEqual(['a'])
  })

  test('a change log beside the tables of another one leaves its rows and its own tables alone', async () => {
    const other = await open({ schema: 'Other one' })
    await other.getRepository(Note).save({ id: 'a', name: 'of the other' })
    // the table note is yet to come here, and there is one in a schema that has entities of this data source as well
    const Memo = schema({ name: 'Memo', tableName: 'memo', schema: 'Other one' })
    const columns = '(id varchar PRIMARY KEY, name varchar NOT NULL, "_lastChange" bigint)'
    const migrations = migration(migrationOf(`CREATE TABLE app.note ${columns}`, `CREATE TABLE "Other one".memo ${columns}`))
    const one = await open({ schema: 'app', synchronize: false, migrations, migrationsRun: true }, [schema(), Memo])
    await one.getRepository('Memo').save({ id: 'm', name: 'memo' })
    expect(await sql('SELECT id FROM app.sync_tombstone')).toEqual([])
    expect(await other.getRepository(Note).countBy({ name: 'of the other' })).toBe(1)
    expect(await sql('SELECT collection FROM "Other one".sync_collection')).toEqual([{ collection: 'note' }])
    expect(await sql('SELECT collection FROM app.sync_collection ORDER BY 1')).toEqual([{ collection: 'memo' }, { collection: 'note' }])
  })

  test('where the schema of the data source is missing, no other one gets its change log', async () => {
    await sql('CREATE TABLE "Other one".note (id varchar PRIMARY KEY, name varchar NOT NULL, "_lastChange" bigint)')
    const dataSource = await open({ schema: 'later', synchronize: false }, [schema({ schema: 'Other one' })])
    await expect(syncAll(dataSource, { server: 'http://127.0.0.1:1' } as never)).rejects.toThrow(/There is no schema later/)
    expect(await ourTables()).toEqual([])
  })
})
