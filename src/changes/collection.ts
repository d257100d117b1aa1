// A collection: the synced rows of one entity, as the change log sees them.

import type { DataSource, EntityMetadata } from 'typeorm'
import { type ColumnCodec, describeColumns } from '../databases/columns.js'
import type { Table } from '../databases/database.js'
import { keyCheck } from '../databases/values/keys.js'
import { SyncConfigurationError } from '../errors.js'
import type { WireRow } from '../protocol/messages.js'

export type OnDelete = 'CASCADE' | 'SET NULL' | 'RESTRICT'

/** A foreign key from one table to another, seen from either side. */
export interface Reference {
  /** The collection that holds the key; undefined where that entity is not synced. */
  readonly child: Collection | undefined
  readonly childTable: string
  readonly childColumn: string
  /** Wire name of the key in the child; `id` where that is its own key. */
  readonly property: string
  /** The child's own key is the foreign key: its row has the id of the one that it needs. */
  readonly isOwnKey: boolean
  readonly parent: Collection | undefined
  readonly parentTable: string
  readonly parentColumn: string
  readonly onDelete: OnDelete
  /** A self-reference that may run in circles. */
  readonly isCyclic: boolean
  /** The database looks at it when a transaction ends. */
  readonly isDeferred: boolean
}

export interface Collection {
  /** What it is called in the bookkeeping: the table's name, for class names do not survive a minifier. */
  readonly name: string
  /** What it is called on the wire: the paths of its urls. They survive where a migration renames the table. */
  readonly paths: readonly string[]
  /** What people call it. */
  readonly entity: string
  readonly metadata: EntityMetadata
  readonly table: Table
  /** The property that holds the key in the entity; it is `id` on the wire. */
  readonly keyProperty: string
  /** Says why the key column cannot hold an id as it is, as the end of a sentence that begins with "it". */
  readonly rejectKey: (id: string) => string | undefined
  readonly columns: readonly ColumnCodec[]
  readonly column: ReadonlyMap<string, ColumnCodec>
  /** The rows that its rows need. */
  readonly parents: Reference[]
  /** The rows that need its rows. */
  readonly children: Reference[]
}

/** The key of the row that a row needs by this reference; null where it needs none, undefined where the value does not say. */
export const keyOf = ({ isOwnKey, property }: Reference, id: string, value: WireRow | null | undefined) =>
  isOwnKey ? (value ? id : undefined) : value?.[property]

const TEXT = /^(varchar|text|uuid|char|nchar|nvarchar|character|varying character|native character|clob|character varying)$/i
const RESERVED = new Set(['_lastChange', '_removed', '_partial'])
const OUR_TABLES =
  /^sync_(clock|tombstone|server|stamp|unapplied|rejection|seen|ignored|resolution|push|replaced|collection|outdated|copying|(base|copy|guard)_.*)$/i

/** Describes the synced entities of a data source. Throws SyncConfigurationError for one that cannot be synced as it is. */
export function describeCollections(
  dataSource: DataSource,
  synced: readonly { metadata: EntityMetadata; omit: readonly string[]; cyclic: readonly string[]; urls: readonly string[] }[],
): Collection[] {
  const collections = synced.map(({ metadata, omit, urls }) => describeCollection(dataSource, metadata, omit, urls))
  const byTable = new Map(collections.map(c => [c.name, c]))
  const cyclic = new Map(synced.map(s => [s.metadata, s.cyclic]))
  for (const metadata of dataSource.entityMetadatas) {
    for (const key of metadata.foreignKeys) {
      const [column, referenced] = [key.columns[0], key.referencedColumns[0]]
      const [child, parent] = [byTable.get(metadata.tableName), byTable.get(key.referencedEntityMetadata.tableName)]
      if (!column || !referenced || (child === undefined && parent === undefined)) continue
      const other = key.referencedEntityMetadata
      if (other.schema !== metadata.schema || other.database !== metadata.database)
        rejectEntity(
          metadata.name,
          `its foreign key ${column.propertyName} leads to ${other.tablePath}, in another schema or database than ${metadata.tablePath}; keep them in one.`,
        )
      if (key.columns.length > 1)
        rejectEntity(
          metadata.name,
          `it has a foreign key of several columns (${key.columns.map(c => c.propertyName).join(', ')}), which is not supported yet.`,
        )
      if (key.onDelete === 'DEFAULT')
        rejectEntity(metadata.name, `the foreign key ${column.propertyName} has ON DELETE SET DEFAULT; use CASCADE, SET NULL or RESTRICT.`)
      const isOwnKey = child?.table.key === column.databaseName
      if (isOwnKey && key.onDelete === 'SET NULL')
        rejectEntity(
          metadata.name,
          `its key ${column.propertyName} is a foreign key with ON DELETE SET NULL, but a key cannot be null; use CASCADE or RESTRICT.`,
        )
      const reference: Reference = {
        child,
        childTable: metadata.tableName,
        childColumn: column.databaseName,
        property: isOwnKey ? 'id' : (child?.columns.find(c => c.column === column.databaseName)?.property ?? column.propertyPath),
        isOwnKey,
        parent,
        parentTable: key.referencedEntityMetadata.tableName,
        parentColumn: referenced.databaseName,
        onDelete: key.onDelete === 'CASCADE' || key.onDelete === 'SET NULL' ? key.onDelete : 'RESTRICT',
        isCyclic: cyclic.get(metadata)?.includes(column.relationMetadata?.propertyName ?? column.propertyPath) === true,
        isDeferred: key.deferrable === 'INITIALLY DEFERRED',
      }
      if (child && !child.parents.some(r => same(r, reference))) child.parents.push(reference)
      if (parent && !parent.children.some(r => same(r, reference))) parent.children.push(reference)
    }
  }
  for (const parent of collections)
    for (const reference of parent.children) rejectUnseenCascade(dataSource, byTable, parent, reference.childTable, [])
  return parentsFirst(collections)
}

