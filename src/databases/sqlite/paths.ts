// Scopes by paths (../paths.ts).
//
// These triggers act inside of the engine's transactions as well. They name other tables, so they have to be away when one of these is rebuilt.

import { text } from '../knows.js'
import { leadsTo, type PathScope, pathsTo } from '../paths.js'
import { keysOf, quote, type Table } from '../table.js'

/** SQL for what the parent of a row has there. */
const above = (path: PathScope, row: string) =>
  `(SELECT p.${quote(path.parentColumn)} FROM ${quote(path.parent)} p WHERE ${leadsTo(path, `${row}.`, 'p.')})`

/** SQL for the value of a scope of the row that a statement writes: a path is filled afterwards. */
export function ofNew(table: Table, column: string): string {
  const path = table.paths?.find(p => p.column === column)
  return path ? above(path, 'NEW') : `NEW.${quote(column)}`
}

const BYPASSED = '(SELECT bypass FROM sync_clock) IS NOT NULL'

/** SQL for what a path of the row is to keep. What the engine wrote without a number waits for its row. */
const kept = (path: PathScope) =>
  path.isIdentity ? `coalesce(${above(path, 'NEW')}, CASE WHEN ${BYPASSED} THEN NEW.${quote(path.column)} END)` : above(path, 'NEW')

/** The triggers of a table for paths: its own, and those that lead to it, by name. */
export function pathTriggers(table: Table, tables: readonly Table[]): Record<string, string> {
  const name = quote(table.name)
  // a key that is made of identities is not there yet
  const numbers = keysOf(table).map(c => table.paths?.find(p => p.isIdentity && p.column === c)?.references[0] ?? c)
  const isRow = numbers.map(c => `${quote(c)} = NEW.${quote(c)}`).join(' AND ')
  const triggers: Record<string, string> = {}
  const own = table.paths ?? []
  if (own.length) {
    const fill = `UPDATE ${name} SET ${own.map(p => `${quote(p.column)} = ${kept(p)}`).join(', ')}
      WHERE ${isRow} AND (${own.map(p => `${quote(p.column)} IS NOT ${kept(p)} COLLATE BINARY`).join(' OR ')});`
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
    if (path.isIdentity) {
      const [own, number] = [quote(path.references[0] as string), `NEW.${quote(path.parentKeys[0] as string)}`]
      // a child that came before it
      triggers[`number_${i}`] = `AFTER INSERT ON ${name}
  WHEN ${BYPASSED} BEGIN
    UPDATE ${quote(child.name)} SET ${own} = ${number} WHERE ${column} = ${value} AND ${own} IS NOT ${number};`
    }
    const events = { insert: 'INSERT', ...(path.isIdentity ? {} : { update: `UPDATE OF ${quote(path.parentColumn)}` }) }
    for (const [event, on] of Object.entries(events)) {
      const isThere = `EXISTS (SELECT 1 FROM ${quote(child.name)} x WHERE ${leadsTo(path, 'x.', 'NEW.')} AND x.${column} IS NOT ${value} COLLATE BINARY)`
      triggers[`below_${event}_${i}`] = `AFTER ${on} ON ${name}
  WHEN (SELECT bypass FROM sync_clock) IS NULL AND ${isThere} BEGIN
    ${correct}`
      if (path.isIdentity) continue
      triggers[`lifted_${event}_${i}`] = `AFTER ${on} ON ${name}
  WHEN ${BYPASSED} AND ${isThere} BEGIN
    ${lifted}`
    }
  })
  return triggers
}
