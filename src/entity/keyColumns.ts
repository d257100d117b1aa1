// The key by which rows are told apart, where that is no column of the application's: of several columns the database generates one
// (databases/values/compositeKeys.ts), and for a number it has an identity (databases/values/identities.ts).

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { generationOf, hasMadeId, KEY_COLUMN } from '../databases/values/compositeKeys.js'
import { travelling } from '../databases/values/identities.js'
import { addColumn, addIndex, hideFromInserts, removeIndex, STAMP } from './hiddenColumns.js'

/** The columns by which rows are told apart in indexes. */
export function keyColumnsOf({ columns, primaryColumns }: EntityMetadata): ColumnMetadata[] {
  const key = columns.find(c => c.propertyName === KEY_COLUMN)
  return key ? [key] : primaryColumns.map(travelling)
}

/** Adds the column of an id that is made of the key, with its index. */
export function addKeyColumn(dataSource: DataSource, metadata: EntityMetadata): void {
  if (!hasMadeId(metadata)) return
  const { primaryColumns } = metadata
  const parts = primaryColumns.map(travelling)
  const key = addColumn(dataSource, metadata, KEY_COLUMN, { type: 'varchar', ...generationOf(dataSource, parts) })
  addIndex(dataSource, metadata, [key], true)
  // on MySQL a table that guards this one refers to the parts; one alone has an index
  if (parts.length > 1 && parts.some((part, i) => part !== primaryColumns[i])) addIndex(dataSource, metadata, parts)
  hideFromInserts(metadata, key)
}

/** Lets the indexes of stamps speak of what travels. */
export function indexKeys(dataSource: DataSource, metadata: EntityMetadata): void {
  const keys = keyColumnsOf(metadata)
  for (const index of [...metadata.indices]) {
    const at = index.columns.findIndex(c => c.propertyName === STAMP.name)
    if (at < 0) continue
    const wanted = [...index.columns.slice(0, at + 1).map(travelling), ...keys]
    if (wanted.length === index.columns.length && wanted.every((c, i) => c === index.columns[i])) continue
    addIndex(dataSource, metadata, wanted)
    removeIndex(metadata, index)
  }
}
