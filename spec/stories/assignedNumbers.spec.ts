// A number that people see, as that of an invoice: a trigger on the server assigns it, and the device reads it back after its push (docs/schemas.md).

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, syncAll } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

const Invoice = new EntitySchema<{ id: string; text: string; number: number | null }>({
  ...{ name: 'Invoice', tableName: 'invoice' },
  columns: {
    id: { type: 'varchar', length: 40, primary: true },
    text: { type: 'varchar', length: 40 },
    number: { type: 'int', nullable: true, unique: true },
  },
})
enableSync(Invoice, '/invoices')

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

test.each(SERVERS)('a number that the server assigns arrives after the push, on every device, and stays: %s', async kind => {
  const there = await openOn(kind, [Invoice])
  for (const statement of TRIGGERS[kind as keyof typeof TRIGGERS]) await sql(there, statement)
  const { url } = await serve(there)
  const [ann, bob] = [await openOn('libsql', [Invoice], { server: url }), await openOn('sqljs', [Invoice], { server: url })]
  await ann.getRepository(Invoice).save([
    { id: 'a', text: 'one' },
    { id: 'b', text: 'two' },
  ])
  await bob.getRepository(Invoice).save({ id: 'c', text: 'three' })
  for (const device of [ann, bob, ann, bob]) await syncAll(device)
  const numbers = async () =>
    Promise.all([there, ann, bob].map(async each => (await each.getRepository(Invoice).find({ order: { id: 'ASC' } })).map(i => i.number)))
  const assigned = [1, 2, 3]
  expect((await numbers()).map(list => [...list].sort())).toEqual([assigned, assigned, assigned])
  const before = await numbers()
  expect([before[1], before[2]]).toEqual([before[0], before[0]])
  // who changes it gets it back
  await ann.getRepository(Invoice).update('a', { number: 9, text: 'more' })
  for (let i = 0; i < 2; i++) for (const device of [ann, bob]) await syncAll(device)
  expect(await numbers()).toEqual(before)
  expect(await bob.getRepository(Invoice).findOneBy({ id: 'a' })).toMatchObject({ text: 'more' })
  expect([await hasLocalChanges(ann), await hasLocalChanges(bob)]).toEqual([false, false])
})
