// The change log of one database: its clock, the synced collections and the transactions in which they change.

import type { DataSource } from 'typeorm'
import type { Database } from '../databases/database.js'
import { SyncConfigurationError } from '../errors.js'
import type { Collection } from './collections/collection.js'

export interface ChangeLog {
  readonly dataSource: DataSource
  readonly database: Database
  /** Parents before their children, as far as there is no cycle. */
  readonly collections: readonly Collection[]
  /** Notes the collections in which rows are stored, or from which they are taken, by way of this object. */
  readonly changed?: Set<Collection>
}

export function noteChanged({ changed }: ChangeLog, changes: Iterable<{ readonly collection: Collection }>): void {
  if (changed) for (const { collection } of changes) changed.add(collection)
}

export function collectionNamed(log: ChangeLog, name: string): Collection {
  const collection = log.collections.find(c => c.name === name)
  if (!collection) throw new SyncConfigurationError(`The table ${name} is not synced on this data source.`)
  return collection
}
