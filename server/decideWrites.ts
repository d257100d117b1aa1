// What each row of a POST would become.

import type { ChangeLog } from '../src/changes/changeLog.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { nameOf } from '../src/changes/rows/dependents.js'
import { type Held, readHeld } from '../src/changes/rows/held.js'
import type { Transaction } from '../src/databases/database.js'
import type { WireRow } from '../src/protocol/messages.js'
import type { PostedRow, PostedWrite, Rejected, VersionOf } from './posted.js'
import type { Reach } from './reached.js'

/** What each row would become; of a partial row only the posted properties. A value that its column cannot hold rejects the row. */
export function* decideWrites(
  { database }: ChangeLog,
  rows: readonly PostedRow[],
  versionOf: VersionOf,
  { cleared }: Reach,
): Transaction<{ writes: PostedWrite[]; rejections: Rejected[] }> {
  const writes: PostedWrite[] = []
  const rejections: Rejected[] = []
  const heldOf = new Map<PostedRow, Held>()
  for (const [collection, some] of byCollection(rows.filter(row => row.value !== null))) {
    const held = yield* readHeld(
      database,
      collection,
      some.map(row => row.value as WireRow),
    )
    for (const [i, row] of some.entries()) heldOf.set(row, held[i] as Held)
  }
  for (const row of rows) {
    const { collection, id, value } = row
    const old = versionOf(row)
    if (value === null) {
      writes.push({ collection, id, old, value })
      continue
    }
    const { value: posted, errors } = heldOf.get(row) as Held
    const rejection = collection.rejectKey(id, value)
    if (rejection) rejections.push({ collection, id, property: 'id', code: 'not-valid', detail: `It ${rejection}.` })
    for (const { property, detail } of errors) rejections.push({ collection, id, property, code: 'not-valid', detail: `It ${detail}.` })
    // its parent is removed, and the sender did not say what that does to the row
    for (const property in cleared.get(nameOf(row))) if (!Object.hasOwn(posted, property)) posted[property] = null
    if (rejection === undefined && !errors.length) writes.push({ collection, id, old, value: posted })
  }
  return { writes, rejections }
}
