import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync, syncAll, withSync } from 'typeorm-sync'
import { ensureTriggers } from '../../src/changes/setUp/setUp.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { device, startServerOn } from '../stories/devices.js'
import { dropDatabases, newDatabase, optionsOn } from '../support/postgresDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'

const Event = new EntitySchema<{ id: string; name: string }>({
  name: 'Event',
  tableName: 'event',
  columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' } },
})
enableSync(Event, '/events')

const described = postgresUrl ? describe : describe.skip

described('a table of PostgreSQL with partitions', () => {
  let database: string
  const closing: (() => Promise<unknown>)[] = []
  beforeEach(async () => {
    database = await newDatabase('partitions')
  })
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
    await dropDatabases(database)
  })

  async function open(...statements: string[]): Promise<DataSource> {
    const plain = await new DataSource(optionsOn(database, {})).initialize()
    for (const statement of statements) await plain.query(statement)
    await plain.destroy()
    const dataSource = await withSync(new DataSource(optionsOn(database, { entities: [Event] }))).initialize()
    closing.push(async () => dataSource.isInitialized && dataSource.destroy())
    return dataSource
  }

  const partitioned = [
    `CREATE TABLE event (id varchar PRIMARY KEY, name varchar NOT NULL, "_lastChange" bigint) PARTITION BY RANGE (id)`,
    `CREATE TABLE early PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('m')`,
    `CREATE TABLE late PARTITION OF event FOR VALUES FROM ('m') TO (MAXVALUE) PARTITION BY RANGE (id)`,
    `CREATE TABLE "latest one" PARTITION OF late DEFAULT`,
  ]

  test('is captured whether one writes to it or to a partition', async () => {
    const server = await open(...partitioned)
    const there = await startServerOn(server)
    closing.push(() => there.stop())
    const alice = await device([Event], there.url)
    closing.push(() => alice.destroy())
    const expectSame = async () => {
      await syncAll(alice)
      const rows = async (dataSource: DataSource) =>
        (await dataSource.getRepository(Event).find({ order: { id: 'ASC' } })).map(e => ({ ...e }))
      expect(await rows(alice)).toEqual(await rows(server))
    }
    await server.query(`INSERT INTO event (id, name) VALUES ('a', 'a'), ('b', 'b'), ('x', 'x'), ('y', 'y')`)
    await expectSame()
    await server.query(`UPDATE early SET name = 'A' WHERE id = 'a'`)
    await server.query(`DELETE FROM "latest one" WHERE id = 'x'`)
    await server.query(`INSERT INTO late (id, name) VALUES ('z', 'z')`)
    await expectSame()
    await server.query(`UPDATE event SET id = 'zz' WHERE id = 'b'`)
    await expectSame()
    await server.query('TRUNCATE early')
    await expectSame()
    expect(await alice.getRepository(Event).count()).toBe(3)
    await server.query('TRUNCATE event')
    await expectSame()
    await alice.getRepository(Event).save([
      { id: 'a', name: 'again' },
      { id: 'n', name: 'n' },
    ])
    expect(await syncAll(alice)).toMatchObject({ pushed: 2 })
    await expectSame()
  })

  test('is captured in a partition that is made later, from the next look at the triggers on', async () => {
    const server = await open(...partitioned)
    await server.query('ALTER TABLE event DETACH PARTITION early')
    await server.query(`CREATE TABLE early2 PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('m')`)
    await ensureTriggers(changeLogOf(server))
    await server.query(`INSERT INTO early2 (id, name) VALUES ('a', 'a')`)
    expect(await server.query('SELECT "_lastChange" IS NOT NULL AS stamped FROM event')).toEqual([{ stamped: true }])
  })

  test('a table that is swapped for another one is captured again, and clients read everything once more', async () => {
    const server = await open(`CREATE TABLE event (id varchar PRIMARY KEY, name varchar NOT NULL, "_lastChange" bigint)`)
    const there = await startServerOn(server)
    closing.push(() => there.stop())
    const alice = await device([Event], there.url)
    closing.push(() => alice.destroy())
    await server.query(`INSERT INTO event (id, name) VALUES ('a', 'a'), ('b', 'b'), ('c', 'c')`)
    await syncAll(alice)
    await server.query('ALTER TABLE event RENAME TO old')
    await server.query('CREATE TABLE event (LIKE old INCLUDING ALL)')
    await server.query('INSERT INTO event SELECT * FROM old')
    await server.query(`UPDATE event SET name = 'unseen' WHERE id = 'a'`)
    await server.query(`DELETE FROM event WHERE id = 'b'`)
    await server.query('DROP TABLE old')
    await ensureTriggers(changeLogOf(server))
    await server.query(`UPDATE event SET name = 'seen' WHERE id = 'c'`)
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
    expect((await alice.getRepository(Event).find({ order: { id: 'ASC' } })).map(e => e.name)).toEqual(['unseen', 'seen'])
  })

  test('a server that is asked looks whether a table was swapped', async () => {
    const server = await open(`CREATE TABLE event (id varchar PRIMARY KEY, name varchar NOT NULL, "_lastChange" bigint)`)
    const there = await startServerOn(server)
    closing.push(() => there.stop())
    await server.query('ALTER TABLE event RENAME TO old')
    await server.query('CREATE TABLE event (LIKE old INCLUDING ALL)')
    const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000)
    expect((await fetch(`${there.url}/events`)).status).toBe(200)
    const count = async () => Number((await server.query(`SELECT count(*) AS n FROM pg_trigger WHERE tgrelid = 'event'::regclass`))[0].n)
    while ((await count()) === 0) await new Promise(setImmediate)
    clock.mockRestore()
    await server.query(`INSERT INTO event (id, name) VALUES ('a', 'a')`)
    expect(await server.query('SELECT "_lastChange" IS NOT NULL AS stamped FROM event')).toEqual([{ stamped: true }])
  })

  test('is rejected where it is inheritance and no partition', async () => {
    const opening = open(
      `CREATE TABLE event (id varchar PRIMARY KEY, name varchar NOT NULL, "_lastChange" bigint)`,
      'CREATE TABLE special () INHERITS (event)',
    )
    await expect(opening).rejects.toThrow(/event cannot be synced: public\.special inherits from it/)
  })
})
