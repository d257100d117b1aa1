// Takes rows from the server, in one step: each is stored, merged, or written into the journal, where it waits.

import { type Collection, keyOf } from '../changes/collection.js'
import { attempt, quote, type Step, Undo } from '../changes/database/database.js'
import { nameOf, readDependents } from '../changes/dependents.js'
import { forgetIgnored } from '../changes/ignored.js'
import {
  agreedSql,
  baseOf,
  forgetImages,
  forgetRejections,
  hasOtherRemotes,
  isAnythingKnown,
  isHeld,
  isInPush,
  keepImages,
  type RowState,
  readKinds,
  type WaitingReason,
} from '../changes/remotes.js'
import { NEVER, readVersions } from '../changes/rows.js'
import { attemptOrPark, findOrphans, insertNew, storeVersions, type Write } from '../changes/store.js'
import { ConstraintError, ValueError } from '../errors.js'
import type { Update, WireRow } from '../protocol/messages.js'
import { type Exchange, isClean, readRowStates, type StepStamp, siblingOf } from './exchange.js'
import { isSameRow, merge } from './merge.js'
import { findContestedMoves } from './moves.js'
import { removeDependents, whyNotYet } from './removals.js'
import { tellWhatTriggersChanged } from './triggers.js'
import { type Known, knownOf } from './undecided.js'
import { forgetWaiting, type ToWait, writeWaiting } from './waiting.js'

export interface Taken {
  /** Rows that were stored as the server has them, removals included. */
  stored: number
  /** Rows in which changes of both sides were put together. */
  merged: number
  /** What waits for a decision. */
  readonly contested: Set<string>
  /** What waits for something else. */
  readonly waiting: Set<string>
}

/** A row with both sides and what they have in common. */
export interface Candidate {
  readonly state: RowState
  readonly theirs: WireRow | null
  readonly value: WireRow | null
}

export const nothingTaken = (): Taken => ({ stored: 0, merged: 0, contested: new Set(), waiting: new Set() })

/** Every decision of law 7 and 9 is made here. Rows before removals: a child that moved to another parent does not go with the old one. */
export function* takeRows(exchange: Exchange, updates: Iterable<Update>, stamp: StepStamp): Step<Taken> {
  const { log, collection } = exchange
  const taken = nothingTaken()
  const latest = new Map<string, Update>()
  for (const update of updates) latest.set(update.id, update)
  yield* log.database.deferConstraints()
  yield* takeUnread(exchange, latest, taken, stamp)
  const states = yield* readRowStates(exchange, [...latest.keys()])

  const rows: (Candidate & { value: WireRow })[] = []
  const removals: Candidate[] = []
  const contested: ToWait[] = []
  for (const { id, value: given } of latest.values()) {
    const state = states.get(id) as RowState
    const base = baseOf(exchange.remote, state)
    let theirs: WireRow | null
    try {
      theirs = given === null ? null : normalise(collection, id, given, base, state)
    } catch (error) {
      if (!(error instanceof ValueError)) throw error
      yield* wait(exchange, taken, state, given, 'not-valid')
      continue
    }
    // made there, and never heard of here
    if (theirs !== null && isUnknown(state)) {
      rows.push({ state, theirs, value: theirs })
      continue
    }
    // we know nothing that the server does not know, and removed nothing that it could hang on
    const isWhole = !collection.parents.length && !state.ignored.length
    if (theirs !== null && state.version.value !== null && isWhole && isClean(exchange, state) && !isHeld(state)) {
      rows.push({ state, theirs, value: theirs })
      continue
    }
    const { remote } = exchange
    // a server without a collection id is asked from a little before: what it says once more says nothing
    if (remote.serverCollection === null && !state.waiting && base !== undefined && isSameRow(theirs, base)) continue
    let known: Known = { base: yield* readCommonBase(exchange, state, theirs), isShown: false }
    if (remote.serverCollection === null) known = knownOf(exchange, state, known.base, theirs)
    const { value, isContested } = merge(known.base, state.version.value, theirs, isAutomatic(collection))
    if (isContested) {
      if (known.base && known.isShown) yield* keepImages(log.database, collection, remote, [{ id, value: known.base }], yield* stamp.take())
      contested.push({ state, theirs, reason: 'contested' })
    } else if (value !== null) rows.push({ state, theirs, value })
    else removals.push({ state, theirs, value })
  }

  yield* waitAll(exchange, taken, contested)
  const orphans = yield* findOrphans(log.database, collection, rows.map(toRow))
  for (const row of rows) if (orphans.has(row.state.id)) yield* waitForParent(exchange, taken, row, orphans.get(row.state.id) as string)
  const placed = rows.filter(r => !orphans.has(r.state.id))
  const moves = yield* findContestedMoves(exchange, placed)
  for (const { state, theirs } of placed) if (moves.has(state.id)) yield* wait(exchange, taken, state, theirs, 'cycle')
  yield* settleOrWait(
    exchange,
    taken,
    placed.filter(r => !moves.has(r.state.id)),
    stamp,
  )
  yield* takeRemovals(exchange, taken, removals, stamp)
  return taken
}

