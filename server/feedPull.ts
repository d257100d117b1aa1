// Answers GET and HEAD of the feed: what changed in all collections (PROTOCOL.md, The feed).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import type { ByPath, StampedUpdate } from '../src/protocol/messages.js'
import { writeUpdate } from '../src/protocol/messages.js'
import { readFeedQuery } from '../src/protocol/queries.js'
import { servedTo } from './access.js'
import { SMALL, sayWhetherNew, sendStream } from './answerPull.js'
import { type Caller, readerOf } from './caller.js'
import { broughtDown } from './clientVersion.js'
import type { Exchange } from './exchange.js'
import { type FeedPaths, pathsOf } from './feedPaths.js'
import { readWhenNew } from './hold.js'
import type { LiveLimits, PullLimits } from './limits.js'
import { type Page, type PageQuery, readAt } from './pull.js'
import { type FeedGroup, streamFeed } from './stream.js'
import { nameSet, readFeedToken, type Token, writeFeedToken } from './tokens.js'

export async function answerFeedPull(exchange: Exchange, log: ChangeLog, limits: PullLimits & LiveLimits, caller: Caller) {
  const { principal } = caller
  const reader = readerOf(caller)
  const { collections: named, properties, after, limit, ...query } = readFeedQuery(exchange.query)
  const paths = pathsOf(servedTo(log, caller), named)
  const { collections } = paths
  const read = (q: PageQuery, most: number, some = collections) => readAt(log, caller, some, q, most, limits.pageBytes)

  const most = limit === undefined ? SMALL : Math.min(limit, limits.maxPageSize)
  const asked: PageQuery = {
    ...query,
    after: after === undefined ? undefined : readFeedToken(after, collections, reader),
    ifNoneMatch: exchange.get('If-None-Match'),
    tag: `${nameSet(collections, reader)}.`,
  }
  const readFirst = () => read(asked, exchange.method === 'HEAD' ? 1 : most)
  const { answer: page, etag } = await readWhenNew(exchange, log, limits, caller, asked, readFirst)
  if (!sayWhetherNew(exchange, page, etag) || !page) return

  const head = {
    collection: page.collection,
    ...(principal !== undefined && { principal }),
    ...(page.scope !== undefined && { scope: page.scope }),
    ...(page.full && { full: true }),
    ...(page.scoped && { scoped: page.scoped.map(paths.pathOf) }),
    ...(page.reset && { reset: page.reset }),
    ...(paths.unknown.length && { unknown: paths.unknown }),
    ...(properties && { properties: knownProperties(paths, properties) }),
  }
  // a client that asks for pages gets each as it was at one moment; another one gets everything, one collection after the other
  const isWhole = page.next === undefined || limit !== undefined
  const tail = { ...(isWhole && page.next && { next: writeFeedToken(page.next, collections, reader) }), now: page.now }
  const groupOf = (collection: Collection, updates: readonly StampedUpdate[] = []): FeedGroup => ({
    path: paths.pathOf(collection),
    updates: broughtDown(caller.client, collection, updates),
  })
  const groups = [...page.changes].map(([collection, updates]) => groupOf(collection, updates))
  if (isWhole && groups.reduce((sum, { updates }) => sum + updates.length, 0) <= SMALL)
    exchange.body = JSON.stringify({ ...head, changes: Object.fromEntries(groups.map(g => [g.path, g.updates.map(writeUpdate)])), ...tail })
  else sendStream(exchange, streamFeed(head, isWhole ? groups : readOn(page, query, groupOf, readOne), tail), limits)

  function readOne(q: PageQuery, collection: Collection) {
    return read(q, limits.pageSize, [collection]).then(({ answer }) => answer)
  }
}

/** Reads all that there is, page by page. What changes meanwhile may be in the answer or not: it has a stamp above the answer's `now`. */
async function* readOn(
  { changed, collection: history, now, begin, reset }: Page,
  query: Pick<PageQuery, 'since' | 'min'>,
  groupOf: (collection: Collection, updates: readonly StampedUpdate[] | undefined) => FeedGroup,
  read: (query: PageQuery, collection: Collection) => Promise<Page | undefined>,
): AsyncGenerator<FeedGroup> {
  const since = reset ? 0 : query.since
  let min = Math.max(now, reset ? 0 : (query.min ?? 0))
  for (const collection of changed) {
    for (let after: Token | undefined = begin; after; ) {
      const page: Page | undefined = await read({ since, min, collection: history, after }, collection)
      if (!page || page.reset) throw new Error('The history was reset while it was being read.')
      yield groupOf(collection, page.changes.get(collection))
      min = Math.max(min, page.now)
      after = page.next
    }
  }
}

function knownProperties({ find }: FeedPaths, properties: ByPath<readonly string[]>): Record<string, string[]> {
  const known = [...properties].map(([path, names]) => [path, names.filter(name => find(path)?.column.has(name))] as const)
  return Object.fromEntries(known.filter(([, names]) => names.length > 0))
}
