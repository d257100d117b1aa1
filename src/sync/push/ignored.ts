// Pushes values that a server has ignored, once it says that it has a column for them.

import type { Collection } from '../../changes/collections/collection.js'
import { baseOf, isAgreed } from '../../changes/servers/agreement.js'
import { keepBases } from '../../changes/servers/baseVersions.js'
import { forgetIgnored, noteIgnored, readIgnoredIds } from '../../changes/servers/ignored.js'
import { storeVersions } from '../../changes/store/store.js'
import type { Transaction } from '../../databases/database.js'
import type { PushedRow } from '../../protocol/messages.js'
import { type Exchange, readRowStates, TransactionStamp } from '../exchange.js'
import { type Session, transaction } from '../session.js'

const ROWS = 500

/** Notes what the server has ignored of a push. */
export function* noteIgnoredOf({ log, server }: Exchange, rows: readonly PushedRow[], ignored: readonly string[] = []): Transaction<void> {
  const pushed = rows.map(({ id, value }) => ({
    id,
    pushed: value && Object.keys(value),
    ignored: ignored.filter(p => value !== null && Object.hasOwn(value, p)),
  }))
  yield* noteIgnored(log.database, server.id, pushed)
}

/** Gives rows a fresh stamp whose values of these properties the server has ignored, and would not now: they are pushed again. */
export async function pushIgnored(session: Session, properties: ReadonlyMap<Collection, readonly string[]>): Promise<void> {
  for (const [collection, names] of properties) {
    for (let above: string | undefined = ''; above !== undefined; ) {
      const from: string = above
      above = await transaction(session, function* (exchanges) {
        const exchange = exchanges.find(each => each.collection === collection)
        return exchange && (yield* pushAbove(exchange, names, from))
      })
    }
  }
}

/** Gives the id to go on after; undefined at the end. */
function* pushAbove(exchange: Exchange, properties: readonly string[], above: string): Transaction<string | undefined> {
  const { log, collection, server } = exchange
  const ids = yield* readIgnoredIds(server.id, properties, above, ROWS)
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  // a reference that was cleared meanwhile is null on both sides
  const alike = states.map(({ id, putOff, version }) => ({ id, properties: putOff.filter(p => (version.value?.[p] ?? null) === null) }))
  yield* forgetIgnored(log.database, server.id, alike)
  // what is pending is pushed with them
  const agreed = states.filter(s => s.version.value !== null && !s.unapplied && isAgreed(server, s, s.version.stamp))
  if (agreed.length) {
    const stamp = yield* new TransactionStamp(exchange).take()
    const bases = agreed.map(s => ({ id: s.id, value: baseOf(server, s) ?? null }))
    const writes = agreed.map(s => ({ id: s.id, old: s.version, value: s.version.value }))
    yield* storeVersions(log, collection, writes, yield* log.database.tick(), server)
    yield* keepBases(log.database, collection, server, bases, stamp)
  }
  return ids.length < ROWS ? undefined : ids.at(-1)
}
