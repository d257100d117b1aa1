// Rows that need others by foreign keys of several columns: an order of a shop has lines, notes, a receipt, products.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import {
  Column,
  type DataSource,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToOne,
  PrimaryColumn,
  type Relation,
  Unique,
} from 'typeorm'
import {
  type Conflict,
  EnableSync,
  hasLocalChanges,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  type SyncReport,
  syncAll,
  wipe,
} from 'typeorm-sync'
import { rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

const key = { length: 36 }

@Entity('product')
@EnableSync('/products')
class Product {
  @PrimaryColumn('varchar', key)
  maker!: string

  @PrimaryColumn('integer')
  model!: number
}

@Entity('order')
@EnableSync('/orders', { scopes: ['owner'] })
@Unique(['label'])
class Order {
  @PrimaryColumn('varchar', key)
  shop!: string

  @PrimaryColumn('bigint')
  number!: string

  @Column('varchar', { length: 36, nullable: true })
  owner!: string | null

  @Column('varchar', { length: 36, nullable: true })
  label!: string | null

  @ManyToMany(() => Product)
  @JoinTable({ name: 'order_product' })
  products!: Relation<Product>[]
}

/** The other key is a part of its own. */
@Entity('line')
@EnableSync('/lines', { scopes: ['order.owner'] })
class Line {
  @PrimaryColumn('varchar', key)
  shop!: string

  // not in the order of the other key
  @PrimaryColumn('integer')
  position!: number

  @PrimaryColumn('bigint')
  number!: string

  @ManyToOne(() => Order, { onDelete: 'CASCADE', onUpdate: 'CASCADE' })
  @JoinColumn([
    { name: 'number', referencedColumnName: 'number' },
    { name: 'shop', referencedColumnName: 'shop' },
  ])
  order!: Relation<Order>

  @Column('integer', { default: 1 })
  count!: number
}

/** TypeORM names its columns. */
@Entity('note')
@EnableSync('/notes', { scopes: ['order'] })
class Note {
  @PrimaryColumn('varchar', key)
  id!: string

  @ManyToOne(() => Order, { onDelete: 'SET NULL', onUpdate: 'CASCADE', nullable: true })
  order!: Relation<Order> | null

  @Column('varchar', { length: 50, default: '' })
  text!: string
}

@Entity('invoice')
@EnableSync('/invoices', { scopes: ['order.owner'] })
class Invoice {
  @PrimaryColumn('varchar', key)
  id!: string

  @Column('varchar', { length: 36, name: 'order_shop' })
  shop!: string

  @Column('bigint', { name: 'order_number' })
  number!: string

  @ManyToOne(() => Order, { onDelete: 'RESTRICT' })
  @JoinColumn([
    { name: 'order_shop', referencedColumnName: 'shop' },
    { name: 'order_number', referencedColumnName: 'number' },
  ])
  order!: Relation<Order>
}

/** The other key is its own. */
@Entity('receipt')
@EnableSync('/receipts', { scopes: ['order.owner'] })
class Receipt {
  @PrimaryColumn('varchar', key)
  shop!: string

  @PrimaryColumn('bigint')
  number!: string

  @OneToOne(() => Order, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'shop', referencedColumnName: 'shop' },
    { name: 'number', referencedColumnName: 'number' },
  ])
  order!: Relation<Order>

  @Column('integer', { default: 0 })
  paid!: number
}

/** A tree in each shop. */
@Entity('shelf')
@EnableSync('/shelves')
class Shelf {
  @PrimaryColumn('varchar', key)
  shop!: string

  @PrimaryColumn('varchar', key)
  name!: string

  @Column('varchar', { length: 36, nullable: true })
  above!: string | null

  @ManyToOne(() => Shelf, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'shop', referencedColumnName: 'shop' },
    { name: 'above', referencedColumnName: 'name' },
  ])
  parent!: Relation<Shelf> | null
}

/** Not synced: it differs from device to device. */
@Entity('audit')
class Audit {
  @PrimaryColumn('varchar', key)
  id!: string

