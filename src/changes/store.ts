// Storing rows, the other face of the change log: whoever replaces a version keeps it, for every server that knows it (law 4).

import { ConstraintError, ValueError } from '../errors.js'
import type { WireRow } from '../protocol/messages.js'
import type { ChangeLog } from './changeLog.js'
import { type Collection, keyOf } from './collection.js'
import { attempt, type Database, query, quote, rowsOf, type Step } from './database/database.js'
import { hasOtherRemotes, type Remote } from './remotes.js'
import { NEVER, type Version } from './rows.js'
import { refuseSkipped } from './skipped.js'

/** A row to be written: `value` has the properties that are to be set, and for a new row all that there are; null removes it. */
export interface Write {
  readonly id: string
  /** What stands there now, read in this step. */
  readonly old: Version
  readonly value: WireRow | null
}

/**
 * Writes versions under a stamp of this step. `from` is the server that they came from: it needs no image of what it replaces itself.
 * `isKept`: what they replace is kept already.
 * Throws ConstraintError where the database does not take them, and ValueError where a column cannot hold a value.
 */
export function* storeVersions(
  log: ChangeLog,
  collection: Collection,
  writes: readonly Write[],
  stamp: number,
  from?: Remote,
  isKept = false,
): Step<void> {
  if (!writes.length) return
  if (!isKept) yield* keepReplaced(log, collection, writes, from)
  const { database } = log
  const { name, key } = collection.table
  const removals = childrenFirst(
    collection,
    writes.filter(w => w.value === null),
  )
  const inserts = writes.filter(w => w.value !== null && w.old.value === null)
  const updates = writes.filter(w => w.value !== null && w.old.value !== null)

  yield* database.deleteRows(
    name,
    [key],
    removals.filter(w => w.old.value !== null).map(w => [w.id]),
  )
  yield* database.upsertRows(
    'sync_tombstone',
    ['collection', 'id', 'stamp'],
    ['collection', 'id'],
    removals.map(w => [collection.name, w.id, stamp]),
  )
  for (const { columns, rows } of groupByColumns(collection, inserts)) {
    yield* database.insertRows(
      name,
      [key, '_lastChange', ...columns],
      rowsOf(rows, w => [w.id, stamp, ...columns.map(c => c.fromWire((w.value as WireRow)[c.property] ?? null))]),
    )
  }
  for (const { columns, rows } of groupByColumns(collection, updates)) {
    yield* database.updateRows(
      name,
      ['_lastChange', ...columns],
      [key],
      rowsOf(rows, w => [stamp, ...columns.map(c => c.fromWire((w.value as WireRow)[c.property] ?? null)), w.id]),
    )
  }
  yield* database.deleteRows(
    'sync_tombstone',
    ['collection', 'id'],
    inserts.filter(w => w.old.stamp > 0).map(w => [collection.name, w.id]),
  )
  yield* refuseSkipped(database, collection, writes, stamp)
}

/** A write with everything that it needs. */
export interface Change extends Write {
  readonly collection: Collection
  readonly stamp: number
  readonly from: Remote | undefined
}

/**
 * Writes changes of several collections, given so that those that depend on others come first. All of a collection go at once, where collections
 * do not need each other in a ring.
 */
export function* storeTogether(log: ChangeLog, changes: readonly Change[]): Step<void> {
  const place = new Map(log.collections.map((c, i) => [c, i]))
  const placeOf = (c: Collection) => place.get(c) ?? -1
  const isRing = log.collections.some(c => c.parents.some(({ parent }) => parent && parent !== c && placeOf(parent) > placeOf(c)))
  const ordered = isRing ? changes : [...changes].sort((x, y) => placeOf(y.collection) - placeOf(x.collection))
  for (let i = 0; i < ordered.length; ) {
    const { collection, stamp, from } = ordered[i] as Change
    const start = i
    while (ordered[i]?.collection === collection && ordered[i]?.stamp === stamp && ordered[i]?.from === from) i++
    yield* storeVersions(log, collection, ordered.slice(start, i), stamp, from)
  }
}

/**
 * Inserts rows of which nothing is known here, without looking whether they are there: most that come for the first time are not. Gives the
 * stamp; undefined, and nothing is stored, where one of them is there, lacks a column, needs a row that is not there, or is not taken as it is.
 */
export function* insertNew(
  database: Database,
  collection: Collection,
  rows: readonly { readonly id: string; readonly value: WireRow | null }[],
  takeStamp: () => Step<number>,
): Step<number | undefined> {
  const { columns, parents, table } = collection
  for (const { id, value } of rows)
    if (value === null || collection.refuseKey(id) || !columns.every(c => Object.hasOwn(value, c.property))) return
  const news = rows as readonly { readonly id: string; readonly value: WireRow }[]
  if (parents.length) {
    const orphans = yield* findOrphans(
      database,
      collection,
      news.map(({ id, value }) => ({ id, value, old: NEVER })),
    )
    if (orphans.size) return
  }
  yield* database.deferConstraints()
  try {
    return yield* attempt(function* () {
      const stamp = yield* takeStamp()
      // in the order of the indexes an insert costs half; where rows may need each other, who comes first matters
      const sorted = parents.length ? news : [...news].sort((x, y) => (x.id < y.id ? -1 : 1))
      const lists = rowsOf(sorted, ({ id, value }) => {
        const list: unknown[] = [id, stamp]
        for (const column of columns) list.push(column.fromWire(value[column.property] as never))
        return list
      })
      yield* database.insertRows(table.name, [table.key, '_lastChange', ...columns], lists)
      yield* refuseSkipped(database, collection, news, stamp)
      return stamp
    })
  } catch (error) {
    if (error instanceof ValueError || error instanceof ConstraintError) return
    throw error
  }
}

