// The synchronous connections of TypeORM's SQLite family, behind one call.

import type { DataSource } from 'typeorm'
import type { Cell, Row, Rows } from '../statement.js'
import { endLockedStatements } from './libsql.js'

/** Runs one statement, now, on the connection that the application uses too. */
export interface Connection {
  run(sql: string, values: readonly unknown[]): Row[]
  /** Gives each row as the list of its cells. */
  readCells(sql: string, values: readonly unknown[]): Cell[][]
  /** Gives how many rows each list has changed. */
  runMany(sql: string, many: Rows): number[]
}

interface BetterSqlite3 {
  exec(sql: string): unknown
  prepare(sql: string): BetterSqlite3Statement
}

interface BetterSqlite3Statement {
  reader: boolean
  all(values: unknown[]): Row[]
  run(values: unknown[]): { changes: number }
  raw(): { all(values: unknown[]): Cell[][] }
}

interface SqlJsStatement {
  bind(values: unknown[]): void
  step(): boolean
  get(): Cell[]
  getColumnNames(): string[]
  reset(): void
  free(): void
}

interface SqlJs {
  getRowsModified(): number
  prepare(sql: string): SqlJsStatement
}

/** What TypeORM's drivers have beyond their public type; there is no other door to the connection that the application writes on. */
export interface SqliteDriver {
  databaseConnection: object
  options: { autoSave?: boolean; enableWAL?: boolean }
  autoSave?(): Promise<void>
  queryRunner?: { isTransactionActive: boolean }
}

const connections = new WeakMap<object, Connection>()

/** The data source's connection as it is at this moment: sql.js changes it with every `load()`. */
export function connectionOf(dataSource: DataSource): Connection {
  const raw = (dataSource.driver as unknown as SqliteDriver).databaseConnection
  let connection = connections.get(raw)
  if (!connection) {
    connection = dataSource.options.type === 'sqljs' ? sqlJsConnection(raw as SqlJs) : betterSqlite3Connection(raw as BetterSqlite3)
    connections.set(raw, connection)
  }
  return connection
}

const CACHED = 200

// The statements of a transaction are few and come again with every row; statements of changed schemas prepare themselves again.
function cached<S>(prepare: (sql: string) => S, dispose: (statement: S) => void) {
  const statements = new Map<string, S>()
  return (sql: string): S => {
    let statement = statements.get(sql)
    if (statement === undefined) {
      statement = prepare(sql)
      statements.set(sql, statement)
      if (statements.size > CACHED) {
        const [oldest, old] = statements.entries().next().value as [string, S]
        statements.delete(oldest)
        dispose(old)
      }
    }
    return statement
  }
}

const parameter = (value: unknown) => (value === undefined ? null : value === true ? 1 : value === false ? 0 : value)

/** Values as a driver accepts them; usually the list as it is. */
function parameters(values: readonly unknown[]): unknown[] {
  for (const value of values) if (value === undefined || typeof value === 'boolean') return values.map(parameter)
  return values as unknown[]
}

function betterSqlite3Connection(database: BetterSqlite3): Connection {
  endLockedStatements(database)
  const statement = cached(
    sql => database.prepare(sql),
    () => {},
  )
  const reading = cached(
    sql => database.prepare(sql).raw(),
    () => {},
  )
  return {
    run(sql, values) {
      // the only one that often finds the database locked; unprepared it is over then, on libsql too
      if (sql === 'BEGIN IMMEDIATE') {
        database.exec(sql)
        return []
      }
      const prepared = statement(sql)
      const list = parameters(values)
      if (prepared.reader) return prepared.all(list)
      prepared.run(list)
      return []
    },
    readCells: (sql, values) => reading(sql).all(parameters(values)),
    runMany(sql, many) {
      const prepared = statement(sql)
      const counts: number[] = []
      for (const values of many) counts.push(prepared.run(parameters(values)).changes)
      return counts
    },
  }
}

function sqlJsConnection(database: SqlJs): Connection {
  const statement = cached(
    sql => database.prepare(sql),
    old => old.free(),
  )
  // sql.js decodes the names anew each time; only those of a SELECT * change, with the schema
  const known = new Map<string, string[]>()
  function namesOf(sql: string, prepared: SqlJsStatement): string[] {
    let names = known.get(sql)
    if (!names) {
      names = prepared.getColumnNames()
      if (!sql.includes('*') && known.size < CACHED) known.set(sql, names)
    }
    return names
  }
  function read<T>(sql: string, values: readonly unknown[], rowOf: (cells: Cell[], prepared: SqlJsStatement) => T): T[] {
    const prepared = statement(sql)
    try {
      prepared.bind(parameters(values))
      const rows: T[] = []
      while (prepared.step()) rows.push(rowOf(prepared.get(), prepared))
      return rows
    } finally {
      prepared.reset() // an unfinished statement would keep the transaction from ending
    }
  }
  return {
    run(sql, values) {
      let names: string[] | undefined
      return read(sql, values, (cells, prepared) => {
        names ??= namesOf(sql, prepared)
        const row: Row = {}
        for (let i = 0; i < names.length; i++) row[names[i] as string] = cells[i] as Cell
        return row
      })
    },
    readCells: (sql, values) => read(sql, values, cells => cells),
    runMany(sql, many) {
      const prepared = statement(sql)
      const counts: number[] = []
      try {
        for (const values of many) {
          prepared.bind(parameters(values))
          prepared.step()
          counts.push(database.getRowsModified())
          prepared.reset()
        }
        return counts
      } finally {
        prepared.reset()
      }
    },
  }
}
