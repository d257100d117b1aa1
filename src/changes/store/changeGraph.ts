// Which changes have to be stored before which others: by unique values, and by foreign keys.

import type { UniqueIndex } from '../../databases/database.js'
import type { Json, WireRow } from '../../protocol/messages.js'
import type { Collection, Reference } from '../collections/collection.js'
import type { Change, Write } from './change.js'
import type { Edge } from './graph.js'
import { addReference } from './referenceEdges.js'
import { addUnique } from './uniqueEdges.js'
import type { Uniques } from './uniques.js'

type Why =
  | { readonly kind: 'unique'; readonly index: UniqueIndex }
  /** `to` needs the row `from`. */
  | { readonly kind: 'needs'; readonly reference: Reference }
  /** `from` leaves the row `to`. */
  | { readonly kind: 'leaves'; readonly reference: Reference }

export type Dependency = Edge & Why

/** A graph while it grows: its first nodes are the changes. */
export interface ChangeGraph {
  readonly changes: readonly Change[]
  /** The rows as they will be; null where one will be removed. */
  readonly after: readonly (WireRow | null)[]
  readonly nodesOf: ReadonlyMap<Collection, readonly number[]>
  readonly edges: Dependency[]
  size: number
}

export function graphOf(changes: readonly Change[], uniques: Uniques): Pick<ChangeGraph, 'size' | 'edges'> {
  const nodesOf = new Map<Collection, number[]>()
  for (const [i, { collection }] of changes.entries()) {
    const nodes = nodesOf.get(collection)
    if (nodes) nodes.push(i)
    else nodesOf.set(collection, [i])
  }
  const graph: ChangeGraph = { changes, after: changes.map(afterOf), nodesOf, edges: [], size: changes.length }
  for (const collection of nodesOf.keys()) {
    for (const index of uniques.get(collection) ?? []) addUnique(graph, collection, index)
    for (const reference of collection.parents) addReference(graph, reference)
  }
  return graph
}

const afterOf = ({ old, value }: Write): WireRow | null => value && (old.value ? { ...old.value, ...value } : value)

export const isSet = (value: Json | undefined): value is NonNullable<Json> => value !== null && value !== undefined
