// What foreign keys do without firing a trigger.

import type { Table } from '../table.js'
import type { Catalog } from './catalog.js'

const ACTS = new Set(['CASCADE', 'SET NULL'])

/** Does a write to the table reach synced rows by way of foreign keys? */
export function reaches(catalog: Catalog, table: string, path: readonly string[] = []): boolean {
  if (path.includes(table)) return false
  return catalog.foreignKeys.some(
    k =>
      k.parent === table &&
      k.child !== table &&
      (ACTS.has(k.onDelete) || ACTS.has(k.onUpdate)) &&
      (catalog.stamped.has(k.child) || (k.onDelete === 'CASCADE' && reaches(catalog, k.child, [...path, table]))),
  )
}

/** Tables that are not synced, whose removals remove or change rows of this one. */
export function unsyncedAncestors(catalog: Catalog, table: string, found = new Set<string>()): Set<string> {
  for (const { child, parent, onDelete, onUpdate } of catalog.foreignKeys) {
    if (child !== table || found.has(parent) || catalog.stamped.has(parent) || !(ACTS.has(onDelete) || ACTS.has(onUpdate))) continue
    found.add(parent)
    unsyncedAncestors(catalog, parent, found)
  }
  return found
}

/** Says why the database would change rows of a table without its triggers, as a sentence; undefined where it would not. */
export function unseenCascade(catalog: Catalog, table: Table['name']): string | undefined {
  return visit(table, [])

  function visit(parent: string, path: readonly string[]): string | undefined {
    const here = [...path, parent]
    for (const key of catalog.foreignKeys) {
      if (key.parent !== parent || !ACTS.has(key.onDelete)) continue
      if (key.child === parent) {
        if (key.onDelete === 'SET NULL' && catalog.stamped.has(parent))
          return (
            `${parent} references itself by ${key.childColumns.join(', ')} with ON DELETE SET NULL. MySQL and MariaDB fire no triggers for that, ` +
            'and let no trigger change its own table, so that the change would be lost; use ON DELETE RESTRICT or CASCADE.'
          )
        continue
      }
      if (!catalog.stamped.has(key.child) && !reaches(catalog, key.child)) continue
      if (here.includes(key.child))
        return (
          `a removal would come back to where it began: ${[...here, key.child].join(' → ')}. MySQL and MariaDB fire no triggers for what foreign keys do, ` +
          'and let no trigger change a table that is being changed, so that the change would be lost; use ON DELETE RESTRICT in one of these places.'
        )
      const found = key.onDelete === 'CASCADE' ? visit(key.child, here) : undefined
      if (found !== undefined) return found
    }
    return
  }
}
