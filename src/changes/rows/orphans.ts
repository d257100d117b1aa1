// Rows that lack a row which they need.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Collection, keyAt, keyOf, type Reference } from '../collections/collection.js'
import { ownKey } from '../collections/joins.js'
import type { Version } from './rows.js'

interface NeedyRow {
  readonly collection: Collection
  readonly id: string
  readonly value: WireRow
  readonly old: Version
}

/** The rows among these that lack a row which they need, as (id, reference); rows of the same collection may come along. */
export function* findOrphans(
  database: Database,
  collection: Collection,
  rows: readonly Omit<NeedyRow, 'collection'>[],
): Transaction<Map<string, Reference>> {
  if (!collection.parents.length) return new Map()
  const orphans = yield* findOrphansAmong(
    database,
    rows.map(row => ({ ...row, collection })),
  )
  return new Map([...orphans].map(([{ id }, reference]) => [id, reference]))
}

/** The rows among these that lack a row which they need, and by which reference. A parent may come along with its child. Linear. */
export function* findOrphansAmong<R extends NeedyRow>(database: Database, rows: readonly R[]): Transaction<Map<R, Reference>> {
  const orphans = new Map<R, Reference>()
  const collections = new Map<Collection, R[]>()
  for (const row of rows)
    collections
      .set(row.collection, collections.get(row.collection) ?? [])
      .get(row.collection)
      ?.push(row)
  const needing = new Map<R, { child: R; reference: Reference }[]>()
  for (const [collection, some] of collections) {
    for (const reference of collection.parents) {
      const { parent, parentTable } = reference
      const neededBy = (r: R) => keyOf(reference, r.id, r.value, r.old.value)
      // a row that keeps its parent has it
      const changed = some.filter(r => {
        const key = neededBy(r)
        return key !== undefined && key !== null && keyOf(reference, r.id, r.old.value) !== key
      })
      if (!changed.length) continue
      const keys = new Set(changed.map(r => String(neededBy(r))))
      const { text, isAmong } = ownKey(database, reference, 'p')
      const found = yield* query(`SELECT ${text} AS id FROM ${quote(parentTable)} p WHERE ${isAmong}`, database.list(keys))
      for (const { id } of found) keys.delete(String(id))
      if (!keys.size) continue
      const coming = new Map<string, R>()
      for (const row of (parent && collections.get(parent)) ?? []) {
        const key = keyAt(reference, row.id, row.value)
        if (key !== undefined) coming.set(key, row)
      }
      for (const child of changed) {
        const key = String(neededBy(child))
        if (!keys.has(key)) continue
        const along = coming.get(key)
        if (!along) orphans.set(child, reference)
        else if (needing.get(along)?.push({ child, reference }) === undefined) needing.set(along, [{ child, reference }])
      }
    }
  }
  // what needs an orphan is one as well: a map that grows is walked to its end
  for (const row of orphans.keys())
    for (const { child, reference } of needing.get(row) ?? []) if (!orphans.has(child)) orphans.set(child, reference)
  return orphans
}
