// Keys with a transformer: the database holds other texts than the application sees, and those travel.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { type Conflict, EnableSync, hasLocalChanges, journal, syncAll } from 'typeorm-sync'
import { rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

/** `t1` of the application is `1t` in the database. */
const turned = (text?: string | null) => text && [...text].reverse().join('')
const key = { length: 36, transformer: { to: turned, from: turned } }

@Entity('list')
@EnableSync('/lists')
class List {
  @PrimaryColumn('varchar', { ...key })
  id!: string

  @Column('varchar', { length: 50, default: '' })
  name!: string
}

@Entity('task')
@EnableSync('/tasks')
class Task {
  @PrimaryColumn('varchar', { ...key })
  code!: string

  @Column('varchar', { ...key, nullable: true })
  listId!: string | null

  @ManyToOne(() => List, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'listId' })
  list!: Relation<List> | null

  @Column('varchar', { length: 50, default: '' })
  name!: string
}

@Entity('price')
@EnableSync('/prices')
class Price {
  @PrimaryColumn('varchar', { ...key })
  product!: string

  @PrimaryColumn('integer')
  year!: number

  @Column('integer')
  cents!: number
}

const ENTITIES = [List, Task, Price]

describe.each(SERVERS)('on %s', kind => {
  async function start() {
    const server = await openOn(kind, ENTITIES)
    const { url } = await serve(server)
    const alice = await openOn('sqljs', ENTITIES, { server: url })
    const bob = await openOn(kind, ENTITIES, { server: url })
    const both = async () => {
      for (const who of [alice, bob, alice]) await syncAll(who)
      for (const who of [alice, bob]) expect(await hasLocalChanges(who)).toBe(false)
    }
    return { server, url, alice, bob, both }
  }
  const tasks = (who: DataSource) => who.getRepository(Task).find({ order: { code: 'ASC' } })

  test('rows travel by what the database holds, and are what the application knows', async () => {
    const { server, url, alice, bob, both } = await start()
    await alice.getRepository(List).save({ id: 'l1', name: 'Shopping' })
    await alice.getRepository(Task).save({ code: 't1', listId: 'l1', name: 'Milk' })
    await alice.getRepository(Price).save({ product: 'p1', year: 1, cents: 5 })
    await both()
    expect(await sql(server, 'SELECT "code", "listId" FROM "task"')).toEqual([{ code: '1t', listId: '1l' }])
    const read = async (path: string) => ((await (await fetch(url + path)).json()) as any).updates
    expect(await read('/tasks')).toEqual([{ id: '1t', listId: '1l', name: 'Milk', _lastChange: expect.any(Number) }])
    expect(await read('/prices')).toEqual([{ id: '1p/1', product: '1p', year: 1, cents: 5, _lastChange: expect.any(Number) }])
    for (const who of [server, bob]) {
      expect(await tasks(who)).toEqual([{ code: 't1', listId: 'l1', name: 'Milk' }])
      expect(await who.getRepository(Price).find()).toEqual([{ product: 'p1', year: 1, cents: 5 }])
    }
    await bob.getRepository(List).delete('l1')
    await both()
    expect([await tasks(alice), await tasks(server)]).toEqual([[], []])
  })

  test('a conflict has the id of the database, and sides that are entities', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(Task).save({ code: 't1', name: 'a', listId: null })
    await alice.getRepository(Price).save({ product: 'p1', year: 1, cents: 1 })
    await both()
    await alice.getRepository(Task).save({ code: 't1', name: 'b' })
    await bob.getRepository(Task).save({ code: 't1', name: 'c' })
    await alice.getRepository(Price).save({ product: 'p1', year: 1, cents: 2 })
    await bob.getRepository(Price).save({ product: 'p1', year: 1, cents: 3 })
    await syncAll(alice)
    await syncAll(bob.getRepository(Task), (conflicts, updates) => {
      expect(conflicts.map(({ id, local, remote }: Conflict<Task>) => [id, local?.code, remote?.code])).toEqual([['1t', 't1', 't1']])
      // decided by an entity, as the application has it
      updates.push({ code: 't1', name: 'd' } as never)
    })
    await syncAll(bob.getRepository(Price))
    const [waiting] = await journal(bob.getRepository(Price)).conflicts()
    expect([waiting?.id, waiting?.local?.product]).toEqual(['1p/1', 'p1'])
    await journal(bob.getRepository(Price)).resolve('1p/1', { cents: 4 })
    await both()
    expect([await tasks(server), (await server.getRepository(Price).find())[0]?.cents]).toEqual([
      [{ code: 't1', listId: null, name: 'd' }],
      4,
    ])
  })

  test('a rule compares what the database holds', async () => {
    const server = await openOn(kind, ENTITIES)
    const { url } = await serve(server, {
      principal: ctx => ({ id: ctx.get('authorization') }),
      rules: [
        rule(List, { read: p => ({ id: p.id }), write: p => ({ id: p.id }) }),
        ...[Task, Price].map(entity => rule<object>(entity, { read: () => true })),
      ],
    })
    const alice = await openOn('sqljs', ENTITIES, { server: url, headers: { Authorization: '1a' } })
    await server.getRepository(List).save([{ id: 'a1' }, { id: 'b1' }])
    await syncAll(alice)
    await alice.getRepository(List).save({ id: 'a1', name: 'mine' })
    await syncAll(alice)
    expect(await server.getRepository(List).find({ order: { id: 'ASC' } })).toEqual([
      { id: 'a1', name: 'mine' },
      { id: 'b1', name: '' },
    ])
    expect(await alice.getRepository(List).find()).toEqual([{ id: 'a1', name: 'mine' }])
  })
})
