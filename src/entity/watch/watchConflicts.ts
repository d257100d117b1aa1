// The conflicts that wait for somebody to decide them.

import { DataSource, type ObjectLiteral, type Repository } from 'typeorm'
import { listConflicts } from '../../sync/conflicts/allConflicts.js'
import { SyncJournal } from '../../sync/conflicts/journal.js'
import type { UnresolvedConflict } from '../../sync/conflicts/listed.js'
import type { JournalOptions, ResolveOptions } from '../../sync/conflicts/resolve.js'
import { collectionOf, urlsOf } from '../feeds.js'
import { changeLogOf } from '../registry.js'
import { lookerOf } from './looker.js'
import { prototypesOf, SameRows } from './sameRows.js'
import { type Watch, Watched, type WatchOptions } from './watched.js'

/** Decides conflicts that were listed, of whichever entity they are: as the journal's calls do, at the conflict's server alone unless `url` names another one. */
export interface ConflictCalls<Entity extends ObjectLiteral> {
  readonly resolve: (conflict: UnresolvedConflict<Entity>, winner: Partial<Entity> | null, options?: ResolveOptions) => Promise<void>
  readonly discard: (conflict: UnresolvedConflict<Entity>, options?: JournalOptions) => Promise<void>
}

export interface ConflictWatch<Entity extends ObjectLiteral> extends Watch<UnresolvedConflict<Entity>>, ConflictCalls<Entity> {}

/**
 * The conflicts of an entity, or of all of a data source, that nobody has decided: now, and again after each sync and each decision, in whichever process.
 *
 * Throws SyncConfigurationError where withSync was not applied, the data source is not initialised or the entity is not synced, SyncSchemaError where a table or
 * column is missing.
 */
export function watchConflicts<Entity extends ObjectLiteral = ObjectLiteral>(
  target: Repository<Entity> | DataSource,
  options: WatchOptions = {},
): ConflictWatch<Entity> {
  const dataSource = target instanceof DataSource ? target : target.manager.dataSource
  const log = changeLogOf(dataSource)
  const collections = target instanceof DataSource ? log.collections : [collectionOf(target).collection]
  const keyOf = ({ url, id }: UnresolvedConflict<Entity>) => `${url} ${id}`
  const same = new SameRows(keyOf, prototypesOf(dataSource.entityMetadatas))
  const reading = {
    sign: ({ journals }: { readonly journals: string }) => journals,
    read: () => log.database.transaction(() => listConflicts<Entity>(log, collections), { mode: 'read' }),
    keep: (rows: readonly UnresolvedConflict<Entity>[]) => same.keep(rows),
  }
  const journalOf = ({ entity, url }: UnresolvedConflict<Entity>) => {
    const named = collections.filter(collection => collection.entity === entity)
    // of two entities of one name, the one that syncs there
    const collection = named.find(each => named.length === 1 || urlsOf(dataSource, each).includes(url))
    return new SyncJournal<Entity>(log, (collection ?? named[0]) as (typeof collections)[number])
  }
  return Object.assign(new Watched(lookerOf(dataSource), reading, options), {
    resolve: (conflict: UnresolvedConflict<Entity>, winner: Partial<Entity> | null, given?: ResolveOptions) =>
      journalOf(conflict).resolve(conflict.id, winner, { url: conflict.url, ...given }),
    discard: (conflict: UnresolvedConflict<Entity>, given?: JournalOptions) =>
      journalOf(conflict).discard(conflict.id, { url: conflict.url, ...given }),
  })
}
