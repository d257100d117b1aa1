import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DataSource, type DataSourceOptions, EntitySchema } from 'typeorm'
import { enableSync, SyncConfigurationError, syncAll, withSync } from 'typeorm-sync'
import { device, startServerOn } from '../stories/devices.js'
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

const described = postgresUrl ? describe : describe.skip

described('schemas of one PostgreSQL database', () => {
  let database: string
  const closing: (() => Promise<unknown>)[] = []
  beforeEach(async () => {
    database = await newDatabase('schemas')
    await sql('CREATE SCHEMA app', 'CREATE SCHEMA "Other one"')
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

  async function open(options: object, entities = [Note]): Promise<DataSource> {
    const all = optionsOn(database, { entities, synchronize: true, ...options } as Partial<DataSourceOptions>)
    const dataSource = await withSync(new DataSource(all)).initialize()
    closing.push(async () => dataSource.isInitialized && dataSource.destroy())
    return dataSource
  }

  const ourTables = () =>
    sql(
      `SELECT table_schema AS schema, count(*)::int AS tables FROM information_schema.tables WHERE table_name LIKE 'sync%' GROUP BY 1 ORDER BY 1`,
    )

  async function clientOf(dataSource: DataSource): Promise<DataSource> {
    const there = await startServerOn(dataSource)
    closing.push(() => there.stop())
    const alice = await device([Note], there.url)
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

  test('an entity whose table is in another schema than the data source’s is rejected with what to do', async () => {
    const Elsewhere = schema({ schema: 'app' })
    await expect(open({}, [Elsewhere])).rejects.toThrow(SyncConfigurationError)
    await expect(open({}, [Elsewhere])).rejects.toThrow(/Note cannot be synced: its table app\.note .* schema: '…'/)
    enableSync(Elsewhere, '/elsewhere')
    await open({ schema: 'app' }, [Elsewhere])
  })
})
