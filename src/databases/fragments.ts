import type { Transaction } from './statement.js'
import type { Table } from './table.js'

/** SQL inside of statements that are otherwise the same on every database. */
export interface Fragments {
  /** The id of a row: a text that compares bytewise. `alias` is the table's in the statement. */
  id(table: Table, alias: string): string
  /** An id, which `expression` gives, as a value of the key column: for comparing the two so that the key's index serves. */
  key(table: Table, expression: string): string
  /** «The column is one of these», with one parameter, which `list` makes. The table is one of ours, or one that is synced or referenced. */
  among(table: string, alias: string, column: string): string
  list(ids: Iterable<string>): unknown
  /** «The text is one of these», bytewise, whatever the collation of its column counts as equal; with one parameter, which `list` makes. */
  amongTexts(expression: string): string
  /** «The expression, as text». */
  text(expression: string): string
  /** The id of a row whose key has these columns (values/compositeKeys.ts). */
  joined(cells: readonly string[]): string
  /** The bytes that a value of a column has, found without reading it where that can be had. `declared` is the column's type. */
  size(expression: string, declared: string): string
  /** «These two values differ», whatever a collation counts as equal. */
  differs(one: string, other: string): string
  /** «, column = column» for the columns of a table that move by themselves; absent where there are none. */
  pins?(table: Table): string
  /** A new identity, for rows that have none yet; absent where the database gives them one with the column. */
  readonly newIdentity?: string
  /** No index gives rows in the order of (stamp, id): the stamp at which a page ends is looked up first, and only those up to it are sorted. */
  readonly cutsPages?: boolean
  /** The statement that lets a session find tables as our transactions do; absent where every session does. */
  opening?(): Transaction<string>
  /** A statement as a person would type it, where its text here is not the database's own. */
  textOf?(sql: string, values: readonly unknown[]): string
}
