// A path through a to-one relation, as a scope: the value that the parent has is kept in a hidden column of the row, by triggers.
//
// The columns are added when the metadata of all entities is built, for only then the types of the parents' columns are known.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { pathColumnOf, pathOf, rejectScope, travellingColumnOf } from '../changes/collections/scopes.js'
import { addColumn, addIndex, STAMP } from './hiddenColumns.js'
import { keyColumnsOf } from './keyColumns.js'
import { syncedEntities } from './registry.js'

/** Adds the columns, and their indexes. Throws SyncConfigurationError for a path that leads to no column. */
export function addPathColumns(dataSource: DataSource): void {
  const entities = syncedEntities(dataSource)
  const scopes = new Map(entities.map(({ metadata, options }) => [metadata, options.scopes ?? []]))
  for (const [metadata, paths] of scopes) for (const path of paths) addPath(metadata, path)

  function addPath(metadata: EntityMetadata, path: string): ColumnMetadata | undefined {
    const found = pathOf(metadata, path)
    if (!found) return
    const { relation, rest } = found
    const known = metadata.columns.find(c => c.databaseName === pathColumnOf(path))
    if (known) return known
    const parent = relation.inverseEntityMetadata
    if (!scopes.has(parent)) rejectScope(metadata.name, path, `${parent.name}, to which it leads, is not synced; enable sync on it too`)
    if (parent === metadata) rejectScope(metadata.name, path, 'it leads from the entity to itself; name a relation to another entity')
    const isDeclared = scopes.get(parent)?.includes(rest)
    const target = (isDeclared ? addPath(parent, rest) : undefined) ?? travellingColumnOf(parent, rest)
    if (!target)
      return rejectScope(
        metadata.name,
        path,
        `${parent.name} has no such column or to-one relation; a longer path is declared as a scope of ${parent.name} as well`,
      )
    const column = addColumn(dataSource, metadata, pathColumnOf(path), typeOf(target))
    addIndex(dataSource, metadata, [column, ...metadata.columns.filter(c => c.propertyName === STAMP.name), ...keyColumnsOf(metadata)])
    const references = relation.joinColumns
    if (!metadata.indices.some(index => index.columns[0] === references[0])) addIndex(dataSource, metadata, references)
    return column
  }
}

const typeOf = ({ type, length, precision, scale, charset, collation, unsigned, isArray, transformer }: ColumnMetadata) => ({
  ...{ type, length, scale, charset, collation, unsigned, array: isArray, transformer },
  ...(precision === null ? {} : { precision }),
})
