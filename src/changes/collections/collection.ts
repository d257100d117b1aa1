// A collection: the synced rows of one entity, as the change log sees them.

import type { EntityMetadata } from 'typeorm'
import type { ColumnCodec } from '../../databases/columns.js'
import type { Table } from '../../databases/database.js'
import { joinId, splitId } from '../../databases/values/compositeKeys.js'
import type { Json, WireRow } from '../../protocol/messages.js'
import type { ScopeColumn } from './scopes.js'

export type OnDelete = 'CASCADE' | 'SET NULL' | 'RESTRICT'

/** A foreign key from one table to another, seen from either side. */
export interface Reference {
  /** The collection that holds the key; undefined where that entity is not synced. */
  readonly child: Collection | undefined
  readonly childTable: string
  /** In the order of the parent's key. */
  readonly childColumns: readonly string[]
  /** What it is called on the wire: the property that holds the key, or the relation, where several do; `id` where that is the child's own key. */
  readonly property: string
  /** The properties, on the wire, that hold the key in the child. */
  readonly properties: readonly string[]
  /** Those of them that may be null: they say that the row needs none. */
  readonly nullable: readonly string[]
  /** The child's own key is the foreign key: its row has the id of the one that it needs. */
  readonly isOwnKey: boolean
  /** The foreign key is a part of the child's own key: a row that needs another one is another row. */
  readonly isKeyPart: boolean
  readonly parent: Collection | undefined
  readonly parentTable: string
  readonly parentColumns: readonly string[]
  /** They are the parent's key, and not another unique one. */
  readonly isByKey: boolean
  readonly onDelete: OnDelete
  /** A self-reference that may run in circles. */
  readonly isCyclic: boolean
  /** The database looks at it when a transaction ends. */
  readonly isDeferred: boolean
}

export interface Collection {
  /** What it is called in the bookkeeping: the table's name, for class names do not survive a minifier. */
  readonly name: string
  /** What it is called on the wire: the paths of its urls. They survive where a migration renames the table. */
  readonly paths: readonly string[]
  /** What people call it. */
  readonly entity: string
  readonly metadata: EntityMetadata
  /** Its rows are the links of a many-to-many relation: they say nothing but that they are there, and go with the rows that they link. */
  readonly isLink: boolean
  /** It has a conflict handler of its own. */
  readonly isAsked: boolean
  readonly table: Table
  /** Rows that are numbered up to this, and are there when sync is enabled, are the same on all databases; 0: none. */
  readonly sameNumbers: number
  /** The property that holds the key in the entity; it is `id` on the wire. None has that name where the key has several columns. */
  readonly keyProperty: string
  /**
   * Says why the key column cannot hold an id as it is, as the end of a sentence that begins with "it"; of a key of several columns also why
   * it is not the id of a row with these values.
   */
  readonly rejectKey: (id: string, value?: WireRow | null) => string | undefined
  readonly columns: readonly ColumnCodec[]
  /** Those of them of which the key is made, where it has several; none otherwise. */
  readonly keyParts: readonly ColumnCodec[]
  /** The columns whose values name the scopes of a row, in the order in which they were declared; the key, always a scope, is not among them. The column of a path is hidden, and not among `columns`. */
  readonly scopes: readonly ScopeColumn[]
  readonly column: ReadonlyMap<string, ColumnCodec>
  /** The rows that its rows need. */
  readonly parents: Reference[]
  /** The rows that need its rows. */
  readonly children: Reference[]
}

/**
 * The key of the row that a row needs by this reference; null where it needs none, undefined where the value does not say. `old` is what the row has
 * where the value says nothing.
 */
export function keyOf(reference: Reference, id: string, value: WireRow | null | undefined, old?: WireRow | null): Json | undefined {
  const { isOwnKey, property, properties } = reference
  if (isOwnKey) return value ? id : undefined
  if (properties.length < 2) return value?.[property]
  if (!value || !properties.some(p => Object.hasOwn(value, p))) return
  const parts = properties.map(p => (Object.hasOwn(value, p) ? value[p] : old?.[p]))
  return parts.includes(null) ? null : parts.includes(undefined) ? undefined : joinId(parts.map(String))
}

/** The values by which a row needs no row by this reference. */
export const noneOf = ({ nullable }: Reference): WireRow => Object.fromEntries(nullable.map(p => [p, null]))

/** The values by which a row needs the row with this key. */
export function valuesOf({ child, properties }: Reference, key: string): WireRow {
  const parts = properties.length < 2 ? [key] : splitId(key, properties.length)
  return Object.fromEntries(properties.map((p, i) => [p, child?.column.get(p)?.canonical(parts?.[i] ?? null) ?? null]))
}

/** The key by which rows refer to a row of the parent: its id, or another unique value. */
export function keyAt(
  { parent, parentColumns: [column], isByKey }: Reference,
  id: string,
  value: WireRow | null | undefined,
): string | undefined {
  if (!value) return
  if (isByKey) return id
  const key = value[parent?.columns.find(c => c.column === column)?.property as string]
  return key === null || key === undefined ? undefined : String(key)
}
