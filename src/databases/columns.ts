import { type DataSource, type EntityMetadata, TableColumn } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { ValueError } from '../errors.js'
import type { Json } from '../protocol/messages.js'
import { typeOf } from './open.js'
import type { PathScope } from './paths.js'
import { bytesOf, type ColumnType, type Reject } from './values/columnType.js'
import { hasMadeId } from './values/compositeKeys.js'
import { IDENTITY, travelling } from './values/identities.js'

export { dateToNumber } from './values/dates.js'
export { getEntityValue, setEntityValue } from './values/entityValue.js'
export { equalValues } from './values/equalValues.js'

/** How the values of one column travel: cell ⇄ wire ⇄ entity (PROTOCOL.md, Values). */
export interface ColumnCodec {
  /** The name on the wire: the property's path; of a to-one relation without a property for its join column the relation's. */
  readonly property: string
  /** The name in the database. */
  readonly column: string
  /** The SQL type that TypeORM declares. */
  readonly declared: string
  /** Set where TypeORM changes the value by itself. */
  readonly automatic?: 'version' | 'created' | 'updated'
  readonly nullable: boolean
  /** Whether a collection for clients of 2012 writes the value as a number (`dateToNumber`). */
  readonly isDate: boolean
  /** Only the database knows whether it accepts a value, and how it spells it (held.ts): `fromWire` and `canonical` leave it as it is. */
  readonly isSpelledThere: boolean
  readonly metadata: ColumnMetadata
  /** Of a reference to a row that is numbered here. Then the column is hidden, and `metadata` is that of the number. */
  readonly reference?: PathScope
  /** SQL that reads the column, e.g. `t."due"`, so that the driver loses nothing. */
  read(expression: string): string
  /** The value's place in a statement. */
  readonly placeholder: string
  /** What the driver gave for `read`, as wire value. Never throws: what the column should not contain is read as well as possible. */
  toWire(cell: unknown): Json
  /** The statement's parameter for a wire value. Throws ValueError where the column cannot hold it. */
  fromWire(value: Json): unknown
  /** What the application sees in its entity. Integers beyond 2^53 are strings, though TypeORM rounds them on SQLite. */
  toEntity(value: Json): unknown
  /** The wire value of what an entity holds. */
  fromEntity(value: unknown): Json
  /** The wire value as this database would give it back, for comparing values of different origin; itself if the column cannot hold it. */
  canonical(value: Json): Json
}

/** Columns that we have added to keep what a path leads to: they do not travel. */
export const hiddenColumns = new WeakSet<ColumnMetadata>()

/** Every stored column of an entity (its own, its children's, its relations' keys) except key, `_lastChange` and generated ones. The parts of a composite key are among them. */
export function describeColumns(metadata: EntityMetadata, dataSource: DataSource): ColumnCodec[] {
  const codecs = new Map<string, ColumnCodec>()
  for (const column of tableMetadata(metadata).columns) {
    if (!isSynced(column, metadata) || codecs.has(column.databaseName)) continue
    const own = travelling(column)
    codecs.set(column.databaseName, own === column ? describeColumn(column, dataSource) : describeReference(column, own, dataSource))
  }
  return [...codecs.values()]
}

/** A reference to a row that is numbered here: its identity travels, and is what handlers and the journal show. */
function describeReference(number: ColumnMetadata, own: ColumnMetadata, dataSource: DataSource): ColumnCodec {
  const property = wireName(number)
  const parent = number.referencedColumn as ColumnMetadata
  return {
    ...describeColumn(own, dataSource, property, number.isNullable),
    metadata: number,
    reference: {
      ...{ column: own.databaseName, references: [number.databaseName], parent: parent.entityMetadata.tableName },
      ...{ parentKeys: [parent.databaseName], parentColumn: IDENTITY, isIdentity: true },
    },
    toEntity: value => value,
    fromEntity(value) {
      if (typeof value !== 'number') return value as Json
      throw new ValueError(
        number.entityMetadata.name,
        property,
        'is a number of this database; give the id that conflicts and the journal have',
      )
    },
  }
}

function tableMetadata(metadata: EntityMetadata): EntityMetadata {
  return metadata.tableType === 'entity-child' ? tableMetadata(metadata.parentEntityMetadata) : metadata
}

function isSynced(column: ColumnMetadata, metadata: EntityMetadata): boolean {
  return (
    !(column.isPrimary && !hasMadeId(metadata)) &&
    !column.isVirtualProperty &&
    !column.generatedType &&
    !column.isMaterializedPath &&
    column.propertyName !== '_lastChange' &&
    !hiddenColumns.has(column)
  )
}

