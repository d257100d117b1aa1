// SQLite, as sql.js, better-sqlite3 and libsql have it: one connection, shared with the application, and synchronous.
//
// A transaction is one synchronous turn, BEGIN to COMMIT without an await, begun when the application has no transaction open on the connection.
// Otherwise the application's save would become part of our transaction and vanish with its rollback, although its promise resolved.

import type { DataSource } from 'typeorm'
import { DatabaseBusyError, DatabaseFailedError } from '../../errors.js'
import {
  baseTableOf,
  copiesOf,
  type Database,
  first,
  type OpenOptions,
  query,
  quote,
  type Row,
  type Rows,
  rowsOf,
  type Statement,
  type Table,
  type Target,
  type Transaction,
  type TransactionOptions,
  type UniqueIndex,
} from '../database.js'
import { TRIGGER_MARK } from '../knows.js'
import { delay, SchemaChanges } from '../schemaChanges.js'
import { type Connection, connectionOf, type SqliteDriver } from './connection.js'
import { constraintError, failure, isBusy } from './errors.js'
import { MANY, maySkip, textsFor } from './many.js'
import { TABLES } from './tables.js'
import { baseTable, type IndexedColumn, keepAbsentBase, keepBase, triggersOf } from './triggers.js'

const NOW = '(SELECT now FROM sync_clock)'
const WALL_CLOCK = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

