// The set-up of a change log: our tables, tables of base versions and triggers, and stamps for rows that have none.

import { copiesOf, type Database, query, type Row, savepoint, type TableState, type Transaction } from '../databases/database.js'
import { SyncSchemaError } from '../errors.js'
import type { ChangeLog } from './changeLog.js'
import type { Collection } from './collection.js'
import { moveRenamed, noteNames, tablesBefore } from './renames.js'

/** Brings the database in line with the synced entities. Throws SyncSchemaError where a table or column is missing. */
export async function setUpChangeLog(log: ChangeLog): Promise<void> {
  await log.database.transaction(() => setUp(log, rejectMissing, true), { mode: 'setUp', duringSchemaChange: true })
  looked.set(log.database, Date.now())
}

/** Is everything there that the set-up would make? Throws SyncSchemaError where a table or column is missing. */
export async function isSetUp(log: ChangeLog): Promise<boolean> {
  return (await setUpStatements(log)).every(sql => CHANGES_NOTHING.test(sql))
}

const CHANGES_NOTHING =
  /^\s*(CREATE \w+ IF NOT EXISTS|INSERT (IGNORE )?INTO [`"]?sync_clock|UPDATE sync_clock SET bypass|SET @sync_bypass|SET TRANSACTION|START TRANSACTION|COMMIT)/

/** The statements by which the set-up would change the database as it is now, in their order. Throws SyncSchemaError as the set-up does. */
export function setUpStatements(log: ChangeLog): Promise<string[]> {
  return log.database.transaction(() => rehearseSetUp(log), { mode: 'read', duringSchemaChange: true })
}

// What a table was called before decides what is to be made: so its renaming comes first, and alone.
function* rehearseSetUp(log: ChangeLog): Transaction<string[]> {
  const { database, collections } = log
  const renaming = yield* rehearse(database, moveRenamed(database, collections))
  return renaming.length ? renaming : yield* rehearse(database, setUp(log, rejectMissing))
}

// Reads are made, writes are noted.
function* rehearse({ textOf = withLiterals }: Database, body: Transaction<void>): Transaction<string[]> {
  const statements: string[] = []
  let state = body.next()
  while (!state.done) {
    const { sql, values, many } = state.value
    let rows: Row[] = []
    if (!/^\s*(SELECT|WITH|SHOW)\b/i.test(sql)) for (const each of many ?? [values]) statements.push(textOf(sql, each))
    else {
      try {
        rows = yield* savepoint(() => query(sql, ...values))
      } catch {
        // of a table that one of the statements makes
      }
    }
    state = body.next(rows)
  }
  if (statements.some(sql => /^START TRANSACTION/.test(sql))) statements.push('COMMIT')
  return statements
}

function withLiterals(sql: string, values: readonly unknown[]): string {
  let next = 0
  return sql.replace(/'(?:[^']|'')*'|\?(\d*)/g, (found, number) => {
    if (found.startsWith("'")) return found
    const value = values[number ? Number(number) - 1 : next++]
    if (value === null || value === undefined) return 'NULL'
    return typeof value === 'number' ? String(value) : `'${String(value).replaceAll("'", "''")}'`
  })
}

/** Is every write seen? Cheap where nothing is amiss. */
export const isCapturing = (log: ChangeLog): Transaction<boolean> => log.database.hasTriggers(tablesOf(log.collections))

/** Makes sure that every write is seen. Throws SyncSchemaError. */
export async function ensureTriggers(log: ChangeLog): Promise<void> {
  const intact = await log.database.transaction(() => isCapturing(log), { mode: 'read' })
  if (!intact) await log.database.transaction(() => setUp(log, rejectMissing, true), { mode: 'setUp' })
}

const PAUSE = 30_000
const looked = new WeakMap<Database, number>()

/** `ensureTriggers`, now and then: a table may have been swapped for another one while a server runs. */
export async function ensureTriggersNowAndThen(log: ChangeLog): Promise<void> {
  if (Date.now() - (looked.get(log.database) ?? 0) < PAUSE) return
  looked.set(log.database, Date.now())
  await ensureTriggers(log)
}

