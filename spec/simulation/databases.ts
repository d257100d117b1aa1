// The databases of a history: real ones, set up once and emptied between histories, each a server and a client at once.

import { AsyncLocalStorage } from 'node:async_hooks'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa from 'koa'
import libsql from 'libsql'
import inject from 'light-my-request'
import { DataSource, type DataSourceOptions, TableColumn } from 'typeorm'
import { syncRoutes } from '../../server-koa/index.js'
import type { ChangeLog } from '../../src/changes/changeLog.js'
import { changeSchema } from '../../src/changes/setUp/changeSchema.js'
import { cellsOf, type Row, type Transaction } from '../../src/databases/database.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { withHooks } from '../../src/entity/withSync.js'
import { sqliteConnectionOf } from '../support/sqliteConnection.js'
import { OtherDatabase, type OtherKind } from './otherDatabase.js'
import { type Policy, rulesOf } from './policies.js'
import { entitiesOf, isNumberedReference, referencesOf, type Schema, type TableSpec } from './schemas.js'

// in memory where there is a file system there: what is durable is not what is tried here
const FOLDER = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'sync-'))
process.once('exit', () => rmSync(FOLDER, { recursive: true, force: true }))

export { IDS, PROPERTIES, RELATIONS, type RelationKind } from './schemas.js'

/** Who runs at the moment: a step of somebody's waits until the scheduler lets it go. */
export interface Turn {
  readonly client: string
  park(kind: 'transaction' | 'handler' | 'save'): Promise<void>
}
export const running = new AsyncLocalStorage<Turn>()

export type Dump = Map<string, { columns: string[]; rows: unknown[][] }>

const OUR_TABLES = [
  'sync_clock',
  'sync_tombstone',
  'sync_server',
  'sync_stamp',
  'sync_unapplied',
  'sync_rejection',
  'sync_ignored',
  'sync_seen',
  'sync_resolution',
  'sync_push',
  'sync_scope',
  'sync_no_access',
]

const exportOf = ({ driver }: DataSource) => (driver as unknown as { export(): Uint8Array }).export()

/** A database on SQLite that has a wall clock before it has anything else. */
async function withWall(isSqljs: boolean, file: string): Promise<Uint8Array | undefined> {
  const early = await new DataSource(isSqljs ? { type: 'sqljs' } : { type: 'better-sqlite3', driver: libsql, database: file }).initialize()
  await early.query('CREATE TABLE wall (time INTEGER)')
  await early.query('INSERT INTO wall VALUES (0)')
  const bytes = isSqljs ? exportOf(early) : undefined
  await early.destroy()
  return bytes
}

export class SimulatedDatabase {
  /** What goes wrong with the next statement of a step. */
  fault: ((sql: string) => void) | undefined
  /** Called where a step is about to lock the clock of a database that is not SQLite. */
  onLock: () => void = () => {}
  /** Called where a database in memory would be saved. */
  onSave: () => void = () => {}
  /** What a server cannot explain. */
  onError: (error: unknown) => void = error => console.error(error)
  /** Which rows of it its users see; undefined: all is public. */
  policy: Policy | undefined
  readonly #apps = new Map<Policy | undefined, Koa>()

  private constructor(
    public name: string,
    readonly schema: Schema,
    /** It has not yet the column that the schema gains. */
    readonly lacksGained: boolean,
    readonly dataSource: DataSource,
    /** Undefined: it is SQLite. */
    readonly other: OtherDatabase | undefined,
  ) {}

  static async open(
    name: string,
    schema: Schema,
    kind: 'sqljs' | 'libsql' | OtherKind,
    wallClock: string,
    { lacksGained = false, before }: { lacksGained?: boolean; before?: SimulatedDatabase } = {},
  ): Promise<SimulatedDatabase> {
    const entities = entitiesOf(schema, kind === 'mysql' ? 'varchar' : 'text', lacksGained)
    const other = kind === 'postgres' || kind === 'mysql' ? (before?.other ?? new OtherDatabase(kind)) : undefined
    const file =
      (before?.dataSource.options.database as string | undefined) ?? (kind === 'libsql' ? join(mkdtempSync(join(FOLDER, 'db-')), 'db') : '')
    // scopes by paths, and identities of references, are filled when they are set up, and what is filled gets a stamp
    const needsWall =
      !before &&
      !other &&
      (schema.users?.path !== undefined || (schema.users && schema.linked !== undefined) || schema.tables.some(t => t.isNumbered))
    const bytes = before && kind === 'sqljs' ? exportOf(before.dataSource) : needsWall ? await withWall(kind === 'sqljs', file) : undefined
    if (before) await before.dataSource.destroy()
    const dataSource = other
      ? new DataSource({ ...other.options, entities, synchronize: true } as DataSourceOptions)
      : kind === 'sqljs'
        ? new DataSource({ type: 'sqljs', entities, synchronize: true, ...(bytes && { database: bytes }) })
        : new DataSource({
            type: 'better-sqlite3',
            driver: libsql,
            database: file,
            enableWAL: true,
            entities,
            synchronize: true,
          })
    const database = new SimulatedDatabase(name, schema, lacksGained, dataSource, other)
    withHooks(dataSource, {
      wallClock,
      // where a connection has to be made first, on a busy machine, a short one would be used up now and then
      busyTimeout: other ? 10_000 : 40,
      save: () => database.onSave(),
      beforeStatement: sql => {
        database.fault?.(sql)
        if (/sync_clock (FOR UPDATE|SET now = now)$/.test(sql)) database.onLock()
      },
      beforeTransaction: async () => {
        const turn = running.getStore()
        if (turn?.client === database.name) await turn.park('transaction')
      },
    })
    if (other) {
      await database.#setUpOther(other, before !== undefined)
      return database
    }
    await dataSource.initialize()
    database.#addTriggers()
    if (!before) {
      database.run('CREATE TABLE rule (refuses INTEGER)')
      if (!needsWall) {
        database.run('CREATE TABLE wall (time INTEGER)')
        database.run('INSERT INTO wall VALUES (0)')
      }
    }
    // sql.js would look up and open its journal in a file system of its own with every step
    for (const pragma of ['synchronous = OFF', ...(kind === 'sqljs' ? ['journal_mode = MEMORY', 'locking_mode = EXCLUSIVE'] : [])])
      database.run(`PRAGMA ${pragma}`)
    return database
  }

