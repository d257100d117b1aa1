// The set-up: our tables, and triggers that are neither missing nor outdated.

import { type CaptureStatements, missingIn } from '../capture.js'
import { gainsScope, planExitIndexes } from '../exits.js'
import { first, query, type Transaction } from '../statement.js'
import { baseTableOf, type Table } from '../table.js'
import { alignBaseTable, isBaseTableAligned } from './bases.js'
import { columnsOf, dropTrigger, indexedColumns, presentTriggers } from './catalog.js'
import type { Connection } from './connection.js'
import { alignExitIndexes, exitIndexes } from './exits.js'
import { TABLES } from './tables.js'
import { triggersOf } from './triggers.js'

export function captureStatements(connectionOf: () => Connection, wallClock: string): CaptureStatements {
  /** The schema in which all triggers were seen. */
  let seen: { connection: Connection; version: unknown } | undefined

  function* expectedTriggers(table: Table, tables: readonly Table[]): Transaction<Map<string, string>> {
    return triggersOf(table, yield* indexedColumns(table), wallClock, tables)
  }

  return {
    *createTables() {
      for (const sql of TABLES.values()) yield* query(sql)
      const random = () => globalThis.crypto.randomUUID()
      yield* query("INSERT INTO sync_clock (timeline, now, collection, horizon) VALUES ('', 0, ?, 0) ON CONFLICT DO NOTHING", random())
    },

    *columnNames(table) {
      return [...(yield* columnsOf(table)).keys()]
    },

    *prepareTable(table, tables) {
      const missing = missingIn(table, yield* columnsOf(table.name))
      if (missing) return missing
      const expected = yield* expectedTriggers(table, tables)
      const present = yield* presentTriggers(table)
      const isAligned = yield* isBaseTableAligned(table)
      const before = yield* exitIndexes(table)
      const { drop, create } = planExitIndexes(table, before)
      if (isAligned && areSame(expected, present) && drop.length + create.length === 0)
        return { missing: undefined, gained: [], lostTriggers: false, gainsScope: false, isNew: false }
      const isNew = (yield* columnsOf(baseTableOf(table))).size === 0
      const gains = !isNew && gainsScope(table, before)
      // SQLite would rewrite triggers that name a table which is renamed
      for (const name of present.keys()) yield* dropTrigger(name)
      const gained = isAligned ? [] : yield* alignBaseTable(table)
      yield* alignExitIndexes(table, before)
      for (const sql of expected.values()) yield* query(sql)
      return { missing: undefined, gained, lostTriggers: !isNew && present.size < expected.size, gainsScope: gains, isNew }
    },

    *hasTriggers(tables) {
      // whatever was done to the schema, this number is another one
      const version = (yield* first('PRAGMA schema_version'))?.schema_version
      const connection = connectionOf()
      if (seen?.connection === connection && seen.version === version) return true
      for (const table of tables) if (!areSame(yield* expectedTriggers(table, tables), yield* presentTriggers(table))) return false
      seen = { connection, version }
      return true
    },

    *dropTriggers() {
      for (const name of (yield* presentTriggers()).keys()) yield* dropTrigger(name)
    },
  }
}

const areSame = (expected: Map<string, string>, present: Map<string, string>) =>
  expected.size === present.size && [...expected].every(([name, sql]) => present.get(name) === sql)
