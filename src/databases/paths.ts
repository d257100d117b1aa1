// A scope by a path: what the parent of a row has there is kept in a hidden column of the row. Triggers fill it when the row comes, or gets another
// parent, and correct it when the parent moves, whoever writes, also inside of a transaction of the engine.
//
// A row that is corrected has changed for those who read from here: its own triggers stamp it and let it leave an exit, also where the engine has moved
// the parent. Not where this database syncs the rows with a server itself, for the server counts that change: who reads from here reads everything anew then.

import type { Rows } from './statement.js'
import { quote, type Table, type Target } from './table.js'

export interface PathScope {
  /** The hidden column. */
  readonly column: string
  /** The columns of the foreign key to the parent. */
  readonly references: readonly string[]
  /** The parent's table, the columns that are referenced there, and the one that is kept; a hidden one, perhaps. */
  readonly parent: string
  readonly parentKeys: readonly string[]
  readonly parentColumn: string
  /**
   * What is kept is the parent's identity (values/identities.ts), which travels for the number that the row refers by. What the engine stores there sets the
   * number: each follows from the one that was written.
   */
  readonly isIdentity?: boolean
}

/** SQL for «the row `child` needs the row `parent` by the path». */
export const leadsTo = (
  { references, parentKeys }: Pick<PathScope, 'references' | 'parentKeys'>,
  child: string,
  parent: string,
  quoted = quote,
) => references.map((column, i) => `${child}${quoted(column)} = ${parent}${quoted(parentKeys[i] as string)}`).join(' AND ')

/** The paths that lead to a table, with the tables of the rows that they are kept in. */
export const pathsTo = (table: string, tables: readonly Table[]) =>
  tables.flatMap(child => (child.paths ?? []).filter(path => path.parent === table).map(path => ({ child, path })))

/** SQL for the number of the row with this identity. */
export const numberOf = ({ parent, parentKeys: [key], parentColumn }: PathScope, identity: string) =>
  `(SELECT p.${quote(key as string)} FROM ${quote(parent)} p WHERE p.${quote(parentColumn)} = ${identity})`

/**
 * Columns and rows to be written, with the numbers of references by identity: on some databases no trigger sets these before constraints are looked at.
 * What stands in a row behind the columns stays there. `isMeant`: others are left to triggers.
 */
export function withNumbers(
  columns: readonly Target[],
  rows: Rows,
  isMeant: (path: PathScope) => boolean = () => true,
): [columns: readonly Target[], rows: Rows] {
  const paths = columns.flatMap((c, i) => (typeof c === 'object' && c.reference && isMeant(c.reference) ? [{ i, path: c.reference }] : []))
  if (!paths.length) return [columns, rows]
  const numbers = paths.map(({ path }) => ({ column: path.references[0] as string, placeholder: numberOf(path, '?') }))
  const lists = function* () {
    for (const row of rows) yield [...row.slice(0, columns.length), ...paths.map(({ i }) => row[i]), ...row.slice(columns.length)]
  }
  return [[...columns, ...numbers], { length: rows.length, [Symbol.iterator]: lists }]
}
