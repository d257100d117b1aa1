// The unique indexes of the tables in which changes are stored.

import type { Database, Transaction, UniqueIndex } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'

/** The unique indexes of each collection; none where they are not to be looked at. */
export type Uniques = ReadonlyMap<Collection, readonly UniqueIndex[]>

export function* readUniques(database: Database, changes: Iterable<{ readonly collection: Collection }>): Transaction<Uniques> {
  const uniques = new Map<Collection, readonly UniqueIndex[]>()
  for (const { collection } of changes)
    if (!uniques.has(collection)) uniques.set(collection, yield* database.uniqueIndexes(collection.table))
  return uniques
}

/** The properties that are in a unique index. */
export function* readUniqueProperties(database: Database, { table, columns }: Collection): Transaction<string[]> {
  const names = (yield* database.uniqueIndexes(table)).flatMap(index => [...index.columns, ...index.others])
  return columns.filter(c => names.includes(c.column)).map(c => c.property)
}
