// MySQL 8 and MariaDB 10.6 or later, with mysql2: a pool, of which a transaction takes one connection.
//
// A transaction is a transaction that locks the clock first. It reads what is committed (READ COMMITTED): from then on no other step, and no
// application's transaction that changes synced rows, comes in between. Inside it the session variable @sync_bypass keeps the triggers still.
//
// The set-up is not atomic, since DDL commits by itself. It makes our tables first, then base versions, triggers last: wherever it stops, the next one goes on.
//
// An application's transaction locks its row first and the clock after it, a transaction the other way round. Where both want the same row, one of them is
// rolled back with error 1213: the transaction begins anew by itself, an application must be ready for that, as it must with InnoDB anyway.

import type { DataSource } from 'typeorm'
import { ConstraintError, DatabaseBusyError, DatabaseFailedError, SyncConfigurationError } from '../../errors.js'
import type { ColumnCodec } from '../columns.js'
import {
  baseTableOf,
  type Cell,
  cellsOf,
  copiesOf,
  type Database,
  first,
  type OpenOptions,
  query,
  quote,
  type Row,
  type Rows,
  type Statement,
  type Table,
  type Target,
  type Transaction,
  type TransactionMode,
  type TransactionOptions,
  type UniqueIndex,
} from '../database.js'
import { TRIGGER_MARK } from '../knows.js'
import { delay, SchemaChanges } from '../schemaChanges.js'
import {
  asId,
  asKey,
  asText,
  type Catalog,
  type Columns,
  columnsOf,
  differs,
  guardOf,
  readCatalog,
  readTriggers,
  unseenCascade,
  unsyncedAncestors,
} from './catalog.js'
import { type Connection, connect, identifier, literal, textOf } from './connection.js'
import { brokenRule, closed, constraintError, endsTransaction, failure, isBroken, isBusy, isClosed } from './errors.js'
import { ID_TYPE, TABLE_OPTIONS, TABLES } from './tables.js'
import { keepAbsentBase, keepBase, pinned, type Trigger, tickSql, triggersOf } from './triggers.js'

const NOW = '(SELECT `now` FROM sync_clock)'
const WALL_CLOCK = 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)'
// What does not fit is rejected, never cut, whatever the session has set. Not in a set-up: triggers that are made there keep the mode, and would
// reject what the application itself writes.
const PIN_MODE = "@sync_sql_mode = @@sql_mode, @@SESSION.sql_mode = 'STRICT_ALL_TABLES',"
const RESTORE_MODE = ', @@SESSION.sql_mode = coalesce(@sync_sql_mode, @@GLOBAL.sql_mode)'
// rows in a statement
const BATCH = 1_000

