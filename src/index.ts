export { binary } from './changes/values/binary.js'
export type { ClientOptions, SyncCallOptions, SyncOptions } from './entity/client.js'
export { EnableSync, enableSync } from './entity/enableSync.js'
export type { EnableSyncOptions } from './entity/registry.js'
export { SyncedEntity } from './entity/SyncedEntity.js'
export { hasLocalChanges, journal, syncAll } from './entity/syncAll.js'
export { setUpStatements, type WithSyncOptions, withSync } from './entity/withSync.js'
export * from './errors.js'
export type { JournalOptions, ResolveOptions } from './sync/decide.js'
export {
  type Conflict,
  type ConflictHandler,
  type ConflictUpdate,
  preferLocalConflictHandler,
  preferNewest,
  preferNewestConflictHandler,
  preferRemoteConflictHandler,
  type RowSides,
  resolveEach,
} from './sync/handlers.js'
export type { SyncJournal } from './sync/journal.js'
export type { PendingChange, RejectedRow, ResolvedConflict, UnappliedRow } from './sync/listed.js'
export type { EntityReport, SyncProgress, SyncReport } from './sync/report.js'
export type { HeadersValue, TransportOptions } from './sync/transport.js'
