// The journal of what is not applied: rows of the server that this database does not hold yet, and why.

import { keyOf } from '../../changes/collections/collection.js'
import { isAgreed } from '../../changes/servers/agreement.js'
import { type RowState, type Unapplied, type UnappliedReason, unappliedFrom } from '../../changes/servers/rowStates.js'
import { query, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, siblingOf } from '../exchange.js'

/** A server's version of a row, and why it is not applied. */
export interface ToDefer {
  readonly state: RowState
  readonly remote: WireRow | null
  readonly reason: UnappliedReason
}

/** Notes the server's versions of rows; our versions' stamps are noted along, if they are local changes, for they are not pushed until the rows are applied. */
export function* writeUnapplied({ log, server }: Exchange, rows: readonly ToDefer[]): Transaction<void> {
  const notes = rows.flatMap(({ state, remote, reason }) => {
    const unpushed = isAgreed(server, state, state.version.stamp) ? null : state.version.stamp
    const json = remote === null ? null : JSON.stringify(remote)
    const { unapplied } = state
    if (unapplied && unapplied.reason === reason && unapplied.unpushed === unpushed && unapplied.json === json) return []
    return [[server.id, state.id, json, unpushed, reason]]
  })
  if (!notes.length) return
  yield* log.database.upsertRows('sync_unapplied', ['server', 'id', 'remote', 'unpushed', 'reason'], ['server', 'id'], notes)
}

export function* forgetUnapplied({ log, server }: Exchange, ids: readonly string[]): Transaction<void> {
  yield* log.database.deleteRows(
    'sync_unapplied',
    ['server', 'id'],
    ids.map(id => [server.id, id]),
  )
}

export function* readUnapplied({ server }: Exchange): Transaction<Map<string, Unapplied>> {
  const rows = yield* query('SELECT id, remote, unpushed, reason FROM sync_unapplied WHERE server = ? ORDER BY id', server.id)
  return new Map(rows.map(row => [String(row.id), unappliedFrom(row)]))
}

/** The rows of a collection that others need which are not applied. */
export function* readNeededByUnapplied(exchange: Exchange): Transaction<ReadonlySet<unknown>> {
  const needed = new Set<unknown>()
  for (const reference of exchange.collection.children) {
    const { child } = reference
    const there = child && siblingOf(exchange, child)
    if (!there) continue
    for (const [id, { remote }] of yield* readUnapplied(there)) needed.add(keyOf(reference, id, remote))
  }
  return needed
}
