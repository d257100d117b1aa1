// Stores changes: in an order in which the database takes them, all of them or none; or all but those that it does not take.

import type { ColumnCodec } from '../databases/columns.js'
import { type Database, Rollback, rowsOf, savepoint, type Transaction, type UniqueIndex } from '../databases/database.js'
import { ConstraintError, ValueError } from '../errors.js'
import type { Json, WireRow } from '../protocol/messages.js'
import type { ChangeLog } from './changeLog.js'
import type { Collection } from './collection.js'
import { checkConstraints } from './constraints.js'
import { canBeFree, isReferenced, KINDS_OF_VALUES, readFreeValues } from './freeValues.js'
import { groupBy } from './groupBy.js'
import { type Change, isDeep, type Operation, type Plan, planChanges, type Release, type Uniques, type Unit, unitsOf } from './order.js'
import { hasOtherServers } from './servers.js'
import { rejectSkipped } from './skipped.js'

const NO_INDEXES: Uniques = new Map()

/**
 * Writes changes, each under its stamp. Throws ConstraintError where the database does not take them, and ValueError where a column cannot
 * hold a value; then they are stored in part, so that whoever goes on puts it into a savepoint.
 */
export function* storeChanges(log: ChangeLog, changes: readonly Change[]): Transaction<void> {
  if (!changes.length) return
  yield* keepReplaced(log, changes)
  const plan = planChanges(changes, NO_INDEXES)
  if (changes.length === 1) yield* store(log, plan, changes)
  else {
    try {
      yield* savepoint(() => store(log, plan, changes), 'sync_order')
    } catch (error) {
      if (!isTaken(error)) throw error
      yield* storeReleased(log, changes, error)
    }
  }
  yield* writeTombstones(log.database, changes)
  for (const [collection, some] of byCollection(changes)) {
    const stamps = new Set(some.map(c => c.stamp))
    for (const stamp of stamps)
      yield* rejectSkipped(
        log.database,
        collection,
        some.filter(c => c.stamp === stamp),
        stamp,
      )
  }
}

const isTaken = (error: unknown) => error instanceof ConstraintError && error.kind === 'unique'

/** A unique value is taken, perhaps by one of them that is about to let go of it. */
function* storeReleased(log: ChangeLog, changes: readonly Change[], error: unknown): Transaction<void> {
  const uniques = yield* readUniques(log.database, changes)
  const plan = planChanges(changes, uniques)
  if (!plan.taken) throw error
  const plans = isDeep(plan) ? [planChanges(changes, uniques, true), plan] : [plan]
  let last = error
  for (const each of plans) {
    // what a rule forbids to one value it may allow to another
    for (let kind = 0; kind <= KINDS_OF_VALUES; kind++) {
      try {
        return yield* savepoint(() => store(log, each, changes, kind), 'sync_order')
      } catch (failed) {
        if (!(failed instanceof ConstraintError || failed instanceof ValueError || failed instanceof NoneFree)) throw failed
        if (!(failed instanceof NoneFree)) last = failed
        if (!each.releases.length) break
      }
    }
  }
  throw last
}

/**
 * Lets rows go of unique values before others take them; they are removed later. False where there is nothing that they could hold meanwhile,
 * and they stand as they were.
 */
export function* releaseFirst(log: ChangeLog, releases: readonly Release[], changes: readonly Change[]): Transaction<boolean> {
  yield* keepReplaced(
    log,
    releases.map(r => r.change),
  )
  for (let kind = 0; kind < KINDS_OF_VALUES; kind++) {
    try {
      yield* savepoint(function* () {
        if ((yield* letGo(log.database, releases, changes, kind)).size) throw new NoneFree()
      }, 'sync_order')
      return true
    } catch (error) {
      if (!(error instanceof NoneFree || isRule(error))) throw error
    }
  }
  return false
}

/** There is no value that a row could hold meanwhile. */
class NoneFree extends Rollback {}

export function* readUniques(database: Database, changes: Iterable<{ readonly collection: Collection }>): Transaction<Uniques> {
  const uniques = new Map<Collection, readonly UniqueIndex[]>()
  for (const { collection } of changes)
    if (!uniques.has(collection)) uniques.set(collection, yield* database.uniqueIndexes(collection.table))
  return uniques
}

// ---------------------------------------------------------------- statements