  @ManyToOne(() => Order, { onDelete: 'RESTRICT' })
  order!: Relation<Order>
}

/** Not synced: each database is given it in another way. */
@Entity('season')
class Season {
  @PrimaryColumn('varchar', key)
  name!: string

  @PrimaryColumn('integer')
  year!: number
}

@Entity('sale')
@EnableSync('/sales')
class Sale {
  @PrimaryColumn('varchar', key)
  id!: string

  @ManyToOne(() => Season)
  season!: Relation<Season> | null
}

const ENTITIES = [Product, Order, Line, Note, Invoice, Receipt, Shelf]
const TABLES = ['product', 'order', 'order_product', 'line', 'note', 'invoice', 'receipt', 'shelf']

const rowsOf = async (who: DataSource, table: string) =>
  (await sql(who, `SELECT * FROM "${table}"`))
    .map(({ _lastChange, ...row }: any) => JSON.stringify(Object.entries(row).sort(), asText))
    .sort()
// a bigint is a number on some databases, and a text on others
const asText = (_: string, value: unknown) => (typeof value === 'number' ? String(value) : value)
const all = (who: DataSource) => Promise.all(TABLES.map(table => rowsOf(who, table)))
const count = async (who: DataSource, table: string) => (await sql(who, `SELECT * FROM "${table}"`)).length
const notes = async (who: DataSource) =>
  (await who.getRepository(Note).find({ relations: { order: true }, order: { id: 'ASC' } })).map(({ id, order, text }) =>
    `${id} ${order ? `${order.shop}/${order.number}` : '-'} ${text}`.trim(),
  )
const lines = async (who: DataSource) =>
  (await sql(who, 'SELECT * FROM "line" ORDER BY "_sync_key"')).map((l: any) => `${l._sync_key} ${l.count}`)
const order = (shop: string, number: number) => ({ shop, number: String(number) })

async function answerOf(input: Parameters<typeof fetch>[0], init?: RequestInit) {
  const { status, headers, ...response } = await fetch(input, init).then(async r => ({
    status: r.status,
    headers: r.headers,
    text: await r.text(),
  }))
  return { status, headers, body: response.text ? JSON.parse(response.text) : null }
}

async function expectEqual(all: readonly DataSource[], read: (who: DataSource) => Promise<unknown>): Promise<void> {
  const [first, ...others] = await Promise.all(all.map(read))
  for (const other of others) expect(other).toEqual(first)
}

