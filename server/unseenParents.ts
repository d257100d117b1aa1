// Rows that hang on others which their sender does not see.

import { keyAt, keyOf } from '../src/changes/collections/collection.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { ownKey } from '../src/changes/collections/joins.js'
import { all, fitsRow } from '../src/changes/scopes/conditions.js'
import { type Database, query, quote, type Transaction } from '../src/databases/database.js'
import type { Access } from './access.js'
import type { PostedWrite, Rejected } from './posted.js'

/** A parent that the sender does not see is not there for them, unless it comes along. */
export function* rejectUnseenParents(database: Database, access: Access, done: readonly PostedWrite[]): Transaction<Rejected[]> {
  const rejections: Rejected[] = []
  const rowsOf = byCollection(done)
  for (const [collection, some] of rowsOf) {
    for (const reference of collection.parents) {
      const { parent, property, parentTable } = reference
      const keys = parent && (access.keys[parent.name] ?? [])
      if (!parent || !keys || keys === 'all') continue
      const moved = some.flatMap(row => {
        const key = keyOf(reference, row.id, row.value, row.old.value)
        return key === null || key === undefined || keyOf(reference, row.id, row.old.value) === key ? [] : [{ row, key: String(key) }]
      })
      const along = new Set((rowsOf.get(parent) ?? []).map(r => keyAt(reference, r.id, r.value ?? r.old.value)))
      const needed = new Set(moved.map(({ key }) => key).filter(key => !along.has(key)))
      if (!needed.size) continue
      const { text, isAmong } = ownKey(database, reference, 'x')
      const { sql, values } = all(fitsRow(database, parent, keys), { sql: isAmong, values: [database.list(needed)] })
      const found = yield* query(`SELECT ${text} AS id FROM ${quote(parentTable)} x WHERE ${sql}`, ...values)
      for (const { id } of found) needed.delete(String(id))
      for (const { row, key } of moved)
        if (needed.has(key))
          rejections.push({
            ...{ collection, id: row.id, property },
            code: 'parent-missing',
            detail: 'The row that it needs is not there.',
          })
    }
  }
  return rejections
}
