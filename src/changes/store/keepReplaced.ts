// A version that is replaced is kept as a base version for every server that knows it (law 4).

import type { Transaction } from '../../databases/database.js'
import type { ChangeLog } from '../changeLog.js'
import { byCollection, groupBy } from '../collections/groupBy.js'
import { hasOtherServers } from '../servers/servers.js'
import type { Change } from './change.js'

/** Keeps what these changes replace, for every server that knows it (law 4). To be called before the rows change. */
export function* keepReplaced({ database }: ChangeLog, changes: readonly Change[]): Transaction<void> {
  for (const [collection, all] of byCollection(changes)) {
    for (const [from, some] of groupBy(all, c => c.from)) {
      if (!(yield* hasOtherServers(collection, from?.id))) continue
      const idsOf = (of: readonly Change[]) => of.map(c => c.id)
      yield* database.keepRows(collection.table, idsOf(some.filter(c => c.old.value !== null)), from?.id)
      // A row that came from a server was not created locally: its base for another server is not «absent» (law 10).
      const isCreation = (c: Change) => c.old.value === null && (c.old.stamp > 0 || from === undefined)
      yield* database.keepAbsentBases(collection.table, idsOf(some.filter(isCreation)), from?.id)
    }
  }
}
