// Reading rows: the version of an id, be it a row, a tombstone or nothing, and what changed since a stamp.

import type { ColumnCodec } from '../databases/columns.js'
import { type Cell, type Database, first, query, queryCells, quote, type Transaction } from '../databases/database.js'
import type { Update, WireRow } from '../protocol/messages.js'
import type { Collection } from './collection.js'

/** What stands at an id: a row, or null where it was removed (with the stamp of that) or never was (stamp 0). */
export interface Version {
  readonly value: WireRow | null
  readonly stamp: number
}

export const NEVER: Version = { value: null, stamp: 0 }

/** A place in the order of changes: many rows may share a stamp. */
export interface Place {
  readonly stamp: number
  readonly id: string
}

/** An id above all others, bytewise: no key may begin with it. */
export const LAST = '\u{10ffff}'

/** Compares as the database does, bytewise: UTF-16 would put characters beyond U+FFFF below those from U+E000. */
export function compareIds(x: string, y: string): number {
  const length = Math.min(x.length, y.length)
  for (let i = 0; i < length; i++) {
    const [a, b] = [x.charCodeAt(i), y.charCodeAt(i)]
    if (a !== b) return order(a) - order(b)
  }
  return x.length - y.length
}

// the halves of characters beyond U+FFFF, which come as two units
const order = (unit: number) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)

/** Is (stamp, id) at or before the place? */
export const isUpTo = (place: Place, id: string, stamp: number) =>
  stamp < place.stamp || (stamp === place.stamp && compareIds(id, place.id) <= 0)

export const laterOf = (one: Place, other: Place) => (isUpTo(one, other.id, other.stamp) ? one : other)

/** SQL for the columns of a table, or of its base versions, as `readRow` reads them. */
export const columnsSql = (collection: Collection, from: string) =>
  collection.columns.map((c, i) => `, ${c.read(`${from}.${quote(c.column)}`)} AS c${i}`).join('')

/** A row of which so many cells come before those of the columns. */
export function readRow({ columns }: Collection, cells: readonly Cell[], before: number): WireRow {
  const value: WireRow = {}
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i] as ColumnCodec
    value[column.property] = column.toWire(cells[before + i] ?? null)
  }
  return value
}

/** The versions of these ids. Ids of which nothing is known are not in the map: they are NEVER. */
export function* readVersions(database: Database, collection: Collection, ids: readonly string[]): Transaction<Map<string, Version>> {
  const { table } = collection
  const versions = new Map<string, Version>()
  const possible = ids.filter(id => collection.rejectKey(id) === undefined)
  const rows = yield* queryCells(
    `SELECT ${database.id(table, 'x')} AS id, x."_lastChange" AS stamp${columnsSql(collection, 'x')}
       FROM ${quote(table.name)} x WHERE ${database.among(table.name, 'x', table.key)}`,
    database.list(possible),
  )
  for (const row of rows) versions.set(String(row[0]), { value: readRow(collection, row, 2), stamp: Number(row[1]) })
  // a first pull asks about thousands of ids of which there is nothing
  if (ids.some(id => !versions.has(id)) && (ids.length < 50 || (yield* isAnyRemoved(collection)))) {
    const tombstones = yield* query(
      `SELECT t.id, t.stamp FROM sync_tombstone t WHERE t.collection = ? AND ${database.among('sync_tombstone', 't', 'id')}`,
      collection.name,
      database.list(ids),
    )
    for (const row of tombstones) versions.set(String(row.id), { value: null, stamp: Number(row.stamp) })
  }
  return versions
}

export function* isAnyRemoved({ name }: Collection): Transaction<boolean> {
  return (yield* first('SELECT 1 FROM sync_tombstone WHERE collection = ? LIMIT 1', name)) !== undefined
}

export function* readVersion(database: Database, collection: Collection, id: string): Transaction<Version> {
  return (yield* readVersions(database, collection, [id])).get(id) ?? NEVER
}

/** Which changes to read: above a place, up to one, and removals only above a stamp (in an answer that begins at the beginning). */
export interface Changes {
  readonly above: Place
  readonly limit: number
  readonly removalsAbove?: number | undefined
  /** Leaves out what was stored for this remote: it is no local change for it. */
  readonly localChangesFor?: number
}

/** What changed, in the order of changes. Keyset: a page may end inside a stamp. */
export function* readChanges(database: Database, collection: Collection, changes: Changes): Transaction<Required<Update>[]> {
  return (yield* readChangePage(database, collection, changes)).changes
}

/** A part of what changed, and whether more is waiting behind it. */
export interface ChangePage {
  readonly changes: Required<Update>[]
  readonly more: boolean
  /** Of its values, where somebody asked: those that may be large. */
  readonly bytes: number
}

