// What is held back from pushes: rows that need it are pushed, or decided, first.

import { type Collection, keyOf } from '../../changes/collections/collection.js'
import { neededKey } from '../../changes/collections/joins.js'
import { baseOf, isAgreed, isHeld } from '../../changes/servers/agreement.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { baseTableOf, first, query, quote, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { isNotSeen } from '../apply/defer.js'
import { readUnapplied } from '../apply/unapplied.js'
import { type Exchange, readRowStates, siblingOf } from '../exchange.js'
import type { Exchanges } from '../session.js'
import { writeHeldBack } from './rejections.js'

/** Rows by their collections. */
type Ids = Map<Collection, Set<string>>

/**
 * A removal is held back while rows that need it are not applied, however far below it they hang on the server (docs/how-it-works.md, law 9).
 * So is one from which rows were moved away, while these moves are held back or rejected. `left`: and while they are pushed later; those of other
 * collections, or all of them. Is any held back now that was not?
 */
export function* holdParents(exchanges: Exchanges, left: 'none' | 'others' | 'all'): Transaction<boolean> {
  const [any] = exchanges
  if (!any) return false
  const needed: Ids = new Map()
  const kinds = yield* first('SELECT EXISTS (SELECT 1 FROM sync_unapplied) AS unapplied, EXISTS (SELECT 1 FROM sync_rejection) AS rejected')
  if (kinds?.unapplied) yield* addNeededByUnapplied(any, needed)
  if (left !== 'none' || kinds?.rejected) yield* addLeft(exchanges, left, Boolean(kinds?.rejected), needed)
  const held = new Map<Exchange, RowState[]>()
  const walked = new Set<string>()
  for (let level = needed; level.size; ) {
    const next: Ids = new Map()
    for (const [parent, ids] of level) {
      const own = exchanges.find(exchange => exchange.collection === parent)
      const there = own ?? siblingOf(any, parent)
      if (!there) continue
      for (const state of (yield* readRowStates(there, [...ids])).values()) {
        const { id, version } = state
        const isGoing = version.stamp > 0 && version.value === null && !isAgreed(there.server, state, version.stamp)
        if (!isGoing || walked.has(`${parent.name} ${id}`)) continue
        walked.add(`${parent.name} ${id}`)
        // what was only ever here is not pushed at all
        if (own && !isHeld(state) && !isNotSeen(own, state)) held.set(own, [...(held.get(own) ?? []), state])
        // the server's own cascade would come down from there
        addParents(next, parent, id, baseOf(there.server, state) ?? null)
      }
    }
    level = next
  }
  for (const [exchange, states] of held) yield* writeHeldBack(exchange, states, 'Rows that need it are decided or pushed first.')
  return held.size > 0
}

function* addNeededByUnapplied(exchange: Exchange, needed: Ids): Transaction<void> {
  for (const collection of exchange.siblings.keys()) {
    if (collection.isLink) continue
    const there = siblingOf(exchange, collection) as Exchange
    for (const [id, { remote }] of yield* readUnapplied(there)) addParents(needed, collection, id, remote)
  }
}

function* addLeft(exchanges: Exchanges, left: 'none' | 'others' | 'all', isAnyHeld: boolean, needed: Ids): Transaction<void> {
  for (const exchange of exchanges) {
    const { collection } = exchange
    for (const child of new Set(collection.children.map(r => r.child))) {
      const there = child && siblingOf(exchange, child)
      const isLater = left === 'all' || (left === 'others' && child !== collection)
      if (!there || !(isLater || isAnyHeld)) continue
      for (const id of yield* readLeft(there, collection, isLater)) add(needed, collection, id)
    }
  }
}

/** Usually everything is applied. */
export function* isAnyUnapplied(): Transaction<boolean> {
  return (yield* first('SELECT 1 FROM sync_unapplied LIMIT 1')) !== undefined
}

function addParents(level: Ids, collection: Collection, id: string, row: WireRow | null): void {
  for (const reference of collection.parents) {
    const key = keyOf(reference, id, row)
    if (reference.parent && typeof key === 'string') add(level, reference.parent, key)
  }
}

function add(level: Ids, collection: Collection, id: string): void {
  const ids = level.get(collection)
  if (ids) ids.add(id)
  else level.set(collection, new Set([id]))
}

/**
 * Removed rows that others were moved away from: pushed first, their removal would remove those as well on the server. `isLater`: whose moves are pushed
 * later; else those alone whose moves are not pushed at all.
 */
function* readLeft(exchange: Exchange, parent: Collection, isLater: boolean): Transaction<string[]> {
  const { log, collection, server } = exchange
  const left: string[] = []
  for (const reference of collection.parents) {
    // a row whose own key it is does not move
    if (reference.parent !== parent || !reference.isByKey || reference.isOwnKey) continue
    const rows = yield* query(
      `SELECT DISTINCT i._sync_id AS id
         FROM ${quote(baseTableOf(collection.table))} i JOIN sync_tombstone t ON t.collection = ? AND t.id = ${neededKey(log.database, reference, 'i')}
        WHERE i._sync_server = ?`,
      parent.name,
      server.id,
    )
    const states = yield* readRowStates(
      exchange,
      rows.map(r => String(r.id)),
    )
    for (const state of states.values()) {
      const { id, version } = state
      const before = keyOf(reference, id, baseOf(server, state))
      if (isAgreed(server, state, version.stamp) || !version.value || typeof before !== 'string') continue
      if (!isLater && !isHeld(state)) continue
      if (keyOf(reference, id, version.value) !== before) left.push(before)
    }
  }
  return left
}

/** What is not applied is not pushed, however far the rest is: the stamp of our version is noted with every push. */
export function* noteUnpushed(exchange: Exchange): Transaction<void> {
  const { log, server } = exchange
  const ids = [...(yield* readUnapplied(exchange)).keys()]
  if (!ids.length) return
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const moved = states.filter(s => !isAgreed(server, s, s.version.stamp) && s.unapplied?.unpushed !== s.version.stamp)
  yield* log.database.updateRows(
    'sync_unapplied',
    ['unpushed'],
    ['server', 'id'],
    moved.map(s => [s.version.stamp, server.id, s.id]),
  )
}
