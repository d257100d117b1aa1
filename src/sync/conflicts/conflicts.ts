// Asks the application about what is contested, outside any transaction, and stores what it decides.

import type { Collection } from '../../changes/collections/collection.js'
import type { Applied } from '../apply/applied.js'
import { applyUnapplied } from '../apply/applyUnapplied.js'
import { TransactionStamp } from '../exchange.js'
import { type Session, transaction } from '../session.js'
import { ask } from './ask.js'
import { type Contested, describeContested } from './contested.js'
import { applyInHalves, childrenFirst, type Decision, inGroups } from './decisions.js'
import type { ConflictHandler } from './handlers.js'
import { parkOutdated } from './outdated.js'

/** Parents first: a removal that is decided removes children as well. */
export async function resolveConflicts(session: Session): Promise<void> {
  let contested = await findContested(session)
  for (const { collection, handler } of session.members) {
    const own = contested.get(collection)
    if (!own || !handler) continue
    await resolveWith(session, collection, handler, own)
    // it may have decided what becomes of others: they are not asked about any more
    if (contested.size > 1) contested = await findContested(session)
  }
}

/** Applies what can be applied by now, and gives what is contested then, by collection. */
async function findContested(session: Session): Promise<Map<Collection, Contested[]>> {
  const found = await transaction(session, function* (exchanges) {
    const [any] = exchanges
    if (!any || exchanges.some(({ server }) => server.pulling)) return [] // half a pull is half the picture
    const stamp = new TransactionStamp(any)
    let parts = yield* applyUnapplied(any, stamp)
    // what is contested is known by now, and stays; the others may have been in the way of removals
    if (yield* parkOutdated(any, stamp)) parts = yield* applyUnapplied(any, stamp, parts)
    const found: { collection: Collection; applied: Applied; contested: Contested[] }[] = []
    for (const { exchange, applied } of parts) {
      const isOurs = exchanges.some(each => each.collection === exchange.collection)
      const contested = isOurs ? yield* describeContested(exchange, applied.contested) : []
      found.push({ collection: exchange.collection, applied, contested })
    }
    return found
  })
  for (const { collection, applied } of found) session.report.add(collection, applied)
  return new Map(found.flatMap(({ collection, contested }) => (contested.length ? [[collection, contested] as const] : [])))
}

async function resolveWith(
  session: Session,
  collection: Collection,
  handler: ConflictHandler,
  contested: readonly Contested[],
): Promise<void> {
  const { report } = session
  report.of(collection).conflicts += contested.length
  report.emit('conflicts')
  const resolved = await ask(session, collection, handler, contested)
  await transaction(session, function* (exchanges) {
    const exchange = exchanges.find(each => each.collection === collection)
    if (!exchange) return
    const stamp = new TransactionStamp(exchange)
    if (resolved.length) yield* stamp.take()
    const left: Decision[] = []
    const { url } = exchange.server
    for (const group of inGroups(exchange, childrenFirst(exchange, resolved)))
      left.push(...(yield* applyInHalves(exchange, group, url, stamp)))
    // what was in their way may be stored by now; rows that exchange their unique values are stored together, or not at all. What is left stays a conflict
    if (left.length) yield* applyInHalves(exchange, left, url, stamp)
  })
  report.emit('conflicts')
}
