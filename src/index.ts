export { binary } from './changes/values/binary.js'
export type { ClientOptions, SyncCallOptions, SyncOptions } from './entity/client.js'
export { EnableSync, enableSync } from './entity/enableSync.js'
export type { EnableSyncOptions } from './entity/registry.js'
export { SyncedEntity } from './entity/SyncedEntity.js'
export { hasLocalChanges, journal, syncAll } from './entity/syncAll.js'
export { setUpStatements, type WithSyncOptions, withSync } from './entity/withSync.js'
export * from './errors.js'
export {
  type Conflict,
  type ConflictHandler,
  type ConflictUpdate,
  preferLocalConflictHandler,
  preferNewest,
  preferNewestConflictHandler,
  preferRemoteConflictHandler,
  resolveEach,
} from './sync/handlers.js'
export type { DecidedConflict, JournalOptions, PendingChange, RefusedRow, SyncJournal, WaitingRow } from './sync/journal.js'
export type { SyncProgress, SyncReport } from './sync/report.js'
export type { HeadersValue, TransportOptions } from './sync/transport.js'
