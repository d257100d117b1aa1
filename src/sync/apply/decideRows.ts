// Decides about each row of the server: store it, merge it, remove it, or ask.

import type { Collection } from '../../changes/collections/collection.js'
import { type Held, readHeld } from '../../changes/rows/held.js'
import { findOrphans } from '../../changes/rows/orphans.js'
import { baseOf, isHeld } from '../../changes/servers/agreement.js'
import { keepBases } from '../../changes/servers/baseVersions.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import type { Update, WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean, readRowStates, type TransactionStamp } from '../exchange.js'
import { type Known, knownOf } from '../pull/undecided.js'
import { discardReturningMoves } from '../push/moves.js'
import type { Part } from './applied.js'
import { applyUnread } from './applyUnread.js'
import { mergeIn, readCommonBases } from './bases.js'
import { type Candidate, isUnknown } from './candidates.js'
import { returnContested, returningOf } from './comeBack.js'
import { deferAll } from './defer.js'
import { readShownElsewhere } from './leave.js'
import { isSameRow } from './merge.js'
import type { ToDefer } from './unapplied.js'

/** A row that came from the server. */
interface Received {
  readonly state: RowState
  /** As the server sent it; null: removed there. */
  readonly given: WireRow | null
  readonly held: Held | undefined
}

/** Adds what is to be stored to `rows` and `removals`; what cannot be is written into the journal. */
export function* decideRows(
  { exchange, updates, applied }: Part,
  stamp: TransactionStamp,
  rows: (Candidate & { value: WireRow })[],
  removals: Candidate[],
): Transaction<void> {
  const { log, collection, server } = exchange
  const latest = new Map(updates.map(update => [update.id, update]))
  yield* applyUnread(exchange, latest, applied, stamp)
  if (!latest.size) return
  const received = yield* readReceived(exchange, [...latest.values()])
  const basesOf = yield* readCommonBases(
    exchange,
    received.map(({ state, given }) => ({ state, remote: given })),
  )
  const contested: ToDefer[] = []
  const waiting: ToDefer[] = []
  const invalid: ToDefer[] = []
  for (const { state, given, held } of received) {
    const { id } = state
    if (held?.errors.length || (held && collection.rejectKey(id, given) !== undefined)) {
      invalid.push({ state, remote: given, reason: 'not-valid' })
      continue
    }
    // it does not show the row anyway, which is here for another one's sake
    if (given === null && state.noAccess && state.noAccess.local === undefined) continue
    const returning = returningOf(state, given)
    const base = returning ? returning.base : baseOf(server, state)
    const remote = held ? withBase(collection, held.value, base) : null
    if (returning) {
      const { value, isContested } = mergeIn(collection, base, returning.local, remote)
      if (isContested) {
        const back = yield* returnContested(exchange, { state, remote, value, base }, stamp)
        ;(back.reason === 'contested' ? contested : waiting).push(back)
      } else if (value !== null) rows.push({ exchange, applied, state, remote, value })
      else removals.push({ exchange, applied, state, remote, value })
      continue
    }
    if (remote !== null && (isUnknown(state) || isUnchanged(exchange, state))) {
      rows.push({ exchange, applied, state, remote, value: remote })
      continue
    }
    // a server without a history id is asked from a little before: what it says once more says nothing
    if (server.serverHistory === null && !state.unapplied && base !== undefined && isSameRow(remote, base)) continue
    let known: Known = { base: basesOf(id), isShown: false }
    if (server.serverHistory === null) known = knownOf(exchange, state, known.base, remote)
    const { value, isContested } = mergeIn(collection, known.base, state.version.value, remote)
    if (isContested) {
      if (known.base && known.isShown) yield* keepBases(log.database, collection, server, [{ id, value: known.base }], yield* stamp.take())
      if (yield* isAnswered(exchange, state, remote)) waiting.push({ state, remote, reason: 'parent-missing' })
      else contested.push({ state, remote, reason: 'contested' })
    } else if (value !== null) rows.push({ exchange, applied, state, remote, value })
    else removals.push({ exchange, applied, state, remote, value })
  }
  yield* deferAll(exchange, applied, invalid)
  yield* deferAll(exchange, applied, contested)
  yield* deferAll(exchange, applied, waiting)
}

/** Reads the states of rows, and how the database holds what the server sent of them. */
function* readReceived(exchange: Exchange, updates: readonly Update[]): Transaction<Received[]> {
  const { log, collection } = exchange
  const states = yield* readRowStates(
    exchange,
    updates.map(({ id }) => id),
  )
  const rows = updates.map(({ value }) => value).filter(value => value !== null)
  const held = yield* readHeld(log.database, collection, rows)
  const heldOf = new Map(rows.map((row, i) => [row, held[i] as Held]))
  const received = ({ id, value }: Update): Received => ({
    ...{ state: states.get(id) as RowState, given: value, held: value ? heldOf.get(value) : undefined },
  })
  const discarded = yield* discardReturningMoves(exchange, updates.map(received))
  if (discarded.length) for (const [id, state] of yield* readRowStates(exchange, discarded)) states.set(id, state)
  return updates.map(received)
}

/** Was it decided about both sides as they are, of a row that another server shows, and the row that the decision needs has not come? */
function* isAnswered(exchange: Exchange, state: RowState, remote: WireRow | null): Transaction<boolean> {
  const { log, collection } = exchange
  const { id, version, unapplied } = state
  if (unapplied?.reason !== 'parent-missing' || unapplied.unpushed !== version.stamp) return false
  if (remote === null || !isSameRow(remote, unapplied.remote)) return false
  if (!(yield* findOrphans(log.database, collection, [{ id, value: remote, old: version }])).size) return false
  return (yield* readShownElsewhere(exchange, [state])).size > 0
}

/** We know nothing of the row that the server does not know, and removed nothing that it could hang on. */
function isUnchanged(exchange: Exchange, state: RowState): boolean {
  const { collection } = exchange
  const isWhole = !collection.parents.length && !state.ignored.length
  return state.version.value !== null && isWhole && isClean(exchange, state) && !isHeld(state)
}

/**
 * Where the server's row lacks a property, an older schema says nothing about it, and it is as both sides knew it; where they never did, the
 * server has not heard of ours.
 */
function withBase({ columns }: Collection, held: WireRow, base: WireRow | null | undefined): WireRow {
  const value: WireRow = {}
  for (const { property } of columns) {
    const known = Object.hasOwn(held, property) ? held : base
    if (known && Object.hasOwn(known, property)) value[property] = known[property] as never
  }
  return value
}
