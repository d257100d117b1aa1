// A migration rewrites tables while there are no triggers: what it changed is found by comparing with a copy.

import type { BaseStatements, MigrationStatements } from '../capture.js'
import type { ClockStatements } from '../clock.js'
import type { RowStatements } from '../rowStatements.js'
import { first, query, type Transaction } from '../statement.js'
import { copiesOf, quote, type Table } from '../table.js'
import { keepBase } from './bases.js'
import { asId, asKey, type Columns, columnsOf, differs, pinned } from './catalog.js'
import { BATCH, chunks } from './chunks.js'
import { lockClock, NOW } from './clock.js'
import { hasMoved, writeExits } from './exits.js'
import { idOf } from './fragments.js'
import type { KnownTables } from './knownTables.js'

export function migrationStatements(
  known: KnownTables,
  { tick }: ClockStatements,
  { upsertRows }: RowStatements,
  { keepAbsentBases }: BaseStatements,
): MigrationStatements {
  function* stampDifferencesOf(table: Table, copied: Columns, own: Columns): Transaction<void> {
    const [name, key] = [quote(table.name), quote(table.key)]
    const pins = pinned(own.values(), ['_lastChange'])
    // the key was renamed: which row is which cannot be known any more, so all of them count as changed
    if (!copied.has(table.key)) return void (yield* query(`UPDATE ${name} SET "_lastChange" = NULL${pins}`))
    const comparison = comparisonOf(table, copied, own)
    const { changed, removed, added } = yield* readDifferences(table, copied, own, comparison)
    if (changed.length + removed.length + added.length === 0) return
    yield* keepCopied(table, copied, comparison, [...changed, ...removed])
    yield* keepAbsentBases(table, added, undefined)
    for (const some of chunks(added)) yield* query('DELETE FROM sync_tombstone WHERE collection = ? AND id IN (?)', table.name, some)
    for (const some of chunks([...changed, ...added])) {
      yield* tick() // not all under one stamp: within a stamp the database sorts for each page
      yield* query(`UPDATE ${name} SET "_lastChange" = ${NOW}${pins} WHERE ${key} IN (?)`, some)
    }
    const now = yield* tick()
    const tombstones = removed.map(id => [table.name, id, now])
    yield* upsertRows('sync_tombstone', ['collection', 'id', 'stamp'], ['collection', 'id'], tombstones)
    yield* leave(table, copied, own, comparison, [...changed, ...removed])
  }

  return {
    *copyRows(tables) {
      const found = yield* columnsOf(tables.flatMap(t => [t.was ?? t.name, copiesOf(t.name)]))
      for (const table of tables) {
        const { was = table.name } = table
        // a copy that is there already stems from a change that was not finished: what it holds is older, and true
        if (!found.get(was)?.has('_lastChange') || found.has(copiesOf(table.name))) continue
        // the name comes last: half a copy would count as a whole one
        const key = found.get(was)?.has(table.key) ? `(PRIMARY KEY (${quote(table.key)})) ` : ''
        yield* query('DROP TABLE IF EXISTS sync_copying')
        yield* query(`CREATE TABLE sync_copying ${key}ENGINE = InnoDB AS SELECT * FROM ${quote(was)}`)
        yield* query(`RENAME TABLE sync_copying TO ${quote(copiesOf(table.name))}`)
      }
    },

    *stampDifferences(tables) {
      const found = yield* columnsOf(tables.flatMap(t => [t.name, copiesOf(t.name)]))
      const copies: string[] = []
      for (const table of tables) {
        const [own, copied] = [found.get(table.name), found.get(copiesOf(table.name))]
        if (!copied) continue
        copies.push(copiesOf(table.name))
        if (own?.has('_lastChange') && own.has(table.key)) yield* stampDifferencesOf(table, copied, own)
      }
      if (!copies.length) return
      // this commits; should it not come so far, the next set-up compares again
      for (const copy of copies) yield* query(`DROP TABLE ${quote(copy)}`)
      yield* lockClock()
    },

    *stampUnstamped(tables) {
      for (const table of tables) {
        const id = idOf(known, table, 'x')
        const pins = pinned((yield* known.columnsOf(table.name))?.values() ?? [], ['_lastChange'])
        const unstamped = yield* first(`SELECT count(*) AS n FROM ${quote(table.name)} WHERE "_lastChange" IS NULL`)
        for (let left = Number(unstamped?.n); left > 0; left -= 2 * BATCH) {
          // not all under one stamp: within a stamp the database sorts for each page
          const rows = yield* query(`SELECT ${id} AS id FROM ${quote(table.name)} x WHERE x."_lastChange" IS NULL LIMIT ?`, 2 * BATCH)
          const ids = rows.map(row => String(row.id))
          yield* tick()
          yield* query('DELETE FROM sync_tombstone WHERE collection = ? AND id IN (?)', table.name, ids)
          yield* query(`UPDATE ${quote(table.name)} SET "_lastChange" = ${NOW}${pins} WHERE ${quote(table.key)} IN (?)`, ids)
        }
      }
    },
  }
}

