// What MySQL and MariaDB say about tables: columns, foreign keys, triggers.

import { TRIGGER_MARK } from '../knows.js'
import { query, type Transaction } from '../statement.js'
import { ownName } from '../table.js'
import { identifier, literal } from './connection.js'

export interface Column {
  readonly name: string
  /** As it is declared, with its character set. */
  readonly type: string
  readonly isText: boolean
  readonly dataType: string
  readonly charset: string | null
  readonly collation: string | null
  /** SQL for its default. */
  readonly fallback: string | undefined
  readonly isGenerated: boolean
  /** ON UPDATE CURRENT_TIMESTAMP: an update that does not set it moves it. */
  readonly movesByItself: boolean
}

export type Columns = ReadonlyMap<string, Column>

export interface ForeignKey {
  readonly child: string
  readonly childColumns: readonly string[]
  readonly parent: string
  readonly parentColumns: readonly string[]
  readonly onDelete: string
  readonly onUpdate: string
}

export interface Catalog {
  readonly columns: ReadonlyMap<string, Columns>
  readonly foreignKeys: readonly ForeignKey[]
  /** Tables whose rows have stamps. */
  readonly stamped: ReadonlySet<string>
  /** Bodies of our triggers, by table and name. */
  readonly triggers: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** Tables that cannot be truncated. */
  readonly guarded: ReadonlySet<string>
}

/** The database names its constraint after it, so its name is shorter than 64. */
export const guardOf = (table: string) => ownName('sync_guard_', table, 56)

export function* columnsOf(tables: readonly string[]): Transaction<Map<string, Map<string, Column>>> {
  const rows = yield* query(
    `SELECT c.TABLE_NAME AS name, c.COLUMN_NAME AS "column", c.COLUMN_TYPE AS type, c.DATA_TYPE AS data_type, c.CHARACTER_SET_NAME AS charset,
            c.COLLATION_NAME AS collation, c.COLUMN_DEFAULT AS fallback, c.EXTRA AS extra, c.GENERATION_EXPRESSION AS expression, VERSION() AS version
       FROM information_schema.COLUMNS c
      WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME IN (?)
      ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION`,
    tables,
  )
  const found = new Map<string, Map<string, Column>>()
  for (const row of rows) {
    const table = String(row.name)
    const columns = found.get(table) ?? new Map<string, Column>()
    const [charset, collation] = [row.charset, row.collation].map(c => (c === null ? null : String(c))) as [string | null, string | null]
    const extra = String(row.extra)
    columns.set(String(row.column), {
      name: String(row.column),
      type: `${row.type}${charset === null || collation === null ? '' : ` CHARACTER SET ${charset} COLLATE ${collation}`}`,
      isText: collation !== null,
      dataType: String(row.data_type).toLowerCase(),
      charset,
      collation,
      fallback: fallbackOf(row.fallback === null ? undefined : String(row.fallback), extra, String(row.version)),
      isGenerated: Boolean(row.expression),
      movesByItself: /on update/i.test(extra),
    })
    found.set(table, columns)
  }
  return found
}

// MariaDB gives the default as SQL, MySQL its value, unless it is an expression
function fallbackOf(text: string | undefined, extra: string, version: string): string | undefined {
  if (text === undefined || /mariadb/i.test(version)) return text
  if (/DEFAULT_GENERATED/i.test(extra)) return /^(CURRENT_TIMESTAMP|NULL)/i.test(text) ? text : `(${text})`
  return /^b'[01]*'$/.test(text) ? text : literal(text)
}

/** Everything that triggers depend on. */
export function* readCatalog(tables: readonly string[]): Transaction<Catalog> {
  const foreignKeys = yield* readForeignKeys()
  const stamped = yield* query(
    `SELECT c.TABLE_NAME AS name FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = DATABASE() AND c.COLUMN_NAME = '_lastChange'`,
  )
  const guards = new Set(foreignKeys.filter(k => k.child === guardOf(k.parent)))
  const others = foreignKeys.filter(k => !guards.has(k))
  return {
    columns: yield* columnsOf([...new Set([...tables, ...others.flatMap(k => [k.child, k.parent])])]),
    foreignKeys: others,
    stamped: new Set(stamped.map(row => String(row.name))),
    triggers: yield* readTriggers(),
    guarded: new Set([...guards].map(k => k.parent)),
  }
}

