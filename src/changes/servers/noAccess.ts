// Rows that a server does not show to its user any more: what was changed in them here and never pushed is kept apart from the table, with its base,
// until they are seen again or the user discards it.

import { type Database, query, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { ServerState } from './serverState.js'

export interface NoAccess {
  /** Our version, which was never pushed; null: removed here. Undefined where the row is here for another server's sake, and is not pushed to this one. */
  readonly local: WireRow | null | undefined
  /** What the server had when both knew it; null: nothing; undefined: it is not known. */
  readonly base: WireRow | null | undefined
}

export interface NoAccessRow extends NoAccess {
  readonly server: number
  readonly id: string
}

export interface KeptApart {
  /** Of this server. */
  readonly own: ReadonlyMap<string, NoAccess>
  /** Our versions that are kept apart, for this server or for another one. */
  readonly local: ReadonlyMap<string, WireRow | null>
}

/** Reads what is kept apart of rows of a collection. */
export function* readNoAccess(database: Database, { id: server, collection }: ServerState, ids: unknown): Transaction<KeptApart> {
  const rows = yield* query(
    `SELECT n.server, n.id, n.local, n.base FROM sync_no_access n JOIN sync_server r ON r.id = n.server
      WHERE r.collection = ? AND ${database.among('sync_no_access', 'n', 'id')}`,
    collection,
    ids,
  )
  const own = new Map<string, NoAccess>()
  const local = new Map<string, WireRow | null>()
  for (const row of rows) {
    const id = String(row.id)
    const found = { local: parse(row.local), base: parse(row.base) }
    const isOwn = Number(row.server) === server
    if (isOwn) own.set(id, found)
    if (found.local !== undefined && (isOwn || !local.has(id))) local.set(id, found.local)
  }
  return { own, local }
}

export function writeNoAccess(database: Database, rows: readonly NoAccessRow[]): Transaction<void> {
  return database.upsertRows(
    'sync_no_access',
    ['server', 'id', 'local', 'base'],
    ['server', 'id'],
    rows.map(({ server, id, local, base }) => [server, id, write(local), write(base)]),
  )
}

/** It is decided what our version of a row is to be, for every server that it is kept apart for. */
export function* changeNoAccess(servers: readonly ServerState[], id: string, local: WireRow | null): Transaction<void> {
  for (const server of servers)
    yield* query('UPDATE sync_no_access SET local = ? WHERE server = ? AND id = ? AND local IS NOT NULL', write(local), server.id, id)
}

/**
 * Rows are here again, with what was kept apart for one server or another; this one shows them. What another one does not show is not pushed to it until it
 * does, unless it was made here. That one removes a row says nothing to the others.
 */
export function* forgetOthersNoAccess(database: Database, { collection }: ServerState, ids: readonly string[]): Transaction<void> {
  if (!ids.length) return
  const others = yield* query(
    `SELECT n.server, n.id, n.base, u.remote FROM sync_no_access n JOIN sync_server r ON r.id = n.server
       LEFT JOIN sync_unapplied u ON u.server = n.server AND u.id = n.id
      WHERE r.collection = ? AND n.local IS NOT NULL AND ${database.among('sync_no_access', 'n', 'id')}`,
    collection,
    database.list(ids),
  )
  const pairs = (some: typeof others) => some.map(row => [Number(row.server), String(row.id)])
  const isMade = (row: (typeof others)[number]) => row.base === NOTHING
  const made = pairs(others.filter(isMade))
  yield* database.deleteRows('sync_no_access', ['server', 'id'], made)
  // it does not wait any more: the note would be a removal
  for (const [other, id] of made) yield* query('DELETE FROM sync_unapplied WHERE server = ? AND id = ? AND remote IS NULL', other, id)
  // one that shows the row, and not what the row needed, is told: what it has is the base, and is kept as such
  const isShown = (row: (typeof others)[number]) => row.remote !== null
  yield* database.deleteRows('sync_no_access', ['server', 'id'], pairs(others.filter(row => !isMade(row) && isShown(row))))
  yield* database.updateRows(
    'sync_no_access',
    ['local', 'base'],
    ['server', 'id'],
    pairs(others.filter(row => !isMade(row) && !isShown(row))).map(pair => [null, null, ...pair]),
  )
}

/** Nothing of these rows is kept apart for this server any more. */
export const forgetOwnNoAccess = (database: Database, { id: server }: Pick<ServerState, 'id'>, ids: readonly string[]): Transaction<void> =>
  database.deleteRows(
    'sync_no_access',
    ['server', 'id'],
    ids.map(id => [server, id]),
  )

/** Rows are in no table any more, and so here for no other server's sake. */
export function* forgetStaying(database: Database, servers: readonly ServerState[], ids: readonly string[]): Transaction<void> {
  for (const { id } of servers)
    yield* query(
      `DELETE FROM sync_no_access WHERE server = ? AND local IS NULL AND ${database.among('sync_no_access', 'sync_no_access', 'id')}`,
      id,
      database.list(ids),
    )
}

/** After a reset nothing is agreed: what was kept apart has no base any more; what was made here waits for the rows that it needs. */
export function* resetNoAccess({ id }: ServerState): Transaction<void> {
  yield* query('DELETE FROM sync_no_access WHERE server = ? AND local IS NULL', id)
  yield* query('UPDATE sync_no_access SET base = NULL WHERE server = ? AND base <> ?', id, NOTHING)
  yield* query(
    `INSERT INTO sync_unapplied (server, id, reason) SELECT n.server, n.id, 'parent-missing' FROM sync_no_access n WHERE n.server = ? AND n.base = ?`,
    id,
    NOTHING,
  )
}

/** SQL for what is kept apart of our own for a server, in rows that do not wait for others. */
export const keptApartSql = (server: string) =>
  `FROM sync_no_access n WHERE n.server = ${server} AND n.local IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM sync_unapplied c WHERE c.server = n.server AND c.id = n.id)`

/** How nothing is written: the row was removed here, or made here. */
const NOTHING = 'null'

const parse = (cell: unknown): WireRow | null | undefined => (cell === null || cell === undefined ? undefined : JSON.parse(String(cell)))
const write = (row: WireRow | null | undefined) => (row === undefined ? null : JSON.stringify(row))

/** Discards, by the application's wish, what is kept apart of rows that left: not what waits for a row that it needs, nor what was made here. */
export function* dropNoAccess(servers: readonly ServerState[]): Transaction<void> {
  for (const { id } of servers)
    yield* query(
      `DELETE FROM sync_no_access WHERE server = ? AND local IS NOT NULL AND (base IS NULL OR base <> ?)
          AND NOT EXISTS (SELECT 1 FROM sync_unapplied c WHERE c.server = sync_no_access.server AND c.id = sync_no_access.id)`,
      id,
      NOTHING,
    )
}
