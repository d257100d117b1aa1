// A push to a server that knows no keys, whose answer never came: perhaps it was stored. What a pull brings as it was sent is ours.

import { imagesOf, query, quote, type Step } from '../changes/database/database.js'
import { baseOf, isHeld, type RowState, sentVersion } from '../changes/remotes.js'
import { dateToNumber, equalValues } from '../changes/values.js'
import type { Json, WireRow } from '../protocol/messages.js'
import { type Exchange, readRowStates } from './exchange.js'

export interface Known {
  /** The last version that both sides know; null where they know that there was none, undefined where there is no such version. */
  readonly base: WireRow | null | undefined
  /** The server's version shows what an undecided push has stored, and so says more than was known. */
  readonly isShown: boolean
}

/** What both sides know of a row, in view of the server's version: what comes as it was sent is ours. */
export function knownOf(exchange: Exchange, state: RowState, agreed: WireRow | null | undefined, theirs: WireRow | null): Known {
  const base = agreed && theirs ? withSame(exchange, agreed, agreed, theirs) : agreed
  const sent = sentVersion(exchange.remote, state)
  if (!sent || (theirs === null) !== (sent.value === null)) return { base, isShown: false }
  if (theirs === null || sent.value === null) return { base: null, isShown: true }
  const shown = withSame(exchange, {}, sent.value, theirs)
  const count = Object.keys(shown).length
  if (count === Object.keys(theirs).length) return { base: theirs, isShown: true }
  // made here and removed meanwhile; there it was changed, so others have to do with it
  if (state.version.value === null) return { base: base === null ? undefined : base, isShown: false }
  return { base: count ? { ...base, ...shown } : base, isShown: count > 0 }
}

/** A row with what two versions have in common, as the server writes it: those of 2011 keep dates as whole seconds. */
function withSame({ collection, remote }: Exchange, row: WireRow, ours: WireRow, theirs: WireRow): WireRow {
  const same = Object.keys(theirs).filter(p => {
    if (equalValues(ours[p], theirs[p])) return true
    if (remote.dateForm !== 'seconds' || !collection.column.get(p)?.isDate) return false
    return typeof ours[p] === 'string' && typeof theirs[p] === 'string' && Math.abs(dateToNumber(ours[p]) - dateToNumber(theirs[p])) < 1
  })
  return { ...row, ...Object.fromEntries(same.map(p => [p, theirs[p] as Json])) }
}

/**
 * What an undecided push has sent may still arrive after the pull that did not show it: rows that were made here, sent, and removed
 * meanwhile, for their removal has to be told.
 */
export function* readSentAndRemoved(exchange: Exchange): Step<{ state: RowState; theirs: WireRow; value: null }[]> {
  const { collection, remote } = exchange
  const rows = yield* query(
    `SELECT DISTINCT i._sync_id AS id FROM ${quote(imagesOf(collection.table))} i JOIN sync_tombstone t ON t.collection = ? AND t.id = i._sync_id
      WHERE i._sync_remote = ? AND i._sync_removed = 0 AND i._sync_stamp >= ?`,
    ...[collection.name, remote.id, remote.told.stamp],
  )
  const states = yield* readRowStates(
    exchange,
    rows.map(row => String(row.id)),
  )
  return [...states.values()].flatMap(state => {
    const theirs = sentVersion(remote, state)?.value
    const isGone = theirs && state.version.value === null && baseOf(remote, state) === null && !isHeld(state)
    return isGone ? [{ state, theirs, value: null }] : []
  })
}
