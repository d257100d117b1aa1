// Takes rows from the server, in one transaction: each is stored, merged, or written into the journal, where it waits.

import { agreedSql, baseOf, isHeld, isInPush } from '../../changes/agreement.js'
import { forgetBases, forgetRejections, keepBases, readIdsOfBases } from '../../changes/baseVersions.js'
import type { ChangeLog } from '../../changes/changeLog.js'
import { type Collection, keyOf } from '../../changes/collection.js'
import { nameOf, readDependents } from '../../changes/dependents.js'
import { type Held, readHeld } from '../../changes/held.js'
import { addIgnored, forgetIgnored } from '../../changes/ignored.js'
import { type Change, releasesOf } from '../../changes/order.js'
import { isAnythingKnown, type RowState, readKinds, type UnappliedReason } from '../../changes/rowStates.js'
import { NEVER, readVersions } from '../../changes/rows.js'
import { hasOtherServers } from '../../changes/servers.js'
import { findOrphans, findOrphansAmong, insertNew, storeVersions } from '../../changes/store.js'
import { readUniques, releaseFirst, storeAcceptable, storeChanges } from '../../changes/storeChanges.js'
import { quote, Rollback, savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError, ValueError } from '../../errors.js'
import type { Update, WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean, readRowStates, siblingOf, type TransactionStamp } from '../exchange.js'
import { type Known, knownOf } from '../pull/undecided.js'
import { findContestedMoves } from '../push/moves.js'
import { pushWhatTriggersChanged } from '../push/triggers.js'
import { isSameRow, merge } from './merge.js'
import { readStatesOf, removeDependents, whyNotYet } from './removals.js'
import { forgetUnapplied, type ToDefer, writeUnapplied } from './unapplied.js'

export interface Applied {
  /** Rows that were stored as the server has them, removals included. */
  stored: number
  /** Rows in which changes of both sides were put together. */
  merged: number
  /** What waits for a decision. */
  readonly contested: Set<string>
  /** What waits for something else. */
  readonly unapplied: Set<string>
}

/** A row with both sides and what it is to be. */
export interface Resolved {
  /** Of its collection, where that is another one than that of the row which was decided. */
  readonly exchange?: Exchange
  readonly state: RowState
  readonly remote: WireRow | null
  readonly value: WireRow | null
}

interface Candidate extends Resolved {
  readonly exchange: Exchange
  readonly taken: Applied
}

/** Updates of one collection. */
export interface Part {
  readonly exchange: Exchange
  readonly updates: readonly Update[]
  /** What becomes of them. */
  readonly taken: Applied
}

export const nothingApplied = (): Applied => ({ stored: 0, merged: 0, contested: new Set(), unapplied: new Set() })

/** Takes updates of one collection. */
export function* applyRemoteRows(exchange: Exchange, updates: readonly Update[], stamp: TransactionStamp): Transaction<Applied> {
  const taken = nothingApplied()
  yield* applyTogether([{ exchange, updates, taken }], stamp)
  return taken
}

/**
 * Takes updates of several collections of one server, whose rows may need each other. Every decision of law 7 and 9 is made here. Rows before
 * removals: a child that moved to another parent does not go with the old one.
 */
export function* applyTogether(parts: readonly Part[], stamp: TransactionStamp): Transaction<void> {
  const rows: (Candidate & { value: WireRow })[] = []
  const removals: Candidate[] = []
  for (const part of parts) yield* decideRows(part, stamp, rows, removals)
  const [any] = parts
  if (!any) return
  const { log } = any.exchange
  const orphans = yield* findOrphansAmong(log.database, rows.map(toRow))
  const unapplied = new Map([...orphans].map(([{ candidate }, property]) => [candidate, property]))
  yield* deferForParents(unapplied)
  const applicable: (Candidate & { value: WireRow })[] = []
  for (const { exchange } of parts) {
    const placed = rows.filter(r => r.exchange === exchange && !unapplied.has(r))
    const moves = yield* findContestedMoves(exchange, placed)
    for (const row of placed) {
      if (moves.has(row.state.id)) yield* defer(exchange, row.taken, row.state, row.remote, 'cycle')
      else applicable.push(row)
    }
  }
  const before = parts.map(({ taken }) => copyOf(taken))
  try {
    if (yield* applyFreed(applicable, removals, stamp)) return
  } catch (error) {
    if (!(error instanceof StillHeld)) throw error
    for (const [i, { taken }] of parts.entries()) Object.assign(taken, before[i])
  }
  yield* applyOrDefer(log, applicable, stamp)
  yield* applyRemovals(removals, stamp)
}

