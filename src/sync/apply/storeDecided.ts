// Stores rows about which it is decided, together with what is known of them.

import type { ChangeLog } from '../../changes/changeLog.js'
import type { Collection } from '../../changes/collections/collection.js'
import { groupBy } from '../../changes/collections/groupBy.js'
import { isInPush, isKeptApart } from '../../changes/servers/agreement.js'
import { forgetBases, forgetRejections, keepBases } from '../../changes/servers/baseVersions.js'
import { addIgnored, forgetIgnored } from '../../changes/servers/ignored.js'
import { forgetOthersNoAccess, forgetOwnNoAccess } from '../../changes/servers/noAccess.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { storeVersions } from '../../changes/store/store.js'
import { storeChanges } from '../../changes/store/storeChanges.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Exchange, TransactionStamp } from '../exchange.js'
import { pushWhatTriggersChanged } from '../push/triggers.js'
import { nothingApplied } from './applied.js'
import { type Candidate, changeOf, isApplied, type Resolved } from './candidates.js'
import { isSameRow } from './merge.js'
import { forgetUnapplied } from './unapplied.js'

/**
 * Gives a row back the version that both sides last knew. While an open push carries another one, it is not known which the server has: it is
 * stored as an edit, and pushed if the push counted.
 */
export function* restore(exchange: Exchange, state: RowState, remote: WireRow | null, stamp: TransactionStamp): Transaction<void> {
  const { log, collection, server } = exchange
  if (!isInPush(server, state)) yield* applyDecided(exchange, [{ state, remote, value: remote }], stamp)
  else yield* storeVersions(log, collection, [{ id: state.id, old: state.version, value: remote }], yield* log.database.tick())
}

/** Stores decided rows together. What is the server's is no local change for it; what differs from it gets a fresh stamp (docs/how-it-works.md, law 6). */
export function applyDecided(exchange: Exchange, resolved: readonly Resolved[], stamp: TransactionStamp): Transaction<void> {
  const applied = nothingApplied()
  return applyAllDecided(
    exchange.log,
    resolved.map(d => ({ exchange, ...d, applied })),
    stamp,
  )
}

export function* applyAllDecided(log: ChangeLog, resolved: readonly Candidate[], stamp: TransactionStamp): Transaction<void> {
  const { database } = log
  const groups = groupBy(resolved, candidate => candidate.exchange)
  for (const [exchange, some] of groups) yield* forgetWhatWasKnown(exchange, some)
  const ours = new Set(resolved.filter(c => !isSameRow(c.value, c.remote)))
  const remote = new Set(resolved.filter(c => !ours.has(c) && !isApplied(c.exchange, c)))
  if (remote.size || ours.size) yield* store(log, groups, remote, ours, stamp)
  // after the rows have new stamps: what is kept apart for another server was passed by its push, which may be under way and would count for it
  for (const [{ server }, some] of groups)
    yield* forgetOthersNoAccess(database, server, idsOf(some.filter(c => isApart(c) && c.value !== null)))
}

const idsOf = (candidates: readonly Candidate[]) => candidates.map(c => c.state.id)

const isApart = ({ state }: Candidate) => state.noAccess !== undefined || isKeptApart(state)

function* store(
  log: ChangeLog,
  groups: ReadonlyMap<Exchange, readonly Candidate[]>,
  remote: ReadonlySet<Candidate>,
  ours: ReadonlySet<Candidate>,
  stamp: TransactionStamp,
): Transaction<void> {
  const { database } = log
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

/** What was known of rows about which it is decided now. */
function* forgetWhatWasKnown(exchange: Exchange, some: readonly Candidate[]): Transaction<void> {
  const { log, collection, server } = exchange
  const { database } = log
  // what the server has said of a property, it has a column for
  const known = some.map(({ state: { id, ignored }, remote }) => ({
    id,
    properties: ignored.filter(p => !remote || Object.hasOwn(remote, p)),
  }))
  yield* forgetIgnored(database, server.id, known)
  const unknown = some.map(candidate => ({ id: candidate.state.id, properties: unknownThere(collection, candidate) }))
  yield* addIgnored(database, server.id, unknown)
  const deferred = some.filter(c => c.state.unapplied).map(c => c.state.id)
  yield* forgetUnapplied(exchange, deferred)
  yield* forgetOwnNoAccess(database, server, idsOf(some.filter(isApart)))
  const rejections = some.flatMap(({ state }) => (state.rejection ? [{ id: state.id, stamp: state.rejection.stamp }] : []))
  yield* forgetRejections(database, collection, server, rejections)
}

/** The tables here cannot hold what the server has: no base version can be made of it. */
const isUnheld = ({ state, remote }: Candidate) => remote !== null && state.unapplied?.reason === 'not-valid'

/** The properties of ours for which the server has no column, as its row shows, and of which it never heard. What has no value is not missed. */
function unknownThere({ columns }: Collection, { state, remote, value }: Candidate): string[] {
  if (!remote || !value) return []
  const ours = { ...state.version.value, ...value }
  return columns.map(c => c.property).filter(p => !Object.hasOwn(remote, p) && (ours[p] ?? null) !== null)
}
