// When collections changed last.

import { query, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'

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