/**
 * Stores rows of which we know nothing that the server does not know, as most are, without reading them; what is left has to be looked at.
 * Not where somebody else has a word with them: another server, the journal, or a parent that may come along with them.
 */
function* takeUnread(exchange: Exchange, left: Map<string, Update>, taken: Taken, stamp: StepStamp): Step<void> {
  const { log, collection, remote } = exchange
  const { columns, table, parents } = collection
  const { database } = log
  if (!database.updateRowsWhere || parents.some(r => r.parent === collection) || !columns.length || !left.size) return
  const { waiting, refused, ignored } = yield* readKinds(collection, remote)
  if (waiting || refused || ignored || (yield* database.mayChange(table)) || (yield* hasOtherRemotes(collection, remote.id))) return
  const whole = [...left.values()].filter((u): u is Update & { value: WireRow } => u.value !== null && isWhole(collection, u.id, u.value))
  const orphans = yield* findOrphans(
    database,
    collection,
    whole.map(({ id, value }) => ({ id, value, old: NEVER })),
  )
  const updates = whole.filter(({ id }) => !orphans.has(id))
  if (!updates.length) return
  try {
    const counts = yield* stamp.attempt(function* () {
      const now = yield* stamp.take()
      const rows = updates.map(({ id, value }) => [now, ...columns.map(c => c.fromWire(value[c.property] as never)), id])
      const agreed = agreedSql(remote, quote(table.key))
      const changed = yield* database.updateRowsWhere!(table.name, ['_lastChange', ...columns], table.key, agreed, rows)
      if (changed.every(count => count === 0)) throw new NothingChanged()
      return changed
    })
    for (const [i, { id }] of updates.entries()) if (counts[i] && left.delete(id)) taken.stored++
  } catch (error) {
    // or one of them cannot be stored: which, is found by looking
    if (!(error instanceof NothingChanged || error instanceof ValueError || error instanceof ConstraintError)) throw error
  }
}

/** A stamp that nothing has would move the clock, and clients would fetch what they know. */
class NothingChanged extends Undo {}

const isWhole = ({ columns, refuseKey }: Collection, id: string, value: WireRow) =>
  refuseKey(id) === undefined && columns.every(c => Object.hasOwn(value, c.property))

/**
 * Inserts rows of a full answer to a database that knows none of them, as it usually is. False, and nothing is stored, where the database
 * knows one, or does not take one as it is: then each has to be looked at.
 */
export function* takeUnknown({ log, collection, remote }: Exchange, updates: readonly Update[], stamp: StepStamp): Step<boolean> {
  if ((yield* isAnythingKnown(collection, remote)) || (yield* log.database.mayChange(collection.table))) return false
  yield* stamp.take() // outside of the attempt
  return (yield* insertNew(log.database, collection, updates, () => stamp.take())) !== undefined
}

/** Takes nothing: all of it waits for rows that it seems to need. */
export function* leaveRows(exchange: Exchange, updates: Iterable<Update>): Step<Taken> {
  const taken = nothingTaken()
  const latest = new Map([...updates].map(u => [u.id, u.value]))
  const states = [...(yield* readRowStates(exchange, [...latest.keys()])).values()]
  const reason = 'parent-missing'
  yield* waitAll(
    exchange,
    taken,
    states.map(state => ({ state, theirs: latest.get(state.id) ?? null, reason })),
  )
  return taken
}

const isUnknown = ({ version, waiting, rejection, images }: RowState) =>
  version.stamp === 0 && !waiting && !rejection && images.length === 0

const toWrite = ({ state, value }: Candidate) => ({ id: state.id, value, old: state.version })

const toRow = ({ state, value }: Candidate & { value: WireRow }) => ({ id: state.id, value, old: state.version })

export const isAutomatic = (collection: Collection) => (property: string) => collection.column.get(property)?.automatic !== undefined

/**
 * What both sides know, with what follows from the removal of a parent: ON DELETE SET NULL is nobody's edit, so it contests none.
 */
