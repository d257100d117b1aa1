// The journal of what waits: rows of the server's that this database has not taken yet, and why.

import { keyOf } from '../changes/collection.js'
import { query, type Step } from '../changes/database/database.js'
import { isAgreed, type RowState, type Waiting, type WaitingReason, waitingFrom } from '../changes/remotes.js'
import type { WireRow } from '../protocol/messages.js'
import { type Exchange, siblingOf } from './exchange.js'

/** A server's version of a row, and why it waits. */
export interface ToWait {
  readonly state: RowState
  readonly theirs: WireRow | null
  readonly reason: WaitingReason
}

/** Notes the server's versions of rows; our versions' stamps are noted along, if they are news, for they are not told while the rows wait. */
export function* writeWaiting({ log, remote }: Exchange, rows: readonly ToWait[]): Step<void> {
  const notes = rows.flatMap(({ state, theirs, reason }) => {
    const untold = isAgreed(remote, state, state.version.stamp) ? null : state.version.stamp
    const json = theirs === null ? null : JSON.stringify(theirs)
    const { waiting } = state
    if (waiting && waiting.reason === reason && waiting.untold === untold && waiting.json === json) return []
    return [[remote.id, state.id, json, untold, reason]]
  })
  if (!notes.length) return
  yield* log.database.upsertRows('sync_conflict', ['remote', 'id', 'theirs', 'untold', 'reason'], ['remote', 'id'], notes)
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
