// Random histories of two users, whose rights and rows come and go while they work: in the end each device has what its user sees and nothing else, and no
// change is lost.

import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import type { Context } from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import { type ConflictHandler, enableSync, journal, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { keys, rule } from 'typeorm-sync/server-koa'
import { type HookedOptions } from '../../src/entity/withSync.js'
import { openOn, serve, sql } from '../support/eachDatabase.js'
import { Wire } from './devices.js'

const text = { type: 'varchar', length: 64 } as const

interface List {
  id: string
  name: string
}
const List = new EntitySchema<List>({
  name: 'SharedList',
  tableName: 'shared_list',
  columns: { id: { ...text, primary: true }, name: text },
})
interface Item {
  id: string
  one: string
  two: string
  list: string
}
const Item = new EntitySchema<Item>({
  ...{ name: 'SharedItem', tableName: 'shared_item' },
  columns: { id: { ...text, primary: true }, one: text, two: text, list: text },
  foreignKeys: [{ target: 'SharedList', columnNames: ['list'], referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
})
interface Comment {
  id: string
  one: string
  item: string
  list: string
}
const Comment = new EntitySchema<Comment>({
  ...{ name: 'SharedComment', tableName: 'shared_comment' },
  columns: { id: { ...text, primary: true }, one: text, item: text, list: text },
  foreignKeys: [{ target: 'SharedItem', columnNames: ['item'], referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
})
interface Member {
  id: string
  user: string
  list: string
}
const Member = new EntitySchema<Member>({
  ...{ name: 'ListMember', tableName: 'list_member' },
  columns: { id: { ...text, primary: true }, user: text, list: text },
})
enableSync(List, '/sharedLists')
enableSync(Item, '/sharedItems', { scopes: ['list'] })
enableSync(Comment, '/sharedComments', { scopes: ['list'] })

const SYNCED = [List, Item, Comment]
const USERS = ['alice', 'bob'] as const
const LISTS = ['l0', 'l1', 'l2']

function random(seed: number) {
  let state = seed * 7919
  return (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

async function world(hooks: HookedOptions = {}) {
  const there = await openOn('libsql', [...SYNCED, Member])
  const ofLists = (p: { id: string }) => keys(Member, 'list', { user: p.id })
  const { url } = await serve(there, {
    principal: (ctx: Context) => ({ id: ctx.get('X-User') }),
    rules: [
      rule(List, { read: p => ({ id: ofLists(p) }), write: () => false }),
      rule(Item, { read: p => ({ list: ofLists(p) }) }),
      rule(Comment, { read: p => ({ list: ofLists(p) }) }),
    ],
  } as never)
  const device = async (user: string) => {
    const wire = new Wire()
    return {
      user,
      wire,
      data: await openOn('libsql', SYNCED, {
        ...hooks,
        server: url,
        headers: { 'X-User': user },
        fetch: wire.fetch,
        pageSize: 3,
        batchSize: 3,
      }),
    }
  }
  await there.getRepository(List).save(LISTS.map(id => ({ id, name: id })))
  return { there, devices: [await device('alice'), await device('bob')] }
}
type Device = Awaited<ReturnType<typeof world>>['devices'][number]

const rowsOf = (data: DataSource, entity: EntitySchema<any>): Promise<any[]> => data.getRepository(entity).find({ order: { id: 'ASC' } })

const seeds = Number(process.env.SEEDS ?? 10)
const from = Number(process.env.SEED ?? 1)

test.each(Array.from({ length: seeds }, (_, i) => i + from))('each device ends with what its user sees (seed %i)', async seed => {
  const next = random(seed)
  for (let i = 0; i < 5; i++) next(2)
  const pick = <T>(list: readonly T[]) => list[next(list.length)] as T
  const { there, devices } = await world()
  let count = 0
  /** Every value that a device wrote, until the same device overwrites it, removes the row, or the server has it. */
  const written = new Map<string, { token: string; user: string; id: string; property: string }>()
  const log: string[] = []
  const say = (line: string) => log.push(line)
  const lists = async (user: string) => (await there.getRepository(Member).find({ where: { user } })).map(m => m.list)

  const note = async () => {
    for (const entity of [Item, Comment])
      for (const row of await rowsOf(there, entity))
        for (const [key, { token, property, id }] of written) if (row.id === id && row[property] === token) written.delete(key)
  }
  const write = (user: string, id: string, property: string, token: string) =>
    written.set(`${user} ${id} ${property}`, { token, user, id, property })
  const forget = (user: string, id: string) => {
    for (const [key, w] of written) if (w.user === user && w.id === id) written.delete(key)
  }

  async function grant() {
    const [user, list] = [pick(USERS), pick(LISTS)]
    const members = there.getRepository(Member)
    const is = await members.findOneBy({ user, list })
    say(`${is ? 'revoke' : 'grant'} ${user} ${list}`)
    if (is) await members.delete(is.id)
    else await members.save({ id: `m${count++}`, user, list })
  }
  async function hostWrites() {
    const what = next(5)
    const [item] = [pick([undefined, ...(await rowsOf(there, Item))])]
    if (what === 0 || !item) {
      const id = `i${count++}`
      say(`host makes ${id}`)
      return void (await there.getRepository(Item).save({ id, one: 'host', two: 'host', list: pick(LISTS) }))
    }
    if (what === 1) return void (await there.getRepository(Item).update(item.id, { two: `host${count++}` }))
    if (what === 2) {
      const list = pick(LISTS)
      say(`host moves ${item.id} to ${list}`)
      await sql(there, 'UPDATE shared_comment SET list = ? WHERE item = ?', [list, item.id])
      return void (await there.getRepository(Item).update(item.id, { list }))
    }
    if (what === 3 && next(2)) {
      say(`host removes ${item.id}`)
      return void (await there.getRepository(Item).delete(item.id))
    }
    say(`host comments on ${item.id}`)
    await there.getRepository(Comment).save({ id: `c${count++}`, one: 'host', item: item.id, list: item.list })
  }
  async function deviceWrites({ data, user }: Device) {
    const entity = pick([Item, Item, Comment])
    const row = pick([undefined, ...(await rowsOf(data, entity))])
    const token = `${user}${count++}`
    if (!row || next(4) === 0) {
      const own = await rowsOf(data, entity === Item ? List : Item)
      if (!own.length) return
      const parent = pick(own)
      const id = `${entity === Item ? 'i' : 'c'}${count++}`
      const values = entity === Item ? { two: 'new', list: parent.id } : { item: parent.id, list: parent.list }
      say(`${user} makes ${id} below ${parent.id}`)
      await data.getRepository(entity).save({ id, one: token, ...values } as never)
      return void write(user, id, 'one', token)
    }
    if (next(6) === 0) {
      say(`${user} removes ${row.id}`)
      if (entity === Item) for (const c of await data.getRepository(Comment).find({ where: { item: row.id } })) forget(user, c.id)
      await data.getRepository(entity).delete(row.id)
      return void forget(user, row.id)
    }
    const property = entity === Item ? pick(['one', 'two']) : 'one'
    say(`${user} edits ${row.id} ${property} = ${token}`)
    await data.getRepository(entity).update(row.id, { [property]: token } as never)
    write(user, row.id, property, token)
  }
  /** One side or the other; what the user gives up is not lost. */
  const decide =
    (user: string): ConflictHandler =>
    (conflicts, updates) => {
      for (const conflict of conflicts) {
        const isOurs = next(3) > 0
        say(`${user} decides ${conflict.id} (${conflict.reason}) ${isOurs ? 'ours' : 'theirs'}`)
        if (!isOurs) for (const { id } of [conflict, ...conflict.children]) forget(user, id)
        ;(isOurs ? preferLocalConflictHandler : preferRemoteConflictHandler)([conflict], updates, () => {})
      }
    }
  async function syncSome({ data, user, wire }: Device) {
    const fault = next(5)
    let requests = 0
    const at = 1 + next(4)
    const fail = () => {
      if (++requests === at) throw new TypeError('fetch failed')
    }
    if (fault === 0) wire.before = fail
    if (fault === 1) wire.after = fail
    if (fault === 2)
      wire.after = async request => {
        if (request.method === 'GET' && ++requests === at) await pick([grant, hostWrites])()
      }
    let outcome = 'synced'
    await syncAll(data, decide(user)).catch(error => {
      outcome = String(error).slice(0, 100)
    })
    wire.mend()
    say(`${user} syncs: ${outcome}`)
    await note()
  }

  try {
    for (const user of USERS) await there.getRepository(Member).save({ id: `m${user}`, user, list: 'l0' })
    for (let step = 0; step < 50; step++) {
      const device = pick(devices)
      await pick([
        grant,
        hostWrites,
        hostWrites,
        () => deviceWrites(device),
        () => deviceWrites(device),
        () => deviceWrites(device),
        () => syncSome(device),
        () => syncSome(device),
      ])()
    }
    for (let round = 0; round < 8; round++)
      for (const { data, user } of devices) {
        await syncAll(data, decide(user))
        await note()
      }
    for (const { data, user } of devices) {
      const own = await lists(user)
      const kept: Record<string, any> = {}
      for (const entity of SYNCED) {
        const all = await rowsOf(there, entity)
        const seen = all.filter(row => own.includes(entity === List ? row.id : row.list))
        const notes = journal(data.getRepository(entity))
        const rejected = await notes.rejected()
        const deferred = await notes.deferred()
        for (const row of [...rejected, ...deferred]) kept[row.id] = row
        const ours = new Set(rejected.filter(r => r.code !== 'no-access').map(r => r.id))
        const waiting = new Set(deferred.map(r => r.id))
        expect({ user, rows: (await rowsOf(data, entity)).filter(row => !ours.has(row.id)) }).toEqual({
          ...{ user, rows: seen.filter(row => !ours.has(row.id) && !waiting.has(row.id)) },
        })
        expect(await notes.pending()).toEqual([])
        expect(await notes.conflicts()).toEqual([])
        // nothing of what is not seen remains
        const ids = new Set([...seen, ...rejected, ...deferred].map(row => row.id))
        const [base, made] = [`sync_base_${entity.options.tableName}`, entity.options.tableName]
        // a removed row leaves an exit beside its tombstone
        const bases = await sql(
          data,
          `SELECT i._sync_id AS id FROM ${base} i
            WHERE NOT EXISTS (SELECT 1 FROM sync_tombstone t WHERE t.collection = ? AND t.id = i._sync_id)`,
          [made],
        )
        for (const { id } of bases) expect({ base: id, made, is: ids.has(id) }).toEqual({ base: id, made, is: true })
        const servers = await sql(data, 'SELECT id FROM sync_server WHERE collection = ?', [made])
        for (const table of ['sync_unapplied', 'sync_rejection', 'sync_ignored'])
          for (const { id } of await sql(data, `SELECT id FROM ${table} WHERE server = ?`, [servers[0].id]))
            expect({ table, id, is: ids.has(id) }).toEqual({ table, id, is: true })
      }
      // no change is lost: the server had it, or it is kept
      for (const { token, id, property } of [...written.values()].filter(w => w.user === user))
        expect({ user, id, property, token: kept[id]?.local?.[property] }).toEqual({ user, id, property, token })
    }
  } catch (error) {
    console.log(`seed ${seed}\n${log.join('\n')}`)
    throw error
  }
})

class Crash extends Error {}

/** How many statements lie between two that fail; 1 tries all of them. */
const STEP = Number(process.env.CRASH_STEP ?? 31)

test('a sync that dies at any statement, while rows leave or come back, is made good by the next one', async () => {
  for (const isBack of [false, true]) {
    let at = 1
    for (let isThrough = false; !isThrough; at += STEP) {
      let left = Number.POSITIVE_INFINITY
      const beforeStatement = () => {
        if (--left === 0) throw new Crash()
      }
      const { there, devices } = await world({ beforeStatement })
      const { data, user } = devices[0] as Device
      const members = there.getRepository(Member)
      await members.save({ id: 'm', user, list: 'l0' })
      await there.getRepository(Item).save(['a', 'b', 'c', 'd'].map(id => ({ id, one: 'host', two: 'host', list: 'l0' })))
      await there.getRepository(Comment).save(['x', 'y', 'z'].map((id, i) => ({ id, one: 'host', item: 'abc'[i] as string, list: 'l0' })))
      await syncAll(data)
      await data.getRepository(Item).update('a', { one: 'ours' })
      await data.getRepository(Comment).update('y', { one: 'ours' })
      await data.getRepository(Item).delete('d')
      await data.getRepository(Comment).save({ id: 'n', one: 'ours', item: 'b', list: 'l0' })
      await members.delete('m')
      if (isBack) {
        await syncAll(data)
        await members.save({ id: 'm', user, list: 'l0' })
        await there.getRepository(Item).update('a', { two: 'host again' })
      }
      left = at
      await syncAll(data).catch(error => expect(error).toBeInstanceOf(Crash))
      isThrough = left > 0
      left = Number.POSITIVE_INFINITY
      await syncAll(data)
      if (!isBack) {
        for (const entity of SYNCED) expect(await rowsOf(data, entity)).toEqual([])
        const kept = await Promise.all([Item, Comment].map(entity => journal<any>(data.getRepository(entity)).rejected()))
        expect({ at, kept: kept.flat().map(row => [row.id, row.local?.one]) }).toEqual({
          at,
          kept: [
            ['a', 'ours'],
            ['d', undefined],
            ['y', 'ours'],
          ],
        })
        await members.save({ id: 'm', user, list: 'l0' })
        await there.getRepository(Item).update('a', { two: 'host again' })
        await syncAll(data)
      }
      const items = (await rowsOf(there, Item)).map(row => [row.id, row.one, row.two])
      expect({ at, items }).toEqual({
        at,
        items: [
          ['a', 'ours', 'host again'],
          ['b', 'host', 'host'],
          ['c', 'host', 'host'],
        ],
      })
      expect((await rowsOf(there, Comment)).map(row => [row.id, row.one])).toEqual([
        ['n', 'ours'],
        ['x', 'host'],
        ['y', 'ours'],
        ['z', 'host'],
      ])
      for (const entity of SYNCED)
        expect(await rowsOf(data, entity)).toEqual((await rowsOf(there, entity)).filter(row => row.list === 'l0' || row.id === 'l0'))
      for (const each of [there, ...devices.map(d => d.data)]) await each.destroy()
    }
    expect(at).toBeGreaterThan(50)
  }
})
