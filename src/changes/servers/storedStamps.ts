// The stamps of this database under which the rows of a server were stored: they are no local changes for that server.

import { type Database, query, type Transaction } from '../../databases/database.js'
import { LAST } from '../rows/place.js'
import { isAllPushed } from './agreement.js'
import type { ServerState } from './serverState.js'

/**
 * Notes that a server's rows are stored under a stamp: they are no local changes for it. `before` is the stamp before that one. Where everything
 * of a server in `together` was pushed up to `before`, everything is pushed up to the stamp.
 */
export function* noteStored(
  database: Database,
  servers: Iterable<ServerState>,
  together: readonly ServerState[],
  stamp: number,
  before: number,
): Transaction<void> {
  const allPushed: ServerState[] = []
  const noted: ServerState[] = []
  for (const server of servers) {
    if (together.includes(server) && isAllPushed(server, before)) allPushed.push(server)
    else if (!server.stored.has(stamp)) noted.push(server)
  }
  for (const server of allPushed) server.pushedTo = { stamp, id: LAST }
  for (const server of noted) (server.stored as Set<number>).add(stamp)
  const idsOf = (some: readonly ServerState[]) => some.map(({ id }) => id)
  yield* database.updateRows(
    'sync_server',
    ['pushed_stamp'],
    ['id'],
    idsOf(allPushed).map(id => [stamp, id]),
  )
  yield* database.upsertRows(
    'sync_stamp',
    ['server', 'stamp'],
    ['server', 'stamp'],
    idsOf(noted).map(id => [id, stamp]),
  )
}

/** Forgets the stamps of which everything is pushed. */
export function* forgetStored(servers: readonly ServerState[]): Transaction<void> {
  for (const server of servers) {
    const { stamp, id } = server.pushedTo
    const below = id === LAST ? stamp + 1 : stamp
    const outdated = [...server.stored].filter(s => s < below)
    if (!outdated.length) continue
    for (const old of outdated) (server.stored as Set<number>).delete(old)
    yield* query('DELETE FROM sync_stamp WHERE server = ? AND stamp < ?', server.id, below)
  }
}
