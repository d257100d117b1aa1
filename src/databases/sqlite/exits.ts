// Exits: what left a scope (../exits.ts).

import { EXIT, EXIT_INDEX, type ExitIndex, type ExitSource, type ExitStatements, indexesOf, NOTE, planExitIndexes } from '../exits.js'
import { text } from '../knows.js'
import { query, type Transaction } from '../statement.js'
import { baseTableOf, quote, type Table } from '../table.js'
import { baseTable } from './bases.js'
import { NOW } from './clock.js'
import { fragments } from './fragments.js'
import { ofNew } from './paths.js'

interface Source extends ExitSource {
  readonly where: string
}

/** Writes the exits of what `source` names; `columns` are those that it knows. */
export function writeExits(table: Table, source: Source, columns = table.scopes): string {
  return `INSERT INTO ${baseTable(table)} (_sync_server, _sync_id, _sync_stamp, _sync_removed${list(columns)})
    SELECT ${EXIT}, ${source.id}, ${source.stamp}, ${source.removed}${columns.map(c => `, ${source.cell(c)}`).join('')}
      ${source.from ?? ''} WHERE ${source.where}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE SET _sync_removed = max(_sync_removed, excluded._sync_removed)`
}

const list = (columns: readonly string[]) => columns.map(c => `, ${quote(c)}`).join('')

/** SQL for «the row is in another scope». */
export const hasMoved = (columns: readonly string[], one: string, other: string) =>
  columns.map(c => fragments.differs(`${one}.${quote(c)}`, `${other}.${quote(c)}`)).join(' OR ')

/** What the triggers of a table do about exits; nothing where it has no scopes. */
export function exitStatements(table: Table) {
  const [name, key, bases, collection] = [quote(table.name), quote(table.key), baseTable(table), text(table.name)]
  const inScopes = (statements: string) => (table.scopes.length ? `\n    ${statements}` : '')
  // a new row has no value there until a trigger fills it
  const isFilled = (column: string) => (table.paths?.some(p => p.column === column) ? `OLD.${quote(column)} IS NOT NULL AND ` : '')
  const isMoved = (one: string) => table.scopes.map(c => fragments.differs(`${one}.${quote(c)}`, ofNew(table, c))).join(' OR ')
  const isGone = `NOT EXISTS (SELECT 1 FROM ${name} x WHERE x.${key} = p.id)`
  const ofOld = (removed: string) => ({ id: `OLD.${key}`, stamp: NOW, removed, cell: (c: string) => `OLD.${quote(c)}`, where: 'true' })
  return {
    removed: inScopes(`${writeExits(table, ofOld('1'))};`),
    moved: `${writeExits(table, ofOld(`OLD.${key} IS NOT NEW.${key}`))};`,
    hasMoved: `(OLD.${key} IS NOT NEW.${key} OR ${table.scopes.map(c => `(${isFilled(c)}${fragments.differs(`OLD.${quote(c)}`, `NEW.${quote(c)}`)})`).join(' OR ')})`,

    /** What a row is that the statement may be about to replace. */
    note: (taken: string) =>
      inScopes(`INSERT INTO ${bases} (_sync_server, _sync_id, _sync_stamp, _sync_removed${list(table.scopes)})
      SELECT ${NOTE}, x.${key}, 0, 1${table.scopes.map(c => `, x.${quote(c)}`).join('')} FROM ${name} x WHERE ${taken}
      ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE SET ${table.scopes.map(c => `${quote(c)} = excluded.${quote(c)}`).join(', ')};`),

    /** What was replaced: rows that are gone, and, where `isNew`, the one whose place the new row has taken. `except` is an id that is told elsewhere. */
    replaced: ({ isNew, except }: { isNew: boolean; except?: string }) => {
      const isTaken = isNew ? `(${isGone} OR (p.id = NEW.${key} AND (${isMoved('i')})))` : isGone
      const source = { id: 'p.id', stamp: NOW, removed: isGone, cell: (c: string) => `i.${quote(c)}` }
      const from = `FROM sync_replaced p JOIN ${bases} i ON i._sync_server = ${NOTE} AND i._sync_id = p.id AND i._sync_stamp = 0`
      const where = `p.collection = ${collection} AND ${isTaken}${except ? ` AND p.id IS NOT ${except}` : ''}`
      return inScopes(`${writeExits(table, { ...source, from, where })};
    DELETE FROM ${bases} WHERE _sync_server = ${NOTE}${isNew ? '' : ` AND _sync_id IS NOT NEW.${key}`};`)
    },

    /** A row that was removed is there again: where it was it has not left, and elsewhere it was not removed. */
    back: inScopes(`DELETE FROM ${bases} WHERE _sync_server = ${EXIT} AND _sync_id = NEW.${key} AND _sync_removed = 1
      AND EXISTS (SELECT 1 FROM sync_tombstone WHERE collection = ${collection} AND id = NEW.${key}) AND NOT (${isMoved(bases)});
    UPDATE ${bases} SET _sync_removed = 0 WHERE _sync_server = ${EXIT} AND _sync_id = NEW.${key} AND _sync_removed = 1
      AND EXISTS (SELECT 1 FROM sync_tombstone WHERE collection = ${collection} AND id = NEW.${key});`),
  }
}

