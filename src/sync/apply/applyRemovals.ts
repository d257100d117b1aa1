// Applies removals of the server, with what hangs on the removed rows.

import { groupBy } from '../../changes/collections/groupBy.js'
import { nameOf, readDependents } from '../../changes/rows/dependents.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import { type Exchange, readRowStates, type TransactionStamp } from '../exchange.js'
import { applyOrDefer } from './applyOrDefer.js'
import type { Candidate } from './candidates.js'
import { defer, deferAll } from './defer.js'
import { removeDependents, whyNotYet } from './removals.js'
import { applyDecided } from './storeDecided.js'
import type { ToDefer } from './unapplied.js'

export function* applyRemovals(removals: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  // children first: what the server's cascade has removed is gone before the removal of its parent is applied
  const order = ({ log, collection }: Exchange) => log.collections.indexOf(collection)
  const ordered = [...groupBy(removals, removal => removal.exchange)].sort(([x], [y]) => order(y) - order(x))
  for (const [exchange, some] of ordered) yield* removeReady(exchange, some, stamp)
}

function* removeReady(exchange: Exchange, removals: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const { log, collection } = exchange
  const present = removals.filter(r => r.state.version.value !== null)
  if (!collection.children.length || !present.length) return yield* applyOrDefer(log, removals, stamp)
  const ids = present.map(r => r.state.id)
  const why = yield* whyNotYet(exchange, ids)
  const ready: Candidate[] = []
  const unapplied: ToDefer[] = []
  for (const removal of removals) {
    const reason = why.get(nameOf({ collection, id: removal.state.id }))
    if (reason) unapplied.push({ ...removal, reason })
    else ready.push(removal)
  }
  yield* deferAll(exchange, (removals[0] as Candidate).applied, unapplied)
  yield* removeOrDefer(exchange, ready, stamp)
}

// Halves, for usually the database accepts all, and seldom rejects more than a few.
function* removeOrDefer(exchange: Exchange, removals: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const { log, collection } = exchange
  const [only] = removals
  if (!only) return
  yield* stamp.take()
  const ids = removals.map(r => r.state.id)
  try {
    yield* savepoint(function* () {
      yield* removeDependents(exchange, ids, yield* readDependents(log.database, collection, ids), stamp)
      // their own trees may have reached them
      const states = yield* readRowStates(exchange, ids)
      const fresh = removals.map(removal => ({ ...removal, state: states.get(removal.state.id) as RowState }))
      yield* applyDecided(exchange, fresh, stamp)
    })
    for (const { applied } of removals) applied.stored++
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    if (removals.length === 1) return yield* defer(exchange, only.applied, only.state, only.remote, 'children-exist')
    const middle = removals.length >> 1
    yield* removeOrDefer(exchange, removals.slice(0, middle), stamp)
    yield* removeOrDefer(exchange, removals.slice(middle), stamp)
  }
}