/** What changed, in the order of changes, as much as there is room for: `limit` rows, and where `bytes` are given so many, though one row at least. */
export function* readChangePage(
  database: Database,
  collection: Collection,
  { above, limit, removalsAbove = 0, localChangesFor, bytes }: Changes & { readonly bytes?: number },
): Transaction<ChangePage> {
  const { table } = collection
  const id = database.id(table, 'x')
  const isLocalChange = (stamp: string) =>
    localChangesFor === undefined ? '' : `AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = ? AND m.stamp = ${stamp})`
  const excluded = localChangesFor === undefined ? [] : [localChangesFor]
  const cut = database.cutsPages
    ? yield* cutPage(collection, above, limit + 1, isLocalChange('x."_lastChange"'), excluded)
    : { sql: '', values: [] }
  const where = `WHERE (x."_lastChange", ${id}) > (?, ?) ${cut.sql} ${isLocalChange('x."_lastChange"')} ORDER BY x."_lastChange", ${id} LIMIT ?`
  const values = [above.stamp, above.id, ...cut.values, ...excluded]
  const { fits, bytes: read } = yield* countFitting(database, collection, where, values, limit, bytes)
  const rows = yield* queryCells(
    `SELECT ${id} AS id, x."_lastChange" AS stamp${columnsSql(collection, 'x')} FROM ${quote(table.name)} x ${where}`,
    ...[...values, fits ?? limit + 1],
  )
  const tombstones = yield* query(
    `SELECT t.id AS id, t.stamp AS stamp
       FROM sync_tombstone t
      WHERE t.collection = ? AND (t.stamp, t.id) > (?, ?) AND t.stamp > ? ${isLocalChange('t.stamp')}
      ORDER BY t.stamp, t.id LIMIT ?`,
    ...[collection.name, above.stamp, above.id, Math.max(removalsAbove, above.stamp - 1), ...excluded, limit + 1], // the index knows stamps
  )
  const changes = rows.map(row => ({ id: String(row[0]), stamp: Number(row[1]), value: readRow(collection, row, 2) as WireRow | null }))
  const last = fits === undefined ? undefined : changes.at(-1)
  if (tombstones.length) {
    changes.push(...tombstones.map(row => ({ id: String(row.id), stamp: Number(row.stamp), value: null })))
    changes.sort((x, y) => x.stamp - y.stamp || compareIds(x.id, y.id))
  }
  // behind the last row that was read there are others, and no removal may come before them
  const end = Math.min(limit, last ? changes.indexOf(last) + 1 : limit)
  return { changes: changes.slice(0, end), more: last !== undefined || changes.length > end, bytes: read }
}

/** How many rows the last page had room for, of collections whose pages end by their bytes: some databases read a value to measure it. */
const roomFor = new WeakMap<Collection, number>()

/** How many of the next rows there is room for, one at least, and their bytes; `fits` is undefined where all that are left have it, or where nobody asks. */
function* countFitting(
  database: Database,
  collection: Collection,
  where: string,
  values: readonly unknown[],
  limit: number,
  bytes = Number.POSITIVE_INFINITY,
): Transaction<{ fits: number | undefined; bytes: number }> {
  const large = bytes < Number.POSITIVE_INFINITY ? collection.columns.filter(c => !isSmall(c.declared)) : []
  if (!large.length) return { fits: undefined, bytes: 0 }
  const most = Math.min(limit, roomFor.get(collection) ?? limit)
  const sizes = large.map(c => `coalesce(${database.size(`x.${quote(c.column)}`, c.declared)}, 0)`)
  const list = `SELECT ${sizes.join(' + ')} AS size FROM ${quote(collection.table.name)} x ${where}`
  const whole = yield* first(`SELECT count(*) AS found, sum(v.size) AS size FROM (${list}) v`, ...values, most + 1)
  const found = Number(whole?.found)
  if (Number(whole?.size) <= bytes) {
    if (most < limit) roomFor.set(collection, 2 * most)
    else roomFor.delete(collection)
    return { fits: found > most ? most : undefined, bytes: Number(whole?.size) }
  }
  // one by one only where it matters: a list of a thousand costs a driver more than their sum
  let [fits, sum] = [0, 0]
  for (const [size] of yield* queryCells(list, ...values, most + 1)) {
    if (fits === most || (fits > 0 && sum + Number(size) > bytes)) break
    sum += Number(size)
    fits++
  }
  roomFor.set(collection, 2 * fits)
  return { fits: fits < found ? fits : undefined, bytes: sum }
}

// Numbers, dates, and short texts: thousands of them are no matter.
const SMALL =
  /^((unsigned big |tiny|small|medium|big)?int(eger|\d)?\b|bool|real|float|double|date|time|year|uuid|money|enum|set\b|inet|cidr|macaddr|interval)|\((\d{1,3}|\d+,\d+)\)$/i

const isSmall = (declared: string) => SMALL.test(declared) && !/( array|\])$/.test(declared)

// Rows up to the stamp at which the page is full, were there none left of the stamp where it begins.
function* cutPage({ table }: Collection, { stamp }: Place, limit: number, isLocalChange: string, excluded: readonly number[]) {
  const last = yield* first(
    `SELECT x."_lastChange" AS stamp FROM ${quote(table.name)} x WHERE x."_lastChange" > ? ${isLocalChange} ORDER BY x."_lastChange" LIMIT 1 OFFSET ?`,
    ...[stamp, ...excluded, limit - 1],
  )
  return last
    ? { sql: 'AND x."_lastChange" BETWEEN ? AND ?', values: [stamp, Number(last.stamp)] }
    : { sql: 'AND x."_lastChange" >= ?', values: [stamp] }
}

/** The stamp of the last change in the collection; an index knows it. */
export function* readLastChange(collection: Collection): Transaction<number> {
  return (yield* readLastChanges([collection])).get(collection) as number
}

/** The stamp of the last change in each collection, with one statement; indexes know them. */
export function* readLastChanges(collections: readonly Collection[]): Transaction<Map<Collection, number>> {
  if (!collections.length) return new Map()
  const selects = collections.map(
    ({ name }, i) =>
      `SELECT ${i} AS place, (SELECT max("_lastChange") FROM ${quote(name)}) AS stored,
              (SELECT max(stamp) FROM sync_tombstone WHERE collection = ?) AS removed`,
  )
  const rows = yield* query(selects.join(' UNION ALL '), ...collections.map(c => c.name))
  return new Map(rows.map(row => [collections[Number(row.place)] as Collection, Math.max(Number(row.stored), Number(row.removed))]))
}
