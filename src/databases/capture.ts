import type { EntityMetadata } from 'typeorm'
import type { Transaction } from './statement.js'
import type { Table } from './table.js'

/**
 * How a table was found. `gained`: columns that it has and its base versions had not. `lostTriggers`: it was captured once, and its triggers were
 * gone, so that writes may have been missed. `gainsScope`: it was captured once, and what left one of its scopes left no exit.
 * `isNew`: it was not captured before.
 */
export type TableState =
  | { missing: 'table' }
  | { missing: 'column'; column: string }
  | { missing: undefined; gained: readonly string[]; lostTriggers: boolean; gainsScope: boolean; isNew: boolean }

/** Our own tables, and for each synced table its base versions and the triggers that capture every write (docs/how-it-works.md, «Capture is in the database»). */
export interface CaptureStatements {
  /** Throws SyncConfigurationError for synced entities whose tables share their name with others; absent where a database has but one schema. */
  checkNames?(synced: readonly EntityMetadata[]): void
  createTables(): Transaction<void>
  /** The columns of a table of this database; none where it is not there. */
  columnNames(table: string): Transaction<string[]>
  /** Brings table of base versions and triggers in line with the entity's table; `tables` are all that are synced. */
  prepareTable(table: Table, tables: readonly Table[]): Transaction<TableState>
  /** True where no trigger of these tables is missing or outdated. */
  hasTriggers(tables: readonly Table[]): Transaction<boolean>
  dropTriggers(): Transaction<void>
  /** Removes what belongs to a table that is not there any more under this name. */
  forgetTable?(table: string): Transaction<void>
}

/** Finds out what a migration changed while there were no triggers. */
export interface MigrationStatements {
  /** Copies rows before it. */
  copyRows(tables: readonly Table[]): Transaction<void>
  /** Stamps what differs from the copy, as the triggers would have done, and drops the copy. */
  stampDifferences(tables: readonly Table[]): Transaction<void>
  /** Gives rows that have no stamp one: they count as changed. */
  stampUnstamped(tables: readonly Table[]): Transaction<void>
}

/** Keeps base versions, for every server that knows them, `except` left out (law 4). */
export interface BaseStatements {
  /** Keeps the rows of these ids. */
  keepRows(table: Table, ids: readonly string[], except: number | undefined): Transaction<void>
  /** Keeps that there is no row at these ids: a tombstone, or nothing (law 10). */
  keepAbsentBases(table: Table, ids: readonly string[], except: number | undefined): Transaction<void>
}

/** Says what of a table is missing among the columns that the database has of it; undefined where nothing is. */
export function missingIn(table: Table, own: ReadonlyMap<string, unknown>): Exclude<TableState, { missing: undefined }> | undefined {
  if (own.size === 0) return { missing: 'table' }
  const column = ['_lastChange', table.key, ...table.columns].find(c => !own.has(c))
  return column === undefined ? undefined : { missing: 'column', column }
}
