// What PostgreSQL says about tables.

import { query, type Transaction } from '../statement.js'
import { TRIGGER_MARK } from './triggerMark.js'

/**
 * SQL for the table of a name in the schemas of a data source (schemas.ts), its own first; null where they have none. Our tables are in its own
 * alone: another one may have a change log, with the same names.
 */
export const classOf = (name: string) => `(SELECT t.class
      FROM (SELECT CAST(${name} AS text)) n(name), unnest(CAST(current_setting('typeorm_sync.schemas') AS text[])) WITH ORDINALITY s(name, place),
           LATERAL (SELECT to_regclass(quote_ident(s.name) || '.' || quote_ident(n.name))) t(class)
     WHERE t.class IS NOT NULL AND (s.place = 1 OR NOT starts_with(n.name, 'sync_')) ORDER BY s.place LIMIT 1)`

/** SQL for a text that differs from schema to schema of a database. */
export const SUFFIX = 'substr(md5(current_schema()), 1, 8)'

/** A column as the catalog knows it. */
export interface ColumnInfo {
  /** Its type without length: a value that is cast to the full one would be cut off in silence. */
  readonly castType: string
  /** An enum, or a list of them. */
  readonly isEnum: boolean
  /** Its collation, qualified, where the type has one. */
  readonly collation: string | undefined
  /** The type of a base version of it, and its collation. A migration replaces enum types, and could not drop one that another table uses. */
  readonly baseType: string
  readonly baseCollation: string | undefined
  /** SQL of its default. */
  readonly fallback: string | null
}

export type Columns = ReadonlyMap<string, ColumnInfo>

/** The type of a base version's column, with its collation. */
export const typeWithCollation = ({ baseType, baseCollation }: ColumnInfo) =>
  baseCollation === undefined ? baseType : `${baseType} COLLATE ${baseCollation}`

/** The columns of tables, as they were read last. */
export class Catalog {
  readonly #tables = new Map<string, Columns>()

  /** What is known of a table; undefined where it was not read. */
  known(table: string): Columns | undefined {
    return this.#tables.get(table)
  }

  /** The columns of a table, in their order; none where there is no such table. */
  *columnsOf(table: string): Transaction<Columns> {
    let columns = this.#tables.get(table)
    if (!columns) {
      columns = yield* readColumns(table)
      if (columns.size) this.#tables.set(table, columns)
    }
    return columns
  }

  /** Reads them anew. */
  *columnsNow(table: string): Transaction<Columns> {
    this.forget(table)
    return yield* this.columnsOf(table)
  }

  forget(table: string): void {
    this.#tables.delete(table)
  }

  clear(): void {
    this.#tables.clear()
  }
}

function* readColumns(table: string): Transaction<Map<string, ColumnInfo>> {
  const rows = yield* query(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(a.atttypid, -1) AS cast_type,
            coalesce(e.typtype, t.typtype) = 'e' AS is_enum,
            quote_ident(cn.nspname) || '.' || quote_ident(co.collname) AS collation, pg_get_expr(d.adbin, d.adrelid) AS fallback
       FROM pg_attribute a
       JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
       LEFT JOIN pg_collation co ON co.oid = a.attcollation
       LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
      WHERE a.attrelid = ${classOf('?')} AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY a.attnum`,
    table,
  )
  return new Map(
    rows.map(row => {
      const collation = row.collation === null ? undefined : String(row.collation)
      const isEnum = row.is_enum === true
      const baseType = isEnum ? 'text' : String(row.type)
      const baseCollation = isEnum ? 'pg_catalog."default"' : collation
      const castType = String(row.cast_type)
      return [String(row.name), { castType, collation, isEnum, baseType, baseCollation, fallback: row.fallback as string | null }]
    }),
  )
}

/** The application's triggers on a table that are switched on. */
export const ownTriggers = (table: string) =>
  query(
    `SELECT g.tgname AS trigger, g.tgenabled AS enabled FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
      WHERE g.tgrelid = ${classOf('?')} AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND p.prosrc NOT LIKE ?`,
    ...[table, `${TRIGGER_MARK}%`],
  )
