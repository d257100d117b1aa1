import { dropTentativeBases } from '../../changes/servers/baseVersions.js'
import { writeServers } from '../../changes/servers/serverState.js'
import type { Transaction } from '../../databases/database.js'
import { type Exchanges, type Session, transaction } from '../session.js'
import type { Sent } from './preparePush.js'

/** Those that are in a push. False of all of them: another sync has ended it meanwhile, with its rows. */
export const partOf = (exchanges: Exchanges, { key }: Sent) => exchanges.filter(({ server }) => server.push?.key === key)

export function endPush(session: Session, push: Sent, batch?: number): Promise<boolean> {
  return transaction(session, exchanges => endIn(exchanges, push, batch))
}

/** False where another sync has ended it meanwhile. */
export function* endIn(all: Exchanges, push: Sent, batch?: number): Transaction<boolean> {
  const exchanges = partOf(all, push)
  const [any] = exchanges
  if (!any) return false
  const servers = exchanges.map(exchange => exchange.server)
  for (const server of servers) {
    server.push = null
    if (batch !== undefined) server.batch = batch
  }
  yield* writeServers(any.log.database, servers)
  for (const { log, collection, server } of exchanges) yield* dropTentativeBases(log.database, collection, server)
  return true
}
