// Stores the rows of a POST, or says which are contested or rejected.

import type { ChangeLog } from '../src/changes/changeLog.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import type { Dependent } from '../src/changes/rows/dependents.js'
import { NEVER, type Version } from '../src/changes/rows/rows.js'
import { deleteStaying } from '../src/changes/rows/skipped.js'
import { keepReplaced } from '../src/changes/store/keepReplaced.js'
import { equalValues } from '../src/databases/columns.js'
import type { Clock, Transaction } from '../src/databases/database.js'
import type { WireRow } from '../src/protocol/messages.js'
import { decideWrites } from './decideWrites.js'
import { storeNewRows } from './newRows.js'
import { readVersionsOf } from './posted.js'
import type { Contested, Push, PushOutcome } from './push.js'
import { readReached, rejectByRelation } from './reached.js'
import { unique } from './rejections.js'
import { storeAll } from './storeAll.js'
import { isStoredAsPosted } from './storedAsPosted.js'
import { readStayingOf, readUnseenCircles } from './unseen.js'

const stored = (now: number, before: Clock, isExact: boolean): PushOutcome => ({
  kind: 'stored',
  replayed: false,
  answer: { status: 'ok', now, ...(isExact && { since: before.now }) },
})

export function* storeRows(log: ChangeLog, push: Push, clock: Clock): Transaction<PushOutcome> {
  const { rows, since, seen, compared } = push
  const inserted = yield* storeNewRows(log, rows)
  if (inserted !== undefined) return stored(inserted, clock, yield* isStoredAsPosted(log, rows, () => NEVER))
  const versionOf = yield* readVersionsOf(log, rows)
  const staying = yield* readStayingOf(log, rows, versionOf)
  const going = rows.filter(r => !staying.has(r))
  const reached = yield* readReached(log, going, versionOf)

  // what the sender has not seen, of the posted rows and of those to which a removal cascades (law 9)
  const stale = since === undefined ? [] : rows.filter(row => versionOf(row).stamp > since)
  const halves = rows.filter(r => r.partial && versionOf(r).value === null)
  const unread = since === undefined ? [] : reached.changes.filter(c => compared.has(c.collection) && c.old.stamp > since)
  const contested = [...new Set([...stale, ...halves])].map(row => contestedBy(row, versionOf(row)))
  if (stale.length || unread.length || halves.length) {
    const along = push.answersReached ? unread.map(change => contestedBy(change, change.old)) : []
    return { kind: 'stale', clock, contested: [...contested, ...along] }
  }

  const { writes, rejections } = yield* decideWrites(log, going, versionOf, reached)
  const circles = since === undefined ? [] : yield* readUnseenCircles(log, writes, since)
  if (circles.length) return { kind: 'stale', clock, contested: circles }
  rejections.push(...(yield* rejectByRelation(log, writes, reached)))
  const unseen = reached.changes.filter(({ collection: there, old }) => old.stamp > (seen?.get(there) ?? old.stamp))
  for (const row of reached.removalsOf(unseen.flatMap(change => change.parents)))
    rejections.push({ ...row, code: 'children-unseen', detail: 'It would remove or change rows that the sender has not seen.' })
  if (rejections.length) return { kind: 'rejected', rejections: unique(rejections) }

  const changing = writes.filter(w => (w.value === null ? w.old.value !== null : w.old.value === null || !covers(w.old.value, w.value)))
  if (!changing.length && !staying.size) return stored(clock.now, clock, true)
  const stamp = yield* log.database.tick()
  const failed = changing.length ? yield* storeAll(log, reached, changing, stamp) : []
  if (failed.length) return { kind: 'rejected', rejections: failed }
  yield* keepReplaced(
    log,
    [...staying].map(row => ({ ...row, old: versionOf(row), value: {}, stamp })),
  )
  for (const [collection, some] of byCollection([...staying]))
    yield* deleteStaying(
      log.database,
      collection,
      some.map(r => r.id),
      stamp,
    )
  const isExact = !reached.changes.length && !reached.cleared.size && !staying.size && (yield* isStoredAsPosted(log, rows, versionOf))
  return stored(stamp, clock, isExact)
}

const contestedBy = ({ collection, id }: Dependent, { value, stamp }: Version): Contested => ({ collection, id, value, stamp })

/** Does the row have these values already? */
const covers = (row: WireRow, value: WireRow) => Object.keys(value).every(p => equalValues(row[p], value[p]))
