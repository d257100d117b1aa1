// Constraints that a database looks at when the transaction ends are looked at before: there it could only fail as a whole.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { ChangeLog } from '../changeLog.js'
import { keyOf, type Reference } from '../collections/collection.js'
import { byCollection } from '../collections/groupBy.js'
import type { Change } from './change.js'

/** Throws ConstraintError where one of these changes leaves a row without one that it needs. `all`: every foreign key was put off. */
export function* checkConstraints({ database }: ChangeLog, changes: readonly Change[], all: boolean): Transaction<void> {
  if (database.checkConstraints) return yield* database.checkConstraints()
  for (const [collection, some] of byCollection(changes)) {
    const isLate = (r: Reference) => all || r.isDeferred
    for (const reference of collection.parents.filter(isLate)) {
      const ids = some.filter(c => keyOf(reference, c.id, c.value) !== undefined).map(c => c.id)
      if (ids.length && (yield* lacksParent(database, reference, collection.table.key, ids)))
        throw new ConstraintError('foreign-key', reference.childColumn)
    }
    for (const reference of collection.children.filter(isLate)) {
      const column = collection.columns.find(c => c.column === reference.parentColumn)
      const gone = some.filter(c => c.old.value !== null && (c.value === null || (column && Object.hasOwn(c.value, column.property))))
      const keys = gone.flatMap(c => (column ? (c.old.value?.[column.property] ?? []) : c.id)).map(String)
      if (keys.length && (yield* lacksParent(database, reference, reference.childColumn, keys)))
        throw new ConstraintError('foreign-key', undefined)
    }
  }
}

/** Is there a row, with one of these values in a column, whose parent is not there? */
function* lacksParent(database: Database, reference: Reference, column: string, values: readonly string[]): Transaction<boolean> {
  const { childTable, childColumn, parentTable, parentColumn } = reference
  const rows = yield* query(
    `SELECT 1 FROM ${quote(childTable)} x
      WHERE ${database.among(childTable, 'x', column)} AND x.${quote(childColumn)} IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM ${quote(parentTable)} p WHERE p.${quote(parentColumn)} = x.${quote(childColumn)}) LIMIT 1`,
    database.list(values),
  )
  return rows.length > 0
}
