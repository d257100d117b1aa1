// Statements, and the transactions that yield them.
//
// A transaction is written as a generator that yields statements. On a driver with one shared connection (SQLite) it runs in one synchronous
// turn, on a driver with a pool (PostgreSQL, MySQL) on a connection of its own, with an await at each statement: the same code serves both.

import { ConstraintError, ValueError } from '../errors.js'

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
  /** A parameter is `?`, a name is in double quotes. */
  readonly sql: string
  readonly values: readonly unknown[]
  /** Runs once for each of these lists instead, and gives no rows. */
  readonly many?: Rows
  /** Gives each row as the list of its cells, which costs half of an object with names. */
  readonly asCells?: boolean
  /** Gives for each list of `many` how many rows it has changed. */
  readonly counts?: boolean
}

/** Work that runs inside one transaction: it yields statements and is given their rows. */
export type Transaction<T> = Generator<Statement, T, Row[]>

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

/** Thrown by the body of a savepoint, to have it rolled back. */
export class Rollback extends Error {}

/**
 * Runs a body so that a constraint which it breaks leaves nothing of it behind. On PostgreSQL an error ends the transaction, all but what a
 * savepoint holds. A savepoint inside of another needs another `name`: on MySQL a savepoint replaces one that is called the same.
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
      // What was to be rolled back may still be there. Where the whole transaction is gone, as on a full disk, what went wrong first counts.
      if (error instanceof Rollback || error instanceof ConstraintError || error instanceof ValueError) throw failed
    }
    throw error
  }
}

/** A statement cut at its parameters: the texts before, between and after them. A question mark inside of quotes, or of a comment, is none. */
export function splitAtParameters(sql: string): readonly string[] {
  const parts: string[] = []
  let from = 0
  for (const { 0: token, index } of sql.matchAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\?/g)) {
    if (token !== '?') continue
    parts.push(sql.slice(from, index))
    from = index + 1
  }
  parts.push(sql.slice(from))
  return parts
}
