// What a database remembers of one server and one collection: how far it has read there, how far it has pushed, and what it keeps for both.

import { baseTableOf, type Database, first, query, queryCells, quote, type Row, type Transaction } from '../databases/database.js'
import { isKnownSql } from '../databases/knows.js'
import type { WireRow } from '../protocol/messages.js'
import type { Collection } from './collection.js'
import { readIgnored, withoutIgnored } from './ignored.js'
import { columnsSql, isAnyRemoved, isUpTo, LAST, type Place, readRow, type Version } from './rows.js'

/** A push that is under way, or whose answer never came. */
export interface OpenPush {
  /** UNDECIDED where the server knows no keys and has not answered: whether it stored the push is shown by the next pull. */
  readonly key: string
  /** It tells the local changes up to here. */
  readonly limit: Place
  /** What had been read from the server when it was made. */
  readonly since: number
}

export const UNDECIDED = ''

export interface ServerState {
  readonly id: number
  readonly collection: string
  readonly url: string
  /** Which server it is: two collections there have their foreign keys in common. */
  readonly origin: string
  /** The server's history id; null where it knows none, as in 2011, or was never heard. */
  serverHistory: string | null
  /** Read up to: the server's stamp. */
  serverDate: number
  /** The highest of the server's stamps that was ever heard. */
  highest: number
  /** The number of transactions in which its answers were stored: an answer that was asked for before one of them is outdated. */
  reads: number
  /** An answer of several pages is being read; `page` is the token of the next. */
  pulling: boolean
  page: string | null
  /** That answer is a full one and sweeps away what it lacks. */
  sweeping: boolean
  /** Pushed up to: our own stamps. */
  pushedTo: Place
  push: OpenPush | null
  etag: string | null
  /** How this server writes dates, where it does not write them as ISO 8601. */
  dateForm: 'seconds' | 'milliseconds' | null
  /** Rows in a push, once it had to be made smaller. */
  batch: number | null
  /** Updates in a page, once it had to be made smaller. */
  pageSize: number | null
  /** Our stamps under which this server's rows were stored. */
  readonly stored: ReadonlySet<number>
}

function serverFrom(row: Row, stored: ReadonlySet<number>): ServerState {
  const optional = (cell: unknown) => (cell === null || cell === undefined ? null : String(cell))
  return {
    id: Number(row.id),
    collection: String(row.collection),
    url: String(row.url),
    origin: String(row.origin),
    serverHistory: optional(row.server_history),
    serverDate: Number(row.server_date),
    highest: Number(row.highest),
    reads: Number(row.reads),
    pulling: Boolean(row.pulling),
    page: optional(row.page),
    sweeping: Boolean(row.sweeping),
    pushedTo: { stamp: Number(row.pushed_stamp), id: String(row.pushed_id) },
    push:
      row.push_key === null
        ? null
        : { key: String(row.push_key), limit: { stamp: Number(row.push_stamp), id: String(row.push_id) }, since: Number(row.push_since) },
    etag: optional(row.etag),
    dateForm: optional(row.date_form) as ServerState['dateForm'],
    batch: row.batch === null ? null : Number(row.batch),
    pageSize: row.page_size === null ? null : Number(row.page_size),
    stored,
  }
}

/** What `writeServers` writes down. */
const COLUMNS = [
  ...['server_history', 'server_date', 'highest', 'reads', 'pulling', 'page', 'sweeping', 'pushed_stamp', 'pushed_id'],
  ...['push_key', 'push_stamp', 'push_id', 'push_since', 'etag', 'date_form', 'batch', 'page_size'],
]
// by their names: of a `*` sql.js decodes the names of the columns each time, which costs more than the rows
const REMOTE = ['id', 'collection', 'url', 'origin', ...COLUMNS].map(column => `o.${column}`).join(', ')

/** Reads what is known of a server; undefined where it was forgotten. */
export function* readServerState(id: number): Transaction<ServerState | undefined> {
  const row = yield* first(`SELECT ${REMOTE} FROM sync_server o WHERE o.id = ?`, id)
  if (!row) return
  const stamps = yield* query('SELECT stamp FROM sync_stamp WHERE server = ?', id)
  return serverFrom(row, new Set(stamps.map(s => Number(s.stamp))))
}

