// One call that keeps a data source in sync.

import type { DataSource } from 'typeorm'
import { SyncConfigurationError } from '../../errors.js'
import type { SyncCallOptions } from '../options.js'
import { changeLogOf } from '../registry.js'
import { Keeper } from './keeper.js'
import type { KeptStatus } from './status.js'

export interface KeepSyncedOptions extends Omit<SyncCallOptions, 'url'> {
  /** Milliseconds between syncs while nothing else calls for one, more or less; 60,000 by default, and five times as long while the server is heard. */
  readonly interval?: number
  /** Milliseconds of quiet after a local commit until it is pushed; 200 by default. Where one commit follows the other, no more than ten times that. */
  readonly debounce?: number
  /** Does the server say by itself when there is news, where it can? True by default. */
  readonly live?: boolean
  /** Ends it, as `stop` does. */
  readonly signal?: AbortSignal
}

export interface KeptSynced {
  /** The status at this moment. It is the same object until there is another status. */
  readonly status: KeptStatus
  /** Calls the listener with each further status; returns a function that ends this. */
  subscribe(listener: (status: KeptStatus) => void): () => void
  /** Syncs at once, whatever was waited for: after somebody has signed in, or `wipe` or `adopt` was called, or a button was pressed. */
  wake(): void
  /** Ends it; resolves when nothing of it runs any more. */
  stop(): Promise<void>
}

/**
 * Keeps a data source in sync with its servers until `stop` is called: syncs at once, soon after local commits, when the connection or the page comes back,
 * when the server says that there is news, and in intervals. Failures end nothing: it waits, and `status` says why. Conflicts are decided by the entity's `onConflict`, or that of the options or the data
 * source; others wait in the journal. Calls of `syncAll` at the same time share its work.
 *
 * Throws SyncConfigurationError where withSync was not applied, or the data source is not initialised.
 */
export function keepSynced(dataSource: DataSource, options: KeepSyncedOptions = {}): KeptSynced {
  for (const name of ['interval', 'debounce'] as const) {
    const value = options[name]
    if (value !== undefined && !(value > 0)) throw new SyncConfigurationError(`keepSynced: ${name} has to be a number above 0.`)
  }
  try {
    changeLogOf(dataSource)
  } catch (error) {
    // what lacks a table may get it
    if (error instanceof SyncConfigurationError) throw error
  }
  return new Keeper(dataSource, options)
}