export function* readCommonBase(
  { log, collection, remote }: Exchange,
  state: RowState,
  theirs: WireRow | null,
): Step<WireRow | null | undefined> {
  let base = baseOf(remote, state)
  for (const { parent, parentColumn, property, onDelete } of collection.parents) {
    const key = base?.[property]
    if (onDelete !== 'SET NULL' || theirs?.[property] !== null || typeof key !== 'string' || parentColumn !== parent?.table.key) continue
    if (!(yield* readVersions(log.database, parent, [key])).get(key)?.value) base = { ...base, [property]: null }
  }
  return base
}

/** The server's row as this database would hold it. Where it lacks a property, an older schema says nothing about it. Throws ValueError. */
export function normalise(
  collection: Collection,
  id: string,
  given: WireRow,
  base: WireRow | null | undefined,
  { version: { value: mine }, ignored }: RowState,
): WireRow {
  const refusal = collection.refuseKey(id)
  if (refusal) throw new ValueError(collection.entity, collection.keyProperty, refusal)
  const value: WireRow = {}
  for (const column of collection.columns) {
    const { property } = column
    if (Object.hasOwn(given, property)) value[property] = column.toWire(column.fromWire(given[property] as never))
    else if (base && Object.hasOwn(base, property)) value[property] = base[property] as never
    else if (mine && Object.hasOwn(mine, property) && !ignored.includes(property)) value[property] = mine[property] as never
  }
  return value
}

const ASKED: ReadonlySet<WaitingReason> = new Set(['contested', 'children-changed', 'parent-removed', 'cycle'])

/** Law 7: what cannot be stored is in the journal before the cursor passes it. */
function* waitAll(exchange: Exchange, taken: Taken, rows: readonly ToWait[]): Step<void> {
  yield* writeWaiting(exchange, rows)
  for (const { state, reason } of rows) taken[ASKED.has(reason) ? 'contested' : 'waiting'].add(state.id)
}

const wait = (exchange: Exchange, taken: Taken, state: RowState, theirs: WireRow | null, reason: WaitingReason) =>
  waitAll(exchange, taken, [{ state, theirs, reason }])

// A child of a parent that was removed here is contested: whoever takes it takes the parent back. Otherwise the parent has not come yet.
function* waitForParent(exchange: Exchange, taken: Taken, { state, theirs, value }: Candidate, property: string): Step<void> {
  const reference = exchange.collection.parents.find(r => r.property === property)
  const there = reference?.parent && siblingOf(exchange, reference.parent)
  const key = reference && keyOf(reference, state.id, value)
  const isRemovedHere = there !== undefined && typeof key === 'string' && (yield* wasRemovedHere(there, key))
  yield* wait(exchange, taken, state, theirs, isRemovedHere ? 'parent-removed' : 'parent-missing')
}

function* wasRemovedHere(exchange: Exchange, id: string): Step<boolean> {
  const state = (yield* readRowStates(exchange, [id])).get(id) as RowState
  if (state.version.value !== null) return false
  // or it hangs itself on one that was: nobody else would be asked about it
  return state.waiting?.reason === 'parent-removed' || (state.version.stamp > 0 && !isClean(exchange, state))
}

/** Stores candidates; those that the database does not take wait. Halves, for usually there is none of them, and seldom more than a few. */
function* settleOrWait(exchange: Exchange, taken: Taken, candidates: readonly Candidate[], stamp: StepStamp): Step<void> {
  if (!candidates.length) return
  if (candidates.some(c => !isSettled(exchange, c))) yield* stamp.take()
  try {
    const counts = yield* attemptOrPark(exchange.log, exchange.collection, candidates.map(toWrite), exchange.remote, isKept =>
      settle(exchange, candidates, stamp, isKept),
    )
    taken.stored += counts.stored
    taken.merged += counts.merged
  } catch (error) {
    const reason = reasonOf(error)
    if (!reason) throw error
    const [only] = candidates
    if (candidates.length === 1 && only) return yield* wait(exchange, taken, only.state, only.theirs, reason)
    const middle = candidates.length >> 1
    yield* settleOrWait(exchange, taken, candidates.slice(0, middle), stamp)
    yield* settleOrWait(exchange, taken, candidates.slice(middle), stamp)
  }
}

/** Both sides are equal, and know it, but for the note that the row waits: nothing moves. */
const isSettled = (exchange: Exchange, { state, theirs, value }: Candidate) =>
  isSameRow(value, theirs) && isSameRow(state.version.value, theirs) && isClean(exchange, { ...state, waiting: undefined })

function reasonOf(error: unknown): WaitingReason | undefined {
  if (error instanceof ValueError) return 'not-valid'
  if (!(error instanceof ConstraintError)) return
  return error.kind === 'unique' ? 'not-unique' : error.kind === 'foreign-key' ? 'parent-missing' : 'not-valid'
}

