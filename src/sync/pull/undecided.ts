// A push to a server that knows no keys, whose answer never came: perhaps it was stored. What a pull brings as it was sent is ours.

import { baseOf, isHeld, sentVersion } from '../../changes/servers/agreement.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { dateToNumber, equalValues } from '../../databases/columns.js'
import { baseTableOf, query, quote, type Transaction } from '../../databases/database.js'
import type { Json, WireRow } from '../../protocol/messages.js'
import { type Exchange, readRowStates } from '../exchange.js'

export interface Known {
  /** The last version that both sides know; null where they know that there was none, undefined where there is no such version. */
  readonly base: WireRow | null | undefined
  /** The server's version shows what an undecided push has stored, and so says more than was known. */
  readonly isShown: boolean
}

/** What both sides know of a row, in view of the server's version: what comes as it was sent is ours. */
export function knownOf(exchange: Exchange, state: RowState, agreed: WireRow | null | undefined, remote: WireRow | null): Known {
  const base = agreed && remote ? withSame(exchange, agreed, agreed, remote) : agreed
  const sent = sentVersion(exchange.server, state)
  if (!sent || (remote === null) !== (sent.value === null)) return { base, isShown: false }
  if (remote === null || sent.value === null) return { base: null, isShown: true }
  const shown = withSame(exchange, {}, sent.value, remote)
  const count = Object.keys(shown).length
  if (count === Object.keys(remote).length) return { base: remote, isShown: true }
  // made here and removed meanwhile; there it was changed, so others have to do with it
  if (state.version.value === null) return { base: base === null ? undefined : base, isShown: false }
  return { base: count ? { ...base, ...shown } : base, isShown: count > 0 }
}

/** A row with what two versions have in common, as the server writes it: those of 2011 keep dates as whole seconds. */
function withSame({ collection, server }: Exchange, row: WireRow, ours: WireRow, remote: WireRow): WireRow {
  const same = Object.keys(remote).filter(p => {
    if (equalValues(ours[p], remote[p])) return true
    if (server.dateForm !== 'seconds' || !collection.column.get(p)?.isDate) return false
    return typeof ours[p] === 'string' && typeof remote[p] === 'string' && Math.abs(dateToNumber(ours[p]) - dateToNumber(remote[p])) < 1
  })
  return { ...row, ...Object.fromEntries(same.map(p => [p, remote[p] as Json])) }
}

/**
 * What an undecided push has sent may still arrive after the pull that did not show it: rows that were made here, sent, and removed
 * meanwhile, for their removal has to be pushed.
 */
export function* readSentAndRemoved(exchange: Exchange): Transaction<{ state: RowState; remote: WireRow; value: null }[]> {
  const { collection, server } = exchange
  const rows = yield* query(
    `SELECT DISTINCT i._sync_id AS id FROM ${quote(baseTableOf(collection.table))} i JOIN sync_tombstone t ON t.collection = ? AND t.id = i._sync_id
      WHERE i._sync_server = ? AND i._sync_removed = 0 AND i._sync_stamp >= ?`,
    ...[collection.name, server.id, server.pushedTo.stamp],
  )
  const states = yield* readRowStates(
    exchange,
    rows.map(row => String(row.id)),
  )
  return [...states.values()].flatMap(state => {
    const remote = sentVersion(server, state)?.value
    const isGone = remote && state.version.value === null && baseOf(server, state) === null && !isHeld(state)
    return isGone ? [{ state, remote, value: null }] : []
  })
}
