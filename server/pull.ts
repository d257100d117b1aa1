// Answers a GET: what changed since (PROTOCOL.md, GET).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { readLastChanges } from '../src/changes/rows/lastChanges.js'
import { changedAbove, type FeedPlace, readFeedPage } from '../src/changes/rows/pages.js'
import { LAST } from '../src/changes/rows/place.js'
import type { KeySet } from '../src/changes/scopes/keySet.js'
import { readLastShown, type Shown, shownOf } from '../src/changes/scopes/shown.js'
import type { Clock, Database, Transaction } from '../src/databases/database.js'
import type { PullQuery, Reset, StampedUpdate } from '../src/protocol/messages.js'
import { type Access, readAccess } from './access.js'
import type { Caller } from './caller.js'
import { type HeldSet, isNoted, noteSet, readHeldSet } from './keySets.js'
import { unavailable } from './problem.js'
import type { Token } from './tokens.js'

export interface PullPage {
  /** undefined: nothing is new for a client with this ETag (304). */
  readonly answer: Page | undefined
  readonly etag: string
}

export interface Page {
  readonly now: number
  /** The id of the history. */
  readonly collection: string
  readonly changes: ReadonlyMap<Collection, readonly StampedUpdate[]>
  /** All collections that have changes, on this page or a later one. */
  readonly changed: readonly Collection[]
  readonly full?: true
  readonly reset?: Reset
  readonly next?: Token
  /** Where it begins. */
  readonly begin: Token
  /** What the set of the caller's keys is called, where there are rules. */
  readonly scope?: string
  /** Of a full answer: the collections of which the caller sees a part. */
  readonly scoped?: readonly Collection[]
}

export interface PageQuery extends Pick<PullQuery, 'since' | 'min' | 'collection' | 'scope'> {
  readonly after?: Token | undefined
  readonly ifNoneMatch?: string
  /** What an ETag has besides the history and the last change. */
  readonly tag?: string
}

/** Reads one page of an answer, of so many updates and bytes at most, clock and rows in one snapshot. */
export function* readPage(
  { database }: ChangeLog,
  collections: readonly Collection[],
  query: PageQuery,
  limit: number,
  bytes: number,
  access: Access | undefined,
): Transaction<PullPage> {
  const clock = yield* database.clock()
  const sets = yield* readHeldSet(access, query)
  const token = sets.reset ? undefined : query.after
  const reset = resetOf(clock, query, token, sets) ?? sets.reset
  if ((reset === 'collection-changed' || query.since > clock.now) && (yield* database.isReplica())) throw unavailable(BEHIND, 1)
  const since = reset ? 0 : query.since
  const held = since === 0 ? undefined : sets.held
  const isSame = !access || held === access.keys
  // An answer that begins with nothing, or with another set, begins here and has the removals after that. Another difference has all removals.
  const start = token && !reset ? token.start : since === 0 || !isSame ? clock.now : undefined
  const shown = access ? shownTo(database, collections, access, { held, since, start }) : NOTHING_HIDDEN
  const lastChanges = !access || start === undefined ? yield* readLast(collections, shown, since) : undefined
  const lastChange = Math.max(0, ...(lastChanges?.values() ?? []))
  const etag = `"${clock.collection}.${query.tag ?? ''}${access ? `${access.scope}.` : ''}${lastChange}"`
  if (lastChanges && !reset && !token && isRecent(clock, query.since) && query.since >= lastChange && matches(query.ifNoneMatch, etag))
    return { answer: undefined, etag }

  const above: FeedPlace = token && !reset ? token : start !== undefined && since > 0 ? { stamp: 0, id: '' } : { stamp: since, id: LAST }
  const changed = lastChanges ? changedAbove(collections, above, lastChanges) : collections
  const { changes, next } = yield* readFeedPage(database, collections, changed, { above, limit, removalsAbove: start, bytes, shown })
  const scopes = access && { from: held === undefined ? '' : sets.name, to: access.scope }
  const isFull = start !== undefined && held === undefined
  return {
    etag,
    answer: {
      now: clock.now,
      collection: clock.collection,
      changes,
      changed,
      begin: { ...above, start, ...scopes },
      ...(isFull && { full: true }),
      ...(reset && { reset }),
      ...(next && { next: { ...next, start, ...scopes } }),
      ...(access && { scope: access.scope }),
      ...(access && isFull && { scoped: collections.filter(c => access.keys[c.name] !== 'all') }),
    },
  }
}

