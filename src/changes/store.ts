// Storing rows, the other face of the change log: whoever replaces a version keeps it, for every server that knows it (law 4).

import { type Database, query, quote, rowsOf, savepoint, type Transaction } from '../databases/database.js'
import { ConstraintError, ValueError } from '../errors.js'
import type { WireRow } from '../protocol/messages.js'
import type { Write } from './change.js'
import type { ChangeLog } from './changeLog.js'
import { type Collection, keyOf } from './collection.js'
import { NEVER, type Version } from './rows.js'
import type { ServerState } from './serverState.js'
import { rejectSkipped } from './skipped.js'
import { storeChanges } from './storeChanges.js'

/**
 * Writes versions of one collection under a stamp of this transaction. `from` is the server that they came from.
 * Throws ConstraintError where the database does not take them, and ValueError where a column cannot hold a value.
 */
export function storeVersions(
  log: ChangeLog,
  collection: Collection,
  writes: readonly Write[],
  stamp: number,
  from?: ServerState,
): Transaction<void> {
  return storeChanges(
    log,
    writes.map(write => ({ ...write, collection, stamp, from })),
  )
}

/**
 * Inserts rows of which nothing is known here, without looking whether they are there: most that come for the first time are not. Gives the
 * stamp; undefined, and nothing is stored, where one of them is there, lacks a column, needs a row that is not there, or is not taken as it is.
 */
export function* insertNew(
  database: Database,
  collection: Collection,
  rows: readonly { readonly id: string; readonly value: WireRow | null }[],
  takeStamp: () => Transaction<number>,
): Transaction<number | undefined> {
  const { columns, parents, table } = collection
  for (const { id, value } of rows)
    if (value === null || collection.rejectKey(id) || !columns.every(c => Object.hasOwn(value, c.property))) return
  const newRows = rows as readonly { readonly id: string; readonly value: WireRow }[]
  if (parents.length) {
    const orphans = yield* findOrphans(
      database,
      collection,
      newRows.map(({ id, value }) => ({ id, value, old: NEVER })),
    )
    if (orphans.size) return
  }
  // who comes first does not matter: each has what it needs
  if (parents.length) yield* database.deferConstraints(true)
  let stored: number | undefined
  try {
    stored = yield* savepoint(function* () {
      const stamp = yield* takeStamp()
      // in the order of the indexes an insert costs half; where rows may need each other, who comes first matters
      const sorted = parents.length ? newRows : [...newRows].sort((x, y) => (x.id < y.id ? -1 : 1))
      const lists = rowsOf(sorted, ({ id, value }) => {
        const list: unknown[] = [id, stamp]
        for (const column of columns) list.push(column.fromWire(value[column.property] as never))
        return list
      })
      yield* database.insertRows(table.name, [table.key, '_lastChange', ...columns], lists)
      yield* rejectSkipped(database, collection, newRows, stamp)
      if (database.checkConstraints) yield* database.checkConstraints()
      return stamp
    })
  } catch (error) {
    if (!(error instanceof ValueError || error instanceof ConstraintError)) throw error
  }
  if (parents.length) yield* database.deferConstraints(false)
  return stored
}

// ---------------------------------------------------------------- what rows need

interface NeedyRow {
  readonly collection: Collection
  readonly id: string
  readonly value: WireRow
  readonly old: Version
}

/** The rows among these that lack a row which they need, as (id, property); rows of the same collection may come along. */
export function* findOrphans(
  database: Database,
  collection: Collection,
  rows: readonly Omit<NeedyRow, 'collection'>[],
): Transaction<Map<string, string>> {
  if (!collection.parents.length) return new Map()
  const orphans = yield* findOrphansAmong(
    database,
    rows.map(row => ({ ...row, collection })),
  )
  return new Map([...orphans].map(([{ id }, property]) => [id, property]))
}

/** The rows among these that lack a row which they need, and by which property. A parent may come along with its child. Linear. */
export function* findOrphansAmong<R extends NeedyRow>(database: Database, rows: readonly R[]): Transaction<Map<R, string>> {
  const orphans = new Map<R, string>()
  const collections = new Map<Collection, R[]>()
  for (const row of rows)
    collections
      .set(row.collection, collections.get(row.collection) ?? [])
      .get(row.collection)
      ?.push(row)
  const needing = new Map<R, { child: R; property: string }[]>()
  for (const [collection, some] of collections) {
    for (const reference of collection.parents) {
      const { property, parent, parentTable, parentColumn } = reference
      const neededBy = (r: R) => keyOf(reference, r.id, r.value)
      // a row that keeps its parent has it
      const changed = some.filter(r => {
        const key = neededBy(r)
        return key !== undefined && key !== null && keyOf(reference, r.id, r.old.value) !== key
      })
      if (!changed.length) continue
      const keys = new Set(changed.map(r => String(neededBy(r))))
      const found = yield* query(
        `SELECT ${database.text(`p.${quote(parentColumn)}`)} AS id FROM ${quote(parentTable)} p WHERE ${database.among(parentTable, 'p', parentColumn)}`,
        database.list(keys),
      )
      for (const { id } of found) keys.delete(String(id))
      if (!keys.size) continue
      const referenced = parent?.columns.find(c => c.column === parentColumn)?.property
      const coming = new Map<string, R>()
      for (const row of (parent && collections.get(parent)) ?? []) {
        const key = referenced === undefined ? row.id : row.value[referenced]
        if (key !== null && key !== undefined) coming.set(String(key), row)
      }
      for (const child of changed) {
        const key = String(neededBy(child))
        if (!keys.has(key)) continue
        const along = coming.get(key)
        if (!along) orphans.set(child, property)
        else if (needing.get(along)?.push({ child, property }) === undefined) needing.set(along, [{ child, property }])
      }
    }
  }
  // what waits takes those along that need it: a map that grows is walked to its end
  for (const row of orphans.keys())
    for (const { child, property } of needing.get(row) ?? []) if (!orphans.has(child)) orphans.set(child, property)
  return orphans
}