function* readForeignKeys(): Transaction<ForeignKey[]> {
  const rows = yield* query(
    `SELECT k.CONSTRAINT_NAME AS name, k.TABLE_NAME AS child, k.COLUMN_NAME AS child_column, k.REFERENCED_TABLE_NAME AS parent,
            k.REFERENCED_COLUMN_NAME AS parent_column, r.DELETE_RULE AS on_delete, r.UPDATE_RULE AS on_update
       FROM information_schema.KEY_COLUMN_USAGE k
       JOIN information_schema.REFERENTIAL_CONSTRAINTS r
         ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
      WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_SCHEMA = DATABASE() AND r.CONSTRAINT_SCHEMA = DATABASE()
      ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION`,
  )
  const keys = new Map<string, ForeignKey & { childColumns: string[]; parentColumns: string[] }>()
  for (const row of rows) {
    const name = `${row.child}\n${row.name}`
    const [child, parent, onDelete, onUpdate] = [row.child, row.parent, row.on_delete, row.on_update].map(String) as [
      string,
      string,
      string,
      string,
    ]
    const key = keys.get(name) ?? { child, parent, onDelete, onUpdate, childColumns: [], parentColumns: [] }
    key.childColumns.push(String(row.child_column))
    key.parentColumns.push(String(row.parent_column))
    keys.set(name, key)
  }
  return [...keys.values()]
}

export function* readTriggers(): Transaction<Map<string, Map<string, string>>> {
  const rows = yield* query(
    `SELECT t.EVENT_OBJECT_TABLE AS "table", t.TRIGGER_NAME AS name, t.ACTION_STATEMENT AS body
       FROM information_schema.TRIGGERS t
      WHERE t.TRIGGER_SCHEMA = DATABASE() AND t.ACTION_STATEMENT LIKE '%${TRIGGER_MARK}%'`,
  )
  const triggers = new Map<string, Map<string, string>>()
  for (const row of rows) {
    const table = String(row.table)
    triggers.set(table, (triggers.get(table) ?? new Map()).set(String(row.name), String(row.body)))
  }
  return triggers
}

/** SQL for a key as an id: a text that compares bytewise. */
export const asId = (column: Column | undefined, expression: string) =>
  column?.collation === 'utf8mb4_bin' && /^(var)?char$/.test(column.dataType) ? expression : asText(expression)

export const asText = (expression: string) => `CAST(${expression} AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin`

/** SQL for an id as a value of the key column, so that the key's index serves. */
export function asKey(column: Column | undefined, expression: string): string {
  if (!column || column.collation === 'utf8mb4_bin') return expression
  if (column.dataType === 'uuid') return `CAST(${expression} AS UUID)`
  return column.isText ? `CONVERT(${expression} USING ${column.charset}) COLLATE ${column.collation}` : expression
}

/** SQL for «these two differ», whatever the collation counts as equal. */
export function differs(column: Column | undefined, one: string, other: string): string {
  if (!column?.isText) return `NOT (${one} <=> ${other})`
  const bytes = (x: string) => `CAST(CONVERT(${x} USING utf8mb4) AS BINARY)`
  return `NOT (${bytes(one)} <=> ${bytes(other)})`
}

/** SQL for the assignments by which columns that move by themselves stay as they are. */
export const pinned = (columns: Iterable<Column>, set: readonly string[] = []) =>
  [...columns]
    .filter(c => c.movesByItself && !set.includes(c.name))
    .map(c => `, ${identifier(c.name)} = ${identifier(c.name)}`)
    .join('')
