// Many rows in one statement: foreign keys are looked at when it ends, so that a parent may come after its child.

import type { RowStatements } from '../rowStatements.js'
import { query, type Rows, type Transaction } from '../statement.js'
import { nameOf, quote, type Target } from '../table.js'
import type { Catalog } from './catalog.js'
import { spell } from './spell.js'

export const rowStatements = (catalog: Catalog): RowStatements => ({
  spell: (table, columns, lists) => spell(catalog, table, columns, lists),

  insertRows: (into, columns, rows) => insertRows(catalog, into, columns, rows),

  *upsertRows(into, columns, keys, rows) {
    const names = columns.map(nameOf)
    const others = names.filter(c => !keys.includes(c))
    const update = others.length ? `UPDATE SET ${others.map(c => `${quote(c)} = excluded.${quote(c)}`).join(', ')}` : 'NOTHING'
    // a statement may touch a row once
    const places = keys.map(k => names.indexOf(k))
    const last = new Map(rows.map(row => [JSON.stringify(places.map(i => row[i])), row]))
    yield* insertRows(catalog, into, columns, [...last.values()], `ON CONFLICT (${keys.map(quote).join(', ')}) DO ${update}`)
  },

  *updateRows(table, columns, keys, rows) {
    if (!rows.length) return
    const names = columns.map(nameOf)
    const { from, cells, json } = yield* records(catalog, table, [...names, ...keys], rows)
    const assignments = names.map((c, i) => `${quote(c)} = ${cells[i]}`).join(', ')
    yield* query(`UPDATE ${quote(table)} AS x SET ${assignments} FROM ${from} WHERE ${areEqual(keys, cells.slice(names.length))}`, json)
  },

  *deleteRows(table, keys, rows) {
    if (!rows.length) return
    const { from, cells, json } = yield* records(catalog, table, keys, rows)
    yield* query(`DELETE FROM ${quote(table)} AS x USING ${from} WHERE ${areEqual(keys, cells)}`, json)
  },
})

function* insertRows(catalog: Catalog, into: string, columns: readonly Target[], rows: Rows, conflict = ''): Transaction<void> {
  if (!rows.length) return
  const names = columns.map(nameOf)
  const { from, cells, json } = yield* records(catalog, into, names, rows)
  yield* query(`INSERT INTO ${quote(into)} (${names.map(quote).join(', ')}) SELECT ${cells.join(', ')} FROM ${from} ${conflict}`, json)
}

function* records(catalog: Catalog, table: string, columns: readonly string[], rows: Rows) {
  const infos = yield* catalog.columnsOf(table)
  const json = JSON.stringify(Array.from(rows, row => Object.fromEntries(row.map((value, i) => [`c${i}`, value]))))
  return {
    from: `json_to_recordset(CAST(? AS json)) AS v(${columns.map((_, i) => `c${i} text`).join(', ')})`,
    cells: columns.map((c, i) => `CAST(v.c${i} AS ${infos.get(c)?.castType ?? 'text'})`),
    json,
  }
}

const areEqual = (keys: readonly string[], cells: readonly string[]) => keys.map((k, i) => `x.${quote(k)} = ${cells[i]}`).join(' AND ')
