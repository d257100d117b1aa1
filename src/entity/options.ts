// How a client syncs.

import type { DataSource } from 'typeorm'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import type { TransportOptions, Versioned } from '../sync/http/transport.js'
import type { SyncProgress } from '../sync/report.js'

/** How a client syncs. Given to `withSync` for all syncs of a data source, or to a single call. */
export interface SyncOptions extends TransportOptions {
  /** Updates in one answer of the server; 4,000 by default. The server has a maximum of its own. */
  readonly pageSize?: number
  /** Rows in one request to the server; 4,000 by default. It has no more than a megabyte, and begins with 1,000. */
  readonly batchSize?: number
  /** How often it is tried again when others keep changing the same rows meanwhile; 8 by default. Then SyncContentionError. */
  readonly maxRounds?: number
  /** Milliseconds that a conflict handler may take; as long as it likes by default. */
  readonly handlerTimeout?: number
  /**
   * What becomes of local changes that were never pushed, in rows that the user does not see any more: by default they are kept in the journal, where
   * `rejected()` lists them as `no-access`, and come back when the row is seen again; `drop` discards them.
   */
  readonly noAccess?: 'keep' | 'drop'
  /** Decides the conflicts of entities for which neither a call nor the entity itself has a handler. */
  readonly onConflict?: ConflictHandler
  /** Called as the sync goes on. */
  readonly onProgress?: (progress: SyncProgress) => void
}

export interface SyncCallOptions extends SyncOptions {
  /** Gives up this call. Rows that were stored until then stay, and nothing is lost. */
  readonly signal?: AbortSignal
  /** Syncs with this server alone, where an entity has several: its url as `journal().servers()` lists it. */
  readonly url?: string
}

export interface ClientOptions extends SyncOptions, Versioned {
  /** Completes urls that are paths, e.g. `https://example.org`. */
  readonly server?: string
}

export const clients = new WeakMap<DataSource, ClientOptions>()

export function noteClient(dataSource: DataSource, options: ClientOptions): void {
  clients.set(dataSource, options)
}
