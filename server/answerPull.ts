// Answers GET and HEAD: what changed (PROTOCOL.md, GET).

import type { Readable } from 'node:stream'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import type { PullAnswer } from '../src/protocol/messages.js'
import { readPullQuery } from '../src/protocol/queries.js'
import { type Caller, readerOf } from './caller.js'
import { broughtDown } from './clientVersion.js'
import { type Exchange, JSON_TYPE } from './exchange.js'
import { readWhenNew } from './hold.js'
import type { LiveLimits, PullLimits } from './limits.js'
import { type PageQuery, type PullPage, readAt } from './pull.js'
import { streamAnswer, type UpdatesPage } from './stream.js'
import { readToken, writeToken } from './tokens.js'
import type { WriteUpdate } from './updates.js'

/** So few updates are not worth a stream. */
export const SMALL = 400

export async function answerPull(
  exchange: Exchange,
  log: ChangeLog,
  collection: Collection,
  write: WriteUpdate,
  limits: PullLimits & LiveLimits,
  caller: Caller,
) {
  const { principal } = caller
  const reader = readerOf(caller)
  const { properties, after, ...query } = readPullQuery(exchange.query)
  const withUpdates = ({ answer, etag }: PullPage) => ({
    etag,
    page: answer && { ...answer, updates: broughtDown(caller.client, collection, answer.changes.get(collection) ?? []) },
  })
  const read = async (q: PageQuery, limit: number) => withUpdates(await readAt(log, caller, [collection], q, limit, limits.pageBytes))
  const limit = query.limit === undefined ? Number.POSITIVE_INFINITY : Math.min(query.limit, limits.maxPageSize)
  const atOnce = Math.min(limit, limits.pageSize)
  const asked: PageQuery = {
    ...query,
    after: after === undefined ? undefined : readToken(after, reader),
    ifNoneMatch: exchange.get('If-None-Match'),
    ...(reader !== undefined && { tag: `${reader}.` }),
  }
  const readFirst = () => readAt(log, caller, [collection], asked, exchange.method === 'HEAD' ? 1 : atOnce, limits.pageBytes)
  const { page, etag } = withUpdates(await readWhenNew(exchange, log, limits, caller, asked, readFirst))
  if (!sayWhetherNew(exchange, page, etag) || !page) return

  const answer: Omit<PullAnswer, 'next' | 'updates'> = {
    now: page.now,
    collection: page.collection,
    ...(principal !== undefined && { principal }),
    ...(page.scope !== undefined && { scope: page.scope }),
    ...(page.full && { full: true }),
    ...(page.scoped && { scoped: page.scoped.flatMap(c => c.paths.slice(0, 1)) }),
    ...(page.reset && { reset: page.reset }),
    ...(properties && { properties: properties.filter(p => collection.column.has(p)) }),
  }
  if (page.updates.length < SMALL && (page.next === undefined || atOnce === limit)) {
    const { now, collection: history, ...more } = answer
    const next = page.next && { next: writeToken(page.next, reader) }
    exchange.body = JSON.stringify({ now, collection: history, updates: page.updates.map(write), ...more, ...next })
    return
  }
  const readAfter = async (last: UpdatesPage, left: number) => {
    // After a reset, what the client thought that it knew is not asked about again: each page would be the first one once more.
    const { since, min = 0 } = page.reset ? { since: 0 } : query
    const following: PageQuery = { since, min: Math.max(min, last.now), collection: page.collection, after: last.next }
    return (await read(following, Math.min(left, atOnce))).page
  }
  sendStream(
    exchange,
    streamAnswer(answer, page, readAfter, write, { reader, limit, bytes: query.limit === undefined ? limit : limits.pageBytes }),
    limits,
  )
}

/** Says by status and headers what a client with an ETag has to know; false where that is all, of a HEAD too. */
export function sayWhetherNew(exchange: Exchange, page: unknown, etag: string): boolean {
  exchange.set({ ETag: etag })
  exchange.status = page ? 200 : 304
  if (!page) return false
  exchange.set({ 'Content-Type': JSON_TYPE })
  return exchange.method !== 'HEAD'
}

/** Sends an answer while it is written; the connection of a client that takes nothing of it is closed. */
export function sendStream(exchange: Exchange, stream: Readable, { requestTimeout }: Pick<PullLimits, 'requestTimeout'>): void {
  exchange.stream(stream)
  exchange.idleTimeout = requestTimeout
}
