// Pages of what changed in several collections: parts of one order, by stamp, then by collection, then by id. Which collections a page has room
// for is found out by indexes, so that no more rows are read than it has.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import type { StampedUpdate } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import type { Shown } from '../scopes/shown.js'
import { readChangePage } from './changePage.js'
import { compareIds, LAST, type Place } from './place.js'

/** A place in the order of the changes of several collections. */
export interface FeedPlace extends Place {
  /** Absent where all of them have come as far. */
  readonly collection?: Collection | undefined
}

export interface FeedPage {
  /** Of each collection that has some, in the order of changes. */
  readonly changes: ReadonlyMap<Collection, readonly StampedUpdate[]>
  /** The place of the last one, where more come behind it. */
  readonly next: FeedPlace | undefined
}

interface Asked {
  readonly above: FeedPlace
  readonly limit: number
  /** A full answer leaves out what was removed up to here. */
  readonly removalsAbove?: number | undefined
  /** Of values; one row comes in any case. */
  readonly bytes: number
  /** What is sent of collections of which that is not everything. */
  readonly shown: ReadonlyMap<Collection, Shown>
}

/** The place in one collection of this order, whose changes up to there are those up to the place in all of them. */
export function placeIn(collections: readonly Collection[], { stamp, id, collection }: FeedPlace, own: Collection): Place {
  if (!collection || collection === own) return { stamp, id }
  // collections before this one have sent all changes of the stamp, those behind it none
  return { stamp, id: collections.indexOf(own) < collections.indexOf(collection) ? LAST : '' }
}

/** Those of the collections that have changes above a place, by the stamps of their last ones. */
export function changedAbove(collections: readonly Collection[], above: FeedPlace, last: ReadonlyMap<Collection, number>): Collection[] {
  return collections.filter(collection => {
    const { stamp, id } = placeIn(collections, above, collection)
    return (last.get(collection) ?? 0) >= (id === LAST ? stamp + 1 : stamp)
  })
}

/** Reads a page of what changed in `changed`, which are some of the collections whose order it is. */
export function* readFeedPage(
  database: Database,
  collections: readonly Collection[],
  changed: readonly Collection[],
  { above, limit, removalsAbove, bytes, shown }: Asked,
): Transaction<FeedPage> {
  const parts = changed.map(
    (collection): Part => ({ collection, above: placeIn(collections, above, collection), shown: shown.get(collection) }),
  )
  const [only] = parts
  if (only && parts.length === 1) {
    const page = yield* readChangePage(database, only.collection, { above: only.above, limit, removalsAbove, bytes, shown: only.shown })
    const last = page.changes.at(-1)
    return { changes: toMap([[only.collection, page.changes]]), next: page.more && last ? placeOf(only.collection, last) : undefined }
  }
  if (!only) return { changes: new Map(), next: undefined }
  const { counts, isMore } = yield* countNext(database, parts, limit, removalsAbove)
  const read = new Map<Collection, readonly StampedUpdate[]>()
  const cuts: FeedPlace[] = []
  let [left, others] = [bytes, counts.size]
  // those with few changes first: what they leave of their share is for the others
  for (const [{ collection, above, shown: some }, count] of [...counts].sort(([, x], [, y]) => x - y)) {
    const page = yield* readChangePage(database, collection, {
      ...{ above, limit: count, removalsAbove, shown: some },
      bytes: Math.max(left, 0) / others--,
    })
    left -= page.bytes
    read.set(collection, page.changes)
    const last = page.changes.at(-1)
    if (last && page.changes.length < count) cuts.push(placeOf(collection, last))
  }
  const compare = (x: FeedPlace, y: FeedPlace) => comparePlaces(collections, x, y)
  // where one ends by its bytes nothing of the others may come behind it
  const cut = cuts.sort(compare)[0]
  const groups = changed.map((c): [Collection, readonly StampedUpdate[]] => {
    const changes = read.get(c) ?? []
    return [c, cut ? changes.filter(change => compare(placeOf(c, change), cut) <= 0) : changes]
  })
  const lasts = groups.flatMap(([c, changes]) => changes.slice(-1).map(change => placeOf(c, change)))
  return { changes: toMap(groups), next: cut ?? (isMore ? lasts.sort(compare).at(-1) : undefined) }
}

const toMap = (groups: readonly [Collection, readonly StampedUpdate[]][]) => new Map(groups.filter(([, changes]) => changes.length > 0))

const placeOf = (collection: Collection, { stamp, id }: StampedUpdate): FeedPlace => ({ stamp, id, collection })

function comparePlaces(collections: readonly Collection[], x: FeedPlace, y: FeedPlace): number {
  const at = ({ collection }: FeedPlace) => collections.indexOf(collection as Collection)
  return x.stamp - y.stamp || at(x) - at(y) || compareIds(x.id, y.id)
}

interface Part {
  readonly collection: Collection
  readonly above: Place
  readonly shown: Shown | undefined
}

/** How many of the next changes belong to each, with one statement that reads indexes only; and whether there are others behind these. */
function* countNext(
  database: Database,
  parts: readonly Part[],
  limit: number,
  removalsAbove = 0,
): Transaction<{ counts: Map<Part, number>; isMore: boolean }> {
  const values: unknown[] = []
  const lists = parts.flatMap(({ collection: { name, table }, above: { stamp, id }, shown }, i) => {
    const key = database.id(table, 'x')
    // where no index has the order of (stamp, id) one has that of stamps
    const from = database.cutsPages ? 'x."_lastChange" >= ? AND' : ''
    values.push(...(from ? [stamp] : []), stamp, id, ...(shown?.rows.values ?? []), limit + 1)
    const rows = `SELECT ${i} AS place, x."_lastChange" AS stamp FROM ${quote(table.name)} x
        WHERE ${from} (x."_lastChange", ${key}) > (?, ?) ${shown ? `AND ${shown.rows.sql}` : ''} ORDER BY x."_lastChange" LIMIT ?`
    if (shown) {
      values.push(...shown.removals.values, stamp, id, limit + 1)
      return [
        rows,
        `SELECT ${i} AS place, v.stamp AS stamp FROM (${shown.removals.sql}) v WHERE (v.stamp, v.id) > (?, ?) ORDER BY v.stamp LIMIT ?`,
      ]
    }
    values.push(name, stamp, id, Math.max(removalsAbove, stamp - 1), limit + 1)
    const tombstones = `SELECT ${i} AS place, t.stamp AS stamp FROM sync_tombstone t
        WHERE t.collection = ? AND (t.stamp, t.id) > (?, ?) AND t.stamp > ? ORDER BY t.stamp LIMIT ?`
    return [rows, tombstones]
  })
  const all = lists.map((sql, i) => `SELECT * FROM (${sql}) l${i}`).join(' UNION ALL ')
  const rows = yield* query(
    `SELECT v.place AS place, count(*) AS found, max(v.stamp) AS stamp
       FROM (SELECT u.place, u.stamp FROM (${all}) u ORDER BY u.stamp, u.place LIMIT ?) v GROUP BY v.place`,
    ...[...values, limit + 1],
  )
  const found = rows.map(row => ({ place: Number(row.place), count: Number(row.found), stamp: Number(row.stamp) }))
  const isMore = found.reduce((sum, { count }) => sum + count, 0) > limit
  // the one too many is the last in the order
  const last = isMore ? found.sort((x, y) => x.stamp - y.stamp || x.place - y.place).at(-1) : undefined
  const counts = found.map(group => [parts[group.place] as Part, group === last ? group.count - 1 : group.count] as const)
  return { counts: new Map(counts.filter(([, count]) => count > 0)), isMore }
}