// A removal that reaches a synced table by way of one that is not synced would pass unseen: the database does it, not we.
function rejectUnseenCascade(
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

// the tables of a single-table inheritance say the same foreign key once per class
const same = (x: Reference, y: Reference) =>
  x.childTable === y.childTable && x.childColumn === y.childColumn && x.parentTable === y.parentTable

function rejectEntity(entity: string, why: string): never {
  throw new SyncConfigurationError(`${entity} cannot be synced: ${why}`, { entity })
}

function describeCollection(
  dataSource: DataSource,
  metadata: EntityMetadata,
  omit: readonly string[],
  urls: readonly string[],
): Collection {
  const entity = metadata.name
  const reject = (why: string): never => rejectEntity(entity, why)
  if (metadata.tableType === 'view' || metadata.tableType === 'junction') reject('it is not an entity with a table of its own.')
  if (metadata.tableType === 'entity-child')
    reject(`it is stored in the table of ${metadata.parentEntityMetadata.name}; enable sync on that entity.`)
  if (metadata.treeType) reject(`${metadata.treeType} trees keep rows that follow from others; use a parent relation without @Tree.`)
  const [key, ...more] = metadata.primaryColumns
  if (!key) return reject('it has no primary column.')
  if (more.length)
    reject('it has a composite primary key, which is not supported yet; give it a single key, such as @PrimaryGeneratedColumn("uuid").')
  if (key.isGenerated && key.generationStrategy !== 'uuid')
    reject('its key is numbered by the database, so two devices would give one number to two rows; use @PrimaryGeneratedColumn("uuid").')
  const type = dataSource.driver.normalizeType(key)
  if (!TEXT.test(type))
    reject(`its key ${key.propertyName} is of type ${type}; keys are strings, use a text column or @PrimaryGeneratedColumn("uuid").`)
  if (key.collation && !/^(binary|C|\w+_bin)$/i.test(key.collation))
    reject(`its key ${key.propertyName} has the collation ${key.collation}; keys are compared byte by byte.`)
  if (key.transformer) reject(`its key ${key.propertyName} has a transformer; keys travel as they are.`)
  for (const relation of metadata.manyToManyRelations) {
    if (omit.includes(relation.propertyName)) continue
    reject(
      `its many-to-many relation ${relation.propertyName} is not synced yet, so it would differ from device to device. ` +
        `Leave it out knowingly with { omit: ['${relation.propertyName}'] }, or make the link an entity with a key of its own.`,
    )
  }
  if (OUR_TABLES.test(metadata.tableName)) reject(`its table ${metadata.tableName} has a name of our own tables; give it another one.`)
  const columns = describeColumns(metadata, dataSource)
  // databases may take them for equal whatever the case
  for (const { column } of columns)
    if (/^(_sync_.*|_lastchange)$/i.test(column)) reject(`its column ${column} has a name that our own columns have; give it another one.`)
  for (const { property } of columns) {
    if (RESERVED.has(property) || (property === 'id' && key.propertyPath !== 'id'))
      reject(`its property ${property} has a name that the protocol uses itself.`)
  }
  return {
    name: metadata.tableName,
    paths: urls.map(url => new URL(url, 'http://server').pathname),
    entity,
    metadata,
    table: { name: metadata.tableName, key: key.databaseName, columns: columns.map(c => c.column) },
    keyProperty: key.propertyPath,
    rejectKey: keyCheck(key, dataSource),
    columns,
    column: new Map(columns.map(c => [c.property, c])),
    parents: [],
    children: [],
  }
}

/** Orders collections so that parents come before their children, as far as there is no cycle. */
function parentsFirst(collections: readonly Collection[]): Collection[] {
  const ordered = new Set<Collection>()
  const visit = (collection: Collection, path: Set<Collection>) => {
    if (ordered.has(collection) || path.has(collection)) return
    path.add(collection)
    for (const { parent } of collection.parents) if (parent) visit(parent, path)
    ordered.add(collection)
  }
  for (const collection of collections) visit(collection, new Set())
  return [...ordered]
}
