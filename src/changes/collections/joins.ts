// Foreign keys in statements.

import { type Database, leadsTo, quote } from '../../databases/database.js'
import type { Reference } from './collection.js'

/** «The row x needs the row p.» */
export const needs = ({ childColumns, parentColumns }: Reference): string =>
  leadsTo({ references: childColumns, parentKeys: parentColumns }, 'x.', 'p.')

/** The key of the row that a row needs, as text. */
export const neededKey = (database: Database, { childColumns }: Reference, alias: string): string => keyText(database, alias, childColumns)

/** The key by which others refer to a row of the parent, as text, and «it is one of these», with one parameter, which `list` makes. */
export function ownKey(database: Database, reference: Reference, alias: string): { text: string; isAmong: string } {
  const { parent, parentTable, parentColumns, isByKey } = reference
  const text = keyText(database, alias, parentColumns)
  const column = parent && isByKey ? parent.table.key : parentColumns.length < 2 ? parentColumns[0] : undefined
  return { text, isAmong: column === undefined ? database.amongTexts(text) : database.among(parentTable, alias, column) }
}

function keyText(database: Database, alias: string, columns: readonly string[]): string {
  const cells = columns.map(column => `${alias}.${quote(column)}`)
  return database.text(cells.length < 2 ? (cells[0] as string) : database.joined(cells))
}
