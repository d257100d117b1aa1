// Stores versions of one collection.

import { type Database, rowsOf, savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError, ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { ChangeLog } from '../changeLog.js'
import type { Collection } from '../collections/collection.js'
import { findOrphans } from '../rows/orphans.js'
import { NEVER } from '../rows/rows.js'
import { rejectSkipped } from '../rows/skipped.js'
import type { ServerState } from '../servers/serverState.js'
import type { Write } from './change.js'
import { storeChanges } from './storeChanges.js'
import { followTrees, treeOf } from './trees.js'

/**
 * Writes versions of one collection under a stamp of this transaction. `from` is the server that they came from.
 * Throws ConstraintError where the database rejects them, and ValueError where a column cannot hold a value.
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
 * Inserts rows of which nothing is known here, without a query whether they are there: most that come for the first time are not. Returns the
 * stamp; undefined, and nothing is stored, where one of them is there, lacks a column, needs a row that is not there, or is rejected.
 */
export function* insertNew(
  database: Database,
  collection: Collection,
  rows: readonly { readonly id: string; readonly value: WireRow | null }[],
  nextStamp: () => Transaction<number>,
): Transaction<number | undefined> {
  const { columns, parents, table } = collection
  for (const { id, value } of rows)
    if (value === null || collection.rejectKey(id, value) || !columns.every(c => Object.hasOwn(value, c.property))) return
  const newRows = rows as readonly { readonly id: string; readonly value: WireRow }[]
  if (parents.length) {
    const orphans = yield* findOrphans(
      database,
      collection,
      newRows.map(({ id, value }) => ({ id, value, old: NEVER })),
    )
    if (orphans.size) return
  }
  // the order does not matter: each row has what it needs
  if (parents.length) yield* database.deferConstraints(true)
  let stored: number | undefined
  try {
    stored = yield* savepoint(function* () {
      const stamp = yield* nextStamp()
      // in the order of the key's index an insert costs half; where rows may need each other, their own order matters
      const sorted = parents.length ? newRows : [...newRows].sort((x, y) => (x.id < y.id ? -1 : 1))
      const lists = rowsOf(sorted, ({ id, value }) => {
        const list: unknown[] = table.parts ? [stamp] : [id, stamp]
        for (const column of columns) list.push(column.fromWire(value[column.property] as never))
        return list
      })
      yield* database.insertRows(table.name, [...(table.parts ? [] : [table.key]), '_lastChange', ...columns], lists)
      yield* rejectSkipped(database, collection, newRows, stamp)
      if (treeOf(collection))
        yield* followTrees(
          database,
          newRows.map(({ id, value }) => ({ id, value, collection, old: NEVER })),
        )
      if (database.checkConstraints) yield* database.checkConstraints()
      return stamp
    })
  } catch (error) {
    if (!(error instanceof ValueError || error instanceof ConstraintError)) throw error
  }
  if (parents.length) yield* database.deferConstraints(false)
  return stored
}