  /** The application's own, on SQLite: TypeORM forgets them where it rebuilds a table. */
  #addTriggers(): void {
    const refuses = '(SELECT refuses FROM rule) = 1'
    for (const { table } of this.log.collections.filter(c => !c.isLink))
      for (const event of ['INSERT', 'UPDATE']) {
        // a rule of the server's: a value that ends so is rejected
        this.run(`CREATE TRIGGER IF NOT EXISTS rule_${table.name}_${event} BEFORE ${event} ON ${table.name}
          WHEN NEW.c LIKE '%!' AND ${refuses} BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`)
        if (this.schema.trigger === 'touch' && this.isAuthority)
          this.run(`CREATE TRIGGER IF NOT EXISTS touch_${table.name}_${event} AFTER ${event === 'UPDATE' ? 'UPDATE OF a' : event} ON ${table.name}
            WHEN ${refuses} BEGIN UPDATE ${table.name} SET t = 'of ' || NEW.a WHERE id = NEW.id AND t IS NOT 'of ' || NEW.a; END`)
      }
    if (this.schema.trigger === 'skip' && this.isAuthority)
      this.run(`CREATE TRIGGER IF NOT EXISTS keep_item BEFORE DELETE ON item
        WHEN ${refuses} BEGIN UPDATE item SET t = 'removed' WHERE id = OLD.id; SELECT RAISE(IGNORE); END`)
  }

  /** It reads from no other: only such a one has a word of its own about what it stores. */
  get isAuthority(): boolean {
    return /^[STU]/.test(this.name)
  }

  async #setUpOther(other: OtherDatabase, isThere: boolean): Promise<void> {
    // the triggers of the set-up name it
    if (!isThere) {
      this.run('CREATE TABLE wall (time BIGINT NOT NULL)')
      this.run('INSERT INTO wall VALUES (0)')
    }
    await this.dataSource.initialize()
    if (isThere) return
    this.run('CREATE TABLE rule (refuses INTEGER)')
    for (const { table } of this.log.collections.filter(c => !c.isLink)) other.addTriggers(table.name, this.schema)
    // tables that need each other can only be changed together
    if (!this.schema.isMutual) other.forgetDurability([...this.#allTables, 'wall', 'rule'].reverse())
  }

  async close(): Promise<void> {
    await this.dataSource.destroy()
    this.other?.drop()
  }

  /** The application comes with a column more: it begins anew, on the same data. */
  grow(wallClock: string): Promise<SimulatedDatabase> {
    const { type } = this.dataSource.options
    const kind = this.other?.kind ?? (type === 'sqljs' ? 'sqljs' : 'libsql')
    return SimulatedDatabase.open(this.name, this.schema, kind, wallClock, { before: this })
  }

  get log(): ChangeLog {
    return changeLogOf(this.dataSource)
  }

  get tables(): string[] {
    return this.schema.tables.map(t => t.name)
  }

  tableOf(id: string): string {
    return this.specOf(id).name
  }

  specOf(id: string): TableSpec {
    return this.schema.tables.find(t => t.ids.includes(id)) as TableSpec
  }

  /** Is it a property that the database does not have yet? */
  lacks(property: string): boolean {
    return this.lacksGained && property === this.schema.gained
  }

  run(sql: string, ...values: unknown[]): Row[] {
    return this.other ? this.other.run(sql, values) : sqliteConnectionOf(this.dataSource).run(sql, values)
  }

  /** A column comes and goes, and TypeORM rebuilds the table for it. */
  async changeSchema(): Promise<void> {
    await changeSchema(this.log, async () => {
      const runner = this.dataSource.createQueryRunner()
      await runner.beforeMigration() // foreign keys off: dropping a table would cascade
      const { name } = this.schema.tables[0] as TableSpec
      await runner.addColumn(name, new TableColumn({ name: 'spare', type: 'text', isNullable: true }))
      await runner.dropColumn(name, 'spare')
      await runner.afterMigration()
      if (this.other) await runner.release()
      else this.#addTriggers()
    })
  }

  /** Grows with every row that anything writes: where it stands still, nothing has changed. */
  get writes(): number {
    return this.other ? this.other.writes : Number(this.run('SELECT total_changes() AS n')[0]?.n)
  }

  /** Runs a step's statements now, outside any step: to look at what is there. */
  look<T>(body: Transaction<T>): T {
    let state = body.next()
    while (!state.done) {
      const { sql, values, many = [values], asCells } = state.value
      const rows = [...many].flatMap(each => this.run(sql, ...each))
      state = body.next(asCells ? cellsOf(rows) : rows)
    }
    return state.value
  }

  get handler(): (
    method: 'GET' | 'POST',
    path: string,
    headers: Record<string, string>,
    body?: string,
  ) => Promise<{ status: number; headers: Record<string, string>; body: string }> {
    const { policy } = this
    let app = this.#apps.get(policy)
    if (!app) {
      app = new Koa()
      this.#apps.set(policy, app)
      app.on('error', error => this.onError(error))
      const principal = (ctx: Koa.Context) => ({ id: ctx.get('user') || 'owner' })
      const opened = policy ? { rules: rulesOf(this.schema, policy, this.dataSource) } : ({ public: true } as const)
      app.use(syncRoutes(this.dataSource, { ...opened, principal }).routes())
    }
    const callback = app.callback()
    return async (method, path, headers, body) => {
      const answer = await inject(callback as never, { method, url: path, headers, payload: body })
      return { status: answer.statusCode, headers: answer.headers as Record<string, string>, body: answer.payload }
    }
  }

  // ------------------------------------------------------------ copies of a whole database

  get #allTables(): string[] {
    const members = this.schema.users && !this.schema.users.isSynced ? ['member'] : []
    const all = [...this.tables, ...(this.schema.linked ? ['link'] : [])]
    return [...all, ...members, ...OUR_TABLES, ...all.map(t => `sync_base_${t}`)]
  }

  /** The number that a row has here; null where there is none, so that what needs it is rejected, or needs nothing. */
  numberOf(table: string, id: unknown): unknown {
    return id === null ? null : (this.run(`SELECT num FROM ${table} WHERE id = ?`, id)[0]?.num ?? null)
  }

  /** Of a key of several columns the id is not written, nor what is generated of identities. */
  isGenerated(table: string, column: string): boolean {
    const spec = this.schema.tables.find(t => t.name === table)
    if ((spec?.isNumbered || spec?.isGiven) && column === 'id') return true
    if (spec && referencesOf(spec).some(r => r.column === column && isNumberedReference(this.schema, r))) return true
    const isComposite = table === 'link' || this.schema.tables.some(t => t.name === table && (t.composite || t.isGiven))
    if (isComposite && (column === 'id' || column === '_sync_key')) return true
    return this.schema.tables.some(t => t.name === table && referencesOf(t).some(r => r.isSplit && r.column === column))
  }

  dump(): Dump {
    if (this.other) return this.other.dump(this.#allTables, (table, column) => this.isGenerated(table, column))
    return new Map(
      this.#allTables.map(table => {
        const rows = this.run(`SELECT * FROM ${table}`)
        const columns = Object.keys(rows[0] ?? {}).filter(c => !this.isGenerated(table, c))
        return [table, { columns, rows: rows.map(row => columns.map(c => row[c])) }]
      }),
    )
  }

  restore(dump: Dump): void {
    if (this.other) {
      this.other.restore(this.#allTables, dump)
      return
    }
    this.run('PRAGMA foreign_keys = OFF')
    this.run('BEGIN')
    this.run('UPDATE rule SET refuses = -refuses') // the application's triggers are still
    this.run('UPDATE sync_clock SET bypass = 1')
    for (const table of this.#allTables) if (table !== 'sync_clock') this.run(`DELETE FROM ${table}`)
    for (const [table, { columns, rows }] of dump) {
      if (table === 'sync_clock') continue
      for (const row of rows)
        this.run(`INSERT INTO ${table} (${columns.map(c => `"${c}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`, ...row)
    }
    const clock = dump.get('sync_clock')
    const cell = (name: string) => clock?.rows[0]?.[clock.columns.indexOf(name)]
    this.run(
      'UPDATE sync_clock SET now = ?, collection = ?, horizon = ?, bypass = NULL, stamping = NULL',
      cell('now'),
      cell('collection'),
      cell('horizon'),
    )
    this.run('UPDATE rule SET refuses = -refuses')
    this.run('COMMIT')
    this.run('PRAGMA foreign_keys = ON')
  }

  empty(collection: string): void {
    this.restore(new Map([['sync_clock', { columns: ['now', 'collection', 'horizon'], rows: [[0, collection, 0]] }]]))
  }
}
