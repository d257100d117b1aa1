// A device is emptied for another user, or handed over with its rows.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection, Reference } from '../changes/collections/collection.js'
import { parentsFirst } from '../changes/collections/parentsFirst.js'
import { readVersions } from '../changes/rows/rows.js'
import { forgetServer, serversOf } from '../changes/servers/servers.js'
import type { ColumnCodec } from '../databases/columns.js'
import { baseTableOf, type Database, EXIT, query, quote, type Transaction } from '../databases/database.js'
import { readLocalChanges } from './conflicts/pending.js'
import { openExchange } from './exchange.js'

/** How many rows hold something that no server has: each counts once, however many servers lack it. */
export function* countUnpushed(log: ChangeLog, syncs: (collection: Collection) => boolean): Transaction<number> {
  let count = 0
  for (const collection of log.collections) {
    const ids = new Set<string>()
    const servers = yield* serversOf(collection)
    for (const { id } of servers) {
      const exchange = yield* openExchange(log, collection, id)
      if (exchange) yield* readLocalChanges(exchange, row => ids.add(row).size > 0)
    }
    count += ids.size
    if (servers.length || !syncs(collection)) continue
    const [row] = yield* query(`SELECT count(*) AS unpushed FROM ${quote(collection.table.name)}`)
    count += Number(row?.unpushed)
  }
  return count
}

/** How many rows are in the journal alone, kept apart from their tables. Removals do not count: what the former user removed is no matter of the next one's. */
export function* countKeptApart({ database, collections }: ChangeLog): Transaction<number> {
  let count = 0
  for (const collection of collections) {
    const kept = yield* query(
      `SELECT DISTINCT n.id FROM sync_no_access n JOIN sync_server r ON r.id = n.server WHERE r.collection = ? AND n.local <> 'null'`,
      collection.name,
    )
    const ids = kept.map(row => String(row.id))
    const versions = yield* readVersions(database, collection, ids)
    count += ids.filter(id => !versions.has(id)).length
  }
  return count
}

const BOOKKEEPING = [
  ...['sync_stamp', 'sync_unapplied', 'sync_rejection', 'sync_ignored', 'sync_no_access', 'sync_seen'],
  ...['sync_resolution', 'sync_tombstone', 'sync_push', 'sync_server'],
]

/** Removes all rows of synced entities and all that is remembered of them. Throws ConstraintError where rows of other tables need them. */
export function* removeEverything({ database, collections }: ChangeLog): Transaction<void> {
  yield* database.deferConstraints(true)
  const removed = new Set<Collection>()
  // children first; in a ring a reference that may be null lets go of the row that it needs
  const needs = (collection: Collection) => collection.parents.filter(r => !isNullable(r)).map(r => r.parent)
  for (const collection of parentsFirst(collections, needs).reverse()) {
    const table = quote(collection.table.name)
    const kept = collection.children.filter(r => r.child && !removed.has(r.child) && isNullable(r))
    for (const { childTable, child, nullable } of kept) {
      const codecs = nullable.map(p => child?.column.get(p) as ColumnCodec)
      const columns = codecs.map(c => quote(c.column))
      const numbers = codecs.flatMap(c => c.reference?.references.map(quote) ?? [])
      const isSet = columns.map(c => `${c} IS NOT NULL`).join(' OR ')
      yield* query(`UPDATE ${quote(childTable)} SET ${[...columns, ...numbers].map(c => `${c} = NULL`).join(', ')} WHERE ${isSet}`)
    }
    yield* query(`DELETE FROM ${table}`)
    yield* query(`DELETE FROM ${quote(baseTableOf(collection.table))}`)
    removed.add(collection)
  }
  for (const table of BOOKKEEPING) yield* query(`DELETE FROM ${table}`)
  yield* raiseHorizon(database)
}

const isNullable = ({ nullable }: Reference) => nullable.length > 0

/** Forgets every server and every removal: the next sync pushes all rows as new ones. */
export function* forgetServers({ database, collections }: ChangeLog): Transaction<void> {
  for (const collection of collections) {
    for (const server of yield* serversOf(collection)) yield* forgetServer(database, collection, server)
    if (collection.scopes.length) yield* query(`DELETE FROM ${quote(baseTableOf(collection.table))} WHERE _sync_server = ${EXIT}`)
  }
  yield* query('DELETE FROM sync_tombstone')
  yield* raiseHorizon(database)
}

/** Clients of this database read everything anew, also who has read all of it: no tombstone says what went. */
function* raiseHorizon(database: Database): Transaction<void> {
  yield* query('UPDATE sync_clock SET horizon = ?', yield* database.tick())
}
