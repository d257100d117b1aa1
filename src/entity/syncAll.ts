// What an application calls.

import { DataSource, type ObjectLiteral, type Repository } from 'typeorm'
import type { ConflictHandler } from '../sync/handlers.js'
import { SyncJournal } from '../sync/journal.js'
import { addLater, addReports, type SyncReport } from '../sync/report.js'
import { collectionOf, Failures, hasServer, type SyncCallOptions, syncCollection } from './client.js'
import { changeLogOf } from './registry.js'

/**
 * Syncs an entity, or every synced entity of a data source, parents first, with its server or servers. Calls at the same time join.
 *
 * Conflicts that the handler leaves alone, and all of them where none is given, wait in the journal and come again with the next sync.
 * Rejects with a SyncError: nothing is lost, and the next call goes on from there. With an AbortSignal it rejects with its reason.
 */
export async function syncAll<Entity extends ObjectLiteral>(
  target: Repository<Entity> | DataSource,
  // biome-ignore lint/suspicious/noExplicitAny: a handler for one entity serves for a data source of one
  handler?: ConflictHandler<any>,
  options: SyncCallOptions = {},
): Promise<SyncReport> {
  const failures = new Failures()
  const reports = await syncOnce(target, handler, options, failures)
  // what waited for rows of another entity may find them now
  const moved = reports.some(r => r.pulled || r.pushed)
  const again =
    target instanceof DataSource && moved && failures.isEmpty && reports.some(r => r.waiting || r.refused)
      ? await syncOnce(target, handler, options, failures)
      : undefined
  failures.throwFirst()
  return again ? addLater(addReports(reports), addReports(again)) : addReports(reports)
}

async function syncOnce(
  target: Repository<ObjectLiteral> | DataSource,
  handler: ConflictHandler | undefined,
  options: SyncCallOptions,
  failures: Failures,
): Promise<SyncReport[]> {
  if (!(target instanceof DataSource)) {
    const { log, collection } = collectionOf(target)
    return syncCollection(log, collection, handler, options, failures)
  }
  const log = changeLogOf(target)
  const reports: SyncReport[] = []
  for (const collection of log.collections) reports.push(...(await syncCollection(log, collection, handler, options, failures)))
  return reports
}

/** The journal of an entity: what is pending, waits or was refused, and what was decided; to look at, and to settle. */
export function journal<Entity extends ObjectLiteral>(repository: Repository<Entity>): SyncJournal<Entity> {
  const { log, collection } = collectionOf(repository)
  return new SyncJournal<Entity>(log, collection, hasServer(log.dataSource, collection))
}

/** Is there anything that a server has not been told, or has refused? */
export async function hasLocalChanges(target: Repository<ObjectLiteral> | DataSource): Promise<boolean> {
  const journals =
    target instanceof DataSource
      ? changeLogOf(target).collections.map(c => new SyncJournal(changeLogOf(target), c, hasServer(target, c)))
      : [journal(target)]
  for (const each of journals) if (await each.hasLocalChanges()) return true
  return false
}