/** `kind` is that of the values which rows hold meanwhile. */
function* store(log: ChangeLog, { releases, levels, late, isDeferred }: Plan, changes: readonly Change[], kind = 0): Transaction<void> {
  const { database } = log
  if (isDeferred) yield* database.deferConstraints(true)
  const gone = yield* letGo(database, releases, changes, kind)
  for (const level of levels) yield* write(database, gone.size ? level.map(operation => again(operation, gone)) : level)
  yield* write(database, late)
  yield* checkConstraints(log, changes, isDeferred)
  if (isDeferred) yield* database.deferConstraints(false)
}

/** What was removed to let go comes back whole. */
function again(operation: Operation, gone: ReadonlySet<Change>): Operation {
  const { change, kind, value } = operation
  if (kind !== 'update' || !gone.has(change) || value === null) return operation
  return { kind: 'insert', change, value: { ...change.old.value, ...value } }
}

/** Rows let go of what others take. Gives those that are removed for it. */
function* letGo(database: Database, releases: readonly Release[], changes: readonly Change[], kind: number): Transaction<Set<Change>> {
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
    const among = (table: string, column: string) => ({ sql: database.among(table, 'x', column), list: database.list(ids) })
    if (yield* isReferenced(collection, ids, among)) throw new NoneFree()
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
  const taken = changes.filter(c => c.collection === collection).map(c => c.value?.[column.property] ?? null)
  return readFreeValues(collection, column, before, taken, kind)
}

function* write(database: Database, operations: readonly Operation[]): Transaction<void> {
  const groups = new Map<Collection, Operation[]>()
  for (const operation of operations) {
    const { collection } = operation.change
    const group = groups.get(collection)
    if (group) group.push(operation)
    else groups.set(collection, [operation])
  }
  for (const [collection, some] of groups) {
    const { name, key } = collection.table
    yield* database.deleteRows(
      name,
      [key],
      some.filter(o => o.kind === 'remove' && o.change.old.value !== null).map(o => [o.change.id]),
    )
    for (const kind of ['insert', 'update'] as const) {
      for (const { columns, rows } of groupByColumns(
        collection,
        some.filter(o => o.kind === kind),
      )) {
        const cells = (row: WireRow) => columns.map(c => c.fromWire((row[c.property] ?? null) as never))
        if (kind === 'insert')
          yield* database.insertRows(
            name,
            [key, '_lastChange', ...columns],
            rowsOf(rows, o => [o.change.id, o.change.stamp, ...cells(o.value as WireRow)]),
          )
        else
          yield* database.updateRows(
            name,
            ['_lastChange', ...columns],
            [key],
            rowsOf(rows, o => [o.change.stamp, ...cells(o.value as WireRow), o.change.id]),
          )
      }
    }
  }
}

function groupByColumns(collection: Collection, operations: readonly Operation[]) {
  const groups = new Map<string, { columns: Collection['columns']; rows: Operation[] }>()
  for (const operation of operations) {
    const value = operation.value as WireRow
    let columns = collection.columns
    if (!columns.every(c => Object.hasOwn(value, c.property))) columns = columns.filter(c => Object.hasOwn(value, c.property))
    const name = columns === collection.columns ? '\n' : columns.map(c => c.property).join('\n')
    const group = groups.get(name)
    if (group) group.rows.push(operation)
    else groups.set(name, { columns, rows: [operation] })
  }
  return groups.values()
}

const byCollection = <C extends { readonly collection: Collection }>(changes: readonly C[]) => groupBy(changes, c => c.collection)

// ---------------------------------------------------------------- what goes along

function* writeTombstones(database: Database, changes: readonly Change[]): Transaction<void> {
  // by collection, so that they differ in the id alone
  for (const [{ name }, some] of byCollection(changes.filter(c => c.value === null)))
    yield* database.upsertRows(
      'sync_tombstone',
      ['collection', 'id', 'stamp'],
      ['collection', 'id'],
      some.map(c => [name, c.id, c.stamp]),
    )
  yield* database.deleteRows(
    'sync_tombstone',
    ['collection', 'id'],
    changes.filter(c => c.value !== null && c.old.value === null && c.old.stamp > 0).map(c => [c.collection.name, c.id]),
  )
}

/** Whoever replaces a version keeps it, for every server that knows it (law 4): while the rows stand as they were. */
export function* keepReplaced({ database }: ChangeLog, changes: readonly Change[]): Transaction<void> {
  for (const [collection, all] of byCollection(changes)) {
    for (const [from, some] of groupBy(all, c => c.from)) {
      if (!(yield* hasOtherServers(collection, from?.id))) continue
      const idsOf = (of: readonly Change[]) => of.map(c => c.id)
      yield* database.keepRows(collection.table, idsOf(some.filter(c => c.old.value !== null)), from?.id)
      // A row that came from a server is not born here: no other server may take «nothing» for its base (law 10).
      const isBirth = (c: Change) => c.old.value === null && (c.old.stamp > 0 || from === undefined)
      yield* database.keepAbsentBases(collection.table, idsOf(some.filter(isBirth)), from?.id)
    }
  }
}