export function sqliteDatabase(dataSource: DataSource, options: OpenOptions = {}): Database {
  const { busyTimeout = 10_000, wallClock = WALL_CLOCK, beforeStatement, beforeTransaction } = options
  const driver = dataSource.driver as unknown as SqliteDriver
  const schemaChanges = new SchemaChanges()
  let unsaved = false
  /** The schema in which all triggers were seen. */
  let seen: { connection: Connection; version: unknown } | undefined

  const execute = (connection: Connection, sql: string) => perform(connection, { sql, values: [] })

  function perform(connection: Connection, { sql, values, many, asCells, counts }: Statement): Row[] {
    beforeStatement?.(sql)
    try {
      if (asCells) return connection.readCells(sql, values) as unknown as Row[]
      if (!many) return connection.run(sql, values)
      const changed = connection.runMany(sql, many)
      return counts ? (changed as unknown as Row[]) : []
    } catch (error) {
      throw constraintError(error, sql) ?? error
    }
  }

  function drive<T>(connection: Connection, body: Transaction<T>): T {
    let state = body.next()
    while (!state.done) {
      let rows: Row[]
      try {
        rows = perform(connection, state.value)
      } catch (error) {
        state = body.throw(error)
        continue
      }
      state = body.next(rows)
    }
    return state.value
  }

  // SQLite itself would wait for another process, synchronously, and nothing else would run meanwhile: the transaction waits instead.
  function beginToWrite(connection: Connection): void {
    const timeout = dataSource.options.type === 'sqljs' ? 0 : Number(connection.run('PRAGMA busy_timeout', [])[0]?.timeout)
    if (timeout) connection.run('PRAGMA busy_timeout = 0', [])
    try {
      execute(connection, 'BEGIN IMMEDIATE')
    } finally {
      if (timeout) connection.run(`PRAGMA busy_timeout = ${timeout}`, [])
    }
  }

  // The synchronous turn itself.
  function turn<T>(body: () => Transaction<T>, { mode = 'write', durable }: TransactionOptions): T {
    const connection = connectionOf(dataSource)
    const level = durable ? Number(execute(connection, 'PRAGMA synchronous')[0]?.synchronous) : undefined
    if (level !== undefined && level < 2) execute(connection, 'PRAGMA synchronous = FULL')
    try {
      // sql.js keeps its files in memory as well, and copies them as they grow: a journal there survives no more than one in memory
      if (
        mode !== 'read' &&
        dataSource.options.type === 'sqljs' &&
        execute(connection, 'PRAGMA journal_mode')[0]?.journal_mode === 'delete'
      )
        execute(connection, 'PRAGMA journal_mode = MEMORY')
      if (mode === 'read') execute(connection, 'BEGIN')
      else beginToWrite(connection)
      try {
        if (mode === 'write') {
          execute(connection, 'UPDATE sync_clock SET bypass = 1, stamping = NULL')
          // notes of an OR IGNORE that replaced nothing; rows that the transaction removes would pass for replaced ones
          execute(connection, 'DELETE FROM sync_replaced')
        }
        const result = drive(connection, body())
        if (mode === 'write') execute(connection, 'UPDATE sync_clock SET bypass = NULL')
        execute(connection, 'COMMIT')
        if (mode !== 'read') unsaved = true
        return result
      } catch (error) {
        try {
          connection.run('ROLLBACK', [])
        } catch {
          // SQLite has already rolled back by itself, as it does when the disk is full
        }
        throw error
      }
    } finally {
      if (level !== undefined && level < 2) connection.run(`PRAGMA synchronous = ${level}`, [])
    }
  }

  async function transaction<T>(body: () => Transaction<T>, transactionOptions: TransactionOptions = {}): Promise<T> {
    const deadline = Date.now() + busyTimeout
    for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
      if (beforeTransaction) await beforeTransaction()
      // whatever the application has begun and awaits only the database for is over then, and a page has had its turn; a look is short
      else if (transactionOptions.mode !== 'read' || transactionOptions.afterOthers || pause > 1) await macrotask()
      if (!dataSource.isInitialized)
        throw new DatabaseFailedError('The data source is closed; initialise it and sync again. Nothing was lost.')
      if (schemaChanges.areRunning && !transactionOptions.duringSchemaChange) await schemaChanges.wait(deadline)
      else {
        try {
          return turn(body, transactionOptions)
        } catch (error) {
          if (!isBusy(error)) throw failure(error)
          if (Date.now() >= deadline) throw new DatabaseBusyError(busyMessage(error, busyTimeout), { cause: error })
        }
      }
      if (Date.now() >= deadline) throw new DatabaseBusyError(busyMessage(undefined, busyTimeout))
      await delay(pause)
    }
  }

  async function save(): Promise<void> {
    if (!unsaved) return
    try {
      if (dataSource.options.type === 'sqljs' && driver.options.autoSave) {
        for (const deadline = Date.now() + busyTimeout; driver.queryRunner?.isTransactionActive && Date.now() < deadline; ) await delay(5)
        // TypeORM passes over it in silence then, and a push that nobody remembers would go out
        if (driver.queryRunner?.isTransactionActive) throw new DatabaseBusyError(unsavedMessage(busyTimeout))
        unsaved = false
        await driver.autoSave?.()
      } else {
        unsaved = false
        await options.save?.()
      }
    } catch (error) {
      unsaved = true
      if (error instanceof DatabaseBusyError) throw error
      throw new DatabaseFailedError(
        'The database could not be saved; what was synced is in memory, and is saved by the next sync or save.',
        {
          cause: error,
        },
      )
    }
  }

  function* columnsOf(name: string): Transaction<Map<string, { type: string; fallback: string | null }>> {
    const rows = yield* query('SELECT name, type, dflt_value FROM pragma_table_xinfo(?) WHERE hidden = 0', name)
    return new Map(rows.map(r => [String(r.name), { type: String(r.type), fallback: r.dflt_value as string | null }]))
  }

  function* uniqueIndexes(table: Table): Transaction<IndexedColumn[][]> {
    const rows = yield* query(
      `SELECT l.name AS index_name, i.name AS column_name, i.coll AS collation
         FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) i
        WHERE l."unique" = 1 AND i.key = 1
        ORDER BY l.name, i.seqno`,
      table.name,
    )
    const indexes = new Map<string, IndexedColumn[]>()
    const unreadable = new Set<string>()
    for (const { index_name, column_name, collation } of rows) {
      const index = String(index_name)
      // an expression, of which nobody tells us the text
      if (column_name === null) unreadable.add(index)
      indexes.set(index, [...(indexes.get(index) ?? []), { name: String(column_name), collation: String(collation) }])
    }
    const readable = [...indexes].filter(([index]) => !unreadable.has(index)).map(([, columns]) => columns)
    return readable.filter(columns => columns.length > 1 || columns[0]?.name !== table.key)
  }

  // Of an index on an expression, or with a condition, the text tells the columns.
  function* uniquesOf(table: Table): Transaction<UniqueIndex[]> {
    const rows = yield* query(
      `SELECT l.name AS index_name, l.origin AS origin, l.partial AS is_partial, i.name AS column_name, m.sql AS sql
         FROM pragma_index_list(?1) l, pragma_index_xinfo(l.name) i LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name
        WHERE l."unique" = 1 AND i.key = 1
        ORDER BY l.name, i.seqno`,
      table.name,
    )
    const indexes = new Map<string, Row[]>()
    for (const row of rows) indexes.set(String(row.index_name), [...(indexes.get(String(row.index_name)) ?? []), row])
    return [...indexes.values()].flatMap(own => {
      const plain = own.flatMap(({ column_name: name }) => (name === null ? [] : [String(name)]))
      if (plain.includes(table.key)) return []
      const text = String(own[0]?.sql ?? '').toLowerCase()
      const named = table.columns.filter(c => text.includes(c.toLowerCase()))
      return plain.length === own.length
        ? [{ columns: plain, others: own[0]?.is_partial ? named : [] }]
        : [{ columns: [...new Set([...plain, ...named])], others: [] }]
    })
  }

  function* expectedTriggers(table: Table): Transaction<Map<string, string>> {
    return triggersOf(table, yield* uniqueIndexes(table), wallClock)
  }

  function* presentTriggers(table?: Table): Transaction<Map<string, string>> {
    const rows = yield* query(
      `SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND sql LIKE ?${table ? ' AND tbl_name = ?' : ''}`,
      `%${TRIGGER_MARK}%`,
      ...(table ? [table.name] : []),
    )
    return new Map(rows.map(row => [String(row.name), String(row.sql)]))
  }

  const sameTriggers = (expected: Map<string, string>, present: Map<string, string>) =>
    expected.size === present.size && [...expected].every(([name, sql]) => present.get(name) === sql)

  function* hasBaseTable(table: Table): Transaction<boolean> {
    const own = yield* columnsOf(table.name)
    const kept = yield* columnsOf(baseTableOf(table))
    return table.columns.every(c => kept.get(c)?.type === own.get(c)?.type) && kept.size === table.columns.length + 4
  }

  function* makeBaseTable(table: Table): Transaction<string[]> {
    const own = yield* columnsOf(table.name)
    const kept = yield* columnsOf(baseTableOf(table))
    const columns = table.columns.map(c => {
      const { type = '', fallback = null } = own.get(c) ?? {}
      return `${quote(c)} ${type}${fallback === null ? '' : ` DEFAULT ${/^[\w'.+-]+$/.test(fallback) ? fallback : `(${fallback})`}`}`
    })
    if (kept.size > 0) yield* query(`ALTER TABLE ${baseTable(table)} RENAME TO sync_outdated`)
    yield* query(`CREATE TABLE ${baseTable(table)} (
      _sync_server INTEGER NOT NULL, _sync_id TEXT NOT NULL, _sync_stamp INTEGER NOT NULL, _sync_removed INTEGER NOT NULL,
      ${columns.map(c => `${c},`).join(' ')} PRIMARY KEY (_sync_server, _sync_id, _sync_stamp)) WITHOUT ROWID`)
    if (kept.size === 0) return []
    const common = ['_sync_server', '_sync_id', '_sync_stamp', '_sync_removed', ...table.columns.filter(c => kept.has(c)).map(quote)].join(
      ', ',
    )
    yield* query(`INSERT INTO ${baseTable(table)} (${common}) SELECT ${common} FROM sync_outdated`)
    yield* query('DROP TABLE sync_outdated')
    return table.columns.filter(c => !kept.has(c))
  }

  const copyTable = (table: Table) => quote(copiesOf(table.name))

  function* tick(): Transaction<number> {
    const row = yield* first(`UPDATE sync_clock SET now = max(${wallClock}, now + 1) RETURNING now`)
    return Number(row?.now)
  }

  function* stampDifferencesOf(table: Table, copied: ReadonlyMap<string, unknown>): Transaction<void> {
    const [name, copy, key] = [quote(table.name), copyTable(table), quote(table.key)]
    // the key was renamed: nobody can tell which row is which any more, so all of them count as changed
    if (!copied.has(table.key)) return void (yield* query(`UPDATE ${name} SET "_lastChange" = NULL`))
    const common = ['_lastChange', ...table.columns].filter(c => copied.has(c))
    const differs = common.map(c => isOther(`x.${quote(c)}`, `v.${quote(c)}`)).join(' OR ')
    const idsOf = function* (sql: string) {
      return (yield* query(sql)).map(row => String(row.id))
    }
    const changed = yield* idsOf(`SELECT x.${key} AS id FROM ${name} x JOIN ${copy} v ON v.${key} = x.${key} WHERE ${differs}`)
    const removed = yield* idsOf(`SELECT ${key} AS id FROM ${copy} WHERE ${key} NOT IN (SELECT ${key} FROM ${name})`)
    const added = yield* idsOf(`SELECT ${key} AS id FROM ${name} WHERE ${key} NOT IN (SELECT ${key} FROM ${copy})`)
    if (changed.length + removed.length + added.length === 0) return
    yield* tick()
    yield* query(
      keepBase(table, {
        id: `v.${key}`,
        stamp: 'v."_lastChange"',
        cell: c => (copied.has(c) ? `v.${quote(c)}` : `(SELECT x.${quote(c)} FROM ${name} x WHERE x.${key} = v.${key})`),
        from: `, ${copy} v`,
        where: `v.${key} IN (SELECT value FROM json_each(?)) AND`,
      }),
      JSON.stringify([...changed, ...removed]),
    )
    yield* query(keepAbsentBases(table), JSON.stringify(added), 0)
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
  }

  return {
    transaction,
    changeSchema: work => schemaChanges.run(work),
    save,
    uniqueIndexes: uniquesOf,

    id: (table, alias) => `${alias}.${quote(table.key)}`,
    key: (_table, expression) => expression,
    among: (_table, alias, column) => `${alias}.${quote(column)} IN (SELECT value FROM json_each(?))`,
    list: ids => JSON.stringify([...ids]),
    text: expression => `CAST(${expression} AS TEXT)`,
    size: expression => `octet_length(${expression})`,

    *insertRows(into, columns, rows) {
      const triggers = rows.length < MANY ? [] : yield* insertTriggers(into)
      for (const { name } of triggers) yield* query(`DROP TRIGGER ${quote(String(name))}`)
      yield* queryMany(insertInto(into, columns), rows)
      for (const { sql } of triggers) yield* query(String(sql))
    },

    *upsertRows(into, columns, keys, rows) {
      const others = columns.map(nameOf).filter(c => !keys.includes(c))
      const update = others.length ? `UPDATE SET ${others.map(c => `${quote(c)} = excluded.${quote(c)}`).join(', ')}` : 'NOTHING'
      const onConflict = `ON CONFLICT (${keys.map(quote).join(', ')}) DO ${update}`
      const texts = yield* textsFor(into, rows)
      if (!texts) return yield* queryMany(`${insertInto(into, columns)} ${onConflict}`, rows)
      const names = columns.map(c => quote(nameOf(c))).join(', ')
      const cells = columns.map((c, i) => (i === texts.at ? placeholderOf(c).replace('?', 'k.value') : placeholderOf(c))).join(', ')
      yield* query(`INSERT INTO ${quote(into)} (${names}) SELECT ${cells} FROM json_each(?) k WHERE true ${onConflict}`, ...texts.values)
    },

    *updateRows(table, columns, keys, rows) {
      const assignments = columns.map(c => `${quote(nameOf(c))} = ${placeholderOf(c)}`).join(', ')
      yield* queryMany(`UPDATE ${quote(table)} SET ${assignments} WHERE ${areEqual(keys)}`, rows)
    },

    *updateRowsWhere(table, columns, key, condition, rows) {
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

    *clock() {
      const row = yield* first('SELECT now, collection, horizon FROM sync_clock')
      return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
    },

    // biome-ignore lint/correctness/useYield: a file has no replicas
    *isReplica() {
      return false
    },

    tick,

    *bypassCapture(isOurs) {
      yield* query(`UPDATE sync_clock SET bypass = ${isOurs ? '1' : 'NULL'}`)
    },

    *createTables() {
      for (const sql of TABLES) yield* query(sql)
      const random = () => globalThis.crypto.randomUUID()
      yield* query("INSERT INTO sync_clock (timeline, now, collection, horizon) VALUES ('', 0, ?, 0) ON CONFLICT DO NOTHING", random())
    },

    *prepareTable(table) {
      const own = yield* columnsOf(table.name)
      if (own.size === 0) return { missing: 'table' }
      const missing = ['_lastChange', table.key, ...table.columns].find(c => !own.has(c))
      if (missing !== undefined) return { missing: 'column', column: missing }
      const expected = yield* expectedTriggers(table)
      const present = yield* presentTriggers(table)
      const intact = sameTriggers(expected, present)
      const aligned = yield* hasBaseTable(table)
      const isNew = (yield* columnsOf(baseTableOf(table))).size === 0
      let gained: string[] = []
      if (!intact || !aligned) {
        // SQLite would rewrite triggers that name a table which is renamed
        for (const name of present.keys()) yield* query(`DROP TRIGGER ${quote(name)}`)
        if (!aligned) gained = yield* makeBaseTable(table)
        for (const sql of expected.values()) yield* query(sql)
      }
      return { missing: undefined, gained, lostTriggers: !isNew && present.size < expected.size }
    },

    *columnNames(table) {
      return [...(yield* columnsOf(table)).keys()]
    },

    differs: isOther,

    *dropTriggers() {
      for (const name of (yield* presentTriggers()).keys()) yield* query(`DROP TRIGGER ${quote(name)}`)
    },

    *hasTriggers(tables) {
      // whatever was done to the schema, by whomever, this number is another one
      const version = (yield* first('PRAGMA schema_version'))?.schema_version
      const connection = connectionOf(dataSource)
      if (seen?.connection === connection && seen.version === version) return true
      for (const table of tables) if (!sameTriggers(yield* expectedTriggers(table), yield* presentTriggers(table))) return false
      seen = { connection, version }
      return true
    },

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
        if (own.has('_lastChange') && own.has(table.key)) yield* stampDifferencesOf(table, copied)
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

    *keepRows(table, ids, except = 0) {
      if (ids.length) yield* query(keepRows(table), JSON.stringify(ids), except)
    },

    *keepAbsentBases(table, ids, except = 0) {
      if (ids.length) yield* query(keepAbsentBases(table), JSON.stringify(ids), except)
    },

    *keepsValues(table) {
      return !(yield* maySkip(table.name))
    },

    maySkip: table => maySkip(table.name),
    mayChange: table => maySkip(table.name),

    *pastTriggers(table, body) {
      const triggers = yield* query(
        `SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?) AND sql NOT LIKE ? ORDER BY rowid`,
        ...[table.name, `%${TRIGGER_MARK}%`],
      )
      for (const { name } of triggers) yield* query(`DROP TRIGGER ${quote(String(name))}`)
      yield* body()
      for (const { sql } of triggers) yield* query(String(sql))
    },

    *deferConstraints(isDeferred) {
      yield* query(`PRAGMA defer_foreign_keys = ${isDeferred ? 'ON' : 'OFF'}`)
    },
  }

  function unsavedMessage(waited: number): string {
    return `The application kept a transaction open for more than ${waited} ms, so the database could not be saved. What was synced is in memory; sync again when it has ended.`
  }

  function busyMessage(cause: unknown, waited: number): string {
    const what = schemaChanges.areRunning
      ? 'The schema was being changed'
      : cause instanceof Error && /within a transaction/.test(cause.message)
        ? 'The application kept a transaction open on the shared connection'
        : 'Another process kept the database locked'
    return `${what} for more than ${waited} ms. Nothing was stored, nothing was lost; sync again when it has ended.`
  }
}

/** SQL for «these two are not one value», whatever a column's collation takes for equal. */
const isOther = (one: string, other: string) =>
  `(${one} IS NOT ${other} COLLATE BINARY OR (typeof(${one}) <> typeof(${other}) AND (typeof(${one}) = 'text' OR typeof(${other}) = 'text')))`

// A trigger that keeps still costs a call for each row, twice what the row itself costs. Where there are many the triggers go away meanwhile:
// the transaction is one transaction, and one turn, so that nobody else writes without them, and a transaction that fails brings them back.
function insertTriggers(table: string): Transaction<Row[]> {
  return query(
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? AND name IN (?, ?)",
    ...[table, `sync_insert_${table}`, `sync_replace_insert_${table}`],
  )
}

const nameOf = (target: Target) => (typeof target === 'string' ? target : target.column)
const placeholderOf = (target: Target) => (typeof target === 'string' ? '?' : target.placeholder)
const areEqual = (keys: readonly string[]) => keys.map(k => `${quote(k)} = ?`).join(' AND ')

function insertInto(into: string, columns: readonly Target[]): string {
  return `INSERT INTO ${quote(into)} (${columns.map(c => quote(nameOf(c))).join(', ')}) VALUES (${columns.map(placeholderOf).join(', ')})`
}

/** Runs one statement for each list of values. */
function* queryMany(sql: string, many: Rows): Transaction<void> {
  if (many.length) yield { sql, values: [], many }
}

// Parameters: a list of ids, and a server that is left out.
const keepRows = (table: Table) =>
  keepBase(table, {
    id: `x.${quote(table.key)}`,
    stamp: 'x."_lastChange"',
    cell: c => `x.${quote(c)}`,
    from: `, ${quote(table.name)} x`,
    where: `x.${quote(table.key)} IN (SELECT value FROM json_each(?)) AND r.id <> ? AND`,
  })

const keepAbsentBases = (table: Table) => keepAbsentBase(table, 'k.value', { from: 'json_each(?) k, ', where: 'r.id <> ? AND' })

const macrotask: () => Promise<void> =
  typeof setImmediate === 'function'
    ? () => new Promise(resolve => setImmediate(resolve))
    : () =>
        new Promise(resolve => {
          // not setTimeout, which browsers hold back to 4 ms, and to a second in a hidden tab
          const { port1, port2 } = new MessageChannel()
          ;(port1 as unknown as { onmessage: () => void }).onmessage = () => {
            port1.close()
            resolve()
          }
          port2.postMessage(0)
        })
