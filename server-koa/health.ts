// Says whether this process can serve, for load balancers and for people.

import type { Context, Middleware } from 'koa'
import type { DataSource } from 'typeorm'
import type { Clock } from '../src/changes/database/database.js'
import { changeLogOf } from '../src/entity/registry.js'
import { unavailable, writeProblem } from './problem.js'

export interface Health extends Clock {
  /** A read replica answers questions, and no pushes. */
  readonly replica: boolean
}

/** Reads the clock. Rejects with what a sync would be told: DatabaseBusyError, DatabaseFailedError, SyncSchemaError, SyncConfigurationError. */
export function checkHealth(dataSource: DataSource): Promise<Health> {
  const { database } = changeLogOf(dataSource)
  return database.step(
    function* () {
      return { ...(yield* database.clock()), replica: yield* database.isReplica() }
    },
    { readOnly: true },
  )
}

/** Answers GET and HEAD of a path: 200 with what `checkHealth` says, 503 where the database cannot be asked. */
export function health(dataSource: DataSource, { path = '/health' } = {}): Middleware {
  return async (ctx: Context, next) => {
    if (ctx.path !== path || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    ctx.set('Cache-Control', 'no-store')
    try {
      ctx.body = { status: 'ok', ...(await checkHealth(dataSource)) }
    } catch (error) {
      if (!dataSource.isInitialized) writeProblem(ctx, unavailable('The server is starting, or stopping.', 5))
      else writeProblem(ctx, error)
    }
  }
}
