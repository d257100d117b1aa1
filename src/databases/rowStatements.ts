import type { ColumnCodec } from './columns.js'
import type { Cell, Rows, Transaction } from './statement.js'
import type { Table, Target } from './table.js'

/** Writes many rows, in as few statements as the database needs. */
export interface RowStatements {
  insertRows(into: string, columns: readonly Target[], rows: Rows): Transaction<void>
  /** Inserts, or sets the columns beside `keys` of what is there. */
  upsertRows(into: string, columns: readonly Target[], keys: readonly string[], rows: readonly (readonly unknown[])[]): Transaction<void>
  /** Sets columns: each list has their values, then those of the keys. */
  updateRows(table: string, columns: readonly Target[], keys: readonly string[], rows: Rows): Transaction<void>
  /**
   * Like `updateRows`, but only where a condition holds, whose parameters are the same for all, and where a row differs. Gives how many rows
   * each list has changed. Absent where that is no cheaper than reading the rows.
   */
  updateRowsWhere?(
    table: string,
    columns: readonly Target[],
    key: string,
    condition: { readonly sql: string; readonly values: readonly unknown[] },
    rows: readonly (readonly unknown[])[],
  ): Transaction<number[]>
  deleteRows(from: string, keys: readonly string[], rows: readonly (readonly unknown[])[]): Transaction<void>

  /**
   * How columns that `isSpelledThere` would give back values, of which there is a list for each column; or, where one cannot hold a value, the
   * class of the error. Absent where there are no such columns.
   */
  spell?(
    table: Table,
    columns: readonly ColumnCodec[],
    lists: readonly (readonly unknown[])[],
  ): Transaction<(readonly [cell: Cell, state: string | null])[][]>
}
