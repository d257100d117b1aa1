// A migration rewrites tables while there are no triggers: what it changed is found by comparing with a copy.

import type { MigrationStatements } from '../capture.js'
import type { ClockStatements } from '../clock.js'
import { first, query, type Transaction } from '../statement.js'
import { copiesOf, quote, type Table } from '../table.js'
import { bases, keepBase } from './bases.js'
import { columnsOf } from './catalog.js'
import { NOW } from './clock.js'
import { exitsOfMigration } from './exits.js'
import { fragments } from './fragments.js'

const copyTable = (table: Table) => quote(copiesOf(table.name))

export const migrationStatements = ({ tick }: ClockStatements): MigrationStatements => ({
  *copyRows(tables) {
    for (const table of tables) {
      // a copy that is there already stems from a change that was not finished: what it holds is older, and true
      const { was = table.name } = table
      if ((yield* columnsOf(was)).has('_lastChange'))
        yield* query(`CREATE TABLE IF NOT EXISTS ${copyTable(table)} AS SELECT * FROM ${quote(was)}`)
    }
  },

  *stampDifferences(tables) {
    for (const table of tables) {
      const copied = yield* columnsOf(copiesOf(table.name))
      if (copied.size === 0) continue
      const own = yield* columnsOf(table.name)
      if (own.has('_lastChange') && own.has(table.key)) yield* stampDifferencesOf(table, copied, tick)
      yield* query(`DROP TABLE ${copyTable(table)}`)
    }
  },

  *stampUnstamped(tables) {
    let ticked = false
    for (const table of tables) {
      const unstamped = `FROM ${quote(table.name)} WHERE "_lastChange" IS NULL`
      if (!(yield* first(`SELECT 1 ${unstamped} LIMIT 1`))) continue
      if (!ticked) yield* tick()
      ticked = true
      yield* query(`DELETE FROM sync_tombstone WHERE collection = ? AND id IN (SELECT ${quote(table.key)} ${unstamped})`, table.name)
      yield* query(`UPDATE ${quote(table.name)} SET "_lastChange" = ${NOW} WHERE "_lastChange" IS NULL`)
    }
  },
})

function* stampDifferencesOf(table: Table, copied: ReadonlyMap<string, unknown>, tick: () => Transaction<number>): Transaction<void> {
  const [name, copy, key] = [quote(table.name), copyTable(table), quote(table.key)]
  // the key was renamed: which row is which cannot be known any more, so all of them count as changed
  if (!copied.has(table.key)) return void (yield* query(`UPDATE ${name} SET "_lastChange" = NULL`))
  const common = ['_lastChange', ...table.columns].filter(c => copied.has(c))
  const differs = common.map(c => fragments.differs(`x.${quote(c)}`, `v.${quote(c)}`)).join(' OR ')
  const changed = yield* idsOf(`SELECT x.${key} AS id FROM ${name} x JOIN ${copy} v ON v.${key} = x.${key} WHERE ${differs}`)
  const removed = yield* idsOf(`SELECT ${key} AS id FROM ${copy} WHERE ${key} NOT IN (SELECT ${key} FROM ${name})`)
  const added = yield* idsOf(`SELECT ${key} AS id FROM ${name} WHERE ${key} NOT IN (SELECT ${key} FROM ${copy})`)
  if (changed.length + removed.length + added.length === 0) return
  yield* tick()
  yield* keepCopied(table, copied, [...changed, ...removed])
  yield* bases.keepAbsentBases(table, added, undefined)
  yield* query(
    'DELETE FROM sync_tombstone WHERE collection = ? AND id IN (SELECT value FROM json_each(?))',
    table.name,
    JSON.stringify(added),
  )
  yield* query(
    `UPDATE ${name} SET "_lastChange" = ${NOW} WHERE ${key} IN (SELECT value FROM json_each(?))`,
    JSON.stringify([...changed, ...added]),
  )
  yield* query(
    `INSERT INTO sync_tombstone (collection, id, stamp) SELECT ?, value, ${NOW} FROM json_each(?) WHERE true
       ON CONFLICT (collection, id) DO UPDATE SET stamp = excluded.stamp`,
    table.name,
    JSON.stringify(removed),
  )
  yield* exitsOfMigration(table, copy, copied, [...changed, ...removed])
}

/** Keeps as base versions what the copy has at these ids. A column that it lacks has the value that the migration gave it. */
function* keepCopied(table: Table, copied: ReadonlyMap<string, unknown>, ids: readonly string[]): Transaction<void> {
  const [name, key] = [quote(table.name), quote(table.key)]
  const sql = keepBase(table, {
    id: `v.${key}`,
    stamp: 'v."_lastChange"',
    cell: c => (copied.has(c) ? `v.${quote(c)}` : `(SELECT x.${quote(c)} FROM ${name} x WHERE x.${key} = v.${key})`),
    from: `, ${copyTable(table)} v`,
    where: `v.${key} IN (SELECT value FROM json_each(?)) AND`,
  })
  yield* query(sql, JSON.stringify(ids))
}

function* idsOf(sql: string): Transaction<string[]> {
  return (yield* query(sql)).map(row => String(row.id))
}
