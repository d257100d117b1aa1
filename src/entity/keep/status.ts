// What is to be known of a data source that is kept in sync: read, and subscribed to.

import type { JournalCounts } from '../../sync/conflicts/counts.js'

/**
 * `idle`: everything is synced, as far as it can be; `syncing`; `offline`: the server cannot be reached, or says that it cannot answer now;
 * `signed-out`: it wants to know who asks; `failed`: the last sync ended with an error that time alone may not mend, `lastError`.
 */
export type KeptState = 'idle' | 'syncing' | 'offline' | 'signed-out' | 'failed'

export interface KeptStatus extends JournalCounts {
  readonly state: KeptState
  /** The server says by itself when there is news. */
  readonly isLive: boolean
  /** When a sync succeeded last. */
  readonly lastSuccess: Date | undefined
  /** Why the last sync did not succeed; undefined where it did. */
  readonly lastError: unknown
}

/** Before anything was synced. */
export const NEW: KeptStatus = {
  state: 'idle',
  isLive: false,
  ...{ pending: 0, conflicts: 0, deferred: 0, rejected: 0 },
  lastSuccess: undefined,
  lastError: undefined,
}

/** Holds a status, which is another object whenever it is another status, and only then. */
export class StatusStore {
  #status = NEW
  readonly #listeners = new Set<(status: KeptStatus) => void>()

  get current(): KeptStatus {
    return this.#status
  }

  change(change: Partial<KeptStatus>): void {
    const next = { ...this.#status, ...change }
    const names = Object.keys(next) as (keyof KeptStatus)[]
    if (names.every(name => next[name] === this.#status[name])) return
    this.#status = next
    for (const listener of [...this.#listeners]) {
      try {
        listener(next)
      } catch (error) {
        console.error(error) // what fails to show a status does not end the sync
      }
    }
  }

  subscribe(listener: (status: KeptStatus) => void): () => void {
    // a function that is given twice is two subscriptions
    const own = (status: KeptStatus) => listener(status)
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }
}
