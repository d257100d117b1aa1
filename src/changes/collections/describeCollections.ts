// Describes the synced entities of a data source, and rejects those that cannot be synced as they are.

import type { DataSource } from 'typeorm'
import type { Collection } from './collection.js'
import { type Declared, describeCollection } from './describeCollection.js'
import { parentsFirst } from './parentsFirst.js'
import { describeReference, rejectUnseenCascade, same } from './references.js'

/** Describes the synced entities of a data source. Throws SyncConfigurationError for one that cannot be synced as it is. */
export function describeCollections(
  dataSource: DataSource,
  synced: readonly (Declared & { readonly cyclic: readonly string[] })[],
): Collection[] {
  const collections = synced.map(declared => describeCollection(dataSource, declared))
  const byTable = new Map(collections.map(c => [c.name, c]))
  const cyclic = new Map(synced.map(s => [s.metadata, s.cyclic]))
  for (const metadata of dataSource.entityMetadatas) {
    for (const key of metadata.foreignKeys) {
      const reference = describeReference(metadata, key, byTable, cyclic.get(metadata) ?? [])
      if (!reference) continue
      const { child, parent } = reference
      if (child && !child.parents.some(r => same(r, reference))) child.parents.push(reference)
      if (parent && !parent.children.some(r => same(r, reference))) parent.children.push(reference)
    }
  }
  for (const parent of collections)
    for (const reference of parent.children) rejectUnseenCascade(dataSource, byTable, parent, reference.childTable, [])
  return parentsFirst(collections, c => c.parents.map(r => r.parent))
}
