// better-sqlite3, and libsql, which has the same interface. A browser loads none of it.

import type { Cell, Row } from '../statement.js'
import { type Connection, cached, parameters } from './connection.js'
import { endLockedStatements } from './libsql.js'

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

export function betterSqlite3Connection(raw: object): Connection {
  const database = raw as BetterSqlite3
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
