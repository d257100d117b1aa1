// Moves in a tree, of ours and of the server's, that would close a circle together: one of the server's rows is a conflict, and decides about all of it.

import { keyOf, type Reference } from '../../changes/collections/collection.js'
import { findCycles, treesOf } from '../../changes/rows/cycles.js'
import { baseOf, isAllPushed, isHeld, lastHeardOf } from '../../changes/servers/agreement.js'
import { type RowState, readKinds } from '../../changes/servers/rowStates.js'
import { storeVersions } from '../../changes/store/store.js'
import { query, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { writeResolutions } from '../conflicts/resolutions.js'
import { type Exchange, isClean, readRowStates } from '../exchange.js'
import { writeHeldBack } from './rejections.js'

interface Moved {
  readonly state: RowState
  readonly value: WireRow
}

/**
 * Of the server's rows that are about to be stored those that would close a circle, one of each, and why they are not applied yet: with a row that we
 * have moved it is a conflict, with one that the server has moved, and whose move is not applied, it waits for that.
 */
export function* findContestedMoves(exchange: Exchange, rows: readonly Moved[]): Transaction<Map<string, 'cycle' | 'parent-missing'>> {
  const found = new Map<string, 'cycle' | 'parent-missing'>()
  const trees = treesOf(exchange.collection)
  if (!trees.length || !rows.length || !(yield* isAnythingOurs(exchange))) return found
  // what is not applied stays where it is, and may be part of another circle there
  for (let before = -1; before < found.size; ) {
    before = found.size
    for (const tree of trees) {
      const left = rows.filter(row => !found.has(row.state.id))
      for (const [id, reason] of yield* findMovesIn(exchange, tree, left, found)) found.set(id, reason)
    }
  }
  return found
}

function* findMovesIn(
  exchange: Exchange,
  tree: Reference,
  rows: readonly Moved[],
  staying: ReadonlyMap<string, unknown>,
): Transaction<Map<string, 'cycle' | 'parent-missing'>> {
  const { log, collection } = exchange
  const found = new Map<string, 'cycle' | 'parent-missing'>()
  const after = new Map<string, unknown>()
  for (const { state, value } of rows) {
    const key = keyOf(tree, state.id, value, state.version.value)
    if (key !== undefined) after.set(state.id, key)
  }
  const isMoved = ({ state: { id, version } }: Moved) =>
    version.value !== null && typeof after.get(id) === 'string' && after.get(id) !== keyOf(tree, id, version.value)
  const moved = rows.filter(isMoved).map(row => row.state.id)
  if (!moved.length) return found
  const remote = new Set(moved)
  for (const circle of yield* findCycles(log.database, collection, tree, moved, after)) {
    const others = circle.filter(id => !remote.has(id))
    const states = [...(yield* readRowStates(exchange, others)).values()]
    const isOurs = states.some(state => isOwnMove(exchange, tree, state))
    // else it is the server's own, or one that both know
    if (isOurs || states.some(state => staying.has(state.id) || isBehind(tree, state)))
      found.set(circle.filter(id => remote.has(id)).sort()[0] as string, isOurs ? 'cycle' : 'parent-missing')
  }
  return found
}

/** Usually there is nothing to push, and nothing that is held back. */
function* isAnythingOurs({ log, collection, server }: Exchange): Transaction<boolean> {
  if (!isAllPushed(server, (yield* log.database.clock()).now)) return true
  const { unapplied, rejected } = yield* readKinds(collection, server)
  return unapplied || rejected
}

/** Have we moved the row, without the server's knowing? */
function isOwnMove(exchange: Exchange, tree: Reference, state: RowState): boolean {
  const { id, version } = state
  if (version.value === null || isClean(exchange, state)) return false
  return keyOf(tree, id, baseOf(exchange.server, state)) !== keyOf(tree, id, version.value)
}

/** Has the server moved the row, and is that not applied here? */
function isBehind(tree: Reference, { id, version, unapplied }: RowState): boolean {
  if (!unapplied || version.value === null) return false
  return keyOf(tree, id, unapplied.remote) !== keyOf(tree, id, version.value)
}

/** A version of a row that is to be stored, and the one that is here. */
interface ToStore {
  readonly id: string
  readonly local: WireRow | null
  readonly value: WireRow
}

/** The relation by which rows would close a circle here, and the moves of ours that are part of it. */
export function* findCircle(
  exchange: Exchange,
  rows: readonly ToStore[],
  discarded: Iterable<string> = [],
): Transaction<{ tree: Reference; moves: RowState[] } | undefined> {
  for (const { tree, others } of yield* circlesOf(exchange, rows, discarded)) {
    const moves = others.filter(state => isOwnMove(exchange, tree, state))
    if (moves.length) return { tree, moves }
  }
}

/** The circles that rows would close here, or rows whose moves were discarded for these, with the other rows of each. */
function* circlesOf(
  exchange: Exchange,
  rows: readonly ToStore[],
  discarded: Iterable<string>,
): Transaction<{ tree: Reference; others: RowState[] }[]> {
  const { log, collection } = exchange
  const circles: { tree: Reference; others: RowState[] }[] = []
  for (const tree of treesOf(collection)) {
    const after = new Map(rows.map(({ id, value }) => [id, keyOf(tree, id, value)]))
    const moved = rows.filter(({ id, local }) => after.get(id) !== keyOf(tree, id, local)).map(({ id }) => id)
    for (const circle of yield* findCycles(log.database, collection, tree, [...moved, ...discarded], after)) {
      const others = circle.filter(id => !after.has(id))
      circles.push({ tree, others: [...(yield* readRowStates(exchange, others)).values()] })
    }
  }
  return circles
}

/**
 * To apply the server's move is to discard ours, which would close a circle with it; the journal can bring them back. False where a circle is left
 * with a row that the server has elsewhere, and that is not applied yet.
 */
export function* discardMoves(exchange: Exchange, rows: readonly ToStore[]): Transaction<boolean> {
  const { log, collection, server } = exchange
  // what they are moved back to may be part of another circle
  const discarded = new Set<string>()
  for (let circle = yield* findCircle(exchange, rows); circle; circle = yield* findCircle(exchange, rows, discarded)) {
    const { properties } = circle.tree
    const moves = circle.moves.filter(state => !discarded.has(state.id) && baseOf(server, state))
    if (!moves.length) break
    for (const state of moves) {
      const { id, version } = state
      discarded.add(id)
      const base = baseOf(server, state) as WireRow
      const back = Object.fromEntries(properties.map(p => [p, base[p] ?? null]))
      const local = version.value as WireRow
      yield* storeVersions(log, collection, [{ id, old: version, value: back }], yield* log.database.tick())
      const resolution = { collection, id, url: server.url, base, local, remote: base, decision: { ...local, ...back } }
      yield* writeResolutions(log.database, [resolution])
    }
  }
  const left = yield* circlesOf(exchange, rows, discarded)
  return !left.some(({ tree, others }) => others.some(state => isBehind(tree, state)))
}

/**
 * A move of ours is held back while it would close a circle on the server, with rows that are elsewhere there: what is not applied here, and what is
 * not pushed.
 */
export function* holdMoves(exchange: Exchange): Transaction<void> {
  const { log, collection, server } = exchange
  const trees = treesOf(collection)
  // what is held back is elsewhere there as well, and may be part of another circle
  for (let isAny = trees.length > 0; isAny; ) {
    isAny = false
    const elsewhere = yield* readElsewhere(exchange)
    if (!elsewhere.length) return
    for (const tree of trees) {
      const after = new Map(elsewhere.map(state => [state.id, keyOf(tree, state.id, lastHeardOf(server, state))]))
      const starts = elsewhere.filter(({ id, version }) => after.get(id) !== keyOf(tree, id, version.value)).map(({ id }) => id)
      const moves: RowState[] = []
      for (const circle of yield* findCycles(log.database, collection, tree, starts, after)) {
        const others = circle.filter(id => !after.has(id))
        for (const state of (yield* readRowStates(exchange, others)).values()) if (isOwnMove(exchange, tree, state)) moves.push(state)
      }
      yield* writeHeldBack(
        exchange,
        moves,
        'It was moved below a row that is below it on the server; rows of that circle are to be resolved or pushed first.',
      )
      isAny ||= moves.length > 0
    }
  }
}

/** The rows that the server has otherwise, and that are not pushed. */
function* readElsewhere(exchange: Exchange): Transaction<RowState[]> {
  const { id } = exchange.server
  const rows = yield* query('SELECT id FROM sync_unapplied WHERE server = ? UNION SELECT id FROM sync_rejection WHERE server = ?', id, id)
  if (!rows.length) return []
  const states = yield* readRowStates(
    exchange,
    rows.map(row => String(row.id)),
  )
  return [...states.values()].filter(isHeld)
}
