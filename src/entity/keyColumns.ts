// A key of several columns: the id of a row is kept in a hidden column, which the database generates of them (databases/values/compositeKeys.ts).

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { generationOf, KEY_COLUMN } from '../databases/values/compositeKeys.js'
import { addColumn, addIndex, removeIndex, STAMP } from './hiddenColumns.js'

/** The columns by which rows are told apart in indexes. */
export function keyColumnsOf({ columns, primaryColumns }: EntityMetadata): ColumnMetadata[] {
  const key = columns.find(c => c.propertyName === KEY_COLUMN)
  return key ? [key] : primaryColumns
}

/** Adds the column, and its indexes. */
export function addKeyColumn(dataSource: DataSource, metadata: EntityMetadata): void {
  const { primaryColumns, indices } = metadata
  if (primaryColumns.length < 2) return
  const key = addColumn(dataSource, metadata, KEY_COLUMN, { type: 'varchar', ...generationOf(dataSource, primaryColumns) })
  addIndex(dataSource, metadata, [key], true)
  for (const index of indices.filter(({ columns }) => columns.some(c => c.propertyName === STAMP.name))) {
    const at = index.columns.findIndex(c => c.propertyName === STAMP.name)
    addIndex(dataSource, metadata, [...index.columns.slice(0, at + 1), key])
    removeIndex(metadata, index)
  }
  // TypeORM would read back what the database generates, by a query of its own
  const { getInsertionReturningColumns } = metadata
  metadata.getInsertionReturningColumns = () => getInsertionReturningColumns.call(metadata).filter(c => c !== key)
}
