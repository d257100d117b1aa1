// Looks for what was written to a database, by whomever: one look for all who watch it.

import type { DataSource, EntitySubscriberInterface, QueryRunner } from 'typeorm'
import type { ChangeLog } from '../../changes/changeLog.js'
import { readLastChanges } from '../../changes/rows/lastChanges.js'
import { first, type Transaction } from '../../databases/database.js'
import { macrotask } from '../../databases/macrotask.js'
import { DatabaseBusyError } from '../../errors.js'
import { Timer } from '../keep/timer.js'
import { listenToBrowser } from '../keep/wakeUps.js'
import { changeLogOf } from '../registry.js'

/** Milliseconds between looks while nothing calls for one. */
const INTERVAL = 200

/** What there was at one moment, no transaction of the application being open on a shared connection. */
export interface Look {
  /** Undefined where the database has none. */
  readonly mark: string | undefined
  /** Differs where anything was written, as far as can be known: on SQLite by anybody, elsewhere to synced tables by anybody, to others by this process. */
  readonly all: string
  /** By path of a synced table: differs where its rows changed. */
  readonly tables: ReadonlyMap<string, string>
  /** Differs where the journals changed. */
  readonly journals: string
}

export interface Watcher {
  /** True where it reads. */
  looked(look: Look): boolean
  failed(error: unknown): void
  /** The data source is closed. */
  closed(): void
}

const lookers = new WeakMap<ChangeLog, Looker>()

/** One for a data source. Throws as `changeLogOf` does. */
export function lookerOf(dataSource: DataSource): Looker {
  const log = changeLogOf(dataSource)
  const looker = lookers.get(log) ?? new Looker(log)
  lookers.set(log, looker)
  return looker
}

export class Looker {
  #writes = 0
  #clock = ''
  #tables: Look['tables'] = new Map()
  #isDue = false
  #isLooking = false
  readonly #own = new WeakSet<QueryRunner>()
  readonly #watchers = new Set<Watcher>()
  readonly #timer = new Timer(() => void this.look())
  #leave: (() => void) | undefined

  constructor(private readonly log: ChangeLog) {}

  /** Emits each look to a watcher from now on; returns a function that ends this. */
  join(watcher: Watcher): () => void {
    this.#watchers.add(watcher)
    this.#leave ??= this.#listen()
    void this.look()
    return () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size) return
      this.#timer.clear()
      this.#leave?.()
      this.#leave = undefined
    }
  }

  /** Looks at once, and again where it was called meanwhile. */
  async look(): Promise<void> {
    this.#isDue = true
    if (this.#isLooking) return
    this.#isLooking = true
    this.#timer.clear()
    while (this.#isDue && this.#watchers.size) {
      this.#isDue = false
      await this.#emit()
    }
    this.#isLooking = false
    if (this.#watchers.size) this.#timer.set(INTERVAL)
  }

  /** Was nothing written since, whether it is committed or not? Waits for an open transaction of the application. True where the database cannot tell. */
  async holds({ mark }: Look): Promise<boolean> {
    const { database } = this.log
    return mark === undefined || mark === (await database.transaction(() => database.mark(), { mode: 'read' }))
  }

  /** What this query runner does is no write. */
  ignore(runner: QueryRunner): void {
    this.#own.add(runner)
  }

  get isClosed(): boolean {
    try {
      return changeLogOf(this.log.dataSource) !== this.log
    } catch {
      return true
    }
  }

  async #emit(): Promise<void> {
    let emit: (watcher: Watcher) => unknown
    try {
      const look = await this.#read()
      emit = watcher => watcher.looked(look)
    } catch (error) {
      if (this.isClosed) emit = watcher => watcher.closed()
      // it is looked at when the others have ended
      else if (error instanceof DatabaseBusyError) return
      else emit = watcher => watcher.failed(error)
    }
    // what each of them reads is a task of its own: a page has its turn between them
    for (const watcher of [...this.#watchers]) if (this.#watchers.has(watcher) && emit(watcher) === true) await macrotask()
  }

  async #read(): Promise<Look> {
    if (this.isClosed) throw new Error('The data source is closed.')
    const writes = this.#writes
    const { log } = this
    const { mark, clock, tables, journals } = await log.database.transaction(() => this.#readTables(), { mode: 'read', afterOthers: true })
    this.#clock = clock
    this.#tables = tables
    const all = `${mark ?? writes} ${clock}`
    return { mark, all, tables, journals: `${all} ${journals}` }
  }

  *#readTables() {
    const { log } = this
    // before all else that is read: it counts for the snapshot of the transaction
    const mark = yield* log.database.mark()
    const { now, collection, horizon } = yield* log.database.clock()
    const clock = `${collection} ${now} ${horizon}`
    const tables = clock === this.#clock ? this.#tables : yield* this.#readStamps(`${collection} ${horizon}`)
    const journals = mark ?? (yield* readJournals())
    return { mark, clock, tables, journals }
  }

  /** `history`: what was purged left no stamp, but moved the horizon. */
  *#readStamps(history: string): Transaction<Look['tables']> {
    const tables = new Map<string, string>()
    for (const [{ metadata }, stamps] of yield* readLastChanges(this.log.collections))
      tables.set(metadata.tablePath, `${history} ${stamps}`)
    return tables
  }

  #listen(): () => void {
    const { dataSource, database } = this.log
    const wrote = () => {
      this.#writes++
      void this.look()
    }
    const subscriber: EntitySubscriberInterface = {
      afterQuery: ({ query, queryRunner, success }) => {
        if (success && !this.#own.has(queryRunner) && isCommitted(query, queryRunner)) wrote()
      },
    }
    const subscribers = dataSource.subscribers as EntitySubscriberInterface[]
    subscribers.push(subscriber)
    const ends = [
      database.onWrite(wrote),
      listenToBrowser(
        () => void this.look(),
        () => {},
      ),
    ]
    return () => {
      const place = subscribers.indexOf(subscriber)
      if (place >= 0) subscribers.splice(place, 1)
      for (const end of ends) end()
    }
  }
}

// TypeORM puts the comment of a query builder first
const READS = /^\s*(?:\/\*.*?\*\/\s*)*(SELECT|PRAGMA|SHOW|EXPLAIN|BEGIN|START|SET|SAVEPOINT|RELEASE|ROLLBACK)\b/is
const COMMITS = /^\s*(COMMIT|END)\b/i

const isCommitted = (sql: string, { isTransactionActive }: QueryRunner) => (isTransactionActive ? COMMITS.test(sql) : !READS.test(sql))

/** Where no mark tells: what a sync, and a call of the journal, change. */
function* readJournals(): Transaction<string> {
  const row = yield* first(
    `SELECT (SELECT count(*) FROM sync_unapplied) AS unapplied, (SELECT coalesce(sum("reads"), 0) FROM sync_server) AS answers,
            (SELECT count(*) FROM sync_resolution) AS decided, (SELECT coalesce(max(id), 0) FROM sync_resolution) AS decision`,
  )
  return `${row?.unapplied} ${row?.answers} ${row?.decided} ${row?.decision}`
}
