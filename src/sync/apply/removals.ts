// What a removal removes with it on this side: whether it may, and how. Each function reads and writes sets of rows, however many there are.

import { type Collection, keyOf, noneOf } from '../../changes/collections/collection.js'
import { byCollection } from '../../changes/collections/groupBy.js'
import { type Dependent, type Dependents, type Link, nameOf, reaching, readDependents } from '../../changes/rows/dependents.js'
import { baseOf, isInPush } from '../../changes/servers/agreement.js'
import { forgetRejections } from '../../changes/servers/baseVersions.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Change } from '../../changes/store/change.js'
import { storeChanges } from '../../changes/store/storeChanges.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean, readRowStates, siblingOf, type TransactionStamp } from '../exchange.js'
import { readUnpushedElsewhere } from '../push/unpushed.js'

/** Why a removal cannot be stored yet. */
export type Obstacle = 'children-changed' | 'children-exist'

/** Reads the states of rows of several collections; those that this server does not sync have no more than their version. */
export function* readStatesOf(exchange: Exchange, rows: readonly Dependent[]): Transaction<(row: Dependent) => RowState> {
  const ids = new Map<Collection, Set<string>>()
  for (const { collection, id } of rows) {
    const some = ids.get(collection)
    if (some) some.add(id)
    else ids.set(collection, new Set([id]))
  }
  const states = new Map<Collection, Map<string, RowState>>()
  for (const [collection, some] of ids)
    states.set(collection, yield* readRowStates(siblingOf(exchange, collection) ?? { ...exchange, collection }, [...some]))
  return ({ collection, id }) => states.get(collection)?.get(id) as RowState
}

const parentOf = ({ parent }: Pick<Link, 'parent'>) => parent

/** Law 9: a removal speaks for what the remover saw. Why the removals of these rows cannot be stored yet, by the names of the rows. */
export function* whyNotYet(exchange: Exchange, ids: readonly string[]): Transaction<Map<string, Obstacle>> {
  // what is deferred for a row is deferred, whatever hangs below that: a chain that is removed in many transactions is not walked to its end in each
  const descend = function* (level: readonly Dependent[]) {
    const early = new Set((yield* readEarly(exchange, level)).map(nameOf))
    return level.filter(row => !early.has(nameOf(row)))
  }
  const dependents = yield* readDependents(exchange.log.database, exchange.collection, ids, { descend })
  const { removed, cleared, forbidding, blocked } = dependents
  // a link goes along, changed or not: it says nothing without the row
  const rows = removed.filter(row => !row.collection.isLink)
  const stateOf = yield* readStatesOf(exchange, [...rows, ...cleared, ...forbidding])
  const elsewhere = yield* readUnpushedElsewhere(exchange, [...rows, ...forbidding])
  const isChanged = (row: Dependent) => {
    const there = siblingOf(exchange, row.collection)
    return there ? !isClean(there, stateOf(row)) : elsewhere.has(nameOf(row))
  }
  const isMoved = (row: Dependent & Link) => {
    const there = siblingOf(exchange, row.collection)
    return there !== undefined && keyOf(row.reference, row.id, baseOf(there.server, stateOf(row))) !== row.key
  }
  const changed = [
    ...rows.filter(isChanged),
    ...forbidding.filter(isChanged).map(parentOf),
    ...cleared.filter(row => isChanged(row) && isMoved(row)).map(parentOf),
  ]
  const existing = [...forbidding.map(parentOf), ...blocked, ...(yield* readEarly(exchange, rows))]
  const why = new Map<string, Obstacle>()
  for (const name of reaching(dependents, existing)) why.set(name, 'children-exist')
  for (const name of reaching(dependents, changed)) why.set(name, 'children-changed')
  return why
}

/**
 * Our children may be older than the removal of their parent: one that had moved away there would go with all that hangs on it, which no
 * answer brings again. So the removal waits for those that the server's cascade made; a server of 2011 need not send them. Gives those that it waits for.
 */
export function* readEarly(exchange: Exchange, children: readonly Dependent[]): Transaction<Dependent[]> {
  if (exchange.server.serverHistory === null || !children.length) return []
  const stateOf = yield* readStatesOf(exchange, children)
  return children.filter(row => {
    const there = siblingOf(exchange, row.collection)
    const state = stateOf(row)
    return there !== undefined && isClean(there, state) && state.unapplied?.remote !== null
  })
}

/**
 * Removes what hangs on rows that go. What the server's own cascade has done as well is no local change for it; a row that it has under another parent
 * was not reached by that.
 */
