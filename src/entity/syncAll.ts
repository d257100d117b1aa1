// What an application calls.

import { DataSource, type ObjectLiteral, type Repository } from 'typeorm'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import { SyncJournal } from '../sync/conflicts/journal.js'
import type { SyncServer } from '../sync/conflicts/servers.js'
import type { SyncReport } from '../sync/report.js'
import { collectionOf, feedsOf, hasServer } from './feeds.js'
import type { SyncCallOptions } from './options.js'
import { changeLogOf } from './registry.js'
import { syncFeeds } from './syncFeeds.js'

/**
 * Syncs the feed or feeds to which an entity belongs, or all of a data source: every synced entity of a server in one exchange, so that rows that
 * need each other arrive together. Calls at the same time join.
 *
 * `handler` decides the conflicts of that entity, or of every one; where it has none, `onConflict` of the entity or of the data source does.
 * Conflicts that a handler leaves alone, and all of them where there is none, stay in the journal and come again with the next sync.
 * Rejects with a SyncError: nothing is lost, and the next call goes on from there. With an AbortSignal it rejects with its reason.
 */
export async function syncAll<Entity extends ObjectLiteral>(
  target: Repository<Entity> | DataSource,
  // biome-ignore lint/suspicious/noExplicitAny: a handler for one entity serves for a data source of one
  handler?: ConflictHandler<any>,
  options: SyncCallOptions = {},
): Promise<SyncReport> {
  const isAll = target instanceof DataSource
  const { log, collection } = isAll ? { log: changeLogOf(target), collection: undefined } : collectionOf(target)
  return syncFeeds(log, feedsOf(log, collection, options.url), { collection, handler }, options)
}

/** The journal of an entity: what is pending, in conflict, deferred or rejected, and what was resolved. */
export function journal<Entity extends ObjectLiteral>(repository: Repository<Entity>): SyncJournal<Entity> {
  const { log, collection } = collectionOf(repository)
  return new SyncJournal<Entity>(log, collection, hasServer(log.dataSource, collection))
}

/** The servers of a data source, entity by entity, and how far each is read and pushed. */
export async function servers(dataSource: DataSource): Promise<SyncServer[]> {
  const found: SyncServer[] = []
  for (const each of journalsOf(dataSource)) found.push(...(await each.servers()))
  return found
}

const journalsOf = (dataSource: DataSource) => {
  const log = changeLogOf(dataSource)
  return log.collections.map(c => new SyncJournal(log, c, hasServer(dataSource, c)))
}

/** Is there any local change that was not pushed to a server, or that a server has rejected? */
export async function hasLocalChanges(target: Repository<ObjectLiteral> | DataSource): Promise<boolean> {
  const journals = target instanceof DataSource ? journalsOf(target) : [journal(target)]
  for (const each of journals) if (await each.hasLocalChanges()) return true
  return false
}
