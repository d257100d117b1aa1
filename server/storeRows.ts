// Stores the rows of a POST, or says which are contested or rejected.

import type { ChangeLog } from '../src/changes/changeLog.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { type Dependent, nameOf } from '../src/changes/rows/dependents.js'
import { NEVER, type Version } from '../src/changes/rows/rows.js'
import { deleteStaying } from '../src/changes/rows/skipped.js'
import { keepReplaced } from '../src/changes/store/keepReplaced.js'
import { equalValues } from '../src/databases/columns.js'
import type { Clock, Transaction } from '../src/databases/database.js'
import type { WireRow } from '../src/protocol/messages.js'
import type { Access } from './access.js'
import { assignNumbers } from './assignedNumbers.js'
import { decideWrites } from './decideWrites.js'
import { storeNewRows } from './newRows.js'
import { type PostedRow, type PostedWrite, type Rejected, readVersionsOf } from './posted.js'
import type { Contested, Push, PushOutcome } from './push.js'
import { notAllowed, PushAccess } from './pushAccess.js'
import { type Reach, readReached, rejectByRelation } from './reached.js'
import { rejectTogether, unique } from './rejections.js'
import { storeAll } from './storeAll.js'
import { isStoredAsPosted } from './storedAsPosted.js'
import { readStayingOf, readUnseenCircles } from './unseen.js'

const stored = (now: number, before: Clock, isExact: boolean): PushOutcome => ({
  kind: 'stored',
  replayed: false,
  answer: { status: 'ok', now, ...(isExact && { since: before.now }) },
})

export function* storeRows(log: ChangeLog, push: Push, clock: Clock, access: Access | undefined): Transaction<PushOutcome> {
  const judge = access && new PushAccess(log, access)
  if (judge) yield* judge.begin(push.rows)
  const inserted = yield* storeNewRows(log, push.rows)
  if (inserted === undefined) return yield* storeOverRows(log, push, clock, judge)
  const created = (judge ? push.rows : []).map((row): PostedWrite => ({ ...row, old: NEVER }))
  const rejections = judge ? yield* judge.rejectAfter(created, () => NEVER) : []
  if (rejections.length) return { kind: 'rejected', rejections: unique(rejections) }
  const isSeenWhole = yield* isSeen(log, judge, created, inserted, clock)
  return stored(inserted, clock, isSeenWhole && (yield* isStoredAsPosted(log, push.rows, () => NEVER)))
}

/**
 * Does the sender see all that was stored, and nothing that was there? Else they have to read what has left them; or, at a relay, what has come with its
 * parent: the rows of a path get no stamp there, and who reads begins anew (databases/paths.ts). Notes what the sender has made and does not see.
 */
function* isSeen(
  log: ChangeLog,
  judge: PushAccess | undefined,
  stored: readonly PostedWrite[],
  stamp: number,
  before: Clock,
): Transaction<boolean> {
  if (!judge) return true
  const rows = stored.filter(w => w.value !== null)
  if ((yield* judge.noteUnseen(rows, stamp)).length) return false
  return !hasPaths(log) || (yield* log.database.clock()).horizon === before.horizon
}

const hasPaths = ({ collections }: ChangeLog) => collections.some(({ scopes }) => scopes.some(({ path }) => path))

