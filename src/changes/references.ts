// Foreign keys between the tables of a data source.

import type { DataSource } from 'typeorm'
import type { Collection, Reference } from './collection.js'
import { rejectEntity } from './describeCollections.js'

// the tables of a single-table inheritance say the same foreign key once per class
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
