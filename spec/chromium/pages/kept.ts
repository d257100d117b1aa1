// A page with a database that the browser keeps. The spec opens it, so that it sees what comes of that.

import initSqlJs from 'sql.js'
import { journal, type KeepSyncedOptions, keepSynced, syncAll } from 'typeorm-sync'
import { type BrowserDatabase, type BrowserDatabaseOptions, openBrowserDatabase } from 'typeorm-sync/browser'
import { offer } from './offer.js'
import { Task } from './task.js'

let database: BrowserDatabase | undefined
let failures: string[] = []
let letGo = () => {}

/** The code of the error, and its message. */
const codeOf = (error: any) => error?.code ?? String(error)

async function outcomeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'done'
  } catch (error) {
    return codeOf(error)
  }
}

/** `done` as the spec calls it, `kept` where whoever was asked says no, or the code of the error. */
async function answerOf(work: (confirm?: () => boolean) => Promise<boolean>, done: string, confirms?: boolean): Promise<string> {
  let isDone = false
  const outcome = await outcomeOf(async () => {
    isDone = await work(confirms === undefined ? undefined : () => confirms)
  })
  return outcome === 'done' ? (isDone ? done : 'kept') : outcome
}

const opened = () => {
  if (!database) throw new Error('The database is not open.')
  return database
}

export const kept = offer({
  /** `done`, or the code of the error. */
  open: (options: Partial<BrowserDatabaseOptions> = {}) =>
    outcomeOf(async () => {
      failures = []
      database = await openBrowserDatabase({
        name: 'tasks',
        sqlJs: initSqlJs,
        wasm: '/sql-wasm-browser.wasm',
        entities: [Task],
        synchronize: true,
        onSaveFailed: error => failures.push(codeOf(error)),
        ...options,
        sync: { server: location.origin, ...options.sync },
      })
    }),
  /** As effects of React do, which run twice: closed when it is open, it is opened again meanwhile. */
  async openTwice(): Promise<string> {
    const first = this.open().then(() => opened().close())
    const second = this.open()
    await first
    return second
  },
  keepSynced: (options?: KeepSyncedOptions) => void keepSynced(opened().dataSource, options),
  sync: () => outcomeOf(() => syncAll(opened().dataSource)),
  add: (name: string) => outcomeOf(() => opened().dataSource.getRepository(Task).save({ name })),
  /** Adds tasks one after the other, as fast as it can, until it fails; resolves to those that it was told are there. */
  async addMany(count: number): Promise<{ readonly added: string[]; readonly outcome: string }> {
    const added: string[] = []
    const outcome = await outcomeOf(async () => {
      for (let i = 0; i < count; i++) {
        const { name } = await opened()
          .dataSource.getRepository(Task)
          .save({ name: `${i} ${crypto.randomUUID()}` })
        added.push(name)
        await new Promise(resolve => setTimeout(resolve)) // a page that never waits hears nothing
      }
    })
    return { added, outcome }
  },
  /** In one statement, by SQL. */
  async fill(count: number, text = 'x'): Promise<void> {
    await opened().dataSource.query(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       INSERT INTO task (id, name, done) SELECT lower(hex(randomblob(16))), 'Task ' || i || ' ' || ?, 0 FROM n`,
      [count, text],
    )
  },
  /** Adds a task in a transaction that stays open until it is let go. */
  addHeld: (name: string) =>
    outcomeOf(() =>
      opened().dataSource.transaction(async manager => {
        await manager.save(Task, { name })
        await new Promise<void>(resolve => {
          letGo = resolve
        })
      }),
    ),
  letGo: () => letGo(),
  /** Does not let anything else run until this request is answered. */
  hang(): void {
    const request = new XMLHttpRequest()
    request.open('GET', '/hang', false)
    request.send()
  },
  /** Fills and saves without an end, and tells how many rows are saved. */
  async fillAndSave(rows: number): Promise<never> {
    for (;;) {
      await this.fill(rows)
      await opened().flush()
      ;(globalThis as any).saved(await this.count())
    }
  },
  /** Adds tasks and saves without an end, and tells the name of each that is saved. */
  async addAndSave(): Promise<never> {
    for (;;) {
      const { name } = await opened().dataSource.getRepository(Task).save({ name: crypto.randomUUID() })
      await opened().flush()
      ;(globalThis as any).saved(name)
    }
  },
  query: (sql: string) => opened().dataSource.query(sql),
  async names(): Promise<string[]> {
    return (
      await opened()
        .dataSource.getRepository(Task)
        .find({ order: { name: 'ASC' } })
    ).map(task => task.name)
  },
  count: () => opened().dataSource.getRepository(Task).count(),
  check: () => opened().dataSource.query('PRAGMA integrity_check'),
  async status() {
    const of = journal(opened().dataSource.getRepository(Task))
    const [conflicts, deferred, rejected, pending] = await Promise.all([of.conflicts(), of.deferred(), of.rejected(), of.pending()])
    return { conflicts: conflicts.length, deferred: deferred.length, rejected: rejected.length, pending: pending.length }
  },
  flush: () => outcomeOf(() => opened().flush()),
  close: () => outcomeOf(() => opened().close()),
  wipe: (confirms?: boolean) => answerOf(confirm => opened().wipe(confirm), 'wiped', confirms),
  adopt: (user: string, confirms?: boolean) => answerOf(confirm => opened().adopt(user, confirm), 'adopted', confirms),
  /** As a sync leaves an edit of a row that the server does not show any more. */
  keepApart: () =>
    opened().dataSource.query(
      `INSERT INTO sync_no_access (server, id, local, base) SELECT id, 'gone', '{"name":"Edited"}', '{"name":"Before"}' FROM sync_server`,
    ),
  lost: () => opened().lost,
  isTakenOver: () => opened().signal.aborted,
  failures: () => failures,
  databases: async () => (await indexedDB.databases()).map(({ name }) => name),
})
