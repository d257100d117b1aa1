// What the change log needs of a kind of database. One file beside this one implements it for each kind.
//
// A transaction is written as a generator that yields statements. On a driver with one shared connection (SQLite) it runs in one synchronous
// turn, on a driver with a pool (PostgreSQL, MySQL) in a transaction of its own, with an await at each statement: the same code serves both.

import { ConstraintError, ValueError } from '../errors.js'
import type { ColumnCodec } from './columns.js'
import { shortName } from './names.js'

/** A value as a statement gives it. */
export type Cell = string | number | bigint | boolean | Uint8Array | ArrayBuffer | null
export type Row = Record<string, Cell>
/** Lists of values. Where there are thousands they are made one at a time, as they are read. */
export interface Rows extends Iterable<readonly unknown[]> {
  readonly length: number
}

/** Makes each list when it is read. */
export const rowsOf = <T>(items: readonly T[], make: (item: T) => readonly unknown[]): Rows => ({
  length: items.length,
  *[Symbol.iterator]() {
    for (const item of items) yield make(item)
  },
})

export interface Statement {
  readonly sql: string
  readonly values: readonly unknown[]
  /** Runs once for each of these lists instead, and gives no rows. */
  readonly many?: Rows
  /** Gives each row as the list of its cells, which costs half of an object with names. */
  readonly asCells?: boolean
  /** Gives for each list of `many` how many rows it has changed. */
  readonly counts?: boolean
}

/** Work that runs inside one transaction: atomic, holding the clock (ARCHITECTURE.md, law 1). It yields statements and is given their rows. */
export type Transaction<T> = Generator<Statement, T, Row[]>

export interface DatabaseOptions {
  /** How long a transaction waits for the application's transactions, or other processes, to end; milliseconds, 10,000 unless told otherwise. */
  readonly busyTimeout?: number
  /** Saves a SQLite database in memory, where the driver's `autoSave` is not used. */
  readonly save?: () => Promise<void> | void
  /** SQL for the time in milliseconds since 1/1/1970. */
  readonly wallClock?: string
  /** Called before each statement of a transaction; what it throws, the statement throws. For tests that let things go wrong. */
  readonly beforeStatement?: (sql: string) => void
  /** Awaited before each transaction. For tests that decide who comes next. */
  readonly beforeTransaction?: () => Promise<void>
}

/**
 * `read`: one snapshot, nothing is locked. `write`: holds the clock, and bypasses capture. `setUp`: makes tables and triggers, perhaps before there
 * is a clock; two that run at once come one after the other, and capture is bypassed where the body says so.
 */
export type TransactionMode = 'read' | 'write' | 'setUp'

export interface TransactionOptions {
  /** `write` by default. */
  readonly mode?: TransactionMode
  /** Of a write: what it stored is on the disk when the transaction is done, whatever the application chose for its own writes. */
  readonly durable?: boolean
  /** Of a read: other work that is due runs first, as it does before a write; a request that was just made leaves. */
  readonly afterOthers?: boolean
  /** It runs while `changeSchema` is at work, when others wait. */
  readonly duringSchemaChange?: boolean
}

export const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

/** A name of ours for something that belongs to a table, the same each time. */
export const ownName = (prefix: string, table: string, longest?: number) => shortName(prefix + table, longest)

export const baseTableNameOf = (table: string) => ownName('sync_base_', table)
export const baseTableOf = (table: Table) => baseTableNameOf(table.name)

/** The copy that is made of a table before a migration. */
export const copiesOf = (table: string) => ownName('sync_copy_', table)

/** The table behind an entity, as triggers and tables of base versions need it. */
export interface Table {
  /** Database name, unquoted. */
  readonly name: string
  /** Database name of the key column. */
  readonly key: string
  /** Database names of the columns that are synced, key and `_lastChange` left out. */
  readonly columns: readonly string[]
  /** The table that holds its rows yet, before a migration renames it. */
  readonly was?: string
}

/** A unique index, by database names of columns. */
export interface UniqueIndex {
  /** What has to differ from row to row. Where an expression is indexed, what it is made of. */
  readonly columns: readonly string[]
  /** By these a row may enter the index or leave it as well: those of a condition, or of what follows from other columns. */
  readonly others: readonly string[]
}

