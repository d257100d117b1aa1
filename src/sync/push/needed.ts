// Rows that come along with a push because others need them (docs/how-it-works.md, law 23).

import { keyOf } from '../../changes/collections/collection.js'
import { isUpTo } from '../../changes/rows/place.js'
import { baseOf, isAgreed, isHeld } from '../../changes/servers/agreement.js'
import { forgetBasesOf, keepBases } from '../../changes/servers/baseVersions.js'
import type { Transaction } from '../../databases/database.js'
import { type Exchange, readRowStates } from '../exchange.js'
import type { Exchanges } from '../session.js'
import { type Batch, limitIn } from './batch.js'
import type { BatchBuilder } from './batchBuilder.js'
import { describePush, reject } from './describePush.js'

/**
 * A batch may end between a new row and one that it needs, which was changed since: that one comes along, and is pushed in its turn as well (law
 * 23).
 */
export function* addNeeded(batch: BatchBuilder, exchanges: Exchanges): Transaction<void> {
  const exchangeOf = new Map(exchanges.map(exchange => [exchange.collection, exchange]))
  for (let rows = batch.rows; rows.length; ) {
    const needed = new Map<Exchange, Set<string>>()
    for (const { collection, row } of rows) {
      for (const reference of collection.parents) {
        const key = keyOf(reference, row.id, row.value)
        const there = reference.parent && exchangeOf.get(reference.parent)
        if (!there || typeof key !== 'string' || batch.has(there.collection, key)) continue
        if (reference.isByKey) needed.set(there, (needed.get(there) ?? new Set()).add(key))
      }
    }
    const before = batch.rows.length
    for (const [there, ids] of needed) {
      for (const state of (yield* readRowStates(there, [...ids])).values()) {
        const { version, id } = state
        if (!version.value || isHeld(state) || isAgreed(there.server, state, version.stamp) || baseOf(there.server, state)) continue
        const row = describePush(there.collection, there.server, state)
        if (!row || reject(row)) continue
        batch.add(there, row, true)
        batch.addStamp(there.collection, id, version.stamp)
      }
    }
    rows = batch.rows.slice(before)
  }
}

/**
 * What comes along is kept as a version that lies before the limit, as triggers keep what stood there: if the push counts, it is what both know.
 */
export function* keepNeeded(exchanges: Exchanges, { needed, limit }: Batch): Transaction<void> {
  for (const exchange of exchanges) {
    const { log, collection, server } = exchange
    const place = limitIn(limit, exchange)
    const isFree = (stamp: number, id: string) =>
      stamp > 0 && isUpTo(place, id, stamp) && !isUpTo(server.pushedTo, id, stamp) && !server.stored.has(stamp)
    for (const { row } of needed.filter(each => each.collection === collection)) {
      const stamp = [limit.stamp, limit.stamp - 1].find(each => isFree(each, row.id))
      if (stamp !== undefined) yield* keepBases(log.database, collection, server, [row], stamp)
      // that the server has none is not known any more: a removal is pushed
      else yield* forgetBasesOf(log.database, collection, [server], row.id)
    }
  }
}
