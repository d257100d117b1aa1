import type { Cell, Row } from '../statement.js'
import { CACHED, type Connection, cached, parameters } from './connection.js'

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

export function sqlJsConnection(raw: object): Connection {
  const database = raw as SqlJs
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
