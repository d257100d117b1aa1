import type { Fragments } from '../fragments.js'
import { first } from '../statement.js'
import { quote, type Table } from '../table.js'
import { idOfCells } from '../values/compositeKeys.js'
import type { Catalog } from './catalog.js'

const asText = (expression: string) => `(CAST(${expression} AS text) COLLATE "C")`

/** SQL for the key of a row as an id. */
export const idOf = (table: Table, alias: string) => asText(`${alias}.${quote(table.key)}`)

// Types whose own comparison does for ids.
const COMPARED = /^(text|character varying|bpchar|character|uuid|smallint|integer|bigint)$/

export const fragmentsOf = (catalog: Catalog): Fragments => ({
  id: idOf,

  key(table, expression) {
    const { castType, collation } = catalog.known(table.name)?.get(table.key) ?? {}
    if (collation) return `${expression} COLLATE ${collation}`
    return castType && castType !== 'text' ? `CAST(${expression} AS ${castType})` : expression
  },

  // the parameter is of the column's own type
  among(table, alias, column) {
    const info = catalog.known(table)?.get(column)
    return !info || COMPARED.test(info.castType)
      ? `${alias}.${quote(column)} = ANY(?)`
      : `CAST(${alias}.${quote(column)} AS text) = ANY(CAST(? AS text[]))`
  },

  amongTexts: expression => `${asText(expression)} = ANY(CAST(? AS text[]))`,
  list: ids => [...ids],
  text: asText,
  joined: idOfCells,
  size: sizeOf,

  *opening() {
    const row = yield* first("SELECT current_setting('search_path') AS path")
    return `SET search_path TO ${row?.path}`
  },

  differs: (one, other) => `CAST(${one} AS text) COLLATE "C" IS DISTINCT FROM CAST(${other} AS text) COLLATE "C"`,
})

// The lengths of texts and bytes are known without fetching the value, and so is that of another type, unless it is compressed.
const sizeOf = (expression: string, declared: string) =>
  /^(text|varchar|character|char|citext|bytea)(?!.* array$)/i.test(declared)
    ? `octet_length(${expression})`
    : `CASE WHEN pg_column_compression(${expression}) IS NULL THEN pg_column_size(${expression}) ELSE octet_length(CAST(${expression} AS text)) END`
