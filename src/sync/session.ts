// One sync of one collection with one server, while it runs.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import type { Step, StepOptions } from '../changes/database/database.js'
import { type Remote, readRemote } from '../changes/remotes.js'
import { NotWaitingError } from '../errors.js'
import { type Exchange, openExchange } from './exchange.js'
import type { ConflictHandler } from './handlers.js'
import type { ReportBuilder } from './report.js'
import type { Transport } from './transport.js'

export interface Session {
  readonly log: ChangeLog
  readonly collection: Collection
  readonly remoteId: number
  readonly url: string
  readonly transport: Transport
  readonly handler: ConflictHandler | undefined
  /** Updates in one page of a pull. */
  readonly pageSize: number
  /** Rows in one push, at most. */
  readonly batchSize: number
  readonly rounds: number
  /** Milliseconds that a conflict handler may take; unlimited where undefined. */
  readonly handlerTimeout: number | undefined
  readonly signal: AbortSignal | undefined
  readonly report: ReportBuilder
}

/** Runs a step of the sync with what is known of the server at this moment. */
export function step<T>(session: Session, body: (exchange: Exchange) => Step<T>, options?: StepOptions): Promise<T> {
  session.signal?.throwIfAborted()
  return session.log.database.step(function* () {
    const exchange = yield* openExchange(session.log, session.collection, session.remoteId)
    if (!exchange) return refuseForgotten(session)
    return yield* body(exchange)
  }, options)
}

/** What is known of the server at this moment. */
export async function readKnown(session: Session): Promise<Remote> {
  session.signal?.throwIfAborted()
  const remote = await session.log.database.step(() => readRemote(session.remoteId), { readOnly: true })
  return remote ?? refuseForgotten(session)
}

function refuseForgotten({ url, collection }: Session): never {
  throw new NotWaitingError(`${url} was forgotten while it was synced.`, { entity: collection.entity })
}

/** How many rows fit into a step that keeps an application's page alive; measured as it goes. */
export class StepSize {
  #rows: number
  readonly #largest: number
  readonly #milliseconds = 16

  constructor({ rows = 100, largest = 5_000 } = {}) {
    this.#rows = Math.min(rows, largest)
    this.#largest = largest
  }

  get rows(): number {
    return this.#rows
  }

  /** Fewer rows are wanted for another reason. */
  shrinkTo(rows: number): void {
    this.#rows = Math.max(1, rows)
  }

  /** A step of so many rows took so long. */
  took(rows: number, milliseconds: number): void {
    if (rows < this.#rows / 2) return
    const fitting = rows * Math.min(4, Math.max(0.25, this.#milliseconds / Math.max(milliseconds, 0.1)))
    this.#rows = Math.max(1, Math.round(Math.min(this.#largest, Math.max(Math.min(50, this.#rows * 4), fitting))))
  }
}
