// Says whether this process can serve, for load balancers and for people.

import type { Context, Middleware } from 'koa'
import type { DataSource } from 'typeorm'
import type { Clock } from '../src/databases/database.js'
import { changeLogOf, setUpAgain } from '../src/entity/registry.js'
import { SyncSchemaError } from '../src/errors.js'
import { unavailable, writeProblem } from './problem.js'

export interface Health extends Clock {
  /** A read replica answers questions, and no pushes. */
  readonly replica: boolean
}

/** Reads the clock. Rejects with the error that a sync would get: DatabaseBusyError, DatabaseFailedError, SyncSchemaError, SyncConfigurationError. */
export async function checkHealth(dataSource: DataSource): Promise<Health> {
  await setUpAgain(dataSource)
  const { database } = changeLogOf(dataSource)
  return database.transaction(
    function* () {
      return { ...(yield* database.clock()), replica: yield* database.isReplica() }
    },
    { mode: 'read' },
  )
}

/** Answers GET and HEAD of a path: 200 with the result of `checkHealth`, 503 where the database does not answer. */
export function health(dataSource: DataSource, { path = '/health' } = {}): Middleware {
  return async (ctx: Context, next) => {
    if (ctx.path !== path || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    ctx.set('Cache-Control', 'no-store')
    try {
      ctx.body = { status: 'ok', ...(await checkHealth(dataSource)) }
    } catch (error) {
      // what is missing may come: a migration that a replica has not replayed yet, or that is still to be run
      const isEarly = !dataSource.isInitialized || error instanceof SyncSchemaError
      writeProblem(ctx, isEarly ? unavailable('The server is starting, or stopping.', 5) : error)
    }
  }
}
