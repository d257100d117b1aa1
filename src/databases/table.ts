// Tables as statements name them, and the names of what belongs to one.

import { shortName } from './names.js'
import type { PathScope } from './paths.js'

export const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

/** A name of ours for something that belongs to a table, the same each time. */
export const ownName = (prefix: string, table: string, longest?: number) => shortName(prefix + table, longest)

export const baseTableNameOf = (table: string) => ownName('sync_base_', table)
export const baseTableOf = (table: Table) => baseTableNameOf(table.name)

/** The copy that is made of a table before a migration. */
export const copiesOf = (table: string) => ownName('sync_copy_', table)

/** The table behind an entity, as triggers and tables of base versions need it. */
export interface Table {
  /** Database name, unquoted. */
  readonly name: string
  /** The schema that its entity names, where that is another than the data source's own. */
  readonly schema?: string
  /** Database name of the key column. */
  readonly key: string
  /** Where the key has several columns: these. Then `key` is a hidden one that the database generates from them: nothing writes it. */
  readonly parts?: readonly string[]
  /** Where the key is the identity of a row: the column by which the database counts. Nothing writes it. */
  readonly number?: string
  /** Database names of the columns that are synced, key and `_lastChange` left out. */
  readonly columns: readonly string[]
  /** Database names of those of them whose values name the scopes of a row. */
  readonly scopes: readonly string[]
  /** Columns that keep what the parent of a row has: scopes that are paths, and identities of parents that are numbered here. */
  readonly paths?: readonly PathScope[]
  /** The table that holds its rows yet, before a migration renames it. */
  readonly was?: string
}

/** The columns that hold the key of a row, as it was declared. */
export const keysOf = ({ key, parts }: Table): readonly string[] => parts ?? [key]

/** A column that a statement writes, and its placeholder, where that is not a mere parameter. */
export type Target = string | { readonly column: string; readonly placeholder: string; readonly reference?: PathScope }

export const nameOf = (target: Target) => (typeof target === 'string' ? target : target.column)
export const placeholderOf = (target: Target) => (typeof target === 'string' ? '?' : target.placeholder)
