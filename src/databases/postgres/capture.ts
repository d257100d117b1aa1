// The set-up: our tables, and triggers that are neither missing, outdated nor switched off.

import { SyncConfigurationError } from '../../errors.js'
import { type CaptureStatements, missingIn } from '../capture.js'
import type { ClockStatements } from '../clock.js'
import { gainsScope } from '../exits.js'
import { pathsTo } from '../paths.js'
import { query, type Transaction } from '../statement.js'
import { quote, type Table } from '../table.js'
import { alignBaseTable } from './bases.js'
import { type Catalog, classOf } from './catalog.js'
import { alignExitIndexes, exitIndexes } from './exits.js'
import { type Present, placed, presentTriggers } from './present.js'
import { isInItsSchema, rejectOther } from './schemas.js'
import { TABLES } from './tables.js'
import { TRIGGER_MARK } from './triggerMark.js'
import { type Capture, captureOf, type Place } from './triggers.js'

export function captureStatements(catalog: Catalog, { isReplica }: ClockStatements, wallClock: string): CaptureStatements {
  const captures = new Map<string, Capture>()

  function expectedCapture(table: Table, place: Place, tables: readonly Table[]): Capture {
    const name = JSON.stringify([table, place, pathsTo(table.name, tables)])
    let capture = captures.get(name)
    if (!capture) {
      capture = captureOf(table, place, wallClock, tables)
      captures.set(name, capture)
    }
    return capture
  }

  /** The triggers of a table and its partitions; those for each row PostgreSQL clones itself. */
  function expectedTriggers(table: Table, { place, places }: Present, tables: readonly Table[]) {
    const top = `${quote(place.tableSchema)}.${quote(table.name)}`
    const { triggers } = expectedCapture(table, place, tables)
    return new Map(
      [...triggers].flatMap(([trigger, { sql, version, isCloned }]) =>
        [top, ...(isCloned ? [] : places)].map(
          on => [placed(trigger, on === top ? '' : on), { trigger, on, sql: sql(on), version }] as const,
        ),
      ),
    )
  }

  function isIntact(table: Table, present: Present | undefined, tables: readonly Table[]): boolean {
    if (!present || present.logs.length || present.place.tableSchema !== (table.schema ?? present.place.schema)) return false
    const expected = expectedTriggers(table, present, tables)
    return expected.size === present.triggers.size && [...expected].every(([name, t]) => present.triggers.get(name) === t.version)
  }

  function* makeTriggers(table: Table, present: Present, tables: readonly Table[]): Transaction<void> {
    const { functions } = expectedCapture(table, present.place, tables)
    const expected = expectedTriggers(table, present, tables)
    const name = `${quote(present.place.tableSchema)}.${quote(table.name)}`
    for (const each of present.triggers.keys()) {
      const [trigger = '', on = name] = each.split(' ON ')
      if (!expected.has(each)) yield* query(`DROP TRIGGER ${quote(trigger)} ON ${on}`)
    }
    for (const sql of functions) yield* query(sql)
    for (const [each, { trigger, on, sql }] of expected) {
      yield* query(sql)
      if (present.triggers.get(each) === '') yield* query(`ALTER TABLE ${on} ENABLE TRIGGER ${quote(trigger)}`)
    }
  }

  return {
    *createTables() {
      const missing = yield* query(`SELECT w.name AS name FROM unnest(CAST(? AS text[])) AS w(name) WHERE ${classOf('w.name')} IS NULL`, [
        ...TABLES.keys(),
      ])
      // in their order: a table before its index
      const names = new Set(missing.map(row => String(row.name)))
      for (const [name, sql] of TABLES) if (names.has(name)) yield* query(sql)
      const random = () => globalThis.crypto.randomUUID()
      yield* query("INSERT INTO sync_clock (timeline, now, collection, horizon) VALUES ('', 0, ?, 0) ON CONFLICT DO NOTHING", random())
    },

    *columnNames(table) {
      return [...(yield* catalog.columnsNow(table)).keys()]
    },

    *prepareTable(table, tables) {
      if (!(yield* isInItsSchema(table))) return { missing: 'table' }
      const own = yield* catalog.columnsNow(table.name)
      const missing = missingIn(table, own)
      if (missing) return missing
      // what a replica has comes from its primary
      if (yield* isReplica()) return { missing: undefined, gained: [], lostTriggers: false, gainsScope: false, isNew: false }
      const present = (yield* presentTriggers([table])).get(table.name) as Present
      rejectOther(table, present.place.tableSchema, present.logs)
      if (present.heirs.length)
        throw new SyncConfigurationError(
          `The table ${table.name} cannot be synced: ${present.heirs.join(', ')} inherits from it, so that its rows are seen there, but their changes are not; use partitions instead.`,
        )
      const before = yield* exitIndexes(table)
      const { gained, isNew } = yield* alignBaseTable(catalog, table, own)
      yield* alignExitIndexes(table, before)
      const gains = !isNew && gainsScope(table, before)
      if (isIntact(table, present, tables)) return { missing: undefined, gained, lostTriggers: false, gainsScope: gains, isNew }
      yield* makeTriggers(table, present, tables)
      return { missing: undefined, gained, lostTriggers: !isNew && present.triggers.size === 0, gainsScope: gains, isNew }
    },

    *hasTriggers(tables) {
      if (!tables.length) return true
      const present = yield* presentTriggers(tables)
      return tables.every(table => isIntact(table, present.get(table.name), tables))
    },

    // Nothing here rebuilds a table, so they stay, and other processes may go on writing.
    *dropTriggers() {},
  }
}

export function* dropAllTriggers(): Transaction<void> {
  const rows = yield* query(
    `SELECT quote_ident(t.tgname) || ' ON ' || t.tgrelid::regclass AS trigger
       FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
      WHERE NOT t.tgisinternal AND p.prosrc LIKE ? AND p.pronamespace = CAST(quote_ident(current_schema()) AS regnamespace)`,
    `${TRIGGER_MARK}%`,
  )
  for (const { trigger } of rows) yield* query(`DROP TRIGGER ${trigger}`)
}
