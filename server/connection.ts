// What has to be done to a request or an answer of Node before its end, where HTTP/1 and HTTP/2 differ.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'

export type NodeRequest = IncomingMessage | Http2ServerRequest
export type NodeResponse = ServerResponse | Http2ServerResponse

const streamOf = (req: NodeRequest) => (req.httpVersionMajor >= 2 ? (req as Http2ServerRequest).stream : undefined)

/** Ends an answer that is not whole: a client must not believe that it is. HTTP/2 closes a stream that is merely destroyed as if all were well. */
export function breakOff(req: NodeRequest, res: NodeResponse): void {
  const stream = streamOf(req)
  if (stream) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else res.destroy()
}

/** Has the client left, or been left? */
export const isClosed = (req: NodeRequest, res: NodeResponse): boolean => streamOf(req)?.destroyed ?? res.destroyed

/** Those of a connection, which HTTP/2 does not know. */
export const hasConnectionHeaders = (req: NodeRequest): boolean => !streamOf(req)

/** Says whether the server that a request came to still takes others: one that is closed waits for those that are under way. */
export function isServedBy(req: NodeRequest): () => boolean {
  const { server } = (req.socket ?? {}) as { server?: { listening?: boolean } }
  return () => server?.listening !== false
}

const LINGER = 2_000

/** Reads on, for a moment, and drops what comes: a connection that is closed over unread bytes is reset before the client has seen the answer. */
export function discardRest(req: NodeRequest): void {
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
