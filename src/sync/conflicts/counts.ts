// How much is in the journals of a data source, for a status that is shown.

import type { ChangeLog } from '../../changes/changeLog.js'
import { readLastChanges } from '../../changes/rows/lastChanges.js'
import { isUpTo, LAST } from '../../changes/rows/place.js'
import { first, query, type Transaction } from '../../databases/database.js'
import { type Exchange, openExchanges } from '../exchange.js'
import { isConflict, listNoAccess, listRejected, listUnapplied } from './listed.js'
import { readPending } from './pending.js'

export interface JournalCounts {
  /** Rows that were changed here and not pushed yet. */
  readonly pending: number
  /** Conflicts that nobody has decided. */
  readonly conflicts: number
  /** Rows of the server that need others first. */
  readonly deferred: number
  /** Rows of ours that a server has rejected, or does not show any more. */
  readonly rejected: number
}

/** Counts what the journals of all entities list, and reads the clock in the same snapshot. Where there is nothing it costs a few statements. */
export function* countJournals(log: ChangeLog): Transaction<JournalCounts & { readonly now: number }> {
  const { now } = yield* log.database.clock()
  const counts = { now, pending: 0, conflicts: 0, deferred: 0, rejected: 0 }
  const there = yield* first(
    `SELECT EXISTS (SELECT 1 FROM sync_unapplied) AS unapplied, EXISTS (SELECT 1 FROM sync_ignored) AS ignored,
            EXISTS (SELECT 1 FROM sync_rejection) OR EXISTS (SELECT 1 FROM sync_no_access) AS rejected`,
  )
  const last = yield* readLastChanges(log.collections)
  for (const exchange of yield* openAll(log)) {
    const isQuiet = isAllPushed(exchange, last.get(exchange.collection) ?? 0) && !there?.ignored && !there?.rejected
    if (!isQuiet) yield* readPending(exchange, () => ++counts.pending > 0)
    if (there?.rejected) counts.rejected += (yield* listRejected(exchange)).length + (yield* listNoAccess(exchange)).length
    if (!there?.unapplied) continue
    for (const row of yield* listUnapplied(exchange)) counts[isConflict(row) ? 'conflicts' : 'deferred']++
  }
  return counts
}

/** Is the last change of the collection pushed, and the answer there? */
const isAllPushed = ({ server }: Exchange, last: number) => !server.push && isUpTo(server.pushedTo, LAST, last)

function* openAll(log: ChangeLog): Transaction<Exchange[]> {
  const groups = new Map<string, number[]>()
  const times = new Map<string, number>()
  for (const { id, collection, origin } of yield* query('SELECT id, collection, origin FROM sync_server ORDER BY id')) {
    // a collection may have two urls at one server
    const place = `${collection} ${origin}`
    const time = times.get(place) ?? 0
    times.set(place, time + 1)
    const key = `${time} ${origin}`
    groups.set(key, [...(groups.get(key) ?? []), Number(id)])
  }
  const exchanges: Exchange[] = []
  for (const ids of groups.values()) exchanges.push(...(yield* openExchanges(log, ids)))
  return exchanges
}
