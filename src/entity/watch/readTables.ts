// Which tables a find reads: rather one too many than one too few.

import { type EntityMetadata, FindOperator, type RelationMetadata } from 'typeorm'

/** The options of a find that name relations. */
export interface FindTree {
  readonly relations?: unknown
  readonly where?: unknown
  readonly order?: unknown
  readonly select?: unknown
  readonly loadRelationIds?: unknown
  readonly loadEagerRelations?: boolean
}

/** Their paths; undefined where only the database knows: it reads a view, or SQL of the application. */
export function tablesReadBy(metadata: EntityMetadata, options: FindTree = {}): ReadonlySet<string> | undefined {
  const reading = new Reading(options.loadEagerRelations !== false)
  reading.entity(metadata)
  for (const tree of [options.relations, options.where, options.order, options.select]) reading.tree(metadata, tree)
  if (options.loadRelationIds) for (const relation of metadata.relations) reading.relation(relation)
  return reading.isOpen ? undefined : reading.tables
}

class Reading {
  isOpen = false
  readonly tables = new Set<string>()
  readonly #entities = new Set<EntityMetadata>()

  constructor(private readonly withEager: boolean) {}

  entity(metadata: EntityMetadata): void {
    if (this.#entities.has(metadata)) return
    this.#entities.add(metadata)
    this.tables.add(metadata.tablePath)
    if (metadata.tableType === 'view' || metadata.columns.some(column => column.query)) this.isOpen = true
    for (const { relation } of metadata.relationIds) this.relation(relation)
    if (this.withEager) for (const relation of metadata.eagerRelations) this.relation(relation)
    for (const child of metadata.childEntityMetadatas) this.entity(child)
  }

  relation({ inverseEntityMetadata, junctionEntityMetadata }: RelationMetadata): void {
    this.entity(inverseEntityMetadata)
    if (junctionEntityMetadata) this.entity(junctionEntityMetadata)
  }

  /** An option's value: what its keys name is a relation, an embedded entity or a column. */
  tree(metadata: EntityMetadata, value: unknown, prefix = ''): void {
    if (typeof value !== 'object' || value === null) return
    if (value instanceof FindOperator) this.#operator(metadata, value, prefix)
    else if (Array.isArray(value)) for (const each of value) this.tree(metadata, each, prefix)
    else for (const [key, below] of Object.entries(value)) this.#property(metadata, prefix + key, below)
  }

  #property(metadata: EntityMetadata, path: string, below: unknown): void {
    if (below === undefined || below === false) return
    const relation = metadata.findRelationWithPropertyPath(path)
    if (relation) this.relation(relation)
    this.tree(relation?.inverseEntityMetadata ?? metadata, below, relation ? '' : `${path}.`)
  }

  #operator(metadata: EntityMetadata, operator: FindOperator<unknown>, prefix: string): void {
    if (operator.type === 'raw') this.isOpen = true
    const below: unknown = operator.child ?? operator.value
    for (const each of Array.isArray(below) ? below : [below]) this.tree(metadata, each, prefix)
  }
}
