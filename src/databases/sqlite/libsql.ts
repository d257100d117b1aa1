// libsql does not end a prepared statement that found the database locked: it stays half run for as long as its handle lives.
//
// Until then the connection's COMMIT is rejected («SQL statements in progress»), and what ends a transaction, such as ROLLBACK, leaves a read
// behind: other processes cannot commit for it, and with WAL this one sees an old snapshot on which it can write no more. TypeORM keeps its
// statements, so it lasts. There is no call that ends one: running it further has to fail, in a way that touches nothing.

export interface Libsql {
  exec(sql: string): unknown
  interrupt?(): void
  prepare(sql: string): object
}

type Act = (...values: unknown[]) => unknown
type Statement = Record<'run' | 'all' | 'get', Act>

/** Ends each statement of this connection that finds the database locked; its caller gets the error as before. Leaves better-sqlite3 alone. */
export function endLockedStatements(database: Libsql): void {
  if (!database.interrupt) return
  const { prepare } = database
  database.prepare = sql => {
    const statement = prepare.call(database, sql) as Statement
    const { run, all, get } = statement
    // of the three only `get` goes on where the statement was, the others begin it anew
    const goOn = () => get.call(statement, [])
    const ending =
      (act: Act): Act =>
      (...values) => {
        try {
          return act.apply(statement, values)
        } catch (error) {
          if (isLocked(error)) end(database, sql, goOn)
          throw error
        }
      }
    return Object.assign(statement, { run: ending(run), all: ending(all), get: ending(get) })
  }
}

const isLocked = (error: unknown) => error instanceof Error && /database is locked/.test(error.message)

// TypeORM puts the comment of a query builder first
const CHANGES_NO_ROW = /^\s*(?:\/\*.*?\*\/\s*)*(SELECT|WITH(?!.*\b(INSERT|UPDATE|DELETE)\b)|COMMIT|END|RELEASE|ROLLBACK)\b/is

function end(database: Libsql, sql: string, goOn: () => unknown): void {
  const isWrite = !CHANGES_NO_ROW.test(sql)
  // an interrupted write would roll its whole transaction back, and a COMMIT that goes on may succeed
  if (isWrite) database.exec('PRAGMA query_only = ON')
  else database.interrupt?.()
  try {
    goOn()
  } catch {
    // that was the point
  } finally {
    if (isWrite) database.exec('PRAGMA query_only = OFF')
  }
}
