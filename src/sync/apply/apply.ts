import { findOrphansAmong } from '../../changes/rows/orphans.js'
import { releasesOf } from '../../changes/store/order.js'
import { releaseFirst } from '../../changes/store/release.js'
import { readUniques } from '../../changes/store/uniques.js'
import { Rollback, savepoint, type Transaction } from '../../databases/database.js'
import type { Update, WireRow } from '../../protocol/messages.js'
import type { Exchange, TransactionStamp } from '../exchange.js'
import { findContestedMoves } from '../push/moves.js'
import { type Applied, nothingApplied, type Part } from './applied.js'
import { applyOrDefer } from './applyOrDefer.js'
import { applyRemovals } from './applyRemovals.js'
import { type Candidate, changeOf } from './candidates.js'
import { decideRows } from './decideRows.js'
import { defer, deferForParents } from './defer.js'
import { applyLeft, partLeft } from './leave.js'

/** Takes updates of one collection. */
export function* applyRemoteRows(exchange: Exchange, updates: readonly Update[], stamp: TransactionStamp): Transaction<Applied> {
  const applied = nothingApplied()
  yield* applyTogether([{ exchange, updates, applied }], stamp)
  return applied
}

/** Takes updates of several collections of one server. Those first that are seen: a row that moved away does not hang on one that leaves. */
export function* applyTogether(parts: readonly Part[], stamp: TransactionStamp): Transaction<void> {
  const { staying, left } = partLeft(parts)
  yield* applySeen(staying, stamp)
  yield* applyLeft(left, stamp)
}

/**
 * Takes updates of several collections of one server, whose rows may need each other. Every decision of law 7 and 9 is made here. Rows before
 * removals: a child that moved to another parent does not go with the old one.
 */
function* applySeen(parts: readonly Part[], stamp: TransactionStamp): Transaction<void> {
  const rows: (Candidate & { value: WireRow })[] = []
  const removals: Candidate[] = []
  for (const part of parts) yield* decideRows(part, stamp, rows, removals)
  const [any] = parts
  if (!any) return
  const { log } = any.exchange
  const orphans = yield* findOrphansAmong(log.database, rows.map(toRow))
  const unapplied = new Map([...orphans].map(([{ candidate }, reference]) => [candidate, reference]))
  yield* deferForParents(unapplied)
  const applicable: (Candidate & { value: WireRow })[] = []
  for (const { exchange } of parts) {
    const placed = rows.filter(r => r.exchange === exchange && !unapplied.has(r))
    const moves = yield* findContestedMoves(
      exchange,
      placed.map(({ state, value, remote }) => ({ id: state.id, local: state.version.value, value, remote })),
    )
    for (const row of placed) {
      const reason = moves.get(row.state.id)
      if (reason) yield* defer(exchange, row.applied, row.state, row.remote, reason)
      else applicable.push(row)
    }
  }
  const before = parts.map(({ applied }) => copyOf(applied))
  try {
    if (yield* applyFreed(applicable, removals, stamp)) return
  } catch (error) {
    if (!(error instanceof StillHeld)) throw error
    for (const [i, { applied }] of parts.entries()) Object.assign(applied, before[i])
  }
  yield* applyOrDefer(log, applicable, stamp)
  yield* applyRemovals(removals, stamp)
}

const copyOf = ({ contested, unapplied, ...applied }: Applied) => ({
  ...applied,
  contested: new Set(contested),
  unapplied: new Set(unapplied),
})

/** Not all of the rows that released their values went. */
class StillHeld extends Rollback {}

/**
 * Rows that need unique values of rows which are removed: these release them first, and go when nothing hangs on them any more. False where
 * there are none, or where they cannot; nothing is stored then.
 */
function* applyFreed(rows: readonly Candidate[], removals: readonly Candidate[], stamp: TransactionStamp): Transaction<boolean> {
  const log = removals[0]?.exchange.log
  const holders = new Map(removals.filter(r => r.state.version.value !== null).map(r => [changeOf(0)(r), r]))
  if (!log || !holders.size || !rows.length) return false
  const changes = [...holders.keys(), ...rows.map(changeOf(0))]
  const releases = releasesOf(changes, yield* readUniques(log.database, changes), change => holders.has(change))
  if (!releases.length) return false
  yield* stamp.take()
  return yield* savepoint(function* () {
    if (!(yield* releaseFirst(log, releases, changes))) return false
    yield* applyOrDefer(log, rows, stamp)
    yield* applyRemovals(removals, stamp)
    for (const { change } of releases) {
      const { applied, state } = holders.get(change) as Candidate
      if (applied.unapplied.has(state.id) || applied.contested.has(state.id)) throw new StillHeld()
    }
    return true
  }, 'sync_page')
}

const toRow = (candidate: Candidate & { value: WireRow }) => {
  const { exchange, state, value } = candidate
  return { collection: exchange.collection, id: state.id, value, old: state.version, candidate }
}
