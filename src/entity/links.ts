// The links of many-to-many relations: the junction table of one whose both sides sync is a collection as well, without a class.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { RelationMetadata } from 'typeorm/metadata/RelationMetadata.js'
import { rejectEntity } from '../changes/collections/describeCollection.js'
import { addColumn, addIndex, STAMP } from './hiddenColumns.js'
import type { EnabledEntity } from './registry.js'

/** The junction tables between entities that sync. Throws SyncConfigurationError for a relation that is neither synced nor left out. */
export function linksBetween(entities: readonly EnabledEntity[]): EnabledEntity[] {
  const links: EnabledEntity[] = []
  const enabled = (metadata: EntityMetadata) => entities.find(e => e.metadata === metadata || e.metadata === metadata.parentEntityMetadata)
  const leavesOut = (entity: EnabledEntity | undefined, relation: RelationMetadata | undefined) =>
    relation !== undefined && entity?.options.omit?.includes(relation.propertyName) === true
  for (const entity of entities) {
    checkAsked(entity)
    for (const relation of entity.metadata.manyToManyRelations) {
      const { inverseEntityMetadata, inverseRelation, junctionEntityMetadata: junction } = relation
      const other = enabled(inverseEntityMetadata)
      if (leavesOut(entity, relation) || leavesOut(other, inverseRelation)) continue
      if (!other) reject(entity, relation)
      // an entity of one's own may have the table
      if (!relation.isOwning || !junction || entities.some(e => e.metadata.tableName === junction.tableName)) continue
      const { scopes = [], formerly, links: asked } = entity.options
      links.push({
        metadata: junction,
        urls: entity.urls.map(url => urlOf(url, relation)),
        options: {
          scopes: ['owner', ...scopes.map(scope => `owner.${scope}`)],
          ...asked?.[relation.propertyName],
          ...(formerly && { formerly: formerly.map(url => urlOf(url, relation)) }),
        },
      })
    }
  }
  return links
}

function checkAsked({ metadata: { name, manyToManyRelations }, options: { links = {} } }: EnabledEntity): void {
  for (const asked of Object.keys(links))
    if (!manyToManyRelations.some(r => r.isOwning && r.propertyName === asked))
      rejectEntity(name, `it has no many-to-many relation ${asked} with @JoinTable; name that in { links } where it has.`)
}

function reject({ metadata: { name } }: EnabledEntity, { propertyName, inverseEntityMetadata: other }: RelationMetadata): never {
  rejectEntity(
    name,
    `its many-to-many relation ${propertyName} leads to ${other.name}, which is not synced. Enable sync on it too, or leave the relation out with ` +
      `{ omit: ['${propertyName}'] }: then it differs from device to device.`,
  )
}

// beside that of the entity, with its parameters
function urlOf(url: string, { propertyPath }: RelationMetadata): string {
  const [, path = '', rest = ''] = /^([^?#]*)(.*)$/.exec(url) ?? []
  return `${path}.${propertyPath}${rest}`
}

/** Gives a junction table what enableSync gives an entity. */
export function addLinkColumns(dataSource: DataSource, metadata: EntityMetadata): void {
  if (metadata.tableType !== 'junction') return
  const stamp = addColumn(dataSource, metadata, STAMP.name, STAMP)
  addIndex(dataSource, metadata, [stamp, ...metadata.primaryColumns])
  addIndex(dataSource, metadata, [...metadata.ownerColumns, stamp])
}
