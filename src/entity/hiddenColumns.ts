// Columns and indexes that we add to an entity once TypeORM has built the metadata of all.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { IndexMetadata } from 'typeorm/metadata/IndexMetadata.js'
import { hiddenColumns } from '../databases/columns.js'

/** The column of stamps. The database writes it, by triggers; to see it use addSelect. */
export const STAMP = {
  type: 'bigint',
  // a naming strategy keeps a name that is given
  name: '_lastChange',
  nullable: true,
  select: false,
  insert: false,
  update: false,
  transformer: {
    to: (stamp: number) => stamp,
    from: (stamp: string | number | null) => (stamp === null || stamp === undefined ? stamp : Number(stamp)),
  },
} as const

/** Adds a column that the application neither reads nor writes. */
export function addColumn(dataSource: DataSource, metadata: EntityMetadata, name: string, options: object): ColumnMetadata {
  // TypeORM does not export the classes
  const [other] = metadata.columns as [ColumnMetadata]
  const column = new (other.constructor as typeof ColumnMetadata)({
    connection: dataSource,
    entityMetadata: metadata,
    args: {
      ...{ target: metadata.target, mode: 'regular', propertyName: name },
      options: { name, nullable: true, select: false, insert: false, update: false, ...options },
    },
  } as unknown as ConstructorParameters<typeof ColumnMetadata>[0])
  hiddenColumns.add(column)
  column.build(dataSource)
  metadata.registerColumn(column)
  return column
}

export function addIndex({ namingStrategy }: DataSource, metadata: EntityMetadata, columns: ColumnMetadata[], unique = false): void {
  const [other] = metadata.indices as [IndexMetadata]
  const index = new (other.constructor as typeof IndexMetadata)({
    ...{ entityMetadata: metadata, columns },
    args: { target: metadata.target, synchronize: true, unique },
  })
  index.build(namingStrategy)
  for (const list of listsOf(metadata)) list.push(index)
}

/** TypeORM would read back what the database makes, by a query of its own, and show it. */
export function hideFromInserts(metadata: EntityMetadata, column: ColumnMetadata): void {
  const { getInsertionReturningColumns } = metadata
  metadata.getInsertionReturningColumns = () => getInsertionReturningColumns.call(metadata).filter(c => c !== column)
}

export function removeIndex(metadata: EntityMetadata, index: IndexMetadata): void {
  for (const list of listsOf(metadata)) list.splice(0, list.length, ...list.filter(each => each !== index))
}

// one list, or two
const listsOf = ({ indices, ownIndices }: EntityMetadata) => new Set([indices, ownIndices])