/** A column that a statement writes, and what stands for its value there, where that is not a mere parameter. */
export type Target = string | { readonly column: string; readonly placeholder: string }

/** The clock as it stands; `now` is the last stamp. Read in the same transaction as the rows beside it. */
export interface Clock {
  readonly now: number
  /** The random name of this history; it changes when the history was reset. */
  readonly collection: string
  /** Tombstones up to here are collected. */
  readonly horizon: number
}

/** How a table stands. `gained`: columns that it has and its base versions had not. */
export type TableState =
  | { missing: 'table' }
  | { missing: 'column'; column: string }
  | { missing: undefined; gained: string[]; isNew: boolean; triggersWereGone: boolean }

export interface Database {
  /**
   * Runs a transaction: all of it is stored, or nothing. The body may run more than once, so what it changes in memory it makes anew each time.
   * Throws DatabaseBusyError, DatabaseFailedError, or what the body throws.
   */
  transaction<T>(body: () => Transaction<T>, options?: TransactionOptions): Promise<T>
  /** Keeps transactions waiting while `work` changes the schema. */
  changeSchema<T>(work: () => Promise<T>): Promise<T>
  /** Saves what the transactions stored, where the database lives in memory and is saved as a whole. */
  save(): Promise<void>

  /** SQL for the id of a row: a text that compares bytewise. `alias` is the table's in the statement. */
  id(table: Table, alias: string): string
  /** SQL for an id, which `expression` gives, as a value of the key column: for comparing the two so that the key's index serves. */
  key(table: Table, expression: string): string
  /** SQL for «the column is one of these», with one parameter, which `list` makes. The table is one of ours, or one that is synced or referenced. */
  among(table: string, alias: string, column: string): string
  list(ids: Iterable<string>): unknown
  /** SQL for «expression, as text». */
  text(expression: string): string
  /** SQL for the bytes that a value of a column has, found without reading it where that can be had. `declared` is the column's type. */
  size(expression: string, declared: string): string
  /** No index gives rows in the order of (stamp, id): the stamp at which a page ends is looked up first, and only those up to it are sorted. */
  readonly cutsPages?: boolean
  /** A statement as somebody would type it, where its text here is not the database's own. */
  textOf?(sql: string, values: readonly unknown[]): string

  /**
   * How columns that `isSpelledThere` would give back values, of which there is a list for each column; or, where one cannot hold a value, the
   * class of the error. Absent where there are no such columns.
   */
  spell?(
    table: Table,
    columns: readonly ColumnCodec[],
    lists: readonly (readonly unknown[])[],
  ): Transaction<(readonly [cell: Cell, state: string | null])[][]>

  insertRows(into: string, columns: readonly Target[], rows: Rows): Transaction<void>
  /** Inserts, or sets the columns beside `keys` of what is there. */
  upsertRows(into: string, columns: readonly Target[], keys: readonly string[], rows: readonly (readonly unknown[])[]): Transaction<void>
  /** Sets columns: each list has their values, then those of the keys. */
  updateRows(table: string, columns: readonly Target[], keys: readonly string[], rows: Rows): Transaction<void>
  /**
   * Like `updateRows`, but only where a condition holds, whose parameters are the same for all, and where a row differs. Gives how many rows
   * each list has changed. Absent where that is no cheaper than reading the rows.
   */
  updateRowsWhere?(
    table: string,
    columns: readonly Target[],
    key: string,
    condition: { readonly sql: string; readonly values: readonly unknown[] },
    rows: readonly (readonly unknown[])[],
  ): Transaction<number[]>
  deleteRows(from: string, keys: readonly string[], rows: readonly (readonly unknown[])[]): Transaction<void>

