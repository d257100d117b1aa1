// Numbers that people see, as that of an invoice: the server assigns them, and the device reads them back in the sync that pushes the row (docs/schemas.md).

import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { type EnableSyncOptions, enableSync, hasLocalChanges, syncAll } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

interface Row {
  id: string
  text: string
  account?: string | null
  number?: number | null
  big?: string | null
}

const invoiceWith = (options: EnableSyncOptions, { nullable = true, url = '/invoices' as string | string[] } = {}) => {
  const Invoice = new EntitySchema<Row>({
    ...{ name: 'Invoice', tableName: 'invoice' },
    columns: {
      id: { type: 'varchar', length: 40, primary: true },
      text: { type: 'varchar', length: 40 },
      account: { type: 'varchar', length: 40, nullable: true },
      number: { type: 'int', nullable },
      big: { type: 'bigint', nullable: true },
    },
  })
  enableSync(Invoice, url, options)
  return Invoice
}

const Invoice = invoiceWith({ assignedNumbers: { number: {} } })
const PerAccount = invoiceWith({ assignedNumbers: { number: { per: ['account'] }, big: {} } })
const Plain = invoiceWith({})

const read = (dataSource: DataSource, entity: EntitySchema<Row>) => dataSource.getRepository(entity).find({ order: { id: 'ASC' } })
const numbersOf = async (dataSource: DataSource, entity: EntitySchema<Row>) => (await read(dataSource, entity)).map(i => i.number)
/** Until the next sync of each has nothing to do. */
const syncTwice = async (...devices: DataSource[]) => {
  for (let i = 0; i < 2; i++) for (const device of devices) await syncAll(device)
}

describe.each(SERVERS)('a number that the server assigns, on %s', kind => {
  test('arrives in the sync that pushes its row, and is the same on every device', async () => {
    const there = await openOn(kind, [Invoice])
    const { url } = await serve(there)
    const [ann, bob] = [await openOn('libsql', [Invoice], { server: url }), await openOn('sqljs', [Invoice], { server: url })]
    await ann.getRepository(Invoice).save([
      { id: 'a', text: 'one' },
      { id: 'b', text: 'two' },
    ])
    await bob.getRepository(Invoice).save({ id: 'c', text: 'three' })
    // to read back is no contention: it costs a request, and no round
    expect(await syncAll(ann, undefined, { maxRounds: 1 })).toMatchObject({ pushed: 2, requests: 3 })
    expect(((await numbersOf(ann, Invoice)) as number[]).sort()).toEqual([1, 2])
    await syncAll(bob)
    expect(await bob.getRepository(Invoice).findOneBy({ id: 'c' })).toMatchObject({ number: 3 })
    await syncAll(ann)
    expect(await read(ann, Invoice)).toEqual(await read(there, Invoice))
    expect(await read(bob, Invoice)).toEqual(await read(there, Invoice))
    expect([await hasLocalChanges(ann), await hasLocalChanges(bob)]).toEqual([false, false])
  })

  test('is read-only on devices: what they write there, of a new row too, is taken back', async () => {
    const there = await openOn(kind, [Invoice])
    const { url } = await serve(there)
    const [ann, bob] = [await openOn('libsql', [Invoice], { server: url }), await openOn('sqljs', [Invoice], { server: url })]
    await ann.getRepository(Invoice).save({ id: 'a', text: 'one', number: 7 })
    await syncAll(ann)
    expect(await numbersOf(ann, Invoice)).toEqual([1])
    // the number alone; and with it what may be changed
    await ann.getRepository(Invoice).update('a', { number: 9 })
    await syncAll(ann)
    expect(await numbersOf(ann, Invoice)).toEqual([1])
    await ann.getRepository(Invoice).update('a', { number: null, text: 'more' })
    await syncTwice(ann, bob)
    for (const each of [there, ann, bob]) expect(await read(each, Invoice)).toMatchObject([{ number: 1, text: 'more' }])
    expect([await hasLocalChanges(ann), await hasLocalChanges(bob)]).toEqual([false, false])
    // an edit of the rest asks for nothing more
    await ann.getRepository(Invoice).update('a', { text: 'most' })
    expect((await syncAll(ann)).requests).toBe(2)
  })

  test('is counted per what is declared, null too, and goes on from rows that were there', async () => {
    const there = await openOn(kind, [PerAccount])
    await there.getRepository(PerAccount).save([
      { id: 'old', text: '', account: 'x', number: 40, big: '9007199254740993' },
      { id: 'without', text: '', account: 'x' },
    ])
    const { url, post } = await serve(there)
    const ann = await openOn('libsql', [PerAccount], { server: url })
    await syncAll(ann)
    await ann.getRepository(PerAccount).save({ id: 'a', text: '', account: 'x' })
    await syncAll(ann)
    await ann.getRepository(PerAccount).save({ id: 'b', text: '', account: 'y' })
    await ann.getRepository(PerAccount).save({ id: 'c', text: '', account: null })
    await syncAll(ann)
    // a row that has none gets it with the first push that changes it
    await ann.getRepository(PerAccount).update('without', { text: 'now' })
    await syncAll(ann)
    for (const each of [there, ann]) {
      const rows = await read(each, PerAccount)
      expect(rows.map(({ id, number }) => [id, number])).toEqual([
        ['a', 41],
        ['b', 1],
        ['c', 1],
        ['old', 40],
        ['without', 42],
      ])
      expect((await sql(each, BIG)).map(({ big }: { big: string }) => big.trim())).toEqual(
        [993, 994, 995, 996, 997].map(n => `9007199254740${n}`),
      )
    }
    // a client of 2012
    const before = await there.getRepository(PerAccount).count()
    expect(await post('/invoices', [{ id: 'z', text: '', account: 'y', number: 1 }])).toMatchObject({ status: 200 })
    expect(await there.getRepository(PerAccount).findOneBy({ id: 'z' })).toMatchObject({ number: 2 })
    expect(await there.getRepository(PerAccount).count()).toBe(before + 1)
    // what no column can hold rejects the row, and counts nothing
    expect(await post('/invoices', [{ id: 'bad', text: '', account: { deep: true } }])).toMatchObject({ status: 422 })
  })

  test('comes from the server above a relay', async () => {
    const there = await openOn(kind, [Invoice])
    await there.getRepository(Invoice).save({ id: 'old', text: '', number: 10 })
    const relay = await openOn('libsql', [Invoice], { server: (await serve(there)).url })
    const { url } = await serve(relay)
    const ann = await openOn('sqljs', [Invoice], { server: url })
    await ann.getRepository(Invoice).save({ id: 'a', text: 'one' })
    await syncAll(ann)
    expect(await numbersOf(ann, Invoice)).toEqual([null])
    await syncTwice(relay, ann)
    for (const each of [there, relay, ann]) expect(await numbersOf(each, Invoice)).toEqual([11, 10])
    expect([await hasLocalChanges(relay), await hasLocalChanges(ann)]).toEqual([false, false])
  })

  test('may be assigned by a trigger of the application', async () => {
    const there = await openOn(kind, [Plain])
    for (const statement of TRIGGERS[kind as keyof typeof TRIGGERS]) await sql(there, statement)
    const { url } = await serve(there)
    const ann = await openOn('libsql', [Plain], { server: url })
    await ann.getRepository(Plain).save([
      { id: 'a', text: 'one' },
      { id: 'b', text: 'two' },
    ])
    await syncAll(ann)
    const before = await read(there, Plain)
    expect(before.map(i => i.number).sort()).toEqual([1, 2])
    expect(await read(ann, Plain)).toEqual(before)
    // who changes it gets it back
    await ann.getRepository(Plain).update('a', { number: 9, text: 'more' })
    await syncAll(ann)
    for (const each of [there, ann]) expect(await read(each, Plain)).toMatchObject([{ text: 'more', number: before[0]?.number }, before[1]])
    expect(await hasLocalChanges(ann)).toBe(false)
  })
})

