// Base versions: the tables that hold them, and the statements that keep them.

import type { BaseStatements } from '../capture.js'
import { isKnownOrInPushSql, text } from '../knows.js'
import { query, type Transaction } from '../statement.js'
import { baseTableOf, quote, type Table } from '../table.js'
import { columnsOf } from './catalog.js'

export const baseTable = (table: Table) => quote(baseTableOf(table))

/**
 * Keeps the version that `source` names as a base version, for every server that knows it. The first one of a row is the true one: an application's
 * trigger may have changed the row once more since.
 */
export function keepBase(
  table: Table,
  source: { id: string; stamp: string; cell: (column: string) => string; from?: string; where?: string },
): string {
  const columns = table.columns.map(quote)
  return `INSERT INTO ${baseTable(table)} (_sync_server, _sync_id, _sync_stamp, _sync_removed${columns.map(c => `, ${c}`).join('')})
    SELECT r.id, ${source.id}, ${source.stamp}, 0${table.columns.map(c => `, ${source.cell(c)}`).join('')}
      FROM sync_server r${source.from ?? ''}
      WHERE r.collection = ${text(table.name)} AND ${source.where ?? ''}
      ${isKnownOrInPushSql(source)}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE
      SET _sync_removed = 0${columns.map(c => `, ${c} = excluded.${c}`).join('')}
      WHERE _sync_removed`
}

/** Keeps that there was no row at an id, but a tombstone or nothing, for every server that knows it: the row was created locally (law 10). */
export function keepAbsentBase(table: Table, id: string, { from = '', where = '' } = {}): string {
  return `INSERT INTO ${baseTable(table)} (_sync_server, _sync_id, _sync_stamp, _sync_removed)
    SELECT r.id, ${id}, coalesce(t.stamp, 0), 1
      FROM ${from}sync_server r LEFT JOIN sync_tombstone t ON t.collection = r.collection AND t.id = ${id}
      WHERE r.collection = ${text(table.name)} AND ${where}
      ${isKnownOrInPushSql({ id, stamp: 'coalesce(t.stamp, 0)' })}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE SET _sync_removed = 1`
}

export const bases: BaseStatements = {
  *keepRows(table, ids, except = 0) {
    if (!ids.length) return
    const sql = keepBase(table, {
      id: `x.${quote(table.key)}`,
      stamp: 'x."_lastChange"',
      cell: c => `x.${quote(c)}`,
      from: `, ${quote(table.name)} x`,
      where: `x.${quote(table.key)} IN (SELECT value FROM json_each(?)) AND r.id <> ? AND`,
    })
    yield* query(sql, JSON.stringify(ids), except)
  },

  *keepAbsentBases(table, ids, except = 0) {
    if (!ids.length) return
    const sql = keepAbsentBase(table, 'k.value', { from: 'json_each(?) k, ', where: 'r.id <> ? AND' })
    yield* query(sql, JSON.stringify(ids), except)
  },
}

/** Has the table of base versions the columns of the entity's table? */
export function* isBaseTableAligned(table: Table): Transaction<boolean> {
  const own = yield* columnsOf(table.name)
  const kept = yield* columnsOf(baseTableOf(table))
  return table.columns.every(c => kept.get(c)?.type === own.get(c)?.type) && kept.size === table.columns.length + 4
}

/** Makes the table of base versions, or makes it anew with the columns that the entity's table has now. Gives those that are new to it. */
export function* alignBaseTable(table: Table): Transaction<string[]> {
  const own = yield* columnsOf(table.name)
  const kept = yield* columnsOf(baseTableOf(table))
  const columns = table.columns.map(c => {
    const { type = '', fallback = null } = own.get(c) ?? {}
    return `${quote(c)} ${type}${fallback === null ? '' : ` DEFAULT ${/^[\w'.+-]+$/.test(fallback) ? fallback : `(${fallback})`}`}`
  })
  if (kept.size > 0) yield* query(`ALTER TABLE ${baseTable(table)} RENAME TO sync_outdated`)
  yield* query(`CREATE TABLE ${baseTable(table)} (
    _sync_server INTEGER NOT NULL, _sync_id TEXT NOT NULL, _sync_stamp INTEGER NOT NULL, _sync_removed INTEGER NOT NULL,
    ${columns.map(c => `${c},`).join(' ')} PRIMARY KEY (_sync_server, _sync_id, _sync_stamp)) WITHOUT ROWID`)
  if (kept.size === 0) return []
  const common = ['_sync_server', '_sync_id', '_sync_stamp', '_sync_removed', ...table.columns.filter(c => kept.has(c)).map(quote)]
  yield* query(`INSERT INTO ${baseTable(table)} (${common.join(', ')}) SELECT ${common.join(', ')} FROM sync_outdated`)
  yield* query('DROP TABLE sync_outdated')
  return table.columns.filter(c => !kept.has(c))
}