export function mysqlDatabase(dataSource: DataSource, options: OpenOptions = {}): Database {
  const { busyTimeout = 10_000, wallClock = WALL_CLOCK, beforeStatement, beforeTransaction } = options
  const schemaChanges = new SchemaChanges()
  /** Characters that a statement may have. */
  let longest: number | undefined
  // what the catalog said of the tables when they were prepared
  const known = new Map<string, Columns>()
  const trees = new Map<string, { child: string; parent: string }[]>()

  // ---------------------------------------------------------------- transactions

  async function execute(connection: Connection, { sql, values, many, asCells }: Statement): Promise<Row[]> {
    beforeStatement?.(sql)
    let rows: Row[] = []
    for (const list of many ?? [values]) rows = await run(connection, textOf(sql, list))
    return many ? [] : asCells ? cellsOf(rows) : rows
  }

  async function run(connection: Connection, sql: string): Promise<Row[]> {
    // the server would close the connection
    if (longest !== undefined && sql.length > longest && new TextEncoder().encode(sql).length >= 4 * longest)
      throw new ConstraintError('too-large', undefined)
    try {
      return await connection.run(sql)
    } catch (error) {
      const rule = brokenRule(error, sql)
      if (!rule) throw error
      const column = rule.index === undefined ? rule.column : await columnOfIndex(connection, sql, rule.index)
      throw constraintError({ ...rule, column }, error)
    }
  }

  const perform = (connection: Connection, sql: string) => execute(connection, { sql, values: [] })

  async function drive<T>(connection: Connection, body: Transaction<T>): Promise<T> {
    let lost: unknown
    try {
      let state = body.next()
      while (!state.done) {
        let rows: Row[]
        try {
          if (lost !== undefined) throw lost
          rows = await execute(connection, state.value)
        } catch (error) {
          if (endsTransaction(error)) lost = error
          state = body.throw(error)
          continue
        }
        state = body.next(rows)
      }
      if (lost !== undefined) throw lost
      return state.value
    } catch (error) {
      throw lost ?? error
    }
  }

  async function begin(connection: Connection, mode: TransactionMode, seconds: number): Promise<void> {
    if (mode === 'read') {
      await perform(connection, 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ')
      await perform(connection, 'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY')
    } else if (mode === 'setUp') {
      // two processes that start at once
      const [lock] = await perform(connection, `SELECT GET_LOCK(${LOCK}, ${seconds}) AS held`)
      if (Number(lock?.held) !== 1) throw new NotInTime()
    } else {
      await perform(connection, 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
      await perform(connection, 'START TRANSACTION')
      await perform(connection, 'SELECT `now` FROM sync_clock FOR UPDATE')
    }
  }

  // The whole transaction. A connection whose state nobody knows is not used again.
  async function transact<T>(body: () => Transaction<T>, { mode = 'write' }: TransactionOptions, deadline: number): Promise<T> {
    const connection = await connectInTime(deadline)
    const seconds = Math.min(31_536_000, Math.max(1, Math.ceil((deadline - Date.now()) / 1000)))
    let isUnusable = false
    let isCommitting = false
    try {
      await checkSession(connection)
      await perform(
        connection,
        `SET @sync_wait = @@innodb_lock_wait_timeout, @sync_schema_wait = @@lock_wait_timeout, ${mode === 'setUp' ? '' : PIN_MODE}
           @@SESSION.innodb_lock_wait_timeout = ${seconds}, @@SESSION.lock_wait_timeout = ${seconds}, @sync_bypass = ${mode === 'write' ? '1' : 'NULL'}`,
      )
      await begin(connection, mode, seconds)
      const result = await drive(connection, body())
      beforeStatement?.('COMMIT')
      isCommitting = true
      await connection.run('COMMIT')
      isCommitting = false
      return result
    } catch (error) {
      isUnusable = isBroken(error)
      if (isCommitting && isUnusable)
        throw new DatabaseFailedError(
          'The connection to the database broke while a transaction was being stored. Nobody knows whether it was; sync again, and it is found out.',
          { cause: error },
        )
      if (!isUnusable) await connection.run('ROLLBACK').catch(() => (isUnusable = true))
      throw error
    } finally {
      if (!isUnusable) {
        const restore = `SET @sync_bypass = NULL, @@SESSION.innodb_lock_wait_timeout = coalesce(@sync_wait, @@GLOBAL.innodb_lock_wait_timeout),
          @@SESSION.lock_wait_timeout = coalesce(@sync_schema_wait, @@GLOBAL.lock_wait_timeout)${mode === 'setUp' ? '' : RESTORE_MODE}`
        try {
          await connection.run(restore)
          if (mode === 'setUp') await connection.run(`DO RELEASE_LOCK(${LOCK})`)
        } catch {
          isUnusable = true
        }
      }
      await connection.release(isUnusable)
    }
  }

  // The pool itself would wait for ever.
  async function connectInTime(deadline: number): Promise<Connection> {
    const connecting = connect(dataSource)
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<undefined>(resolve => {
      timer = setTimeout(resolve, Math.max(1, deadline - Date.now()), undefined)
    })
    try {
      const connection = await Promise.race([connecting, late])
      if (connection) return connection
    } finally {
      clearTimeout(timer)
    }
    connecting.then(
      connection => connection.release(false),
      () => {},
    )
    throw new NotInTime()
  }

  // Values are written into the statements' text, so it must be read as it is written.
  async function checkSession(connection: Connection): Promise<void> {
    if (longest !== undefined) return
    const [row] = await connection.run(
      'SELECT @@max_allowed_packet AS packet, @@sql_mode AS mode, @@character_set_client AS client, @@character_set_connection AS connection',
    )
    if (/NO_BACKSLASH_ESCAPES/.test(String(row?.mode)))
      throw new SyncConfigurationError(
        'The sql_mode NO_BACKSLASH_ESCAPES is not supported; take it out of the server’s, or the connection’s, sql_mode.',
      )
    if (row?.client !== 'utf8mb4' || row?.connection !== 'utf8mb4')
      throw new SyncConfigurationError(
        `The connection’s character set is ${row?.client}, which cannot hold every text; leave the data source’s option charset out, or set it to utf8mb4.`,
      )
    longest = Number(row?.packet) / 4
  }

  async function transaction<T>(body: () => Transaction<T>, transactionOptions: TransactionOptions = {}): Promise<T> {
    const deadline = Date.now() + busyTimeout
    for (let pause = 2; ; pause = Math.min(pause * 2, 200)) {
      await beforeTransaction?.()
      if (!dataSource.isInitialized) throw closed()
      let cause: unknown
      if (schemaChanges.areRunning && !transactionOptions.duringSchemaChange) await schemaChanges.wait(deadline)
      else {
        try {
          return await transact(body, transactionOptions, deadline)
        } catch (error) {
          const mayPass = error instanceof NotInTime || isBusy(error) || (isBroken(error) && !isClosed(error))
          if (!mayPass) throw failure(error)
          cause = error
        }
      }
      if (Date.now() >= deadline) throw isBroken(cause) ? failure(cause) : new DatabaseBusyError(busyMessage(cause), { cause })
      await delay(pause * (0.5 + Math.random()))
    }
  }

  function busyMessage(cause: unknown): string {
    const what = schemaChanges.areRunning
      ? 'The schema was being changed'
      : cause instanceof NotInTime
        ? 'No connection to the database was free, or another process was setting up sync,'
        : 'The application’s transactions, or other processes, kept rows of the database locked'
    return `${what} for more than ${busyTimeout} ms. Nothing was stored, nothing was lost; sync again when it has ended.`
  }

  // ---------------------------------------------------------------- rows

  function* knownColumns(table: string): Transaction<Columns | undefined> {
    if (!known.has(table)) for (const [name, columns] of yield* columnsOf([table])) known.set(name, columns)
    return known.get(table)
  }

  /** Rows in as many statements as need be. */
  function* inBatches(
    rows: readonly (readonly unknown[])[],
    statement: (some: readonly (readonly unknown[])[]) => Statement,
  ): Transaction<void> {
    const limit = longest ?? 1_000_000
    let some: (readonly unknown[])[] = []
    let size = 0
    for (const row of rows) {
      const length = row.reduce((sum: number, value) => sum + lengthOf(value), 0)
      if (some.length && (some.length >= BATCH || size + length > limit)) {
        yield statement(some)
        some = []
        size = 0
      }
      some.push(row)
      size += length
    }
    if (some.length) yield statement(some)
  }

  function* insert(into: string, columns: readonly Target[], rows: readonly (readonly unknown[])[], end = ''): Transaction<void> {
    const place = `(${columns.map(placeholderOf).join(', ')})`
    const head = `INSERT INTO ${quote(into)} (${columns.map(c => quote(nameOf(c))).join(', ')}) VALUES `
    yield* inBatches(rows, some => ({ sql: `${head}${Array(some.length).fill(place).join(', ')}${end}`, values: some.flat() }))
  }

  /** InnoDB looks at foreign keys row by row: parents go before their children. Where rows hang on each other, one learns its parent afterwards. */
  function* insertTree(table: string, columns: readonly Target[], given: Rows): Transaction<void> {
    const rows = [...given]
    if (rows.length < 2) return yield* insert(table, columns, rows)
    const places = new Map(columns.map((c, i) => [nameOf(c), i]))
    const own = (yield* selfReferences(table)).flatMap(({ child, parent }) => {
      const [from, to] = [places.get(child), places.get(parent)]
      return from === undefined || to === undefined ? [] : [[from, to] as const]
    })
    if (!own.length) return yield* insert(table, columns, rows)
    const byValue = own.map(([, to]) => new Map(rows.map(row => [String(row[to]), row])))
    const ordered = new Set<readonly unknown[]>()
    const path = new Set<readonly unknown[]>()
    for (const row of rows) {
      // not by recursion: a list may be as deep as it is long
      const stack = [row]
      for (let next = stack.at(-1); next; next = stack.at(-1)) {
        path.add(next)
        const here = next
        const parent = own
          .map(([from], i) => (here[from] === null ? undefined : byValue[i]?.get(String(here[from]))))
          .find(p => p && !ordered.has(p) && !path.has(p))
        if (parent) stack.push(parent)
        else {
          ordered.add(here)
          stack.pop()
        }
      }
    }
    const inserted = new Set<readonly unknown[]>()
    const isLater = (row: readonly unknown[], i: number) => {
      const parent = byValue[i]?.get(String(row[own[i]?.[0] as number]))
      return parent !== undefined && parent !== row && !inserted.has(parent)
    }
    const later: [i: number, row: readonly unknown[]][] = []
    const withoutLater = [...ordered].map(row => {
      const missing = own.flatMap((_, i) => (isLater(row, i) ? [i] : []))
      inserted.add(row)
      for (const i of missing) later.push([i, row])
      return missing.length ? row.map((value, place) => (missing.some(i => own[i]?.[0] === place) ? null : value)) : row
    })
    yield* insert(table, columns, withoutLater)
    for (const [i, row] of later) {
      const [from, to] = own[i] as readonly [number, number]
      yield* update(table, [columns[from] as Target], [nameOf(columns[to] as Target)], [[row[from], row[to]]])
    }
  }

  function* update(table: string, columns: readonly Target[], keys: readonly string[], rows: Rows): Transaction<void> {
    if (!rows.length) return
    const pins = pinned((yield* knownColumns(table))?.values() ?? [], columns.map(nameOf))
    const assignments = columns.map(c => `${quote(nameOf(c))} = ${placeholderOf(c)}`).join(', ')
    const isRow = keys.map(k => `${quote(k)} = ?`).join(' AND ')
    yield { sql: `UPDATE ${quote(table)} SET ${assignments}${pins} WHERE ${isRow}`, values: [], many: rows }
  }

  function* selfReferences(table: string): Transaction<{ child: string; parent: string }[]> {
    const found = trees.get(table)
    if (found) return found
    const rows = yield* query(
      `SELECT k.COLUMN_NAME AS child, k.REFERENCED_COLUMN_NAME AS parent FROM information_schema.KEY_COLUMN_USAGE k
        WHERE k.TABLE_SCHEMA = DATABASE() AND k.TABLE_NAME = ? AND k.REFERENCED_TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME = ?`,
      table,
      table,
    )
    const references = rows.map(row => ({ child: String(row.child), parent: String(row.parent) }))
    trees.set(table, references)
    return references
  }

  function* tick(): Transaction<number> {
    yield* query(tickSql(wallClock))
    const row = yield* first(`SELECT ${NOW} AS "now"`)
    return Number(row?.now)
  }

  function* lockClock(): Transaction<void> {
    yield* query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
    yield* query('START TRANSACTION')
    yield* query('SELECT `now` FROM sync_clock FOR UPDATE')
  }

  const columnOf = (table: Table) => known.get(table.name)?.get(table.key)
  const idOf = (table: Table, alias: string) => asId(columnOf(table), `${alias}.${quote(table.key)}`)

  function* keepBasesOf(table: Table, ids: readonly string[], except: number): Transaction<void> {
    const sql = keepBase(table, {
      id: idOf(table, 'x'),
      stamp: 'x.`_lastChange`',
      cell: c => `x.${quote(c)}`,
      from: `, ${quote(table.name)} x`,
      where: `x.${quote(table.key)} IN (?) AND r.id <> ? AND`,
    })
    for (const some of chunks(ids)) yield* query(sql, some, except)
  }

  function* keepAbsentBasesOf(table: Table, ids: readonly string[], except: number): Transaction<void> {
    for (const some of chunks(ids)) {
      const list = some.map((_, i) => (i ? 'SELECT ?' : `SELECT ${asText('?')} AS id`)).join(' UNION ALL ')
      yield* query(keepAbsentBase(table, asText('k.id'), { from: `(${list}) k CROSS JOIN `, where: 'r.id <> ? AND' }), ...some, except)
    }
  }

  // ---------------------------------------------------------------- set-up

  function* makeTables(): Transaction<void> {
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

  function* makeBaseTable(table: Table, own: Columns, kept: Columns | undefined): Transaction<string[]> {
    const name = quote(baseTableOf(table))
    const definition = (column: string, fallback = '') => `${quote(column)} ${own.get(column)?.type} NULL${fallback}`
    if (!kept) {
      yield* query(`CREATE TABLE ${name} (
        _sync_server BIGINT NOT NULL, _sync_id ${ID_TYPE} NOT NULL, _sync_stamp BIGINT NOT NULL, _sync_removed INTEGER NOT NULL,
        ${table.columns.map(c => `${definition(c)},`).join(' ')} PRIMARY KEY (_sync_server, _sync_id, _sync_stamp)) ${TABLE_OPTIONS}`)
      return []
    }
    const gained = table.columns.filter(c => !kept.has(c))
    const defaultOf = (c: string) => (own.get(c)?.fallback === undefined ? '' : ` DEFAULT ${own.get(c)?.fallback}`)
    const changes = [
      ...gained.map(c => `ADD COLUMN ${definition(c, defaultOf(c))}`),
      ...table.columns.filter(c => kept.has(c) && kept.get(c)?.type !== own.get(c)?.type).map(c => `MODIFY COLUMN ${definition(c)}`),
      ...[...kept.keys()].filter(c => !c.startsWith('_sync_') && !table.columns.includes(c)).map(c => `DROP COLUMN ${quote(c)}`),
    ]
    // a base version may hold what the column held before, and is cut where that does not fit any more
    yield* query("SET @sync_mode = @@sql_mode, @@SESSION.sql_mode = ''")
    try {
      yield* query(`ALTER TABLE ${name} ${changes.join(', ')}`)
    } finally {
      yield* query('SET @@SESSION.sql_mode = @sync_mode')
    }
    return gained
  }

  const areAligned = (table: Table, own: Columns, kept: Columns | undefined) =>
    kept !== undefined && kept.size === table.columns.length + 4 && table.columns.every(c => kept.get(c)?.type === own.get(c)?.type)

  // TRUNCATE fires no trigger. InnoDB rejects it for a table that another one references, be that one empty.
  function* makeGuard(table: Table, own: Columns): Transaction<void> {
    yield* query(`CREATE TABLE IF NOT EXISTS ${quote(guardOf(table.name))} (
      id ${own.get(table.key)?.type} NULL, INDEX (id), FOREIGN KEY (id) REFERENCES ${quote(table.name)} (${quote(table.key)})) ${TABLE_OPTIONS}`)
  }

  const areTriggers = (expected: readonly Trigger[], present: ReadonlyMap<string, string> = new Map()) =>
    expected.length === present.size && expected.every(t => present.get(t.name) === t.body)

  function* alignTriggers(catalog: Catalog, table: string, tables: readonly Table[]): Transaction<boolean> {
    const expected = triggersOf(catalog, table, tables, wallClock)
    const present = catalog.triggers.get(table) ?? new Map<string, string>()
    if (areTriggers(expected, present)) return false
    for (const name of present.keys()) yield* query(`DROP TRIGGER IF EXISTS ${quote(name)}`)
    for (const { sql } of expected) yield* query(sql)
    return present.size < expected.length
  }

  function* stampDifferencesOf(table: Table, copied: Columns, own: Columns): Transaction<void> {
    const [name, copy, key] = [quote(table.name), quote(copiesOf(table.name)), quote(table.key)]
    const pins = pinned(own.values(), ['_lastChange'])
    // the key was renamed: nobody can tell which row is which any more, so all of them count as changed
    if (!copied.has(table.key)) return void (yield* query(`UPDATE ${name} SET "_lastChange" = NULL${pins}`))
    const [ownKey, copyKey] = [own.get(table.key), copied.get(table.key)]
    const [rowId, copyId] = [asId(ownKey, `x.${key}`), asId(copyKey, `c.${key}`)]
    const isRow = `x.${key} = ${asKey(ownKey, copyId)}`
    const isCopy = `c.${key} = ${asKey(copyKey, rowId)}`
    const common = ['_lastChange', ...table.columns].filter(c => copied.has(c))
    const idsOf = function* (sql: string) {
      return (yield* query(sql)).map(row => String(row.id))
    }
    const changed = yield* idsOf(`SELECT ${copyId} AS id FROM ${copy} c JOIN ${name} x ON ${isRow}
      WHERE ${common.map(c => differs(own.get(c), `x.${quote(c)}`, `c.${quote(c)}`)).join(' OR ')}`)
    const removed = yield* idsOf(`SELECT ${copyId} AS id FROM ${copy} c WHERE NOT EXISTS (SELECT 1 FROM ${name} x WHERE ${isRow})`)
    const added = yield* idsOf(`SELECT ${rowId} AS id FROM ${name} x WHERE NOT EXISTS (SELECT 1 FROM ${copy} c WHERE ${isCopy})`)
    if (changed.length + removed.length + added.length === 0) return
    const keep = keepBase(table, {
      id: copyId,
      stamp: 'c.`_lastChange`',
      cell: c => (copied.has(c) ? `c.${quote(c)}` : `x.${quote(c)}`),
      from: `, ${copy} c LEFT JOIN ${name} x ON ${isRow}`,
      where: `c.${key} IN (?) AND`,
    })
    for (const some of chunks([...changed, ...removed])) yield* query(keep, some)
    yield* keepAbsentBasesOf(table, added, 0)
    for (const some of chunks(added)) yield* query('DELETE FROM sync_tombstone WHERE collection = ? AND id IN (?)', table.name, some)
    for (const some of chunks([...changed, ...added])) {
      yield* tick() // not all under one stamp: within a stamp the database sorts for each page
      yield* query(`UPDATE ${name} SET "_lastChange" = ${NOW}${pins} WHERE ${key} IN (?)`, some)
    }
    const now = yield* tick()
    yield* upsert(
      'sync_tombstone',
      ['collection', 'id', 'stamp'],
      ['collection', 'id'],
      removed.map(id => [table.name, id, now]),
    )
  }

  function* upsert(
    into: string,
    columns: readonly Target[],
    keys: readonly string[],
    rows: readonly (readonly unknown[])[],
  ): Transaction<void> {
    const others = columns.map(nameOf).filter(c => !keys.includes(c))
    const set = others.length
      ? others.map(c => `${quote(c)} = VALUES(${quote(c)})`).join(', ')
      : `${quote(keys[0] as string)} = ${quote(keys[0] as string)}`
    yield* insert(into, columns, rows, ` ON DUPLICATE KEY UPDATE ${set}`)
  }

  return {
    transaction,
    changeSchema: work => schemaChanges.run(work),
    async save() {},

    id: idOf,
    key: (table, expression) => asKey(columnOf(table), expression),
    among: (_table, alias, column) => `${alias}.${quote(column)} IN (?)`,
    list: ids => [...ids],
    text: asText,
    size: expression => `LENGTH(${expression})`,
    cutsPages: true,
    textOf,

    *spell(_table, columns, lists) {
      const answers: [cell: Cell, state: string | null][][] = []
      for (const [i, column] of columns.entries()) {
        const answer: [cell: Cell, state: string | null][] = []
        for (const some of chunks(lists[i] ?? [], 100)) answer.push(...(yield* spellSome(column, some)))
        answers.push(answer)
      }
      return answers
    },

    insertRows: insertTree,

    upsertRows: upsert,

    updateRows: update,

    *deleteRows(from, keys, rows) {
      if (!rows.length) return
      const [key = '', ...more] = keys
      const head = `DELETE FROM ${quote(from)} WHERE `
      if (more.length) {
        const isRow = `(${keys.map(k => `${quote(k)} = ?`).join(' AND ')})`
        yield* inBatches(rows, some => ({ sql: head + Array(some.length).fill(isRow).join(' OR '), values: some.flat() }))
      } else if (rows.length > 1 && (yield* selfReferences(from)).length)
        // in the order that was given, children first: ON DELETE RESTRICT looks at once
        yield { sql: `${head}${quote(key)} = ?`, values: [], many: rows }
      else yield* inBatches(rows, some => ({ sql: `${head}${quote(key)} IN (?)`, values: [some.flat()] }))
    },

    *clock() {
      const row = yield* first('SELECT `now`, collection, horizon FROM sync_clock')
      return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
    },

    // A primary server that was set read-only for a while says 503 for a moment; a replica that may be written passes for a server of its own.
    *isReplica() {
      const row = yield* first('SELECT @@GLOBAL.read_only AS is_read_only')
      return !['0', 'OFF'].includes(String(row?.is_read_only))
    },

    tick,

    *bypassCapture(isOurs) {
      // until here statements of ours were committed one by one
      if (isOurs) yield* lockClock()
      yield* query(`SET @sync_bypass = ${isOurs ? '1' : 'NULL'}`)
    },

    createTables: makeTables,

    *prepareTable(table, tables) {
      const catalog = yield* readCatalog([table.name, baseTableOf(table)])
      const own = catalog.columns.get(table.name)
      if (!own) return { missing: 'table' }
      const missing = ['_lastChange', table.key, ...table.columns].find(c => !own.has(c))
      if (missing !== undefined) return { missing: 'column', column: missing }
      known.set(table.name, own)
      trees.delete(table.name)
      const unseen = unseenCascade(catalog, table.name)
      if (unseen !== undefined) throw new SyncConfigurationError(`The table ${table.name} cannot be synced on MySQL or MariaDB: ${unseen}`)
      yield* makeTables()
      const kept = catalog.columns.get(baseTableOf(table))
      const gained = areAligned(table, own, kept) ? [] : yield* makeBaseTable(table, own, kept)
      if (!catalog.guarded.has(table.name)) yield* makeGuard(table, own)
      let areGone = yield* alignTriggers(catalog, table.name, tables)
      for (const ancestor of unsyncedAncestors(catalog, table.name)) {
        if (yield* alignTriggers(catalog, ancestor, tables)) areGone = true
      }
      return { missing: undefined, gained, lostTriggers: kept !== undefined && areGone }
    },

    *columnNames(table) {
      known.delete(table)
      return [...((yield* columnsOf([table])).get(table)?.keys() ?? [])]
    },

    differs: (one, other) => `NOT (CAST(${one} AS BINARY) <=> CAST(${other} AS BINARY))`,

    *forgetTable(table) {
      yield* query(`DROP TABLE IF EXISTS ${quote(guardOf(table))}`)
    },

    *dropTriggers() {
      for (const triggers of (yield* readTriggers()).values())
        for (const name of triggers.keys()) yield* query(`DROP TRIGGER IF EXISTS ${quote(name)}`)
      const guards = yield* query(
        "SELECT t.TABLE_NAME AS name FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME LIKE 'sync\\\\_guard\\\\_%'",
      )
      for (const { name } of guards) yield* query(`DROP TABLE IF EXISTS ${quote(String(name))}`)
      known.clear()
      trees.clear()
    },

    *hasTriggers(tables) {
      const catalog = yield* readCatalog(tables.map(t => t.name))
      const needed = new Set(tables.flatMap(t => [t.name, ...unsyncedAncestors(catalog, t.name)]))
      for (const table of needed) if (!areTriggers(triggersOf(catalog, table, tables, wallClock), catalog.triggers.get(table))) return false
      return tables.every(t => catalog.guarded.has(t.name))
    },

    *copyRows(tables) {
      const found = yield* columnsOf(tables.flatMap(t => [t.was ?? t.name, copiesOf(t.name)]))
      for (const table of tables) {
        const { was = table.name } = table
        // a copy that is there already stems from a change that was not finished: what it holds is older, and true
        if (!found.get(was)?.has('_lastChange') || found.has(copiesOf(table.name))) continue
        // the name comes last: half a copy would be taken for a whole one
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
        const id = idOf(table, 'x')
        const pins = pinned((yield* knownColumns(table.name))?.values() ?? [], ['_lastChange'])
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

    *keepRows(table, ids, except = 0) {
      yield* keepBasesOf(table, ids, except)
    },

    *keepAbsentBases(table, ids, except = 0) {
      yield* keepAbsentBasesOf(table, ids, except)
    },

    // InnoDB looks at each row at once; there is nothing to put off
    // biome-ignore lint/correctness/useYield: it rounds numbers and times, and has triggers
    *keepsValues() {
      return false
    },

    // biome-ignore lint/correctness/useYield: a trigger there can fail, no more
    *maySkip() {
      return false
    },

    *mayChange({ name }) {
      const own = yield* first(
        `SELECT 1 AS one FROM information_schema.TRIGGERS t
          WHERE t.TRIGGER_SCHEMA = DATABASE() AND t.EVENT_OBJECT_TABLE = ? AND t.ACTION_TIMING = 'BEFORE' AND t.ACTION_STATEMENT NOT LIKE '%${TRIGGER_MARK}%' LIMIT 1`,
        name,
      )
      return own !== undefined
    },

    *deferConstraints() {},

    *checkConstraints() {},

    // a part of a text, and what follows from other columns, may move with any of them
    *uniqueIndexes(table) {
      const rows = yield* query(
        `SELECT s.INDEX_NAME AS name, s.COLUMN_NAME AS "column", s.SUB_PART AS part FROM information_schema.STATISTICS s
          WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = ? AND s.NON_UNIQUE = 0 ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX`,
        table.name,
      )
      const indexes = new Map<string, UniqueIndex & { columns: string[] }>()
      for (const { name, column, part } of rows) {
        const found = indexes.get(String(name)) ?? { columns: [], others: [] }
        const isWhole = part === null && (column === table.key || table.columns.includes(String(column)))
        indexes.set(String(name), isWhole ? found : { ...found, others: table.columns })
        if (isWhole) found.columns.push(String(column))
      }
      return [...indexes.values()].filter(({ columns }) => !columns.includes(table.key))
    },
  }
}

// MariaDB makes NULL of what it cannot read, MySQL an error: then each is asked for by itself.
function* spellSome(column: ColumnCodec, values: readonly unknown[]): Transaction<[cell: Cell, state: string | null][]> {
  const made = column.placeholder === '?' ? `CAST(? AS ${column.declared})` : column.placeholder
  try {
    const rows = yield* query(values.map((_, n) => `SELECT ${n} AS n, ${column.read(made)} AS cell`).join(' UNION ALL '), ...values)
    const cells = new Map(rows.map(({ n, cell }) => [Number(n), cell ?? null]))
    return values.map((_, n) => [cells.get(n) ?? null, cells.get(n) == null ? '22007' : null])
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    if (values.length < 2) return [[null, error.state ?? error.kind]]
    const answers: [cell: Cell, state: string | null][] = []
    for (const value of values) answers.push(...(yield* spellSome(column, [value])))
    return answers
  }
}

// Of a length that the server takes, whatever the database is called.
const LOCK = "LEFT(CONCAT('typeorm_sync_', MD5(DATABASE())), 64)"

/** No connection, or no lock for a set-up, in time. */
class NotInTime extends Error {}

const nameOf = (target: Target) => (typeof target === 'string' ? target : target.column)
const placeholderOf = (target: Target) => (typeof target === 'string' ? '?' : target.placeholder)

function* chunks<T>(list: readonly T[], size = BATCH): Generator<T[]> {
  for (let i = 0; i < list.length; i += size) yield list.slice(i, i + size)
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return 3 * value.length + 4
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? 2 * value.byteLength + 4 : 24
}

// MariaDB tells the index alone; which table it is on the statement says.
async function columnOfIndex(connection: Connection, sql: string, index: string): Promise<string | undefined> {
  const table = /^(?:INSERT INTO|UPDATE) (`(?:[^`]|``)+`)/.exec(sql)?.[1]
  const name = index.slice(index.lastIndexOf('.') + 1)
  const rows = await connection.run(
    `SELECT s.COLUMN_NAME AS name, s.TABLE_NAME AS place FROM information_schema.STATISTICS s
      WHERE s.TABLE_SCHEMA = DATABASE() AND s.INDEX_NAME = ${literal(name)} AND s.SEQ_IN_INDEX = 1`,
  )
  const found = rows.find(row => identifier(String(row.place)) === table)
  return found?.name === undefined || found.name === null ? undefined : String(found.name)
}
