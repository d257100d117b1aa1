// PostgreSQL, 14 and later: a transaction runs on a connection of its own and holds the clock.
//
// A change of the schema keeps the transactions of this process waiting; those of other processes go on. Let them wait for a migration by other
// means, or accept that what they write meanwhile counts as changed once more.

import type { DataSource } from 'typeorm'
import type { Database, OpenOptions } from '../database.js'
import { baseStatements } from './bases.js'
import { captureStatements } from './capture.js'
import { Catalog } from './catalog.js'
import { clockStatements, WALL_CLOCK } from './clock.js'
import { exits } from './exits.js'
import { fragmentsOf } from './fragments.js'
import { migrationStatements } from './migration.js'
import { rowStatements } from './rows.js'
import { rules } from './rules.js'
import { rejectTwins } from './schemas.js'
import { postgresTransactions } from './transaction.js'

export function postgresDatabase(dataSource: DataSource, options: OpenOptions = {}): Database {
  const { wallClock = WALL_CLOCK } = options
  const catalog = new Catalog()
  const clock = clockStatements(wallClock)
  return {
    ...postgresTransactions(dataSource, options, () => catalog.clear()),
    ...fragmentsOf(catalog),
    ...rowStatements(catalog),
    ...clock,
    ...captureStatements(catalog, clock, wallClock),
    ...migrationStatements(catalog, clock),
    ...baseStatements,
    ...exits,
    ...rules,
    checkNames: synced => rejectTwins(dataSource, synced),
  }
}
