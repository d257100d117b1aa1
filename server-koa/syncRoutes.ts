// The server as a middleware of Koa.

import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { DataSource } from 'typeorm'
import type { Declared, ServerOptions } from '../server/options.js'
import type { FindPrincipal as Find, Principal } from '../server/principal.js'
import { serve } from '../server/serve.js'
import { report, send, toSyncRequest } from './context.js'

/**
 * Says who asks; without a principal the request is answered with 401. What it throws with a `status` from 400 to 499, as `ctx.throw(403)` does, is
 * the answer; any other error is answered with 500.
 */
export type FindPrincipal<P extends Principal = Principal> = Find<P, Context>

/** `principal` gets the context of Koa. */
export interface SyncRoutesOptions<P extends Principal = Principal> extends ServerOptions<P, Context> {}

/** A middleware of Koa; `routes()` gives the same, as a router of @koa/router does, and what another router mounts by `use`. */
export interface SyncRoutes extends Middleware {
  routes(): ReturnType<Router['routes']>
}

/**
 * A middleware that answers PROTOCOL.md for the synced entities of a data source, which may be initialised later: `app.use(syncRoutes(dataSource,
 * { principal, rules }))`. Authentication, CORS, compression and rate limits are the application's, before these routes; body parsers
 * belong behind them. Throws SyncConfigurationError where the options do not say who may see the rows.
 */
export function syncRoutes<P extends Principal = Principal>(
  dataSource: DataSource,
  options: SyncRoutesOptions<P> & Declared<P, Context>,
): SyncRoutes {
  // the rules are asked about those alone whom `principal` finds
  return routesOf(dataSource, options as unknown as SyncRoutesOptions)
}

function routesOf(dataSource: DataSource, options: SyncRoutesOptions): SyncRoutes {
  const { prefix, principal, ...rest } = options ?? {}
  const find = serve('syncRoutes', dataSource, { ...rest, ...(principal && { principal: ({ raw }) => principal(raw as Context) }) }, report)
  const router = new Router(prefix ? { prefix } : {})
  // One route for all, for a data source that is not initialised does not know its entities yet.
  router.all('{/*path}', async (ctx, next) => {
    const { kind, respond } = find(toSyncRequest(ctx, `/${ctx.params.path ?? ''}`))
    if (kind === 'ours') return send(ctx, await respond())
    await next()
    if (ctx.status !== 404 || (ctx.body !== undefined && ctx.body !== null) || ctx.respond === false) return
    // what no other middleware answers might be ours
    if (kind !== 'other' || prefix) send(ctx, await respond())
  })
  const routes = router.routes()
  return Object.assign(routes as unknown as Middleware, { routes: () => routes })
}
