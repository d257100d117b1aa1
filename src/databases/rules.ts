import type { Transaction } from './statement.js'
import type { Table } from './table.js'

/** A unique index, by database names of columns. */
export interface UniqueIndex {
  /** What has to differ from row to row. Where an expression is indexed, what it is made of. */
  readonly columns: readonly string[]
  /** By these a row may enter the index or leave it as well: those of a condition, or of what follows from other columns. */
  readonly others: readonly string[]
}

/** Is it the index of the key, or of more than that? No other row can have its place. */
export const holdsKey = (table: Table, columns: readonly string[]) =>
  columns.includes(table.key) ||
  (table.number !== undefined && columns.includes(table.number)) ||
  (table.parts?.every(part => columns.includes(part)) ?? false)

/** The column of the identity, of one that holds numbers. */
export const travellingColumn = ({ paths }: Table, column: string) =>
  paths?.find(p => p.isIdentity && p.references[0] === column)?.column ?? column

/** The rules of the application that a write meets: constraints, and triggers that are not ours. */
export interface RuleStatements {
  /** Unique indexes besides the key's. */
  uniqueIndexes(table: Table): Transaction<UniqueIndex[]>
  /** Foreign keys that can be looked at later are looked at later, or again at once. */
  deferConstraints(isDeferred: boolean): Transaction<void>
  /** Looks at what would be looked at when the transaction ends: throws ConstraintError. Absent where `checkConstraints` has to ask. */
  checkConstraints?(): Transaction<void>
  /** Does a row read back as it was written (`canonical` of each column)? Not where a trigger, or the database itself, may change it. */
  keepsValues(table: Table): Transaction<boolean>
  /** May something of the application's (a trigger, a rule, a policy) skip a write to the table without an error? */
  maySkip(table: Table): Transaction<boolean>
  /** May triggers of the application's change a row that is stored in the table? */
  mayChange(table: Table): Transaction<boolean>
  /** Runs a body while the application's triggers on the table are off. Absent where they cannot be. Throws ConstraintError where they may not. */
  pastTriggers?(table: Table, body: () => Transaction<void>): Transaction<void>
}
