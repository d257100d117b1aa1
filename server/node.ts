// Requests and answers of node:http and node:http2, and of the frameworks that hand these on.

import { parse } from 'node:querystring'
import { pipeline, type Readable } from 'node:stream'
import { breakOff, discardRest, hasConnectionHeaders, isClosed, isServedBy, type NodeRequest, type NodeResponse } from './connection.js'
import { joinLists, type OnError } from './exchange.js'
import type { SyncRequest, SyncResponse } from './request.js'
import type { Find, Found } from './serve.js'

/** A listener of `createServer`, and a middleware of Express and of others like it. Never rejects. */
export type NodeListener<Raw = unknown> = (req: NodeRequest & Raw, res: NodeResponse, next?: (error?: unknown) => void) => Promise<void>

/** What is not ours goes to `next`, and is answered with 404 where there is none. */
export function nodeListener(find: Find, onError: OnError): NodeListener {
  return async (req, res, next) => {
    const request = new RequestOfNode(req, res, placeOf(req.url ?? '/'), bodyOf(req, req), req)
    const found = find(request)
    if (next && isForOthers(found)) return next()
    try {
      send(req, res, await found.respond())
    } catch (error) {
      // a header that is none, or an answer that somebody else has begun
      onError(error, request)
      breakOff(req, res)
    }
    discardRest(req)
  }
}

export const isForOthers = ({ kind }: Found): boolean => kind === 'other' || kind === 'unlikely'

export interface Place {
  /** Decoded. */
  readonly path: string
  readonly query: SyncRequest['query']
}

/** Where a url leads, which may be a whole one. Nothing in it is resolved: `..` is a name like others. */
export function placeOf(url: string): Place {
  const [, path = '/', query] = /^(?:[a-z]+:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*))?/i.exec(url) ?? []
  return { path: decode(path || '/'), query: parse(query ?? '') }
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** What body parsers leave of a body, in the request of Node or their own. */
type Parsed = { readonly rawBody?: unknown; readonly body?: unknown }

/** The body, or what is left of it where it was read before. */
export function bodyOf(req: NodeRequest, parsed: object): unknown {
  if (!req.readableEnded) return req
  const [ours, theirs] = [parsed as Parsed, req as Parsed]
  return ours.rawBody ?? theirs.rawBody ?? ours.body ?? theirs.body ?? undefined
}

export class RequestOfNode<Raw> implements SyncRequest<Raw> {
  readonly method: string
  readonly path: string
  readonly query: SyncRequest['query']
  readonly headers: SyncRequest['headers']
  readonly isServed: () => boolean
  #signal: AbortSignal | undefined

  constructor(
    private readonly req: NodeRequest,
    private readonly res: NodeResponse,
    { path, query }: Place,
    readonly body: unknown,
    readonly raw: Raw,
  ) {
    this.method = req.method ?? 'GET'
    this.path = path
    this.query = query
    // not `headersDistinct`, which HTTP/2 has not
    const keys = req.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === 'idempotency-key')
    this.headers = keys.length > 1 ? { ...req.headers, 'idempotency-key': keys } : req.headers
    this.isServed = isServedBy(req)
  }

  /** Few ask for it. */
  get signal(): AbortSignal {
    this.#signal ??= signalOf(this.req, this.res)
    return this.#signal
  }
}

function signalOf(req: NodeRequest, res: NodeResponse): AbortSignal {
  if (isClosed(req, res)) return AbortSignal.abort()
  const controller = new AbortController()
  res.once('close', () => controller.abort())
  return controller.signal
}

function send(req: NodeRequest, res: NodeResponse, response: SyncResponse): void {
  const { body } = response
  if (res.headersSent) throw new Error('Something else has answered this request already.')
  setHeaders(req, res, response)
  res.statusCode = response.status
  if (typeof body !== 'object') {
    if (body !== undefined) res.setHeader('Content-Length', Buffer.byteLength(body))
    return void res.end(body ?? '')
  }
  guardStream(req, res, body, response)
  // that it failed was told already, and that the client left is no failure
  pipeline(body, res as NodeJS.WritableStream, () => {})
}

const LISTS = ['vary', 'access-control-expose-headers']

/** Sets the headers of an answer; those that others have set stay, but for those that say what an error is not. */
export function setHeaders(req: NodeRequest, res: NodeResponse, { status, headers }: SyncResponse): void {
  if (res.headersSent) return
  if (status >= 400) for (const name of ['ETag', 'Content-Encoding']) res.removeHeader(name)
  for (const [name, value] of Object.entries(headers)) {
    const isList = LISTS.includes(name.toLowerCase())
    if (name !== 'Connection' || hasConnectionHeaders(req))
      res.setHeader(name, isList ? joinLists(res.getHeader(name)?.toString(), value) : value)
  }
}

/** Half an answer breaks off, and so does one of which the client takes nothing. */
export function guardStream(req: NodeRequest, res: NodeResponse, body: Readable, { idleTimeout, endTimeout }: SyncResponse): void {
  body.once('error', () => breakOff(req, res))
  if (idleTimeout !== undefined) res.setTimeout(idleTimeout, () => breakOff(req, res))
  if (endTimeout !== undefined) body.once('end', () => res.setTimeout(endTimeout))
}
