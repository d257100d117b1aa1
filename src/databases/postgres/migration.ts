// A migration writes rows of another shape than the triggers know: what it changed is found by comparing with a copy. What others write meanwhile
// differs from the copy as well.

import type { MigrationStatements } from '../capture.js'
import type { ClockStatements } from '../clock.js'
import { first, query, savepoint, type Transaction } from '../statement.js'
import { copiesOf, quote, type Table } from '../table.js'
import { baseStatements, isOfTypes, keepBase } from './bases.js'
import { dropAllTriggers } from './capture.js'
import { type Catalog, type ColumnInfo, type Columns, typeWithCollation } from './catalog.js'
import { NOW } from './clock.js'
import { exitsOfMigration } from './exits.js'
import { idOf } from './fragments.js'
import { presentTriggers } from './present.js'
import { addFormerSchemas } from './schemas.js'

const copyOf = (table: Table) => copiesOf(table.name)

export const migrationStatements = (catalog: Catalog, { tick }: ClockStatements): MigrationStatements => ({
  *copyRows(tables) {
    yield* addFormerSchemas()
    const present = yield* presentTriggers(tables.map(table => ({ ...table, name: table.was ?? table.name })))
    yield* dropAllTriggers()
    for (const table of tables) {
      const { was = table.name } = table
      // one of the same name in another schema is somebody else's, unless it has our triggers: then it is about to move
      const { place, triggers } = present.get(was) ?? {}
      if (!place || (place.tableSchema !== (table.schema ?? place.schema) && !triggers?.size)) continue
      const own = yield* catalog.columnsNow(was)
      if (!own.has('_lastChange')) continue
      // a copy that is there already stems from a change that was not finished: what it holds is older, and true
      if ((yield* catalog.columnsNow(copyOf(table))).size) continue
      // an enum type that a migration replaces may not be in use here
      const cells = [...own].map(([c, { isEnum }]) => (isEnum ? `CAST(${quote(c)} AS text) AS ${quote(c)}` : quote(c)))
      yield* query(`CREATE TABLE ${quote(copyOf(table))} AS SELECT ${cells.join(', ')} FROM ${quote(place.tableSchema)}.${quote(was)}`)
    }
  },

  *stampDifferences(tables) {
    for (const table of tables) {
      const copied = yield* catalog.columnsNow(copyOf(table))
      if (copied.size === 0) continue
      const own = yield* catalog.columnsNow(table.name)
      if (own.has('_lastChange') && own.has(table.key)) yield* stampDifferencesOf(table, own, copied, tick)
      yield* query(`DROP TABLE ${quote(copyOf(table))}`)
      catalog.forget(copyOf(table))
    }
  },

  *stampUnstamped(tables) {
    let ticked = false
    for (const table of tables) {
      const unstamped = `FROM ${quote(table.name)} x WHERE x."_lastChange" IS NULL`
      if (!(yield* first(`SELECT 1 ${unstamped} LIMIT 1`))) continue
      if (!ticked) yield* tick()
      ticked = true
      yield* query(`DELETE FROM sync_tombstone WHERE collection = ? AND id IN (SELECT ${idOf(table, 'x')} ${unstamped})`, table.name)
      yield* query(`UPDATE ${quote(table.name)} SET "_lastChange" = ${NOW} WHERE "_lastChange" IS NULL`)
    }
  },
})

// Types may have changed since, and some have no equality: what is compared is their text.
function* stampDifferencesOf(table: Table, own: Columns, copied: Columns, tick: () => Transaction<number>): Transaction<void> {
  const [name, copy] = [quote(table.name), quote(copyOf(table))]
  // the key was renamed: which row is which cannot be known any more, so all of them count as changed
  if (!copied.has(table.key)) return void (yield* query(`UPDATE ${name} SET "_lastChange" = NULL`))
  const asText = (alias: string, column: string) => `CAST(${alias}.${quote(column)} AS text) COLLATE "C"`
  const [id, copiedId] = [idOf(table, 'x'), idOf(table, 'was')]
  const common = ['_lastChange', ...table.columns].filter(c => copied.has(c))
  const differs = common.map(c => `${asText('x', c)} IS DISTINCT FROM ${asText('was', c)}`).join(' OR ')
  const changed = yield* idsOf(`SELECT ${id} AS id FROM ${name} x JOIN ${copy} was ON ${copiedId} = ${id} WHERE ${differs}`)
  const removed = yield* idsOf(
    `SELECT ${copiedId} AS id FROM ${copy} was WHERE NOT EXISTS (SELECT 1 FROM ${name} x WHERE ${id} = ${copiedId})`,
  )
  const added = yield* idsOf(`SELECT ${id} AS id FROM ${name} x WHERE NOT EXISTS (SELECT 1 FROM ${copy} was WHERE ${copiedId} = ${id})`)
  if (changed.length + removed.length + added.length === 0) return
  yield* tick()
  yield* keepCopied(table, own, copied, [...changed, ...removed])
  yield* baseStatements.keepAbsentBases(table, added, undefined)
  yield* query('DELETE FROM sync_tombstone WHERE collection = ? AND id = ANY(?)', table.name, added)
  yield* query(`UPDATE ${name} x SET "_lastChange" = ${NOW} WHERE ${id} = ANY(CAST(? AS text[]))`, [...changed, ...added])
  yield* query(
    `INSERT INTO sync_tombstone (collection, id, stamp) SELECT CAST(? AS text), k.id, ${NOW} FROM unnest(CAST(? AS text[])) AS k(id)
       ON CONFLICT (collection, id) DO UPDATE SET stamp = excluded.stamp`,
    table.name,
    removed,
  )
  const scopes = table.scopes.filter(c => copied.has(c))
  yield* withCopied(own, copied, cell => exitsOfMigration(table, { copy, scopes, cell }, [...changed, ...removed]))
}

/** Keeps what the copy has at these ids, in the types of today, or, where a value cannot be of one, what the row has now. */
function* withCopied(own: Columns, copied: Columns, keep: (cell: (column: string) => string) => Transaction<unknown>): Transaction<void> {
  const typeOf = (columns: Columns, column: string) => typeWithCollation(columns.get(column) as ColumnInfo)
  const isSame = (column: string) => typeOf(copied, column) === typeOf(own, column)
  const cellOr = (cellOfOther: (column: string) => string) => (c: string) =>
    !copied.has(c) ? `x.${quote(c)}` : isSame(c) ? `was.${quote(c)}` : cellOfOther(c)
  try {
    yield* savepoint(() => keep(cellOr(c => `CAST(CAST(was.${quote(c)} AS text) AS ${(own.get(c) as ColumnInfo).baseType})`)))
  } catch (error) {
    if (!isOfTypes(error)) throw error
    yield* keep(cellOr(c => `x.${quote(c)}`))
  }
}

function keepCopied(table: Table, own: Columns, copied: Columns, ids: readonly string[]): Transaction<void> {
  const [id, copiedId] = [idOf(table, 'x'), idOf(table, 'was')]
  return withCopied(own, copied, cell =>
    query(
      keepBase(table, {
        ...{ id: copiedId, stamp: 'was."_lastChange"', cell },
        from: `${quote(copyOf(table))} was LEFT JOIN ${quote(table.name)} x ON ${id} = ${copiedId}`,
        where: `${copiedId} = ANY(CAST(? AS text[])) AND`,
      }),
      ids,
    ),
  )
}

function* idsOf(sql: string): Transaction<string[]> {
  return (yield* query(sql)).map(row => String(row.id))
}