/**
 * Gives a row back the version that both sides last knew. While an open push carries another one, nobody knows which the server has: it is
 * stored as an edit, and told if the push counted.
 */
export function* restore(exchange: Exchange, state: RowState, theirs: WireRow | null, stamp: StepStamp): Step<void> {
  const { log, collection, remote } = exchange
  if (!isInPush(remote, state)) yield* settle(exchange, [{ state, theirs, value: theirs }], stamp)
  else yield* storeVersions(log, collection, [{ id: state.id, old: state.version, value: theirs }], yield* log.database.tick())
}

/** Stores decided rows. What is the server's is no news for it; what has something of its own to tell gets a fresh stamp (law 6). */
export function* settle(
  exchange: Exchange,
  decided: readonly Candidate[],
  stamp: StepStamp,
  isKept = false,
): Step<{ stored: number; merged: number }> {
  const { log, collection, remote } = exchange
  const theirs: Write[] = []
  const ours: { write: Write; theirs: WireRow | null }[] = []
  const settled: RowState[] = []
  for (const { state, theirs: other, value } of decided) {
    const write = { id: state.id, old: state.version, value }
    if (!isSameRow(value, other)) ours.push({ write, theirs: other })
    else if (!isSettled(exchange, { state, theirs: other, value })) theirs.push(write)
    else if (state.images.length) settled.push(state)
  }
  yield* forgetImages(log.database, collection, remote, settled)
  // what the server has said of a property, it has a column for
  const known = decided.map(({ state: { id, ignored }, theirs: row }) => ({
    id,
    properties: ignored.filter(p => !row || Object.hasOwn(row, p)),
  }))
  yield* forgetIgnored(log.database, remote.id, known)
  yield* forgetWaiting(
    exchange,
    decided.filter(d => d.state.waiting).map(d => d.state.id),
  )
  yield* forgetRejections(
    log.database,
    collection,
    remote,
    decided.flatMap(({ state }) => (state.rejection ? [{ id: state.id, stamp: state.rejection.stamp }] : [])),
  )
  if (theirs.length) {
    const under = yield* stamp.take()
    yield* storeVersions(log, collection, theirs, under, remote, isKept)
    yield* tellWhatTriggersChanged(exchange, theirs, under)
  }
  if (ours.length) {
    const agreed = yield* stamp.take()
    yield* storeVersions(
      log,
      collection,
      ours.map(o => o.write),
      yield* log.database.tick(),
      remote,
      isKept,
    )
    yield* keepImages(
      log.database,
      collection,
      remote,
      ours.map(o => ({ id: o.write.id, value: o.theirs })),
      agreed,
    )
  }
  return { stored: theirs.length, merged: ours.length }
}

// ---------------------------------------------------------------- removals

function* takeRemovals(exchange: Exchange, taken: Taken, removals: readonly Candidate[], stamp: StepStamp): Step<void> {
  const { log, collection } = exchange
  const present = removals.filter(r => r.state.version.value !== null)
  if (!collection.children.length || !present.length) return yield* settleOrWait(exchange, taken, removals, stamp)
  const ids = present.map(r => r.state.id)
  const why = yield* whyNotYet(exchange, yield* readDependents(log.database, collection, ids))
  const ready: Candidate[] = []
  const waiting: ToWait[] = []
  for (const removal of removals) {
    const reason = why.get(nameOf({ collection, id: removal.state.id }))
    if (reason) waiting.push({ ...removal, reason })
    else ready.push(removal)
  }
  yield* waitAll(exchange, taken, waiting)
  yield* removeOrWait(exchange, taken, ready, stamp)
}

// Halves, for usually there is none that the database does not take, and seldom more than a few.
function* removeOrWait(exchange: Exchange, taken: Taken, removals: readonly Candidate[], stamp: StepStamp): Step<void> {
  const { log, collection } = exchange
  const [only] = removals
  if (!only) return
  yield* stamp.take()
  const ids = removals.map(r => r.state.id)
  try {
    yield* attempt(function* () {
      yield* removeDependents(exchange, yield* readDependents(log.database, collection, ids), stamp)
      // their own trees may have reached them
      const states = yield* readRowStates(exchange, ids)
      const fresh = removals.map(removal => ({ ...removal, state: states.get(removal.state.id) as RowState }))
      yield* settle(exchange, fresh, stamp)
    })
    taken.stored += removals.length
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    if (removals.length === 1) return yield* wait(exchange, taken, only.state, only.theirs, 'children-exist')
    const middle = removals.length >> 1
    yield* removeOrWait(exchange, taken, removals.slice(0, middle), stamp)
    yield* removeOrWait(exchange, taken, removals.slice(middle), stamp)
  }
}