/** Reads what is known of a server, for all of its collections; nothing where it was forgotten. */
export function* readServer(id: number): Transaction<ServerState[]> {
  const rows = yield* query(`SELECT ${REMOTE} FROM sync_server r JOIN sync_server o ON o.origin = r.origin WHERE r.id = ?`, id)
  const stamps = new Map(rows.map(row => [Number(row.id), new Set<number>()]))
  const noted = yield* query(
    `SELECT m.server AS server, m.stamp AS stamp
       FROM sync_server r JOIN sync_server o ON o.origin = r.origin JOIN sync_stamp m ON m.server = o.id WHERE r.id = ?`,
    id,
  )
  for (const { server, stamp } of noted) stamps.get(Number(server))?.add(Number(stamp))
  return rows.map(row => serverFrom(row, stamps.get(Number(row.id)) as Set<number>))
}

/** A collection and its url at a server. */
export interface Address {
  readonly collection: Collection
  readonly url: string
}

/** The ids of remotes; undefined where there is none. */
export function* findServers(addresses: readonly Address[]): Transaction<(number | undefined)[]> {
  const rows = yield* query('SELECT id, collection, url FROM sync_server')
  const ids = new Map(rows.map(row => [`${row.collection} ${row.url}`, Number(row.id)]))
  return addresses.map(({ collection, url }) => ids.get(`${collection.name} ${url}`))
}

