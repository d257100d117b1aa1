// Stores a POST: all of it, or nothing (PROTOCOL.md, POST).

import type { Change } from '../src/changes/change.js'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collection.js'
import { type Dependent, nameOf } from '../src/changes/dependents.js'
import { byCollection } from '../src/changes/groupBy.js'
import { type Held, readHeld } from '../src/changes/held.js'
import { keepReplaced } from '../src/changes/keepReplaced.js'
import { isAnyRemoved, NEVER, readVersions, type Version } from '../src/changes/rows.js'
import { hasServers } from '../src/changes/servers.js'
import { deleteStaying, readStaying } from '../src/changes/skipped.js'
import { insertNew } from '../src/changes/store.js'
import { storeAcceptable } from '../src/changes/storeAcceptable.js'
import { storeChanges } from '../src/changes/storeChanges.js'
import { equalValues } from '../src/databases/columns.js'
import { type Clock, type Database, first, Rollback, savepoint, type Transaction } from '../src/databases/database.js'
import { ConstraintError } from '../src/errors.js'
import type { PushAnswer, Reset, WireRow } from '../src/protocol/messages.js'
import { readUnseenCircle } from './circles.js'
import { ignoredProperties } from './ignored.js'
import { type PostedRow, type PostedWrite, type Rejected, readVersionsOf, type VersionOf } from './posted.js'
import { type Reach, readReached, rejectByRelation } from './reached.js'

/** What stands at an id that is contested. */
export interface Contested extends Dependent, Version {}

/** What is answered, in the words of the route or of the feed. */
export interface StoredAnswer extends Omit<PushAnswer, 'ignored'> {
  readonly ignored?: unknown
}

export interface Push {
  readonly rows: readonly PostedRow[]
  /** «I have seen everything up to here»; without it the last write wins. */
  readonly since?: number
  readonly collection?: string
  /** Collections whose rows, where a removal takes them along, the sender has seen up to `since` as well. */
  readonly compared: ReadonlySet<Collection>
  /** Are such rows told, where they are contested? */
  readonly answersReached?: boolean
  /** How far the sender has read other collections, whose rows a removal may take along. */
  readonly seen?: ReadonlyMap<Collection, number>
  /** With what it belongs to: a key says nothing about the push to another route. */
  readonly key?: string
  /** Writes the properties that are not known, for the answer. */
  readonly writeIgnored: (ignored: ReadonlyMap<Collection, readonly string[]>) => unknown
  /** Of the body as it came, to tell a repeated request from another one under the same key. */
  readonly hash: string
}

export type PushOutcome =
  | { readonly kind: 'stored'; readonly answer: StoredAnswer; readonly replayed: boolean }
  | { readonly kind: 'stale'; readonly clock: Clock; readonly contested: readonly Contested[]; readonly reset?: Reset }
  | { readonly kind: 'rejected'; readonly rejections: readonly Rejected[] }
  | { readonly kind: 'key-reused' }

/** To be run in a durable step. */
export function* storePush(log: ChangeLog, push: Push): Transaction<PushOutcome> {
  const known = push.key === undefined ? undefined : yield* readAnswer(push.key)
  if (known)
    return known.hash === push.hash || !push.rows.length || known.answer.empty
      ? { kind: 'stored', answer: known.answer, replayed: true }
      : { kind: 'key-reused' }
  const clock = yield* log.database.clock()
  const reset = resetOf(clock, push)
  if (reset) return { kind: 'stale', clock, contested: [], reset }
  const outcome = push.rows.length ? yield* storeRows(log, push, clock) : nothing(clock, push)
  if (outcome.kind !== 'stored') return outcome
  const ignored = ignoredProperties(push.rows)
  const answer = ignored.size ? { ...outcome.answer, ignored: push.writeIgnored(ignored) } : outcome.answer
  if (push.key !== undefined) yield* writeAnswer(log, push.key, push.hash, answer)
  return { ...outcome, answer }
}

function resetOf(clock: Clock, { since, collection }: Push): Reset | undefined {
  if ((collection !== undefined && collection !== clock.collection) || (since ?? 0) > clock.now) return 'collection-changed'
  return since !== undefined && since < clock.horizon ? 'since-too-old' : undefined
}

// An empty push takes no stamp. Under a new key it uses the key up: the push that it ends never counts.
function nothing({ now }: Clock, { key }: Push): PushOutcome {
  return { kind: 'stored', replayed: false, answer: { status: 'ok', now, since: now, ...(key !== undefined && { empty: true }) } }
}

// ---------------------------------------------------------------- keys

