// A collection: the synced rows of one entity, as the change log sees them.

import type { EntityMetadata } from 'typeorm'
import type { ColumnCodec } from '../../databases/columns.js'
import type { Table } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { ScopeColumn } from './scopes.js'

export type OnDelete = 'CASCADE' | 'SET NULL' | 'RESTRICT'

/** A foreign key from one table to another, seen from either side. */
export interface Reference {
  /** The collection that holds the key; undefined where that entity is not synced. */
  readonly child: Collection | undefined
  readonly childTable: string
  readonly childColumn: string
  /** Wire name of the key in the child; `id` where that is its own key. */
  readonly property: string
  /** The child's own key is the foreign key: its row has the id of the one that it needs. */
  readonly isOwnKey: boolean
  /** The foreign key is a part of the child's own key: a row that needs another one is another row. */
  readonly isKeyPart: boolean
  readonly parent: Collection | undefined
  readonly parentTable: string
  readonly parentColumn: string
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
  readonly table: Table
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

/** The key of the row that a row needs by this reference; null where it needs none, undefined where the value does not say. */
export const keyOf = ({ isOwnKey, property }: Reference, id: string, value: WireRow | null | undefined) =>
  isOwnKey ? (value ? id : undefined) : value?.[property]
