// The processes of a scenario, the network between them, and what has to hold in the end.

import type { ObjectLiteral } from 'typeorm'
import { isSetUp } from '../../src/changes/setUp/rehearseSetUp.js'
import { hasLocalChanges, syncAll } from '../../src/entity/syncAll.js'
import { SyncError } from '../../src/errors.js'
import type { Conflict, ConflictHandler, ConflictUpdate } from '../../src/sync/conflicts/handlers.js'
import type { SyncReport } from '../../src/sync/report.js'
import { PROPERTIES } from './entities.js'
import { Ledger } from './ledger.js'
import { Gone, type Point, Points } from './points.js'
import { type Answer, Process, type ProcessOptions, type Schema } from './process.js'
import { remainsOf, seenBy } from './scopedEntities.js'
import { ServerStorage } from './serverStorage.js'
import type { Kind, Left } from './storage.js'

/** A process died: what it was about to do next is not done. */
export class Stopped extends Error {}

// on a busy machine a set-up takes its time
const PATIENCE = 60_000

/** What a network does to a request, besides carrying it. Throws where it does not. */
export interface Network {
  before?(method: string, url: string): void
  /** Answers in the server's place. */
  instead?(method: string, url: string, body: string | undefined): Answer | undefined
  after?(method: string, url: string): void
}

export class World {
  readonly points = new Points()
  readonly processes = new Map<string, Process>()
  readonly problems: string[] = []
  ledger = new Ledger()
  network: Network = {}
  requests: string[] = []
  /** Decides conflicts; undefined lets them wait. */
  handler: ConflictHandler | undefined
  #kept = new Map<string, Left>()
  #keptLedger = new Ledger()
  /** Of a process, what a scenario puts back for each run. */
  #keptSchemas = new Map<string, Schema>()

  add(name: string, kind: Kind, options: ProcessOptions): Process {
    const added = new Process(
      name,
      kind,
      options,
      this.points,
      (_client, request) => this.#carry(request),
      error => {
        // what a scenario lets go wrong is nothing that a server has to explain
        if (!isInjected(error)) this.problems.push(`${name} could not explain: ${error instanceof Error ? error.stack : String(error)}`)
      },
    )
    this.processes.set(name, added)
    return added
  }

  of(name: string): Process {
    return this.processes.get(name) as Process
  }

  get A(): Process {
    return this.of('A')
  }
  get B(): Process {
    return this.of('B')
  }
  get S(): Process {
    return this.of('S')
  }
  /** Those that sync, in the order in which they are read from a server on down. */
  get devices(): Process[] {
    return [...this.processes.values()].filter(p => p.options.server)
  }

