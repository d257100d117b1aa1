// What a step of a sync works with: one collection of one server, and that server's other collections, for foreign keys know no borders.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { query, type Step } from '../changes/database/database.js'
import { isAgreed, noteStored, type Remote, type RowState, readRemote, readStates } from '../changes/remotes.js'
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
  const remote = yield* readRemote(remoteId)
  if (!remote) return
  const siblings = new Map([[collection, remote]])
  if (collection.parents.length || collection.children.length) {
    for (const row of yield* query('SELECT id, collection FROM sync_remote WHERE server = ? AND id <> ?', remote.server, remote.id)) {
      const other = log.collections.find(c => c.name === row.collection)
      const sibling = other && !siblings.has(other) ? yield* readRemote(Number(row.id)) : undefined
      if (other && sibling) siblings.set(other, sibling)
    }
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
    this.#stamp = yield* this.exchange.log.database.tick()
    for (const remote of this.exchange.siblings.values()) yield* noteStored(remote, this.#stamp)
    return this.#stamp
  }
}
