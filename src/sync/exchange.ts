// What a step of a sync works with: one collection of one server, and that server's other collections, for foreign keys know no borders.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { attempt, type Step } from '../changes/database/database.js'
import { isAgreed, noteStored, type Remote, type RowState, readServer, readStates } from '../changes/remotes.js'
import { readVersions } from '../changes/rows.js'

export interface Exchange {
  readonly log: ChangeLog
  readonly collection: Collection
  readonly remote: Remote
  /** The same server's remotes, by collection; this one's among them. */
  readonly siblings: ReadonlyMap<Collection, Remote>
  /** Those that this step asks and tells together; this one's among them. */
  readonly together: readonly Remote[]
}

/**
 * Reads what is known of a server, for these of its remotes, which are asked and told together, in the order of their collections: parents
 * first. Those that were forgotten meanwhile are absent.
 */
export function* openExchanges(log: ChangeLog, remoteIds: readonly number[]): Step<Exchange[]> {
  const remotes = yield* readServer(remoteIds[0] ?? -1)
  const siblings = new Map<Collection, Remote>()
  const own = new Map<Collection, Remote>()
  for (const collection of log.collections) {
    const there = remotes.filter(r => r.collection === collection.name)
    const asked = there.find(r => remoteIds.includes(r.id))
    const [any] = there
    if (asked) own.set(collection, asked)
    if (any) siblings.set(collection, asked ?? any)
  }
  const together = [...own.values()]
  return [...own].map(([collection, remote]) => {
    const isAlone = together.length === 1 && !collection.parents.length && !collection.children.length
    return { log, collection, remote, siblings: isAlone ? new Map([[collection, remote]]) : siblings, together }
  })
}

/** Reads what is known of one collection of a server; undefined where it was forgotten meanwhile. */
export function* openExchange(log: ChangeLog, collection: Collection, remoteId: number): Step<Exchange | undefined> {
  return (yield* openExchanges(log, [remoteId])).find(exchange => exchange.collection === collection)
}

/** The same server's exchange of another collection; undefined where that one is not synced there. */
export function siblingOf(exchange: Exchange, collection: Collection): Exchange | undefined {
  const remote = exchange.siblings.get(collection)
  return remote && { ...exchange, collection, remote }
}

export function* readRowStates({ log, collection, remote }: Exchange, ids: readonly string[]): Step<Map<string, RowState>> {
  return yield* readStates(log.database, collection, remote, ids, yield* readVersions(log.database, collection, ids))
}

export const isClean = ({ remote }: Exchange, state: RowState) => isAgreed(remote, state, state.version.stamp)

/**
 * The stamp under which a step stores the server's rows: taken when first needed, and noted, for they are no news for that server. To be
 * taken outside of an attempt: what an attempt that fails has ticked and noted is undone.
 */
export class StepStamp {
  #stamp: number | undefined

  constructor(private readonly exchange: Exchange) {}

  *take(): Step<number> {
    if (this.#stamp !== undefined) return this.#stamp
    const { log, siblings, together } = this.exchange
    const { now } = yield* log.database.clock()
    this.#stamp = yield* log.database.tick()
    // a collection that is synced by itself has its own cursor under way
    yield* noteStored(log.database, siblings.values(), together, this.#stamp, now)
    return this.#stamp
  }

  /** Runs an attempt that may need the stamp first; where it fails, the stamp was not taken. */
  *attempt<T>(body: () => Step<T>): Step<T> {
    if (this.#stamp !== undefined) return yield* attempt(body)
    const before = [...this.exchange.siblings.values()].map(remote => ({ remote, told: remote.told, stored: [...remote.stored] }))
    try {
      return yield* attempt(body)
    } catch (error) {
      this.#stamp = undefined
      for (const { remote, told, stored } of before) Object.assign(remote, { told, stored: new Set(stored) })
      throw error
    }
  }
}
