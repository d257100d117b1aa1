// The conflicts of several entities, in one snapshot.

import type { ObjectLiteral } from 'typeorm'
import type { ChangeLog } from '../../changes/changeLog.js'
import type { Collection } from '../../changes/collections/collection.js'
import { serversOf } from '../../changes/servers/servers.js'
import { first, type Transaction } from '../../databases/database.js'
import { openExchange } from '../exchange.js'
import { isConflict, listUnapplied, type UnresolvedConflict } from './listed.js'

/** Those that nobody has decided. Where there are none it costs one statement. */
export function* listConflicts<Entity extends ObjectLiteral>(
  log: ChangeLog,
  collections: readonly Collection[],
): Transaction<UnresolvedConflict<Entity>[]> {
  if (!(yield* first('SELECT 1 FROM sync_unapplied LIMIT 1'))) return []
  const found: UnresolvedConflict<Entity>[] = []
  for (const collection of collections) {
    for (const { id } of yield* serversOf(collection)) {
      const exchange = yield* openExchange(log, collection, id)
      if (exchange) for (const row of yield* listUnapplied<Entity>(exchange)) if (isConflict(row)) found.push(row)
    }
  }
  return found
}