// TypeORM rounds what it reads on SQLite
const BIG = 'SELECT CAST("big" AS CHAR(20)) AS big FROM "invoice" ORDER BY 1'
const NEXT = 'SELECT COALESCE(MAX("number"), 0) + 1 FROM "invoice"'

/** The application's own: it assigns the next number, and keeps it. */
const TRIGGERS: Record<Exclude<Kind, 'sqljs'>, string[]> = {
  libsql: [
    `CREATE TRIGGER assign AFTER INSERT ON "invoice" BEGIN UPDATE "invoice" SET "number" = (${NEXT}) WHERE "id" = NEW."id"; END`,
    `CREATE TRIGGER keep AFTER UPDATE OF "number" ON "invoice" WHEN OLD."number" IS NOT NULL AND NEW."number" IS NOT OLD."number"
       BEGIN UPDATE "invoice" SET "number" = OLD."number" WHERE "id" = NEW."id"; END`,
  ],
  postgres: [
    `CREATE FUNCTION assign() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF TG_OP = 'INSERT' THEN NEW."number" := (${NEXT}); ELSE NEW."number" := OLD."number"; END IF;
       RETURN NEW;
     END $$`,
    'CREATE TRIGGER assign BEFORE INSERT OR UPDATE ON "invoice" FOR EACH ROW EXECUTE FUNCTION assign()',
  ],
  mysql: [
    `CREATE TRIGGER assign BEFORE INSERT ON invoice FOR EACH ROW SET NEW.number = (SELECT COALESCE(MAX(i.number), 0) + 1 FROM invoice i)`,
    'CREATE TRIGGER keep BEFORE UPDATE ON invoice FOR EACH ROW SET NEW.number = OLD.number',
  ],
}

test.each([
  ['text', { text: {} }, /text is no column of integers/],
  ['a property that is not there', { numbr: {} }, /numbr is no column/],
  ['per one that is not there', { number: { per: ['acount'] } }, /acount is no column/],
  ['the key', { id: {} }, /id is no column/],
] as const)('is declared wrongly for %s', async (_, assignedNumbers, message) => {
  const there = await openOn('libsql', [invoiceWith({ assignedNumbers: assignedNumbers as EnableSyncOptions['assignedNumbers'] & object })])
  expect(() => syncRoutes(there, { public: true })).toThrow(message)
})

test('has to be null until it is assigned', async () => {
  const there = await openOn('libsql', [invoiceWith({ assignedNumbers: { number: {} } }, { nullable: false })])
  expect(() => syncRoutes(there, { public: true })).toThrow(/number may not be null/)
})

test('is that of one server', async () => {
  const url = ['/invoices', 'https://other.example.org/invoices']
  const there = await openOn('libsql', [invoiceWith({ assignedNumbers: { number: {} } }, { url })], { server: 'https://example.org' })
  expect(() => syncRoutes(there, { public: true })).toThrow(/several servers/)
})
