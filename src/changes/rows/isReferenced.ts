// Whether a row can be removed and inserted again.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'
import { needs } from '../collections/joins.js'

/** Do other rows refer to one of these? Then it cannot be removed and inserted again. */
export function* isReferenced(database: Database, { table, children }: Collection, ids: readonly string[]): Transaction<boolean> {
  for (const reference of children) {
    if (!reference.isByKey) return true
    const sql = `SELECT 1 FROM ${quote(table.name)} p JOIN ${quote(reference.childTable)} x ON ${needs(reference)}
      WHERE ${database.among(table.name, 'p', table.key)} LIMIT 1`
    if (ids.length && (yield* query(sql, database.list(ids))).length) return true
  }
  return false
}
