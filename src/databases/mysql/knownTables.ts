import { query, type Transaction } from '../statement.js'
import { type Columns, columnsOf } from './catalog.js'

/** Columns of a table that refer to others of the same table. */
export interface SelfReference {
  readonly child: readonly string[]
  readonly parent: readonly string[]
  /** Those of the first that may be null. */
  readonly nullable: readonly string[]
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
      `SELECT k.CONSTRAINT_NAME AS name, k.COLUMN_NAME AS child, k.REFERENCED_COLUMN_NAME AS parent, c.IS_NULLABLE AS nullable
         FROM information_schema.KEY_COLUMN_USAGE k
         JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = k.TABLE_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME AND c.COLUMN_NAME = k.COLUMN_NAME
        WHERE k.TABLE_SCHEMA = DATABASE() AND k.TABLE_NAME = ? AND k.REFERENCED_TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME = ?
        ORDER BY k.CONSTRAINT_NAME, k.ORDINAL_POSITION`,
      table,
      table,
    )
    const references = new Map<unknown, { child: string[]; parent: string[]; nullable: string[] }>()
    for (const { name, child, parent, nullable } of rows) {
      const reference = references.get(name) ?? { child: [], parent: [], nullable: [] }
      references.set(name, reference)
      reference.child.push(String(child))
      reference.parent.push(String(parent))
      if (nullable === 'YES') reference.nullable.push(String(child))
    }
    const all = [...references.values()]
    this.#selfReferences.set(table, all)
    return all
  }

  forgetColumns(table: string): void {
    this.#columns.delete(table)
  }

  clear(): void {
    this.#columns.clear()
    this.#selfReferences.clear()
  }
}
