// Foreign keys between the tables of a data source.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ForeignKeyMetadata } from 'typeorm/metadata/ForeignKeyMetadata.js'
import type { Collection, Reference } from './collection.js'
import { rejectEntity } from './describeCollection.js'

/**
 * Describes a foreign key of an entity; undefined where it has nothing to do with a collection. `cyclic` are its relations that may run in circles.
 * Throws SyncConfigurationError.
 */
export function describeReference(
  metadata: EntityMetadata,
  key: ForeignKeyMetadata,
  byTable: ReadonlyMap<string, Collection>,
  cyclic: readonly string[],
): Reference | undefined {
  const [column, referenced] = [key.columns[0], key.referencedColumns[0]]
  const [child, parent] = [byTable.get(metadata.tableName), byTable.get(key.referencedEntityMetadata.tableName)]
  if (!column || !referenced || (child === undefined && parent === undefined)) return
  const isOwnKey = child?.table.key === column.databaseName
  checkForeignKey(metadata, key)
  return {
    child,
    childTable: metadata.tableName,
    childColumn: column.databaseName,
    property: isOwnKey ? 'id' : (child?.columns.find(c => c.column === column.databaseName)?.property ?? column.propertyPath),
    isOwnKey,
    isKeyPart: child?.table.parts?.includes(column.databaseName) === true,
    parent,
    parentTable: key.referencedEntityMetadata.tableName,
    parentColumn: referenced.databaseName,
    onDelete: key.onDelete === 'CASCADE' || key.onDelete === 'SET NULL' ? key.onDelete : 'RESTRICT',
    isCyclic: cyclic.includes(column.relationMetadata?.propertyName ?? column.propertyPath),
    isDeferred: key.deferrable === 'INITIALLY DEFERRED',
  }
}

function checkForeignKey(metadata: EntityMetadata, key: ForeignKeyMetadata): void {
  const other = key.referencedEntityMetadata
  const property = key.columns[0]?.propertyName
  const reject = (why: string): never => rejectEntity(metadata.name, why)
  if (other.schema !== metadata.schema || other.database !== metadata.database)
    reject(
      `its foreign key ${property} leads to ${other.tablePath}, in another schema or database than ${metadata.tablePath}; keep them in one.`,
    )
  if (key.columns.length > 1)
    reject(`it has a foreign key of several columns (${key.columns.map(c => c.propertyName).join(', ')}), which is not supported yet.`)
  if (key.onDelete === 'DEFAULT') reject(`the foreign key ${property} has ON DELETE SET DEFAULT; use CASCADE, SET NULL or RESTRICT.`)
  if (key.columns.some(c => c.isPrimary) && key.onDelete === 'SET NULL')
    reject(`its key ${property} is a foreign key with ON DELETE SET NULL, but a key cannot be null; use CASCADE or RESTRICT.`)
}

// a single-table inheritance has the same foreign key once per class
export const same = (x: Reference, y: Reference) =>
  x.childTable === y.childTable && x.childColumn === y.childColumn && x.parentTable === y.parentTable

// A removal that reaches a synced table by way of one that is not synced would pass unseen: the database does it, not we.
export function rejectUnseenCascade(
  dataSource: DataSource,
  byTable: ReadonlyMap<string, Collection>,
  parent: Collection,
  table: string,
  path: readonly string[],
): void {
  if (byTable.has(table) || path.includes(table)) return
  for (const metadata of dataSource.entityMetadatas) {
    for (const key of metadata.foreignKeys) {
      if (key.referencedEntityMetadata.tableName !== table) continue
      if (byTable.has(metadata.tableName) && key.onDelete !== 'RESTRICT' && key.onDelete !== 'NO ACTION' && key.onDelete !== undefined)
        rejectEntity(
          metadata.name,
          `a removal of ${parent.entity} would reach it by way of ${key.referencedEntityMetadata.name}, which is not synced; enable sync on that entity too.`,
        )
      rejectUnseenCascade(dataSource, byTable, parent, metadata.tableName, [...path, table])
    }
  }
}