describe.each(SERVERS)('on %s', kind => {
  async function start() {
    const server = await openOn(kind, ENTITIES)
    const { url, post, errors } = await serve(server)
    const posted: string[] = []
    const alice = await openOn('sqljs', ENTITIES, {
      server: url,
      fetch: (input, init) => {
        if (init?.method === 'POST') posted.push(String(init.body))
        return fetch(input, init)
      },
    })
    const bob = await openOn(kind, ENTITIES, { server: url })
    const both = async () => {
      const reports: SyncReport[] = []
      for (const who of [alice, bob, alice]) reports.push(await syncAll(who))
      await expectEqual([server, alice, bob], all)
      for (const who of [alice, bob]) {
        expect(await hasLocalChanges(who)).toBe(false)
        for (const entity of ENTITIES) {
          const own = journal(who.getRepository<object>(entity))
          expect([entity.name, await own.conflicts(), await own.deferred()]).toEqual([entity.name, [], []])
        }
      }
      return reports
    }
    return { server, url, post, errors, alice, bob, both, posted }
  }

  /** An order of which there is everything. */
  async function ordered(who: DataSource, shop: string, number: number) {
    const own = order(shop, number)
    await who.getRepository(Product).save({ maker: shop, model: number })
    await who.getRepository(Order).save({ ...own, products: [{ maker: shop, model: number }] })
    await who.getRepository(Line).save([
      { ...own, position: 1 },
      { ...own, position: 2 },
    ])
    await who.getRepository(Note).save({ id: `${shop}${number}`, order: own })
    await who.getRepository(Receipt).save(own)
  }

  test('an order and what hangs on it travel in one push, and change', async () => {
    const { server, alice, bob, both, url, posted } = await start()
    await ordered(alice, 'a/b', 1)
    await alice.getRepository(Invoice).save({ id: 'i', shop: 'a/b', number: '1' })
    await ordered(bob, 'c', 2)
    await both()
    expect(await lines(server)).toEqual(['a~1b/1/1 1', 'a~1b/2/1 1', 'c/1/2 1', 'c/2/2 1'])
    expect(await notes(bob)).toEqual(['a/b1 a/b/1', 'c2 c/2'])
    const [found] = await bob.getRepository(Order).find({ where: { shop: 'a/b' }, relations: { products: true } })
    expect(found?.products).toEqual([{ maker: 'a/b', model: 1 }])
    const { updates } = (await (await fetch(`${url}/notes`)).json()) as any
    expect(updates).toContainEqual({ id: 'c2', 'order.shop': 'c', 'order.number': 2, text: '', _lastChange: expect.any(Number) })
    const links = (await (await fetch(`${url}/orders.products`)).json()) as any
    expect(links.updates).toContainEqual({
      ...{ id: 'c/2/c/2', 'owner.shop': 'c', 'owner.number': 2, 'inverse.maker': 'c', 'inverse.model': 2, _lastChange: expect.any(Number) },
    })

    // to another order, by an entity, and by a part of the key
    await bob.getRepository(Note).save({ id: 'a/b1', order: order('c', 2) })
    await sql(alice, `INSERT INTO "order" ("shop", "number") VALUES ('c', 3)`)
    await sql(alice, `UPDATE "note" SET "orderNumber" = 3 WHERE "id" = 'c2'`)
    await sql(server, `UPDATE "line" SET "count" = 5 WHERE "shop" = 'c' AND "position" = 1`)
    await both()
    expect(await notes(server)).toEqual(['a/b1 c/2', 'c2 c/3'])
    expect(posted.at(-1)).toContain('{"id":"c2","_partial":true,"order.number":3,"order.shop":"c"}')
    await alice.getRepository(Note).save({ id: 'c2', order: null })
    await both()
    expect(await notes(server)).toEqual(['a/b1 c/2', 'c2 -'])
  })

  test('a removed order takes its lines along, leaves its notes, and stays while there is an invoice', async () => {
    const { server, alice, bob, both } = await start()
    for (const number of [1, 2, 3]) await ordered(alice, 's', number)
    await alice.getRepository(Invoice).save({ id: 'i', shop: 's', number: '3' })
    await both()
    await alice.getRepository(Order).delete(order('s', 1))
    await sql(server, 'DELETE FROM "order" WHERE "number" = 2')
    await expect(alice.getRepository(Order).delete(order('s', 3))).rejects.toThrow()
    await both()
    expect(await lines(bob)).toEqual(['s/1/3 1', 's/2/3 1'])
    expect(await notes(bob)).toEqual(['s1 -', 's2 -', 's3 s/3'])
    expect([await count(bob, 'receipt'), await count(bob, 'order_product')]).toEqual([1, 1])
    const ids = (await sql(server, `SELECT "id" FROM "sync_tombstone" WHERE "collection" = 'line'`)).map((t: any) => t.id).sort()
    expect(ids).toEqual(['s/1/1', 's/1/2', 's/2/1', 's/2/2'])
    // on a device whose cascades are those of the server's kind
    await sql(bob, `DELETE FROM "invoice"`)
    await sql(bob, 'DELETE FROM "order" WHERE "number" = 3')
    await both()
    expect([await count(server, 'line'), await notes(server)]).toEqual([0, ['s1 -', 's2 -', 's3 -']])
  })

  test('a server removes an order with what was made elsewhere, and an invoice that is not known here forbids it', async () => {
    const { server, alice, bob } = await start()
    await ordered(alice, 's', 1)
    await ordered(alice, 's', 2)
    for (const who of [alice, bob]) await syncAll(who)
    await bob.getRepository(Invoice).save({ id: 'i', shop: 's', number: '1' })
    await bob.getRepository(Line).save({ ...order('s', 2), position: 3 })
    await alice.getRepository(Order).delete(order('s', 1))
    await alice.getRepository(Order).delete(order('s', 2))
    await syncAll(bob)
    // a removal speaks for what its sender saw: both are asked about
    const asked: string[] = []
    await syncAll(alice, (conflicts, _, callback) => {
      for (const conflict of conflicts as Conflict<object>[]) {
        asked.push(`${conflict.entity} ${conflict.id}`)
        conflict.takeRemote()
      }
      callback()
    })
    expect(asked.sort()).toEqual(['Invoice i', 'Line s/3/2'])
    for (const who of [bob, alice, bob]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    expect([await count(alice, 'order'), await lines(alice)]).toEqual([2, expect.arrayContaining(['s/3/2 1'])])
    // what is kept has its order again, and what went with the removal is not there
    await sql(server, 'DELETE FROM "invoice"')
    await sql(server, 'DELETE FROM "order"')
    for (const who of [bob, alice]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    expect(await count(alice, 'line')).toBe(0)
  })

  test('a row waits for the one that it needs', async () => {
    const { server, alice, both, url } = await start()
    let isHidden = true
    const carol = await openOn('sqljs', ENTITIES, {
      server: url,
      // an answer without the orders
      fetch: async (input, init) => {
        const { body, ...response } = await answerOf(input, init)
        if (isHidden && body?.changes) delete body.changes['/orders']
        return new Response(body && JSON.stringify(body), response)
      },
    })
    await ordered(server, 's', 1)
    const deferred = async (entity: typeof Line | typeof Note | typeof Receipt) =>
      (await journal(carol.getRepository<object>(entity)).deferred()).map(({ id, reason }) => `${id} ${reason}`)
    await syncAll(carol)
    expect([await deferred(Line), await deferred(Note), await deferred(Receipt), await count(carol, 'line')]).toEqual([
      ['s/1/1 parent-missing', 's/2/1 parent-missing'],
      ['s1 parent-missing'],
      ['s/1 parent-missing'],
      0,
    ])
    isHidden = false
    await sql(server, `UPDATE "order" SET "label" = 'x'`)
    await syncAll(carol)
    expect([await deferred(Line), await deferred(Note), await deferred(Receipt)]).toEqual([[], [], []])
    await expectEqual([server, carol], all)
    await both()
    expect(await lines(alice)).toEqual(['s/1/1 1', 's/2/1 1'])
    const post = async (path: string, rows: object[]) =>
      (
        (await (
          await fetch(url + path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(rows) })
        ).json()) as any
      ).errors?.map((e: any) => [e.id, e.property, e.code])
    expect(await post('/notes', [{ id: 'n', 'order.shop': 's', 'order.number': 2, text: '' }])).toEqual([['n', 'order', 'parent-missing']])
    expect(await post('/lines', [{ id: 's/1/2', shop: 's', position: 1, number: 2, count: 1 }])).toEqual([
      ['s/1/2', 'order', 'parent-missing'],
    ])
    expect(await post('/receipts', [{ id: 's/2', shop: 's', number: 2, paid: 1 }])).toEqual([['s/2', 'id', 'parent-missing']])
    expect(await post('/notes', [{ id: 's1', _partial: true, 'order.number': 2 }])).toEqual([['s1', 'order', 'parent-missing']])
    // a part that is null says that it needs none
    expect(await post('/notes', [{ id: 'n', 'order.shop': null, 'order.number': 2, text: '' }])).toBeUndefined()
    await both()
    expect(await notes(alice)).toEqual(['n -', 's1 s/1'])
  })

  test('a key is one value: two devices that change each another part of it have a conflict', async () => {
    const { server, alice, bob } = await start()
    for (const [shop, number] of [
      ['s', 1],
      ['s', 2],
      ['t', 1],
    ] as const)
      await alice.getRepository(Order).save(order(shop, number))
    await alice.getRepository(Note).save({ id: 'n', order: order('s', 1) })
    for (const who of [alice, bob]) await syncAll(who)
    // together they would be (t, 2), which is nowhere
    await alice.getRepository(Note).save({ id: 'n', order: order('s', 2) })
    await bob.getRepository(Note).save({ id: 'n', order: order('t', 1), text: 'hello' })
    await syncAll(alice)
    const asked: unknown[] = []
    await syncAll(bob, (conflicts, _, callback) => {
      for (const conflict of conflicts as Conflict<Note>[]) {
        const orders = [conflict.local, conflict.remote].map(side => `${side?.order?.shop}/${side?.order?.number}`)
        asked.push([conflict.id, [...conflict.properties].sort(), ...orders])
        conflict.takeRemote()
      }
      callback()
    })
    expect(asked).toEqual([['n', ['order.number', 'order.shop'], 't/1', 's/2']])
    for (const who of [bob, alice]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    expect(await notes(server)).toEqual(['n s/2'])

    // and a note that was moved to a removed order is asked about: here it is where it was
    await alice.getRepository(Order).delete(order('t', 1))
    await bob.getRepository(Note).save({ id: 'n', order: order('t', 1) })
    await syncAll(bob)
    await syncAll(alice, preferLocalConflictHandler)
    for (const who of [bob, alice]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    expect([await notes(server), await count(server, 'order')]).toEqual([['n s/2'], 2])
  })

  test('a removed order and a note that was moved to it elsewhere', async () => {
    const { server, alice, bob } = await start()
    for (const number of [1, 2]) await alice.getRepository(Order).save(order('s', number))
    await alice.getRepository(Note).save({ id: 'n', order: order('s', 1) })
    for (const who of [alice, bob]) await syncAll(who)
    await alice.getRepository(Note).save({ id: 'n', order: order('s', 2) })
    await bob.getRepository(Order).delete(order('s', 2))
    await syncAll(alice)
    await syncAll(bob, preferRemoteConflictHandler)
    for (const who of [alice, bob]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    // to keep the note where it is is to bring the order back
    expect(await notes(server)).toEqual(['n s/2'])
  })

  test('a changed key is followed', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(Order).save(order('s', 1))
    await alice.getRepository(Line).save({ ...order('s', 1), position: 1 })
    await alice.getRepository(Note).save({ id: 'n', order: order('s', 1) })
    await both()
    for (const [who, to] of [
      [server, 2],
      [bob, 3],
      [alice, 1],
    ] as const) {
      await sql(who, `UPDATE "order" SET "number" = ${to}`)
      await both()
      expect([await lines(server), await notes(server)]).toEqual([[`s/1/${to} 1`], [`n s/${to}`]])
    }
  })

  test('a tree whose foreign key shares a column with the key', async () => {
    const { server, alice, bob, both } = await start()
    const shelf = (name: string, above: string | null = null, shop = 's') => ({ shop, name, above })
    // each before the one that it needs, in one push, and the same names in another shop
    const shelves = alice.getRepository(Shelf)
    await shelves.save(['a', 'b', 'c'].flatMap(name => [shelf(name), shelf(name, null, 't')]))
    await shelves.save([shelf('a', 'b'), shelf('b', 'c'), shelf('c', 'a', 't')])
    // in a circle by mistake, which is stored as well
    await shelves.save([shelf('x', null, 'u'), shelf('y', 'x', 'u')])
    await shelves.save(shelf('x', 'y', 'u'))
    await both()
    // two moves that close a circle only together
    await shelves.save(shelf('a', null))
    await both()
    await shelves.save(shelf('c', 'a'))
    await bob.getRepository(Shelf).save(shelf('a', 'b'))
    await syncAll(alice)
    const asked: string[] = []
    await syncAll(bob, (conflicts, updatesToPush, callback) => {
      for (const conflict of conflicts as Conflict<object>[]) asked.push(`${conflict.id} ${conflict.properties}`)
      preferLocalConflictHandler(conflicts, updatesToPush, callback)
    })
    expect(asked).toEqual(['s/c above'])
    for (const who of [bob, alice]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    await sql(server, `DELETE FROM "shelf" WHERE "shop" = 's' AND "name" = 'c'`)
    await both()
    expect((await shelves.find({ order: { name: 'ASC' } })).map(s => s.shop + s.name)).toEqual(['ta', 'tb', 'tc', 'ux', 'uy'])
    await bob.getRepository(Shelf).delete({ shop: 't', name: 'a' })
    await both()
    expect((await shelves.find()).map(s => s.shop + s.name)).toEqual(['tb', 'ux', 'uy'])
  })

  test('two orders that mean the same are made one', async () => {
    const { server, alice, bob } = await start()
    await alice.getRepository(Order).save({ ...order('s', 1), label: 'x' })
    await bob.getRepository(Order).save({ ...order('s', 2), label: 'x' })
    await bob.getRepository(Line).save({ ...order('s', 2), position: 1 })
    await bob.getRepository(Note).save({ id: 'n', order: order('s', 2) })
    await syncAll(alice)
    await syncAll(bob)
    await journal(bob.getRepository(Order)).resolve('s/1', { label: 'x' }, { replaces: 's/2' })
    for (const who of [bob, alice]) await syncAll(who)
    await expectEqual([server, alice, bob], all)
    expect([await lines(alice), await notes(alice), await count(alice, 'order')]).toEqual([['s/1/1 1'], ['n s/1'], 1])
  })

  test('rows that are not synced need others, and are needed', async () => {
    const entities = [Product, Order, Audit, Season, Sale]
    const server = await openOn(kind, entities)
    const { url } = await serve(server)
    const alice = await openOn('sqljs', entities, { server: url })
    const bob = await openOn(kind, entities, { server: url })
    for (const number of [1, 2]) await alice.getRepository(Order).save(order('s', number))
    for (const who of [alice, bob]) await syncAll(who)
    // a row of the device alone forbids the removal
    await bob.getRepository(Audit).save({ id: 'x', order: order('s', 1) })
    await alice.getRepository(Order).delete(order('s', 1))
    for (const who of [alice, bob]) await syncAll(who)
    const deferred = async () => (await journal(bob.getRepository(Order)).deferred()).map(({ id, reason }) => `${id} ${reason}`)
    expect([await deferred(), await count(bob, 'order')]).toEqual([['s/1 children-exist'], 2])
    await bob.getRepository(Audit).update('x', { order: order('s', 2) })
    await syncAll(bob)
    expect([await deferred(), await count(bob, 'order')]).toEqual([[], 1])
    // it follows a row that is taken for another one
    await alice.getRepository(Order).save({ ...order('t', 1), label: 'x' })
    await bob.getRepository(Order).update(order('s', 2), { label: 'x' })
    for (const who of [alice, bob]) await syncAll(who)
    await journal(bob.getRepository(Order)).resolve('t/1', { label: 'x' }, { replaces: 's/2' })
    expect(await bob.getRepository(Audit).find({ relations: { order: true } })).toMatchObject([{ id: 'x', order: { shop: 't' } }])
    // what a row needs is nowhere, until it is
    await alice.getRepository(Season).save({ name: 'winter', year: 1 })
    await alice.getRepository(Sale).save({ id: 'y', season: { name: 'winter', year: 1 } })
    await syncAll(alice)
    expect(await journal(alice.getRepository(Sale)).rejected()).toMatchObject([{ id: 'y', code: 'parent-missing', property: 'season' }])
    await server.getRepository(Season).save([
      { name: 'winter', year: 1 },
      { name: 'winter', year: 2 },
    ])
    await syncAll(alice)
    expect(await count(server, 'sale')).toBe(1)
    await syncAll(bob)
    expect((await journal(bob.getRepository(Sale)).deferred()).map(({ id, reason }) => `${id} ${reason}`)).toEqual(['y parent-missing'])
    await bob.getRepository(Season).save({ name: 'winter', year: 1 })
    await syncAll(bob)
    expect(await count(bob, 'sale')).toBe(1)
  })

  test('what hangs on an order is seen and changed with it', async () => {
    const server = await openOn(kind, ENTITIES)
    const { url } = await serve(server, {
      principal: ctx => ({ id: ctx.get('authorization') }),
      rules: [
        rule(Order, { read: p => ({ owner: p.id }) }),
        ...[Line, Invoice, Receipt].map(entity => rule<any>(entity, { read: p => ({ 'order.owner': p.id }) })),
        rule(Note, { read: p => [{ order: p.id === 'alice' ? ['s/1', 's/3'] : ['s/2'] }] as any, dangling: ['order'] }),
        ...[Product, Shelf].map(entity => rule<object>(entity, { read: () => true })),
      ],
    })
    const alice = await openOn('sqljs', ENTITIES, { server: url, headers: { Authorization: 'alice' } })
    const bob = await openOn(kind, ENTITIES, { server: url, headers: { Authorization: 'bob' } })
    for (const [number, owner] of [
      [1, 'alice'],
      [2, 'bob'],
    ] as const) {
      await ordered(server, 's', number)
      await server.getRepository(Order).update(order('s', number), { owner })
    }
    for (const who of [alice, bob]) await syncAll(who)
    const links = async (who: DataSource) => (await sql(who, 'SELECT "_sync_key" AS id FROM "order_product"')).map((l: any) => l.id).sort()
    expect([await lines(alice), await notes(alice), await links(alice)]).toEqual([['s/1/1 1', 's/2/1 1'], ['s1 s/1'], ['s/1/s/1']])
    expect([await lines(bob), await notes(bob), await links(bob)]).toEqual([['s/1/2 1', 's/2/2 1'], ['s2 s/2'], ['s/2/s/2']])
    // it gets another owner, and what hangs on it goes along
    await alice.getRepository(Order).save({ ...order('s', 3), owner: 'alice' })
    await syncAll(alice)
    await sql(server, `UPDATE "order" SET "owner" = 'alice' WHERE "number" = 2`)
    await sql(server, `UPDATE "note" SET "orderNumber" = 3 WHERE "id" = 's2'`)
    for (const who of [bob, alice]) await syncAll(who)
    expect([await count(bob, 'line'), await notes(bob), await links(bob)]).toEqual([0, [], []])
    expect([await lines(alice), await notes(alice)]).toEqual([await lines(server), ['s1 s/1', 's2 s/3']])
    // who may not change it makes no links of it, and hangs nothing on it
    await bob.getRepository(Order).save({ ...order('s', 4), owner: 'bob' })
    await bob.getRepository(Line).save({ ...order('s', 4), position: 9 })
    await syncAll(bob)
    await sql(server, `UPDATE "order" SET "owner" = 'alice' WHERE "number" = 4`)
    await bob.getRepository(Receipt).save(order('s', 4))
    await sql(bob, `INSERT INTO "order_product" ("orderShop", "orderNumber", "productMaker", "productModel") VALUES ('s', 4, 's', 1)`)
    await syncAll(bob)
    await syncAll(alice)
    expect([await count(server, 'receipt'), await links(server)]).toEqual([2, ['s/1/s/1', 's/2/s/2']])
    expect(await lines(alice)).toEqual(await lines(server))
  })

  test('synchronize has nothing to do the second time', async () => {
    const { server, alice, bob, both } = await start()
    await ordered(bob, 's', 1)
    await both()
    for (const who of [server, alice, bob]) {
      expect((await who.driver.createSchemaBuilder().log()).upQueries.map(q => q.query)).toEqual([])
      await who.synchronize()
    }
    await sql(server, 'UPDATE "line" SET "count" = 6')
    await both()
    expect(await lines(alice)).toEqual(['s/1/1 6', 's/2/1 6'])
    // and a device is emptied, and filled again
    await wipe(bob)
    expect([await count(bob, 'order'), await count(bob, 'note')]).toEqual([0, 0])
    await both()
  })
})
