// What an answer tells of a collection to somebody who sees a part of it: the rows that their keys open, and exits (docs/users.md).

import { baseTableOf, type Database, first, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'
import { all, any, type Condition, fitsExit, fitsRow, fitsTombstone, not } from './conditions.js'
import { type Keys, withoutKeys } from './keySet.js'

export interface Shown {
  /** On the row x. */
  readonly rows: Condition
  /** A statement that gives `id`, `stamp` and `has_left` (1: the row is there, though not to be seen) of what goes. */
  readonly removals: Condition
}

/** Which answer it is. */
export interface Difference {
  /** The keys that the client holds; undefined where the answer begins with nothing, or the collection is new to it. */
  readonly held: Keys | undefined
  readonly keys: Keys
  readonly since: number
  /** The stamp at which an answer between two sets began; undefined where the set is the same. */
  readonly start: number | undefined
}

/** Undefined where all of it is sent, with tombstones, as to those who have no keys. */
export function shownOf(database: Database, collection: Collection, { held, keys, since, start }: Difference): Shown | undefined {
  const isNews: Condition = { sql: 'x."_lastChange" > ?', values: [since] }
  if (keys === 'all') {
    if (start === undefined || held === undefined) return
    const rows = held === 'all' ? isNews : any(isNews, not(fitsRow(database, collection, held)))
    return { rows, removals: tombstones(collection, { sql: 't.stamp > ?', values: [since] }) }
  }
  const sees = fitsRow(database, collection, keys)
  if (start === undefined) return { rows: sees, removals: exits(database, collection, sees, [[keys, since]]) }
  if (held === undefined) return { rows: sees, removals: exits(database, collection, sees, [[keys, start]]) }
  const saw = fitsRow(database, collection, held)
  // the indexes find what is gained and lost by the keys of one set alone; by another key the row may be in both
  const gained = fitsRow(database, collection, withoutKeys(keys, held))
  const lost = fitsRow(database, collection, withoutKeys(held, keys))
  const gone = exits(database, collection, sees, [
    [held, since],
    [keys, start],
  ])
  return {
    rows: any(all(sees, isNews), all(gained, not(saw))),
    removals: union(gone, lostRows(database, collection, all(lost, not(sees)))),
  }
}

/** Exits from keys after a stamp, of rows that are not seen by another key. */
function exits(database: Database, collection: Collection, sees: Condition, keys: readonly (readonly [Keys, number])[]): Condition {
  const { table } = collection
  const row = (id: string) =>
    `EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE x.${quote(table.key)} = ${database.key(table, id)} AND ${sees.sql})`
  if (!collection.scopes.length) {
    // nothing but a removal takes a row away from its own key
    const gone = any(...keys.map(([some, stamp]) => all(fitsTombstone(database, some), { sql: 't.stamp > ?', values: [stamp] })))
    return tombstones(collection, all(gone, not({ sql: row('t.id'), values: sees.values })))
  }
  const gone = any(...keys.map(([some, stamp]) => all(fitsExit(database, collection, some), { sql: 'i._sync_stamp > ?', values: [stamp] })))
  return {
    sql: `SELECT i._sync_id AS id, i._sync_stamp AS stamp, 1 - i._sync_removed AS has_left FROM ${quote(baseTableOf(table))} i
      WHERE i._sync_server = 0 AND ${gone.sql} AND NOT ${row('i._sync_id')}`,
    values: [...gone.values, ...sees.values],
  }
}

const tombstones = ({ name }: Collection, { sql, values }: Condition): Condition => ({
  sql: `SELECT t.id AS id, t.stamp AS stamp, 0 AS has_left FROM sync_tombstone t WHERE t.collection = ? AND ${sql}`,
  values: [name, ...values],
})

const lostRows = (database: Database, { table }: Collection, { sql, values }: Condition): Condition => ({
  sql: `SELECT ${database.id(table, 'x')} AS id, x."_lastChange" AS stamp, 1 AS has_left FROM ${quote(table.name)} x WHERE ${sql}`,
  values,
})

const union = (one: Condition, other: Condition): Condition => ({
  sql: `${one.sql} UNION ALL ${other.sql}`,
  values: [...one.values, ...other.values],
})

/** The stamp of the last change above `since` that is sent; 0 where there is none. It reads what is new, and of the rest the index alone. */
export function* readLastShown(collection: Collection, { rows, removals }: Shown, since: number): Transaction<number> {
  const row = yield* first(
    `SELECT (SELECT max(x."_lastChange") FROM ${quote(collection.table.name)} x WHERE ${rows.sql} AND x."_lastChange" > ?) AS stored,
            (SELECT max(v.stamp) FROM (${removals.sql}) v) AS removed`,
    ...[...rows.values, since, ...removals.values],
  )
  return Math.max(Number(row?.stored), Number(row?.removed))
}
