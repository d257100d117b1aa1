// What waits, and what was decided, is kept as it travels: it moves along where a migration has renamed a property with its column.

import { query, type Transaction } from '../../databases/database.js'

/** Properties of a collection by their new names, by those of the last set-up. `before` and `now` are columns by property, `renamed` columns by former ones. */
export function movedProperties(
  before: Readonly<Record<string, string>>,
  now: ReadonlyMap<string, string>,
  renamed: ReadonlyMap<string, string>,
): Map<string, string> {
  const moved = new Map<string, string>()
  for (const [property, column] of Object.entries(before)) {
    if (now.has(property)) continue
    const own = renamed.get(column) ?? column
    const after = [...now].find(([name, its]) => its === own && before[name] === undefined)
    if (after) moved.set(property, after[0])
  }
  return moved
}

const OF_COLLECTION = 'server IN (SELECT s.id FROM sync_server s WHERE s.collection = ?)'

/** Tables that hold rows as JSON: their columns, what names a row of theirs, and which are of a collection. */
const ROWS = [
  { table: 'sync_unapplied', cells: ['remote'], key: ['server', 'id'], where: OF_COLLECTION },
  { table: 'sync_no_access', cells: ['local', 'base'], key: ['server', 'id'], where: OF_COLLECTION },
  { table: 'sync_resolution', cells: ['base', 'local', 'remote', 'decision'], key: ['id'], where: 'collection = ?' },
]

export function* moveProperties(collection: string, moved: ReadonlyMap<string, string>): Transaction<void> {
  if (!moved.size) return
  for (const table of ['sync_ignored', 'sync_rejection'])
    for (const [from, to] of moved)
      yield* query(`UPDATE ${table} SET property = ? WHERE property = ? AND ${OF_COLLECTION}`, to, from, collection)
  for (const { table, cells, key, where } of ROWS) {
    for (const row of yield* query(`SELECT ${[...key, ...cells].join(', ')} FROM ${table} WHERE ${where}`, collection)) {
      const texts = cells.map(cell => withMoved(row[cell] as string | null, moved))
      yield* query(
        `UPDATE ${table} SET ${cells.map(cell => `${cell} = ?`).join(', ')} WHERE ${key.map(name => `${name} = ?`).join(' AND ')}`,
        ...[...texts, ...key.map(name => row[name])],
      )
    }
  }
}

function withMoved(text: string | null, moved: ReadonlyMap<string, string>): string | null {
  const row: unknown = text === null ? null : JSON.parse(text)
  if (typeof row !== 'object' || row === null) return text
  return JSON.stringify(Object.fromEntries(Object.entries(row).map(([name, value]) => [moved.get(name) ?? name, value])))
}