// A tree goes from its leaves: ON DELETE RESTRICT looks at once.
function childrenFirst(collection: Collection, removals: readonly Write[]): readonly Write[] {
  const own = collection.parents.filter(r => r.parent === collection)
  if (!own.length || removals.length < 2) return removals
  const going = new Map(removals.map(w => [w.id, w]))
  const ordered = new Set<Write>()
  const path = new Set<string>()
  // from the leaves up would need the children; from the roots down, reversed, is the same
  const visit = (write: Write) => {
    if (ordered.has(write) || path.has(write.id)) return
    path.add(write.id)
    for (const { property } of own) {
      const parent = going.get(String(write.old.value?.[property]))
      if (parent) visit(parent)
    }
    ordered.add(write)
  }
  removals.forEach(visit)
  return [...ordered].reverse()
}

/**
 * Attempts to store writes. Where a unique value is taken, perhaps by one of them that is about to let go of it (two rows that exchange
 * their places), once more with these values out of the way.
 */
export function* attemptOrPark<T>(
  log: ChangeLog,
  collection: Collection,
  writes: readonly Write[],
  from: Remote | undefined,
  body: (isKept: boolean) => Step<T>,
): Step<T> {
  try {
    return yield* attempt(() => body(false))
  } catch (error) {
    const updated = writes.filter(w => w.old.value !== null && w.value !== null)
    if (!(error instanceof ConstraintError) || error.kind !== 'unique' || updated.length < 2) throw error
    return yield* attempt(function* () {
      yield* keepReplaced(log, collection, writes, from) // while they stand as they were
      yield* park(log, collection, updated)
      return yield* body(true)
    })
  }
}

// NULL is never taken; where it may not stand, something that nobody else has.
function* park({ database }: ChangeLog, { table, columns }: Collection, writes: readonly Write[]): Step<void> {
  const unique = new Set((yield* database.uniqueColumns(table)).flat())
  for (const { column, property, nullable } of columns) {
    if (!unique.has(column)) continue
    const parked = (value: unknown, i: number) =>
      nullable ? null : typeof value === 'number' ? -(2 ** 40) - i : `${globalThis.crypto.randomUUID()}`
    yield* database.updateRows(
      table.name,
      [column],
      [table.key],
      // the others of a partial write come back with their own values
      writes.filter(w => Object.hasOwn(w.value as WireRow, property)).map((w, i) => [parked(w.old.value?.[property], i), w.id]),
    )
  }
}

export function* keepReplaced(log: ChangeLog, collection: Collection, writes: readonly Write[], from: Remote | undefined): Step<void> {
  if (!(yield* hasOtherRemotes(collection, from?.id))) return
  const idsOf = (some: readonly Write[]) => some.map(w => w.id)
  yield* log.database.keepRows(collection.table, idsOf(writes.filter(w => w.old.value !== null)), from?.id)
  // A row that came from a server is not born here: no other server may take «nothing» for its base (law 10).
  const isBirth = (w: Write) => w.old.value === null && (w.old.stamp > 0 || from === undefined)
  yield* log.database.keepAbsences(collection.table, idsOf(writes.filter(isBirth)), from?.id)
}

function groupByColumns(collection: Collection, writes: readonly Write[]) {
  const groups = new Map<string, { columns: Collection['columns']; rows: Write[] }>()
  for (const write of writes) {
    const value = write.value as WireRow
    let columns = collection.columns
    if (!columns.every(c => Object.hasOwn(value, c.property))) columns = columns.filter(c => Object.hasOwn(value, c.property))
    const name = columns === collection.columns ? '' : columns.map(c => c.property).join('\n')
    const group = groups.get(name)
    if (group) group.rows.push(write)
    else groups.set(name, { columns, rows: [write] })
  }
  return groups.values()
}

// ---------------------------------------------------------------- what rows need

/** The rows among these that lack a row which they need, as (id, property); `present` are ids of the collection that are stored along. */
export function* findOrphans(
  database: Database,
  collection: Collection,
  rows: readonly { readonly id: string; readonly value: WireRow; readonly old: Version }[],
): Step<Map<string, string>> {
  const orphans = new Map<string, string>()
  if (!collection.parents.length) return orphans
  const missing: { id: string; property: string; key: string }[] = []
  for (const reference of collection.parents) {
    const { property, parent, parentTable, parentColumn } = reference
    const neededBy = (r: (typeof rows)[number]) => keyOf(reference, r.id, r.value)
    // a row that keeps its parent has it
    const needing = rows.filter(r => {
      const key = neededBy(r)
      return key !== undefined && key !== null && keyOf(reference, r.id, r.old.value) !== key
    })
    if (!needing.length) continue
    const keys = new Set(needing.map(r => String(neededBy(r))))
    const found = yield* query(
      `SELECT ${database.text(`p.${quote(parentColumn)}`)} AS id FROM ${quote(parentTable)} p WHERE ${database.among(parentTable, 'p', parentColumn)}`,
      database.list(keys),
    )
    for (const { id } of found) keys.delete(String(id))
    const isSelf = parent === collection && parentColumn === collection.table.key
    for (const row of needing) {
      const key = String(neededBy(row))
      if (!keys.has(key)) continue
      if (isSelf) missing.push({ id: row.id, property, key })
      else orphans.set(row.id, property)
    }
  }
  // A parent may come along with its child; what waits takes those along that need it.
  const coming = new Set(rows.map(r => r.id))
  for (let moved = true; moved; ) {
    moved = false
    for (const { id, property, key } of missing) {
      if (orphans.has(id) || (coming.has(key) && !orphans.has(key))) continue
      orphans.set(id, property)
      moved = true
    }
  }
  return orphans
}
