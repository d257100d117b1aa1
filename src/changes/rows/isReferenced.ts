// Whether a row can be removed and inserted again.

import { query, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'

/** Do other rows refer to one of these? Then it cannot be removed and inserted again. */
export function* isReferenced(
  collection: Collection,
  ids: readonly string[],
  among: (table: string, column: string) => { sql: string; list: unknown },
): Transaction<boolean> {
  for (const { childTable, childColumn, parentColumn } of collection.children) {
    if (parentColumn !== collection.table.key) return true
    const { sql, list } = among(childTable, childColumn)
    if (ids.length && (yield* query(`SELECT 1 FROM ${quote(childTable)} x WHERE ${sql} LIMIT 1`, list)).length) return true
  }
  return false
}
