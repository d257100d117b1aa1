// Rows release unique values before other rows get them: meanwhile each holds null or a value that no other row has, or is removed.

import type { ColumnCodec } from '../../databases/columns.js'
import { type Database, Rollback, savepoint, type Transaction, type UniqueIndex } from '../../databases/database.js'
import type { Json } from '../../protocol/messages.js'
import type { ChangeLog } from '../changeLog.js'
import type { Collection } from '../collections/collection.js'
import { byCollection } from '../collections/groupBy.js'
import { isReferenced } from '../rows/isReferenced.js'
import type { Change } from './change.js'
import { canBeFree, KINDS_OF_VALUES, readFreeValues } from './freeValues.js'
import { keepReplaced } from './keepReplaced.js'
import type { Operation, Release } from './order.js'
import { isRowError } from './rowErrors.js'

/** There is no value that a row could hold meanwhile. */
export class NoneFree extends Rollback {}

/**
 * Lets rows release unique values before others get them; the rows are removed later. False where there is nothing that they could hold
 * meanwhile; then nothing changes.
 */
export function* releaseFirst(log: ChangeLog, releases: readonly Release[], changes: readonly Change[]): Transaction<boolean> {
  yield* keepReplaced(
    log,
    releases.map(r => r.change),
  )
  for (let kind = 0; kind < KINDS_OF_VALUES; kind++) {
    try {
      yield* savepoint(function* () {
        if ((yield* release(log.database, releases, changes, kind)).size) throw new NoneFree()
      }, 'sync_order')
      return true
    } catch (error) {
      if (!(error instanceof NoneFree || isRowError(error))) throw error
    }
  }
  return false
}

/** Lets rows release what others get. Returns those that are removed for that. */
export function* release(
  database: Database,
  releases: readonly Release[],
  changes: readonly Change[],
  kind: number,
): Transaction<Set<Change>> {
  const gone = new Set<Change>()
  const columns = new Map<ColumnCodec, { collection: Collection; rows: Set<Change>; isNull: boolean }>()
  for (const { change, indexes, cleared } of releases) {
    const { collection } = change
    const leave = (column: ColumnCodec, isNull: boolean) => {
      const group = columns.get(column) ?? { collection, rows: new Set(), isNull }
      columns.set(column, group)
      group.rows.add(change)
    }
    for (const property of cleared) leave(collection.column.get(property) as ColumnCodec, true)
    for (const index of indexes) {
      const own = ownColumns(change, index)
      const nullable = kind === 0 ? own.find(c => c.nullable) : undefined
      const column = kind === KINDS_OF_VALUES ? undefined : (nullable ?? own.find(c => canBeFree(collection, c)))
      if (column) leave(column, column === nullable)
      // it would come back with another number
      else if (collection.table.number !== undefined) throw new NoneFree()
      else gone.add(change)
    }
  }
  for (const [column, { collection, rows, isNull }] of columns) {
    const some = [...rows].filter(change => !gone.has(change))
    const values = isNull ? some.map(() => null) : yield* freeValues(collection, column, some, changes, kind)
    if (!values) throw new NoneFree()
    yield* database.updateRows(
      collection.table.name,
      [column],
      [collection.table.key],
      some.map((change, i) => [column.fromWire(values[i] as never), change.id]),
    )
  }
  for (const [collection, some] of byCollection([...gone])) {
    const ids = some.map(change => change.id)
    if (yield* isReferenced(database, collection, ids)) throw new NoneFree()
    yield* database.deleteRows(
      collection.table.name,
      [collection.table.key],
      ids.map(id => [id]),
    )
  }
  return gone
}

/** The columns of an index, those first that change. */
function ownColumns({ collection, old, value }: Change, index: UniqueIndex): ColumnCodec[] {
  const own = index.columns.flatMap(name => collection.columns.find(c => c.column === name) ?? [])
  const changes = (c: ColumnCodec) => value !== null && Object.hasOwn(value, c.property) && value[c.property] !== old.value?.[c.property]
  return [...own.filter(changes), ...own.filter(c => !changes(c))]
}

function freeValues(
  collection: Collection,
  column: ColumnCodec,
  some: readonly Change[],
  changes: readonly Change[],
  kind: number,
): Transaction<Json[] | undefined> {
  const before = some.map(change => change.old.value?.[column.property] ?? null)
  const wanted = changes.filter(c => c.collection === collection).map(c => c.value?.[column.property] ?? null)
  return readFreeValues(collection, column, before, wanted, kind)
}

/** What was removed to release a value comes back whole. */
export function putBack(operation: Operation, gone: ReadonlySet<Change>): Operation {
  const { change, kind, value } = operation
  if (kind !== 'update' || !gone.has(change) || value === null) return operation
  return { kind: 'insert', change, value: { ...change.old.value, ...value } }
}
