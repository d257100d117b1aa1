// Stores all writes of a POST, or none.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Change } from '../src/changes/store/change.js'
import { storeAcceptable } from '../src/changes/store/storeAcceptable.js'
import { storeChanges } from '../src/changes/store/storeChanges.js'
import { Rollback, savepoint, type Transaction } from '../src/databases/database.js'
import { ConstraintError } from '../src/errors.js'
import type { PostedWrite, Rejected } from './posted.js'
import type { Reach } from './reached.js'
import { rejectionOf, rejectTogether, unique } from './rejections.js'

/** Stores everything, or nothing. Returns all rows that the database rejects. */
export function* storeAll(log: ChangeLog, reached: Reach, writes: readonly PostedWrite[], stamp: number): Transaction<Rejected[]> {
  const posted = new Set<Change>(writes.map(write => ({ ...write, stamp })))
  const changes = [...reached.changes.map((change): Change => ({ ...change, stamp })), ...posted]
  let broken: ConstraintError
  try {
    yield* savepoint(() => storeChanges(log, changes))
    return []
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    broken = error
  }
  // again, to name each bad row; the savepoint is rolled back
  const rejections: Rejected[] = []
  let unknown = 0
  try {
    yield* savepoint(function* () {
      yield* storeAcceptable(log.database, changes, {
        change: change => change,
        store: some => storeChanges(log, some),
        // biome-ignore lint/correctness/useYield: nothing is stored about it
        *fail(change, error) {
          const rows = posted.has(change) ? [change] : reached.removalsOf([change])
          for (const row of rows) rejections.push(rejectionOf(row, error as ConstraintError))
          if ((error as ConstraintError).kind === 'unknown') unknown++
        },
      })
      throw new Rollback()
    }, 'sync_trial')
  } catch (error) {
    if (!(error instanceof Rollback)) throw error
  }
  // what happens to every row of several, or to none alone, is no row's fault; a row that is pushed by itself would block the queue for ever
  const isWhole = !rejections.length || (unknown === changes.length && (writes.length > 1 || broken.isSchemaMismatch))
  if (broken.kind === 'unknown' && isWhole) throw broken
  return rejections.length ? unique(rejections) : writes.map(rejectTogether)
}
