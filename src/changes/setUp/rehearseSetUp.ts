// The statements of a set-up, without making them.

import { type Database, query, type Row, savepoint, splitAtParameters, type Transaction } from '../../databases/database.js'
import { text } from '../../databases/knows.js'
import type { ChangeLog } from '../changeLog.js'
import { moveRenamed } from './renames.js'
import { rejectMissing, setUp } from './setUp.js'

/** Is everything there that the set-up would make? Throws SyncSchemaError where a table or column is missing. */
export async function isSetUp(log: ChangeLog): Promise<boolean> {
  return (await setUpStatements(log)).every(sql => CHANGES_NOTHING.test(sql))
}

const CHANGES_NOTHING =
  /^\s*(CREATE \w+ IF NOT EXISTS|INSERT (IGNORE )?INTO [`"]?sync_clock|UPDATE sync_clock SET bypass|SET @sync_bypass|SET TRANSACTION|SET search_path|START TRANSACTION|COMMIT)/

/** The statements by which the set-up would change the database as it is now, in their order. Throws SyncSchemaError as the set-up does. */
export function setUpStatements(log: ChangeLog): Promise<string[]> {
  return log.database.transaction(() => rehearseSetUp(log), { mode: 'read', duringSchemaChange: true })
}

// What a table was called before decides what is to be made: so its renaming comes first, and alone.
function* rehearseSetUp(log: ChangeLog): Transaction<string[]> {
  const { database, collections } = log
  const renaming = yield* rehearse(database, moveRenamed(database, collections))
  const statements = renaming.length ? renaming : yield* rehearse(database, setUp(log, rejectMissing))
  return database.opening && statements.length ? [yield* database.opening(), ...statements] : statements
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

const withLiterals = (sql: string, values: readonly unknown[]) =>
  splitAtParameters(sql)
    .map((part, i) => (i ? literal(values[i - 1]) : '') + part)
    .join('')

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  return typeof value === 'number' ? String(value) : text(String(value))
}