function* storeOverRows(log: ChangeLog, push: Push, clock: Clock, judge: PushAccess | undefined): Transaction<PushOutcome> {
  const { since, seen, compared } = push
  const versionOf = yield* readVersionsOf(log, push.rows)
  const view = judge ? yield* judge.see(push.rows, versionOf) : { versionOf, hidden: new Set<PostedRow>() }
  // the removal of a row that is not seen says nothing, not even to a cascade
  const rows = push.rows.filter(r => r.value !== null || !view.hidden.has(r))
  const staying = yield* readStayingOf(log, rows, versionOf)
  const going = rows.filter(r => !staying.has(r))
  const reached = yield* readReached(log, going, versionOf)

  // what the sender has not seen, of the posted rows and of those to which a removal cascades (law 9)
  const stale = since === undefined ? [] : rows.filter(row => view.versionOf(row).stamp > since)
  const halves = rows.filter(r => r.partial && view.versionOf(r).value === null)
  const reachedSeen = new Set<Dependent>(judge ? yield* judge.seen(reached.changes) : reached.changes)
  const unread =
    since === undefined ? [] : inRows(reached.changes).filter(c => reachedSeen.has(c) && compared.has(c.collection) && c.old.stamp > since)
  const contested = [...new Set([...stale, ...halves])].map(row => contestedBy(row, view.versionOf(row)))
  if (stale.length || unread.length || halves.length) {
    const along = push.answersReached ? unread.map(change => contestedBy(change, change.old)) : []
    return { kind: 'stale', clock, contested: [...contested, ...along] }
  }

  const { writes, rejections } = yield* decideWrites(log, going, versionOf, reached)
  const circles = since === undefined ? [] : yield* readUnseenCircles(log, writes, since)
  const shownCircles = judge ? yield* judge.seen(circles) : circles
  if (shownCircles.length) return { kind: 'stale', clock, contested: shownCircles }
  for (const { collection } of circles) rejections.push(...writes.filter(w => w.collection === collection).map(rejectTogether))
  rejections.push(...(yield* rejectByRelation(log, writes, reached)))
  const unseen = inRows(reached.changes).filter(({ collection: there, old }) => old.stamp > (seen?.get(there) ?? old.stamp))
  for (const row of reached.removalsOf(unseen.flatMap(change => change.parents)))
    rejections.push({ ...row, code: 'children-unseen', detail: 'It would remove or change rows that the sender has not seen.' })

  const posted = writes.filter(w => (w.value === null ? w.old.value !== null : w.old.value === null || !covers(w.old.value, w.value)))
  // what is taken back is a change too: with its stamp it is read by the sender
  const numbered = yield* assignNumbers(log, posted)
  const changing = posted.map(w => numbered.get(w) ?? w)
  if (judge) {
    const removed = [...staying].map((row): PostedWrite => ({ ...row, old: versionOf(row) }))
    rejections.push(...(yield* rejectByRules(judge, rows, view.hidden, [...changing, ...removed])))
    rejections.push(...(yield* rejectReaching(judge, reached, reachedSeen)))
  }
  if (rejections.length) return { kind: 'rejected', rejections: unique(rejections) }

  if (!changing.length && !staying.size) return stored(clock.now, clock, true)
  const stamp = yield* log.database.tick()
  const failed = changing.length ? yield* storeAll(log, reached, changing, stamp) : []
  if (failed.length) return { kind: 'rejected', rejections: failed }
  const forbidden = judge ? [...(yield* judge.rejectAfter(changing, versionOf)), ...(yield* rejectClearing(judge, reached))] : []
  if (forbidden.length) return { kind: 'rejected', rejections: unique(forbidden) }
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
  const isSeenWhole = yield* isSeen(log, judge, changing, stamp, clock)
  const isMore = reached.changes.length || reached.cleared.size || staying.size || numbered.size
  return stored(stamp, clock, isSeenWhole && !isMore && (yield* isStoredAsPosted(log, rows, versionOf)))
}

/** Rows that their sender does not see, or may not change or remove as they are. */
function* rejectByRules(
  judge: PushAccess,
  rows: readonly PostedRow[],
  hidden: ReadonlySet<PostedRow>,
  changing: readonly PostedWrite[],
): Transaction<Rejected[]> {
  const forbidden = new Set([...hidden].filter(r => r.value !== null).map(nameOf))
  for (const row of yield* judge.forbiddenBefore(changing)) forbidden.add(nameOf(row))
  return rows.filter(r => forbidden.has(nameOf(r))).map(notAllowed)
}

/** Removals that reach rows which their sender does not see, or may not change. */
function* rejectReaching(judge: PushAccess, { changes, removalsOf }: Reach, seen: ReadonlySet<Dependent>): Transaction<Rejected[]> {
  const rows = inRows(changes)
  const others = new Set<Dependent>(yield* judge.forbiddenBefore(rows))
  const untouchable = rows.filter(c => !seen.has(c) || others.has(c))
  return removalsOf(untouchable.flatMap(change => change.parents)).map(childrenExist)
}

/** When everything is stored: removals that took rows out of others which their sender might not take out (ON DELETE SET NULL). */
function* rejectClearing(judge: PushAccess, { changes, removalsOf }: Reach): Transaction<Rejected[]> {
  const cleared = yield* judge.forbiddenAfter(changes.filter(change => change.value !== null))
  return removalsOf(cleared.flatMap(change => change.parents)).map(childrenExist)
}

const childrenExist = (row: Dependent): Rejected => ({ ...row, code: 'children-exist', detail: 'There are rows that need it.' })

/** Without links: these go with the rows that they link, whoever made them. */
const inRows = <C extends Dependent>(changes: readonly C[]) => changes.filter(change => !change.collection.isLink)

const contestedBy = ({ collection, id }: Dependent, { value, stamp }: Version): Contested => ({ collection, id, value, stamp })

/** Does the row have these values already? */
const covers = (row: WireRow, value: WireRow) => Object.keys(value).every(p => equalValues(row[p], value[p]))
