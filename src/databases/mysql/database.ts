// MySQL 8 and MariaDB 10.6 or later, with mysql2: a pool, of which a transaction uses one connection.
//
// The set-up is not atomic, since DDL commits by itself. It makes our tables first, then base versions, triggers last: wherever it ends, the next one goes on.

import type { DataSource } from 'typeorm'
import type { Database, OpenOptions } from '../database.js'
import { baseStatements } from './bases.js'
import { captureStatements } from './capture.js'
import { clockStatements, WALL_CLOCK } from './clock.js'
import { exitStatements } from './exits.js'
import { fragmentsOf } from './fragments.js'
import { KnownTables } from './knownTables.js'
import { migrationStatements } from './migration.js'
import { rowStatements } from './rows.js'
import { rules } from './rules.js'
import { Session } from './session.js'
import { mysqlTransactions } from './transaction.js'

export function mysqlDatabase(dataSource: DataSource, options: OpenOptions = {}): Database {
  const { wallClock = WALL_CLOCK } = options
  const session = new Session()
  const tables = new KnownTables()
  const clock = clockStatements(wallClock)
  const rows = rowStatements(tables, session)
  const bases = baseStatements(tables)
  return {
    ...mysqlTransactions(dataSource, options, session),
    ...fragmentsOf(tables),
    ...rows,
    ...clock,
    ...captureStatements(tables, wallClock),
    ...migrationStatements(tables, clock, rows, bases),
    ...bases,
    ...exitStatements(tables),
    ...rules,
  }
}
