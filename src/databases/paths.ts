// A scope by a path: what the parent of a row has there is kept in a hidden column of the row. Triggers fill it when the row comes, or gets another
// parent, and correct it when the parent moves, whoever writes, also inside of a transaction of the engine.
//
// A row that is corrected has changed for those who read from here: its own triggers stamp it and let it leave an exit, also where the engine has moved
// the parent. Not where this database syncs the rows with a server itself, for the server counts that change: who reads from here reads everything anew then.

import { quote, type Table } from './table.js'

export interface PathScope {
  /** The hidden column. */
  readonly column: string
  /** The columns of the foreign key to the parent. */
  readonly references: readonly string[]
  /** The parent's table, the columns that are referenced there, and the one that is kept; a hidden one, perhaps. */
  readonly parent: string
  readonly parentKeys: readonly string[]
  readonly parentColumn: string
}

/** SQL for «the row `child` needs the row `parent` by the path». */
export const leadsTo = ({ references, parentKeys }: PathScope, child: string, parent: string, quoted = quote) =>
  references.map((column, i) => `${child}${quoted(column)} = ${parent}${quoted(parentKeys[i] as string)}`).join(' AND ')

/** The paths that lead to a table, with the tables of the rows that they are kept in. */
export const pathsTo = (table: string, tables: readonly Table[]) =>
  tables.flatMap(child => (child.paths ?? []).filter(path => path.parent === table).map(path => ({ child, path })))
