// Describes the synced entities of a data source, and rejects those that cannot be synced as they are.

import type { DataSource, EntityMetadata } from 'typeorm'
import { describeColumns } from '../databases/columns.js'
import { keyCheck } from '../databases/values/keys.js'
import { SyncConfigurationError } from '../errors.js'
import type { Collection, Reference } from './collection.js'
import { rejectUnseenCascade, same } from './references.js'

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

const TEXT = /^(varchar|text|uuid|char|nchar|nvarchar|character|varying character|native character|clob|character varying)$/i

const RESERVED = new Set(['_lastChange', '_removed', '_partial'])

const OUR_TABLES =
  /^sync_(clock|tombstone|server|stamp|unapplied|rejection|seen|ignored|resolution|push|replaced|collection|outdated|copying|(base|copy|guard)_.*)$/i

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

export function rejectEntity(entity: string, why: string): never {
  throw new SyncConfigurationError(`${entity} cannot be synced: ${why}`, { entity })
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
