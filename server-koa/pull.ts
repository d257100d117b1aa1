// Answers a GET: what changed since (PROTOCOL.md, GET).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collection.js'
import type { Clock, Step } from '../src/changes/database/database.js'
import { LAST, type Place, readChangePage, readLastChange } from '../src/changes/rows.js'
import { BadRequestError, LaggingReplicaError } from '../src/errors.js'
import type { PullAnswer, PullQuery, Reset } from '../src/protocol/messages.js'

export interface PullPage {
  /** undefined: nothing is new for a client with this ETag (304). */
  readonly answer: PullAnswer | undefined
  readonly etag: string
}

/** Reads one page of an answer, of so many updates and bytes at most, clock and rows in one snapshot. Throws BadRequestError for a token that is none. */
export function* readPage(
  { database }: ChangeLog,
  collection: Collection,
  query: PullQuery & { readonly ifNoneMatch?: string },
  limit: number,
  bytes: number,
): Step<PullPage> {
  const clock = yield* database.clock()
  const token = query.after === undefined ? undefined : readToken(query.after)
  const reset = resetOf(clock, query, token)
  if ((reset === 'collection-changed' || query.since > clock.now) && (yield* database.isReplica())) throw new LaggingReplicaError(BEHIND)
  const lastChange = yield* readLastChange(collection)
  const etag = `"${clock.collection}.${lastChange}"`
  if (!reset && !token && isRecent(clock, query.since) && query.since >= lastChange && matches(query.ifNoneMatch, etag))
    return { answer: undefined, etag }

  const since = reset ? 0 : query.since
  // A full answer begins here; removals after that are told. A difference tells all of them.
  const start = token && !reset ? token.start : since === 0 ? clock.now : undefined
  const above: Place = token && !reset ? token : { stamp: since, id: LAST }
  const { changes: updates, more } = yield* readChangePage(database, collection, { above, limit, removalsAbove: start, bytes })
  const last = updates.at(-1)
  return {
    etag,
    answer: {
      now: clock.now,
      collection: clock.collection,
      updates,
      ...(start !== undefined && { full: true }),
      ...(reset && { reset }),
      ...(query.properties && { properties: query.properties.filter(p => collection.column.has(p)) }),
      ...(more && last && { next: writeToken({ stamp: last.stamp, id: last.id, start }) }),
    },
  }
}

const BEHIND = 'This replica has not come as far as the client has.'

function resetOf(clock: Clock, { since, min, collection }: PullQuery, token: Token | undefined): Reset | undefined {
  if (collection !== undefined && collection !== clock.collection) return 'collection-changed'
  // The client has heard of more than there is: this history was put back. Who tells neither collection nor min (a client of 2012, a person
  // with curl) may have looked at a clock instead: nothing has changed since, and `now` leads back to the stamps.
  const isTime = collection === undefined && min === undefined && since <= Date.now()
  if (clock.now < Math.max(since, min ?? 0) && !isTime) return 'collection-changed'
  // every page is compared: tombstones may go while a client turns them
  const from = token ? (token.start ?? token.stamp - 1) : since
  return (token || since > 0) && from < clock.horizon ? 'since-too-old' : undefined
}

// A cursor that stays where it is would fall below the horizon one day; now and then an answer moves it.
const isRecent = ({ now, horizon }: Clock, since: number) => since >= horizon && now - since < 24 * 60 * 60 * 1000

const matches = (ifNoneMatch: string | undefined, etag: string) =>
  ifNoneMatch?.split(',').some(t => [etag, '*'].includes(t.trim().replace(/^W\//, ''))) === true

// ---------------------------------------------------------------- page tokens

/** The last place that was told, and of a full answer the stamp at which it began. */
interface Token extends Place {
  readonly start: number | undefined
}

const writeToken = ({ stamp, id, start }: Token) => Buffer.from(JSON.stringify([stamp, id, start ?? null])).toString('base64url')

function readToken(text: string): Token {
  try {
    const [stamp, id, start] = JSON.parse(Buffer.from(text, 'base64url').toString())
    const isStamp = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0
    // no database has an id with a NUL or half a character, and some fail where they are asked for one
    const isId = typeof id === 'string' && !/\0|\p{Surrogate}/u.test(id)
    if (isStamp(stamp) && isId && (start === null || isStamp(start))) return { stamp, id, start: start ?? undefined }
  } catch {
    // it is none
  }
  throw new BadRequestError('`after` is no token of this server.')
}
