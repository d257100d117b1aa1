// Base versions: the tables that hold them, and the statements that keep them.

import type { BaseStatements } from '../capture.js'
import { isKnownOrInPushSql } from '../knows.js'
import { query, type Transaction } from '../statement.js'
import { baseTableOf, quote, type Table } from '../table.js'
import { asText, type Columns } from './catalog.js'
import { chunks } from './chunks.js'
import { identifier, literal } from './connection.js'
import { idOf } from './fragments.js'
import type { KnownTables } from './knownTables.js'
import { ID_TYPE, TABLE_OPTIONS } from './tables.js'

/** Keeps the version that `source` names as a base version, for every server that knows it. */
export function keepBase(
  table: Table,
  source: { id: string; stamp: string; cell: (column: string) => string; from?: string; where?: string; with?: string },
): string {
  const bases = identifier(baseTableOf(table))
  const columns = table.columns.map(identifier)
  // the first base version of a version is the true one
  const first = columns.map(c => `${bases}.${c} = IF(${bases}._sync_removed, VALUES(${c}), ${bases}.${c}), `)
  return `INSERT INTO ${bases} (_sync_server, _sync_id, _sync_stamp, _sync_removed${columns.map(c => `, ${c}`).join('')})
      ${source.with ?? ''}SELECT r.id, ${source.id}, ${source.stamp}, 0${table.columns.map(c => `, ${source.cell(c)}`).join('')}
        FROM sync_server r${source.from ?? ''}
        WHERE r.collection = ${literal(table.name)} AND ${source.where ?? ''}
      ${isKnownOrInPushSql(source)}
        LOCK IN SHARE MODE
      ON DUPLICATE KEY UPDATE ${first.join('')}${bases}._sync_removed = 0`
}

/** Keeps that there was no row at an id, but a tombstone or nothing, for every server that knows it: the row was created locally (law 10). */
export function keepAbsentBase(table: Table, id: string, { from = '', where = '' } = {}): string {
  return `INSERT INTO ${identifier(baseTableOf(table))} (_sync_server, _sync_id, _sync_stamp, _sync_removed)
      SELECT r.id, ${id}, coalesce(t.stamp, 0), 1
        FROM ${from}sync_server r LEFT JOIN sync_tombstone t ON t.collection = r.collection AND t.id = ${id}
        WHERE r.collection = ${literal(table.name)} AND ${where}
      ${isKnownOrInPushSql({ id, stamp: 'coalesce(t.stamp, 0)' })}
        LOCK IN SHARE MODE
      ON DUPLICATE KEY UPDATE _sync_removed = 1`
}

export const baseStatements = (tables: KnownTables): BaseStatements => ({
  *keepRows(table, ids, except = 0) {
    const sql = keepBase(table, {
      id: idOf(tables, table, 'x'),
      stamp: 'x.`_lastChange`',
      cell: c => `x.${quote(c)}`,
      from: `, ${quote(table.name)} x`,
      where: `x.${quote(table.key)} IN (?) AND r.id <> ? AND`,
    })
    for (const some of chunks(ids)) yield* query(sql, some, except)
  },

  *keepAbsentBases(table, ids, except = 0) {
    for (const some of chunks(ids)) {
      const list = some.map((_, i) => (i ? 'SELECT ?' : `SELECT ${asText('?')} AS id`)).join(' UNION ALL ')
      const sql = keepAbsentBase(table, asText('k.id'), { from: `(${list}) k CROSS JOIN `, where: 'r.id <> ? AND' })
      yield* query(sql, ...some, except)
    }
  },
})

/** Makes the table of base versions, or brings it in line with the entity's. `kept`: its columns. Gives those that are new to it. */
export function* alignBaseTable(table: Table, own: Columns, kept: Columns | undefined): Transaction<string[]> {
  const name = quote(baseTableOf(table))
  const definition = (column: string, fallback = '') => `${quote(column)} ${own.get(column)?.type} NULL${fallback}`
  if (!kept) {
    yield* query(`CREATE TABLE ${name} (
      _sync_server BIGINT NOT NULL, _sync_id ${ID_TYPE} NOT NULL, _sync_stamp BIGINT NOT NULL, _sync_removed INTEGER NOT NULL,
      ${table.columns.map(c => `${definition(c)},`).join(' ')} PRIMARY KEY (_sync_server, _sync_id, _sync_stamp)) ${TABLE_OPTIONS}`)
    return []
  }
  const hasOtherType = (column: string) => kept.get(column)?.type !== own.get(column)?.type
  if (kept.size === table.columns.length + 4 && !table.columns.some(hasOtherType)) return []
  const gained = table.columns.filter(c => !kept.has(c))
  const defaultOf = (c: string) => (own.get(c)?.fallback === undefined ? '' : ` DEFAULT ${own.get(c)?.fallback}`)
  const changes = [
    ...gained.map(c => `ADD COLUMN ${definition(c, defaultOf(c))}`),
    ...table.columns.filter(c => kept.has(c) && hasOtherType(c)).map(c => `MODIFY COLUMN ${definition(c)}`),
    ...[...kept.keys()]
      .filter(c => !/^_sync_(server|id|stamp|removed)$/.test(c) && !table.columns.includes(c))
      .map(c => `DROP COLUMN ${quote(c)}`),
  ]
  // a base version may hold what the column held before, and is cut where that does not fit any more
  yield* query("SET @sync_mode = @@sql_mode, @@SESSION.sql_mode = ''")
  try {
    yield* query(`ALTER TABLE ${name} ${changes.join(', ')}`)
  } finally {
    yield* query('SET @@SESSION.sql_mode = @sync_mode')
  }
  return gained
}
