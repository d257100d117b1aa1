// Stores changes in an order that the database accepts: all of them, or none.

import { type Database, savepoint, type Transaction } from '../../databases/database.js'
import { type ChangeLog, noteChanged } from '../changeLog.js'
import { byCollection } from '../collections/groupBy.js'
import { rejectSkipped } from '../rows/skipped.js'
import type { Change } from './change.js'
import { checkConstraints } from './constraints.js'
import { noteExits } from './exits.js'
import { KINDS_OF_VALUES } from './freeValues.js'
import { keepReplaced } from './keepReplaced.js'
import { isDeep, type Plan, planChanges } from './order.js'
import { NoneFree, putBack, release } from './release.js'
import { isNotUnique, isRowError } from './rowErrors.js'
import { followTrees } from './trees.js'
import { readUniques, type Uniques } from './uniques.js'
import { write } from './writeOperations.js'

const NO_INDEXES: Uniques = new Map()

/**
 * Writes changes, each under its stamp. Throws ConstraintError where the database rejects them, and ValueError where a column cannot
 * hold a value; then they are stored in part, so that a caller who goes on uses a savepoint.
 */
export function* storeChanges(log: ChangeLog, changes: readonly Change[]): Transaction<void> {
  if (!changes.length) return
  yield* keepReplaced(log, changes)
  const exits = yield* noteExits(log.database, changes)
  const plan = planChanges(changes, NO_INDEXES)
  if (changes.length === 1) yield* store(log, plan, changes)
  else {
    try {
      yield* savepoint(() => store(log, plan, changes), 'sync_order')
    } catch (error) {
      if (!isNotUnique(error)) throw error
      yield* storeReleased(log, changes, error)
    }
  }
  yield* exits.forgetUnmoved()
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

/**
 * Takes rows out of their tables without a trace: no tombstone, no base version, and no stamp says that they were there. Throws ConstraintError where the
 * database keeps one of them; then some are gone, so that a caller who goes on uses a savepoint.
 */
export function* purgeRows(log: ChangeLog, rows: readonly Pick<Change, 'collection' | 'id' | 'old'>[]): Transaction<void> {
  const changes = rows.filter(({ old }) => old.value !== null).map(row => ({ ...row, value: null, stamp: 0 }))
  if (!changes.length) return
  yield* store(log, planChanges(changes, NO_INDEXES), changes)
  for (const [collection, some] of byCollection(changes)) yield* rejectSkipped(log.database, collection, some, 0)
}

/** Another row has a unique value, perhaps one of them that releases it. */
function* storeReleased(log: ChangeLog, changes: readonly Change[], error: unknown): Transaction<void> {
  const uniques = yield* readUniques(log.database, changes)
  const plan = planChanges(changes, uniques)
  if (!plan.exchanged) throw error
  const plans = isDeep(plan) ? [planChanges(changes, uniques, true), plan] : [plan]
  let last = error
  for (const each of plans) {
    // a check constraint that rejects one value may accept another
    for (let kind = 0; kind <= KINDS_OF_VALUES; kind++) {
      try {
        return yield* savepoint(() => store(log, each, changes, kind), 'sync_order')
      } catch (failed) {
        if (!(isRowError(failed) || failed instanceof NoneFree)) throw failed
        if (!(failed instanceof NoneFree)) last = failed
        if (!each.releases.length) break
      }
    }
  }
  throw last
}

/** `kind` is that of the values which rows hold meanwhile. */
function* store(log: ChangeLog, { releases, levels, late, isDeferred }: Plan, changes: readonly Change[], kind = 0): Transaction<void> {
  const { database } = log
  noteChanged(log, changes)
  if (isDeferred) yield* database.deferConstraints(true)
  const gone = yield* release(database, releases, changes, kind)
  for (const level of levels) yield* write(database, gone.size ? level.map(operation => putBack(operation, gone)) : level)
  yield* write(database, late)
  yield* followTrees(database, changes)
  yield* checkConstraints(log, changes, isDeferred)
  if (isDeferred) yield* database.deferConstraints(false)
}

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
