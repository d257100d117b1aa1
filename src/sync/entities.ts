// Rows as the application knows them: entities.

import type { ObjectLiteral } from 'typeorm'
import type { Collection } from '../changes/collections/collection.js'
import { equalValues, getEntityValue, setEntityValue } from '../databases/columns.js'
import type { WireRow } from '../protocol/messages.js'

/** A row as an instance of its entity. Paths of embedded properties (`address.city`) can be read and assigned as well. */
export function toEntity(collection: Collection, id: string, row: WireRow): ObjectLiteral {
  const { metadata } = collection
  // it has no class
  if (collection.isLink) return { ...row }
  const { discriminatorColumn } = metadata
  const kind = discriminatorColumn && row[discriminatorColumn.propertyPath]
  const own = metadata.childEntityMetadatas.find(child => child.discriminatorValue === kind) ?? metadata
  const entity = own.create(undefined, { fromDeserializer: true })
  setId(collection, entity, id)
  for (const column of collection.columns) {
    const { property } = column
    if (!Object.hasOwn(row, property)) continue
    setEntityValue(entity, column, column.toEntity(row[property] as never))
    if (property.includes('.')) {
      Object.defineProperty(entity, property, {
        configurable: true,
        enumerable: false,
        get: () => getEntityValue(entity, column),
        set: value => setEntityValue(entity, column, value),
      })
    }
  }
  return entity
}

function setId({ metadata, keyParts, table }: Collection, entity: ObjectLiteral, id: string): void {
  const [key] = metadata.primaryColumns
  // the parts of a key are among the columns
  if (!key || keyParts.length) return
  // of a row that is numbered here it is no number
  key.setEntityValue(entity, table.number === undefined ? metadata.dataSource.driver.prepareHydratedValue(id, key) : id)
}

/** Is it about the row with this id? It says so by the id, or by the key as the application has it. */
export function isAbout({ metadata, keyParts, keyProperty, table }: Collection, update: ObjectLiteral, id: string): boolean {
  const [key] = metadata.primaryColumns
  const own = update[keyProperty]
  if (update.id === id || own === id || (keyParts.length === 1 && String(own) === id)) return true
  if (!key?.transformer || keyParts.length || table.number !== undefined || update[keyProperty] === undefined) return false
  return metadata.dataSource.driver.preparePersistentValue(update[keyProperty], key) === id
}

/** An entity, or an object of its shape, as a row; properties that are undefined there are left out, and those of its key. Throws ValueError. */
export function fromEntity(collection: Collection, entity: ObjectLiteral): WireRow {
  const row: WireRow = {}
  for (const column of collection.columns) {
    const { property } = column
    if (collection.keyParts.includes(column)) continue
    const value = property.includes('.') && Object.hasOwn(entity, property) ? entity[property] : getEntityValue(entity, column)
    if (value === undefined) continue
    row[property] = column.toWire(column.fromWire(value === null ? null : column.fromEntity(value)))
  }
  return row
}

/** The properties in which the second row says something else than the first. */
export function differences(before: WireRow, after: WireRow): WireRow {
  return Object.fromEntries(Object.entries(after).filter(([p, v]) => !equalValues(before[p], v)))
}
