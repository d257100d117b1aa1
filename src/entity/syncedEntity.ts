import { BaseEntity, type ObjectLiteral, type Repository } from 'typeorm'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import type { SyncJournal } from '../sync/conflicts/journal.js'
import type { SyncReport } from '../sync/report.js'
import { enableSync } from './enableSync.js'
import type { SyncCallOptions } from './options.js'
import type { EnableSyncOptions, SyncTarget } from './registry.js'
import { hasLocalChanges, journal, syncAll } from './syncAll.js'

type EntityClass<Entity> = { new (): Entity } & typeof BaseEntity

/**
 * A BaseEntity that syncs: `Task.syncAll(handler)`. Its statics speak of the data source that was initialised last, as BaseEntity's do,
 * or of the one named with `Task.useDataSource`; where there are several, `syncAll(repository)` says which.
 */
export abstract class SyncedEntity extends BaseEntity {
  /** Lets the entity sync; the same as `@EnableSync(url)`. Call it before the data source is initialised. */
  static enableSync(this: SyncTarget, url: string | readonly string[], options?: EnableSyncOptions): void {
    enableSync(this, url, options)
  }

  /** Syncs this entity. See `syncAll`. */
  static syncAll<Entity extends SyncedEntity>(
    this: EntityClass<Entity>,
    handler?: ConflictHandler<Entity>,
    options?: SyncCallOptions,
  ): Promise<SyncReport> {
    return syncAll(repositoryOf(this), handler, options)
  }

  /** What is pending, in conflict, deferred or rejected, and what was resolved. See `journal`. */
  static syncJournal<Entity extends SyncedEntity>(this: EntityClass<Entity>): SyncJournal<Entity> {
    return journal(repositoryOf(this))
  }

  /** Is there any local change that was not pushed to a server, or that a server has rejected? */
  static hasLocalChanges<Entity extends SyncedEntity>(this: EntityClass<Entity>): Promise<boolean> {
    return hasLocalChanges(repositoryOf(this) as Repository<ObjectLiteral>)
  }
}

function repositoryOf<Entity extends SyncedEntity>(entity: EntityClass<Entity>): Repository<Entity> {
  return (entity as typeof BaseEntity).getRepository() as unknown as Repository<Entity>
}
