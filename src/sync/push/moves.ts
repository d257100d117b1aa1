// Moves in a tree, of ours and of the server's, that would close a circle together: one of the server's is a conflict, or waits, and ours is held back.

import { keyOf, noneOf, type Reference } from '../../changes/collections/collection.js'
import { findCycles, treesOf } from '../../changes/rows/cycles.js'
import { baseOf, isHeld, lastHeardOf } from '../../changes/servers/agreement.js'
import { changeNoAccess } from '../../changes/servers/noAccess.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { serversOf } from '../../changes/servers/servers.js'
import { storeVersions } from '../../changes/store/store.js'
import { query, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import { mergeIn } from '../apply/bases.js'
import { returningOf } from '../apply/comeBack.js'
import { applyDecided } from '../apply/storeDecided.js'
import { type Resolution, writeResolutions } from '../conflicts/resolutions.js'
import { restoreParents } from '../conflicts/restoreParents.js'
import { type Exchange, isClean, readRowStates, type TransactionStamp } from '../exchange.js'
import { writeHeldBack } from './rejections.js'

/** A row as it is to be, or as the server has it, and as it is here. */
interface Placed {
  readonly id: string
  readonly local: WireRow | null
  readonly value: WireRow | null | undefined
  /** As the server has it, where `value` may have more. */
  readonly remote?: WireRow | null
}

interface Circle {
  readonly tree: Reference
  readonly ids: readonly string[]
  /** The given rows that are here, and elsewhere. */
  readonly moved: ReadonlySet<string>
}

/** The circles that there were with given rows as they are to be, of which one is moved or was `discarded`. */
function* findCircles(
  { log, collection }: Exchange,
  rows: readonly Placed[],
  discarded: Iterable<string> = [],
): Transaction<readonly Circle[]> {
  const circles: Circle[] = []
  for (const tree of treesOf(collection)) {
    const after = new Map<string, unknown>()
    const moved = new Set<string>()
    for (const { id, local, value } of rows) {
      const key = keyOf(tree, id, value, local)
      if (key === undefined && value) continue // it says nothing of it
      after.set(id, key)
      // below a row that is not here there is none that could close a circle
      if (local && key !== keyOf(tree, id, local)) moved.add(id)
    }
    for (const ids of yield* findCycles(log.database, collection, tree, [...moved, ...discarded], after)) circles.push({ tree, ids, moved })
  }
  return circles
}

/** Of a circle the rows that are not among these. */
function* readOthers(exchange: Exchange, { ids }: Circle, except: ReadonlySet<string>): Transaction<RowState[]> {
  const others = ids.filter(id => !except.has(id))
  return [...(yield* readRowStates(exchange, others)).values()]
}

/** The rows that we have moved, and that would close a circle with given ones, each with its relation; and does one go by a row whose move is not applied? */
function* readMoves(exchange: Exchange, rows: readonly Placed[], discarded?: ReadonlySet<string>) {
  const given = new Set(rows.map(({ id }) => id))
  const moves = new Map<string, { tree: Reference; state: RowState }>()
  let isBlocked = false
  for (const circle of yield* findCircles(exchange, rows, discarded))
    for (const state of yield* readOthers(exchange, circle, given)) {
      const { tree } = circle
      if (isOwnMove(exchange, tree, state)) moves.set(state.id, { tree, state })
      isBlocked ||= isBehind(tree, state)
    }
  return { moves, isBlocked }
}

/**
 * Of the server's rows that are about to be stored those that would close a circle, one of each, and why they are not applied yet: with a row that we
 * have moved it is a conflict, with one that the server has moved, and whose move is not applied, it waits for that.
 */
export function* findContestedMoves(exchange: Exchange, rows: readonly Placed[]): Transaction<Map<string, 'cycle' | 'parent-missing'>> {
  const found = new Map<string, 'cycle' | 'parent-missing'>()
  const placed = new Map(rows.map(row => [row.id, row]))
  // what is not applied stays where it is, and may be part of another circle there
  for (let before = -1; before < found.size; ) {
    before = found.size
    const left = rows.filter(({ id }) => !found.has(id))
    for (const circle of yield* findCircles(exchange, left)) {
      const { tree, ids, moved } = circle
      const others = yield* readOthers(exchange, circle, moved)
      const isOurs = ids.some(id => isReturningMove(tree, placed.get(id))) || others.some(state => isOwnMove(exchange, tree, state))
      // else it is the server's own, or one that both know
      if (isOurs || others.some(state => found.has(state.id) || isBehind(tree, state)))
        found.set(ids.filter(id => moved.has(id)).sort()[0] as string, isOurs ? 'cycle' : 'parent-missing')
    }
  }
  return found
}

/** Have we moved the row, without the server's knowing? */
function isOwnMove(exchange: Exchange, tree: Reference, state: RowState): boolean {
  const { id, version } = state
  if (version.value === null || isClean(exchange, state)) return false
  return keyOf(tree, id, baseOf(exchange.server, state)) !== keyOf(tree, id, version.value)
}

/** Is the row seen again, where we have moved it? */
function isReturningMove(tree: Reference, row: Placed | undefined): boolean {
  if (!row?.remote || !row.value || row.local) return false
  return keyOf(tree, row.id, row.remote, row.value) !== keyOf(tree, row.id, row.value)
}

/** The values by which a version of a row is where it is. */
const placeIn = (tree: Reference, row: WireRow): WireRow => Object.fromEntries(tree.properties.map(p => [p, row[p] ?? null]))

/** Has the server moved the row, and is that not applied here? */
function isBehind(tree: Reference, { id, version, unapplied }: RowState): boolean {
  if (!unapplied || version.value === null) return false
  return keyOf(tree, id, unapplied.remote) !== keyOf(tree, id, version.value)
}

/** Would a version of a row close a circle with the rows as they are here? */
export function* closesCircle(exchange: Exchange, row: Placed): Transaction<boolean> {
  return (yield* findCircles(exchange, [row])).length > 0
}

/** The properties of the relation by which a version of a row would close a circle here with moves of ours; `isForGood`: with one that cannot be discarded. */
export function* findClosing(exchange: Exchange, row: Placed, isForGood: boolean): Transaction<readonly string[] | undefined> {
  const { moves } = yield* readMoves(exchange, [row])
  return [...moves.values()].find(({ state }) => !(isForGood && baseOf(exchange.server, state)))?.tree.properties
}

/**
 * To apply the server's move is to discard ours, which would close a circle with it; the journal can bring them back. What they were moved out of comes
 * back where it was removed here. Throws ConstraintError where a circle is left with a row that was made here, or that the server has elsewhere, and that is not applied yet.
 */
export function* discardMoves(exchange: Exchange, rows: readonly Placed[], stamp: TransactionStamp): Transaction<void> {
  const { log, collection, server } = exchange
  // what they are moved back to may be part of another circle
  for (const discarded = new Set<string>(); ; ) {
    const { moves, isBlocked } = yield* readMoves(exchange, rows, discarded)
    const left = [...moves.values()].filter(({ state }) => !discarded.has(state.id))
    const next = left.filter(({ state }) => baseOf(server, state))
    // what was made here cannot be moved back
    if (!next.length && (isBlocked || left.length)) throw new ConstraintError('cycle', undefined)
    if (!next.length) return
    for (const { tree, state } of next) {
      const { id, version } = state
      discarded.add(id)
      const base = baseOf(server, state) as WireRow
      const back = placeIn(tree, base)
      const local = version.value as WireRow
      const parents = yield* restoreParents(exchange, id, { ...local, ...back }, stamp)
      if (!parents || parents === 'not-seen') throw new ConstraintError('foreign-key', undefined)
      yield* applyDecided(exchange, parents, stamp)
      yield* storeVersions(log, collection, [{ id, old: version, value: back }], yield* log.database.tick())
      const resolution = { collection, id, url: server.url, base, local, remote: base, decision: { ...local, ...back } }
      yield* writeResolutions(log.database, [resolution])
    }
  }
}

/**
 * Of rows that are seen again, and are not here, discards the moves of ours that would close a circle of such rows: each of them would wait for another one,
 * and nobody could be asked. The journal can bring them back. Gives the rows.
 */
export function* discardReturningMoves(
  exchange: Exchange,
  rows: readonly { readonly state: RowState; readonly held: { readonly value: WireRow } | undefined }[],
): Transaction<string[]> {
  const { log, collection, server } = exchange
  const trees = treesOf(collection)
  if (!trees.length) return []
  const top: WireRow = Object.assign({}, ...trees.map(noneOf))
  const seen = rows.flatMap(({ state, held }) => {
    const given = held?.value ?? null
    const ours = returningOf(state, given)
    // what was made here has no other place than the top
    const remote = given ?? (ours?.base === null && ours.local && { ...ours.local, ...top })
    if (!remote || state.version.value) return []
    const value = ours ? mergeIn(collection, ours.base, ours.local, given).value : given
    return { id: state.id, local: null, given, remote, ours, value }
  })
  const moved = seen.flatMap(row => (row.ours ? [{ row, ours: row.ours }] : []))
  const starts = moved.map(({ row }) => row.id)
  const decisions = new Map<string, Resolution>()
  // where they are on the server they may be part of another circle
  for (let isClosing = starts.length > 0; isClosing; ) {
    isClosing = false
    for (const { tree, ids } of yield* findCircles(exchange, seen, starts))
      for (const { row, ours } of moved) {
        const { id, given, remote, value } = row
        if (!ids.includes(id) || !isReturningMove(tree, row)) continue
        isClosing = true
        const back = placeIn(tree, remote)
        row.value = { ...value, ...back }
        const decision = { ...(decisions.get(id)?.decision ?? ours.local), ...back }
        decisions.set(id, { collection, id, url: server.url, ...ours, remote: given, decision })
      }
  }
  if (!decisions.size) return []
  const servers = yield* serversOf(collection)
  for (const { id, decision } of decisions.values()) yield* changeNoAccess(servers, id, decision)
  yield* writeResolutions(log.database, [...decisions.values()])
  return [...decisions.keys()]
}

/**
 * A move of ours is held back while it would close a circle on the server, with rows that are elsewhere there: what is not applied here, and what is
 * not pushed.
 */
export function* holdMoves(exchange: Exchange): Transaction<void> {
  if (!treesOf(exchange.collection).length) return
  // what is held back is elsewhere there as well, and may be part of another circle
  for (;;) {
    const { moves } = yield* readMoves(exchange, yield* readElsewhere(exchange))
    if (!moves.size) return
    const states = [...moves.values()].map(({ state }) => state)
    yield* writeHeldBack(
      exchange,
      states,
      'It was moved below a row that is below it on the server, and is to be resolved or pushed first.',
    )
  }
}

/** The rows that the server has otherwise, and that are not pushed. */
function* readElsewhere(exchange: Exchange): Transaction<Placed[]> {
  const { server } = exchange
  const rows = yield* query(
    'SELECT id FROM sync_unapplied WHERE server = ? UNION SELECT id FROM sync_rejection WHERE server = ?',
    server.id,
    server.id,
  )
  if (!rows.length) return []
  const ids = rows.map(row => String(row.id))
  const states = [...(yield* readRowStates(exchange, ids)).values()].filter(isHeld)
  return states.map(state => ({ id: state.id, local: state.version.value, value: lastHeardOf(server, state) }))
}
