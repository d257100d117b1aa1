import { withNumbers } from '../paths.js'
import type { RowStatements } from '../rowStatements.js'
import { query, type Row, type Rows, rowsOf, type Transaction } from '../statement.js'
import { nameOf, placeholderOf, quote, type Target } from '../table.js'
import { MANY, textsFor } from './many.js'

export const rowStatements: RowStatements = {
  *insertRows(into, columns, rows) {
    const triggers = rows.length < MANY ? [] : yield* insertTriggers(into)
    for (const { name } of triggers) yield* query(`DROP TRIGGER ${quote(String(name))}`)
    const [targets, lists] = withNumbers(columns, rows)
    yield* queryMany(insertInto(into, targets), lists)
    for (const { sql } of triggers) yield* query(String(sql))
  },

  *upsertRows(into, columns, keys, rows) {
    const others = columns.map(nameOf).filter(c => !keys.includes(c))
    const update = others.length ? `UPDATE SET ${others.map(c => `${quote(c)} = excluded.${quote(c)}`).join(', ')}` : 'NOTHING'
    const onConflict = `ON CONFLICT (${keys.map(quote).join(', ')}) DO ${update}`
    const texts = yield* textsFor(into, rows)
    if (!texts || placeholderOf(columns[texts.at] as Target) !== '?')
      return yield* queryMany(`${insertInto(into, columns)} ${onConflict}`, rows)
    const names = columns.map(c => quote(nameOf(c))).join(', ')
    const cells = columns.map((c, i) => (i === texts.at ? 'k.value' : placeholderOf(c))).join(', ')
    yield* query(`INSERT INTO ${quote(into)} (${names}) SELECT ${cells} FROM json_each(?) k WHERE true ${onConflict}`, ...texts.values)
  },

  *updateRows(table, given, keys, lists) {
    const [columns, rows] = withNumbers(given, lists)
    const assignments = columns.map(c => `${quote(nameOf(c))} = ${placeholderOf(c)}`).join(', ')
    yield* queryMany(`UPDATE ${quote(table)} SET ${assignments} WHERE ${areEqual(keys)}`, rows)
  },

  *updateRowsWhere(table, given, key, condition, lists) {
    const [columns, all] = withNumbers(given, lists)
    const rows = [...all]
    const names = columns.map(c => quote(nameOf(c)))
    const assignments = columns.map((c, i) => `${names[i]} = ${placeholderOf(c)}`).join(', ')
    // the first one is the stamp, by which nothing differs
    const differs = columns.slice(1).map((c, i) => `${names[i + 1]} IS NOT ${placeholderOf(c)}`)
    const sql = `UPDATE ${quote(table)} SET ${assignments} WHERE ${quote(key)} = ? AND (${condition.sql}) AND (${differs.join(' OR ')})`
    const many = rowsOf(rows, row => [...row, ...condition.values, ...row.slice(1, -1)])
    return (yield { sql, values: [], many, counts: true }) as unknown as number[]
  },

  *deleteRows(from, keys, rows) {
    const texts = yield* textsFor(from, rows)
    if (!texts) return yield* queryMany(`DELETE FROM ${quote(from)} WHERE ${areEqual(keys)}`, rows)
    const others = keys.filter((_, i) => i !== texts.at).map(k => `${quote(k)} = ? AND `)
    const key = quote(keys[texts.at] as string)
    yield* query(`DELETE FROM ${quote(from)} WHERE ${others.join('')}${key} IN (SELECT value FROM json_each(?))`, ...texts.values)
  },
}

// A trigger that is bypassed costs a call for each row, twice what the row itself costs. Where there are many rows the triggers are dropped
// meanwhile: the transaction is one turn, so that nothing else writes without them, and its rollback brings them back.
function insertTriggers(table: string): Transaction<Row[]> {
  return query(
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? AND name IN (?, ?)",
    ...[table, `sync_insert_${table}`, `sync_replace_insert_${table}`],
  )
}

const areEqual = (keys: readonly string[]) => keys.map(k => `${quote(k)} = ?`).join(' AND ')

function insertInto(into: string, columns: readonly Target[]): string {
  return `INSERT INTO ${quote(into)} (${columns.map(c => quote(nameOf(c))).join(', ')}) VALUES (${columns.map(placeholderOf).join(', ')})`
}

/** Runs one statement for each list of values. */
function* queryMany(sql: string, many: Rows): Transaction<void> {
  if (many.length) yield { sql, values: [], many }
}
