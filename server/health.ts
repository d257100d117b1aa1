// Says whether this process can serve, for load balancers and for people.

import type { DataSource } from 'typeorm'
import type { Clock } from '../src/databases/database.js'
import { changeLogOf, setUpAgain } from '../src/entity/registry.js'
import { SyncSchemaError } from '../src/errors.js'
import { Exchange, JSON_TYPE, type OnError } from './exchange.js'
import { Problem, unavailable, writeProblem } from './problem.js'
import type { Find } from './serve.js'

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

export interface HealthOptions {
  /** `/health`, unless it is given. */
  readonly path?: string
}

/** Answers GET and HEAD of a path: 200 with the result of `checkHealth`, 503 where the database does not answer. */
export function serveHealth(dataSource: DataSource, { path = '/health' }: HealthOptions, onError: OnError): Find {
  return request => {
    const isOurs = request.path === path && (request.method === 'GET' || request.method === 'HEAD')
    const exchange = new Exchange(request, onError)
    return { kind: isOurs ? 'ours' : 'other', respond: () => answering(exchange, isOurs, dataSource) }
  }
}

async function answering(exchange: Exchange, isOurs: boolean, dataSource: DataSource): Promise<Exchange> {
  exchange.set({ 'Cache-Control': 'no-store', 'Content-Type': JSON_TYPE })
  try {
    if (!isOurs) throw new Problem(404, 'There is nothing here.')
    exchange.body = JSON.stringify({ status: 'ok', ...(await checkHealth(dataSource)) })
  } catch (error) {
    // what is missing may come: a migration that a replica has not replayed yet, or that is still to be run
    const isEarly = isOurs && (!dataSource.isInitialized || error instanceof SyncSchemaError)
    writeProblem(exchange, isEarly ? unavailable('The server is starting, or stopping.', 5) : error)
  }
  return exchange
}
