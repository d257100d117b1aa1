import type { Middleware } from 'koa'
import type { DataSource } from 'typeorm'
import { type HealthOptions, serveHealth } from '../server/health.js'
import { report, send, toSyncRequest } from './context.js'

/** Answers GET and HEAD of a path: 200 with the result of `checkHealth`, 503 where the database does not answer. */
export function health(dataSource: DataSource, options: HealthOptions = {}): Middleware {
  const find = serveHealth(dataSource, options, report)
  return async (ctx, next) => {
    const found = find(toSyncRequest(ctx, ctx.path))
    if (found.kind !== 'ours') return next()
    send(ctx, await found.respond())
  }
}
