// Clients that write and sync in a loop, until they are killed. Argument: ClientOrders.

import 'reflect-metadata'
import { writeSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { DataSource, EntityManager, EntityTarget, ObjectLiteral } from 'typeorm'
import { Like } from 'typeorm'
import { syncAll } from '../../src/entity/syncAll.js'
import { SyncError } from '../../src/errors.js'
import { CASCADE } from '../crash/entities.js'
import { Random } from '../simulation/random.js'
import { type ClientOrders, open, orders, PROPERTIES, type Said } from './open.js'
import { watchingHandler } from './watch.js'

const say = (said: Said) => writeSync(1, `${JSON.stringify(said)}\n`)
const { server, seed, places, habits } = orders<ClientOrders>()
const [Item, Part] = CASCADE as unknown as [EntityTarget<ObjectLiteral>, EntityTarget<ObjectLiteral>]

type Edit = { row: string; property: string | null; token: string; before: string[] }
const tokensOf = (row: ObjectLiteral) => PROPERTIES.map(p => row[p]).filter(v => typeof v === 'string')

const clients: [name: string, dataSource: DataSource][] = []
// patient, for where the disk is slow two processes on one file leave each other few gaps
for (const { name, place } of places)
  clients.push([name, await open(place, { server, retries: 0, timeout: habits.timeout, pageSize: 20, batchSize: 10, busyTimeout: 60_000 })])
say({ said: 'ready' })
for (const [i, [name, dataSource]] of clients.entries()) void run(name, dataSource, new Random(seed + i * 100_000))

async function run(name: string, dataSource: DataSource, random: Random): Promise<void> {
  const { chance, pick, next } = random
  const handler = watchingHandler(dataSource, say, chance)
  let tokens = 0
  const token = () => `${name}.${seed}.${++tokens}`

  for (;;) {
    for (let writes = Math.floor(next() * 4); writes > 0; writes--) await write()
    try {
      await syncAll(dataSource, handler)
      say({ said: 'synced' })
    } catch (error) {
      // its server was killed, or its sibling holds the file: the next sync goes on
      if (error instanceof SyncError) say({ said: 'failed', code: error.code })
      else say({ said: 'problem', text: `${name}: ${(error as Error).stack}` })
    }
    await wait(next() * habits.pause)
  }

  /** One edit, said before it begins and once it is stored. Rows are read where they are written, so that it is known what was seen. */
  async function write(): Promise<void> {
    let edits: Edit[] = []
    const begins = (some: Edit[]) => {
      edits = some
      say({ said: 'begins', edits })
    }
    try {
      await dataSource.transaction(async manager => {
        const [entity, table] = chance(0.5) ? [Item, 'item'] : [Part, 'part']
        const row = chance(0.3) ? undefined : await anyRow(manager, entity)
        if (!row) await make(manager, entity, table, begins)
        else if (chance(0.15)) await remove(manager, entity, table, row, begins)
        else await change(manager, entity, table, row, begins)
      })
      say({ said: 'stored', tokens: edits.map(e => e.token) })
    } catch (error) {
      const { code = '', message } =
        (error as { driverError?: Error & { code?: string } }).driverError ?? (error as Error & { code?: string })
      if (/^SQLITE_BUSY/.test(code) || /locked/.test(message)) say({ said: 'failed', code: 'busy' })
      else say({ said: 'problem', text: `${name} wrote: ${(error as Error).stack}` })
    }
  }

  async function anyRow(manager: EntityManager, entity: EntityTarget<ObjectLiteral>): Promise<ObjectLiteral | undefined> {
    const where = chance(habits.own) ? { id: Like(`${name}.%`) } : {}
    const count = Math.min(await manager.count(entity, { where }), habits.crowd ?? Number.POSITIVE_INFINITY)
    if (!count) return
    const [row] = await manager.find(entity, { where, order: { id: 'ASC' }, skip: Math.floor(next() * count), take: 1 })
    return row
  }

  async function make(manager: EntityManager, entity: EntityTarget<ObjectLiteral>, table: string, begins: (edits: Edit[]) => void) {
    const id = token()
    const parent = table === 'part' ? await anyRow(manager, Item) : undefined
    const children = table === 'item' && chance(habits.families) ? [token(), token()] : []
    const editsOf = (row: string): Edit[] => PROPERTIES.map(property => ({ row, property, token: token(), before: [] }))
    const valuesOf = (edits: Edit[]) => Object.fromEntries(edits.map(e => [e.property, e.token]))
    const own = editsOf(`${table} ${id}`)
    const remote = children.map(child => editsOf(`part ${child}`))
    begins([...own, ...remote.flat()])
    await manager.insert(entity, { id, ...valuesOf(own), ...(parent && { item: { id: parent.id } }) })
    for (const [i, child] of children.entries()) await manager.insert(Part, { id: child, ...valuesOf(remote[i] ?? []), item: { id } })
  }

  async function change(
    manager: EntityManager,
    entity: EntityTarget<ObjectLiteral>,
    table: string,
    row: ObjectLiteral,
    begins: (edits: Edit[]) => void,
  ) {
    const properties = PROPERTIES.filter(() => chance(0.5))
    if (!properties.length) properties.push(pick(PROPERTIES))
    const edits = properties.map(property => ({
      row: `${table} ${row.id}`,
      property,
      token: token(),
      before: [row[property]].filter(Boolean),
    }))
    begins(edits)
    await manager.save(entity, { ...row, ...Object.fromEntries(edits.map(e => [e.property, e.token])) })
  }

  async function remove(
    manager: EntityManager,
    entity: EntityTarget<ObjectLiteral>,
    table: string,
    row: ObjectLiteral,
    begins: (edits: Edit[]) => void,
  ) {
    const parts = table === 'item' ? await manager.find(Part, { where: { item: { id: row.id } } }) : []
    begins([
      { row: `${table} ${row.id}`, property: null, token: token(), before: tokensOf(row) },
      ...parts.map(part => ({ row: `part ${part.id}`, property: null, token: token(), before: tokensOf(part) })),
    ])
    await manager.delete(entity, { id: row.id })
  }
}
