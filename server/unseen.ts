// What of a POST changes more than its sender could know.

import type { ChangeLog } from '../src/changes/changeLog.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { readStaying } from '../src/changes/rows/skipped.js'
import type { Transaction } from '../src/databases/database.js'
import { readUnseenCircle } from './circles.js'
import type { PostedRow, PostedWrite, VersionOf } from './posted.js'
import type { Contested } from './push.js'

/** Posted removals whose rows stay although they are deleted. */
export function* readStayingOf({ database }: ChangeLog, rows: readonly PostedRow[], versionOf: VersionOf): Transaction<Set<PostedRow>> {
  const staying = new Set<PostedRow>()
  const removals = rows.filter(r => r.value === null && versionOf(r).value !== null)
  for (const [collection, some] of byCollection(removals)) {
    const ids = some.map(r => r.id)
    const stay = yield* readStaying(database, collection, ids)
    for (const row of some) if (stay.has(row.id)) staying.add(row)
  }
  return staying
}

export function* readUnseenCircles({ database }: ChangeLog, writes: readonly PostedWrite[], since: number): Transaction<Contested[]> {
  const contested: Contested[] = []
  for (const [collection, some] of byCollection(writes))
    for (const [id, version] of yield* readUnseenCircle(database, collection, some, since)) contested.push({ collection, id, ...version })
  return contested
}
