import { keyOf, type Reference } from '../../changes/collections/collection.js'
import { nameOf } from '../../changes/rows/dependents.js'
import { baseOf, isKeptApart, localOf } from '../../changes/servers/agreement.js'
import type { RowState, UnappliedReason } from '../../changes/servers/rowStates.js'
import { readUniqueProperties } from '../../changes/store/uniques.js'
import { equalValues } from '../../databases/columns.js'
import type { Transaction } from '../../databases/database.js'
import { type ConstraintError, ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean, readRowStates, siblingOf } from '../exchange.js'
import type { Applied, Part } from './applied.js'
import type { Candidate } from './candidates.js'
import { readStatesOf } from './removals.js'
import { type ToDefer, writeUnapplied } from './unapplied.js'

const ASKED: ReadonlySet<UnappliedReason> = new Set(['contested', 'children-changed', 'parent-removed', 'cycle'])

/** Law 7: what cannot be stored is in the journal before the cursor passes it. */
export function* deferAll(exchange: Exchange, applied: Applied, rows: readonly ToDefer[]): Transaction<void> {
  const noted: ToDefer[] = []
  for (const row of rows) noted.push((yield* isTakenMeanwhile(exchange, row)) ? { ...row, reason: 'contested' } : row)
  yield* writeUnapplied(exchange, noted)
  for (const { state, reason } of noted) applied[ASKED.has(reason) ? 'contested' : 'unapplied'].add(state.id)
}

/** Our side is kept apart, where nobody can edit it, and has a unique value that another row has by now: the server's side may be stored all the same. */
function* isTakenMeanwhile({ log, collection }: Exchange, { state, remote, reason }: ToDefer): Transaction<boolean> {
  if (reason !== 'not-unique' || !remote || !isKeptApart(state)) return false
  const local = localOf(state)
  return (yield* readUniqueProperties(log.database, collection)).some(p => !equalValues(local?.[p], remote[p]))
}

export const defer = (exchange: Exchange, applied: Applied, state: RowState, remote: WireRow | null, reason: UnappliedReason) =>
  deferAll(exchange, applied, [{ state, remote, reason }])

/** Applies nothing: all of it is deferred, for rows that it seems to need. */
export function* leaveRows(parts: readonly Part[]): Transaction<void> {
  const reason = 'parent-missing'
  for (const { exchange, updates, applied } of parts) {
    const latest = new Map([...updates].map(u => [u.id, u.value]))
    const states = [...(yield* readRowStates(exchange, [...latest.keys()])).values()]
    yield* deferAll(
      exchange,
      applied,
      states.map(state => ({ state, remote: latest.get(state.id) ?? null, reason })),
    )
  }
}

// A child of a parent that was removed here is contested: to apply it is to restore the parent; a link waits, and goes with the removal. Otherwise the
// parent has not come yet. They are given in such an order that rows come after those which they need.
export function* deferForParents(unapplied: ReadonlyMap<Candidate, Reference>): Transaction<void> {
  const rows = [...unapplied].map(([candidate, reference]) => {
    const { exchange, state, value } = candidate
    const key = keyOf(reference, state.id, value)
    const there = reference.parent && siblingOf(exchange, reference.parent)
    return { candidate, there, parent: there && typeof key === 'string' ? { collection: there.collection, id: key } : undefined }
  })
  const [any] = rows
  if (!any) return
  const stateOf = yield* readStatesOf(
    any.candidate.exchange,
    rows.flatMap(({ parent }) => parent ?? []),
  )
  const removed = new Set<string>()
  const notes = new Map<Applied, { exchange: Exchange; rows: ToDefer[] }>()
  for (const { candidate, there, parent } of rows) {
    const { exchange, applied, state, remote } = candidate
    const isRemovedHere = there && parent && (removed.has(nameOf(parent)) || wasRemovedHere(there, stateOf(parent)))
    if (isRemovedHere) removed.add(nameOf({ collection: exchange.collection, id: state.id }))
    const group = notes.get(applied) ?? { exchange, rows: [] }
    notes.set(applied, group)
    group.rows.push({ state, remote, reason: isRemovedHere && !exchange.collection.isLink ? 'parent-removed' : 'parent-missing' })
  }
  for (const [applied, { exchange, rows: some }] of notes) yield* deferAll(exchange, applied, some)
}

function wasRemovedHere(exchange: Exchange, state: RowState): boolean {
  if (state.version.value !== null) return false
  // it needs itself one that was: no other conflict asks about it
  if (state.unapplied?.reason === 'parent-removed') return true
  // what was only ever here, under the id of one that is not seen, is not to be restored
  return state.version.stamp > 0 && !isClean(exchange, state) && !isNotSeen(exchange, state)
}

/**
 * It has not come, or not since the server was reset, or has left, perhaps to be here for another server's sake: nothing of it waits for a word here. Where
 * the user sees all rows of its collection, it is nowhere.
 */
export function isNotSeen(exchange: Exchange, state: RowState): boolean {
  const { version, unapplied } = state
  if (!exchange.server.isPart) return false
  return version.stamp === 0 || isClean(exchange, state) || (!unapplied && !baseOf(exchange.server, state))
}

export function reasonOf(error: ConstraintError | ValueError): UnappliedReason {
  if (error instanceof ValueError) return 'not-valid'
  return error.kind === 'unique' ? 'not-unique' : error.kind === 'foreign-key' ? 'parent-missing' : 'not-valid'
}
