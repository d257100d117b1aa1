// Answers GET and HEAD: what changed (PROTOCOL.md, GET).

import type { Context } from 'koa'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collection.js'
import type { PullAnswer, PullQuery } from '../src/protocol/messages.js'
import { readPullQuery } from '../src/protocol/requests.js'
import { breakOff } from './connection.js'
import { report } from './problem.js'
import { readPage } from './pull.js'
import { streamAnswer } from './stream.js'
import type { WriteUpdate } from './updates.js'

export interface PullLimits {
  /** Updates that are read at a time. */
  readonly pageSize: number
  /** The most that a client gets that asks for pages. */
  readonly largestPage: number
  /** Bytes of values that are read at a time, and that a client gets that asks for pages; a row that is larger comes alone. */
  readonly pageBytes: number
  /** Milliseconds after which a client that takes nothing of its answer is left. */
  readonly requestTimeout: number
}

/** So few updates are not worth a stream. */
const SMALL = 400

export async function answerPull(ctx: Context, log: ChangeLog, collection: Collection, write: WriteUpdate, limits: PullLimits) {
  const query = readPullQuery(ctx.query)
  const read = (q: PullQuery & { ifNoneMatch?: string }, limit: number) =>
    log.database.step(() => readPage(log, collection, q, limit, limits.pageBytes), { readOnly: true })

  const limit = query.limit === undefined ? Number.POSITIVE_INFINITY : Math.min(query.limit, limits.largestPage)
  const atOnce = Math.min(limit, limits.pageSize)
  const ifNoneMatch = ctx.get('If-None-Match')
  const { answer, etag } = await read(ifNoneMatch ? { ...query, ifNoneMatch } : query, ctx.method === 'HEAD' ? 1 : atOnce)

  ctx.set('ETag', etag)
  ctx.status = answer ? 200 : 304
  if (!answer) return
  ctx.type = 'application/json'
  if (ctx.method === 'HEAD') return
  if (answer.updates.length < SMALL && (answer.next === undefined || atOnce === limit)) {
    ctx.body = JSON.stringify({ ...answer, updates: answer.updates.map(write) })
    return
  }
  const readAfter = async (page: PullAnswer, left: number) => (await read(nextQuery(query, answer, page), Math.min(left, atOnce))).answer
  const stream = streamAnswer(answer, readAfter, write, { limit, bytes: query.limit === undefined ? limit : limits.pageBytes })
  stream.once('error', error => {
    // a middleware that compresses stands between the two, and passes on neither this end nor the other
    if (ctx.body !== stream) report(ctx, error)
    breakOff(ctx)
  })
  ctx.res.setTimeout(limits.requestTimeout, () => breakOff(ctx))
  ctx.body = stream
}

// After a reset, what the client thought that it knew is not asked about again: each page would be the first one once more.
function nextQuery(query: PullQuery, { collection, reset }: PullAnswer, page: PullAnswer): PullQuery {
  const { since, min = 0 } = reset ? { since: 0 } : query
  return { since, min: Math.max(min, page.now), collection: collection ?? query.collection, after: page.next }
}