  clock(): Transaction<Clock>
  /** Is this a read replica, which may not have come as far as a client has? */
  isReplica(): Transaction<boolean>
  /** Takes a stamp: max(wall clock, last + 1), in milliseconds since 1/1/1970. */
  tick(): Transaction<number>
  /** Lets triggers keep still, or act again, within a transaction that began before the clock was there. */
  bypassCapture(isOurs: boolean): Transaction<void>
  createTables(): Transaction<void>
  /** The columns of a table of this database; none where it is not there. */
  columnNames(table: string): Transaction<string[]>
  /** SQL for «these two values differ», whatever a collation takes for equal. */
  differs(one: string, other: string): string
  /** Removes what belongs to a table that is not there any more under this name. */
  forgetTable?(table: string): Transaction<void>
  /** Brings table of base versions and triggers in line with the entity's table; `tables` are all that are synced. */
  prepareTable(table: Table, tables: readonly Table[]): Transaction<TableState>
  dropTriggers(): Transaction<void>
  /** True where no trigger of these tables is missing or outdated. */
  hasTriggers(tables: readonly Table[]): Transaction<boolean>
  /** Copies rows, to find out afterwards what was changed while no trigger looked. */
  copyRows(tables: readonly Table[]): Transaction<void>
  /** Stamps what differs from the copy, as the triggers would have done, and drops the copy. */
  stampDifferences(tables: readonly Table[]): Transaction<void>
  /** Gives rows that have no stamp one, the same for all: they count as changed. */
  stampUnstamped(tables: readonly Table[]): Transaction<void>
  /** Keeps the rows of these ids, for every server that knows them, `except` left out (law 4). */
  keepRows(table: Table, ids: readonly string[], except: number | undefined): Transaction<void>
  /** Keeps what stands at these ids, of which there is no row: a tombstone, or nothing (law 10). */
  keepAbsentBases(table: Table, ids: readonly string[], except: number | undefined): Transaction<void>
  /** Does a row read back as it was written (`canonical` of each column)? Not where a trigger, or the database itself, may change it. */
  keepsValues(table: Table): Transaction<boolean>
  /** May something of the application's (a trigger, a rule, a policy) skip a write to the table without an error? */
  maySkip(table: Table): Transaction<boolean>
  /** May triggers of the application's change a row that is stored in the table? */
  mayChange(table: Table): Transaction<boolean>
  /** Runs a body while the application's triggers on the table keep still. Absent where they cannot. Throws ConstraintError where they may not. */
  pastTriggers?(table: Table, body: () => Transaction<void>): Transaction<void>
  /** Foreign keys that can be looked at later are looked at later, or again at once. */
  deferConstraints(isDeferred: boolean): Transaction<void>
  /** Looks at what would be looked at when the transaction ends: throws ConstraintError. Absent where `checkConstraints` has to ask. */
  checkConstraints?(): Transaction<void>
  /** Unique indexes besides the key's. */
  uniqueIndexes(table: Table): Transaction<UniqueIndex[]>
}

/** Runs one statement. */
export function* query(sql: string, ...values: unknown[]): Transaction<Row[]> {
  return yield { sql, values }
}

/** Runs one statement and gives each row as the list of its cells, in the statement's order. */
export function* queryCells(sql: string, ...values: unknown[]): Transaction<Cell[][]> {
  return (yield { sql, values, asCells: true }) as unknown as Cell[][]
}

/** What `queryCells` is given, of a driver that knows names alone. */
export const cellsOf = (rows: readonly Row[]) => rows.map(row => Object.values(row)) as unknown as Row[]

/** Runs one statement and gives its first row. */
export function* first(sql: string, ...values: unknown[]): Transaction<Row | undefined> {
  return (yield { sql, values })[0]
}

/** Thrown by the body of a savepoint, to have it undone. */
export class Rollback extends Error {}

/**
 * Runs a body so that a constraint which it breaks leaves nothing of it behind. On PostgreSQL an error ends the transaction, all but what a
 * savepoint holds. A savepoint inside of another needs another `name`: on MySQL a savepoint takes the place of one that is called the same.
 */
export function* savepoint<T>(body: () => Transaction<T>, name = 'sync_savepoint'): Transaction<T> {
  yield* query(`SAVEPOINT ${name}`)
  try {
    const result = yield* body()
    yield* query(`RELEASE SAVEPOINT ${name}`)
    return result
  } catch (error) {
    try {
      yield* query(`ROLLBACK TO SAVEPOINT ${name}`)
      yield* query(`RELEASE SAVEPOINT ${name}`)
    } catch (failed) {
      // What was to be undone may still be there. Where the whole transaction is gone, as on a full disk, what went wrong first counts.
      if (error instanceof Rollback || error instanceof ConstraintError || error instanceof ValueError) throw failed
    }
    throw error
  }
}