const changing = new WeakSet<Database>()

/**
 * Runs `work`, which changes the schema, while the triggers are away and transactions wait.
 * With `changesRows` the rows that it changes count as changed; otherwise it must keep their contents.
 */
export async function changeSchema<T>(log: ChangeLog, work: () => Promise<T>, { changesRows = false } = {}): Promise<T> {
  const { database } = log
  // a migration may synchronize; the triggers are away already
  if (changing.has(database)) return work()
  changing.add(database)
  const putBack = () => database.transaction(() => setUp(log, leaveMissing), { mode: 'setUp', duringSchemaChange: true })
  try {
    return await database.changeSchema(async () => {
      await database.transaction(() => prepareSchemaChange(log, changesRows), { mode: 'setUp', duringSchemaChange: true })
      let result: T
      try {
        result = await work()
      } catch (error) {
        // what went wrong first is what people want to read; the triggers are put back by the next sync at the latest
        await putBack().catch(() => {})
        throw error
      }
      await putBack()
      return result
    })
  } finally {
    changing.delete(database)
  }
}

function* prepareSchemaChange({ database, collections }: ChangeLog, changesRows: boolean): Transaction<void> {
  const tables = changesRows ? yield* tablesBefore(database, collections) : []
  yield* database.dropTriggers()
  // the copies outlive a crash: the next set-up compares and drops them
  if (changesRows) yield* database.copyRows(tables)
}

// `isUnawaited`: where triggers are gone, it was not we who took them away.
function* setUp(
  { database, collections }: ChangeLog,
  missing: (collection: Collection, state: TableState) => void,
  isUnawaited = false,
): Transaction<void> {
  if (!(yield* database.isReplica())) yield* moveRenamed(database, collections)
  const present: Collection[] = []
  const gained: Collection[] = []
  let isMissed = false
  for (const collection of collections) {
    const state = yield* database.prepareTable(collection.table, tablesOf(collections))
    if (state.missing !== undefined) {
      missing(collection, state)
      continue
    }
    present.push(collection)
    if (isUnawaited && state.triggersWereGone && !state.isNew && !(yield* database.columnNames(copiesOf(collection.name))).length)
      isMissed = true
    if (state.gained.length) gained.push(collection)
  }
  // a database that was dropped stays empty until there is something to keep account of
  if (collections.length > 0 && present.length === 0) return
  // what a replica has comes from its primary
  if (yield* database.isReplica()) return
  yield* database.createTables()
  // Marked by hand, for before this the clock was not there: the triggers are back already and must not take the following for edits.
  yield* database.bypassCapture(true)
  // what was written meanwhile nobody saw: clients read everything once more
  if (isMissed) yield* query('UPDATE sync_clock SET horizon = ?', yield* database.tick())
  yield* database.stampDifferences(tablesOf(present))
  yield* database.stampUnstamped(tablesOf(present))
  for (const collection of gained) yield* readAgain(collection)
  yield* noteNames(database, present)
  yield* database.bypassCapture(false)
}

const tablesOf = (collections: readonly Collection[]) => collections.map(c => c.table)

// What a server has in a column that is new here was passed over until now.
function* readAgain({ name }: Collection): Transaction<void> {
  yield* query('UPDATE sync_server SET server_date = 0, etag = NULL, page = NULL, pulling = 0, sweeping = 0 WHERE collection = ?', name)
}

const leaveMissing = () => {}

function rejectMissing({ entity, table }: Collection, state: TableState): void {
  const what = state.missing === 'column' ? `The table ${table.name} has no column ${state.column}` : `There is no table ${table.name}`
  throw new SyncSchemaError(
    `${what}, which ${entity} needs to sync. Let a migration bring it (migration:generate knows of it, migrationsRun: true runs it first), ` +
      'or initialise the data source with synchronize: true.',
    { entity },
  )
}
