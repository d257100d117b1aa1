// Stores what a conflict handler has decided.

import { keyOf } from '../../changes/collections/collection.js'
import { parentsFirst } from '../../changes/collections/parentsFirst.js'
import { readDependents } from '../../changes/rows/dependents.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError, ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Resolved } from '../apply/candidates.js'
import { NO_FAMILY, readFamilies } from '../apply/families.js'
import { readEarly, readStatesOf, removeDependents } from '../apply/removals.js'
import { applyDecided } from '../apply/storeDecided.js'
import { readNeededByUnapplied } from '../apply/unapplied.js'
import { type Exchange, readRowStates, type TransactionStamp } from '../exchange.js'
import { discardMoves } from '../push/moves.js'
import { readUnpushed, writeUnpushed } from '../push/unpushed.js'
import type { Contested } from './contested.js'
import { decideForLater } from './decideForLater.js'
import { writeResolutions } from './resolutions.js'
import { readPresentParents, restoreParents, withParents } from './restoreParents.js'

export interface Decision {
  readonly contested: Contested
  /** null: the row is to be removed. */
  readonly value: WireRow | null
}

export function childrenFirst({ collection }: Exchange, resolved: readonly Decision[]): readonly Decision[] {
  const own = collection.parents.filter(r => r.parent === collection)
  if (!own.length) return resolved
  const byId = new Map(resolved.map(d => [d.contested.id, d]))
  const parentsOf = ({ contested: { id, local, remote }, value }: Decision) =>
    own.map(r => byId.get(String(keyOf(r, id, value ?? local ?? remote))))
  return parentsFirst(resolved, parentsOf).reverse()
}

/** May it change rows that others of these decisions are about? In a tree, or where it takes children along. */
const affectsOthers = ({ collection }: Exchange, { contested, value }: Decision) =>
  collection.parents.some(r => r.parent === collection) || (value === null && contested.local !== null && collection.children.length > 0)

/** Which decisions are stored together: those that may affect others by themselves, in their order, after all that do not. */
export function inGroups(exchange: Exchange, resolved: readonly Decision[]): Decision[][] {
  const alone = resolved.filter(decision => affectsOthers(exchange, decision)).map(decision => [decision])
  return [resolved.filter(decision => !affectsOthers(exchange, decision)), ...alone]
}

/** What is known of the rows that are decided, and of those around them. */
interface Surroundings {
  readonly states: ReadonlyMap<string, RowState>
  /** Rows which these need, and that are here. */
  readonly present: ReadonlySet<string>
  /** Rows which others need that are not applied. */
  readonly needed: ReadonlySet<unknown>
}

function* readSurroundings(exchange: Exchange, decisions: readonly Decision[]): Transaction<Surroundings> {
  const states = yield* readRowStates(
    exchange,
    decisions.map(d => d.contested.id),
  )
  const rows = decisions.flatMap(({ contested: { id }, value }) => (value ? [{ id, value }] : []))
  const present = yield* readPresentParents(exchange, rows)
  return { states, present, needed: rows.length < decisions.length ? yield* readNeededByUnapplied(exchange) : new Set() }
}

/** Stores decisions together, or none of them: false where the database does not accept them as they are. */
function* applyDecisions(exchange: Exchange, resolved: readonly Decision[], url: string, stamp: TransactionStamp): Transaction<boolean> {
  try {
    yield* savepoint(function* () {
      const ready: Decision[] = []
      const toStore = new Map<string, Resolved>()
      let known: Surroundings | undefined
      for (const decision of resolved) {
        const isAlone = affectsOthers(exchange, decision)
        if (isAlone || !known) known = yield* readSurroundings(exchange, isAlone ? [decision] : resolved)
        const parents = yield* prepareDecision(exchange, decision, known, url, stamp)
        if (isAlone) known = undefined
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
      yield* writeDecisions(exchange, url, stored)
    })
    return true
  } catch (error) {
    if (!(error instanceof ConstraintError || error instanceof ValueError)) throw error
    return false
  }
}

/** Stores decisions together, or as many of them as the database accepts. Gives those that it does not accept by themselves. */
export function* applyInHalves(
  exchange: Exchange,
  resolved: readonly Decision[],
  url: string,
  stamp: TransactionStamp,
): Transaction<readonly Decision[]> {
  if (!resolved.length || (yield* applyDecisions(exchange, resolved, url, stamp))) return []
  if (resolved.length === 1) return resolved
  const middle = resolved.length >> 1
  return [
    ...(yield* applyInHalves(exchange, resolved.slice(0, middle), url, stamp)),
    ...(yield* applyInHalves(exchange, resolved.slice(middle), url, stamp)),
  ]
}

const writeDecisions = ({ log, collection }: Exchange, url: string, decisions: readonly Decision[]): Transaction<void> =>
  writeResolutions(
    log.database,
    decisions.map(({ contested: { id, base, local, remote }, value }) => ({ collection, id, url, base, local, remote, decision: value })),
  )

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
  decision: Decision,
  { states, present, needed }: Surroundings,
  url: string,
  stamp: TransactionStamp,
): Transaction<readonly Resolved[] | undefined> {
  const { contested, value } = decision
  const { id } = contested
  const state = states.get(id) as RowState
  if (!isStillContested(state, contested)) return // it moved: asked again later
  if (value !== null) {
    const parents = yield* restoreParents(exchange, id, value, stamp, present)
    if (parents === 'not-seen') {
      if (yield* decideForLater(exchange, { state, remote: contested.remote, value }, stamp))
        yield* writeDecisions(exchange, url, [decision])
      return
    }
    if (!parents) return
    yield* discardMoves(exchange, withParents(exchange, state, value, parents), stamp)
    return parents
  }
  const { family } = (yield* readFamilies(exchange, [state])).get(id) ?? NO_FAMILY
  if (family !== contested.family) return // or its children did
  if (needed.has(id)) return // nor does a removal count while a child is not applied
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
  yield* writeUnpushed(exchange.log.database, yield* readUnpushed(exchange, dependents.removed), url)
  // where the removal is our own decision it is a local change, and so is what goes along
  const from = remote === null ? exchange : { ...exchange, siblings: new Map() }
  yield* removeDependents(from, [id], dependents, stamp)
  return true
}
