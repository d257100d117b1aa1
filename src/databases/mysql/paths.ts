// Scopes by paths (../paths.ts). These statements run inside of the engine's transactions as well.
//
// A trigger may not write to a table that the statement reads: one that moves parents by a condition on the rows below fails (error 1442).

import { leadsTo, type PathScope, pathsTo } from '../paths.js'
import type { Table } from '../table.js'
import { type Catalog, differs, pinned } from './catalog.js'
import { identifier, literal } from './connection.js'

type Bodies = readonly (readonly [
  event: 'BEFORE INSERT' | 'BEFORE UPDATE' | 'AFTER INSERT' | 'AFTER UPDATE',
  statements: readonly string[],
])[]

/** What a table's triggers do, bypassed or not, about its own paths and those that lead to it. */
export function pathStatements(catalog: Catalog, table: string, tables: readonly Table[]): Bodies {
  const own = tables.find(t => t.name === table)?.paths ?? []
  const columns = catalog.columns.get(table)
  /** `otherwise`: where there is no such parent. */
  const fill = (path: PathScope, otherwise = 'NULL') =>
    `SET NEW.${identifier(path.column)} = COALESCE((SELECT p.${identifier(path.parentColumn)} FROM ${identifier(path.parent)} p WHERE ${leadsTo(path, 'NEW.', 'p.', identifier)}), ${otherwise});`
  const refill = (path: PathScope) => {
    const isMoved = path.references.map(c => differs(columns?.get(c), `OLD.${identifier(c)}`, `NEW.${identifier(c)}`)).join(' OR ')
    return [`IF ${isMoved} THEN`, fill(path), 'END IF;']
  }
  const number = ({ column, references: [own], parent, parentKeys: [key], parentColumn }: PathScope) =>
    `SET NEW.${identifier(own as string)} = (SELECT p.${identifier(key as string)} FROM ${identifier(parent)} p WHERE p.${identifier(parentColumn)} = NEW.${identifier(column)});`
  /** `wrote`: SQL for «the statement has written the column». */
  const follow = (path: PathScope, wrote: (column: string) => string) => [
    `IF ${wrote(path.references[0] as string)} AND (NEW.${identifier(path.references[0] as string)} IS NOT NULL OR @sync_bypass IS NULL) THEN`,
    fill(path, `IF(@sync_bypass IS NULL, NULL, NEW.${identifier(path.column)})`),
    `ELSEIF @sync_bypass IS NOT NULL AND ${wrote(path.column)} THEN`,
    number(path),
    'END IF;',
  ]
  const changed = (column: string) => differs(columns?.get(column), `OLD.${identifier(column)}`, `NEW.${identifier(column)}`)
  const count = tables.find(t => t.name === table && t.number !== undefined)?.key
  // as an expression MariaDB would make a uuid of any other identity
  const identity = count === undefined ? [] : [`IF NEW.${identifier(count)} IS NULL THEN SET NEW.${identifier(count)} = UUID(); END IF;`]
  // a foreign key lets no child come before its parent here
  const below = pathsTo(table, tables).filter(({ path }) => !path.isIdentity)
  const correct = ({ child, path }: (typeof below)[number]) => {
    const own = catalog.columns.get(child.name)
    const [column, value] = [identifier(path.column), `NEW.${identifier(path.parentColumn)}`]
    const isBelow = `${leadsTo(path, '', 'NEW.', identifier)} AND ${differs(own?.get(path.column), column, value)}`
    return [
      'IF @sync_bypass IS NOT NULL THEN',
      `IF NOT EXISTS (SELECT 1 FROM sync_server WHERE collection = ${literal(child.name)} LOCK IN SHARE MODE) THEN`,
      'SET @sync_bypass = NULL;',
      `ELSEIF EXISTS (SELECT 1 FROM ${identifier(child.name)} WHERE ${isBelow}) THEN`,
      'UPDATE sync_clock SET horizon = now;',
      'END IF;',
      'END IF;',
      `UPDATE ${identifier(child.name)} SET ${column} = ${value}${pinned(own?.values() ?? [])} WHERE ${isBelow};`,
      'SET @sync_bypass = sync_bypassed;',
    ]
  }
  const ifMoved = (each: (typeof below)[number]) => {
    const column = identifier(each.path.parentColumn)
    return [`IF ${differs(columns?.get(each.path.parentColumn), `OLD.${column}`, `NEW.${column}`)} THEN`, ...correct(each), 'END IF;']
  }
  return [
    ['BEFORE INSERT', [...identity, ...own.flatMap(p => (p.isIdentity ? follow(p, () => 'TRUE') : fill(p)))]],
    ['BEFORE UPDATE', own.flatMap(p => (p.isIdentity ? follow(p, changed) : refill(p)))],
    ['AFTER INSERT', below.flatMap(correct)],
    ['AFTER UPDATE', below.flatMap(ifMoved)],
  ]
}
