// A migration of rows that each device makes for itself.

import type { DataSource, QueryRunner } from 'typeorm'
import { tablesInChange } from '../changes/setUp/changeSchema.js'
import { readAgainSql } from '../changes/setUp/setUp.js'
import { baseTableNameOf, copiesOf } from '../databases/database.js'
import { SyncConfigurationError } from '../errors.js'
import { setUps } from './syncSetUp.js'

/**
 * In a migration: changes rows, and columns, of a table so that this is no local change, for every device does the same. What was changed before stays a
 * local change. `table` is called as it is at that moment; `work` is given a name, quoted, and is called for the table, and for what is kept of earlier
 * versions of its rows. These have its columns but no key and no index: so `work` speaks of columns and values alone.
 * The next sync reads the table from the server once more.
 *
 * Throws SyncConfigurationError outside of a migration that this data source runs.
 */
export async function localMigration(runner: QueryRunner, table: string, work: (table: string) => Promise<unknown>): Promise<void> {
  const { dataSource } = runner
  const database = setUps.get(dataSource)?.changeLog.database
  const inChange = database && tablesInChange(database)
  if (database && !inChange)
    throw new SyncConfigurationError(
      'localMigration is for migrations that the data source runs: migrationsRun, or dataSource.runMigrations().',
    )
  const changed = inChange?.find(each => (each.was ?? each.name) === table)
  const bases = baseTableNameOf(table)
  if (changed && (await runner.hasTable(copiesOf(changed.name)))) await work(inPath(dataSource, copiesOf(changed.name)))
  if (changed && (await runner.hasTable(bases))) await changeBases(runner, bases, work)
  // the table itself comes last: where the database commits in between, what is left half done counts as a local change
  await work(inPath(dataSource, table, changed?.schema))
  if (changed && (await runner.hasTable('sync_server'))) await runner.query(readAgainSql(table, inPath(dataSource, 'sync_server')))
}

/** Where the session's path need not lead to the data source's schema, a table is named with its schema. */
const inPath = ({ driver }: DataSource, name: string, schema = driver.schema) =>
  `${schema ? `${driver.escape(schema)}.` : ''}${driver.escape(name)}`

const MARKS = '_sync_server, _sync_id, _sync_stamp, _sync_removed'

// A base version that says that there was no row has no values, which the columns may require: it waits elsewhere.
async function changeBases(runner: QueryRunner, bases: string, work: (table: string) => Promise<unknown>): Promise<void> {
  const { dataSource } = runner
  const [table, aside, clock] = [bases, copiesOf(bases), 'sync_clock'].map(name => inPath(dataSource, name)) as [string, string, string]
  const now = dataSource.driver.escape('now')
  // so has an exit: those who saw its row by it read everything anew
  if ((await runner.query(`SELECT 1 FROM ${table} WHERE _sync_server = 0 LIMIT 1`)).length) {
    await runner.query(`DELETE FROM ${table} WHERE _sync_server = 0`)
    await runner.query(`UPDATE ${clock} SET ${now} = ${now} + 1`)
    await runner.query(`UPDATE ${clock} SET horizon = ${now}`)
  }
  // one that is there stems from a migration that was cut off where the database commits in between
  if (!(await runner.hasTable(copiesOf(bases))))
    await runner.query(`CREATE TABLE ${aside} AS SELECT ${MARKS} FROM ${table} WHERE _sync_removed <> 0`)
  await runner.query(`DELETE FROM ${table} WHERE _sync_removed <> 0`)
  await work(table)
  await runner.query(`INSERT INTO ${table} (${MARKS}) SELECT ${MARKS} FROM ${aside}`)
  await runner.query(`DROP TABLE ${aside}`)
}
