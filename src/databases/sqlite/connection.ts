// The synchronous connections of TypeORM's SQLite family, behind one call.

import type { DataSource } from 'typeorm'
import type { Cell, Row, Rows } from '../statement.js'

/** Runs one statement, now, on the connection that the application uses too. */
export interface Connection {
  run(sql: string, values: readonly unknown[]): Row[]
  /** Gives each row as the list of its cells. */
  readCells(sql: string, values: readonly unknown[]): Cell[][]
  /** Gives how many rows each list has changed. */
  runMany(sql: string, many: Rows): number[]
}

/** What TypeORM's drivers have beyond their public type; there is no other door to the connection that the application writes on. */
export interface SqliteDriver {
  databaseConnection: object
  options: { autoSave?: boolean; enableWAL?: boolean }
  autoSave?(): Promise<void>
  queryRunner?: { isTransactionActive: boolean }
}

const connections = new WeakMap<object, Connection>()

/** Puts a driver's own connection behind the call. */
export type Connect = (raw: object) => Connection

/** The data source's connection as it is at this moment: sql.js changes it with every `load()`. */
export function connectionOf(dataSource: DataSource, connect: Connect): Connection {
  const raw = (dataSource.driver as unknown as SqliteDriver).databaseConnection
  let connection = connections.get(raw)
  if (!connection) {
    connection = connect(raw)
    connections.set(raw, connection)
  }
  return connection
}

export const CACHED = 200

// The statements of a transaction are few and come again with every row; statements of changed schemas prepare themselves again.
export function cached<S>(prepare: (sql: string) => S, dispose: (statement: S) => void) {
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
export function parameters(values: readonly unknown[]): unknown[] {
  for (const value of values) if (value === undefined || typeof value === 'boolean') return values.map(parameter)
  return values as unknown[]
}
