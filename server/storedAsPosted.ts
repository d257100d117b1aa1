// Whether the stored rows are those that were posted.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { readVersions } from '../src/changes/rows/rows.js'
import { equalValues } from '../src/databases/columns.js'
import type { Database, Transaction } from '../src/databases/database.js'
import type { WireRow } from '../src/protocol/messages.js'
import type { PostedRow, VersionOf } from './posted.js'

/**
 * Is each row stored as its sender has it? Where a value was rounded or normalised, or a trigger, a default or a computed column changed another
 * one, the client reads the row. Where the database keeps every value as it is, no query is needed.
 */
export function* isStoredAsPosted({ database }: ChangeLog, rows: readonly PostedRow[], versionOf: VersionOf): Transaction<boolean> {
  for (const [collection, some] of byCollection(rows)) if (!(yield* areStoredAsPosted(database, collection, some, versionOf))) return false
  return true
}

function* areStoredAsPosted(
  database: Database,
  collection: Collection,
  rows: readonly PostedRow[],
  versionOf: VersionOf,
): Transaction<boolean> {
  const isKept = yield* database.keepsValues(collection.table)
  // a new row without a property has the column's default
  const lacks = (row: PostedRow) =>
    row.value !== null && versionOf(row).value === null && !collection.columns.every(c => Object.hasOwn(row.value as WireRow, c.property))
  const versions = yield* readVersions(
    database,
    collection,
    rows.filter(r => !isKept || lacks(r)).map(r => r.id),
  )
  return rows.every(row => {
    const { id, value } = row
    const now = versions.get(id)
    if (value === null || (now === undefined && !isKept)) return value === (now?.value ?? null)
    const old = versionOf(row).value
    return collection.columns.every(({ property, canonical }) => {
      const given = Object.hasOwn(value, property) ? value[property] : old?.[property]
      if (now?.value) return equalValues(now.value[property], given ?? null)
      return !Object.hasOwn(value, property) || equalValues(canonical(given as never), given)
    })
  })
}
