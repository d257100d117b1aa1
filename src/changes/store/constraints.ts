// Constraints that a database looks at when the transaction ends are looked at before: there it could only fail as a whole.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { ChangeLog } from '../changeLog.js'
import { keyAt, keyOf, type Reference } from '../collections/collection.js'
import { byCollection } from '../collections/groupBy.js'
import { neededKey, needs } from '../collections/joins.js'
import type { Change } from './change.js'

/** Throws ConstraintError where one of these changes leaves a row without one that it needs. `all`: every foreign key was put off. */
export function* checkConstraints({ database }: ChangeLog, changes: readonly Change[], all: boolean): Transaction<void> {
  if (database.checkConstraints) return yield* database.checkConstraints()
  for (const [collection, some] of byCollection(changes)) {
    const isLate = (r: Reference) => all || r.isDeferred
    for (const reference of collection.parents.filter(isLate)) {
      const ids = some.filter(c => keyOf(reference, c.id, c.value, c.old.value) !== undefined).map(c => c.id)
      if (ids.length && (yield* lacksParent(database, reference, database.among(collection.name, 'x', collection.table.key), ids)))
        throw new ConstraintError('foreign-key', reference.childColumns[0])
    }
    for (const reference of collection.children.filter(isLate)) {
      const keys = some.flatMap(c => keyGone(reference, c) ?? [])
      if (keys.length && (yield* lacksParent(database, reference, isNeeding(database, reference), keys)))
        throw new ConstraintError('foreign-key', undefined)
    }
  }
}

/** The key of a row by which others may need it, where it is removed, or gets another one. */
function keyGone(reference: Reference, { id, old, value }: Change): string | undefined {
  const before = keyAt(reference, id, old.value)
  return value === null || keyAt(reference, id, { ...old.value, ...value }) !== before ? before : undefined
}

/** «The row x needs one of these.» */
const isNeeding = (database: Database, reference: Reference) => {
  const { childTable, childColumns } = reference
  return childColumns.length < 2
    ? database.among(childTable, 'x', childColumns[0] as string)
    : database.amongTexts(neededKey(database, reference, 'x'))
}

/** Is there a row x, one of those whose condition has these values, whose parent is not there? */
function* lacksParent(database: Database, reference: Reference, isMeant: string, values: readonly string[]): Transaction<boolean> {
  const { childTable, childColumns, parentTable } = reference
  const rows = yield* query(
    `SELECT 1 FROM ${quote(childTable)} x
      WHERE ${isMeant} AND ${childColumns.map(column => `x.${quote(column)} IS NOT NULL`).join(' AND ')}
        AND NOT EXISTS (SELECT 1 FROM ${quote(parentTable)} p WHERE ${needs(reference)}) LIMIT 1`,
    database.list(values),
  )
  return rows.length > 0
}
