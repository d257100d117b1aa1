// One sync with one server, while it runs: of all collections of its feed, or of one by itself.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collections/collection.js'
import type { ServerState } from '../changes/servers/serverState.js'
import type { Transaction, TransactionOptions } from '../databases/database.js'
import { NotInJournalError } from '../errors.js'
import type { ConflictHandler } from './conflicts/handlers.js'
import { type Exchange, openExchanges } from './exchange.js'
import type { Wire } from './http/wire.js'
import type { ReportBuilder } from './report.js'

/** A collection that is synced, and what it is called on the wire. */
export interface Member {
  readonly collection: Collection
  readonly serverId: number
  readonly path: string
  readonly handler: ConflictHandler | undefined
}

export interface Session {
  readonly log: ChangeLog
  /** Parents before children. */
  members: readonly Member[]
  /** Those that the server lacks; it is asked for them along with the others. */
  lacking: readonly Member[]
  readonly wire: Wire
  /** Where a push to the feed is ended. */
  readonly feed: Wire
  /** Updates in one page of a pull. */
  readonly pageSize: number
  /** Rows in one push, at most. */
  readonly batchSize: number
  readonly maxRounds: number
  /** What becomes of unpushed changes of rows that the user does not see any more. */
  readonly noAccess: 'keep' | 'drop'
  /** Milliseconds that a conflict handler may take; unlimited where undefined. */
  readonly handlerTimeout: number | undefined
  readonly signal: AbortSignal | undefined
  readonly report: ReportBuilder
  /** The server has stored a push of this round in another way than it was posted, or has changed more rows: they are read in the same sync. */
  isChangedThere?: boolean
}

/** The exchanges of the members, in their order, as they are at this moment. */
export type Exchanges = readonly Exchange[]

/** Runs a transaction of the sync with what is known of the server at this moment. No request and no handler inside (docs/how-it-works.md, law 2). */
export function transaction<T>(session: Session, body: (exchanges: Exchanges) => Transaction<T>, options?: TransactionOptions): Promise<T> {
  session.signal?.throwIfAborted()
  return session.log.database.transaction(function* () {
    const exchanges = yield* openExchanges(
      session.log,
      session.members.map(m => m.serverId),
    )
    if (exchanges.length < session.members.length) return rejectForgotten(session)
    return yield* body(exchanges)
  }, options)
}

/** What is known of the server, for its collections. */
export function* serversIn(exchanges: Exchanges): Transaction<readonly ServerState[]> {
  return exchanges.map(exchange => exchange.server)
}

function rejectForgotten({ wire, members }: Session): never {
  throw new NotInJournalError(`${wire.url} was forgotten while it was synced.`, {
    entity: members.map(m => m.collection.entity).join(', '),
  })
}

/** How many rows fit into a transaction that keeps an application's page alive; measured as it goes. */
export class TransactionSize {
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

  /** A transaction of so many rows took so long. */
  took(rows: number, milliseconds: number): void {
    if (rows < this.#rows / 2) return
    const fitting = rows * Math.min(4, Math.max(0.25, this.#milliseconds / Math.max(milliseconds, 0.1)))
    this.#rows = Math.max(1, Math.round(Math.min(this.#largest, Math.max(Math.min(50, this.#rows * 4), fitting))))
  }
}
