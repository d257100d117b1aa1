// Reading rows: the version of an id, be it a row, a tombstone or nothing.

import type { ColumnCodec } from '../../databases/columns.js'
import { type Cell, type Database, first, query, queryCells, quote, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'

/** The version of an id: a row, or null where it was removed (with the stamp of that) or never was (stamp 0). */
export interface Version {
  readonly value: WireRow | null
  readonly stamp: number
}

export const NEVER: Version = { value: null, stamp: 0 }

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
