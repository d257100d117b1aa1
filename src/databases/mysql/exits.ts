// Exits: what left a scope (../exits.ts).

import { EXIT, EXIT_INDEX, type ExitIndex, type ExitSource, type ExitStatements, indexesOf, planExitIndexes } from '../exits.js'
import { query, type Transaction } from '../statement.js'
import { baseTableOf, quote, type Table } from '../table.js'
import { type Columns, differs } from './catalog.js'
import { chunks } from './chunks.js'
import { identifier, literal } from './connection.js'
import { idOf } from './fragments.js'
import type { KnownTables } from './knownTables.js'

interface Source extends ExitSource {
  readonly with?: string
}

/** Writes the exits of what `source` names; `columns` are those that it knows. */
export function writeExits(table: Table, source: Source, columns = table.scopes): string {
  const bases = identifier(baseTableOf(table))
  return `INSERT INTO ${bases} (_sync_server, _sync_id, _sync_stamp, _sync_removed${columns.map(c => `, ${identifier(c)}`).join('')})
        ${source.with ?? ''}SELECT ${EXIT}, ${source.id}, ${source.stamp}, ${source.removed}${columns.map(c => `, ${source.cell(c)}`).join('')}${source.from ?? ''}
        ON DUPLICATE KEY UPDATE _sync_removed = GREATEST(${bases}._sync_removed, VALUES(_sync_removed))`
}

/** SQL for «the row is in another scope». */
export const hasMoved = (columns: readonly string[], own: Columns | undefined, one: string, other: string) =>
  columns.map(c => differs(own?.get(c), `${one}.${identifier(c)}`, `${other}.${identifier(c)}`)).join(' OR ')

/** A row that was removed is there again: where it was it has not left, and elsewhere it was not removed. */
export function liftExits(table: Table, own: Columns | undefined, id: string): string[] {
  if (!table.scopes.length) return []
  const bases = identifier(baseTableOf(table))
  const isExit = `_sync_server = ${EXIT} AND _sync_id = ${id} AND _sync_removed = 1`
  return [
    `IF EXISTS (SELECT 1 FROM sync_tombstone WHERE collection = ${literal(table.name)} AND id = ${id} LOCK IN SHARE MODE) THEN`,
    `DELETE FROM ${bases} WHERE ${isExit} AND NOT (${hasMoved(table.scopes, own, bases, 'NEW')});`,
    `UPDATE ${bases} SET _sync_removed = 0 WHERE ${isExit};`,
    'END IF;',
  ]
}

export const exitStatements = (tables: KnownTables): ExitStatements => ({
  *keepExits(table, ids, stamp, isRemoval) {
    const source = { id: idOf(tables, table, 'x'), stamp: '?', removed: isRemoval ? '1' : '0', cell: (c: string) => `x.${quote(c)}` }
    const sql = writeExits(table, { ...source, from: ` FROM ${quote(table.name)} x WHERE x.${quote(table.key)} IN (?)` })
    for (const some of chunks(ids)) yield* query(sql, stamp, some)
  },
})

/** The indexes for exits that a table of base versions has. */
export function* exitIndexes(table: Table): Transaction<ExitIndex[]> {
  const rows = yield* query(
    `SELECT s.INDEX_NAME AS name, s.COLUMN_NAME AS "column" FROM information_schema.STATISTICS s
      WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = ? AND s.INDEX_NAME LIKE '${EXIT_INDEX.replaceAll('_', '\\\\_')}%'
      ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX`,
    baseTableOf(table),
  )
  return indexesOf(rows.map(row => [String(row.name), String(row.column)]))
}

/** Makes the indexes by which exits are read; `before`: those before the table was aligned. Where the entity has no scopes any more, the exits go. */
export function* alignExitIndexes(table: Table, before: readonly ExitIndex[]): Transaction<void> {
  const bases = quote(baseTableOf(table))
  const { drop, create } = planExitIndexes(table, yield* exitIndexes(table), ['_sync_server'])
  for (const name of drop) yield* query(`DROP INDEX ${quote(name)} ON ${bases}`)
  for (const { name, columns } of create) yield* query(`CREATE INDEX ${quote(name)} ON ${bases} (${columns.map(quote).join(', ')})`)
  if (before.length && !table.scopes.length) yield* query(`DELETE FROM ${bases} WHERE _sync_server = ${EXIT}`)
}
