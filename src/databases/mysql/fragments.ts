import type { Fragments } from '../fragments.js'
import { quote, type Table } from '../table.js'
import { idOfMysqlCells } from '../values/compositeKeys.js'
import { asId, asKey, asText, pinned } from './catalog.js'
import { textOf } from './connection.js'
import type { KnownTables } from './knownTables.js'

const keyOf = (tables: KnownTables, table: Table) => tables.known(table.name)?.get(table.key)

/** SQL for the key of a row as an id. */
export const idOf = (tables: KnownTables, table: Table, alias: string) => asId(keyOf(tables, table), `${alias}.${quote(table.key)}`)

export const fragmentsOf = (tables: KnownTables): Fragments => ({
  id: (table, alias) => idOf(tables, table, alias),
  key: (table, expression) => asKey(keyOf(tables, table), expression),
  among: (_table, alias, column) => `${alias}.${quote(column)} IN (?)`,
  amongTexts: expression => `${asText(expression)} IN (?)`,
  list: ids => [...ids],
  text: asText,
  joined: idOfMysqlCells,
  size: expression => `LENGTH(${expression})`,
  differs: (one, other) => `NOT (CAST(${one} AS BINARY) <=> CAST(${other} AS BINARY))`,
  pins: table => pinned(tables.known(table.name)?.values() ?? []),
  newIdentity: 'UUID()',
  cutsPages: true,
  textOf,
})
