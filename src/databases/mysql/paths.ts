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
  const fill = (path: PathScope) =>
    `SET NEW.${identifier(path.column)} = (SELECT p.${identifier(path.parentColumn)} FROM ${identifier(path.parent)} p WHERE ${leadsTo(path, 'NEW.', 'p.', identifier)});`
  const refill = (path: PathScope) => {
    const isMoved = path.references.map(c => differs(columns?.get(c), `OLD.${identifier(c)}`, `NEW.${identifier(c)}`)).join(' OR ')
    return [`IF ${isMoved} THEN`, fill(path), 'END IF;']
  }
  const below = pathsTo(table, tables)
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
    ['BEFORE INSERT', own.map(fill)],
    ['BEFORE UPDATE', own.flatMap(refill)],
    ['AFTER INSERT', below.flatMap(correct)],
    ['AFTER UPDATE', below.flatMap(ifMoved)],
  ]
}
