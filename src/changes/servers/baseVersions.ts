// The versions that are kept as bases of later merges: those that a server knows.

import { baseTableOf, type Database, query, quote, type Row, type Transaction } from '../../databases/database.js'
import { isKnownSql } from '../../databases/knows.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { isAllPushed } from './agreement.js'
import { type RowState, readKinds } from './rowStates.js'
import type { ServerState } from './serverState.js'

/** SQL for «the server r knows this base version i». */
const KNOWN_BASE = isKnownSql({ id: 'i._sync_id', stamp: 'i._sync_stamp' })

/** Those of the ids of which versions are kept for the server. */
export function* readIdsOfBases(
  database: Database,
  { table }: Collection,
  { id }: ServerState,
  ids: readonly string[],
): Transaction<Set<string>> {
  const rows = yield* query(
    `SELECT DISTINCT i._sync_id AS id FROM ${quote(baseTableOf(table))} i WHERE i._sync_server = ? AND ${database.among(baseTableOf(table), 'i', '_sync_id')}`,
    id,
    database.list(ids),
  )
  return new Set(rows.map(row => String(row.id)))
}

/** Keeps a version as one that the server knows; `stamp` is one of ours under which its rows are stored. */
export function* keepBases(
  database: Database,
  collection: Collection,
  server: ServerState,
  baseVersions: readonly { id: string; value: WireRow | null }[],
  stamp: number,
): Transaction<void> {
  const { columns, table } = collection
  yield* database.upsertRows(
    baseTableOf(table),
    ['_sync_server', '_sync_id', '_sync_stamp', '_sync_removed', ...columns],
    ['_sync_server', '_sync_id', '_sync_stamp'],
    baseVersions.map(({ id, value }) => [
      ...[server.id, id, stamp, value === null ? 1 : 0],
      ...columns.map(c => (value === null || !Object.hasOwn(value, c.property) ? null : c.fromWire(value[c.property] as never))),
    ]),
  )
}

/** Forgets the base versions of rows that the server knows as they are. */
export function forgetBases(
  database: Database,
  collection: Collection,
  server: ServerState,
  states: readonly RowState[],
): Transaction<void> {
  const versions = states.flatMap(({ id, baseVersions }) => baseVersions.map(({ stamp }) => [server.id, id, stamp]))
  return deleteBases(database, collection, versions)
}

/** Forgets what these servers are known to have of a row. */
export const forgetBasesOf = (
  database: Database,
  { table }: Collection,
  servers: readonly Pick<ServerState, 'id'>[],
  id: string,
): Transaction<void> =>
  database.deleteRows(
    baseTableOf(table),
    ['_sync_server', '_sync_id'],
    servers.map(server => [server.id, id]),
  )

/** A rejected row that has moved on is not rejected any more, and what was rejected is no version that the server knows. */
export function* forgetRejections(
  database: Database,
  collection: Collection,
  server: ServerState,
  rejections: readonly { id: string; stamp: number }[],
): Transaction<void> {
  const versions = rejections.map(r => [server.id, r.id, r.stamp])
  yield* database.deleteRows('sync_rejection', ['server', 'id', 'stamp'], versions)
  yield* deleteBases(database, collection, versions)
}

/** Drops what was kept for a push that never counted: it would pass for versions that the server knows, once more is pushed. */
export function* dropTentativeBases(database: Database, collection: Collection, server: ServerState): Transaction<void> {
  const rows = yield* query(
    `SELECT i._sync_id, i._sync_stamp FROM ${quote(baseTableOf(collection.table))} i JOIN sync_server r ON r.id = i._sync_server
      WHERE r.id = ? AND NOT (${KNOWN_BASE})`,
    server.id,
  )
  yield* deleteBases(database, collection, versionsOf(server, rows))
}

/** Drops base versions that are no base any more: older ones, and those of rows that are pushed as they are. */
export function* pruneBases(database: Database, collection: Collection, server: ServerState): Transaction<void> {
  const { table } = collection
  const bases = quote(baseTableOf(table))
  const there = yield* readKinds(collection, server)
  // where the server knows every row as it is, none is a base
  const { now } = yield* database.clock()
  if (isAllPushed(server, now) && !there.unapplied && !there.rejected)
    return void (yield* query(`DELETE FROM ${bases} WHERE _sync_server = ?`, server.id))
  const isRow = `x.${quote(table.key)} = ${database.key(table, 'i._sync_id')}`
  const rows = yield* query(
    `SELECT i._sync_id, i._sync_stamp FROM ${bases} i JOIN sync_server r ON r.id = i._sync_server
      WHERE r.id = ? AND ${KNOWN_BASE} AND (
        EXISTS (SELECT 1 FROM ${bases} n
                 WHERE n._sync_server = ? AND n._sync_id = i._sync_id AND n._sync_stamp > i._sync_stamp
                   AND ${isKnownSql({ id: 'n._sync_id', stamp: 'n._sync_stamp' })})
        OR EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isRow} AND ${isKnownSql({ id: 'i._sync_id', stamp: 'x."_lastChange"' })})
        OR EXISTS (SELECT 1 FROM sync_tombstone t
                    WHERE t.collection = ? AND t.id = i._sync_id AND ${isKnownSql({ id: 'i._sync_id', stamp: 't.stamp' })})
        OR (NOT EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isRow})
            AND NOT EXISTS (SELECT 1 FROM sync_tombstone t WHERE t.collection = ? AND t.id = i._sync_id)
            AND NOT EXISTS (SELECT 1 FROM sync_unapplied u WHERE u.server = i._sync_server AND u.id = i._sync_id)))`,
    ...[server.id, server.id, collection.name, collection.name],
  )
  yield* deleteBases(database, collection, versionsOf(server, rows))
}

const versionsOf = ({ id }: ServerState, rows: readonly Row[]) => rows.map(row => [id, String(row._sync_id), Number(row._sync_stamp)])

function deleteBases(database: Database, { table }: Collection, versions: readonly (readonly unknown[])[]): Transaction<void> {
  return database.deleteRows(baseTableOf(table), ['_sync_server', '_sync_id', '_sync_stamp'], versions)
}