export function* removeDependents(
  exchange: Exchange,
  ids: readonly string[],
  { removed, cleared }: Pick<Dependents, 'removed' | 'cleared'>,
  stamp: TransactionStamp,
): Transaction<void> {
  if (!removed.length && !cleared.length) return
  const { log } = exchange
  const stateOf = yield* readStatesOf(exchange, [...removed, ...cleared])
  const staying = new Set<string>()
  // parents first: what hangs on a row that stays there stays as well
  for (const row of [...removed].reverse()) {
    const there = siblingOf(exchange, row.collection)
    const state = stateOf(row)
    const base = there && baseOf(there.server, state)
    // by its own key a row is always under the same one
    const isTaken = ({ reference, key, parent }: Link) =>
      (reference.isOwnKey || keyOf(reference, row.id, base) === key) && !staying.has(nameOf(parent))
    // of what its cascade has removed our server says so: a row may be under another parent of that id, which the user does not see
    const isHeard = !there?.server.serverHistory || row.collection.isLink || state.unapplied !== undefined
    if (!there || base === undefined || (base && !(isHeard && row.by.some(isTaken)))) staying.add(nameOf(row))
  }
  const values = new Map<string, { row: Dependent; value: WireRow | null; isLocalChange: boolean }>()
  for (const { reference, ...row } of cleared) {
    const there = siblingOf(exchange, row.collection)
    const value = { ...values.get(nameOf(row))?.value, ...noneOf(reference) }
    values.set(nameOf(row), { row, value, isLocalChange: !there || !isClean(there, stateOf(row)) })
  }
  for (const row of removed) {
    const there = siblingOf(exchange, row.collection)
    const isLocalChange = staying.has(nameOf(row)) || (there !== undefined && isInPush(there.server, stateOf(row)))
    values.set(nameOf(row), { row, value: null, isLocalChange })
  }
  const all = [...values.values()]
  const agreed = all.some(({ isLocalChange }) => !isLocalChange) ? yield* stamp.take() : 0
  const newStamp = all.some(({ isLocalChange }) => isLocalChange) ? yield* log.database.tick() : 0
  const changes = all.map(({ row: { collection, id }, value, isLocalChange }): Change => {
    const from = isLocalChange ? undefined : siblingOf(exchange, collection)?.server
    return { collection, id, old: stateOf({ collection, id }).version, value, stamp: isLocalChange ? newStamp : agreed, from }
  })
  const freed = yield* freeFromCircles(exchange, ids, removed)
  // what stays there hangs below what does not
  yield* storeChanges(log, [...freed, ...changes.filter(c => c.stamp === newStamp), ...changes.filter(c => c.stamp !== newStamp)])
  yield* forgetRejectionsOf(
    exchange,
    all.filter(({ isLocalChange }) => !isLocalChange).map(({ row }) => row),
    stateOf,
  )
}

/** Of rows that have gone there as well, or lost the same parent. */
function* forgetRejectionsOf(exchange: Exchange, rows: readonly Dependent[], stateOf: (row: Dependent) => RowState): Transaction<void> {
  for (const [collection, some] of byCollection(rows)) {
    const there = siblingOf(exchange, collection)
    const rejections = some.flatMap(({ id }) => {
      const { rejection } = stateOf({ collection, id })
      return rejection ? [{ id, stamp: rejection.stamp }] : []
    })
    if (there && rejections.length) yield* forgetRejections(exchange.log.database, collection, there.server, rejections)
  }
}

/** A row that hangs on what hangs on it would go by the database's own cascade, unseen: it lets go before, and goes afterwards. */
function* freeFromCircles(exchange: Exchange, ids: readonly string[], removed: readonly Dependent[]): Transaction<Change[]> {
  const { collection } = exchange
  const references = collection.parents.filter(r => r.parent && r.nullable.length)
  if (!references.length) return []
  const going = new Set(removed.map(nameOf))
  const freed: Change[] = []
  for (const { id, version } of (yield* readRowStates(exchange, ids)).values()) {
    const value: WireRow = {}
    for (const reference of references) {
      const { parent } = reference
      const key = keyOf(reference, id, version.value)
      if (parent && typeof key === 'string' && going.has(nameOf({ collection: parent, id: key }))) Object.assign(value, noneOf(reference))
    }
    if (Object.keys(value).length) freed.push({ collection, id, old: version, value, stamp: version.stamp })
  }
  return freed
}
