// What has to be done to a request or an answer before its end, where HTTP/1 and HTTP/2 differ.

import type { IncomingMessage } from 'node:http'
import { constants, type Http2ServerRequest } from 'node:http2'
import type { Context } from 'koa'

const streamOf = (req: IncomingMessage) => (req.httpVersionMajor >= 2 ? (req as unknown as Http2ServerRequest).stream : undefined)

/** Ends an answer that is not whole: a client must not believe that it is. HTTP/2 closes a stream that is merely destroyed as if all were well. */
export function breakOff({ req, res }: Context): void {
  const stream = streamOf(req)
  if (stream) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else res.destroy()
}

/** The header after which no more requests come over the connection, whose rest is a body that is not read; HTTP/2 knows none. */
export const lastOnConnection = ({ req }: Context): Record<string, string> => (streamOf(req) ? {} : { Connection: 'close' })

/** Says whether the server that a request came to still takes others: one that is closed waits for those that are under way. */
export function isServedBy({ req }: Context): () => boolean {
  const { server } = (req.socket ?? {}) as { server?: { listening?: boolean } }
  return () => server?.listening !== false
}

const LINGER = 2_000

/** Reads on, for a moment, and drops what comes: a connection that is closed over unread bytes is reset before the client has seen the answer. */
export function discardRest(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return
  req.resume()
  const stop = () => {
    const stream = streamOf(req)
    if (stream) stream.close(constants.NGHTTP2_NO_ERROR)
    else req.destroy()
  }
  const timer = setTimeout(stop, LINGER).unref()
  const clear = () => clearTimeout(timer)
  req.on('end', clear).on('close', clear)
}
