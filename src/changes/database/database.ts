// What the change log needs of a kind of database. One file beside this one implements it for each kind.
//
// A step is written as a generator that yields statements. On a driver with one shared connection (SQLite) it runs in one synchronous
// turn, on a driver with a pool (PostgreSQL, MySQL) in a transaction of its own, with an await at each statement: the same code serves both.

/** A value as a statement gives it. */
export type Cell = string | number | bigint | boolean | Uint8Array | ArrayBuffer | null
export type Row = Record<string, Cell>
export interface Statement {
  readonly sql: string
  readonly values: readonly unknown[]
  /** Runs once for each of these lists instead, and gives no rows. */
  readonly many?: readonly (readonly unknown[])[]
}

/** Work that runs inside one step: atomic, holding the clock (ARCHITECTURE.md, law 1). It yields statements and is given their rows. */
export type Step<T> = Generator<Statement, T, Row[]>

export interface StepOptions {
  /** The step only reads: one snapshot, no mark. */
  readonly readOnly?: boolean
  /** What it stored is on the disk when the step is done, whatever the application chose for its own writes. */
  readonly durable?: boolean
  /** Part of the set-up: it runs while the schema is being changed, when others wait. */
  readonly setUp?: boolean
  /** The clock is not marked, for it is not there yet. */
  readonly unmarked?: boolean
}

/** The table behind an entity, as triggers and image tables need it. */
export interface Table {
  /** Database name, unquoted. */
  readonly name: string
  /** Database name of the key column. */
  readonly key: string
  /** Database names of the columns that are synced, key and `_lastChange` left out. */
  readonly columns: readonly string[]
}

/** How a table stands. `gained`: columns that it has and its images had not. */
export type TableState =
  | { missing: 'table' }
  | { missing: 'column'; column: string }
  | { missing: undefined; gained: string[]; isNew: boolean; triggersWereGone: boolean }

export interface Database {
  /**
   * Runs a step: all of it is stored, or nothing. The body may run more than once, so what it changes in memory it makes anew each time.
   * Throws DatabaseBusyError, DatabaseFailedError, or what the body throws.
   */
  step<T>(body: () => Step<T>, options?: StepOptions): Promise<T>
  /** Keeps steps waiting while `work` changes the schema. */
  changeSchema<T>(work: () => Promise<T>): Promise<T>
  /** Saves what the steps stored, where the database lives in memory and is saved as a whole. */
  save(): Promise<void>

  /** SQL for «expression is one of the ids», with one parameter, which `idList(ids)` makes. */
  among(expression: string): string
  idList(ids: Iterable<string>): unknown

  /** Takes a stamp: max(wall clock, last + 1), in milliseconds since 1/1/1970. */
  tick(): Step<number>
  createTables(): Step<void>
  /** Brings image table and triggers in line with the entity's table. */
  prepareTable(table: Table): Step<TableState>
  dropTriggers(): Step<void>
  /** True where no trigger of these tables is missing or outdated. */
  hasTriggers(tables: readonly Table[]): Step<boolean>
  /** Copies rows, to find out afterwards what was changed while no trigger looked. */
  copyRows(tables: readonly Table[]): Step<void>
  /** Stamps what differs from the copy, as the triggers would have done, and drops the copy. */
  stampDifferences(tables: readonly Table[]): Step<void>
  /** Gives rows that have no stamp one, the same for all: they count as changed. */
  stampUnstamped(tables: readonly Table[]): Step<void>
  /** SQL that keeps the row of an id, for every server that knows it, `exceptRemote` left out. Parameters: id, remote. */
  keepRow(table: Table): string
  /** SQL that keeps the tombstone of an id, or that there was nothing. Parameters: id, id, remote. */
  keepAbsence(table: Table): string
  /** Constraints between rows count at the end of the step. */
  deferConstraints(): Step<void>
  /** Runs a body so that a constraint which it breaks leaves nothing of it behind. */
  attempt<T>(body: () => Step<T>): Step<T>
  /** Unique columns besides the key, by index. */
  uniqueColumns(table: Table): Step<string[][]>
}

/** Runs one statement. */
export function* query(sql: string, ...values: unknown[]): Step<Row[]> {
  return yield { sql, values }
}

/** Runs one statement and gives its first row. */
export function* first(sql: string, ...values: unknown[]): Step<Row | undefined> {
  return (yield { sql, values })[0]
}

/** Runs one statement for each list of values. */
export function* queryMany(sql: string, many: readonly (readonly unknown[])[]): Step<void> {
  if (many.length) yield { sql, values: [], many }
}