const NOTHING_HIDDEN: ReadonlyMap<Collection, Shown> = new Map()

function shownTo(
  database: Database,
  collections: readonly Collection[],
  { keys }: Access,
  { held, ...difference }: { held: KeySet | undefined; since: number; start: number | undefined },
): ReadonlyMap<Collection, Shown> {
  return new Map(
    collections.flatMap((collection): [Collection, Shown][] => {
      const own = { held: held?.[collection.name], keys: keys[collection.name] ?? [], ...difference }
      const shown = shownOf(database, collection, own)
      return shown ? [[collection, shown]] : []
    }),
  )
}

/** When that changed last which a caller who has read up to a stamp, by the same keys, is told. */
export function readLastTold(
  database: Database,
  collections: readonly Collection[],
  access: Access | undefined,
  since: number,
): Transaction<Map<Collection, number>> {
  if (!access) return readLastChanges(collections)
  return readLast(collections, shownTo(database, collections, access, { held: access.keys, since, start: undefined }), since)
}

function* readLast(
  collections: readonly Collection[],
  shown: ReadonlyMap<Collection, Shown>,
  since: number,
): Transaction<Map<Collection, number>> {
  const last = yield* readLastChanges(collections.filter(c => !shown.has(c)))
  for (const [collection, some] of shown) last.set(collection, yield* readLastShown(collection, some, since))
  return last
}

/** Reads a page for a caller; notes the set of their keys where it is another one than before. */
export async function readAt(
  log: ChangeLog,
  caller: Caller,
  collections: readonly Collection[],
  query: PageQuery,
  limit: number,
  bytes: number,
): Promise<PullPage> {
  const { database } = log
  for (;;) {
    const read = await database.transaction(
      function* () {
        const access = yield* readAccess(log, caller)
        if (access && !(yield* isNoted(access)) && !(yield* database.isReplica())) return access
        return yield* readPage(log, collections, query, limit, bytes, access)
      },
      { mode: 'read' },
    )
    if ('etag' in read) return read
    await database.transaction(() => noteSet(log, read), { durable: true })
  }
}

const BEHIND = 'This server has not come as far as you have; it will.'

function resetOf(clock: Clock, { since, min, collection }: PageQuery, token: Token | undefined, { held }: HeldSet): Reset | undefined {
  if (collection !== undefined && collection !== clock.collection) return 'collection-changed'
  // The client knows a stamp above the clock: a backup was restored here. A request with neither collection nor min (a client of 2012, a person
  // with curl) may have the time of a clock instead: nothing has changed since, and `now` leads back to the stamps.
  const isTime = collection === undefined && min === undefined && since <= Date.now()
  if (clock.now < Math.max(since, min ?? 0) && !isTime) return 'collection-changed'
  // every page is compared: tombstones may be removed while a client reads pages
  const place = token ? (token.start ?? (token.id === LAST ? token.stamp : token.stamp - 1)) : since
  // between two sets, exits from the earlier one are told since then
  const from = token?.start !== undefined && held && since > 0 ? Math.min(since, place) : place
  return (token || since > 0) && from < clock.horizon ? 'since-too-old' : undefined
}

// A cursor that stays where it is would fall below the horizon one day; now and then an answer moves it.
const isRecent = ({ now, horizon }: Clock, since: number) => since >= horizon && now - since < 24 * 60 * 60 * 1000

const matches = (ifNoneMatch: string | undefined, etag: string) =>
  ifNoneMatch?.split(',').some(t => [etag, '*'].includes(t.trim().replace(/^W\//, ''))) === true
