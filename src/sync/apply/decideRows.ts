// Decides about each row of the server: store it, merge it, remove it, or ask.

import { baseOf, isHeld } from '../../changes/agreement.js'
import { keepBases } from '../../changes/baseVersions.js'
import type { Collection } from '../../changes/collection.js'
import { type Held, readHeld } from '../../changes/held.js'
import type { RowState } from '../../changes/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import type { Update, WireRow } from '../../protocol/messages.js'
import { isClean, readRowStates, type TransactionStamp } from '../exchange.js'
import { type Known, knownOf } from '../pull/undecided.js'
import type { Part } from './applied.js'
import { applyUnread } from './applyUnread.js'
import { isAutomatic, readCommonBases } from './bases.js'
import { type Candidate, isUnknown } from './candidates.js'
import { deferAll } from './defer.js'
import { isSameRow, merge } from './merge.js'
import type { ToDefer } from './unapplied.js'

export function* decideRows(
  { exchange, updates, taken }: Part,
  stamp: TransactionStamp,
  rows: (Candidate & { value: WireRow })[],
  removals: Candidate[],
): Transaction<void> {
  const { collection } = exchange
  const latest = new Map<string, Update>()
  for (const update of updates) latest.set(update.id, update)
  yield* applyUnread(exchange, latest, taken, stamp)
  if (!latest.size) return
  const states = yield* readRowStates(exchange, [...latest.keys()])
  const basesOf = yield* readCommonBases(
    exchange,
    [...latest.values()].map(({ id, value }) => ({ state: states.get(id) as RowState, remote: value })),
  )

  const given = [...latest.values()].flatMap(({ id, value }) => (value === null ? [] : [{ id, value }]))
  const held = yield* readHeld(
    exchange.log.database,
    collection,
    given.map(({ value }) => value),
  )
  const heldOf = new Map(given.map(({ id }, i) => [id, held[i] as Held]))

  const contested: ToDefer[] = []
  const invalid: ToDefer[] = []
  for (const { id, value: given } of latest.values()) {
    const state = states.get(id) as RowState
    const base = baseOf(exchange.server, state)
    const row = heldOf.get(id)
    if (row?.errors.length || (row && collection.rejectKey(id) !== undefined)) {
      invalid.push({ state, remote: given, reason: 'not-valid' })
      continue
    }
    const remote = row ? withBase(collection, row.value, base) : null
    // made there, and never heard of here
    if (remote !== null && isUnknown(state)) {
      rows.push({ exchange, taken, state, remote, value: remote })
      continue
    }
    // we know nothing that the server does not know, and removed nothing that it could hang on
    const isWhole = !collection.parents.length && !state.ignored.length
    if (remote !== null && state.version.value !== null && isWhole && isClean(exchange, state) && !isHeld(state)) {
      rows.push({ exchange, taken, state, remote, value: remote })
      continue
    }
    const { server } = exchange
    // a server without a history id is asked from a little before: what it says once more says nothing
    if (server.serverHistory === null && !state.unapplied && base !== undefined && isSameRow(remote, base)) continue
    let known: Known = { base: basesOf(id), isShown: false }
    if (server.serverHistory === null) known = knownOf(exchange, state, known.base, remote)
    const { value, isContested } = merge(known.base, state.version.value, remote, isAutomatic(collection))
    if (isContested) {
      if (known.base && known.isShown)
        yield* keepBases(exchange.log.database, collection, server, [{ id, value: known.base }], yield* stamp.take())
      contested.push({ state, remote, reason: 'contested' })
    } else if (value !== null) rows.push({ exchange, taken, state, remote, value })
    else removals.push({ exchange, taken, state, remote, value })
  }
  yield* deferAll(exchange, taken, invalid)
  yield* deferAll(exchange, taken, contested)
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
