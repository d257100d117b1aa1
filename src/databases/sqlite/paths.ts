// Scopes by paths (../paths.ts).
//
// These triggers act inside of the engine's transactions as well. They name other tables, so they have to be away when one of these is rebuilt.

import { text } from '../knows.js'
import { leadsTo, type PathScope, pathsTo } from '../paths.js'
import { quote, type Table } from '../table.js'

/** SQL for what the parent of a row has there. */
const above = (path: PathScope, row: string) =>
  `(SELECT p.${quote(path.parentColumn)} FROM ${quote(path.parent)} p WHERE ${leadsTo(path, `${row}.`, 'p.')})`

/** SQL for the value of a scope of the row that a statement writes: a path is filled afterwards. */
export function ofNew(table: Table, column: string): string {
  const path = table.paths?.find(p => p.column === column)
  return path ? above(path, 'NEW') : `NEW.${quote(column)}`
}

/** The triggers of a table for paths: its own, and those that lead to it, by name. */
export function pathTriggers(table: Table, tables: readonly Table[]): Record<string, string> {
  const [name, key] = [quote(table.name), quote(table.key)]
  const triggers: Record<string, string> = {}
  const own = table.paths ?? []
  if (own.length) {
    const fill = `UPDATE ${name} SET ${own.map(p => `${quote(p.column)} = ${above(p, 'NEW')}`).join(', ')}
      WHERE ${key} = NEW.${key} AND (${own.map(p => `${quote(p.column)} IS NOT ${above(p, 'NEW')} COLLATE BINARY`).join(' OR ')});`
    triggers.above_insert = `AFTER INSERT ON ${name}
  WHEN ${own.flatMap(p => p.references.map(c => `NEW.${quote(c)} IS NOT NULL`)).join(' OR ')} BEGIN
    ${fill}`
    triggers.above_update = `AFTER UPDATE OF ${[...new Set(own.flatMap(p => p.references.map(quote)))].join(', ')} ON ${name} BEGIN
    ${fill}`
  }
  pathsTo(table.name, tables).forEach(({ child, path }, i) => {
    const [column, value] = [quote(path.column), `NEW.${quote(path.parentColumn)}`]
    const correct = `UPDATE ${quote(child.name)} SET ${column} = ${value} WHERE ${leadsTo(path, '', 'NEW.')} AND ${column} IS NOT ${value} COLLATE BINARY;`
    const isUpstream = `EXISTS (SELECT 1 FROM sync_server WHERE collection = ${text(child.name)})`
    const lifted = `UPDATE sync_clock SET bypass = CASE WHEN ${isUpstream} THEN 1 END, horizon = CASE WHEN ${isUpstream} THEN now ELSE horizon END;
    ${correct}
    UPDATE sync_clock SET bypass = 1;`
    for (const [event, on] of [
      ['insert', 'INSERT'],
      ['update', `UPDATE OF ${quote(path.parentColumn)}`],
    ] as const) {
      const isThere = `EXISTS (SELECT 1 FROM ${quote(child.name)} x WHERE ${leadsTo(path, 'x.', 'NEW.')} AND x.${column} IS NOT ${value} COLLATE BINARY)`
      triggers[`below_${event}_${i}`] = `AFTER ${on} ON ${name}
  WHEN (SELECT bypass FROM sync_clock) IS NULL AND ${isThere} BEGIN
    ${correct}`
      triggers[`lifted_${event}_${i}`] = `AFTER ${on} ON ${name}
  WHEN (SELECT bypass FROM sync_clock) IS NOT NULL AND ${isThere} BEGIN
    ${lifted}`
    }
  })
  return triggers
}
