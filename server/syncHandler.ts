// A server for any framework.

import type { DataSource } from 'typeorm'
import type { OnError } from './exchange.js'
import { type FetchHandler, fetchHandler } from './fetch.js'
import { type HealthOptions, serveHealth } from './health.js'
import { isForOthers, type NodeListener, nodeListener } from './node.js'
import type { Declared, ServerOptions } from './options.js'
import type { Principal } from './principal.js'
import type { SyncRequest, SyncResponse } from './request.js'
import { type Find, serve } from './serve.js'

/** `Raw` is what the framework calls a request. */
export interface SyncHandlerOptions<P extends Principal = Principal, Raw = unknown> extends ServerOptions<P, SyncRequest<Raw>> {
  /** Gets the errors that nothing in the library expects. Without it they go to `console.error`. */
  readonly onError?: (error: unknown, request: SyncRequest<Raw>) => void
}

/** One handler in three forms; none of them ever rejects. */
export interface SyncHandler<Raw = unknown> {
  /** For `createServer` of node:http and node:http2, and for Express, Nest and others that take `(req, res, next)`. */
  readonly node: NodeListener<Raw>
  /** For Hono and others that make a Response of a Request. */
  readonly fetch: FetchHandler<Raw>
  /** For all others. Undefined where the path is none of ours. */
  readonly respond: (request: SyncRequest<Raw>) => Promise<SyncResponse | undefined>
}

/**
 * Answers PROTOCOL.md for the synced entities of a data source, which may be initialised later. Authentication, CORS, compression and rate limits are the
 * application's. Throws SyncConfigurationError where the options do not say who may see the rows.
 */
export function syncHandler<P extends Principal = Principal, Raw = unknown>(
  dataSource: DataSource,
  options: SyncHandlerOptions<P, Raw> & Declared<P, SyncRequest<Raw>>,
): SyncHandler<Raw> {
  // the rules are asked about those alone whom `principal` finds, and it about requests of this framework
  const { onError = logError, ...rest } = options as unknown as SyncHandlerOptions
  return handlerOf(serve('syncHandler', dataSource, rest, onError), onError)
}

/** Answers GET and HEAD of a path: 200 with the result of `checkHealth`, 503 where the database does not answer. */
export function healthHandler(
  dataSource: DataSource,
  { onError = logError, ...options }: HealthOptions & Pick<SyncHandlerOptions, 'onError'> = {},
): SyncHandler {
  return handlerOf(serveHealth(dataSource, options, onError), onError)
}

const logError = (error: unknown) => console.error(error)

function handlerOf<Raw>(find: Find, onError: OnError): SyncHandler<Raw> {
  return {
    node: nodeListener(find, onError),
    fetch: fetchHandler(find) as FetchHandler<Raw>,
    respond: async request => {
      const found = find(request)
      return isForOthers(found) ? undefined : found.respond()
    },
  }
}
