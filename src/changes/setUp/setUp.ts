// The set-up of a change log: our tables, tables of base versions and triggers, and stamps for rows that have none.

import { copiesOf, type Database, query, type TableState, type Transaction } from '../../databases/database.js'
import { text } from '../../databases/knows.js'
import { SyncSchemaError } from '../../errors.js'
import type { ChangeLog } from '../changeLog.js'
import type { Collection } from '../collections/collection.js'
import { fillIdentities, fillPaths, shareNumbers } from './paths.js'
import { moveRenamed, noteNames } from './renames.js'

/** Brings the database in line with the synced entities. Throws SyncSchemaError where a table or column is missing. */
export async function setUpChangeLog(log: ChangeLog): Promise<void> {
  await log.database.transaction(() => setUp(log, rejectMissing, true), { mode: 'setUp', duringSchemaChange: true })
  looked.set(log.database, Date.now())
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

// `isUnawaited`: triggers that are missing were not dropped by us.
export function* setUp(
  { database, collections }: ChangeLog,
  missing: (collection: Collection, state: TableState) => void,
  isUnawaited = false,
): Transaction<void> {
  if (!(yield* database.isReplica())) yield* moveRenamed(database, collections)
  const present: Collection[] = []
  const gained: Collection[] = []
  const shared: Collection[] = []
  let isMissed = false
  let gainsScope = false
  let unfilled = false
  for (const collection of collections) {
    const state = yield* database.prepareTable(collection.table, tablesOf(collections))
    if (state.missing !== undefined) {
      missing(collection, state)
      continue
    }
    present.push(collection)
    if (isUnawaited && state.lostTriggers && !(yield* database.columnNames(copiesOf(collection.name))).length) isMissed = true
    if (state.gainsScope) gainsScope = true
    const isPath = (column: string) => collection.table.paths?.some(p => p.column === column)
    if (state.gainsScope || state.lostTriggers || state.isNew || state.gained.some(isPath)) unfilled = true
    if (state.isNew && collection.sameNumbers) shared.push(collection)
    if (state.gained.some(column => collection.columns.some(c => c.column === column))) gained.push(collection)
  }
  // a database that was dropped stays empty until there is something to keep account of
  if (collections.length > 0 && present.length === 0) return
  // what a replica has comes from its primary
  if (yield* database.isReplica()) return
  yield* database.createTables()
  // The bypass is set by hand, since there was no clock before: the triggers are back already and must not count the following as edits.
  yield* database.bypassCapture(true)
  // no trigger saw what was written meanwhile: clients read everything again
  if (isMissed) yield* query('UPDATE sync_clock SET horizon = ?', yield* database.tick())
  // what left a scope before it was one left no exit
  if (gainsScope) {
    yield* database.tick()
    yield* query('UPDATE sync_clock SET horizon = "now"')
  }
  yield* fillIdentities(database, present)
  yield* shareNumbers(database, shared)
  if (unfilled) yield* fillPaths(database, present)
  yield* database.stampDifferences(tablesOf(present))
  yield* database.stampUnstamped(tablesOf(present))
  for (const collection of gained) yield* readAgain(collection)
  yield* noteNames(database, present)
  yield* database.bypassCapture(false)
}

const tablesOf = (collections: readonly Collection[]) => collections.map(c => c.table)

// What a server has in a column that is new here was passed over until now.
function* readAgain({ name }: Collection): Transaction<void> {
  yield* query(readAgainSql(name))
}

/** SQL by which the next sync reads a collection from the beginning. */
export const readAgainSql = (collection: string, servers = 'sync_server') =>
  `UPDATE ${servers} SET server_date = 0, etag = NULL, page = NULL, pulling = 0, sweeping = 0 WHERE collection = ${text(collection)}`

export const leaveMissing = () => {}

export function rejectMissing({ entity, table }: Collection, state: TableState): void {
  const what = state.missing === 'column' ? `The table ${table.name} has no column ${state.column}` : `There is no table ${table.name}`
  throw new SyncSchemaError(
    `${what}, which ${entity} needs to sync. Let a migration bring it (migration:generate knows of it, migrationsRun: true runs it first), ` +
      'or initialise the data source with synchronize: true.',
    { entity },
  )
}
