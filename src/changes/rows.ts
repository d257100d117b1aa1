// Reading rows: the version of an id, be it a row, a tombstone or nothing, and what changed since a stamp.

import type { Update, WireRow } from '../protocol/messages.js'
import type { Collection } from './collection.js'
import { type Database, first, query, type Row, type Step } from './database/database.js'

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
  if (x === y) return 0
  const [a, b] = [[...x], [...y]]
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i]?.codePointAt(0) ?? 0) - (b[i]?.codePointAt(0) ?? 0)
    if (difference) return difference
  }
  return a.length - b.length
}

/** Is (stamp, id) at or before the place? */
export const isUpTo = (place: Place, id: string, stamp: number) =>
  stamp < place.stamp || (stamp === place.stamp && compareIds(id, place.id) <= 0)

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

const cells = (collection: Collection, from: string) =>
  collection.columns.map((c, i) => `, ${c.read(`${from}.${quote(c.column)}`)} AS c${i}`).join('')

/** The columns of an image, as `readRow` reads them. */
export const cellsOf = cells

export function readRow(collection: Collection, row: Row): WireRow {
  const value: WireRow = {}
  collection.columns.forEach((c, i) => {
    value[c.property] = c.toWire(row[`c${i}`] ?? null)
  })
  return value
}

/** The versions of these ids. Ids of which nothing is known are not in the map: they are NEVER. */
export function* readVersions(database: Database, collection: Collection, ids: readonly string[]): Step<Map<string, Version>> {
  const { table } = collection
  const versions = new Map<string, Version>()
  const rows = yield* query(
    `SELECT x.${quote(table.key)} AS id, x."_lastChange" AS stamp${cells(collection, 'x')}
       FROM ${quote(table.name)} x WHERE ${database.among(`x.${quote(table.key)}`)}`,
    database.idList(ids),
  )
  for (const row of rows) versions.set(String(row.id), { value: readRow(collection, row), stamp: Number(row.stamp) })
  if (versions.size < ids.length) {
    const tombstones = yield* query(
      `SELECT id, stamp FROM sync_tombstone WHERE collection = ? AND ${database.among('id')}`,
      collection.name,
      database.idList(ids),
    )
    for (const row of tombstones) versions.set(String(row.id), { value: null, stamp: Number(row.stamp) })
  }
  return versions
}

export function* readVersion(database: Database, collection: Collection, id: string): Step<Version> {
  return (yield* readVersions(database, collection, [id])).get(id) ?? NEVER
}

/** Which changes to read: above a place, up to one, and removals only above a stamp (in an answer that begins at the beginning). */
export interface Changes {
  readonly above: Place
  readonly limit: number
  readonly removalsAbove?: number
  /** Leaves out what was stored for this remote: it is no news for it. */
  readonly newsFor?: number
}

/** What changed, in the order of changes. Keyset: a page may end inside a stamp. */
export function* readChanges(collection: Collection, { above, limit, removalsAbove = 0, newsFor }: Changes): Step<Required<Update>[]> {
  const { table } = collection
  const key = `x.${quote(table.key)}`
  const news = newsFor === undefined ? '' : 'AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.remote = ? AND m.stamp = %)'
  const newsValues = newsFor === undefined ? [] : [newsFor]
  const rows = yield* query(
    `SELECT * FROM (
       SELECT ${key} AS id, x."_lastChange" AS stamp, 0 AS removed${cells(collection, 'x')}
         FROM ${quote(table.name)} x
        WHERE (x."_lastChange", ${key}) > (?, ?) ${news.replace('%', 'x."_lastChange"')}
        ORDER BY x."_lastChange", ${key} LIMIT ?)
     UNION ALL
     SELECT * FROM (
       SELECT t.id AS id, t.stamp AS stamp, 1 AS removed${collection.columns.map(() => ', NULL').join('')}
         FROM sync_tombstone t
        WHERE t.collection = ? AND (t.stamp, t.id) > (?, ?) AND t.stamp > ? ${news.replace('%', 't.stamp')}
        ORDER BY t.stamp, t.id LIMIT ?)
     ORDER BY stamp, id LIMIT ?`,
    ...[above.stamp, above.id, ...newsValues, limit],
    ...[collection.name, above.stamp, above.id, removalsAbove, ...newsValues, limit],
    limit,
  )
  return rows.map(row => ({ id: String(row.id), stamp: Number(row.stamp), value: row.removed ? null : readRow(collection, row) }))
}

/** The stamp of the last change in the collection; an index knows it. */
export function* readLastChange(collection: Collection): Step<number> {
  const row = yield* first(
    `SELECT max(coalesce((SELECT max("_lastChange") FROM ${quote(collection.name)}), 0),
                coalesce((SELECT max(stamp) FROM sync_tombstone WHERE collection = ?), 0)) AS stamp`,
    collection.name,
  )
  return Number(row?.stamp)
}
