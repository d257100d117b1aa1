// What a step of a sync works with: one collection of one server, and that server's other collections, for foreign keys know no borders.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { attempt, type Step } from '../changes/database/database.js'
import { isAgreed, noteStored, type Remote, type RowState, readServer, readStates, tellStored } from '../changes/remotes.js'
import { readVersions } from '../changes/rows.js'

export interface Exchange {
  readonly log: ChangeLog
  readonly collection: Collection
  readonly remote: Remote
  /** The same server's remotes, by collection; this one's among them. */
  readonly siblings: ReadonlyMap<Collection, Remote>
}

/** Reads what is known of the server; undefined where it was forgotten meanwhile. */
export function* openExchange(log: ChangeLog, collection: Collection, remoteId: number): Step<Exchange | undefined> {
  const remotes = yield* readServer(remoteId)
  const remote = remotes.find(r => r.id === remoteId)
  if (!remote) return
  const siblings = new Map([[collection, remote]])
  if (!collection.parents.length && !collection.children.length) return { log, collection, remote, siblings }
  for (const other of remotes) {
    const there = log.collections.find(c => c.name === other.collection)
    if (there && !siblings.has(there)) siblings.set(there, other)
  }
  return { log, collection, remote, siblings }
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
    const { database } = this.exchange.log
    const { now } = yield* database.clock()
    this.#stamp = yield* database.tick()
    // another collection's sync has its own cursor under way
    for (const remote of this.exchange.siblings.values())
      if (remote !== this.exchange.remote || !(yield* tellStored(remote, this.#stamp, now)))
        yield* noteStored(database, remote, this.#stamp)
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
