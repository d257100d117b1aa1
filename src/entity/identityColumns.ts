// The hidden columns that travel for numbers which a database counts (databases/values/identities.ts).

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ForeignKeyMetadata } from 'typeorm/metadata/ForeignKeyMetadata.js'
import { IDENTITY, identities, isNumber, referenceColumnOf } from '../databases/values/identities.js'
import { addColumn, addIndex, hideFromInserts } from './hiddenColumns.js'

const isMysql = ({ options: { type } }: DataSource) => type === 'mysql' || type === 'mariadb'

/** Texts that compare bytewise. */
const typeOf = (dataSource: DataSource) => ({
  ...{ type: 'varchar', length: '36' },
  ...(isMysql(dataSource) ? { charset: 'utf8mb4', collation: 'utf8mb4_bin' } : {}),
})

/** SQL for a random uuid (version 4) on SQLite. */
const RANDOM = `lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`

/** On MySQL a trigger fills it: TypeORM does not recognise a default there that is an expression. */
function defaultOf(dataSource: DataSource): object {
  if (isMysql(dataSource)) return {}
  return { nullable: false, default: () => (dataSource.options.type === 'postgres' ? 'gen_random_uuid()' : RANDOM) }
}

/** Adds the identity of rows that the database counts. */
export function addIdentity(dataSource: DataSource, metadata: EntityMetadata): void {
  const [number, ...more] = metadata.primaryColumns
  if (!number || more.length || !isNumber(number)) return
  const identity = addColumn(dataSource, metadata, IDENTITY, { ...typeOf(dataSource), ...defaultOf(dataSource) })
  addIndex(dataSource, metadata, [identity], true)
  hideFromInserts(metadata, identity)
  for (const { primaryColumns } of [metadata, ...metadata.childEntityMetadatas])
    identities.set(primaryColumns[0] as ColumnMetadata, identity)
}

/** Adds, for each reference to numbers, the identity of the row that it leads to; `synced` are all entities that sync. */
export function addReferences(dataSource: DataSource, metadata: EntityMetadata, synced: readonly EntityMetadata[]): void {
  for (const key of [...metadata.foreignKeys]) {
    const [column, referenced] = [key.columns[0], key.referencedColumns[0]]
    const parent = synced.find(s => s.tablePath === key.referencedEntityMetadata.tablePath)
    const number = parent?.primaryColumns.find(c => c.databaseName === referenced?.databaseName)
    const identity = number && identities.get(number)
    if (!column || !identity || key.columns.length > 1 || column.isVirtualProperty) continue
    const known = metadata.columns.find(c => c.databaseName === referenceColumnOf(column.databaseName))
    const own = known ?? addColumn(dataSource, metadata, referenceColumnOf(column.databaseName), typeOf(dataSource))
    identities.set(column, own)
    if (known) continue
    addIndex(dataSource, metadata, [own])
    addForeignKey(dataSource, key, own, identity)
  }
}

/** The same rule for the identity: so the database itself rejects what leads nowhere, and clears or removes both together. */
function addForeignKey({ namingStrategy }: DataSource, key: ForeignKeyMetadata, column: ColumnMetadata, referenced: ColumnMetadata): void {
  const { entityMetadata, referencedEntityMetadata, onDelete, deferrable } = key
  const added = new (key.constructor as typeof ForeignKeyMetadata)({
    ...{ entityMetadata, referencedEntityMetadata, columns: [column], referencedColumns: [referenced] },
    ...{ onDelete: onDelete as never, deferrable: deferrable as never, namingStrategy },
  })
  entityMetadata.foreignKeys.push(added)
}
