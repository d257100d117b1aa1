// Without anybody who decides, and with nothing mended: what still differs between two databases stands in a journal.

import type { SimulatedDatabase } from './databases.js'
import { finishAll } from './pairs.js'
import { keysOf } from './rejections.js'
import { linksIn } from './rowLinks.js'
import { PROPERTIES, type TableSpec } from './schemas.js'
import type { World } from './world.js'

type Row = Readonly<Record<string, unknown>>

/** All that an application sees. */
export function rowsOf(w: World, db: SimulatedDatabase): string {
  const tables = w.schema.tables.map(t => {
    const columns = ['id', ...PROPERTIES, ...t.extras.map(e => `"${e.column}"`)].join(', ')
    return db.run(`SELECT ${columns} FROM ${t.name} ORDER BY id`)
  })
  return JSON.stringify([...tables, ...linksIn(w, db)])
}

/** Syncs until nothing moves any more; gives what is not as it has to be then. */
export async function rest(w: World): Promise<string[]> {
  w.asks = false
  let isStill = false
  const problems: string[] = []
  for (let round = 0; round < 12 && !isStill; round++) {
    const before = [...w.databases.values()].map(db => rowsOf(w, db))
    const was = w.pushedRows
    await finishAll(w)
    // what is rejected for other rows' sake is pushed again by every sync; the first syncs may have begun before the last edit, and push the next time
    isStill = round > 0 && [...w.databases.values()].every((db, i) => rowsOf(w, db) === before[i]) && (w.pushedRows === was || round > 8)
  }
  if (!isStill) problems.push('never comes to rest while nobody decides')
  for (const [client, server] of w.links)
    for (const spec of w.schema.tables) problems.push(...lookAtTable(w, w.at(client), w.at(server), spec))
  w.asks = true
  return problems
}

function lookAtTable(w: World, local: SimulatedDatabase, remote: SimulatedDatabase, spec: TableSpec): string[] {
  const problems: string[] = []
  const [own, other] = [local, remote].map(db => new Map(db.run(`SELECT * FROM ${spec.name}`).map(row => [String(row.id), describe(row)])))
  const noted = new Set(
    local
      .run(
        `SELECT n.id FROM (SELECT server, id FROM sync_unapplied UNION SELECT server, id FROM sync_rejection) n JOIN sync_server r ON r.id = n.server
                WHERE r.origin = ? AND r.collection = ?`,
        ...[`http://${remote.name}`, spec.name],
      )
      .map(row => String(row.id)),
  )
  if (noted.size) w.reached.add('at rest with something in the journal')
  if (w.features.again && keysOf(spec).length) problems.push(...inVain(local, remote, spec))
  for (const id of spec.ids)
    if (own?.get(id) !== other?.get(id) && !noted.has(id))
      problems.push(`at rest ${id} is ${own?.get(id)} on ${local.name}, ${other?.get(id)} on ${remote.name}, and stands in no journal`)
  return problems
}

const describe = (row: Row) =>
  JSON.stringify(
    Object.entries(row)
      .filter(([name]) => !/^_lastChange$|^num$|Num$/.test(name) || name.startsWith('_sync_'))
      .sort(),
  )

/** Rows that wait, or were rejected, for a unique value that no row has any more. */
function inVain(local: SimulatedDatabase, remote: SimulatedDatabase, spec: TableSpec): string[] {
  const rowsIn = (db: SimulatedDatabase) => db.run(`SELECT * FROM ${spec.name}`)
  const of = `JOIN sync_server r ON r.id = n.server WHERE r.origin = ? AND r.collection = ? AND`
  const link = [`http://${remote.name}`, spec.name]
  // an unapplied row may be put together of both sides
  const isHeld = (row: Row, rows: readonly Row[]) => {
    const own = rows.find(r => r.id === row.id)
    return keysOf(spec).some(columns =>
      rows.some(r => r !== own && columns.every(c => (r[c] ?? null) !== null && (r[c] === row[c] || r[c] === own?.[c]))),
    )
  }
  const unapplied = local.run(`SELECT n.id, n.remote FROM sync_unapplied n ${of} n.reason = 'not-unique' AND n.remote IS NOT NULL`, ...link)
  const rejected = new Set(local.run(`SELECT n.id FROM sync_rejection n ${of} n.code = 'not-unique'`, ...link).map(row => row.id))
  const names = `on ${local.name} for a value of ${remote.name}'s that nobody has`
  return [
    ...unapplied
      .map(row => ({ ...JSON.parse(String(row.remote)), id: row.id }))
      .filter(row => !isHeld(row, rowsIn(local)))
      .map(({ id }) => `at rest ${id} waits ${names}`),
    ...rowsIn(local)
      .filter(row => rejected.has(row.id) && !isHeld(row, rowsIn(remote)))
      .map(({ id }) => `at rest ${id} is refused ${names}`),
  ]
}
