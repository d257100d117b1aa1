// Forgets what is remembered of rows that are not seen any more: nothing of them remains.

import type { Collection } from '../../changes/collections/collection.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import { baseTableOf, type Database, EXIT, first, type Transaction } from '../../databases/database.js'

/** Of these servers: base versions, conflicts, rejections, what was ignored, and decisions. */
export function* forgetRows(
  database: Database,
  { table, name }: Collection,
  servers: readonly Pick<ServerState, 'id' | 'url'>[],
  ids: readonly string[],
): Transaction<void> {
  if (!ids.length) return
  const pairs = servers.flatMap(server => ids.map(id => [server.id, id]))
  yield* database.deleteRows(baseTableOf(table), ['_sync_server', '_sync_id'], pairs)
  for (const notes of ['sync_unapplied', 'sync_rejection', 'sync_ignored'])
    if (yield* first(`SELECT 1 FROM ${notes} LIMIT 1`)) yield* database.deleteRows(notes, ['server', 'id'], pairs)
  if (!(yield* first('SELECT 1 FROM sync_resolution WHERE collection = ? LIMIT 1', name))) return
  const decisions = servers.flatMap(({ url }) => ids.map(id => [name, id, url]))
  yield* database.deleteRows('sync_resolution', ['collection', 'row_id', 'url'], decisions)
}

/** What says which scopes they were in. */
export const forgetExits = (database: Database, { table }: Collection, ids: readonly string[]): Transaction<void> =>
  database.deleteRows(
    baseTableOf(table),
    ['_sync_server', '_sync_id'],
    ids.map(id => [EXIT, id]),
  )
