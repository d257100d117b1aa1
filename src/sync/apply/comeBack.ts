// Rows that are seen again, and of which our version was kept apart, or is here for another server's sake: it is our side of a merge.

import { findOrphans } from '../../changes/rows/orphans.js'
import { isKeptApart, localOf } from '../../changes/servers/agreement.js'
import { keepBases } from '../../changes/servers/baseVersions.js'
import { forgetOthersNoAccess, forgetOwnNoAccess } from '../../changes/servers/noAccess.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { isRowError } from '../../changes/store/rowErrors.js'
import { storeVersions } from '../../changes/store/store.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, readRowStates, type TransactionStamp } from '../exchange.js'
import { reasonOf } from './defer.js'
import type { ToDefer } from './unapplied.js'

/** Both sides of a row that is seen again. */
export interface Returning {
  readonly local: WireRow | null
  readonly base: WireRow | null | undefined
}

/** Undefined where nothing was kept apart. A removal that a server tells of a row that it never showed says nothing to the version of another one. */
export function returningOf(state: RowState, remote: WireRow | null): Returning | undefined {
  const local = localOf(state)
  if (state.noAccess) return { local, base: state.noAccess.base }
  return isKeptApart(state) && remote !== null ? { local, base: undefined } : undefined
}

/**
 * A contested row goes back into its table, for that is where a decision finds our side; where the database does not accept it, it stays where it is, and
 * waits for what it needs. `value`: our side, with what is not contested.
 */
export function* returnContested(
  exchange: Exchange,
  { state, remote, value, base }: { state: RowState; remote: WireRow | null; value: WireRow | null; base: Returning['base'] },
  stamp: TransactionStamp,
): Transaction<ToDefer> {
  const { log, collection, server } = exchange
  const { id, version } = state
  const isHere = version.stamp > 0
  if (!isHere && value && (yield* findOrphans(log.database, collection, [{ id, value, old: version }])).size)
    // whether a removed row is wanted is asked at once: what it needs may never come
    return { state, remote, reason: remote === null ? 'contested' : 'parent-missing' }
  try {
    yield* stamp.savepoint(function* () {
      const agreed = yield* stamp.take()
      // one that is here gets a new stamp as well: a push to another server, which passed it by, may be under way and would count for it
      const ours = { id, old: version, value: isHere ? version.value : value }
      yield* storeVersions(log, collection, [ours], yield* log.database.tick(), server)
      if (base !== undefined) yield* keepBases(log.database, collection, server, [{ id, value: base }], agreed)
      yield* forgetOwnNoAccess(log.database, server, [id])
      yield* forgetOthersNoAccess(log.database, server, [id])
    })
  } catch (error) {
    if (!isRowError(error)) throw error
    return { state, remote, reason: reasonOf(error) }
  }
  return { state: (yield* readRowStates(exchange, [id])).get(id) as RowState, remote, reason: 'contested' }
}
