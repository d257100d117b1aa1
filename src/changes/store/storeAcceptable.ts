// Stores all changes but those that the database rejects, and those that need one of these.

import { type Database, Rollback, savepoint, type Transaction } from '../../databases/database.js'
import type { ConstraintError, ValueError } from '../../errors.js'
import type { Change } from './change.js'
import { isNotUnique, isRowError } from './rowErrors.js'
import { readUniques } from './uniques.js'
import { type Unit, unitsOf } from './units.js'

/** How to store items, each of which makes a change. */
export interface Storing<T> {
  change(item: T): Change
  /** Stores these. Throws ConstraintError or ValueError where the database rejects them. */
  store(items: readonly T[]): Transaction<void>
  /** These are stored. */
  stored?(items: readonly T[]): void
  /** The database rejects this one. */
  fail(item: T, error: ConstraintError | ValueError): Transaction<void>
}

/** Stores all items but those that the database rejects, and those that need one of these. */
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
  // units that may need a rejected one are tried when all others are stored
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
  // in halves, since usually few are rejected
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
    if (!isRowError(error)) throw error
    return error
  }
}

/** Rows that depend on each other in a ring: those that fail alone are rejected, and the others no longer form a ring. */
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
    if (own && !isNotUnique(own)) bad.set(item, own)
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
    if (isRowError(error)) return error
    if (!(error instanceof Rollback)) throw error
    return
  }
}
