// What the change log needs of a kind of database. Each folder beside this file implements it for one kind, in files of the same names.

import type { BaseStatements, CaptureStatements, MigrationStatements } from './capture.js'
import type { ClockStatements } from './clock.js'
import type { ExitStatements } from './exits.js'
import type { Fragments } from './fragments.js'
import type { RowStatements } from './rowStatements.js'
import type { RuleStatements } from './rules.js'
import type { Transactions } from './transactions.js'

export type { TableState } from './capture.js'
export type { Clock } from './clock.js'
export { EXIT } from './exits.js'
export { leadsTo, type PathScope } from './paths.js'
export type { UniqueIndex } from './rules.js'
export * from './statement.js'
export * from './table.js'
export type { TransactionMode, TransactionOptions } from './transactions.js'

export interface Database
  extends Transactions,
    Fragments,
    RowStatements,
    ClockStatements,
    CaptureStatements,
    MigrationStatements,
    BaseStatements,
    ExitStatements,
    RuleStatements {}

export interface DatabaseOptions {
  /** How long a transaction waits for the application's transactions, or other processes, to end; milliseconds, 10,000 by default. */
  readonly busyTimeout?: number
  /** Saves a SQLite database in memory, where the driver's `autoSave` is not used. */
  readonly save?: () => Promise<void> | void
  /** SQL for the time in milliseconds since 1/1/1970. */
  readonly wallClock?: string
}

/** For tests, and in no public type. */
export interface DatabaseHooks {
  /** Called before each statement of a transaction; what it throws, the statement throws. */
  readonly beforeStatement?: (sql: string) => void
  /** Awaited before each transaction. */
  readonly beforeTransaction?: () => Promise<void>
}

export type OpenOptions = DatabaseOptions & DatabaseHooks
