// A client that writes and syncs in a loop, until it is killed. Arguments: file, enableWAL, url of the server, name, seed.

import 'reflect-metadata'
import { writeSync } from 'node:fs'
import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm'
import { syncAll } from '../../src/entity/syncAll.js'
import { SyncError } from '../../src/errors.js'
import { CASCADE } from '../crash/entities.js'
import { Random } from '../simulation/random.js'
import { open, PROPERTIES, type Said } from './open.js'
import { watchingHandler } from './watch.js'

const say = (said: Said) => writeSync(1, `${JSON.stringify(said)}\n`)
const [file = '', enableWAL, server = '', name = '', seed] = process.argv.slice(2)
const { chance, pick, next } = new Random(Number(seed))

const dataSource = await open(
  { file, enableWAL: enableWAL === 'true' },
  { server, retries: 0, timeout: 5_000, pageSize: 20, batchSize: 10 },
)
const [Item, Part] = CASCADE as unknown as [EntityTarget<ObjectLiteral>, EntityTarget<ObjectLiteral>]
const handler = watchingHandler(dataSource, say, chance)
say({ said: 'ready' })

type Edit = { row: string; property: string | null; token: string; before: string[] }
let tokens = 0
const token = () => `${name}.${seed}.${++tokens}`
const tokensOf = (row: ObjectLiteral) => PROPERTIES.map(p => row[p]).filter(v => typeof v === 'string')

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
  await new Promise(resolve => setTimeout(resolve, next() * 20))
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
  const count = await manager.count(entity)
  if (!count) return
  const [row] = await manager.find(entity, { order: { id: 'ASC' }, skip: Math.floor(next() * count), take: 1 })
  return row
}

async function make(manager: EntityManager, entity: EntityTarget<ObjectLiteral>, table: string, begins: (edits: Edit[]) => void) {
  const id = token()
  const parent = table === 'part' ? await anyRow(manager, Item) : undefined
  const edits = PROPERTIES.map(property => ({ row: `${table} ${id}`, property, token: token(), before: [] }))
  begins(edits)
  await manager.insert(entity, {
    id,
    ...Object.fromEntries(edits.map(e => [e.property, e.token])),
    ...(parent && { item: { id: parent.id } }),
  })
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