function* readAnswer(key: string): Transaction<{ hash: string; answer: StoredAnswer } | undefined> {
  const row = yield* first('SELECT hash, answer FROM sync_push WHERE "key" = ?', key)
  return row && { hash: String(row.hash), answer: JSON.parse(String(row.answer)) }
}

function* writeAnswer({ database }: ChangeLog, key: string, hash: string, answer: StoredAnswer): Transaction<void> {
  yield* database.insertRows('sync_push', ['key', 'hash', 'answer', 'answered_at'], [[key, hash, JSON.stringify(answer), Date.now()]])
}

// ---------------------------------------------------------------- rows

const stored = (now: number, before: Clock, isExact: boolean): PushOutcome => ({
  kind: 'stored',
  replayed: false,
  answer: { status: 'ok', now, ...(isExact && { since: before.now }) },
})

/** Stores rows that are all new, as in the first push of a client. Gives the stamp; undefined where one of them may be known. */
function* storeNewRows({ database, collections }: ChangeLog, rows: readonly PostedRow[]): Transaction<number | undefined> {
  if (rows.some(r => r.partial || r.value === null)) return
  const groups = byCollection(rows)
  // a tombstone is a version too, and servers of ours that know there is none keep that
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
    }, 'sync_births')
  } catch (error) {
    if (!(error instanceof Rollback)) throw error
    return
  }
}

function* storeRows(log: ChangeLog, push: Push, clock: Clock): Transaction<PushOutcome> {
  const { rows, since, seen, compared } = push
  const inserted = yield* storeNewRows(log, rows)
  if (inserted !== undefined) return stored(inserted, clock, yield* isStoredAsPosted(log, rows, () => NEVER))
  const versionOf = yield* readVersionsOf(log, rows)
  const staying = yield* readStayingOf(log, rows, versionOf)
  const going = rows.filter(r => !staying.has(r))
  const reached = yield* readReached(log, going, versionOf)

  // what the sender has not seen, of the rows posted and of those that a removal takes along (law 9)
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
    rejections.push({ ...row, code: 'children-unseen', detail: 'It would take along rows that the sender has not seen.' })
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

/** Posted removals whose rows stay although they are deleted. */
function* readStayingOf({ database }: ChangeLog, rows: readonly PostedRow[], versionOf: VersionOf): Transaction<Set<PostedRow>> {
  const staying = new Set<PostedRow>()
  const removals = rows.filter(r => r.value === null && versionOf(r).value !== null)
  for (const [collection, some] of byCollection(removals)) {
    const ids = some.map(r => r.id)
    const stay = yield* readStaying(database, collection, ids)
    for (const row of some) if (stay.has(row.id)) staying.add(row)
  }
  return staying
}

function* readUnseenCircles({ database }: ChangeLog, writes: readonly PostedWrite[], since: number): Transaction<Contested[]> {
  const contested: Contested[] = []
  for (const [collection, some] of byCollection(writes))
    for (const [id, version] of yield* readUnseenCircle(database, collection, some, since)) contested.push({ collection, id, ...version })
  return contested
}

const contestedBy = ({ collection, id }: Dependent, { value, stamp }: Version): Contested => ({ collection, id, value, stamp })

/** Does the row have these values already? */
const covers = (row: WireRow, value: WireRow) => Object.keys(value).every(p => equalValues(row[p], value[p]))

/** What each row would become; of a part only what it tells. A value that its column cannot hold rejects the row. */
function* decideWrites(
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
    const rejection = collection.rejectKey(id)
    if (rejection) rejections.push({ collection, id, property: 'id', code: 'not-valid', detail: `It ${rejection}.` })
    for (const { property, detail } of errors) rejections.push({ collection, id, property, code: 'not-valid', detail: `It ${detail}.` })
    // its parent goes: what the sender did not say of that
    for (const property of cleared.get(nameOf(row)) ?? []) if (!Object.hasOwn(posted, property)) posted[property] = null
    if (rejection === undefined && !errors.length) writes.push({ collection, id, old, value: posted })
  }
  return { writes, rejections }
}

// ---------------------------------------------------------------- storing