// ---------------------------------------------------------------- all but those that are not taken

/** How to store items, each of which makes a change. */
export interface Storing<T> {
  change(item: T): Change
  /** Stores these; throws ConstraintError or ValueError where the database does not take them. */
  store(items: readonly T[]): Transaction<void>
  /** These are stored. */
  stored?(items: readonly T[]): void
  /** The database does not take this one. */
  fail(item: T, error: ConstraintError | ValueError): Transaction<void>
}

const isRule = (error: unknown): error is ConstraintError | ValueError => error instanceof ConstraintError || error instanceof ValueError

/** Stores items, all but those that the database does not take. Whoever needs one of these is not taken either; nobody else. */
export function* storeAcceptable<T>(database: Database, items: readonly T[], storing: Storing<T>): Transaction<void> {
  if (!items.length) return
  let error = yield* tryToStore(storing, items)
  if (!error) return
  const [only] = items
  if (items.length === 1 && only !== undefined) return yield* storing.fail(only, error)
  const uniques = yield* readUniques(
    database,
    items.map(item => storing.change(item)),
  )
  const units = unitsOf(
    items.map(item => ({ ...storing.change(item), item })),
    uniques,
  )
  const itemsOf = (some: readonly Unit<{ item: T }>[]) => some.flatMap(({ changes }) => changes.map(({ item }) => item))
  const rejected = new Set<Unit<{ item: T }>>()
  // those that may need one that was not taken are tried when the others are stored
  const doubtful: Unit<{ item: T }>[] = []
  const isSure = (unit: Unit<{ item: T }>) => {
    for (const needed of unit.needs) {
      if (!rejected.has(needed)) continue
      rejected.add(unit)
      doubtful.push(unit)
      return false
    }
    return true
  }
  // halves, for usually there are few of them
  const left = [units]
  for (let some = left.pop(); some; some = left.pop()) {
    if (some !== units) {
      some = some.filter(isSure)
      error = yield* tryToStore(storing, itemsOf(some))
    }
    if (!error) continue
    if (some.length > 1) {
      left.push(some.slice(some.length >> 1), some.slice(0, some.length >> 1))
      continue
    }
    for (const unit of some) rejected.add(unit)
    yield* storeUnit(database, itemsOf(some), storing, error)
  }
  if (!doubtful.length || !(yield* tryToStore(storing, itemsOf(doubtful)))) return
  for (const unit of doubtful) {
    error = yield* tryToStore(storing, itemsOf([unit]))
    if (error) yield* storeUnit(database, itemsOf([unit]), storing, error)
  }
}

function* tryToStore<T>(storing: Storing<T>, items: readonly T[]): Transaction<ConstraintError | ValueError | undefined> {
  if (!items.length) return
  try {
    yield* savepoint(() => storing.store(items))
    storing.stored?.(items)
    return
  } catch (error) {
    if (!isRule(error)) throw error
    return error
  }
}

/** Rows that depend on each other in a ring: whoever fails by itself is not taken, and the others no longer form it. */
function* storeUnit<T>(
  database: Database,
  unit: readonly T[],
  storing: Storing<T>,
  error: ConstraintError | ValueError,
): Transaction<void> {
  const [only] = unit
  if (unit.length === 1 && only !== undefined) return yield* storing.fail(only, error)
  const bad = new Map<T, ConstraintError | ValueError>()
  for (const item of unit) {
    const own = yield* tryAlone(storing, item)
    if (own && !isTaken(own)) bad.set(item, own)
  }
  for (const [item, own] of bad) yield* storing.fail(item, own)
  const others = unit.filter(item => !bad.has(item))
  if (bad.size) return yield* storeAcceptable(database, others, storing)
  for (const item of others) {
    const own = yield* tryToStore(storing, [item])
    if (own) yield* storing.fail(item, own)
  }
}

function* tryAlone<T>(storing: Storing<T>, item: T): Transaction<ConstraintError | ValueError | undefined> {
  try {
    yield* savepoint(function* () {
      yield* storing.store([item])
      throw new Rollback()
    })
    return
  } catch (error) {
    if (isRule(error)) return error
    if (!(error instanceof Rollback)) throw error
    return
  }
}
