// The journal of what waits: rows of the server's that this database has not taken yet, and why.

import { keyOf } from '../changes/collection.js'
import { query, type Step } from '../changes/database/database.js'
import { isAgreed, type RowState, type Waiting, type WaitingReason, waitingFrom } from '../changes/remotes.js'
import type { WireRow } from '../protocol/messages.js'
import { type Exchange, siblingOf } from './exchange.js'

/** Notes the server's version of a row; our version's stamp is noted along, if that is news, for it is not told while the row waits. */
export function* writeWaiting({ log, remote }: Exchange, state: RowState, theirs: WireRow | null, reason: WaitingReason): Step<void> {
  const untold = isAgreed(remote, state, state.version.stamp) ? null : state.version.stamp
  const json = theirs === null ? null : JSON.stringify(theirs)
  const { waiting } = state
  if (waiting && waiting.reason === reason && waiting.untold === untold && waiting.json === json) return
  yield* log.database.upsertRows(
    'sync_conflict',
    ['remote', 'id', 'theirs', 'untold', 'reason'],
    ['remote', 'id'],
    [[remote.id, state.id, json, untold, reason]],
  )
}

export function* forgetWaiting({ log, remote }: Exchange, ids: readonly string[]): Step<void> {
  yield* log.database.deleteRows(
    'sync_conflict',
    ['remote', 'id'],
    ids.map(id => [remote.id, id]),
  )
}

export function* readWaiting({ remote }: Exchange): Step<Map<string, Waiting>> {
  const rows = yield* query('SELECT id, theirs, untold, reason FROM sync_conflict WHERE remote = ? ORDER BY id', remote.id)
  return new Map(rows.map(row => [String(row.id), waitingFrom(row)]))
}

/** The rows that wait for a word about a row which they need. */
export function* readWaitingChildren(exchange: Exchange, id: string): Step<string[]> {
  const children: string[] = []
  for (const reference of exchange.collection.children) {
    const { child } = reference
    const there = child && siblingOf(exchange, child)
    if (!there) continue
    for (const [childId, { theirs }] of yield* readWaiting(there)) if (keyOf(reference, childId, theirs) === id) children.push(childId)
  }
  return children
}
