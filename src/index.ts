export { binary } from './databases/values/binary.js'
export { EnableSync, enableSync } from './entity/enableSync.js'
export { type KeepSyncedOptions, type KeptSynced, keepSynced } from './entity/keep/keepSynced.js'
export type { KeptState, KeptStatus } from './entity/keep/status.js'
export { localMigration } from './entity/localMigration.js'
export type { ClientOptions, SyncCallOptions, SyncOptions } from './entity/options.js'
export type { EnableSyncOptions } from './entity/registry.js'
export { hasLocalChanges, journal, servers, syncAll } from './entity/syncAll.js'
export { SyncedEntity } from './entity/syncedEntity.js'
export { adopt, wipe } from './entity/users.js'
export { watch } from './entity/watch/watch.js'
export { type ConflictCalls, type ConflictWatch, watchConflicts } from './entity/watch/watchConflicts.js'
export type { Watch, WatchOptions, WatchSnapshot } from './entity/watch/watched.js'
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
  type RowSides,
  resolveEach,
} from './sync/conflicts/handlers.js'
export type { ListOptions, SyncJournal } from './sync/conflicts/journal.js'
export type { DeferredRow, PendingChange, RejectedRow, ResolvedConflict, UnresolvedConflict } from './sync/conflicts/listed.js'
export type { JournalOptions, ResolveOptions } from './sync/conflicts/resolve.js'
export type { SyncServer } from './sync/conflicts/servers.js'
export * from './sync/http/errors.js'
export { onRequest, type SyncRequest } from './sync/http/requests.js'
export type { HeadersValue, TransportOptions } from './sync/http/transport.js'
export type { EntityReport, SyncProgress, SyncReport } from './sync/report.js'
