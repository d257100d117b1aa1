// What a database remembers of one server and one collection: how far it has read there, how far it has told, and what it keeps for both.

import type { WireRow } from '../protocol/messages.js'
import type { Collection } from './collection.js'
import { type Database, first, imagesOf, query, queryCells, quote, type Row, type Step } from './database/database.js'
import { readIgnored, withoutIgnored } from './ignored.js'
import { columnsSql, isAnyRemoved, isUpTo, LAST, type Place, readRow, type Version } from './rows.js'

/** A push that is under way, or whose answer never came. */
export interface OpenPush {
  /** UNDECIDED where the server knows no keys and has not answered: whether it stored the push is shown by the next pull. */
  readonly key: string
  /** It tells the news up to here. */
  readonly limit: Place
  /** What had been read from the server when it was made. */
  readonly since: number
}

export const UNDECIDED = ''

export interface Remote {
  readonly id: number
  readonly collection: string
  readonly url: string
  /** Which server it is: two collections there have their foreign keys in common. */
  readonly server: string
  /** The server's collection id; null where it knows none, as in 2011, or was never heard. */
  serverCollection: string | null
  /** Read up to: the server's stamp. */
  serverDate: number
  /** The highest of the server's stamps that was ever heard. */
  highest: number
  /** The number of steps in which its answers were stored: an answer that was asked for before one of them is outdated. */
  reads: number
  /** An answer of several pages is being read; `page` is the token of the next. */
  pulling: boolean
  page: string | null
  /** That answer is a full one and sweeps away what it lacks. */
  sweeping: boolean
  /** Told up to: our own stamps. */
  told: Place
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

function remoteFrom(row: Row, stored: ReadonlySet<number>): Remote {
  const optional = (cell: unknown) => (cell === null || cell === undefined ? null : String(cell))
  return {
    id: Number(row.id),
    collection: String(row.collection),
    url: String(row.url),
    server: String(row.server),
    serverCollection: optional(row.server_collection),
    serverDate: Number(row.server_date),
    highest: Number(row.highest),
    reads: Number(row.reads),
    pulling: Boolean(row.pulling),
    page: optional(row.page),
    sweeping: Boolean(row.sweeping),
    told: { stamp: Number(row.told_stamp), id: String(row.told_id) },
    push:
      row.push_key === null
        ? null
        : { key: String(row.push_key), limit: { stamp: Number(row.push_stamp), id: String(row.push_id) }, since: Number(row.push_since) },
    etag: optional(row.etag),
    dateForm: optional(row.date_form) as Remote['dateForm'],
    batch: row.batch === null ? null : Number(row.batch),
    pageSize: row.page_size === null ? null : Number(row.page_size),
    stored,
  }
}

/** What `writeRemotes` writes down. */
const COLUMNS = [
  ...['server_collection', 'server_date', 'highest', 'reads', 'pulling', 'page', 'sweeping', 'told_stamp', 'told_id'],
  ...['push_key', 'push_stamp', 'push_id', 'push_since', 'etag', 'date_form', 'batch', 'page_size'],
]
// by their names: of a `*` sql.js decodes the names of the columns each time, which costs more than the rows
const REMOTE = ['id', 'collection', 'url', 'server', ...COLUMNS].map(column => `o.${column}`).join(', ')

/** Reads what is known of a server; undefined where it was forgotten. */
export function* readRemote(id: number): Step<Remote | undefined> {
  const row = yield* first(`SELECT ${REMOTE} FROM sync_remote o WHERE o.id = ?`, id)
  if (!row) return
  const stamps = yield* query('SELECT stamp FROM sync_stamp WHERE remote = ?', id)
  return remoteFrom(row, new Set(stamps.map(s => Number(s.stamp))))
}

/** Reads what is known of a server, for all of its collections; nothing where it was forgotten. */
export function* readServer(id: number): Step<Remote[]> {
  const rows = yield* query(`SELECT ${REMOTE} FROM sync_remote r JOIN sync_remote o ON o.server = r.server WHERE r.id = ?`, id)
  const stamps = new Map(rows.map(row => [Number(row.id), new Set<number>()]))
  const noted = yield* query(
    `SELECT m.remote AS remote, m.stamp AS stamp
       FROM sync_remote r JOIN sync_remote o ON o.server = r.server JOIN sync_stamp m ON m.remote = o.id WHERE r.id = ?`,
    id,
  )
  for (const { remote, stamp } of noted) stamps.get(Number(remote))?.add(Number(stamp))
  return rows.map(row => remoteFrom(row, stamps.get(Number(row.id)) as Set<number>))
}

/** A collection and its url at a server. */
export interface Address {
  readonly collection: Collection
  readonly url: string
}

/** The ids of remotes; undefined where there is none. */
export function* findRemotes(addresses: readonly Address[]): Step<(number | undefined)[]> {
  const rows = yield* query('SELECT id, collection, url FROM sync_remote')
  const ids = new Map(rows.map(row => [`${row.collection} ${row.url}`, Number(row.id)]))
  return addresses.map(({ collection, url }) => ids.get(`${collection.name} ${url}`))
}

/** The ids of remotes, made where there are none. */
export function* openRemotes(database: Database, addresses: readonly Address[], server: string): Step<number[]> {
  const known = yield* findRemotes(addresses)
  yield* database.updateRows(
    'sync_remote',
    ['server'],
    ['id'],
    known.flatMap(id => (id === undefined ? [] : [[server, id]])),
  )
  const missing = addresses.filter((_, i) => known[i] === undefined)
  yield* database.insertRows(
    'sync_remote',
    ['collection', 'url', 'server', 'told_id'],
    missing.map(({ collection, url }) => [collection.name, url, server, LAST]),
  )
  return (yield* findRemotes(addresses)) as number[]
}

/** Does this database sync the collection with another server as well? */
export function* hasOtherRemotes({ name }: Collection, id = 0): Step<boolean> {
  return (yield* first('SELECT 1 FROM sync_remote WHERE collection = ? AND id <> ? LIMIT 1', name, id)) !== undefined
}

/** Does this database sync the collection with servers itself? */
export const hasRemotes = (collection: Collection) => hasOtherRemotes(collection)

export function* remotesOf(collection: Collection): Step<Remote[]> {
  const remotes: Remote[] = []
  for (const row of yield* query('SELECT id FROM sync_remote WHERE collection = ? ORDER BY id', collection.name)) {
    const remote = yield* readRemote(Number(row.id))
    if (remote) remotes.push(remote)
  }
  return remotes
}

/** Writes down the cursors, the open push and the rest, whole. */
export function writeRemotes(database: Database, remotes: readonly Remote[]): Step<void> {
  return database.updateRows(
    'sync_remote',
    COLUMNS,
    ['id'],
    remotes.map(({ push, told, ...remote }) => [
      ...[remote.serverCollection, remote.serverDate, remote.highest, remote.reads, remote.pulling ? 1 : 0, remote.page],
      ...[remote.sweeping ? 1 : 0, told.stamp, told.id],
      ...[push?.key ?? null, push?.limit.stamp ?? null, push?.limit.id ?? null, push?.since ?? null],
      ...[remote.etag, remote.dateForm, remote.batch, remote.pageSize, remote.id],
    ]),
  )
}

/** Everything after which an answer to an older question does not count any more (law 3). */
export function cursorOf({ serverCollection, serverDate, page, highest, reads, told, push }: Remote): string {
  return JSON.stringify([serverCollection, serverDate, page, highest, reads, told, push?.key])
}

/**
 * Notes that a server's rows are stored under a stamp, which was taken at `before`: they are no news for it. Of those of `together` of which
 * everything was told then, everything up to the stamp is.
 */
export function* noteStored(
  database: Database,
  remotes: Iterable<Remote>,
  together: readonly Remote[],
  stamp: number,
  before: number,
): Step<void> {
  const told: Remote[] = []
  const noted: Remote[] = []
  for (const remote of remotes) {
    if (together.includes(remote) && isAllTold(remote, before)) told.push(remote)
    else if (!remote.stored.has(stamp)) noted.push(remote)
  }
  for (const remote of told) remote.told = { stamp, id: LAST }
  for (const remote of noted) (remote.stored as Set<number>).add(stamp)
  const idsOf = (some: readonly Remote[]) => some.map(({ id }) => id)
  yield* database.updateRows(
    'sync_remote',
    ['told_stamp'],
    ['id'],
    idsOf(told).map(id => [stamp, id]),
  )
  yield* database.upsertRows(
    'sync_stamp',
    ['remote', 'stamp'],
    ['remote', 'stamp'],
    idsOf(noted).map(id => [id, stamp]),
  )
}

/** Forgets the stamps of which everything is told. */
export function* forgetStored(remotes: readonly Remote[]): Step<void> {
  for (const remote of remotes) {
    const { stamp: told, id } = remote.told
    const below = id === LAST ? told + 1 : told
    const outdated = [...remote.stored].filter(stamp => stamp < below)
    if (!outdated.length) continue
    for (const stamp of outdated) (remote.stored as Set<number>).delete(stamp)
    yield* query('DELETE FROM sync_stamp WHERE remote = ? AND stamp < ?', remote.id, below)
  }
}

// ---------------------------------------------------------------- what is known of single rows

export interface Waiting {
  readonly theirs: WireRow | null
  /** `theirs` as it is stored. */
  readonly json: string | null
  /** The stamp of our version, if that is news. */
  readonly untold: number | null
  readonly reason: WaitingReason
}

/** Why the server's version of a row waits: for a decision, or for what the database needs first. */
export type WaitingReason =
  | 'contested'
  | 'children-changed'
  | 'parent-removed'
  | 'cycle'
  | 'parent-missing'
  | 'children-exist'
  | 'not-unique'
  | 'not-valid'

export interface Rejection {
  readonly stamp: number
  readonly again: boolean
}

/** Everything that decides about one row and one server. */
export interface RowState {
  readonly id: string
  readonly version: Version
  readonly waiting: Waiting | undefined
  readonly rejection: Rejection | undefined
  /** Kept versions, newest first. */
  readonly images: readonly Version[]
  /** The properties whose values this server has ignored: no version that it knows has them. */
  readonly ignored: readonly string[]
  /** Those of them that are references: they are null there. */
  readonly putOff: readonly string[]
}

/** Reads the state of rows; `versions` are those of the same step. */
export function* readStates(
  database: Database,
  collection: Collection,
  remote: Remote,
  ids: readonly string[],
  versions: ReadonlyMap<string, Version>,
): Step<Map<string, RowState>> {
  const there = yield* readKinds(collection, remote)
  const list = there.waiting || there.refused || there.images || there.ignored ? database.list(ids) : undefined
  const waiting = new Map<string, Waiting>()
  if (there.waiting) {
    const rows = yield* query(
      `SELECT c.id, c.theirs, c.untold, c.reason FROM sync_conflict c WHERE c.remote = ? AND ${database.among('sync_conflict', 'c', 'id')}`,
      remote.id,
      list,
    )
    for (const row of rows) waiting.set(String(row.id), waitingFrom(row))
  }
  const rejections = new Map<string, Rejection>()
  if (there.refused) {
    const rows = yield* query(
      `SELECT j.id, j.stamp, j.again FROM sync_rejection j WHERE j.remote = ? AND ${database.among('sync_rejection', 'j', 'id')}`,
      remote.id,
      list,
    )
    for (const row of rows) rejections.set(String(row.id), { stamp: Number(row.stamp), again: Boolean(row.again) })
  }
  const images = new Map<string, Version[]>()
  if (there.images) {
    const rows = yield* queryCells(
      `SELECT i._sync_id AS id, i._sync_stamp AS stamp, i._sync_removed AS removed${columnsSql(collection, 'i')}
         FROM ${quote(imagesOf(collection.table))} i
        WHERE i._sync_remote = ? AND ${database.among(imagesOf(collection.table), 'i', '_sync_id')}`,
      remote.id,
      list,
    )
    for (const row of rows) {
      const id = String(row[0])
      const image = { stamp: Number(row[1]), value: row[2] ? null : readRow(collection, row, 3) }
      const kept = images.get(id)
      if (kept) kept.push(image)
      else images.set(id, [image])
    }
    for (const kept of images.values()) if (kept.length > 1) kept.sort((x, y) => y.stamp - x.stamp)
  }
  const ignored = there.ignored ? yield* readIgnored(database, remote.id, list) : undefined
  return new Map(
    ids.map(id => [
      id,
      {
        id,
        version: versions.get(id) ?? { value: null, stamp: 0 },
        waiting: waiting.get(id),
        rejection: rejections.get(id),
        images: images.get(id) ?? [],
        ignored: ignored?.get(id) ?? [],
        putOff: ignored?.get(id)?.filter(property => collection.parents.some(r => r.property === property)) ?? [],
      },
    ]),
  )
}

/** Is anything known of rows that are not there? */
export function* isAnythingKnown(collection: Collection, remote: Remote): Step<boolean> {
  const { waiting, refused, images } = yield* readKinds(collection, remote)
  return waiting || refused || images || (yield* isAnyRemoved(collection))
}

/** What the database keeps for a server: usually there is none of it. */
export function* readKinds({ table }: Collection, { id }: Remote): Step<Record<'waiting' | 'refused' | 'images' | 'ignored', boolean>> {
  const row = yield* first(
    `SELECT EXISTS (SELECT 1 FROM sync_conflict WHERE remote = ?1) AS waiting,
            EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ?1) AS refused,
            EXISTS (SELECT 1 FROM ${quote(imagesOf(table))} WHERE _sync_remote = ?1) AS images,
            EXISTS (SELECT 1 FROM sync_ignored WHERE remote = ?1) AS ignored`,
    id,
  )
  return {
    ...{ waiting: Boolean(row?.waiting), refused: Boolean(row?.refused) },
    ...{ images: Boolean(row?.images), ignored: Boolean(row?.ignored) },
  }
}

export function waitingFrom(row: Row): Waiting {
  return {
    theirs: row.theirs === null ? null : JSON.parse(String(row.theirs)),
    json: row.theirs === null ? null : String(row.theirs),
    untold: row.untold === null ? null : Number(row.untold),
    reason: String(row.reason) as WaitingReason,
  }
}

const isNoted = ({ waiting, rejection }: RowState, stamp: number) => waiting?.untold === stamp || rejection?.stamp === stamp

/** Does the server know this version of the row? What waits or was refused is not told, however far the rest is. */
export function isAgreed(remote: Remote, state: RowState, stamp: number): boolean {
  return (isUpTo(remote.told, state.id, stamp) || remote.stored.has(stamp)) && !isNoted(state, stamp)
}

/**
 * Does the push that is under way carry a version of the row, the one that stands here or one that was replaced since? Whether the server
 * has it is not known before the answer.
 */
export function isInPush({ push, told, stored }: Remote, state: RowState): boolean {
  if (!push || state.waiting) return false // what waits is not told
  const carries = (stamp: number) =>
    stamp > 0 && !isUpTo(told, state.id, stamp) && isUpTo(push.limit, state.id, stamp) && !stored.has(stamp) && !isNoted(state, stamp)
  return carries(state.version.stamp) || state.images.some(image => carries(image.stamp))
}

/** SQL for `isAgreed` of a row with its key, where nothing waits and nothing was refused; and its parameters. */
export const agreedSql = (remote: Remote, key: string) => ({
  sql: `"_lastChange" < ? OR ("_lastChange" = ? AND ${key} <= ?) OR EXISTS (SELECT 1 FROM sync_stamp m WHERE m.remote = ? AND m.stamp = "_lastChange")`,
  values: [remote.told.stamp, remote.told.stamp, remote.told.id, remote.id],
})

/** The last version that both sides know; undefined where there is none. What we never had is unchanged. */
export function baseOf(remote: Remote, state: RowState): WireRow | null | undefined {
  const { version, images } = state
  const isBase = version.stamp === 0 || isAgreed(remote, state, version.stamp)
  const base = isBase ? version.value : images.find(image => isAgreed(remote, state, image.stamp))?.value
  return base && state.ignored.length ? withoutIgnored(base, state) : base
}

export const isUndecided = ({ push }: Remote) => push?.key === UNDECIDED

/** The version of a row that an undecided push has sent: perhaps the server knows it. */
export function sentVersion(remote: Remote, state: RowState): Version | undefined {
  const { push } = remote
  if (!push || !isUndecided(remote)) return
  const sent = [state.version, ...state.images].find(version => isUpTo(push.limit, state.id, version.stamp))
  return sent && sent.stamp > 0 && !isAgreed(remote, state, sent.stamp) && !isNoted(state, sent.stamp) ? sent : undefined
}

/** Is everything told up to this stamp, the clock's, but for what waits or was refused? */
export const isAllTold = ({ push, told }: Remote, now: number) => !push && told.stamp === now && told.id === LAST

/** Is the row kept out of pushes, because it waits, or was refused as it is? */
export const isHeld = ({ waiting, rejection, version }: RowState) => waiting !== undefined || rejection?.stamp === version.stamp

/** SQL for «at or before the place up to which the server r was told». */
export const isUpToSql = (stamp: string, id: string) => `(${stamp} < r.told_stamp OR (${stamp} = r.told_stamp AND ${id} <= r.told_id))`

/** SQL for «the server knows this image», of an image i and a remote r. */
const AGREED_IMAGE = `(${isUpToSql('i._sync_stamp', 'i._sync_id')}
    OR EXISTS (SELECT 1 FROM sync_stamp m WHERE m.remote = r.id AND m.stamp = i._sync_stamp))
  AND NOT EXISTS (SELECT 1 FROM sync_conflict c WHERE c.remote = r.id AND c.id = i._sync_id AND c.untold = i._sync_stamp)
  AND NOT EXISTS (SELECT 1 FROM sync_rejection j WHERE j.remote = r.id AND j.id = i._sync_id AND j.stamp = i._sync_stamp)`

/** Those of the ids of which versions are kept for the server. */
export function* readIdsOfImages(database: Database, { table }: Collection, { id }: Remote, ids: readonly string[]): Step<Set<string>> {
  const rows = yield* query(
    `SELECT DISTINCT i._sync_id AS id FROM ${quote(imagesOf(table))} i WHERE i._sync_remote = ? AND ${database.among(imagesOf(table), 'i', '_sync_id')}`,
    id,
    database.list(ids),
  )
  return new Set(rows.map(row => String(row.id)))
}

/** Keeps a version as one that the server knows; `stamp` is one of ours under which its rows are stored. */
export function* keepImages(
  database: Database,
  collection: Collection,
  remote: Remote,
  images: readonly { id: string; value: WireRow | null }[],
  stamp: number,
): Step<void> {
  const { columns, table } = collection
  yield* database.upsertRows(
    imagesOf(table),
    ['_sync_remote', '_sync_id', '_sync_stamp', '_sync_removed', ...columns],
    ['_sync_remote', '_sync_id', '_sync_stamp'],
    images.map(({ id, value }) => [
      ...[remote.id, id, stamp, value === null ? 1 : 0],
      ...columns.map(c => (value === null || !Object.hasOwn(value, c.property) ? null : c.fromWire(value[c.property] as never))),
    ]),
  )
}

/** A refused row that has moved on is not refused any more, and what was refused is no version that the server knows. */
export function* forgetRejections(
  database: Database,
  collection: Collection,
  remote: Remote,
  rejections: readonly { id: string; stamp: number }[],
): Step<void> {
  const versions = rejections.map(r => [remote.id, r.id, r.stamp])
  yield* database.deleteRows('sync_rejection', ['remote', 'id', 'stamp'], versions)
  yield* deleteImages(database, collection, versions)
}

/** Forgets the images of rows that the server knows as they are. */
export function forgetImages(database: Database, collection: Collection, remote: Remote, states: readonly RowState[]): Step<void> {
  const versions = states.flatMap(({ id, images }) => images.map(({ stamp }) => [remote.id, id, stamp]))
  return deleteImages(database, collection, versions)
}

/** Images that were kept for a push which never counted would pass for versions that the server knows, once told has moved on. */
export function* dropTentativeImages(database: Database, collection: Collection, remote: Remote): Step<void> {
  const rows = yield* query(
    `SELECT i._sync_id, i._sync_stamp FROM ${quote(imagesOf(collection.table))} i JOIN sync_remote r ON r.id = i._sync_remote
      WHERE r.id = ? AND NOT (${AGREED_IMAGE})`,
    remote.id,
  )
  yield* deleteImages(database, collection, versionsOf(remote, rows))
}

/** Drops images that are no base any more: older ones, and those of rows that are told as they are. */
export function* pruneImages(database: Database, collection: Collection, remote: Remote): Step<void> {
  const { table } = collection
  const images = quote(imagesOf(table))
  const there = yield* readKinds(collection, remote)
  // where the server knows every row as it is, none is a base
  const { now } = yield* database.clock()
  if (isAllTold(remote, now) && !there.waiting && !there.refused)
    return void (yield* query(`DELETE FROM ${images} WHERE _sync_remote = ?`, remote.id))
  const known = (id: string, stamp: string) => AGREED_IMAGE.replaceAll('i._sync_stamp', stamp).replaceAll('i._sync_id', id)
  const isRow = `x.${quote(table.key)} = ${database.key(table, 'i._sync_id')}`
  const rows = yield* query(
    `SELECT i._sync_id, i._sync_stamp FROM ${images} i JOIN sync_remote r ON r.id = i._sync_remote
      WHERE r.id = ?1 AND ${AGREED_IMAGE} AND (
        EXISTS (SELECT 1 FROM ${images} n
                 WHERE n._sync_remote = ?1 AND n._sync_id = i._sync_id AND n._sync_stamp > i._sync_stamp
                   AND ${known('n._sync_id', 'n._sync_stamp')})
        OR EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isRow} AND ${known('i._sync_id', 'x."_lastChange"')})
        OR EXISTS (SELECT 1 FROM sync_tombstone t
                    WHERE t.collection = ?2 AND t.id = i._sync_id AND ${known('i._sync_id', 't.stamp')})
        OR (NOT EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isRow})
            AND NOT EXISTS (SELECT 1 FROM sync_tombstone t WHERE t.collection = ?2 AND t.id = i._sync_id)))`,
    remote.id,
    collection.name,
  )
  yield* deleteImages(database, collection, versionsOf(remote, rows))
}

const versionsOf = ({ id }: Remote, rows: readonly Row[]) => rows.map(row => [id, String(row._sync_id), Number(row._sync_stamp)])

function deleteImages(database: Database, { table }: Collection, versions: readonly (readonly unknown[])[]): Step<void> {
  return database.deleteRows(imagesOf(table), ['_sync_remote', '_sync_id', '_sync_stamp'], versions)
}

/** A reset forgets everything that was agreed (law 11): every local row is told again, and only differing contents conflict. */
export function* resetRemote(database: Database, collection: Collection, remote: Remote, serverCollection: string | null): Step<void> {
  Object.assign(remote, {
    serverCollection,
    serverDate: 0,
    highest: 0,
    pulling: false,
    page: null,
    sweeping: false,
    push: null,
    etag: null,
  })
  remote.told = { stamp: -1, id: '' }
  ;(remote.stored as Set<number>).clear()
  for (const table of ['sync_stamp', 'sync_conflict', 'sync_rejection', 'sync_ignored', 'sync_seen'])
    yield* query(`DELETE FROM ${table} WHERE remote = ?`, remote.id)
  yield* query(`DELETE FROM ${quote(imagesOf(collection.table))} WHERE _sync_remote = ?`, remote.id)
  yield* writeRemotes(database, [remote])
}

/** Forgets a server that is no longer wanted; the rows stay. */
export function* forgetRemote(database: Database, collection: Collection, remote: Remote): Step<void> {
  yield* resetRemote(database, collection, remote, null)
  yield* query('DELETE FROM sync_remote WHERE id = ?', remote.id)
}
