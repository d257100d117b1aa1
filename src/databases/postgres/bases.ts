// Base versions: the tables that hold them, and the statements that keep them.

import type { BaseStatements } from '../capture.js'
import { isKnownOrInPushSql, text } from '../knows.js'
import { query, savepoint, type Transaction } from '../statement.js'
import { baseTableOf, quote, type Table } from '../table.js'
import { type Catalog, type ColumnInfo, type Columns, typeWithCollation } from './catalog.js'
import { codeOf } from './errors.js'
import { idOf } from './fragments.js'

/** Keeps the version that `source` names as a base version, for every server that knows it. */
export function keepBase(
  table: Table,
  source: { id: string; stamp: string; cell: (column: string) => string; from: string; where?: string },
): string {
  const columns = table.columns.map(quote)
  return `INSERT INTO ${quote(baseTableOf(table))} AS i (_sync_server, _sync_id, _sync_stamp, _sync_removed${columns.map(c => `, ${c}`).join('')})
    SELECT r.id, ${source.id}, ${source.stamp}, 0${table.columns.map(c => `, ${source.cell(c)}`).join('')}
      FROM sync_server r CROSS JOIN ${source.from}
      WHERE r.collection = ${text(table.name)} AND ${source.where ?? ''}
      ${isKnownOrInPushSql(source)}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE
      SET _sync_removed = 0${columns.map(c => `, ${c} = excluded.${c}`).join('')}
      WHERE i._sync_removed = 1`
}

/** Keeps that there was no row at an id, but a tombstone or nothing, for every server that knows it: the row was created locally (law 10). */
export function keepAbsentBase(table: Table, id: string, from: string, where = ''): string {
  return `INSERT INTO ${quote(baseTableOf(table))} (_sync_server, _sync_id, _sync_stamp, _sync_removed)
    SELECT r.id, ${id}, coalesce(t.stamp, 0), 1
      FROM sync_server r CROSS JOIN ${from} LEFT JOIN sync_tombstone t ON t.collection = r.collection AND t.id = ${id}
      WHERE r.collection = ${text(table.name)} AND ${where}
      ${isKnownOrInPushSql({ id, stamp: 'coalesce(t.stamp, 0)' })}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE SET _sync_removed = 1`
}

export const baseStatements: BaseStatements = {
  *keepRows(table, ids, except = 0) {
    if (!ids.length) return
    const sql = keepBase(table, {
      id: idOf(table, 'x'),
      stamp: 'x."_lastChange"',
      cell: c => `x.${quote(c)}`,
      from: `${quote(table.name)} x`,
      where: `x.${quote(table.key)} = ANY(?) AND r.id <> ? AND`,
    })
    yield* query(sql, ids, except)
  },

  *keepAbsentBases(table, ids, except = 0) {
    if (!ids.length) return
    const sql = keepAbsentBase(table, '(k.id COLLATE "C")', 'unnest(CAST(? AS text[])) AS k(id)', 'r.id <> ? AND')
    yield* query(sql, ids, except)
  },
}

/** Makes the table of base versions, or brings it in line with the entity's. Gives the columns that are new to it, and whether it is new itself. */
export function* alignBaseTable(catalog: Catalog, table: Table, own: Columns): Transaction<{ gained: string[]; isNew: boolean }> {
  const bases = quote(baseTableOf(table))
  const kept = yield* catalog.columnsNow(baseTableOf(table))
  catalog.forget(baseTableOf(table))
  if (kept.size === 0) {
    const columns = table.columns.map(c => `${quote(c)} ${typeWithCollation(own.get(c) as ColumnInfo)},`)
    yield* query(`CREATE TABLE ${bases} (
      _sync_server BIGINT NOT NULL, _sync_id TEXT COLLATE "C" NOT NULL, _sync_stamp BIGINT NOT NULL, _sync_removed SMALLINT NOT NULL,
      ${columns.join(' ')} PRIMARY KEY (_sync_server, _sync_id, _sync_stamp))`)
    return { gained: [], isNew: true }
  }
  const gained: string[] = []
  for (const column of kept.keys())
    if (!/^_sync_(server|id|stamp|removed)$/.test(column) && !table.columns.includes(column)) yield* dropColumn(bases, column)
  for (const column of table.columns) {
    const [info, known] = [own.get(column) as ColumnInfo, kept.get(column)]
    // a local migration may have given it an enum type, which could not be dropped then
    if (known && !known.isEnum && typeWithCollation(known) === typeWithCollation(info)) continue
    if (known && (yield* hasNewType(bases, column, info))) continue
    if (known) yield* dropColumn(bases, column)
    yield* addBaseColumn(bases, column, info)
    gained.push(column)
  }
  return { gained, isNew: false }
}

const dropColumn = (bases: string, column: string) => query(`ALTER TABLE ${bases} DROP COLUMN ${quote(column)}`)

// False where the values that are there cannot be of the new type.
function* hasNewType(bases: string, column: string, info: ColumnInfo): Transaction<boolean> {
  try {
    yield* savepoint(() =>
      query(
        `ALTER TABLE ${bases} ALTER COLUMN ${quote(column)} TYPE ${typeWithCollation(info)}
           USING CAST(CAST(${quote(column)} AS text) AS ${info.baseType})`,
      ),
    )
    return true
  } catch (error) {
    if (!isOfTypes(error)) throw error
    return false
  }
}

// The rows that were there before the column got its default with it, and so do their base versions; a sequence has none for them.
function* addBaseColumn(bases: string, column: string, info: ColumnInfo): Transaction<void> {
  const { baseType, fallback } = info
  const given = fallback === null || /nextval\(/.test(fallback) ? undefined : `CAST((${fallback}) AS ${baseType})`
  yield* query(`ALTER TABLE ${bases} ADD COLUMN ${quote(column)} ${typeWithCollation(info)}${given ? ` DEFAULT ${given}` : ''}`)
  if (given) yield* query(`ALTER TABLE ${bases} ALTER COLUMN ${quote(column)} DROP DEFAULT`)
}

/** A value, or a type, that cannot become another one. */
export const isOfTypes = (error: unknown) => /^(22|42)/.test(codeOf(error))