export const exits: ExitStatements = {
  *keepExits(table, ids, stamp, isRemoval) {
    if (!ids.length) return
    const source = { id: `x.${quote(table.key)}`, stamp: '?', removed: isRemoval ? '1' : '0', cell: (c: string) => `x.${quote(c)}` }
    const from = `FROM ${quote(table.name)} x`
    const where = `x.${quote(table.key)} IN (SELECT value FROM json_each(?))`
    yield* query(writeExits(table, { ...source, from, where }), stamp, JSON.stringify(ids))
  },
}

/** The exits of rows that a migration has moved or removed; the copy is `v`. */
export function* exitsOfMigration(
  table: Table,
  copy: string,
  copied: ReadonlyMap<string, unknown>,
  ids: readonly string[],
): Transaction<void> {
  const scopes = table.scopes.filter(c => copied.has(c))
  if (!scopes.length || !ids.length) return
  const key = quote(table.key)
  const sql = writeExits(
    table,
    {
      ...{ id: `v.${key}`, stamp: `coalesce(x."_lastChange", ${NOW})`, removed: `x.${key} IS NULL`, cell: c => `v.${quote(c)}` },
      from: `FROM ${copy} v LEFT JOIN ${quote(table.name)} x ON x.${key} = v.${key}`,
      where: `v.${key} IN (SELECT value FROM json_each(?)) AND (x.${key} IS NULL OR ${hasMoved(scopes, 'v', 'x')})`,
    },
    scopes,
  )
  yield* query(sql, JSON.stringify(ids))
}

/** The indexes for exits that a table of base versions has. */
export function* exitIndexes(table: Table): Transaction<ExitIndex[]> {
  const rows = yield* query(
    `SELECT l.name AS index_name, i.name AS column_name FROM pragma_index_list(?) l, pragma_index_info(l.name) i
      WHERE l.name LIKE '${EXIT_INDEX}%' ORDER BY l.name, i.seqno`,
    baseTableOf(table),
  )
  return indexesOf(rows.map(row => [String(row.index_name), String(row.column_name)]))
}

/** Makes the indexes by which exits are read; `before`: those before the table was aligned. Where the entity has no scopes any more, the exits go. */
export function* alignExitIndexes(table: Table, before: readonly ExitIndex[]): Transaction<void> {
  const { drop, create } = planExitIndexes(table, yield* exitIndexes(table))
  for (const name of drop) yield* query(`DROP INDEX IF EXISTS ${quote(name)}`)
  for (const { name, columns } of create)
    yield* query(`CREATE INDEX ${quote(name)} ON ${baseTable(table)} (${columns.map(quote).join(', ')}) WHERE _sync_server = ${EXIT}`)
  if (before.length && !table.scopes.length) yield* query(`DELETE FROM ${baseTable(table)} WHERE _sync_server <= ${EXIT}`)
}
