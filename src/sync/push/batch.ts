// The rows of a push: the local changes up to a place, as many as a request has room for.

import type { Collection } from '../../changes/collections/collection.js'
import { type FeedPlace, placeIn } from '../../changes/rows/pages.js'
import { LAST, laterOf, type Place } from '../../changes/rows/place.js'
import { isAgreed, isHeld } from '../../changes/servers/agreement.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import { first, type Transaction } from '../../databases/database.js'
import type { Rejection } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'
import type { Exchanges, Session, TransactionSize } from '../session.js'
import { BatchBuilder, type PushedOf } from './batchBuilder.js'
import { describePush, reject } from './describePush.js'
import { nextChange, openLocalChanges } from './localChanges.js'
import { addNeeded } from './needed.js'
import { writeRejections } from './rejections.js'

/** The limit of a batch in one collection. */
export const limitIn = (limit: FeedPlace, { log, collection }: Exchange): Place => placeIn(log.collections, limit, collection)

export interface Batch {
  readonly rows: readonly PushedOf[]
  /** The rows as JSON. */
  readonly body: string
  /** Those among them that come along because others need them: their own changes lie behind the limit. */
  readonly needed: readonly PushedOf[]
  /** The stamps of its versions, by collection and id. */
  readonly stamps: ReadonlyMap<Collection, ReadonlyMap<string, number>>
  /** It has the local changes up to here; the clock's time where it has all of them. */
  readonly limit: FeedPlace
  readonly more: boolean
  /** The clock's time at which it was read. */
  readonly now: number
}

/** Reads what is to be pushed next. */
export function readBatch(session: Session, exchanges: Exchanges, size: TransactionSize): Transaction<Batch> {
  return read(session, exchanges, size, false) as Transaction<Batch>
}

function* read(session: Session, exchanges: Exchanges, size: TransactionSize, isReadOnly: boolean): Transaction<Batch | undefined> {
  const start = performance.now()
  const batch = new BatchBuilder(session)
  const most = Math.max(1, Math.min(size.rows, exchanges[0]?.server.batch ?? size.rows))
  const lists = yield* openLocalChanges(exchanges)
  const rejected = new Map<Exchange, (Rejection & { stamp: number })[]>()
  let last: FeedPlace | undefined
  let count = 0
  let more = false
  for (let next = yield* nextChange(lists, most + 1); next; next = yield* nextChange(lists, most + 1 - count)) {
    const { exchange } = next
    const { collection, server } = exchange
    const { id, stamp } = next.change
    const state = next.state
    // what is not applied, rejected or held back is not pushed
    if (!isHeld(state) && !isAgreed(server, state, stamp)) {
      more = count === most
      if (more) break
      const row = describePush(collection, server, state)
      const rejection = row && reject(row)
      if (rejection) rejected.set(exchange, [...(rejected.get(exchange) ?? []), { ...rejection, stamp }])
      else if (row && !batch.add(exchange, row)) {
        more = true
        break
      }
      batch.addStamp(collection, id, stamp)
      last = { stamp, id, collection }
      count++
    }
    next.done()
  }
  if (isReadOnly && rejected.size) return
  for (const [exchange, some] of rejected) yield* writeRejections(exchange, some)
  // where a push has to be as small as that, each row is pushed by itself: so it is found which of them is too large
  if (more && exchanges[0]?.server.batch !== 1) yield* addNeeded(batch, exchanges)
  const now = (yield* (exchanges[0] as Exchange).log.database.clock()).now
  const limit: FeedPlace = (more && last) || { stamp: now, id: LAST }
  size.took(count, performance.now() - start)
  return { ...batch.build(), limit, more, now }
}

/**
 * Reads what is to be pushed when the open push has counted, while its answer is under way; undefined where rows are not applied or were rejected, for then
 * more than the clock says whether it still holds.
 */
export function* readAhead(session: Session, exchanges: Exchanges, size: TransactionSize): Transaction<Batch | undefined> {
  if (exchanges.some(({ server }) => !server.push) || (yield* isAnyHeld(exchanges))) return
  const after = exchanges.map(({ server, ...exchange }) => {
    const pushedTo = server.push ? laterOf(server.pushedTo, server.push.limit) : server.pushedTo
    return { ...exchange, server: { ...server, pushedTo } as ServerState }
  })
  return yield* read(session, after, size, true)
}

/** Is a batch that was read ahead still what is to be pushed? Each change of a row has moved the clock. */
export function* isStillSo(exchanges: Exchanges, batch: Batch): Transaction<boolean> {
  const clock = yield* (exchanges[0] as Exchange).log.database.clock()
  return clock.now === batch.now && !(yield* isAnyHeld(exchanges))
}

function* isAnyHeld(exchanges: Exchanges): Transaction<boolean> {
  for (const table of ['sync_unapplied', 'sync_rejection'])
    for (const { server } of exchanges) if (yield* first(`SELECT 1 FROM ${table} WHERE server = ? LIMIT 1`, server.id)) return true
  return false
}
