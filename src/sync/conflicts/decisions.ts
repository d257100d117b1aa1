// Stores what a conflict handler has decided.

import { keyOf } from '../../changes/collections/collection.js'
import { readDependents } from '../../changes/rows/dependents.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError, ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Resolved } from '../apply/candidates.js'
import { NO_FAMILY, readFamilies } from '../apply/families.js'
import { readEarly, readStatesOf, removeDependents } from '../apply/removals.js'
import { applyDecided } from '../apply/storeDecided.js'
import { readUnappliedChildren } from '../apply/unapplied.js'
import { type Exchange, readRowStates, type TransactionStamp } from '../exchange.js'
import { discardMoves } from '../push/moves.js'
import { readUnpushed, writeUnpushed } from '../push/unpushed.js'
import type { Contested } from './contested.js'
import { decideForLater } from './decideForLater.js'
import { writeResolution } from './resolutions.js'
import { restoreParents } from './restoreParents.js'

export interface Decision {
  readonly contested: Contested
  /** null: the row is to be removed. */
  readonly value: WireRow | null
}

export function childrenFirst({ collection }: Exchange, resolved: readonly Decision[]): Decision[] {
  const own = collection.parents.filter(r => r.parent === collection)
  if (!own.length) return [...resolved]
  const byId = new Map(resolved.map(d => [d.contested.id, d]))
  const parentsOf = ({ contested, value }: Decision) =>
    own.flatMap(r => byId.get(String(keyOf(r, contested.id, value ?? contested.local ?? contested.remote))) ?? [])
  // parents before children, reversed; rows that need each other come in any order
  const ordered = new Set<Decision>()
  const entered = new Set<Decision>()
  for (const decision of resolved) {
    for (let path = [decision]; path.length; ) {
      const last = path.at(-1) as Decision
      const parents = entered.has(last) ? [] : parentsOf(last).filter(parent => !entered.has(parent))
      entered.add(last)
      if (parents.length) path.push(...parents)
      else ordered.add(path.pop() as Decision)
    }
  }
  return [...ordered].reverse()
}

/** Stores decisions together, or none of them: false where the database does not accept them as they are. */
export function* applyDecisions(
  exchange: Exchange,
  resolved: readonly Decision[],
  url: string,
  stamp: TransactionStamp,
): Transaction<boolean> {
  try {
    yield* savepoint(function* () {
      const ready: Decision[] = []
      const toStore = new Map<string, Resolved>()
      for (const decision of resolved) {
        const parents = yield* prepareDecision(exchange, decision, url, stamp)
        if (!parents) continue
        ready.push(decision)
        for (const parent of parents) toStore.set(nameOf(exchange, parent), parent)
      }
      // what one of them took along may be another
      const states = yield* readRowStates(
        exchange,
        ready.map(d => d.contested.id),
      )
      const stored = ready.filter(d => isStillContested(states.get(d.contested.id) as RowState, d.contested))
      for (const { contested, value } of stored) {
        const resolved = { state: states.get(contested.id) as RowState, remote: contested.remote, value }
        toStore.set(nameOf(exchange, resolved), resolved)
      }
      yield* applyDecided(exchange, [...toStore.values()], stamp)
      for (const { contested, value } of stored) yield* writeDecision(exchange, url, contested, value)
    })
    return true
  } catch (error) {
    if (!(error instanceof ConstraintError || error instanceof ValueError)) throw error
    return false
  }
}

/** Rows that exchange their unique values are stored together, or not at all; what is left stays a conflict. */
export function* applyInHalves(exchange: Exchange, resolved: readonly Decision[], url: string, stamp: TransactionStamp): Transaction<void> {
  if (resolved.length < 2 || (yield* applyDecisions(exchange, resolved, url, stamp))) return
  const middle = resolved.length >> 1
  yield* applyInHalves(exchange, resolved.slice(0, middle), url, stamp)
  yield* applyInHalves(exchange, resolved.slice(middle), url, stamp)
}

const writeDecision = (exchange: Exchange, url: string, { id, base, local, remote }: Contested, decision: WireRow | null) =>
  writeResolution(exchange, url, { id, base, local, remote, decision })

const nameOf = (exchange: Exchange, resolved: Resolved) => `${(resolved.exchange ?? exchange).collection.name} ${resolved.state.id}`

/** After a handler, compare (docs/how-it-works.md, law 3). */
const isStillContested = ({ version, unapplied }: RowState, contested: Contested) =>
  version.stamp === contested.stamp && unapplied !== undefined && unapplied.json === contested.json

/**
 * Stores what goes with a decision. Gives the parents that are to be stored together with its row; undefined, and nothing is stored, where it
 * does not count any more, or not yet.
 */
function* prepareDecision(
  exchange: Exchange,
  { contested, value }: Decision,
  url: string,
  stamp: TransactionStamp,
): Transaction<readonly Resolved[] | undefined> {
  const { id } = contested
  const state = (yield* readRowStates(exchange, [id])).get(id) as RowState
  if (!isStillContested(state, contested)) return // it moved: asked again later
  if (value !== null) {
    const parents = yield* restoreParents(exchange, id, value, stamp)
    if (parents === 'not-seen') {
      if (yield* decideForLater(exchange, { state, remote: contested.remote, value }, stamp))
        yield* writeDecision(exchange, url, contested, value)
      return
    }
    if (parents) yield* discardMoves(exchange, id, value)
    return parents
  }
  const { family } = (yield* readFamilies(exchange, [state])).get(id) ?? NO_FAMILY
  if (family !== contested.family) return // or its children did
  if ((yield* readUnappliedChildren(exchange, id)).length) return // nor does a removal count while a child is not applied
  return state.version.value === null || (yield* removeChildren(exchange, contested, url, stamp)) ? [] : undefined
}

/**
 * A removal that was decided removes its children as well; those with local changes can be read, and brought back, in the journal.
 * False where it is too early for that.
 */
function* removeChildren(exchange: Exchange, { id, remote }: Contested, url: string, stamp: TransactionStamp): Transaction<boolean> {
  // where ON DELETE forbids it the children that were shown go as well, or the decision could never be stored
  const dependents = yield* readDependents(exchange.log.database, exchange.collection, [id], { takesAll: true })
  if (dependents.blocked.length) throw new ConstraintError('foreign-key', undefined)
  if (remote === null && (yield* readEarly(exchange, dependents.removed)).length) return false
  // a counted row that the server has under another parent is decided before: taken along it would come back under another number
  const counted = dependents.removed.filter(row => row.collection.table.number)
  const stateOf = yield* readStatesOf(exchange, counted)
  if (counted.some(row => stateOf(row).unapplied?.remote)) return false
  yield* writeUnpushed(yield* readUnpushed(exchange, dependents.removed), url)
  // where the removal is our own decision it is a local change, and so is what goes along
  const from = remote === null ? exchange : { ...exchange, siblings: new Map() }
  yield* removeDependents(from, [id], dependents, stamp)
  return true
}
