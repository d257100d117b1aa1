// A migration of rows that each device makes for itself.

import type { QueryRunner } from 'typeorm'
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
  const run = (name: string) => work(dataSource.driver.escape(name))
  const database = setUps.get(dataSource)?.changeLog.database
  const inChange = database && tablesInChange(database)
  if (database && !inChange)
    throw new SyncConfigurationError(
      'localMigration is for migrations that the data source runs: migrationsRun, or dataSource.runMigrations().',
    )
  const changed = inChange?.find(each => (each.was ?? each.name) === table)
  const bases = baseTableNameOf(table)
  if (changed && (await runner.hasTable(copiesOf(changed.name)))) await run(copiesOf(changed.name))
  if (changed && (await runner.hasTable(bases))) await changeBases(runner, bases, run)
  // the table itself comes last: where the database commits in between, what is left half done counts as a local change
  await run(table)
  if (changed && (await runner.hasTable('sync_server'))) await runner.query(readAgainSql(table))
}

const MARKS = '_sync_server, _sync_id, _sync_stamp, _sync_removed'

// A base version that says that there was no row has no values, which the columns may require: it waits elsewhere.
async function changeBases(runner: QueryRunner, bases: string, run: (table: string) => Promise<unknown>): Promise<void> {
  const { driver } = runner.dataSource
  const [table, aside, now] = [bases, copiesOf(bases), 'now'].map(name => driver.escape(name)) as [string, string, string]
  // so has an exit: those who saw its row by it read everything anew
  if ((await runner.query(`SELECT 1 FROM ${table} WHERE _sync_server = 0 LIMIT 1`)).length) {
    await runner.query(`DELETE FROM ${table} WHERE _sync_server = 0`)
    await runner.query(`UPDATE sync_clock SET ${now} = ${now} + 1`)
    await runner.query(`UPDATE sync_clock SET horizon = ${now}`)
  }
  // one that is there stems from a migration that was cut off where the database commits in between
  if (!(await runner.hasTable(copiesOf(bases))))
    await runner.query(`CREATE TABLE ${aside} AS SELECT ${MARKS} FROM ${table} WHERE _sync_removed <> 0`)
  await runner.query(`DELETE FROM ${table} WHERE _sync_removed <> 0`)
  await run(bases)
  await runner.query(`INSERT INTO ${table} (${MARKS}) SELECT ${MARKS} FROM ${aside}`)
  await runner.query(`DROP TABLE ${aside}`)
}
