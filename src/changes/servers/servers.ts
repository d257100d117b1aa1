// The servers with which this database syncs its collections.

import { baseTableOf, type Database, first, query, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'
import { LAST } from '../rows/place.js'
import { resetNoAccess } from './noAccess.js'
import { readServerState, type ServerState, writeServers } from './serverState.js'

/** A collection and its url at a server. */
export interface Address {
  readonly collection: Collection
  readonly url: string
  /** Urls that it had there before. */
  readonly formerly?: readonly string[]
}

/** The ids of servers; undefined where a server is not known. */
export function* findServers(addresses: readonly Address[]): Transaction<(number | undefined)[]> {
  const rows = yield* query('SELECT id, collection, url FROM sync_server')
  const ids = new Map(rows.map(row => [`${row.collection} ${row.url}`, Number(row.id)]))
  return addresses.map(({ collection, url }) => ids.get(`${collection.name} ${url}`))
}

/** The ids of servers. Servers that are not known are inserted. */
export function* openServers(database: Database, addresses: readonly Address[], origin: string): Transaction<number[]> {
  yield* followMoves(addresses)
  const known = yield* findServers(addresses)
  yield* database.updateRows(
    'sync_server',
    ['origin'],
    ['id'],
    known.flatMap(id => (id === undefined ? [] : [[origin, id]])),
  )
  const missing = addresses.filter((_, i) => known[i] === undefined)
  const owner = missing.length
    ? yield* first('SELECT principal FROM sync_server WHERE origin = ? AND principal IS NOT NULL', origin)
    : undefined
  yield* database.insertRows(
    'sync_server',
    ['collection', 'url', 'origin', 'pushed_id', 'principal'],
    missing.map(({ collection, url }) => [collection.name, url, origin, LAST, owner?.principal ?? null]),
  )
  return (yield* findServers(addresses)) as number[]
}

/** What is known of a server stays known where a collection has another url there by now. */
function* followMoves(addresses: readonly Address[]): Transaction<void> {
  const ids = yield* findServers(addresses)
  for (const [i, { collection, url, formerly = [] }] of addresses.entries()) {
    if (ids[i] !== undefined || !formerly.length) continue
    const before = (yield* findServers(formerly.map(was => ({ collection, url: was })))).find(id => id !== undefined)
    if (before !== undefined) yield* query('UPDATE sync_server SET url = ? WHERE id = ?', url, before)
  }
}

/** Does this database sync the collection with another server as well? */
export function* hasOtherServers({ name }: Collection, id = 0): Transaction<boolean> {
  return (yield* first('SELECT 1 FROM sync_server WHERE collection = ? AND id <> ? LIMIT 1', name, id)) !== undefined
}

/** Does this database sync the collection with servers itself? */
export const hasServers = (collection: Collection) => hasOtherServers(collection)

export function* serversOf(collection: Collection): Transaction<ServerState[]> {
  const servers: ServerState[] = []
  for (const row of yield* query('SELECT id FROM sync_server WHERE collection = ? ORDER BY id', collection.name)) {
    const server = yield* readServerState(Number(row.id))
    if (server) servers.push(server)
  }
  return servers
}

/** A reset forgets everything that was agreed (law 11): every local row is pushed again, and only differing contents conflict. */
export function* resetServer(
  database: Database,
  collection: Collection,
  server: ServerState,
  serverHistory: string | null,
): Transaction<void> {
  Object.assign(server, {
    serverHistory,
    serverDate: 0,
    highest: 0,
    pulling: false,
    page: null,
    sweeping: null,
    push: null,
    etag: null,
    // what it has of the caller's rows is read anew
    scope: server.scope === null ? null : '',
  })
  server.pushedTo = { stamp: -1, id: '' }
  ;(server.stored as Set<number>).clear()
  for (const table of ['sync_stamp', 'sync_unapplied', 'sync_rejection', 'sync_ignored', 'sync_seen'])
    yield* query(`DELETE FROM ${table} WHERE server = ?`, server.id)
  yield* query(`DELETE FROM ${quote(baseTableOf(collection.table))} WHERE _sync_server = ?`, server.id)
  yield* resetNoAccess(server)
  yield* writeServers(database, [server])
}

/** Forgets a server that is no longer wanted; the rows stay. */
export function* forgetServer(database: Database, collection: Collection, server: ServerState): Transaction<void> {
  yield* resetServer(database, collection, server, null)
  for (const table of ['sync_no_access', 'sync_unapplied']) yield* query(`DELETE FROM ${table} WHERE server = ?`, server.id)
  yield* query('DELETE FROM sync_server WHERE id = ?', server.id)
}
