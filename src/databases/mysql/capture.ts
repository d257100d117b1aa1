// The set-up: our tables, guards against TRUNCATE, and triggers that are neither missing nor outdated.

import { SyncConfigurationError } from '../../errors.js'
import { type CaptureStatements, missingIn } from '../capture.js'
import { gainsScope } from '../exits.js'
import { first, query, type Transaction } from '../statement.js'
import { baseTableOf, keysOf, quote, type Table } from '../table.js'
import { alignBaseTable } from './bases.js'
import { type Catalog, type Columns, columnsOf, guardOf, readCatalog, readTriggers } from './catalog.js'
import { tickSql } from './clock.js'
import { alignExitIndexes, exitIndexes } from './exits.js'
import { unseenCascade, unsyncedAncestors } from './foreignKeys.js'
import type { KnownTables } from './knownTables.js'
import { TABLE_OPTIONS, TABLES } from './tables.js'
import { type Trigger, triggersOf } from './triggers.js'

export function captureStatements(known: KnownTables, wallClock: string): CaptureStatements {
  /** Makes the triggers of a table that are missing or outdated. Says whether one was missing. */
  function* alignTriggers(catalog: Catalog, table: string, tables: readonly Table[]): Transaction<boolean> {
    const expected = triggersOf(catalog, table, tables, wallClock)
    const present = catalog.triggers.get(table) ?? new Map<string, string>()
    if (areTriggers(expected, present)) return false
    for (const name of present.keys()) yield* query(`DROP TRIGGER IF EXISTS ${quote(name)}`)
    for (const { sql } of expected) yield* query(sql)
    return present.size < expected.length
  }

  return {
    createTables,

    *columnNames(table) {
      known.forgetColumns(table)
      return [...((yield* columnsOf([table])).get(table)?.keys() ?? [])]
    },

    *prepareTable(table, tables) {
      const catalog = yield* readCatalog([table.name, baseTableOf(table)])
      const own: Columns = catalog.columns.get(table.name) ?? new Map()
      const missing = missingIn(table, own)
      if (missing) return missing
      known.note(table.name, own)
      const unseen = unseenCascade(catalog, table.name)
      if (unseen !== undefined) throw new SyncConfigurationError(`The table ${table.name} cannot be synced on MySQL or MariaDB: ${unseen}`)
      yield* createTables()
      const kept = catalog.columns.get(baseTableOf(table))
      const before = yield* exitIndexes(table)
      const gained = yield* alignBaseTable(table, own, kept)
      if (!catalog.guarded.has(table.name)) yield* makeGuard(table, own)
      let lostTriggers = false
      for (const name of [table.name, ...unsyncedAncestors(catalog, table.name)])
        if (yield* alignTriggers(catalog, name, tables)) lostTriggers = kept !== undefined
      const gains = kept !== undefined && gainsScope(table, before)
      // the index says that it was done, and DDL commits by itself
      if (gains) for (const sql of [tickSql(wallClock), 'UPDATE sync_clock SET horizon = `now`']) yield* query(sql)
      yield* alignExitIndexes(table, before)
      return { missing: undefined, gained, lostTriggers, gainsScope: gains, isNew: kept === undefined }
    },

    *hasTriggers(tables) {
      const catalog = yield* readCatalog(tables.map(t => t.name))
      const needed = new Set(tables.flatMap(t => [t.name, ...unsyncedAncestors(catalog, t.name)]))
      for (const table of needed) if (!areTriggers(triggersOf(catalog, table, tables, wallClock), catalog.triggers.get(table))) return false
      return tables.every(t => catalog.guarded.has(t.name))
    },

    *dropTriggers() {
      for (const triggers of (yield* readTriggers()).values())
        for (const name of triggers.keys()) yield* query(`DROP TRIGGER IF EXISTS ${quote(name)}`)
      const guards = yield* query(
        "SELECT t.TABLE_NAME AS name FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME LIKE 'sync\\\\_guard\\\\_%'",
      )
      for (const { name } of guards) yield* query(`DROP TABLE IF EXISTS ${quote(String(name))}`)
      known.clear()
    },

    *forgetTable(table) {
      yield* query(`DROP TABLE IF EXISTS ${quote(guardOf(table))}`)
    },
  }
}

function* createTables(): Transaction<void> {
  const rows = yield* query(
    'SELECT t.TABLE_NAME AS name FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME IN (?)',
    [...TABLES.keys()],
  )
  const present = new Set(rows.map(row => String(row.name)))
  for (const [name, sql] of TABLES) if (!present.has(name)) yield* query(sql)
  if (present.size && (yield* first('SELECT 1 AS one FROM sync_clock'))) return
  yield* query(
    "INSERT INTO sync_clock (timeline, `now`, collection, horizon) VALUES ('', 0, ?, 0) ON DUPLICATE KEY UPDATE timeline = timeline",
    globalThis.crypto.randomUUID(),
  )
}

// TRUNCATE fires no trigger. InnoDB rejects it for a table that another one references, be that one empty.
function* makeGuard(table: Table, own: Columns): Transaction<void> {
  const names = table.parts ? table.parts.map((_, i) => `id${i}`) : ['id']
  const definitions = keysOf(table).map((column, i) => `${names[i]} ${own.get(column)?.type} NULL`)
  const list = names.join(', ')
  yield* query(`CREATE TABLE IF NOT EXISTS ${quote(guardOf(table.name))} (
    ${definitions.join(', ')}, INDEX (${list}), FOREIGN KEY (${list}) REFERENCES ${quote(table.name)} (${keysOf(table).map(quote).join(', ')})) ${TABLE_OPTIONS}`)
}

const areTriggers = (expected: readonly Trigger[], present: ReadonlyMap<string, string> = new Map()) =>
  expected.length === present.size && expected.every(t => present.get(t.name) === t.body)
