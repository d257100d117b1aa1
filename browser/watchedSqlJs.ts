// sql.js, as TypeORM gets it: it starts with the file that was kept, says when something may have been written, and may be closed to writes.

import { SyncConfigurationError } from '../src/errors.js'

/** The part of sql.js's `Database` that this needs. */
export interface SqlJsDatabase {
  prepare(sql: string, ...rest: unknown[]): unknown
  run(sql: string, ...rest: unknown[]): unknown
  exec(sql: string, ...rest: unknown[]): unknown
  export(): Uint8Array
}

type DatabaseClass = new (file?: Uint8Array) => SqlJsDatabase

/** `initSqlJs`, the default export of sql.js. */
export type InitSqlJs = (config?: { locateFile: (file: string) => string }) => Promise<unknown>

const READS = /^\s*(SELECT|EXPLAIN|VALUES|BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b/i

/** May a statement write? It ends what another one has written, at most, where it does not. */
export const mayWrite = (sql: string) => !READS.test(sql) && !(/^\s*WITH\b/i.test(sql) && !/\b(INSERT|UPDATE|DELETE|REPLACE)\b/i.test(sql))

/** The database of one data source, once it is open. */
export class WatchedSqlJs {
  #database: SqlJsDatabase | undefined
  #closed: Error | undefined

  constructor(
    private readonly init: InitSqlJs,
    private file: Uint8Array | undefined,
    private readonly mayHaveWritten: () => void,
  ) {}

  /** What TypeORM takes for sql.js. */
  readonly driver = async (config?: Parameters<InitSqlJs>[0]) => {
    const sqlJs = (await this.init(config)) as { readonly Database: DatabaseClass }
    return { ...sqlJs, Database: this.#watched(sqlJs.Database) }
  }

  /** The file as it is; undefined while a transaction has written and not ended. */
  export(): Uint8Array | undefined {
    try {
      return this.#database?.export()
    } catch (error) {
      if (/busy or locked/.test(String(error))) return
      throw error
    }
  }

  /** What would write throws this error from now on. */
  closeToWrites(error: Error): void {
    // for statements that were prepared before
    this.#database?.exec('PRAGMA query_only = ON')
    this.#closed = error
  }

  /** Throws where a statement would write and may not. */
  check(sql: string): void {
    if (this.#closed && mayWrite(sql)) throw this.#closed
  }

  /** To be called before each statement. */
  note(sql: string): void {
    this.check(sql)
    if (mayWrite(sql)) this.mayHaveWritten()
  }

  #watched(Database: DatabaseClass): DatabaseClass {
    const watched = this
    return class extends Database {
      constructor() {
        if (watched.#database)
          throw new SyncConfigurationError('A database of a browser is opened by openBrowserDatabase alone; call it again.')
        super(watched.file?.length ? watched.file : undefined)
        watched.file = undefined
        watched.#database = this
      }

      override prepare(sql: string, ...rest: unknown[]) {
        watched.note(sql)
        return super.prepare(sql, ...rest)
      }

      override run(sql: string, ...rest: unknown[]) {
        watched.note(sql)
        return super.run(sql, ...rest)
      }

      override exec(sql: string, ...rest: unknown[]) {
        watched.note(sql)
        return super.exec(sql, ...rest)
      }
    }
  }
}
