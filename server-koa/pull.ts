// Answers a GET: what changed since (PROTOCOL.md, GET).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { readLastChanges } from '../src/changes/rows/lastChanges.js'
import { changedAbove, type FeedPlace, readFeedPage } from '../src/changes/rows/pages.js'
import { LAST } from '../src/changes/rows/place.js'
import type { Clock, Transaction } from '../src/databases/database.js'
import { LaggingReplicaError } from '../src/errors.js'
import type { PullQuery, Reset, StampedUpdate } from '../src/protocol/messages.js'
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
}

export interface PageQuery extends Pick<PullQuery, 'since' | 'min' | 'collection'> {
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
): Transaction<PullPage> {
  const clock = yield* database.clock()
  const token = query.after
  const reset = resetOf(clock, query, token)
  if ((reset === 'collection-changed' || query.since > clock.now) && (yield* database.isReplica())) throw new LaggingReplicaError(BEHIND)
  const lastChanges = yield* readLastChanges(collections)
  const lastChange = Math.max(0, ...lastChanges.values())
  const etag = `"${clock.collection}.${query.tag ?? ''}${lastChange}"`
  if (!reset && !token && isRecent(clock, query.since) && query.since >= lastChange && matches(query.ifNoneMatch, etag))
    return { answer: undefined, etag }

  const since = reset ? 0 : query.since
  // A full answer begins here and has the removals after that. A difference has all removals.
  const start = token && !reset ? token.start : since === 0 ? clock.now : undefined
  const above: FeedPlace = token && !reset ? token : { stamp: since, id: LAST }
  const changed = changedAbove(collections, above, lastChanges)
  const { changes, next } = yield* readFeedPage(database, collections, changed, { above, limit, removalsAbove: start, bytes })
  return {
    etag,
    answer: {
      now: clock.now,
      collection: clock.collection,
      changes,
      changed,
      ...(start !== undefined && { full: true }),
      ...(reset && { reset }),
      ...(next && { next: { ...next, start } }),
    },
  }
}

const BEHIND = 'This replica has not come as far as the client has.'

function resetOf(clock: Clock, { since, min, collection }: PageQuery, token: Token | undefined): Reset | undefined {
  if (collection !== undefined && collection !== clock.collection) return 'collection-changed'
  // The client knows a stamp above the clock: a backup was restored here. A request with neither collection nor min (a client of 2012, a person
  // with curl) may have the time of a clock instead: nothing has changed since, and `now` leads back to the stamps.
  const isTime = collection === undefined && min === undefined && since <= Date.now()
  if (clock.now < Math.max(since, min ?? 0) && !isTime) return 'collection-changed'
  // every page is compared: tombstones may be removed while a client reads pages
  const from = token ? (token.start ?? (token.id === LAST ? token.stamp : token.stamp - 1)) : since
  return (token || since > 0) && from < clock.horizon ? 'since-too-old' : undefined
}

// A cursor that stays where it is would fall below the horizon one day; now and then an answer moves it.
const isRecent = ({ now, horizon }: Clock, since: number) => since >= horizon && now - since < 24 * 60 * 60 * 1000

const matches = (ifNoneMatch: string | undefined, etag: string) =>
  ifNoneMatch?.split(',').some(t => [etag, '*'].includes(t.trim().replace(/^W\//, ''))) === true
