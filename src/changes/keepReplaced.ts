// A version that is replaced is kept as a base version for every server that knows it (law 4).

import type { Transaction } from '../databases/database.js'
import type { Change } from './change.js'
import type { ChangeLog } from './changeLog.js'
import { byCollection, groupBy } from './groupBy.js'
import { hasOtherServers } from './servers.js'

/** Whoever replaces a version keeps it, for every server that knows it (law 4): while the rows stand as they were. */
export function* keepReplaced({ database }: ChangeLog, changes: readonly Change[]): Transaction<void> {
  for (const [collection, all] of byCollection(changes)) {
    for (const [from, some] of groupBy(all, c => c.from)) {
      if (!(yield* hasOtherServers(collection, from?.id))) continue
      const idsOf = (of: readonly Change[]) => of.map(c => c.id)
      yield* database.keepRows(collection.table, idsOf(some.filter(c => c.old.value !== null)), from?.id)
      // A row that came from a server is not born here: no other server may take «nothing» for its base (law 10).
      const isBirth = (c: Change) => c.old.value === null && (c.old.stamp > 0 || from === undefined)
      yield* database.keepAbsentBases(collection.table, idsOf(some.filter(isBirth)), from?.id)
    }
  }
}
