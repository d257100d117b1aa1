// What SQLite says about tables: columns, unique indexes, triggers.

import { TRIGGER_MARK } from '../knows.js'
import { holdsKey, travellingColumn, type UniqueIndex } from '../rules.js'
import { query, type Row, type Transaction } from '../statement.js'
import { quote, type Table } from '../table.js'

export interface Column {
  /** As it is declared. */
  readonly type: string
  /** SQL of its default. */
  readonly fallback: string | null
}

export function* columnsOf(name: string): Transaction<Map<string, Column>> {
  const rows = yield* query('SELECT name, type, dflt_value FROM pragma_table_xinfo(?) WHERE hidden <> 1', name)
  return new Map(rows.map(r => [String(r.name), { type: String(r.type), fallback: r.dflt_value as string | null }]))
}

export interface IndexedColumn {
  readonly name: string
  readonly collation: string
}

/** The columns of unique indexes besides the key's, as triggers need them. An index on an expression is left out: its text is not known. */
export function* indexedColumns(table: Table): Transaction<IndexedColumn[][]> {
  const rows = yield* query(
    `SELECT l.name AS index_name, i.name AS column_name, i.coll AS collation
       FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) i
      WHERE l."unique" = 1 AND i.key = 1
      ORDER BY l.name, i.seqno`,
    table.name,
  )
  return [...byIndex(rows).values()]
    .filter(own => own.every(row => row.column_name !== null))
    .map(own => own.map(row => ({ name: String(row.column_name), collation: String(row.collation) })))
    .filter(columns => columns.length > 1 || columns[0]?.name !== table.key)
}

/** Unique indexes besides the key's. Of an index on an expression, or with a condition, the text says which columns it depends on. */
export function* uniqueIndexes(table: Table): Transaction<UniqueIndex[]> {
  const rows = yield* query(
    `SELECT l.name AS index_name, l.origin AS origin, l.partial AS is_partial, i.name AS column_name, m.sql AS sql
       FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) i LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name
      WHERE l."unique" = 1 AND i.key = 1
      ORDER BY l.name, i.seqno`,
    table.name,
  )
  return [...byIndex(rows).values()].flatMap(own => {
    const plain = own.flatMap(({ column_name: name }) => (name === null ? [] : [travellingColumn(table, String(name))]))
    if (holdsKey(table, plain)) return []
    const text = String(own[0]?.sql ?? '').toLowerCase()
    const named = table.columns.filter(c => text.includes(c.toLowerCase()))
    return plain.length === own.length
      ? [{ columns: plain, others: own[0]?.is_partial ? named : [] }]
      : [{ columns: [...new Set([...plain, ...named])], others: [] }]
  })
}

function byIndex(rows: readonly Row[]): Map<string, Row[]> {
  const indexes = new Map<string, Row[]>()
  for (const row of rows) indexes.set(String(row.index_name), [...(indexes.get(String(row.index_name)) ?? []), row])
  return indexes
}

/** Our triggers by name, of one table or of all. */
export function* presentTriggers(table?: Table): Transaction<Map<string, string>> {
  const rows = yield* query(
    `SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND sql LIKE ?${table ? ' AND tbl_name = ?' : ''}`,
    `%${TRIGGER_MARK}%`,
    ...(table ? [table.name] : []),
  )
  return new Map(rows.map(row => [String(row.name), String(row.sql)]))
}

/** The application's triggers on a table, in the order in which they were made. */
export const ownTriggers = (table: Table) =>
  query(
    `SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?) AND sql NOT LIKE ? ORDER BY rowid`,
    ...[table.name, `%${TRIGGER_MARK}%`],
  )

export const dropTrigger = (name: unknown) => query(`DROP TRIGGER ${quote(String(name))}`)
