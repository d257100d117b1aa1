// What to wait for: that which a sync would ask for.

import type { ChangeLog } from '../../changes/changeLog.js'
import { findServers } from '../../changes/servers/servers.js'
import type { FeedQuery } from '../../protocol/messages.js'
import { openExchanges } from '../../sync/exchange.js'
import { etagOf } from '../../sync/pull/question.js'
import { heldScope } from '../../sync/scope.js'
import type { Feed } from '../feeds.js'

export interface LiveQuestion {
  readonly query: FeedQuery
  readonly etag: string | null
  /** How far each collection is read, by its path. */
  readonly cursors: ReadonlyMap<string, number>
}

/** Undefined where not all is read yet: a sync comes first. */
export async function liveQuestion(log: ChangeLog, { members }: Feed): Promise<LiveQuestion | undefined> {
  const exchanges = await log.database.transaction(
    function* () {
      const ids = (yield* findServers(members)).filter(id => id !== undefined)
      return ids.length ? yield* openExchanges(log, ids) : []
    },
    { mode: 'read' },
  )
  const pathOf = new Map(members.map(m => [m.collection, m.path]))
  // those that the server lacks have nothing to wait for
  const read = exchanges.filter(({ server }) => server.serverHistory !== null)
  const servers = read.map(({ server }) => server)
  const [any] = servers
  const { scope } = heldScope(servers)
  const isSettled = servers.every(({ page, pulling }) => page === null && !pulling)
  if (!any || !isSettled || scope === '') return
  const cursors = new Map(read.map(({ collection, server }) => [pathOf.get(collection) as string, server.serverDate]))
  const highest = Math.max(...servers.map(s => s.highest))
  const query: FeedQuery = {
    since: Math.min(...cursors.values()),
    ...(highest > 0 && { min: highest }),
    ...(any.serverHistory !== null && { collection: any.serverHistory }),
    ...(scope !== undefined && { scope }),
    collections: [...cursors.keys()],
  }
  return { query, etag: read.length === members.length ? etagOf(servers) : null, cursors }
}

/** Is there something that this client has not read? After a push of its own it has. */
export function isNews(question: LiveQuestion | undefined, { changes, scope }: Readonly<Record<string, unknown>>): boolean {
  if (!question || scope !== question.query.scope) return true
  const stamps = Object.entries(Object(changes))
  return !stamps.length || stamps.some(([path, stamp]) => !(Number(stamp) <= (question.cursors.get(path) ?? -1)))
}
