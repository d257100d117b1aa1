// A collection from an entity. An entity that cannot be synced as it is is rejected.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { type ColumnCodec, describeColumns } from '../../databases/columns.js'
import { isInteger, KEY_COLUMN } from '../../databases/values/compositeKeys.js'
import { IDENTITY, identities, isNumber, travelling } from '../../databases/values/identities.js'
import { compositeKeyCheck, keyCheck } from '../../databases/values/keys.js'
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
  readonly scopes: readonly string[]
  readonly sameNumbers: boolean | number
  readonly isAsked: boolean
}

/** Describes an entity, without its references. Throws SyncConfigurationError. */
export function describeCollection(
  dataSource: DataSource,
  { metadata, urls, scopes: declared, sameNumbers, isAsked }: Declared,
): Collection {
  checkEntity(metadata)
  const key = checkKey(dataSource, metadata)
  checkSameNumbers(metadata, key, sameNumbers)
  const columns = describeColumns(metadata, dataSource)
  const keyParts =
    key.propertyName === KEY_COLUMN ? metadata.primaryColumns.flatMap(part => columns.find(c => c.metadata === part) ?? []) : []
  checkColumns(metadata, columns)
  const scopes = describeScopes(dataSource, metadata, columns, declared)
  return {
    name: metadata.tableName,
    paths: urls.map(url => new URL(url, 'http://server').pathname),
    entity: nameOf(metadata),
    metadata,
    isLink: metadata.tableType === 'junction',
    isAsked,
    // what is hidden is kept with base versions as well
    table: {
      name: metadata.tableName,
      ...(metadata.schema && metadata.schema !== dataSource.driver.schema && { schema: metadata.schema }),
      key: key.databaseName,
      ...(keyParts.length && { parts: keyParts.map(c => c.column) }),
      ...(key.propertyName === IDENTITY && { number: (metadata.primaryColumns[0] as ColumnMetadata).databaseName }),
      columns: [...columns, ...scopes.filter(c => c.path)].map(c => c.column),
      scopes: scopes.map(c => c.column),
      paths: [...columns.flatMap(c => c.reference ?? []), ...scopes.flatMap(c => c.path ?? [])],
    },
    sameNumbers: sameNumbers === true ? Number.MAX_SAFE_INTEGER : Number(sameNumbers),
    keyProperty: metadata.primaryColumns.length > 1 ? 'id' : (metadata.primaryColumns[0] as ColumnMetadata).propertyPath,
    rejectKey: keyParts.length ? compositeKeyCheck(keyParts, dataSource) : keyCheck(key, dataSource),
    columns,
    keyParts,
    scopes,
    column: new Map(columns.map(c => [c.property, c])),
    parents: [],
    children: [],
  }
}

/** What people call it: a junction table is called by its relation. */
function nameOf({ name, tableType, ownerColumns }: EntityMetadata): string {
  const relation = tableType === 'junction' ? ownerColumns[0]?.relationMetadata : undefined
  return relation ? `${relation.entityMetadata.name}.${relation.propertyPath}` : name
}

function checkEntity(metadata: EntityMetadata): void {
  const reject = (why: string): never => rejectEntity(metadata.name, why)
  if (metadata.tableType === 'view') reject('it is not an entity with a table of its own.')
  if (metadata.tableType === 'entity-child')
    reject(`it is stored in the table of ${metadata.parentEntityMetadata.name}; enable sync on that entity.`)
  if (metadata.treeType === 'nested-set')
    reject('each insert of a nested-set tree numbers all rows anew; use a materialized-path or closure-table tree.')
  if (metadata.treeType === 'closure-table' && metadata.primaryColumns.length > 1)
    reject('TypeORM keeps a closure-table tree of keys of one column alone; use a materialized-path tree.')
  if (OUR_TABLES.test(metadata.tableName)) reject(`its table ${metadata.tableName} has a name of our own tables; give it another one.`)
}

function checkSameNumbers({ name }: EntityMetadata, key: ColumnMetadata, given: boolean | number): void {
  if (given === false) return
  if (key.propertyName !== IDENTITY) rejectEntity(name, 'it has sameNumbers, but the database does not number its rows; leave that out.')
  if (given !== true && !(Number.isSafeInteger(given) && given > 0))
    rejectEntity(name, `its sameNumbers is ${given}; give true, or the highest number that is shared.`)
}

function checkKey(dataSource: DataSource, metadata: EntityMetadata): ColumnMetadata {
  const reject = (why: string): never => rejectEntity(metadata.name, why)
  const [key, ...more] = metadata.primaryColumns
  if (!key) return reject('it has no primary column.')
  for (const part of metadata.primaryColumns) {
    if (isNumber(part)) {
      // it stays here
      if (!more.length) break
      reject(
        `its key ${part.propertyName} is numbered by the database, so two devices give two rows one number; make it the whole key, or use a uuid.`,
      )
    }
    const type = dataSource.driver.normalizeType(part)
    if (part.type === Boolean || !(TEXT.test(type) || isInteger(part)))
      reject(`its key ${part.propertyName} is of type ${type}, of which each database makes another text; use texts, uuids and integers.`)
    if (part.collation && !/^(binary|C|\w+_bin)$/i.test(part.collation))
      reject(`its key ${part.propertyName} has the collation ${part.collation}; keys are compared byte by byte.`)
  }
  return metadata.columns.find(c => c.propertyName === KEY_COLUMN) ?? travelling(key)
}

function checkColumns(
  { name, columns: all, foreignKeys, primaryColumns: [key, ...more] }: EntityMetadata,
  columns: readonly ColumnCodec[],
): void {
  const reject = (why: string): never => rejectEntity(name, why)
  // some databases ignore the case of names
  for (const {
    metadata: { databaseName: column },
  } of columns)
    if (/^(_sync_.*|_lastchange)$/i.test(column)) reject(`its column ${column} has a name that our own columns have; give it another one.`)
  for (const column of all)
    if (column.referencedColumn && identities.has(column.referencedColumn) && !foreignKeys.some(k => k.columns.includes(column)))
      reject(
        `its relation ${column.relationMetadata?.propertyName} leads to numbered rows, which are known by its foreign key; leave out createForeignKeyConstraints: false.`,
      )
  for (const { property } of columns) {
    if (
      RESERVED.has(property) ||
      columns.filter(c => c.property === property).length > 1 ||
      (property === 'id' && (more.length || key?.propertyPath !== 'id'))
    )
      reject(`its property ${property} has a name that the protocol uses itself.`)
  }
}

export function rejectEntity(entity: string, why: string): never {
  throw new SyncConfigurationError(`${entity} cannot be synced: ${why}`, { entity })
}