const copyOf = ({ contested, unapplied, ...taken }: Applied) => ({ ...taken, contested: new Set(contested), unapplied: new Set(unapplied) })

function* decideRows(
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

/** Not all of those that let go of something went. */
class StillHeld extends Rollback {}

/**
 * Rows that take what others let go of as they are removed: these let go of it first, and go when nothing hangs on them any more. False where
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
      const { taken, state } = holders.get(change) as Candidate
      if (taken.unapplied.has(state.id) || taken.contested.has(state.id)) throw new StillHeld()
    }
    return true
  }, 'sync_page')
}

/**
 * Stores rows of which we know nothing that the server does not know, as most are, without reading them; what is left has to be looked at.
 * Not where somebody else has a word with them: another server, the journal, or a parent that may come along with them.
 */
function* applyUnread(exchange: Exchange, left: Map<string, Update>, taken: Applied, stamp: TransactionStamp): Transaction<void> {
  const { log, collection, server } = exchange
  const { columns, table, parents } = collection
  const { database } = log
  if (!database.updateRowsWhere || parents.some(r => r.parent === collection) || !columns.length || !left.size) return
  const { unapplied, rejected, ignored, baseVersions } = yield* readKinds(collection, server)
  if (unapplied || rejected || ignored || (yield* database.mayChange(table)) || (yield* hasOtherServers(collection, server.id))) return
  // of a row that was changed here the server's version is kept
  const changed = baseVersions ? yield* readIdsOfBases(database, collection, server, [...left.keys()]) : new Set()
  const whole = [...left.values()].filter(
    (u): u is Update & { value: WireRow } => u.value !== null && !changed.has(u.id) && isWhole(collection, u.id, u.value),
  )
  const orphans = yield* findOrphans(
    database,
    collection,
    whole.map(({ id, value }) => ({ id, value, old: NEVER })),
  )
  const updates = whole.filter(({ id }) => !orphans.has(id))
  if (!updates.length) return
  try {
    const counts = yield* stamp.savepoint(function* () {
      const now = yield* stamp.take()
      const rows = updates.map(({ id, value }) => [now, ...columns.map(c => c.fromWire(value[c.property] as never)), id])
      const agreed = agreedSql(server, quote(table.key))
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
class NothingChanged extends Rollback {}

const isWhole = ({ columns, rejectKey }: Collection, id: string, value: WireRow) =>
  rejectKey(id) === undefined && columns.every(c => Object.hasOwn(value, c.property))

/**
 * Inserts rows of a full answer to a database that knows none of them, as it usually is. False, and nothing is stored, where the database
 * knows one, or does not take one as it is: then each has to be looked at.
 */
export function* applyUnknown(
  { log, collection, server }: Exchange,
  updates: readonly Update[],
  stamp: TransactionStamp,
): Transaction<boolean> {
  if ((yield* isAnythingKnown(collection, server)) || (yield* log.database.mayChange(collection.table))) return false
  yield* stamp.take() // outside of the savepoint
  return (yield* insertNew(log.database, collection, updates, () => stamp.take())) !== undefined
}

/** Takes nothing: all of it waits for rows that it seems to need. */
export function* leaveRows(parts: readonly Part[]): Transaction<void> {
  const reason = 'parent-missing'
  for (const { exchange, updates, taken } of parts) {
    const latest = new Map([...updates].map(u => [u.id, u.value]))
    const states = [...(yield* readRowStates(exchange, [...latest.keys()])).values()]
    yield* deferAll(
      exchange,
      taken,
      states.map(state => ({ state, remote: latest.get(state.id) ?? null, reason })),
    )
  }
}

const isUnknown = ({ version, unapplied, rejection, baseVersions }: RowState) =>
  version.stamp === 0 && !unapplied && !rejection && baseVersions.length === 0

const toRow = (candidate: Candidate & { value: WireRow }) => {
  const { exchange, state, value } = candidate
  return { collection: exchange.collection, id: state.id, value, old: state.version, candidate }
}

const changeOf =
  (stamp: number) =>
  ({ exchange, state, value }: Candidate): Change => ({
    ...{ collection: exchange.collection, id: state.id, old: state.version, value },
    ...{ stamp, from: exchange.server },
  })

export const isAutomatic = (collection: Collection) => (property: string) => collection.column.get(property)?.automatic !== undefined

/**
 * What both sides know, with what follows from the removal of a parent: ON DELETE SET NULL is nobody's edit, so it contests none.
 */
export function* readCommonBases(
  exchange: Exchange,
  rows: readonly Pick<ToDefer, 'state' | 'remote'>[],
): Transaction<(id: string) => WireRow | null | undefined> {
  const { log, collection, server } = exchange
  const isKnown = ({ state, remote }: Pick<ToDefer, 'state' | 'remote'>) => remote !== null || !isEditOfIgnored(exchange, state)
  const bases = new Map(rows.map(row => [row.state.id, isKnown(row) ? baseOf(server, row.state) : undefined]))
  for (const { parent, parentColumn, property, onDelete } of collection.parents) {
    if (onDelete !== 'SET NULL' || !parent || parentColumn !== parent.table.key) continue
    const cleared = new Map<string, string>()
    for (const { state, remote } of rows) {
      const key = bases.get(state.id)?.[property]
      if (remote?.[property] === null && typeof key === 'string') cleared.set(state.id, key)
    }
    if (!cleared.size) continue
    const versions = yield* readVersions(log.database, parent, [...new Set(cleared.values())])
    for (const [id, key] of cleared) if (!versions.get(key)?.value) bases.set(id, { ...bases.get(id), [property]: null })
  }
  return id => bases.get(id)
}

/**
 * A removal there takes along values that were pushed and ignored, but no edit, and none that is contested: then both sides know no version
 * that has all of the row.
 */
const isEditOfIgnored = (exchange: Exchange, state: RowState) =>
  state.ignored.some(p => (state.version.value?.[p] ?? null) !== null) &&
  (state.unapplied?.reason === 'contested' || !isClean(exchange, state))

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

const ASKED: ReadonlySet<UnappliedReason> = new Set(['contested', 'children-changed', 'parent-removed', 'cycle'])

/** Law 7: what cannot be stored is in the journal before the cursor passes it. */
function* deferAll(exchange: Exchange, taken: Applied, rows: readonly ToDefer[]): Transaction<void> {
  yield* writeUnapplied(exchange, rows)
  for (const { state, reason } of rows) taken[ASKED.has(reason) ? 'contested' : 'unapplied'].add(state.id)
}

const defer = (exchange: Exchange, taken: Applied, state: RowState, remote: WireRow | null, reason: UnappliedReason) =>
  deferAll(exchange, taken, [{ state, remote, reason }])

// A child of a parent that was removed here is contested: whoever takes it takes the parent back. Otherwise the parent has not come yet. Given so
// that rows come after those which they need.
function* deferForParents(unapplied: ReadonlyMap<Candidate, string>): Transaction<void> {
  const rows = [...unapplied].map(([candidate, property]) => {
    const { exchange, state, value } = candidate
    const reference = exchange.collection.parents.find(r => r.property === property)
    const key = reference && keyOf(reference, state.id, value)
    const there = reference?.parent && siblingOf(exchange, reference.parent)
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
    const { exchange, taken, state, remote } = candidate
    const isRemovedHere = there && parent && (removed.has(nameOf(parent)) || wasRemovedHere(there, stateOf(parent)))
    if (isRemovedHere) removed.add(nameOf({ collection: exchange.collection, id: state.id }))
    const group = notes.get(taken) ?? { exchange, rows: [] }
    notes.set(taken, group)
    group.rows.push({ state, remote, reason: isRemovedHere ? 'parent-removed' : 'parent-missing' })
  }
  for (const [taken, { exchange, rows: some }] of notes) yield* deferAll(exchange, taken, some)
}

function wasRemovedHere(exchange: Exchange, state: RowState): boolean {
  if (state.version.value !== null) return false
  // or it hangs itself on one that was: nobody else would be asked about it
  return state.unapplied?.reason === 'parent-removed' || (state.version.stamp > 0 && !isClean(exchange, state))
}

/** Stores candidates; those that the database does not take wait. */
function* applyOrDefer(log: ChangeLog, candidates: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  if (candidates.some(c => !isApplied(c.exchange, c))) yield* stamp.take()
  yield* storeAcceptable(log.database, candidates, {
    change: changeOf(0),
    store: some => applyAllDecided(log, some, stamp),
    stored: count,
    fail: ({ exchange, taken, state, remote }, error) => defer(exchange, taken, state, remote, reasonOf(error)),
  })
}

/** Both sides are equal, and know it, but for the note that the row waits: nothing moves. */
const isApplied = (exchange: Exchange, { state, remote, value }: Resolved) =>
  isSameRow(value, remote) && isSameRow(state.version.value, remote) && isClean(exchange, { ...state, unapplied: undefined })

function reasonOf(error: ConstraintError | ValueError): UnappliedReason {
  if (error instanceof ValueError) return 'not-valid'
  return error.kind === 'unique' ? 'not-unique' : error.kind === 'foreign-key' ? 'parent-missing' : 'not-valid'
}

/**
 * Gives a row back the version that both sides last knew. While an open push carries another one, nobody knows which the server has: it is
 * stored as an edit, and told if the push counted.
 */
export function* restore(exchange: Exchange, state: RowState, remote: WireRow | null, stamp: TransactionStamp): Transaction<void> {
  const { log, collection, server } = exchange
  if (!isInPush(server, state)) yield* applyDecided(exchange, [{ state, remote, value: remote }], stamp)
  else yield* storeVersions(log, collection, [{ id: state.id, old: state.version, value: remote }], yield* log.database.tick())
}

/** Stores decided rows together. What is the server's is no local change for it; what has something of its own to tell gets a fresh stamp (law 6). */
export function applyDecided(exchange: Exchange, resolved: readonly Resolved[], stamp: TransactionStamp): Transaction<void> {
  const taken = nothingApplied()
  return applyAllDecided(
    exchange.log,
    resolved.map(d => ({ exchange, ...d, taken })),
    stamp,
  )
}

function* applyAllDecided(log: ChangeLog, resolved: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const { database } = log
  const remote = new Set<Candidate>()
  const ours = new Set<Candidate>()
  const groups = new Map<Exchange, Candidate[]>()
  for (const candidate of resolved) {
    const { exchange, remote: other, value } = candidate
    const group = groups.get(exchange)
    if (group) group.push(candidate)
    else groups.set(exchange, [candidate])
    if (!isSameRow(value, other)) ours.add(candidate)
    else if (!isApplied(exchange, candidate)) remote.add(candidate)
  }
  for (const [exchange, some] of groups) {
    const { collection, server } = exchange
    const applied = some.filter(c => c.state.baseVersions.length && isSameRow(c.value, c.remote) && isApplied(exchange, c))
    yield* forgetBases(
      database,
      collection,
      server,
      applied.map(c => c.state),
    )
    // what the server has said of a property, it has a column for
    const known = some.map(({ state: { id, ignored }, remote: row }) => ({
      id,
      properties: ignored.filter(p => !row || Object.hasOwn(row, p)),
    }))
    yield* forgetIgnored(database, server.id, known)
    yield* addIgnored(
      database,
      server.id,
      some.map(candidate => ({ id: candidate.state.id, properties: unknownThere(collection, candidate) })),
    )
    yield* forgetUnapplied(
      exchange,
      some.filter(c => c.state.unapplied).map(c => c.state.id),
    )
    yield* forgetRejections(
      database,
      collection,
      server,
      some.flatMap(({ state }) => (state.rejection ? [{ id: state.id, stamp: state.rejection.stamp }] : [])),
    )
  }
  if (!remote.size && !ours.size) return
  const agreed = yield* stamp.take()
  const fresh = ours.size ? yield* database.tick() : agreed
  yield* storeChanges(log, [...[...remote].map(changeOf(agreed)), ...[...ours].map(changeOf(fresh))])
  for (const [exchange, some] of groups) {
    const stored = some.filter(c => remote.has(c)).map(changeOf(agreed))
    if (stored.length) yield* pushWhatTriggersChanged(exchange, stored, agreed)
    const changed = some.filter(c => ours.has(c))
    const bases = changed.filter(c => !isUnheld(c)).map(c => ({ id: c.state.id, value: c.remote }))
    yield* keepBases(database, exchange.collection, exchange.server, bases, agreed)
    // without a base the whole row is pushed; an older one would leave out what only the server has changed
    const unheld = changed.filter(isUnheld).map(c => c.state)
    yield* forgetBases(database, exchange.collection, exchange.server, unheld)
  }
}

/** The tables here cannot hold what the server has: no base version can be made of it. */
const isUnheld = ({ state, remote }: Candidate) => remote !== null && state.unapplied?.reason === 'not-valid'

/** The properties of ours for which the server has no column, as its row shows, and of which it never heard. What has no value is not missed. */
function unknownThere({ columns }: Collection, { state, remote, value }: Candidate): string[] {
  if (!remote || !value) return []
  const ours = { ...state.version.value, ...value }
  return columns.map(c => c.property).filter(p => !Object.hasOwn(remote, p) && (ours[p] ?? null) !== null)
}

/** What becomes of candidates that are stored. */
function count(some: readonly Candidate[]): void {
  for (const candidate of some) {
    if (!isSameRow(candidate.value, candidate.remote)) candidate.taken.merged++
    else if (!isApplied(candidate.exchange, candidate)) candidate.taken.stored++
  }
}

// ---------------------------------------------------------------- removals

function* applyRemovals(removals: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const groups = new Map<Exchange, Candidate[]>()
  for (const removal of removals) {
    const group = groups.get(removal.exchange)
    if (group) group.push(removal)
    else groups.set(removal.exchange, [removal])
  }
  // children first: what the server's cascade has taken along is gone before the removal of its parent is looked at
  const order = ({ log, collection }: Exchange) => log.collections.indexOf(collection)
  const ordered = [...groups].sort(([x], [y]) => order(y) - order(x))
  for (const [exchange, some] of ordered) yield* removeReady(exchange, some, stamp)
}

function* removeReady(exchange: Exchange, removals: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const { log, collection } = exchange
  const present = removals.filter(r => r.state.version.value !== null)
  if (!collection.children.length || !present.length) return yield* applyOrDefer(log, removals, stamp)
  const ids = present.map(r => r.state.id)
  const why = yield* whyNotYet(exchange, ids)
  const ready: Candidate[] = []
  const unapplied: ToDefer[] = []
  for (const removal of removals) {
    const reason = why.get(nameOf({ collection, id: removal.state.id }))
    if (reason) unapplied.push({ ...removal, reason })
    else ready.push(removal)
  }
  yield* deferAll(exchange, (removals[0] as Candidate).taken, unapplied)
  yield* removeOrDefer(exchange, ready, stamp)
}

// Halves, for usually there is none that the database does not take, and seldom more than a few.
function* removeOrDefer(exchange: Exchange, removals: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const { log, collection } = exchange
  const [only] = removals
  if (!only) return
  yield* stamp.take()
  const ids = removals.map(r => r.state.id)
  try {
    yield* savepoint(function* () {
      yield* removeDependents(exchange, ids, yield* readDependents(log.database, collection, ids), stamp)
      // their own trees may have reached them
      const states = yield* readRowStates(exchange, ids)
      const fresh = removals.map(removal => ({ ...removal, state: states.get(removal.state.id) as RowState }))
      yield* applyDecided(exchange, fresh, stamp)
    })
    for (const { taken } of removals) taken.stored++
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    if (removals.length === 1) return yield* defer(exchange, only.taken, only.state, only.remote, 'children-exist')
    const middle = removals.length >> 1
    yield* removeOrDefer(exchange, removals.slice(0, middle), stamp)
    yield* removeOrDefer(exchange, removals.slice(middle), stamp)
  }
}