/** SQL that finds rows `x` of a table in its copy `c`: ids, and conditions by which the index of either serves. */
function comparisonOf(table: Table, copied: Columns, own: Columns) {
  const key = quote(table.key)
  const [ownKey, copyKey] = [own.get(table.key), copied.get(table.key)]
  const [rowId, copyId] = [asId(ownKey, `x.${key}`), asId(copyKey, `c.${key}`)]
  return { rowId, copyId, isRow: `x.${key} = ${asKey(ownKey, copyId)}`, isCopy: `c.${key} = ${asKey(copyKey, rowId)}` }
}

type Comparison = ReturnType<typeof comparisonOf>

function* readDifferences(table: Table, copied: Columns, own: Columns, { rowId, copyId, isRow, isCopy }: Comparison) {
  const [name, copy] = [quote(table.name), quote(copiesOf(table.name))]
  const common = ['_lastChange', ...table.columns].filter(c => copied.has(c))
  const changed = yield* idsOf(`SELECT ${copyId} AS id FROM ${copy} c JOIN ${name} x ON ${isRow}
    WHERE ${common.map(c => differs(own.get(c), `x.${quote(c)}`, `c.${quote(c)}`)).join(' OR ')}`)
  const removed = yield* idsOf(`SELECT ${copyId} AS id FROM ${copy} c WHERE NOT EXISTS (SELECT 1 FROM ${name} x WHERE ${isRow})`)
  const added = yield* idsOf(`SELECT ${rowId} AS id FROM ${name} x WHERE NOT EXISTS (SELECT 1 FROM ${copy} c WHERE ${isCopy})`)
  return { changed, removed, added }
}

/** Keeps as base versions what the copy has at these ids. A column that it lacks has the value that the migration gave it. */
function* keepCopied(table: Table, copied: Columns, { copyId, isRow }: Comparison, ids: readonly string[]): Transaction<void> {
  const sql = keepBase(table, {
    id: copyId,
    stamp: 'c.`_lastChange`',
    cell: c => (copied.has(c) ? `c.${quote(c)}` : `x.${quote(c)}`),
    from: `, ${quote(copiesOf(table.name))} c LEFT JOIN ${quote(table.name)} x ON ${isRow}`,
    where: `c.${quote(table.key)} IN (?) AND`,
  })
  for (const some of chunks(ids)) yield* query(sql, some)
}

/** The exits of rows that were moved or removed. */
function* leave(table: Table, copied: Columns, own: Columns, { copyId, isRow }: Comparison, ids: readonly string[]): Transaction<void> {
  const scopes = table.scopes.filter(c => copied.has(c))
  if (!scopes.length) return
  const isGone = `x.${quote(table.key)} IS NULL`
  const source = {
    ...{ id: copyId, stamp: `coalesce(x.\`_lastChange\`, ${NOW})`, removed: isGone, cell: (c: string) => `c.${quote(c)}` },
    from: ` FROM ${quote(copiesOf(table.name))} c LEFT JOIN ${quote(table.name)} x ON ${isRow}
      WHERE c.${quote(table.key)} IN (?) AND (${isGone} OR ${hasMoved(scopes, own, 'x', 'c')})`,
  }
  for (const some of chunks(ids)) yield* query(writeExits(table, source, scopes), some)
}

function* idsOf(sql: string): Transaction<string[]> {
  return (yield* query(sql)).map(row => String(row.id))
}