  async #carry({
    method,
    url,
    headers,
    body,
  }: {
    method: string
    url: string
    headers: Headers
    body: string | undefined
  }): Promise<Answer> {
    const { host, pathname, search } = new URL(url)
    this.requests.push(`${method} ${url}`)
    this.network.before?.(method, url)
    const instead = this.network.instead?.(method, url, body)
    if (instead) return instead
    const answer = await (this.processes.get(host.toUpperCase()) as Process).answer(method, pathname + search, headers, body)
    this.network.after?.(method, url)
    return answer
  }

  // ------------------------------------------------------------ what a scenario does

  /** Runs something in a process. Errors of the kind that an application expects are the scenario's to survive, a death ends it. */
  async run<T>(process: Process, work: () => Promise<T>): Promise<T | undefined> {
    if (process.isDead) throw new Stopped()
    let result: T | undefined
    try {
      const outcome = work()
      outcome.catch(() => {}) // where the process dies, it is lost
      result = (await within(Promise.race([outcome, process.life.ended]), `${process.name} did not come back`)) as T | undefined
    } catch (error) {
      if (!this.isExpected(error, process)) this.problems.push(`${process.name}: ${error instanceof Error ? error.stack : String(error)}`)
    }
    if ([...this.processes.values()].some(p => p.isDead)) throw new Stopped()
    return result
  }

  isExpected(error: unknown, process: Process): boolean {
    if (process.isDead || error instanceof Gone || error instanceof Stopped) return true
    // an error of the database's is one of ours to the caller of a sync, and TypeORM's to the application's own writes
    if (error instanceof SyncError) return true
    return isInjected(error) && this.points.struck?.kind !== 'statement'
  }

  /** Ends a process and starts it again, with another schema. */
  async restart(process: Process, schema: Schema): Promise<void> {
    process.stop()
    process.schema = schema
    const start = process.start()
    const { life } = process
    await this.run(process, async () => {
      try {
        await start
      } catch (error) {
        life.end() // it has to be started again
        throw error
      }
    })
  }

  async save(process: Process): Promise<void> {
    await this.run(process, () => process.save())
  }

  sync(process: Process, target?: string): Promise<SyncReport | undefined> {
    return this.run(process, () =>
      syncAll(
        target
          ? process.dataSource.getRepository(process.log.collections.find(c => c.name === target)!.metadata.target)
          : process.dataSource,
        this.handlerOf(process),
      ),
    )
  }

  /** The application writes new values, in a row that is there or a new one, and saves. `bad` ones are those that a server may reject. */
  async put(
    process: Process,
    table: string,
    id: string,
    properties: readonly string[] = PROPERTIES,
    more: Record<string, unknown> = {},
    bad: readonly string[] = [],
  ): Promise<void> {
    const row = `${table} ${id}`
    const [old] = process.look(`SELECT * FROM ${table} WHERE id = ?`, id)
    const edits = (old ? properties : PROPERTIES).map(p =>
      this.ledger.note(
        row,
        p,
        this.ledger.token(process.name) + (bad.includes(p) ? '!' : ''),
        old ? [old[p]] : this.ledger.removalsOf(row),
      ),
    )
    const values = Object.fromEntries(edits.map(e => [e.property, e.token]))
    await this.#write(process, edits, async () => {
      const { target } = process.log.collections.find(c => c.name === table)!.metadata
      await process.dataSource.getRepository(target).save({ id, ...values, ...more } as ObjectLiteral)
    })
  }

  /** Many new rows at once. */
  async fill(process: Process, ids: readonly string[]): Promise<void> {
    const edits = ids.flatMap(id => PROPERTIES.map(p => this.ledger.note(`item ${id}`, p, this.ledger.token(process.name), [])))
    await this.#write(process, edits, async () => {
      for (const [i, id] of ids.entries())
        process.look('INSERT INTO item (id, a, b, c) VALUES (?, ?, ?, ?)', id, ...edits.slice(i * 3, i * 3 + 3).map(e => e.token))
    })
  }

  async remove(process: Process, table: string, id: string): Promise<void> {
    const gone: [string, string][] = [[table, id]]
    const parts = process.log.collections.find(c => c.name === 'part')?.metadata
    if (table === 'item' && parts?.foreignKeys.some(key => key.onDelete === 'CASCADE'))
      gone.push(...process.look('SELECT id FROM part WHERE "itemId" = ?', id).map(r => ['part', String(r.id)] as [string, string]))
    const edits = gone.map(([from, key]) => {
      const before = Object.values(process.look(`SELECT a, b, c FROM ${from} WHERE id = ?`, key)[0] ?? {})
      return this.ledger.note(`${from} ${key}`, null, this.ledger.token(`${process.name}r`), before)
    })
    await this.#write(process, edits, async () => {
      const { target } = process.log.collections.find(c => c.name === table)!.metadata
      await process.dataSource.getRepository(target).delete({ id })
    })
  }

  async #write(process: Process, edits: { isAcknowledged: boolean }[], work: () => Promise<void>): Promise<void> {
    await this.run(process, async () => {
      await work()
      await process.save()
      for (const edit of edits) edit.isAcknowledged = true
    })
  }

  /** The handler as a process calls it: what it is shown is seen. */
  handlerOf(process: Process): ConflictHandler | undefined {
    const { handler } = this
    if (!handler) return
    const { life } = process
    return async (conflicts: Conflict[], updates: ConflictUpdate[]) => {
      const index = this.points.before(process, 'handler', conflicts.map(c => c.id).join())
      await new Promise(resolve => setImmediate(resolve))
      for (const { entity, id, local, remote, children } of conflicts) {
        for (const side of [local, remote]) this.ledger.see(side ? Object.values(side) : this.ledger.removalsOf(`${tableOf(entity)} ${id}`))
        // a row that needs one which was removed: a handler that sees it knows of that removal
        for (const side of [local, remote])
          this.ledger.see(this.ledger.removalsOf(`item ${(side as { item?: { id?: string } } | null)?.item?.id}`))
        for (const child of children)
          this.ledger.see(Object.values(process.look(`SELECT a, b, c FROM ${tableOf(child.entity)} WHERE id = ?`, child.id)[0] ?? {}))
      }
      await handler(conflicts, updates, () => {})
      if (life.isOver) return new Promise(() => {})
      this.points.after(process, index)
    }
  }

  // ------------------------------------------------------------ one run per point

  /** What the runs begin with. */
  async keep(): Promise<void> {
    for (const [name, each] of this.processes) {
      this.#kept.set(name, await each.keep())
      this.#keptSchemas.set(name, each.schema)
    }
    this.#keptLedger = this.ledger.clone()
  }

  /** Begins a run; it goes wrong at the point. */
  async begin(point: Point | undefined): Promise<void> {
    this.points.isCounting = false
    // after a BEGIN that failed TypeORM believes in its transaction for ever, and saves no sql.js database any more
    const { struck } = this.points
    if (struck?.kind === 'sql') this.of(struck.process).life.end()
    for (const [name, each] of this.processes) {
      each.schema = this.#keptSchemas.get(name) as Schema
      await within(each.reset(this.#kept.get(name)), `${name} did not start`)
    }
    this.ledger = this.#keptLedger.clone()
    this.problems.length = 0
    this.network = {}
    this.points.begin(point)
  }

  /** All start anew for the next run: one of them holds something. */
  abandon(): void {
    for (const each of this.processes.values()) each.close()
  }

  /** Whoever died begins again; all sync, twice, and then nothing may be left to do. */
  async end(mend: ((world: World) => Promise<void>) | undefined, rounds: number): Promise<void> {
    this.points.isCounting = false
    this.network = {}
    for (const each of this.processes.values()) if (each.isDead) await within(each.start(), `${each.name} did not start`)
    if (this.S.options.rules) await this.#checkSeen(rounds)
    await mend?.(this)
    for (let round = 0; round < rounds; round++) for (const each of this.devices) await this.#mustSync(each, `round ${round + 1}`)
    this.#checkRows()
    this.requests = []
    for (const each of this.devices) {
      const report = await this.#mustSync(each, 'at rest')
      if (!report) continue
      const { pulled, pushed, merged, conflicts, unapplied, rejected, heldBack } = report
      const moved = { pulled, pushed, merged, conflicts, unapplied, rejected, heldBack }
      if (Object.values(moved).some(n => n > 0)) this.problems.push(`${each.name} is not at rest: ${JSON.stringify(moved)}`)
      if (await hasLocalChanges(each.dataSource)) this.problems.push(`${each.name} has local changes left`)
    }
    const pushes = this.requests.filter(r => r.startsWith('POST'))
    if (pushes.length) this.problems.push(`pushed at rest: ${pushes}`)
    for (const each of this.processes.values()) await this.#checkBookkeeping(each)
  }

  async #mustSync(process: Process, when: string): Promise<SyncReport | undefined> {
    try {
      return await within(syncAll(process.dataSource, this.handlerOf(process)), `${process.name} did not come back from its sync`)
    } catch (error) {
      const { message, stack, cause } = error as Error
      this.problems.push(
        `${process.name} could not sync (${when}): ${error instanceof SyncError ? message : stack}${cause ? ` ← ${(cause as Error).message}` : ''}`,
      )
      return
    }
  }

  /** Each device has what its user sees, and nothing of what they do not. */
  async #checkSeen(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) for (const each of this.devices) await this.#mustSync(each, `by rules ${round + 1}`)
    const all = rowsOf(this.S)
    for (const each of this.devices) {
      const rows = rowsOf(each)
      const [is, ought] = [rows, seenBy(this.S, each.name, all)].map(some => JSON.stringify([...some]))
      if (is !== ought) this.problems.push(`${each.name} has other rows than it may see: ${is} ${ought}`)
      const remains = remainsOf(each, rows)
      if (remains.length) this.problems.push(`${each.name} knows of rows that it does not see: ${remains}`)
    }
  }

  #checkRows(): void {
    const [server, ...others] = [...this.processes.values()].map(p => ({ name: p.name, rows: rowsOf(p) }))
    if (!server) return
    for (const { name, rows } of others) {
      const [one, other] = [JSON.stringify([...server.rows]), JSON.stringify([...rows])]
      if (one !== other) this.problems.push(`${server.name} and ${name} differ: ${one} ${other}`)
    }
    for (const { row, property, token } of this.ledger.lost(server.rows))
      this.problems.push(`lost ${token}, ${property ?? 'the removal'} of ${row}: ${JSON.stringify([...server.rows])}`)
  }

  async #checkBookkeeping(process: Process): Promise<void> {
    const { name, storage } = process
    const problem = (what: string) => this.problems.push(`${name} ${what}`)
    for (const table of storage.tables) {
      if (/^(sync_copy_|sync_outdated|temporary_)/.test(table)) problem(`has ${table} left`)
      if (!/^sync_(base_|unapplied$|rejection$|seen$|replaced$)/.test(table)) continue
      // exits stay
      const rows = process.look(`SELECT * FROM ${table}${table.startsWith('sync_base_') ? ' WHERE _sync_server <> 0' : ''}`)
      if (rows.length) problem(`has ${table} left: ${JSON.stringify(rows)}`)
    }
    const open = process.look('SELECT * FROM sync_server WHERE push_key IS NOT NULL OR pulling <> 0 OR sweeping <> 0 OR page IS NOT NULL')
    if (open.length) problem(`has begun something: ${JSON.stringify(open)}`)
    const unstamped = process.look('SELECT id FROM item WHERE "_lastChange" IS NULL OR "_lastChange" > (SELECT "now" FROM sync_clock)')
    if (unstamped.length) problem(`has rows without a stamp of its clock: ${JSON.stringify(unstamped)}`)
    if (storage instanceof ServerStorage) {
      for (const found of await storage.checkConnections()) problem(found)
      if (!(await isSetUp(process.log))) problem('lacks something of its set-up')
      return
    }
    if (process.look('SELECT bypass FROM sync_clock')[0]?.bypass !== null) problem('has a bypass of capture open')
    const orphans = process.look('PRAGMA foreign_key_check')
    if (orphans.length) problem(`has orphans: ${JSON.stringify(orphans)}`)
    const triggers = Number(process.look(`SELECT count(*) AS n FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'sync_%'`)[0]?.n)
    if (triggers !== process.log.collections.length * (process.options.rules ? 12 : 8)) problem(`has ${triggers} triggers`)
    if (process.look('PRAGMA integrity_check')[0]?.integrity_check !== 'ok') problem('is corrupt')
  }
}

const tableOf = (entity: string) => (/part/i.test(entity) ? 'part' : 'item')

function rowsOf(process: Process): Map<string, Record<string, unknown>> {
  const rows = new Map<string, Record<string, unknown>>()
  for (const { name } of process.log.collections)
    for (const { _lastChange, ...row } of process.look(`SELECT * FROM ${name} ORDER BY id`))
      rows.set(`${name} ${row.id}`, Object.fromEntries(Object.entries(row).sort()))
  return rows
}

const INJECTED =
  /disk is full|disk I\/O error|injected|terminating connection|Connection terminated|not queryable|ECONNRESET|Connection lost|closed state|was killed|fetch failed|handler failed/

const isInjected = (error: unknown): boolean => {
  for (let e = error as (Error & { code?: string }) | undefined; e instanceof Error; e = e.cause as Error | undefined) {
    if (e instanceof Gone || INJECTED.test(e.message)) return true
    const driver = (e as { driverError?: Error }).driverError
    if (driver && isInjected(driver)) return true
  }
  return false
}

async function within<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${PATIENCE} ms`)), PATIENCE)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
