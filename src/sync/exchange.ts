// What a transaction of a sync works with: one collection of one server, and that server's other collections, for foreign keys know no borders.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collections/collection.js'
import { readVersions } from '../changes/rows/rows.js'
import { isAgreed } from '../changes/servers/agreement.js'
import { type RowState, readStates } from '../changes/servers/rowStates.js'
import { readServer, type ServerState } from '../changes/servers/serverState.js'
import { noteStored } from '../changes/servers/storedStamps.js'
import { savepoint, type Transaction } from '../databases/database.js'

export interface Exchange {
  readonly log: ChangeLog
  readonly collection: Collection
  readonly server: ServerState
  /** The same server's remotes, by collection; this one's among them. */
  readonly siblings: ReadonlyMap<Collection, ServerState>
  /** Those that this transaction pulls and pushes together; this one's among them. */
  readonly together: readonly ServerState[]
}

/**
 * Reads what is known of a server, for these of its collections, which are pulled and pushed together, in the order of their collections: parents
 * first. Those that were forgotten meanwhile are absent.
 */
export function* openExchanges(log: ChangeLog, remoteIds: readonly number[]): Transaction<Exchange[]> {
  const servers = yield* readServer(remoteIds[0] ?? -1)
  const siblings = new Map<Collection, ServerState>()
  const own = new Map<Collection, ServerState>()
  for (const collection of log.collections) {
    const there = servers.filter(r => r.collection === collection.name)
    const asked = there.find(r => remoteIds.includes(r.id))
    const [any] = there
    if (asked) own.set(collection, asked)
    if (any) siblings.set(collection, asked ?? any)
  }
  const together = [...own.values()]
  return [...own].map(([collection, server]) => {
    const isAlone = together.length === 1 && !collection.parents.length && !collection.children.length
    return { log, collection, server, siblings: isAlone ? new Map([[collection, server]]) : siblings, together }
  })
}

/** Reads what is known of one collection of a server; undefined where it was forgotten meanwhile. */
export function* openExchange(log: ChangeLog, collection: Collection, serverId: number): Transaction<Exchange | undefined> {
  return (yield* openExchanges(log, [serverId])).find(exchange => exchange.collection === collection)
}

/** The same server's exchange of another collection; undefined where that one is not synced there. */
export function siblingOf(exchange: Exchange, collection: Collection): Exchange | undefined {
  const server = exchange.siblings.get(collection)
  return server && { ...exchange, collection, server }
}

export function* readRowStates({ log, collection, server }: Exchange, ids: readonly string[]): Transaction<Map<string, RowState>> {
  return yield* readStates(log.database, collection, server, ids, yield* readVersions(log.database, collection, ids))
}

export const isClean = ({ server }: Exchange, state: RowState) => isAgreed(server, state, state.version.stamp)

/**
 * The stamp under which a transaction stores the server's rows: taken when first needed, and noted, for they are no local changes for that server
 * (docs/how-it-works.md, law 1). To be taken outside of a savepoint: what a savepoint that fails has ticked and noted is undone.
 */
export class TransactionStamp {
  #stamp: number | undefined

  constructor(private readonly exchange: Exchange) {}

  *take(): Transaction<number> {
    if (this.#stamp !== undefined) return this.#stamp
    const { log, siblings, together } = this.exchange
    const { now } = yield* log.database.clock()
    this.#stamp = yield* log.database.tick()
    // a collection that is synced by itself has its own cursor under way
    yield* noteStored(log.database, siblings.values(), together, this.#stamp, now)
    return this.#stamp
  }

  /** Runs a savepoint that may need the stamp first; where it fails, the stamp was not taken. */
  *savepoint<T>(body: () => Transaction<T>): Transaction<T> {
    if (this.#stamp !== undefined) return yield* savepoint(body)
    const before = [...this.exchange.siblings.values()].map(server => ({ server, pushedTo: server.pushedTo, stored: [...server.stored] }))
    try {
      return yield* savepoint(body)
    } catch (error) {
      this.#stamp = undefined
      for (const { server, pushedTo, stored } of before) Object.assign(server, { pushedTo, stored: new Set(stored) })
      throw error
    }
  }
}
