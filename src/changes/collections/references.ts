// Foreign keys between the tables of a data source.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ForeignKeyMetadata } from 'typeorm/metadata/ForeignKeyMetadata.js'
import { sideOf } from '../../databases/columns.js'
import { keysOf } from '../../databases/database.js'
import { identities, travelling } from '../../databases/values/identities.js'
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
  // what is in it follows from other rows (store/trees.ts)
  if (metadata.tableType === 'closure-junction') return
  const other = key.referencedEntityMetadata
  const [child, parent] = [byTable.get(metadata.tableName), byTable.get(other.tableName)]
  if (child === undefined && parent === undefined) return
  // an identity has a foreign key of its own
  if (child && parent && key.columns.length < 2 && identities.has(key.columns[0] as ColumnMetadata)) return
  if (child && parent && key.referencedColumns.some(c => identities.has(c)))
    rejectEntity(
      metadata.name,
      `its foreign key ${key.columns.map(c => c.propertyName).join(', ')} leads to numbers that each database counts for itself; let it lead to the key of an entity with @PrimaryGeneratedColumn(), alone.`,
    )
  const columns = inOrderOfKey(key)
  checkForeignKey(metadata, key, columns)
  const [childColumns, parentColumns] = [columns.map(c => c.own.databaseName), columns.map(c => c.needed.databaseName)]
  const isOwnKey = child !== undefined && sameList(keysOf(child.table), childColumns)
  const properties = columns.map(({ own }) => child?.columns.find(c => c.column === own.databaseName)?.property ?? own.propertyPath)
  const [{ own }] = columns as [ColumnPair]
  const number = metadata.columns.find(c => identities.get(c) === own) ?? own
  return {
    child,
    childTable: metadata.tableName,
    childColumns,
    property: isOwnKey ? 'id' : columns.length < 2 ? (properties[0] as string) : relationOf(columns),
    properties: isOwnKey && columns.length < 2 ? ['id'] : properties,
    nullable: properties.filter(p => child?.column.get(p)?.nullable),
    isOwnKey,
    isKeyPart: childColumns.some(c => child?.table.parts?.includes(c)),
    parent,
    parentTable: other.tableName,
    parentColumns,
    isByKey: sameList(
      other.primaryColumns.map(c => (parent ? travelling(c) : c).databaseName),
      parentColumns,
    ),
    onDelete: key.onDelete === 'CASCADE' || key.onDelete === 'SET NULL' ? key.onDelete : 'RESTRICT',
    isCyclic: cyclic.includes(number.relationMetadata?.propertyName ?? number.propertyPath),
    isDeferred: key.deferrable === 'INITIALLY DEFERRED',
  }
}

interface ColumnPair {
  readonly own: ColumnMetadata
  readonly needed: ColumnMetadata
}

/** The columns of a foreign key, in the order in which the other row's key has them. */
function inOrderOfKey({ columns, referencedColumns, referencedEntityMetadata: { primaryColumns } }: ForeignKeyMetadata): ColumnPair[] {
  const pairs = columns.map((own, i): ColumnPair => ({ own, needed: referencedColumns[i] as ColumnMetadata }))
  return pairs.sort((x, y) => primaryColumns.indexOf(x.needed) - primaryColumns.indexOf(y.needed))
}

const sameList = (x: readonly string[], y: readonly string[]) => x.join('\n') === y.join('\n')

/** What a foreign key of several columns is called: as its relation, or the side of a link. */
function relationOf(columns: readonly ColumnPair[]): string {
  const [{ own }] = columns as [ColumnPair]
  if (own.entityMetadata.tableType === 'junction') return sideOf(own)
  const relation = own.entityMetadata.relations.find(r =>
    sameList(r.joinColumns.map(c => c.databaseName).sort(), columns.map(c => c.own.databaseName).sort()),
  )
  return relation?.propertyPath ?? columns.map(c => c.own.propertyPath).join(',')
}

function checkForeignKey(metadata: EntityMetadata, key: ForeignKeyMetadata, columns: readonly ColumnPair[]): void {
  const other = key.referencedEntityMetadata
  const property = columns.map(c => c.own.propertyName).join(', ')
  const reject = (why: string): never => rejectEntity(metadata.name, why)
  const isElsewhere = other.schema !== metadata.schema && metadata.dataSource.options.type !== 'postgres'
  if (isElsewhere || other.database !== metadata.database)
    reject(`its foreign key ${property} leads to ${other.tablePath}, in another database than ${metadata.tablePath}; keep them in one.`)
  if (columns.length > 1 && columns.some(({ needed }, i) => needed !== other.primaryColumns[i]))
    reject(`its foreign key ${property} of several columns leads to others of ${other.name} than its key; let it lead to the key.`)
  if (columns.length > 1 && key.onDelete === 'SET NULL' && columns.some(({ own }) => !own.isNullable))
    reject(
      `its foreign key ${property} has ON DELETE SET NULL, which makes all of these null, but not all may be; use CASCADE or RESTRICT.`,
    )
  if (/DEFAULT$/.test(key.onDelete ?? ''))
    reject(
      `its foreign key ${property} has SET DEFAULT, which TypeORM writes as no database understands it; use CASCADE, SET NULL or RESTRICT.`,
    )
  if (key.columns.some(c => c.isPrimary) && key.onDelete === 'SET NULL')
    reject(`its key ${property} is a foreign key with ON DELETE SET NULL, but a key cannot be null; use CASCADE or RESTRICT.`)
}

// a single-table inheritance has the same foreign key once per class
export const same = (x: Reference, y: Reference) =>
  x.childTable === y.childTable && sameList(x.childColumns, y.childColumns) && x.parentTable === y.parentTable

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
