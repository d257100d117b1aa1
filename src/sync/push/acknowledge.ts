// Acknowledges a push: its rows are known to the server.

import { laterOf, type Place } from '../../changes/rows/place.js'
import { pruneBases } from '../../changes/servers/baseVersions.js'
import { type OpenPush, writeServers } from '../../changes/servers/serverState.js'
import { forgetStored } from '../../changes/servers/storedStamps.js'
import { baseTableOf, first, query, quote, type Transaction } from '../../databases/database.js'
import type { FeedPushAnswer } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'
import type { Exchanges, Session } from '../session.js'
import { partOf } from './endPush.js'
import { noteIgnoredOf } from './ignored.js'
import type { Prepared } from './preparePush.js'
import { forgetOutdatedRejections, freeNeedy, freeRejected } from './rejections.js'

/** Acknowledging is one assignment; false where another sync has ended this push meanwhile, with its rows. */
export function* acknowledgePush(
  all: Exchanges,
  { batchSize, members }: Session,
  { push, rows, more }: Pick<Prepared, 'push' | 'rows' | 'more'>,
  answer: FeedPushAnswer,
  isNearLimit: boolean,
): Transaction<boolean> {
  const exchanges = partOf(all, push)
  if (!exchanges.length) return false
  for (const exchange of exchanges) {
    const { collection, server } = exchange
    if (server.batch !== null && !isNearLimit) server.batch = server.batch * 2 < batchSize ? server.batch * 2 : null
    const own = rows.filter(each => each.collection === collection).map(each => each.row)
    if (own.length) yield* noteIgnoredOf(exchange, own, answer.ignored?.get(members.find(m => m.collection === collection)?.path ?? ''))
  }
  // what was new got a value, and released none
  if (rows.some(({ row }) => row.value === null || row.partial)) yield* freeRejected(exchanges)
  yield* acknowledge(exchanges, ({ server }) => (server.push as OpenPush).limit, answer, more)
  return true
}

export function* acknowledge(
  exchanges: Exchanges,
  limitOf: (exchange: Exchange) => Place,
  answer?: FeedPushAnswer,
  more = false,
): Transaction<void> {
  const servers = exchanges.map(exchange => exchange.server)
  for (const exchange of exchanges) {
    const { server } = exchange
    server.pushedTo = laterOf(server.pushedTo, limitOf(exchange))
    server.push = null
    if (!answer) continue
    server.highest = Math.max(server.highest, answer.now)
    if (answer.since !== undefined && answer.since === server.serverDate) server.serverDate = answer.now // nothing of others lies between
  }
  yield* forgetStored(servers)
  const { log } = exchanges[0] as Exchange
  yield* writeServers(log.database, servers)
  if (yield* first('SELECT 1 FROM sync_rejection LIMIT 1')) {
    for (const exchange of exchanges) yield* forgetOutdatedRejections(exchange)
    if (answer) yield* freeNeedy(exchanges)
  }
  if (more) return // it reads all of them
  for (const { collection, server } of yield* withBases(exchanges)) yield* pruneBases(log.database, collection, server)
}

/** Those of which versions are kept for the server: usually there are none. */
function* withBases(exchanges: Exchanges): Transaction<Exchange[]> {
  const parts = exchanges.map(
    ({ collection, server }, n) =>
      `SELECT ${n} AS n, EXISTS (SELECT 1 FROM ${quote(baseTableOf(collection.table))} WHERE _sync_server = ${server.id}) AS kept`,
  )
  const rows = yield* query(parts.join(' UNION ALL '))
  return rows.flatMap(({ n, kept }) => (kept ? [exchanges[Number(n)] as Exchange] : []))
}