/** `property`: its name on the wire. */
export function describeColumn(
  column: ColumnMetadata,
  dataSource: DataSource,
  property = wireName(column),
  nullable = column.isNullable,
): ColumnCodec {
  const type = isKeyOfAnother(column) ? keyType(typeOf(column)) : typeOf(column)
  const driver = dataSource.driver
  const isJson = ['json', 'jsonb', 'simple-json'].includes(String(column.type))

  const toWire = (cell: unknown): Json => (cell === null || cell === undefined ? null : type.toWire(plain(cell)))

  const reject: Reject = detail => {
    throw new ValueError(column.entityMetadata.name, property, detail)
  }

  const fromWire = (value: Json): unknown => {
    if (value !== null && value !== undefined) return type.fromWire(value, reject)
    // a JSON column has a null of its own
    if (value === null) return nullable ? null : isJson ? 'null' : reject('is null')
    return reject('is missing')
  }

  const parameter = (value: Json): { value: unknown } | undefined => {
    try {
      return { value: fromWire(value) }
    } catch (error) {
      if (error instanceof ValueError) return undefined
      throw error
    }
  }

  return {
    property,
    column: column.databaseName,
    declared: declaredType(column, dataSource),
    automatic: column.isVersion ? 'version' : column.isCreateDate ? 'created' : column.isUpdateDate ? 'updated' : undefined,
    nullable,
    isDate: type.isDate === true,
    isSpelledThere: type.isSpelledThere === true,
    metadata: column,
    read: type.read,
    placeholder: type.placeholder,
    toWire,
    fromWire,
    toEntity(value) {
      const held = value === null ? { value: null } : parameter(value)
      if (!held) return value
      const cell = type.asDriverReads ? type.asDriverReads(held.value) : asDriverReads(held.value, dataSource)
      return driver.prepareHydratedValue(cell, column)
    },
    fromEntity: value => toWire(driver.preparePersistentValue(value, column)),
    canonical(value) {
      const held = parameter(value)
      return held ? toWire(held.value) : value
    },
  }
}

/** Keys are strings on the wire, so a relation's key is one as well, whatever its column's type. */
function keyType(type: ColumnType): ColumnType {
  return {
    ...type,
    toWire(cell) {
      const value = type.toWire(cell)
      return typeof value === 'number' ? String(value) : value
    },
  }
}

function isKeyOfAnother(column: ColumnMetadata): boolean {
  // a part of one is what it is in the other row
  return column.referencedColumn?.isPrimary === true && column.referencedColumn.entityMetadata.primaryColumns.length < 2
}

/** What the two sides of a junction table are called on the wire: the names of its columns follow from a naming strategy, which may be another one elsewhere. */
export const sideOf = (column: ColumnMetadata) => (column.entityMetadata.ownerColumns.includes(column) ? 'owner' : 'inverse')

function wireName(column: ColumnMetadata): string {
  if (column.entityMetadata.tableType === 'junction') {
    const { ownerColumns, inverseColumns } = column.entityMetadata
    const side = sideOf(column)
    const isAlone = (side === 'owner' ? ownerColumns : inverseColumns).length < 2
    return isAlone ? side : `${side}.${column.referencedColumn?.propertyPath}`
  }
  // on the wire `id` is the whole key
  if (column.isPrimary && column.propertyPath === 'id') return '_id'
  const relation = column.isVirtual && column.referencedColumn ? column.relationMetadata : undefined
  return relation?.joinColumns.length === 1 ? relation.propertyPath : column.propertyPath
}

function declaredType(column: ColumnMetadata, { driver }: DataSource): string {
  const { length, precision, scale, isArray } = column
  const list = column.enum?.map(String)
  return driver.createFullType(
    new TableColumn({
      name: column.databaseName,
      type: driver.normalizeType(column),
      length,
      precision: precision ?? undefined,
      scale,
      isArray,
      enum: list,
    }),
  )
}

// a driver may be set to give bigint for every integer
function plain(cell: unknown): unknown {
  if (typeof cell !== 'bigint') return cell
  const number = Number(cell)
  return Number.isSafeInteger(number) ? number : cell.toString()
}

// better-sqlite3 hands out Buffers
function asDriverReads(cell: unknown, { options }: DataSource): unknown {
  const bytes = bytesOf(cell)
  const buffer = (globalThis as { Buffer?: { from(data: ArrayBufferLike, start: number, length: number): Uint8Array } }).Buffer
  if (!bytes || options.type !== 'better-sqlite3' || !buffer) return cell
  return buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
