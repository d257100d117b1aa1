// Rows that the server does not show to its user any more leave without a trace. A purge is no news, for any server.

import { groupBy } from '../../changes/collections/groupBy.js'
import { isInPush, lastHeardOf } from '../../changes/servers/agreement.js'
import { writeNoAccess } from '../../changes/servers/noAccess.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { serversOf } from '../../changes/servers/servers.js'
import { savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import { type Exchange, openExchange, readRowStates, type TransactionStamp } from '../exchange.js'
import { type Applied, nothingApplied, type Part } from './applied.js'
import { defer } from './defer.js'
import { forgetRows } from './forgetRows.js'
import { purge } from './purge.js'

/** A row that leaves. */
export interface Leaving {
  readonly exchange: Exchange
  readonly applied: Applied
  readonly state: RowState
}

/** The updates of rows that leave, apart from the others. */
export function partLeft(parts: readonly Part[]): { staying: readonly Part[]; left: readonly Part[] } {
  if (!parts.some(({ updates }) => updates.some(update => update.left))) return { staying: parts, left: [] }
  const latest = parts.map(part => ({ ...part, updates: [...new Map(part.updates.map(update => [update.id, update])).values()] }))
  const only = (is: boolean) =>
    latest.flatMap(part => {
      const updates = part.updates.filter(update => (update.left === true) === is)
      return updates.length ? [{ ...part, updates }] : []
    })
  return { staying: only(false), left: only(true) }
}

/** Takes rows away that are not seen any more. What another server shows, or is being told, stays, and is not told here. */
export function* applyLeft(parts: readonly Part[], stamp: TransactionStamp): Transaction<void> {
  const leaving: Leaving[] = []
  for (const { exchange, updates, applied } of parts) {
    const ids = updates.map(update => update.id)
    // what was made here, and never was the server's, stays
    const states = [...(yield* readRowStates(exchange, ids)).values()].filter(state => lastHeardOf(exchange.server, state))
    const elsewhere = yield* readShownElsewhere(exchange, states)
    const staying = states.filter(({ id }) => elsewhere.has(id))
    yield* stayForOthers(exchange, staying)
    for (const state of states) if (!elsewhere.has(state.id)) leaving.push({ exchange, applied, state })
  }
  if (!leaving.length) return
  yield* stamp.take() // whoever read rows ahead sees by the clock that they have changed
  yield* purgeOrDefer(leaving)
}

/** Those of these rows that another server shows, or that a push to it carries. */
export function* readShownElsewhere({ log, collection, server }: Exchange, states: readonly RowState[]): Transaction<Set<string>> {
  const shown = new Set<string>()
  if (!states.length) return shown
  for (const { id } of yield* serversOf(collection)) {
    const other = id === server.id ? undefined : yield* openExchange(log, collection, id)
    if (!other) continue
    const theirs = yield* readRowStates(
      other,
      states.map(state => state.id),
    )
    for (const state of theirs.values()) if (lastHeardOf(other.server, state) || isInPush(other.server, state)) shown.add(state.id)
  }
  return shown
}

/** Takes a row away that was made anew under the id of one that is not seen. Throws ConstraintError where a row that cannot wait needs it. */
export function* purgeUnseen(exchange: Exchange, state: RowState, stamp: TransactionStamp): Transaction<void> {
  yield* stamp.take()
  yield* purge(new Map([[exchange, [{ exchange, state, applied: nothingApplied() }]]]))
}

function* stayForOthers({ log, collection, server }: Exchange, states: readonly RowState[]): Transaction<void> {
  const ids = states.map(state => state.id)
  yield* forgetRows(log.database, collection, [server], ids)
  const rows = states.filter(state => !state.noAccess).map(({ id }) => ({ server: server.id, id, local: undefined, base: undefined }))
  yield* writeNoAccess(log.database, rows)
}

// Halves, for usually the database accepts all: a row of a table that is not synced may need one of them.
function* purgeOrDefer(leaving: readonly Leaving[]): Transaction<void> {
  const [only] = leaving
  if (!only) return
  try {
    const purged = yield* savepoint(() => purge(groupBy(leaving, row => row.exchange)))
    for (const { applied, state } of leaving) if (purged.has(state)) applied.stored++
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    // it goes as a removed one when that row is gone
    if (leaving.length === 1) return yield* defer(only.exchange, only.applied, only.state, null, 'children-exist')
    const middle = leaving.length >> 1
    yield* purgeOrDefer(leaving.slice(0, middle))
    yield* purgeOrDefer(leaving.slice(middle))
  }
}
