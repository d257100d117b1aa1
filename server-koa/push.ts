// Stores a POST: all of it, or nothing (PROTOCOL.md, POST).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collection.js'
import { attempt, type Clock, first, type Step, Undo } from '../src/changes/database/database.js'
import { type Dependent, type Link, nameOf, reaching, readDependents } from '../src/changes/dependents.js'
import type { Change } from '../src/changes/order.js'
import { hasRemotes } from '../src/changes/remotes.js'
import { isAnyRemoved, NEVER, readVersions, type Version } from '../src/changes/rows.js'
import { deleteStaying, readStaying } from '../src/changes/skipped.js'
import { findOrphans, insertNew, type Write } from '../src/changes/store.js'
import { keepReplaced, storeChanges, storeTakeable } from '../src/changes/storeChanges.js'
import { equalValues } from '../src/changes/values.js'
import { ConstraintError, ValueError } from '../src/errors.js'
import type { PushAnswer, PushedRow, Refusal, Reset, StaleAnswer, WireRow } from '../src/protocol/messages.js'
import { readUnseenCircle } from './circles.js'
import { ignoredProperties } from './ignored.js'

export interface Push {
  readonly rows: readonly PushedRow[]
  /** «I have seen everything up to here»; without it the last write wins. */
  readonly since?: number
  readonly collection?: string
  /** How far the sender has read other collections, whose rows a removal may take along. */
  readonly seen?: ReadonlyMap<Collection, number>
  readonly key?: string
  /** Of the body as it came, to tell a repeated request from another one under the same key. */
  readonly hash: string
}

export type PushOutcome =
  | { readonly kind: 'stored'; readonly answer: PushAnswer; readonly replayed: boolean }
  | { readonly kind: 'stale'; readonly answer: StaleAnswer; readonly collection: string }
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }
  | { readonly kind: 'key-reused' }

