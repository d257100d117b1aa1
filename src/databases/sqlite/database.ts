// SQLite, as sql.js, better-sqlite3 and libsql have it: one connection, shared with the application, and synchronous.

import type { DataSource } from 'typeorm'
import type { Database, OpenOptions } from '../database.js'
import { bases } from './bases.js'
import { captureStatements } from './capture.js'
import { clockStatements, WALL_CLOCK } from './clock.js'
import { type Connect, connectionOf } from './connection.js'
import { exits } from './exits.js'
import { fragments } from './fragments.js'
import { migrationStatements } from './migration.js'
import { rowStatements } from './rows.js'
import { rules } from './rules.js'
import { sqliteTransactions } from './transaction.js'

export function sqliteDatabase(dataSource: DataSource, connect: Connect, options: OpenOptions = {}): Database {
  const { wallClock = WALL_CLOCK } = options
  const connection = () => connectionOf(dataSource, connect)
  const clock = clockStatements(wallClock)
  return {
    ...sqliteTransactions(dataSource, connection, options),
    ...fragments,
    ...rowStatements,
    ...clock,
    ...captureStatements(connection, wallClock),
    ...migrationStatements(clock),
    ...bases,
    ...exits,
    ...rules,
  }
}
