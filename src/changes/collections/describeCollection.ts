// A collection from an entity. An entity that cannot be synced as it is is rejected.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { type ColumnCodec, describeColumns } from '../../databases/columns.js'
import { keyCheck } from '../../databases/values/keys.js'
import { SyncConfigurationError } from '../../errors.js'
import type { Collection } from './collection.js'
import { describeScopes } from './scopes.js'

const TEXT = /^(varchar|text|uuid|char|nchar|nvarchar|character|varying character|native character|clob|character varying)$/i

const RESERVED = new Set(['_lastChange', '_removed', '_partial'])

const OUR_TABLES =
  /^sync_(clock|tombstone|server|stamp|unapplied|rejection|no_access|seen|ignored|resolution|push|scope|replaced|collection|outdated|copying|(base|copy|guard)_.*)$/i

/** What was said of an entity that syncs. */
export interface Declared {
  readonly metadata: EntityMetadata
  readonly urls: readonly string[]
  readonly omit: readonly string[]
  readonly scopes: readonly string[]
}

/** Describes an entity, without its references. Throws SyncConfigurationError. */
export function describeCollection(dataSource: DataSource, { metadata, urls, omit, scopes: declared }: Declared): Collection {
  checkEntity(metadata, omit)
  const key = checkKey(dataSource, metadata)
  const columns = describeColumns(metadata, dataSource)
  checkColumns(metadata, key, columns)
  const scopes = describeScopes(dataSource, metadata, columns, declared)
  return {
    name: metadata.tableName,
    paths: urls.map(url => new URL(url, 'http://server').pathname),
    entity: metadata.name,
    metadata,
    // what is hidden is kept with base versions as well
    table: {
      name: metadata.tableName,
      key: key.databaseName,
      columns: [...columns, ...scopes.filter(c => c.path)].map(c => c.column),
      scopes: scopes.map(c => c.column),
      paths: scopes.flatMap(c => c.path ?? []),
    },
    keyProperty: key.propertyPath,
    rejectKey: keyCheck(key, dataSource),
    columns,
    scopes,
    column: new Map(columns.map(c => [c.property, c])),
    parents: [],
    children: [],
  }
}

function checkEntity(metadata: EntityMetadata, omit: readonly string[]): void {
  const reject = (why: string): never => rejectEntity(metadata.name, why)
  if (metadata.tableType === 'view' || metadata.tableType === 'junction') reject('it is not an entity with a table of its own.')
  if (metadata.tableType === 'entity-child')
    reject(`it is stored in the table of ${metadata.parentEntityMetadata.name}; enable sync on that entity.`)
  if (metadata.treeType) reject(`${metadata.treeType} trees keep rows that follow from others; use a parent relation without @Tree.`)
  for (const relation of metadata.manyToManyRelations) {
    if (omit.includes(relation.propertyName)) continue
    reject(
      `its many-to-many relation ${relation.propertyName} is not synced yet, so it would differ from device to device. ` +
        `Leave it out knowingly with { omit: ['${relation.propertyName}'] }, or make the link an entity with a key of its own.`,
    )
  }
  if (OUR_TABLES.test(metadata.tableName)) reject(`its table ${metadata.tableName} has a name of our own tables; give it another one.`)
}

function checkKey(dataSource: DataSource, metadata: EntityMetadata): ColumnMetadata {
  const reject = (why: string): never => rejectEntity(metadata.name, why)
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
  return key
}

function checkColumns({ name }: EntityMetadata, key: ColumnMetadata, columns: readonly ColumnCodec[]): void {
  const reject = (why: string): never => rejectEntity(name, why)
  // some databases ignore the case of names
  for (const { column } of columns)
    if (/^(_sync_.*|_lastchange)$/i.test(column)) reject(`its column ${column} has a name that our own columns have; give it another one.`)
  for (const { property } of columns) {
    if (RESERVED.has(property) || (property === 'id' && key.propertyPath !== 'id'))
      reject(`its property ${property} has a name that the protocol uses itself.`)
  }
}

export function rejectEntity(entity: string, why: string): never {
  throw new SyncConfigurationError(`${entity} cannot be synced: ${why}`, { entity })
}