/** To be run in a durable step. */
export function* storePush(log: ChangeLog, collection: Collection, push: Push): Step<PushOutcome> {
  const known = push.key === undefined ? undefined : yield* readAnswer(collection, push.key)
  if (known)
    return known.hash === push.hash || !push.rows.length || known.answer.empty
      ? { kind: 'stored', answer: known.answer, replayed: true }
      : { kind: 'key-reused' }
  const clock = yield* log.database.clock()
  const reset = resetOf(clock, push)
  if (reset) return { kind: 'stale', collection: clock.collection, answer: { now: clock.now, updates: [], reset } }
  const outcome = push.rows.length ? yield* storeRows(log, collection, push, clock) : nothing(clock, push)
  if (outcome.kind !== 'stored') return outcome
  const ignored = ignoredProperties(collection, push.rows)
  const answer = ignored.length ? { ...outcome.answer, ignored } : outcome.answer
  if (push.key !== undefined) yield* writeAnswer(log, collection, push.key, push.hash, answer)
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

function* readAnswer({ name }: Collection, key: string): Step<{ hash: string; answer: PushAnswer } | undefined> {
  const row = yield* first('SELECT hash, answer FROM sync_push WHERE "key" = ?', `${name} ${key}`)
  return row && { hash: String(row.hash), answer: JSON.parse(String(row.answer)) }
}

function* writeAnswer({ database }: ChangeLog, { name }: Collection, key: string, hash: string, answer: PushAnswer): Step<void> {
  const row = [`${name} ${key}`, hash, JSON.stringify(answer), Date.now()]
  yield* database.insertRows('sync_push', ['key', 'hash', 'answer', 'answered_at'], [row])
}

// ---------------------------------------------------------------- rows

const stored = (now: number, before: Clock, isExact: boolean): PushOutcome => ({
  kind: 'stored',
  replayed: false,
  answer: { status: 'ok', now, ...(isExact && { since: before.now }) },
})

/** Stores rows that are all new, as in the first push of a client. Gives the stamp; undefined where one of them may be known. */
function* storeBirths({ database }: ChangeLog, collection: Collection, rows: readonly PushedRow[]): Step<number | undefined> {
  if (rows.some(r => r.partial || r.value === null)) return
  // a tombstone is a version too, and servers of ours that know there is none keep that
  if ((yield* isAnyRemoved(collection)) || (yield* hasRemotes(collection))) return
  return yield* insertNew(database, collection, rows, () => database.tick())
}

function* storeRows(log: ChangeLog, collection: Collection, { rows, since, seen }: Push, clock: Clock): Step<PushOutcome> {
  const born = yield* storeBirths(log, collection, rows)
  if (born !== undefined) return stored(born, clock, yield* isStoredAsPosted(log, collection, rows, () => NEVER))
  const ids = rows.map(r => r.id)
  const versions = yield* readVersions(log.database, collection, ids)
  const versionOf = (id: string): Version => versions.get(id) ?? { value: null, stamp: 0 }
  const staying = yield* readStaying(
    log.database,
    collection,
    rows.filter(r => r.value === null && versionOf(r.id).value !== null).map(r => r.id),
  )
  const going = rows.filter(r => !staying.has(r.id))
  const reached = yield* readReached(log, collection, going, versionOf)

  // what the sender has not seen, of the rows posted and of those that a removal takes along (law 9)
  const stale = since === undefined ? [] : ids.filter(id => versionOf(id).stamp > since)
  const halves = rows.filter(r => r.partial && versionOf(r.id).value === null).map(r => r.id)
  if (since !== undefined && (stale.length || reached.changes.some(c => c.collection === collection && c.old.stamp > since)))
    return staleAnswer(clock, new Set([...stale, ...halves]), versionOf)
  if (halves.length) return staleAnswer(clock, new Set(halves), versionOf)

  const { writes, refusals } = decideWrites(collection, going, versionOf)
  const circle = since === undefined ? new Map<string, Version>() : yield* readUnseenCircle(log.database, collection, writes, since)
  if (circle.size) return staleAnswer(clock, new Set(circle.keys()), id => circle.get(id) ?? NEVER)
  refusals.push(...(yield* refuseByRelation(log, collection, writes, reached)))
  const unseen = reached.changes.filter(({ collection: there, old }) => old.stamp > (seen?.get(there) ?? old.stamp))
  for (const id of reached.removalsOf(unseen.flatMap(row => row.parents)))
    refusals.push({ id, code: 'children-unseen', detail: 'It would take along rows that the sender has not seen.' })
  if (refusals.length) return { kind: 'refused', refusals: unique(refusals) }

  const changing = writes.filter(w => (w.value === null ? w.old.value !== null : w.old.value === null || !covers(w.old.value, w.value)))
  if (!changing.length && !staying.size) return stored(clock.now, clock, true)
  const stamp = yield* log.database.tick()
  const failed = changing.length ? yield* storeAll(log, collection, reached, changing, stamp) : []
  if (failed.length) return { kind: 'refused', refusals: failed }
  yield* keepReplaced(
    log,
    [...staying].map(id => ({ collection, id, old: versionOf(id), value: {}, stamp })),
  )
  yield* deleteStaying(log.database, collection, [...staying], stamp)
  const isExact = !reached.changes.length && !staying.size && (yield* isStoredAsPosted(log, collection, rows, versionOf))
  return stored(stamp, clock, isExact)
}

/** Does the row have these values already? */
const covers = (row: WireRow, value: WireRow) => Object.keys(value).every(p => equalValues(row[p], value[p]))

function staleAnswer({ now, collection }: Clock, ids: ReadonlySet<string>, versionOf: (id: string) => Version): PushOutcome {
  return { kind: 'stale', collection, answer: { now, updates: [...ids].map(id => ({ id, ...versionOf(id) })) } }
}

/** What each row would become; of a part only what it tells. A value that its column cannot hold refuses the row. */
function decideWrites(
  collection: Collection,
  rows: readonly PushedRow[],
  versionOf: (id: string) => Version,
): { writes: Write[]; refusals: Refusal[] } {
  const writes: Write[] = []
  const refusals: Refusal[] = []
  for (const { id, value } of rows) {
    const old = versionOf(id)
    if (value === null) {
      writes.push({ id, old, value })
      continue
    }
    const posted: WireRow = {}
    const refusal = collection.refuseKey(id)
    if (refusal) refusals.push({ id, property: 'id', code: 'not-valid', detail: `It ${refusal}.` })
    let isValid = refusal === undefined
    for (const column of collection.columns) {
      const { property } = column
      if (!Object.hasOwn(value, property)) continue
      try {
        posted[property] = column.toWire(column.fromWire(value[property] as never))
      } catch (error) {
        if (!(error instanceof ValueError)) throw error
        refusals.push({ id, property, code: 'not-valid', detail: `It ${error.detail}.` })
        isValid = false
      }
    }
    if (isValid) writes.push({ id, old, value: posted })
  }
  return { writes, refusals }
}

// ---------------------------------------------------------------- foreign keys

/** A row that was not posted and that posted removals change. */
interface Reached extends Dependent {
  readonly old: Version
  /** What is set; null: removed. */
  readonly value: WireRow | null
  /** Those that take it along. */
  readonly parents: readonly Dependent[]
}

interface Reach {
  /** Those that depend on others first. */
  readonly changes: readonly Reached[]
  /** The posted removals that take along one of these. */
  readonly removalsOf: (rows: readonly Dependent[]) => string[]
  /** Posted removals that rows forbid. */
  readonly forbidden: readonly string[]
}

const NOTHING_REACHED: Reach = { changes: [], removalsOf: () => [], forbidden: [] }

function* readReached(log: ChangeLog, collection: Collection, rows: readonly PushedRow[], versionOf: (id: string) => Version): Step<Reach> {
  const removals = rows.filter(r => r.value === null && versionOf(r.id).value !== null).map(r => r.id)
  if (!collection.children.length || !removals.length) return NOTHING_REACHED
  const posted = new Map(rows.map(r => [r.id, r]))
  // a posted child that names another parent does not go with the old one
  const leaves = (row: Dependent, { property, key }: Link) => {
    const value = row.collection === collection ? posted.get(row.id)?.value : undefined
    return !!value && Object.hasOwn(value, property) && value[property] !== key
  }
  const dependents = yield* readDependents(log.database, collection, removals, { leaves })
  const removalsOf = (some: readonly Dependent[]) => {
    const names = reaching(dependents, some)
    return removals.filter(id => names.has(nameOf({ collection, id })))
  }
  const changes = new Map<string, Omit<Reached, 'old'>>()
  // cleared while their parents stand: what stood there is kept
  for (const { collection: there, id, property, parent } of dependents.cleared) {
    const row = { collection: there, id }
    const known = changes.get(nameOf(row))
    changes.set(nameOf(row), { ...row, value: { ...known?.value, [property]: null }, parents: [...(known?.parents ?? []), parent] })
  }
  for (const { by, ...row } of dependents.removed) changes.set(nameOf(row), { ...row, value: null, parents: by.map(link => link.parent) })
  return {
    changes: yield* withVersions(log, [...changes.values()]),
    removalsOf,
    forbidden: removalsOf([...dependents.forbidding.map(f => f.parent), ...dependents.blocked]),
  }
}

function* withVersions({ database }: ChangeLog, changes: readonly Omit<Reached, 'old'>[]): Step<Reached[]> {
  const versions = new Map<Collection, Map<string, Version>>()
  for (const there of new Set(changes.map(c => c.collection))) {
    const ids = changes.filter(c => c.collection === there).map(c => c.id)
    versions.set(there, yield* readVersions(database, there, ids))
  }
  return changes.map(change => ({ ...change, old: versions.get(change.collection)?.get(change.id) ?? NEVER }))
}

function* refuseByRelation(log: ChangeLog, collection: Collection, writes: readonly Write[], reached: Reach): Step<Refusal[]> {
  const rows = writes.filter(w => w.value !== null) as (Write & { value: WireRow })[]
  const orphans = yield* findOrphans(log.database, collection, rows)
  // nor may a row need one that goes in the same push
  const going = new Set(writes.filter(w => w.value === null).map(w => w.id))
  for (const row of rows) {
    for (const { parent, property, parentColumn } of collection.parents) {
      const key = row.value[property]
      if (parent === collection && parentColumn === collection.table.key && typeof key === 'string' && going.has(key))
        orphans.set(row.id, property)
    }
  }
  return [
    ...[...orphans].map(
      ([id, property]): Refusal => ({ id, property, code: 'parent-missing', detail: 'The row that it needs is not there.' }),
    ),
    ...reached.forbidden.map((id): Refusal => ({ id, code: 'children-exist', detail: 'There are rows that need it.' })),
  ]
}

// ---------------------------------------------------------------- storing

/** Stores everything, or nothing: gives the rows that the database refuses, all of them. */
function* storeAll(log: ChangeLog, collection: Collection, reached: Reach, writes: readonly Write[], stamp: number): Step<Refusal[]> {
  const posted = new Set<Change>(writes.map(write => ({ ...write, collection, stamp })))
  const changes = [...reached.changes.map((change): Change => ({ ...change, stamp })), ...posted]
  let broken: ConstraintError
  try {
    yield* attempt(() => storeChanges(log, changes))
    return []
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    broken = error
  }
  // once more, to name each bad row; the whole attempt is undone
  const refusals: Refusal[] = []
  let unknown = 0
  try {
    yield* attempt(function* () {
      yield* storeTakeable(log.database, changes, {
        change: change => change,
        store: some => storeChanges(log, some),
        // biome-ignore lint/correctness/useYield: nothing is stored about it
        *fail(change, error) {
          const ids = posted.has(change) ? [change.id] : reached.removalsOf([change])
          for (const id of ids) refusals.push(refusalOf(collection, id, error as ConstraintError))
          if ((error as ConstraintError).kind === 'unknown') unknown++
        },
      })
      throw new Undo()
    }, 'sync_trial')
  } catch (error) {
    if (!(error instanceof Undo)) throw error
  }
  // what happens to every row of several, or to none alone, is no row's fault; a row that is pushed by itself would block the queue for ever
  const isWhole = !refusals.length || (unknown === changes.length && (writes.length > 1 || broken.isSchemaMismatch))
  if (broken.kind === 'unknown' && isWhole) throw broken
  return refusals.length ? unique(refusals) : writes.map(w => refuseTogether(w.id))
}

export const refuseTogether = (id: string): Refusal => ({
  id,
  code: 'not-valid',
  detail: 'The rows of this push cannot be stored together.',
})

function refusalOf(collection: Collection, id: string, { kind, column, state }: ConstraintError): Refusal {
  const property = collection.columns.find(c => c.column === column)?.property
  const refusal = { id, ...(property !== undefined && { property }) }
  if (kind === 'unique') return { ...refusal, code: 'not-unique', detail: 'Another row has this value.' }
  if (kind === 'foreign-key') return { ...refusal, code: 'parent-missing', detail: 'The row that it needs is not there, or rows need it.' }
  if (kind === 'not-null') return { ...refusal, code: 'not-valid', detail: 'It is missing.' }
  // the class of the error tells a developer more; its text may hold values of other rows
  const because = state === undefined ? '.' : ` (${state}).`
  if (kind === 'too-large') return { ...refusal, code: 'too-large', detail: `It is larger than the database can hold there${because}` }
  if (kind === 'not-allowed') return { ...refusal, code: 'not-allowed', detail: `The database does not let this row be written${because}` }
  if (kind === 'skipped')
    return { ...refusal, code: 'skipped', detail: 'Something of the application’s on the server skipped it without an error.' }
  if (kind === 'unknown') return { ...refusal, code: 'not-valid', detail: `The database fails to store it${because}` }
  return { ...refusal, code: 'not-valid', detail: `A rule of the ${kind === 'rule' ? 'application' : 'database'} forbids it${because}` }
}

function unique(refusals: readonly Refusal[]): Refusal[] {
  return [...new Map(refusals.map(r => [`${r.id}\n${r.property}`, r])).values()]
}

/**
 * Does each row stand there as whoever posted it has it now? Where a value was rounded or normalised, or a trigger, a default or a computed
 * column changed another one, the client fetches it. Where the database keeps what it is given that can be told without looking.
 */
function* isStoredAsPosted(
  { database }: ChangeLog,
  collection: Collection,
  rows: readonly PushedRow[],
  versionOf: (id: string) => Version,
): Step<boolean> {
  const isKept = yield* database.keepsValues(collection.table)
  // a new row without a property has the column's default
  const lacks = ({ id, value }: PushedRow) =>
    value !== null && versionOf(id).value === null && !collection.columns.every(c => Object.hasOwn(value, c.property))
  const versions = yield* readVersions(
    database,
    collection,
    rows.filter(r => !isKept || lacks(r)).map(r => r.id),
  )
  return rows.every(({ id, value }) => {
    const now = versions.get(id)
    if (value === null || (now === undefined && !isKept)) return value === (now?.value ?? null)
    const old = versionOf(id).value
    return collection.columns.every(({ property, canonical }) => {
      const given = Object.hasOwn(value, property) ? value[property] : old?.[property]
      if (now?.value) return equalValues(now.value[property], given ?? null)
      return !Object.hasOwn(value, property) || equalValues(canonical(given as never), given)
    })
  })
}
