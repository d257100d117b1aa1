// Stores rows one by one where the database does not accept them together; those that it rejects are deferred.

import type { ChangeLog } from '../../changes/changeLog.js'
import { storeAcceptable } from '../../changes/store/storeAcceptable.js'
import type { Transaction } from '../../databases/database.js'
import type { TransactionStamp } from '../exchange.js'
import { type Candidate, changeOf, isApplied } from './candidates.js'
import { defer, reasonOf } from './defer.js'
import { isSameRow } from './merge.js'
import { applyAllDecided } from './storeDecided.js'

/** Stores candidates; those that the database does not accept are deferred. */
export function* applyOrDefer(log: ChangeLog, candidates: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  if (candidates.some(c => !isApplied(c.exchange, c))) yield* stamp.take()
  yield* storeAcceptable(log.database, candidates, {
    change: changeOf(0),
    store: some => applyAllDecided(log, some, stamp),
    stored: count,
    fail: ({ exchange, applied, state, remote }, error) => defer(exchange, applied, state, remote, reasonOf(error)),
  })
}

/** What becomes of candidates that are stored. */
function count(some: readonly Candidate[]): void {
  for (const candidate of some) {
    if (!isSameRow(candidate.value, candidate.remote)) candidate.applied.merged++
    else if (!isApplied(candidate.exchange, candidate)) candidate.applied.stored++
  }
}
