// Stores rows that are all new, as in the first push of a client.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { isAnyRemoved } from '../src/changes/rows/rows.js'
import { hasServers } from '../src/changes/servers/servers.js'
import { insertNew } from '../src/changes/store/store.js'
import { Rollback, savepoint, type Transaction } from '../src/databases/database.js'
import { assignedNumbersOf } from './assignedNumbers.js'
import type { PostedRow } from './posted.js'

/** Stores rows that are all new, as in the first push of a client. Gives the stamp; undefined where one of them may be known. */
export function* storeNewRows(log: ChangeLog, rows: readonly PostedRow[]): Transaction<number | undefined> {
  const { database, collections } = log
  if (rows.some(r => r.partial || r.value === null)) return
  const groups = byCollection(rows)
  const numbered = assignedNumbersOf(log)
  if ([...groups.keys()].some(collection => numbered.has(collection))) return
  // a tombstone is a version too, and of a server of ours that knows that there is no row the absent base is kept
  for (const collection of groups.keys()) if ((yield* isAnyRemoved(collection)) || (yield* hasServers(collection))) return
  let stamp: number | undefined
  const insert = (collection: Collection) =>
    insertNew(database, collection, groups.get(collection) ?? [], function* () {
      stamp ??= yield* database.tick()
      return stamp
    })
  if (groups.size === 1) return yield* insert((rows[0] as PostedRow).collection)
  try {
    return yield* savepoint(function* () {
      // parents first: what a row needs is there when it comes
      for (const collection of collections) if (groups.has(collection) && (yield* insert(collection)) === undefined) throw new Rollback()
      return stamp
    }, 'sync_new_rows')
  } catch (error) {
    if (!(error instanceof Rollback)) throw error
    return
  }
}
