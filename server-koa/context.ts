// A context of Koa as a request, and the place of an answer.

import type { Readable } from 'node:stream'
import type { Context } from 'koa'
import { discardRest } from '../server/connection.js'
import { bodyOf, guardStream, RequestOfNode, setHeaders } from '../server/node.js'
import type { SyncRequest, SyncResponse } from '../server/request.js'

/** Body parsers leave a body in Koa's request, or in that of Node, where the application is mounted into another one. */
export const toSyncRequest = (ctx: Context, path: string): SyncRequest<Context> =>
  new RequestOfNode(ctx.req, ctx.res, { path, query: ctx.query }, bodyOf(ctx.req, ctx.request), ctx)

/** Tells the application of an error, as Koa does: by its event, for a log. */
export function report(error: unknown, { raw }: SyncRequest): void {
  const ctx = raw as Context
  // an application that is mounted in another one has no listener, and an error event without a listener throws
  if (ctx.app.listenerCount('error') > 0) ctx.app.emit('error', error, ctx)
  else console.error(error)
}

export function send(ctx: Context, response: SyncResponse): void {
  const { status, body } = response
  setHeaders(ctx.req, ctx.res, response)
  ctx.status = status
  if (typeof body === 'object') {
    guardStream(ctx.req, ctx.res, body, response)
    passOver(ctx, body)
  }
  if (body !== undefined) ctx.body = body
  discardRest(ctx.req)
}

// That a stream has failed was told already; that a client leaves is the usual end, and nothing to tell the application of.
function passOver(ctx: Context, body: Readable): void {
  const { onerror } = ctx
  ctx.onerror = error => {
    const isLeft = (error as { code?: unknown } | null)?.code === 'ERR_STREAM_PREMATURE_CLOSE'
    if (!isLeft && error !== body.errored) onerror.call(ctx, error)
  }
}
