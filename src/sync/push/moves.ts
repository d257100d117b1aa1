// Moves in a tree, of ours and of the server's, that would close a circle together: one of the server's rows is a conflict, and decides about all of it.

import { keyOf, type Reference } from '../../changes/collections/collection.js'
import { findCycles, treesOf } from '../../changes/rows/cycles.js'
import { baseOf, isAllPushed, isHeld } from '../../changes/servers/agreement.js'
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

/** Of the server's rows that are about to be stored those that would close a circle with rows which we have moved: one of each circle. */
export function* findContestedMoves(exchange: Exchange, rows: readonly Moved[]): Transaction<Set<string>> {
  const { log, collection } = exchange
  const contested = new Set<string>()
  const trees = treesOf(collection)
  if (!trees.length || !rows.length || !(yield* isAnythingOurs(exchange))) return contested
  for (const tree of trees) {
    const after = new Map<string, unknown>()
    for (const { state, value } of rows) {
      const key = keyOf(tree, state.id, value, state.version.value)
      if (key !== undefined) after.set(state.id, key)
    }
    const isMoved = ({ state: { id, version } }: Moved) =>
      version.value !== null && typeof after.get(id) === 'string' && after.get(id) !== keyOf(tree, id, version.value)
    const moved = rows.filter(isMoved).map(row => row.state.id)
    if (!moved.length) continue
    const remote = new Set(moved)
    for (const circle of yield* findCycles(log.database, collection, tree, moved, after)) {
      const others = circle.filter(id => !remote.has(id))
      if (!(yield* readOwnMoves(exchange, tree, others)).length) continue // the server's own, or one that both know
      contested.add(circle.filter(id => remote.has(id)).sort()[0] as string)
    }
  }
  return contested
}

/** Usually there is nothing to push, and nothing that is held back. */
function* isAnythingOurs({ log, collection, server }: Exchange): Transaction<boolean> {
  if (!isAllPushed(server, (yield* log.database.clock()).now)) return true
  const { unapplied, rejected } = yield* readKinds(collection, server)
  return unapplied || rejected
}

/** Which of these rows have we moved, without the server's knowing. */
function* readOwnMoves(exchange: Exchange, tree: Reference, ids: readonly string[]): Transaction<RowState[]> {
  const states = yield* readRowStates(exchange, ids)
  return [...states.values()].filter(state => {
    const { value } = state.version
    return (
      value !== null && !isClean(exchange, state) && keyOf(tree, state.id, baseOf(exchange.server, state)) !== keyOf(tree, state.id, value)
    )
  })
}

/** The relation by which the server's version of a row would close a circle here. */
export function* findCircle(
  exchange: Exchange,
  id: string,
  remote: WireRow,
): Transaction<{ tree: Reference; moves: RowState[] } | undefined> {
  const { log, collection } = exchange
  for (const tree of treesOf(collection)) {
    const after = new Map([[id, keyOf(tree, id, remote)]])
    const [circle] = yield* findCycles(log.database, collection, tree, [id], after)
    const moves = circle
      ? yield* readOwnMoves(
          exchange,
          tree,
          circle.filter(other => other !== id),
        )
      : []
    if (moves.length) return { tree, moves }
  }
}

/** To apply the server's move is to discard ours, which would close a circle with it; the journal can bring them back. */
export function* discardMoves(exchange: Exchange, id: string, value: WireRow): Transaction<void> {
  const { log, collection, server } = exchange
  // what they are moved back to may be part of another circle
  const before = new Set<string>()
  for (let circle = yield* findCircle(exchange, id, value); circle; circle = yield* findCircle(exchange, id, value)) {
    const { properties } = circle.tree
    const moves = circle.moves.filter(state => !before.has(state.id) && baseOf(server, state))
    if (!moves.length) return
    for (const state of moves) {
      before.add(state.id)
      const base = baseOf(server, state) as WireRow
      const back = Object.fromEntries(properties.map(p => [p, base[p] ?? null]))
      const local = state.version.value as WireRow
      yield* storeVersions(log, collection, [{ id: state.id, old: state.version, value: back }], yield* log.database.tick())
      const resolution = { collection, id: state.id, url: server.url, base, local, remote: base, decision: { ...local, ...back } }
      yield* writeResolutions(log.database, [resolution])
    }
  }
}

/** A move of ours is held back while one of the server's is a conflict that would close a circle with it. */
export function* holdMoves(exchange: Exchange): Transaction<void> {
  const { collection, server } = exchange
  if (!treesOf(collection).length) return
  const rows = yield* query("SELECT id, remote FROM sync_unapplied WHERE server = ? AND reason = 'cycle'", server.id)
  for (const { id, remote } of rows) {
    const circle = remote === null ? undefined : yield* findCircle(exchange, String(id), JSON.parse(String(remote)))
    const moves = circle?.moves.filter(state => !isHeld(state)) ?? []
    yield* writeHeldBack(
      exchange,
      moves,
      'It was moved below a row that was moved below it on the server; that is a conflict to resolve first.',
    )
  }
}
