import { query, type Transaction } from '../statement.js'
import { type Columns, columnsOf } from './catalog.js'

/** A column of a table that refers to another one of the same table. */
export interface SelfReference {
  readonly child: string
  readonly parent: string
}

/** What the catalog said of tables when they were prepared. */
export class KnownTables {
  readonly #columns = new Map<string, Columns>()
  readonly #selfReferences = new Map<string, readonly SelfReference[]>()

  /** Undefined where they were not read. */
  known(table: string): Columns | undefined {
    return this.#columns.get(table)
  }

  note(table: string, columns: Columns): void {
    this.#columns.set(table, columns)
    this.#selfReferences.delete(table)
  }

  /** Undefined where there is no such table. */
  *columnsOf(table: string): Transaction<Columns | undefined> {
    if (!this.#columns.has(table)) for (const [name, columns] of yield* columnsOf([table])) this.#columns.set(name, columns)
    return this.#columns.get(table)
  }

  *selfReferencesOf(table: string): Transaction<readonly SelfReference[]> {
    const found = this.#selfReferences.get(table)
    if (found) return found
    const rows = yield* query(
      `SELECT k.COLUMN_NAME AS child, k.REFERENCED_COLUMN_NAME AS parent FROM information_schema.KEY_COLUMN_USAGE k
        WHERE k.TABLE_SCHEMA = DATABASE() AND k.TABLE_NAME = ? AND k.REFERENCED_TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME = ?`,
      table,
      table,
    )
    const references = rows.map(row => ({ child: String(row.child), parent: String(row.parent) }))
    this.#selfReferences.set(table, references)
    return references
  }

  forgetColumns(table: string): void {
    this.#columns.delete(table)
  }

  clear(): void {
    this.#columns.clear()
    this.#selfReferences.clear()
  }
}
