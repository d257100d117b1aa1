// Reads what changed in one collection since a place, page by page.

import { type Database, first, query, queryCells, quote, type Transaction } from '../../databases/database.js'
import type { StampedUpdate } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import type { Condition } from '../scopes/conditions.js'
import type { Shown } from '../scopes/shown.js'
import { countFitting } from './pageRoom.js'
import { compareIds, type Place } from './place.js'
import { columnsSql, readRow } from './rows.js'

/** Which changes to read: above a place, up to one, and removals only above a stamp (in an answer that begins at the beginning). */
export interface Changes {
  readonly above: Place
  readonly limit: number
  readonly removalsAbove?: number | undefined
  /** Leaves out what came from this server: it is no local change for it. */
  readonly localChangesFor?: number
  /** What is sent, where that is not everything. */
  readonly shown?: Shown | undefined
}

/** What changed, in the order of changes. Keyset: a page may end inside a stamp. */
export function* readChanges(database: Database, collection: Collection, changes: Changes): Transaction<StampedUpdate[]> {
  return (yield* readChangePage(database, collection, changes)).changes
}

/** A part of what changed, and whether more comes behind it. */
export interface ChangePage {
  readonly changes: StampedUpdate[]
  readonly more: boolean
  /** Of those values that may be large, where a limit of bytes was given. */
  readonly bytes: number
}

/** What changed, in the order of changes, as much as there is room for: `limit` rows, and where `bytes` are given so many, though one row at least. */
export function* readChangePage(
  database: Database,
  collection: Collection,
  { above, limit, removalsAbove = 0, localChangesFor, shown, bytes }: Changes & { readonly bytes?: number },
): Transaction<ChangePage> {
  const { table } = collection
  const id = database.id(table, 'x')
  const isLocalChange = (stamp: string) =>
    localChangesFor === undefined ? '' : `AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = ? AND m.stamp = ${stamp})`
  const excluded = localChangesFor === undefined ? [] : [localChangesFor]
  const isTold = shown
    ? { sql: `AND ${shown.rows.sql}`, values: shown.rows.values }
    : { sql: isLocalChange('x."_lastChange"'), values: excluded }
  const cut = database.cutsPages ? yield* cutPage(collection, above, limit + 1, isTold) : { sql: '', values: [] }
  const where = `WHERE (x."_lastChange", ${id}) > (?, ?) ${cut.sql} ${isTold.sql} ORDER BY x."_lastChange", ${id} LIMIT ?`
  const values = [above.stamp, above.id, ...cut.values, ...isTold.values]
  const { fits, bytes: read } = yield* countFitting(database, collection, where, values, limit, bytes)
  const rows = yield* queryCells(
    `SELECT ${id} AS id, x."_lastChange" AS stamp${columnsSql(collection, 'x')} FROM ${quote(table.name)} x ${where}`,
    ...[...values, fits ?? limit + 1],
  )
  const gone = shown
    ? yield* query(
        `SELECT v.id AS id, v.stamp AS stamp, v.has_left AS has_left FROM (${shown.removals.sql}) v
          WHERE (v.stamp, v.id) > (?, ?) ORDER BY v.stamp, v.id LIMIT ?`,
        ...[...shown.removals.values, above.stamp, above.id, limit + 1],
      )
    : yield* query(
        `SELECT t.id AS id, t.stamp AS stamp, 0 AS has_left
           FROM sync_tombstone t
          WHERE t.collection = ? AND (t.stamp, t.id) > (?, ?) AND t.stamp > ? ${isLocalChange('t.stamp')}
          ORDER BY t.stamp, t.id LIMIT ?`,
        ...[collection.name, above.stamp, above.id, Math.max(removalsAbove, above.stamp - 1), ...excluded, limit + 1], // the index knows stamps
      )
  const changes = rows.map((row): StampedUpdate => ({ id: String(row[0]), stamp: Number(row[1]), value: readRow(collection, row, 2) }))
  const last = fits === undefined ? undefined : changes.at(-1)
  if (gone.length) {
    changes.push(
      ...gone.map(
        (row): StampedUpdate => ({
          id: String(row.id),
          stamp: Number(row.stamp),
          value: null,
          ...(Number(row.has_left) && { left: true }),
        }),
      ),
    )
    changes.sort((x, y) => x.stamp - y.stamp || compareIds(x.id, y.id))
  }
  // there are rows behind the last one that was read, and no removal may come before them
  const end = Math.min(limit, last ? changes.indexOf(last) + 1 : limit)
  return { changes: changes.slice(0, end), more: last !== undefined || changes.length > end, bytes: read }
}

// Rows up to the stamp at which the page is full, were there none left of the stamp where it begins.
function* cutPage({ table }: Collection, { stamp }: Place, limit: number, isTold: Condition) {
  const last = yield* first(
    `SELECT x."_lastChange" AS stamp FROM ${quote(table.name)} x WHERE x."_lastChange" > ? ${isTold.sql} ORDER BY x."_lastChange" LIMIT 1 OFFSET ?`,
    ...[stamp, ...isTold.values, limit - 1],
  )
  return last
    ? { sql: 'AND x."_lastChange" BETWEEN ? AND ?', values: [stamp, Number(last.stamp)] }
    : { sql: 'AND x."_lastChange" >= ?', values: [stamp] }
}