/** Stores everything, or nothing: gives the rows that the database rejects, all of them. */
function* storeAll(log: ChangeLog, reached: Reach, writes: readonly PostedWrite[], stamp: number): Transaction<Rejected[]> {
  const posted = new Set<Change>(writes.map(write => ({ ...write, stamp })))
  const changes = [...reached.changes.map((change): Change => ({ ...change, stamp })), ...posted]
  let broken: ConstraintError
  try {
    yield* savepoint(() => storeChanges(log, changes))
    return []
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    broken = error
  }
  // once more, to name each bad row; the whole attempt is undone
  const rejections: Rejected[] = []
  let unknown = 0
  try {
    yield* savepoint(function* () {
      yield* storeAcceptable(log.database, changes, {
        change: change => change,
        store: some => storeChanges(log, some),
        // biome-ignore lint/correctness/useYield: nothing is stored about it
        *fail(change, error) {
          const rows = posted.has(change) ? [change] : reached.removalsOf([change])
          for (const row of rows) rejections.push(rejectionOf(row, error as ConstraintError))
          if ((error as ConstraintError).kind === 'unknown') unknown++
        },
      })
      throw new Rollback()
    }, 'sync_trial')
  } catch (error) {
    if (!(error instanceof Rollback)) throw error
  }
  // what happens to every row of several, or to none alone, is no row's fault; a row that is pushed by itself would block the queue for ever
  const isWhole = !rejections.length || (unknown === changes.length && (writes.length > 1 || broken.isSchemaMismatch))
  if (broken.kind === 'unknown' && isWhole) throw broken
  return rejections.length ? unique(rejections) : writes.map(rejectTogether)
}

export const rejectTogether = ({ collection, id }: Dependent): Rejected => ({
  collection,
  id,
  code: 'not-valid',
  detail: 'The rows of this push cannot be stored together.',
})

function rejectionOf({ collection, id }: Dependent, { kind, column, state }: ConstraintError): Rejected {
  const property = collection.columns.find(c => c.column === column)?.property
  const rejection = { collection, id, ...(property !== undefined && { property }) }
  if (kind === 'unique') return { ...rejection, code: 'not-unique', detail: 'Another row has this value.' }
  if (kind === 'foreign-key')
    return { ...rejection, code: 'parent-missing', detail: 'The row that it needs is not there, or rows need it.' }
  if (kind === 'not-null') return { ...rejection, code: 'not-valid', detail: 'It is missing.' }
  // the class of the error tells a developer more; its text may hold values of other rows
  const because = state === undefined ? '.' : ` (${state}).`
  if (kind === 'too-large') return { ...rejection, code: 'too-large', detail: `It is larger than the database can hold there${because}` }
  if (kind === 'not-allowed')
    return { ...rejection, code: 'not-allowed', detail: `The database does not let this row be written${because}` }
  if (kind === 'skipped')
    return { ...rejection, code: 'skipped', detail: 'Something of the application’s on the server skipped it without an error.' }
  if (kind === 'unknown') return { ...rejection, code: 'not-valid', detail: `The database fails to store it${because}` }
  return { ...rejection, code: 'not-valid', detail: `A rule of the ${kind === 'rule' ? 'application' : 'database'} forbids it${because}` }
}

function unique(rejections: readonly Rejected[]): Rejected[] {
  return [...new Map(rejections.map(r => [`${nameOf(r)}\n${r.property}`, r])).values()]
}

/**
 * Does each row stand there as whoever posted it has it now? Where a value was rounded or normalised, or a trigger, a default or a computed
 * column changed another one, the client fetches it. Where the database keeps what it is given that can be told without looking.
 */
function* isStoredAsPosted({ database }: ChangeLog, rows: readonly PostedRow[], versionOf: VersionOf): Transaction<boolean> {
  for (const [collection, some] of byCollection(rows)) if (!(yield* areStoredAsPosted(database, collection, some, versionOf))) return false
  return true
}

function* areStoredAsPosted(
  database: Database,
  collection: Collection,
  rows: readonly PostedRow[],
  versionOf: VersionOf,
): Transaction<boolean> {
  const isKept = yield* database.keepsValues(collection.table)
  // a new row without a property has the column's default
  const lacks = (row: PostedRow) =>
    row.value !== null && versionOf(row).value === null && !collection.columns.every(c => Object.hasOwn(row.value as WireRow, c.property))
  const versions = yield* readVersions(
    database,
    collection,
    rows.filter(r => !isKept || lacks(r)).map(r => r.id),
  )
  return rows.every(row => {
    const { id, value } = row
    const now = versions.get(id)
    if (value === null || (now === undefined && !isKept)) return value === (now?.value ?? null)
    const old = versionOf(row).value
    return collection.columns.every(({ property, canonical }) => {
      const given = Object.hasOwn(value, property) ? value[property] : old?.[property]
      if (now?.value) return equalValues(now.value[property], given ?? null)
      return !Object.hasOwn(value, property) || equalValues(canonical(given as never), given)
    })
  })
}
