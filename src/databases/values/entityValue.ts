import type { ObjectLiteral } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'

type OfColumn = { readonly metadata: ColumnMetadata }

/** What an entity, or an object of the same shape, has for the column; of a relation its key. Undefined where it has nothing. */
export function getEntityValue(entity: ObjectLiteral, { metadata: column }: OfColumn): unknown {
  const relation = column.relationMetadata
  // TypeORM would ask a lazy relation's getter, which sends a query
  if (relation?.isLazy && column.isVirtual) {
    const related = relation.getEntityValue(entity)
    return related === undefined || related === null ? related : column.referencedColumn?.getEntityValue(related)
  }
  const value = column.getEntityValue(entity)
  return value === undefined && column.isDiscriminator ? discriminatorOf(entity, column) : value
}

/** Sets it; embedded objects are created as needed, a relation becomes an object with nothing but its key, or null. */
export function setEntityValue(entity: ObjectLiteral, { metadata: column }: OfColumn, value: unknown): void {
  const { relationMetadata: relation, referencedColumn } = column
  if (!relation || !referencedColumn || !column.isVirtual) column.setEntityValue(entity, value)
  if (!relation || !referencedColumn) return
  // a loaded relation would win over the join column's own property when the entity is saved
  if (!column.isVirtual && relation.getEntityValue(entity) === undefined) return
  const related = relatedOf(entity, column, value)
  // TypeORM would write the new key into the loaded parent
  if (!relation.embeddedMetadata) delete entity[relation.isLazy ? `__${relation.propertyName}__` : relation.propertyName]
  relation.setEntityValue(entity, related)
}

/** The other row, as an object with nothing but its key; null where no part of that is set. */
function relatedOf(entity: ObjectLiteral, column: ColumnMetadata, value: unknown): ObjectLiteral | null {
  const related: ObjectLiteral = {}
  let isSet = false
  for (const each of column.relationMetadata?.joinColumns ?? []) {
    const part = each === column ? value : each.getEntityValue(entity)
    if (part !== undefined) each.referencedColumn?.setEntityValue(related, part)
    isSet ||= part !== undefined && part !== null
  }
  return isSet ? related : null
}

function discriminatorOf(entity: ObjectLiteral, column: ColumnMetadata): string | undefined {
  const { entityMetadata } = column
  const known = [entityMetadata, ...entityMetadata.childEntityMetadatas]
  return known.find(metadata => metadata.target === entity.constructor)?.discriminatorValue
}
