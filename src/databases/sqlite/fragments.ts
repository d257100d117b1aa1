import type { Fragments } from '../fragments.js'
import { quote } from '../table.js'
import { idOfCells } from '../values/compositeKeys.js'

export const fragments: Fragments = {
  id: (table, alias) => `${alias}.${quote(table.key)}`,
  key: (_table, expression) => expression,
  among: (_table, alias, column) => `${alias}.${quote(column)} IN (SELECT value FROM json_each(?))`,
  amongTexts: expression => `${expression} COLLATE BINARY IN (SELECT value FROM json_each(?))`,
  list: ids => JSON.stringify([...ids]),
  text: expression => `CAST(${expression} AS TEXT)`,
  joined: idOfCells,
  size: expression => `octet_length(${expression})`,
  differs: (one, other) =>
    `(${one} IS NOT ${other} COLLATE BINARY OR (typeof(${one}) <> typeof(${other}) AND (typeof(${one}) = 'text' OR typeof(${other}) = 'text')))`,
}
