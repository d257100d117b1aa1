// Rows as their entities describe them: which properties there are, and what they hold.

import type { DataSource, EntityMetadata, ObjectLiteral, Repository } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { h } from './dom.js'
import { kindOf, printOf, show, visible } from './values.js'

export type Row = ObjectLiteral | null | undefined

export interface Property {
  /** As a conflict names it: `address.city` of an embedded entity, the relation where a foreign key has no property of its own. */
  readonly path: string
  readonly isNullable: boolean
  /** The name of the key of the row that a relation leads to. */
  readonly key: string | undefined
  read(row: ObjectLiteral): unknown
  write(row: ObjectLiteral, value: unknown): void
  /** Of a reference: what the row with this key is called here, if it is here and has a name. */
  readonly nameOf?: (key: unknown) => Promise<string | undefined>
}

/** What a row of a junction table has for the column. */
function sideOf(column: ColumnMetadata): 'owner' | 'inverse' | undefined {
  const { entityMetadata } = column
  if (entityMetadata.tableType !== 'junction') return
  return entityMetadata.ownerColumns.includes(column) ? 'owner' : 'inverse'
}

function describe(dataSource: DataSource, column: ColumnMetadata): Property {
  const { propertyPath, isNullable, referencedColumn, relationMetadata, isVirtual } = column
  const side = sideOf(column)
  const relation = isVirtual && referencedColumn && !side ? relationMetadata : undefined
  const path = side ?? relation?.propertyPath ?? propertyPath
  return {
    ...{ path, isNullable, key: relation && referencedColumn?.propertyName },
    // by TypeORM's own ways: a lazy relation would send a query
    read: row => (side || (Object.hasOwn(row, path) && !relation) ? row[path] : (relation ?? column).getEntityValue(row)),
    write(row, value) {
      if (relation?.isLazy) relation.setEntityValue(row, value)
      else row[path] = value
    },
    ...(referencedColumn && { nameOf: key => nameOf(dataSource, referencedColumn, key) }),
  }
}

/** Of an entity as the journal names it: `Album.labels` are the links of a many-to-many relation. */
export function metadataOf(dataSource: DataSource, entity: string): EntityMetadata {
  const [owner = '', ...path] = entity.split('.')
  const links = () => dataSource.getMetadata(owner).findRelationWithPropertyPath(path.join('.'))?.junctionEntityMetadata
  return (dataSource.hasMetadata(entity) ? undefined : links()) ?? dataSource.getMetadata(entity)
}

export function repositoryOf(dataSource: DataSource, entity: string): Repository<ObjectLiteral> {
  const { tableType, tableName } = metadataOf(dataSource, entity)
  // a junction table has no class
  return dataSource.getRepository(tableType === 'junction' ? tableName : entity)
}

async function nameOf(dataSource: DataSource, { propertyName, entityMetadata }: ColumnMetadata, key: unknown): Promise<string | undefined> {
  // a row that each database numbers for itself is called by its identity
  const isNumbered = entityMetadata.columns.some(c => c.propertyName === '_sync_identity')
  const where = { [isNumbered ? '_sync_identity' : propertyName]: key }
  return labelOf(
    await dataSource.getRepository<ObjectLiteral>(entityMetadata.name).findOne({ where, withDeleted: true, loadEagerRelations: false }),
  )
}

/** What rows of an entity have, but for what the library keeps in them, and a key that is the id; a key of several columns says more than that. */
export function propertiesOf(dataSource: DataSource, entity: string): Property[] {
  const { columns: all, primaryColumns } = metadataOf(dataSource, entity)
  const columns = all.filter(c => !(c.isPrimary && primaryColumns.length === 1) && !/^_(lastChange$|sync_)/.test(c.propertyName))
  return [...new Map(columns.map(column => describe(dataSource, column)).map(property => [property.path, property])).values()]
}

/** undefined where the row has no such property. */
export const valueAt = (row: Row, property: Property): unknown => (row ? property.read(row) : undefined)

export const isSame = (one: unknown, other: unknown) => printOf(one) === printOf(other)

/** Properties in which two rows differ. */
export const differences = (properties: readonly Property[], one: Row, other: Row) =>
  properties.filter(property => !isSame(valueAt(one, property), valueAt(other, property)))

export const isReference = ({ key }: Property, value: unknown) =>
  key !== undefined && kindOf(value) === 'json' && Object.hasOwn(value as object, key)

/** What a row has in a property, as an element. */
export function showAt(row: Row, property: Property): HTMLElement {
  if (row === null) return h('span', { class: 'value word' }, 'no row')
  const value = valueAt(row, property)
  const key = isReference(property, value) ? (value as ObjectLiteral)[property.key as string] : value
  if (!property.nameOf || kindOf(key) === 'null' || kindOf(key) === 'unknown') return show(key)
  const shown = show(key, 'reference')
  // an id says little to a person
  property.nameOf(key).then(
    name => name !== undefined && shown.prepend(h('span', { class: 'name', dir: 'auto' }, name), ' '),
    () => {},
  )
  return shown
}

const NAMES = ['name', 'title', 'label', 'subject', 'text', 'description']

/** What a person may know a row by: the first of the sides that has a name. */
export function labelOf(...sides: readonly Row[]): string | undefined {
  for (const side of sides)
    for (const name of NAMES) {
      const value: unknown = side?.[name]
      const text = typeof value === 'string' ? visible(value.trim()) : ''
      if (text !== '') return text.length > 60 ? `${text.slice(0, 60)}…` : text
    }
}