/** The ids of remotes, made where there are none. */
export function* openServers(database: Database, addresses: readonly Address[], origin: string): Transaction<number[]> {
  const known = yield* findServers(addresses)
  yield* database.updateRows(
    'sync_server',
    ['origin'],
    ['id'],
    known.flatMap(id => (id === undefined ? [] : [[origin, id]])),
  )
  const missing = addresses.filter((_, i) => known[i] === undefined)
  yield* database.insertRows(
    'sync_server',
    ['collection', 'url', 'origin', 'pushed_id'],
    missing.map(({ collection, url }) => [collection.name, url, origin, LAST]),
  )
  return (yield* findServers(addresses)) as number[]
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

/** Writes down the cursors, the open push and the rest, whole. */
export function writeServers(database: Database, servers: readonly ServerState[]): Transaction<void> {
  return database.updateRows(
    'sync_server',
    COLUMNS,
    ['id'],
    servers.map(({ push, pushedTo, ...server }) => [
      ...[server.serverHistory, server.serverDate, server.highest, server.reads, server.pulling ? 1 : 0, server.page],
      ...[server.sweeping ? 1 : 0, pushedTo.stamp, pushedTo.id],
      ...[push?.key ?? null, push?.limit.stamp ?? null, push?.limit.id ?? null, push?.since ?? null],
      ...[server.etag, server.dateForm, server.batch, server.pageSize, server.id],
    ]),
  )
}

/** Everything after which an answer to an older question does not count any more (law 3). */
export function cursorOf({ serverHistory, serverDate, page, highest, reads, pushedTo, push }: ServerState): string {
  return JSON.stringify([serverHistory, serverDate, page, highest, reads, pushedTo, push?.key])
}

/**
 * Notes that a server's rows are stored under a stamp, which was taken at `before`: they are no local changes for it. Of those of `together` of which
 * everything was pushed then, everything up to the stamp is.
 */
export function* noteStored(
  database: Database,
  remotes: Iterable<ServerState>,
  together: readonly ServerState[],
  stamp: number,
  before: number,
): Transaction<void> {
  const allPushed: ServerState[] = []
  const noted: ServerState[] = []
  for (const server of remotes) {
    if (together.includes(server) && isAllPushed(server, before)) allPushed.push(server)
    else if (!server.stored.has(stamp)) noted.push(server)
  }
  for (const server of allPushed) server.pushedTo = { stamp, id: LAST }
  for (const server of noted) (server.stored as Set<number>).add(stamp)
  const idsOf = (some: readonly ServerState[]) => some.map(({ id }) => id)
  yield* database.updateRows(
    'sync_server',
    ['pushed_stamp'],
    ['id'],
    idsOf(allPushed).map(id => [stamp, id]),
  )
  yield* database.upsertRows(
    'sync_stamp',
    ['server', 'stamp'],
    ['server', 'stamp'],
    idsOf(noted).map(id => [id, stamp]),
  )
}

/** Forgets the stamps of which everything is pushed. */
export function* forgetStored(servers: readonly ServerState[]): Transaction<void> {
  for (const server of servers) {
    const { stamp, id } = server.pushedTo
    const below = id === LAST ? stamp + 1 : stamp
    const outdated = [...server.stored].filter(s => s < below)
    if (!outdated.length) continue
    for (const old of outdated) (server.stored as Set<number>).delete(old)
    yield* query('DELETE FROM sync_stamp WHERE server = ? AND stamp < ?', server.id, below)
  }
}

// ---------------------------------------------------------------- what is known of single rows

export interface Unapplied {
  readonly remote: WireRow | null
  /** `remote` as it is stored. */
  readonly json: string | null
  /** The stamp of our version, if that is a local change. */
  readonly unpushed: number | null
  readonly reason: UnappliedReason
}

/** Why a row needs a decision, by a conflict handler or in the journal. */
export type ConflictReason = (typeof CONFLICT_REASONS)[number]

export const CONFLICT_REASONS = ['contested', 'children-changed', 'parent-removed', 'cycle', 'not-unique'] as const

/** Why a row is deferred: it needs another row first, or the database accepts it only when something else has changed. */
export type DeferredReason = 'parent-missing' | 'children-exist' | 'not-valid'

/** Why the server's version of a row is not applied yet. */
export type UnappliedReason = ConflictReason | DeferredReason

export interface Rejection {
  readonly stamp: number
  readonly again: boolean
}

/** Everything that decides about one row and one server. */
export interface RowState {
  readonly id: string
  readonly version: Version
  readonly unapplied: Unapplied | undefined
  readonly rejection: Rejection | undefined
  /** Kept versions, newest first. */
  readonly baseVersions: readonly Version[]
  /** The properties whose values this server has ignored: no version that it knows has them. */
  readonly ignored: readonly string[]
  /** Those of them that are references: they are null there. */
  readonly putOff: readonly string[]
}

/** Reads the state of rows; `versions` are those of the same transaction. */
export function* readStates(
  database: Database,
  collection: Collection,
  server: ServerState,
  ids: readonly string[],
  versions: ReadonlyMap<string, Version>,
): Transaction<Map<string, RowState>> {
  const there = yield* readKinds(collection, server)
  const list = there.unapplied || there.rejected || there.baseVersions || there.ignored ? database.list(ids) : undefined
  const unapplied = new Map<string, Unapplied>()
  if (there.unapplied) {
    const rows = yield* query(
      `SELECT c.id, c.remote, c.unpushed, c.reason FROM sync_unapplied c WHERE c.server = ? AND ${database.among('sync_unapplied', 'c', 'id')}`,
      server.id,
      list,
    )
    for (const row of rows) unapplied.set(String(row.id), unappliedFrom(row))
  }
  const rejections = new Map<string, Rejection>()
  if (there.rejected) {
    const rows = yield* query(
      `SELECT j.id, j.stamp, j.again FROM sync_rejection j WHERE j.server = ? AND ${database.among('sync_rejection', 'j', 'id')}`,
      server.id,
      list,
    )
    for (const row of rows) rejections.set(String(row.id), { stamp: Number(row.stamp), again: Boolean(row.again) })
  }
  const baseVersions = new Map<string, Version[]>()
  if (there.baseVersions) {
    const rows = yield* queryCells(
      `SELECT i._sync_id AS id, i._sync_stamp AS stamp, i._sync_removed AS removed${columnsSql(collection, 'i')}
         FROM ${quote(baseTableOf(collection.table))} i
        WHERE i._sync_server = ? AND ${database.among(baseTableOf(collection.table), 'i', '_sync_id')}`,
      server.id,
      list,
    )
    for (const row of rows) {
      const id = String(row[0])
      const baseVersion = { stamp: Number(row[1]), value: row[2] ? null : readRow(collection, row, 3) }
      const kept = baseVersions.get(id)
      if (kept) kept.push(baseVersion)
      else baseVersions.set(id, [baseVersion])
    }
    for (const kept of baseVersions.values()) if (kept.length > 1) kept.sort((x, y) => y.stamp - x.stamp)
  }
  const ignored = there.ignored ? yield* readIgnored(database, server.id, list) : undefined
  return new Map(
    ids.map(id => [
      id,
      {
        id,
        version: versions.get(id) ?? { value: null, stamp: 0 },
        unapplied: unapplied.get(id),
        rejection: rejections.get(id),
        baseVersions: baseVersions.get(id) ?? [],
        ignored: ignored?.get(id) ?? [],
        putOff: ignored?.get(id)?.filter(property => collection.parents.some(r => r.property === property)) ?? [],
      },
    ]),
  )
}

/** Is anything known of rows that are not there? */
export function* isAnythingKnown(collection: Collection, server: ServerState): Transaction<boolean> {
  const { unapplied, rejected, baseVersions } = yield* readKinds(collection, server)
  return unapplied || rejected || baseVersions || (yield* isAnyRemoved(collection))
}

/** What the database keeps for a server: usually there is none of it. */
export function* readKinds(
  { table }: Collection,
  { id }: ServerState,
): Transaction<Record<'unapplied' | 'rejected' | 'baseVersions' | 'ignored', boolean>> {
  const row = yield* first(
    `SELECT EXISTS (SELECT 1 FROM sync_unapplied WHERE server = ?1) AS unapplied,
            EXISTS (SELECT 1 FROM sync_rejection WHERE server = ?1) AS rejected,
            EXISTS (SELECT 1 FROM ${quote(baseTableOf(table))} WHERE _sync_server = ?1) AS bases,
            EXISTS (SELECT 1 FROM sync_ignored WHERE server = ?1) AS ignored`,
    id,
  )
  return {
    ...{ unapplied: Boolean(row?.unapplied), rejected: Boolean(row?.rejected) },
    ...{ baseVersions: Boolean(row?.bases), ignored: Boolean(row?.ignored) },
  }
}

export function unappliedFrom(row: Row): Unapplied {
  return {
    remote: row.remote === null ? null : JSON.parse(String(row.remote)),
    json: row.remote === null ? null : String(row.remote),
    unpushed: row.unpushed === null ? null : Number(row.unpushed),
    reason: String(row.reason) as UnappliedReason,
  }
}

const isNoted = ({ unapplied, rejection }: RowState, stamp: number) => unapplied?.unpushed === stamp || rejection?.stamp === stamp

/** Does the server know this version of the row? What waits or was rejected is not pushed, however far the rest is. */
export function isAgreed(server: ServerState, state: RowState, stamp: number): boolean {
  return (isUpTo(server.pushedTo, state.id, stamp) || server.stored.has(stamp)) && !isNoted(state, stamp)
}

/**
 * Does the push that is under way carry a version of the row, the one that stands here or one that was replaced since? Whether the server
 * has it is not known before the answer.
 */
export function isInPush({ push, pushedTo, stored }: ServerState, state: RowState): boolean {
  if (!push || state.unapplied) return false // what waits is not pushed
  const carries = (stamp: number) =>
    stamp > 0 && !isUpTo(pushedTo, state.id, stamp) && isUpTo(push.limit, state.id, stamp) && !stored.has(stamp) && !isNoted(state, stamp)
  return carries(state.version.stamp) || state.baseVersions.some(baseVersion => carries(baseVersion.stamp))
}

/** SQL for `isAgreed` of a row with its key, where nothing waits and nothing was rejected; and its parameters. */
export const agreedSql = (server: ServerState, key: string) => ({
  sql: `"_lastChange" < ? OR ("_lastChange" = ? AND ${key} <= ?) OR EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = ? AND m.stamp = "_lastChange")`,
  values: [server.pushedTo.stamp, server.pushedTo.stamp, server.pushedTo.id, server.id],
})

/** The last version that both sides know; undefined where there is none. What we never had is unchanged. */
export function baseOf(server: ServerState, state: RowState): WireRow | null | undefined {
  const { version, baseVersions } = state
  const isBase = version.stamp === 0 || isAgreed(server, state, version.stamp)
  const base = isBase ? version.value : baseVersions.find(baseVersion => isAgreed(server, state, baseVersion.stamp))?.value
  return base && state.ignored.length ? withoutIgnored(base, state) : base
}

export const isUndecided = ({ push }: ServerState) => push?.key === UNDECIDED

/** The version of a row that an undecided push has sent: perhaps the server knows it. */
export function sentVersion(server: ServerState, state: RowState): Version | undefined {
  const { push } = server
  if (!push || !isUndecided(server)) return
  const sent = [state.version, ...state.baseVersions].find(version => isUpTo(push.limit, state.id, version.stamp))
  return sent && sent.stamp > 0 && !isAgreed(server, state, sent.stamp) && !isNoted(state, sent.stamp) ? sent : undefined
}

/** Is everything pushed up to this stamp, the clock's, but for what waits or was rejected? */
export const isAllPushed = ({ push, pushedTo }: ServerState, now: number) => !push && pushedTo.stamp === now && pushedTo.id === LAST

/** Is the row kept out of pushes, because it waits, or was rejected as it is? */
export const isHeld = ({ unapplied, rejection, version }: RowState) => unapplied !== undefined || rejection?.stamp === version.stamp

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
      WHERE r.id = ?1 AND ${KNOWN_BASE} AND (
        EXISTS (SELECT 1 FROM ${bases} n
                 WHERE n._sync_server = ?1 AND n._sync_id = i._sync_id AND n._sync_stamp > i._sync_stamp
                   AND ${isKnownSql({ id: 'n._sync_id', stamp: 'n._sync_stamp' })})
        OR EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isRow} AND ${isKnownSql({ id: 'i._sync_id', stamp: 'x."_lastChange"' })})
        OR EXISTS (SELECT 1 FROM sync_tombstone t
                    WHERE t.collection = ?2 AND t.id = i._sync_id AND ${isKnownSql({ id: 'i._sync_id', stamp: 't.stamp' })})
        OR (NOT EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isRow})
            AND NOT EXISTS (SELECT 1 FROM sync_tombstone t WHERE t.collection = ?2 AND t.id = i._sync_id)))`,
    server.id,
    collection.name,
  )
  yield* deleteBases(database, collection, versionsOf(server, rows))
}

const versionsOf = ({ id }: ServerState, rows: readonly Row[]) => rows.map(row => [id, String(row._sync_id), Number(row._sync_stamp)])

function deleteBases(database: Database, { table }: Collection, versions: readonly (readonly unknown[])[]): Transaction<void> {
  return database.deleteRows(baseTableOf(table), ['_sync_server', '_sync_id', '_sync_stamp'], versions)
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
    sweeping: false,
    push: null,
    etag: null,
  })
  server.pushedTo = { stamp: -1, id: '' }
  ;(server.stored as Set<number>).clear()
  for (const table of ['sync_stamp', 'sync_unapplied', 'sync_rejection', 'sync_ignored', 'sync_seen'])
    yield* query(`DELETE FROM ${table} WHERE server = ?`, server.id)
  yield* query(`DELETE FROM ${quote(baseTableOf(collection.table))} WHERE _sync_server = ?`, server.id)
  yield* writeServers(database, [server])
}

/** Forgets a server that is no longer wanted; the rows stay. */
export function* forgetServer(database: Database, collection: Collection, server: ServerState): Transaction<void> {
  yield* resetServer(database, collection, server, null)
  yield* query('DELETE FROM sync_server WHERE id = ?', server.id)
}
