// What was changed here and not pushed yet.

import { readChanges } from '../../changes/rows/changePage.js'
import { baseOf, isAgreed, isHeld } from '../../changes/servers/agreement.js'
import { readIgnoredIds, readIgnoredProperties } from '../../changes/servers/ignored.js'
import { isHeldBack, type RowState, readStates } from '../../changes/servers/rowStates.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import { query, type Transaction } from '../../databases/database.js'
import { isSameRow } from '../apply/merge.js'
import { type Exchange, isClean, readRowStates } from '../exchange.js'
import { TransactionSize } from '../session.js'
import { isKeptApart } from './noAccess.js'

/**
 * Is it something else than what the server has? What is not applied or was rejected is listed there. A row that is as it was before a push without
 * an answer is pending as well where that push carries another version of it.
 */
function isPending(server: ServerState, state: RowState): boolean {
  const { version, baseVersions, ignored } = state
  if (isHeld(state) || isAgreed(server, state, version.stamp)) return false
  if (ignored.length && version.value !== null) return true
  const base = baseOf(server, state)
  if (base === undefined || !isSameRow(version.value, base)) return true
  return (
    server.push !== null &&
    baseVersions.some(baseVersion => !isAgreed(server, state, baseVersion.stamp) && !isSameRow(version.value, baseVersion.value))
  )
}

/** Reads what is pending, in the order of changes, until `visit` gives false. Pages begin with a row and grow: a row may be megabytes. */
export function* readPending(exchange: Exchange, visit: (state: RowState) => boolean): Transaction<void> {
  const { log, collection, server } = exchange
  const size = new TransactionSize({ rows: 1, largest: 1_000 })
  for (let above = server.pushedTo; ; ) {
    const [limit, start] = [size.rows, performance.now()]
    const changes = yield* readChanges(log.database, collection, { above, limit, removalsAbove: -1, localChangesFor: server.id })
    const versions = new Map(changes.map(c => [c.id, c]))
    const states = yield* readStates(log.database, collection, server, [...versions.keys()], versions)
    for (const state of states.values()) if (isPending(server, state) && !visit(state)) return
    const last = changes.at(-1)
    if (!last || changes.length < limit) break
    above = { stamp: last.stamp, id: last.id }
    size.took(changes.length, performance.now() - start)
  }
  // what is pushed later may lie before what was pushed
  if (!(yield* readNoted(exchange, 'sync_rejection', isHeldBack, visit))) return
  yield* readIgnoredRows(exchange, visit)
}

/** Reads rows of which nothing is pending but values that the server has ignored. */
function* readIgnoredRows(exchange: Exchange, visit: (state: RowState) => boolean): Transaction<void> {
  const { server, log, collection } = exchange
  const properties = yield* readIgnoredProperties(collection, log.database, server.id)
  for (let above = '', limit = 1; properties.length; limit = Math.min(limit * 4, 256)) {
    const ids = yield* readIgnoredIds(server.id, properties, above, limit)
    for (const state of (yield* readRowStates(exchange, ids)).values())
      if (state.version.value !== null && !isHeld(state) && isAgreed(server, state, state.version.stamp) && !visit(state)) return
    if (ids.length < limit) return
    above = ids.at(-1) as string
  }
}

/** Is there anything of ours that the server lacks? Reads up to the first of it. */
export function* hasChanges(exchange: Exchange): Transaction<boolean> {
  let found = false
  yield* readLocalChanges(exchange, () => {
    found = true
    return false
  })
  return found
}

/** Gives the ids of rows of ours that the server lacks, pending, rejected, or not applied yet, until `visit` gives false; some come twice. */
export function* readLocalChanges(exchange: Exchange, visit: (id: string) => boolean): Transaction<void> {
  const isRejected = ({ rejection, version }: RowState) => rejection?.stamp === version.stamp
  // a row that is not applied yet may have been edited since
  const isEdited = (state: RowState) => state.unapplied?.unpushed != null || (state.version.stamp > 0 && !isClean(exchange, state))
  const visitRow = ({ id }: RowState) => visit(id)
  if (!(yield* readNoted(exchange, 'sync_rejection', isRejected, visitRow))) return
  if (!(yield* readNoted(exchange, 'sync_unapplied', isEdited, visitRow))) return
  if (!(yield* readNoted(exchange, 'sync_no_access', isKeptApart, visitRow))) return
  yield* readPending(exchange, visitRow)
}

/** False where `visit` gave false. */
function* readNoted(
  exchange: Exchange,
  table: 'sync_unapplied' | 'sync_rejection' | 'sync_no_access',
  is: (state: RowState) => boolean,
  visit: (state: RowState) => boolean,
): Transaction<boolean> {
  for (let after = '', limit = 1; ; limit = Math.min(limit * 4, 256)) {
    const rows = yield* query(`SELECT id FROM ${table} WHERE server = ? AND id > ? ORDER BY id LIMIT ?`, exchange.server.id, after, limit)
    const ids = rows.map(row => String(row.id))
    for (const state of (yield* readRowStates(exchange, ids)).values()) if (is(state) && !visit(state)) return false
    if (ids.length < limit) return true
    after = ids.at(-1) as string
  }
}
