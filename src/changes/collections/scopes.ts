// The scopes of an entity: columns whose values say who sees a row.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { RelationMetadata } from 'typeorm/metadata/RelationMetadata.js'
import { type ColumnCodec, describeColumn } from '../../databases/columns.js'
import { ownName, type PathScope } from '../../databases/database.js'
import { KEY_COLUMN } from '../../databases/values/compositeKeys.js'
import { travelling } from '../../databases/values/identities.js'
import { SyncConfigurationError } from '../../errors.js'

const SCOPE =
  /^(varchar2?|text|tinytext|mediumtext|longtext|uuid|char|nchar|nvarchar|character|varying character|native character|clob|character varying|(tiny|small|medium|big|unsigned big )?int(eger)?[248]?)$/i

/** The column of a scope. */
export interface ScopeColumn extends ColumnCodec {
  /** Of a path: what is kept in the column, and the properties, on the wire, of the reference by which it follows. */
  readonly path?: PathScope & { readonly by: readonly string[] }
}

/** The name of the hidden column, and of its property, that keeps what a path leads to. */
export const pathColumnOf = (path: string) => ownName('_sync_scope_', path.replace(/\W/g, '_'))

/**
 * The columns of the declared scopes, in their order. Throws SyncConfigurationError for a property
 * that cannot be one.
 */
export function describeScopes(
  dataSource: DataSource,
  metadata: EntityMetadata,
  columns: readonly ColumnCodec[],
  scopes: readonly string[],
): ScopeColumn[] {
  const found = new Map<string, ScopeColumn>()
  for (const path of scopes) {
    const hidden = describePath(dataSource, metadata, columns, path)
    if (hidden) {
      checkType(dataSource, metadata, path, hidden)
      found.set(hidden.column, hidden)
      continue
    }
    const column = columnOf(metadata, path)
    if (column?.isPrimary && metadata.primaryColumns.length < 2) rejectScope(metadata.name, path, KEY)
    const codec = columns.find(c => c.metadata.databaseName === column?.databaseName)
    if (!codec)
      return rejectScope(metadata.name, path, 'it has no such column or to-one relation that is synced; name a property of the entity')
    checkType(dataSource, metadata, path, codec)
    found.set(codec.column, codec)
  }
  return [...found.values()]
}

/** A path through a to-one relation; undefined where it is none. */
function describePath(
  dataSource: DataSource,
  metadata: EntityMetadata,
  columns: readonly ColumnCodec[],
  path: string,
): ScopeColumn | undefined {
  const column = metadata.columns.find(c => c.propertyName === pathColumnOf(path))
  const found = pathOf(metadata, path)
  if (!column || !found) return
  const { joinColumns, inverseEntityMetadata: parent } = found.relation
  const parentColumn = parent.columns.find(c => c.propertyName === pathColumnOf(found.rest)) ?? travellingColumnOf(parent, found.rest)
  return {
    ...describeColumn(column, dataSource, path),
    path: {
      column: column.databaseName,
      references: joinColumns.map(c => c.databaseName),
      parent: parent.tableName,
      parentKeys: joinColumns.map(c => c.referencedColumn?.databaseName as string),
      parentColumn: parentColumn?.databaseName as string,
      by: joinColumns.map(({ databaseName }) => columns.find(c => c.metadata.databaseName === databaseName)?.property ?? 'id'),
    },
  }
}

export const KEY = 'it is the key, which is always one; leave it out'

/** The column of a property, or of a to-one relation where it has one. */
export function columnOf(metadata: EntityMetadata, path: string): ColumnMetadata | undefined {
  const { joinColumns = [] } = toOneOf(metadata, path) ?? {}
  return metadata.columns.find(c => c.propertyPath === path) ?? (joinColumns.length < 2 ? joinColumns[0] : undefined)
}

/** A path through a to-one relation: to a property of the other row, or to its key where that has several columns. */
export function pathOf(metadata: EntityMetadata, path: string): { readonly relation: ToOne; readonly rest: string } | undefined {
  const whole = toOneOf(metadata, path)
  if (whole && whole.joinColumns.length > 1) return { relation: whole, rest: KEY_COLUMN }
  const at = path.indexOf('.')
  const relation = at < 0 ? undefined : toOneOf(metadata, path.slice(0, at))
  return relation && { relation, rest: path.slice(at + 1) }
}

type ToOne = Pick<RelationMetadata, 'joinColumns' | 'inverseEntityMetadata'>

/** The same, or the one that travels for it. */
export function travellingColumnOf(metadata: EntityMetadata, path: string): ColumnMetadata | undefined {
  const column = columnOf(metadata, path)
  return column && travelling(column)
}

/** The to-one relation of this name; of a junction table that to the owner of its links. */
export function toOneOf({ tableType, relations, ownerColumns }: EntityMetadata, property: string): ToOne | undefined {
  if (tableType !== 'junction') return relations.find(r => r.isWithJoinColumn && r.propertyPath === property)
  const relation = ownerColumns[0]?.relationMetadata
  return property === 'owner' && relation ? { joinColumns: ownerColumns, inverseEntityMetadata: relation.entityMetadata } : undefined
}

function checkType({ driver, options }: DataSource, { name }: EntityMetadata, path: string, { metadata: column }: ColumnCodec): void {
  const type = driver.normalizeType(column)
  const isOther = column.isArray || column.type === Boolean || /^(simple-|bool)/.test(String(column.type))
  if (isOther || !SCOPE.test(type))
    rejectScope(
      name,
      path,
      `it is of type ${isOther ? typeName(column.type) : type}; values of scopes are compared as keys, use a text, uuid or integer column`,
    )
  if (column.transformer)
    rejectScope(name, path, 'it has a transformer; values of scopes are compared as they are in the database, leave it out')
  if (/^(mysql|mariadb)$/.test(options.type) && /text$/i.test(type))
    rejectScope(name, path, `it is of type ${type}, which MySQL and MariaDB index in part only; use varchar, with a length`)
}

const typeName = (type: unknown) => (typeof type === 'function' ? type.name : String(type)) || 'array'

/** Throws SyncConfigurationError for a scope that an entity cannot have; `why` ends with what to do. */
export function rejectScope(entity: string, path: string, why: string): never {
  throw new SyncConfigurationError(`${entity} cannot be synced: its scope ${path} cannot be one: ${why}.`, { entity })
}
