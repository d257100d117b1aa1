// The databases of a history: real ones, set up once and emptied between histories, each a server and a client at once.

import { AsyncLocalStorage } from 'node:async_hooks'
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa from 'koa'
import libsql from 'libsql'
import inject from 'light-my-request'
import { Column, DataSource, type DataSourceOptions, Entity, ManyToOne, PrimaryColumn, type Relation, TableColumn } from 'typeorm'
import { syncRoutes } from '../../server-koa/index.js'
import type { ChangeLog } from '../../src/changes/changeLog.js'
import { connectionOf } from '../../src/changes/database/connection.js'
import { cellsOf, type Row, type Step } from '../../src/changes/database/database.js'
import { changeSchema } from '../../src/changes/setUp.js'
import { enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { withSync } from '../../src/entity/withSync.js'
import { OtherDatabase, type OtherKind } from './otherDatabase.js'

// in memory where there is a file system there: what is durable is not what is tried here
const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export const RELATIONS = ['none', 'CASCADE', 'RESTRICT', 'SET NULL'] as const
export type RelationKind = (typeof RELATIONS)[number]

export const IDS = ['x', 'y', 'z', 'w', 'v'] as const
export const PROPERTIES = ['a', 'b', 'c'] as const

// `key`: a column that MySQL can index
function entitiesOf(relation: RelationKind, key: 'text' | 'varchar') {
  @Entity('item')
  class Item {
    @PrimaryColumn(key) id!: string
    @Column('text', { nullable: true }) a!: string | null
    @Column('text', { nullable: true }) b!: string | null
    @Column('text', { nullable: true }) c!: string | null
  }
  enableSync(Item, '/items')
  if (relation === 'none') return [Item]

  @Entity('part')
  class Part {
    @PrimaryColumn(key) id!: string
    @Column('text', { nullable: true }) a!: string | null
    @Column('text', { nullable: true }) b!: string | null
    @Column('text', { nullable: true }) c!: string | null
    @ManyToOne(() => Item, { onDelete: relation as 'CASCADE', nullable: true }) item!: Relation<Item> | null
  }
  enableSync(Part, '/parts')
  return [Item, Part]
}

/** Who runs at the moment: a step of somebody's waits until the scheduler lets it go. */
export interface Turn {
  readonly client: string
  park(kind: 'step' | 'handler' | 'save'): Promise<void>
}
export const running = new AsyncLocalStorage<Turn>()

export type Dump = Map<string, { columns: string[]; rows: unknown[][] }>

const OUR_TABLES = [
  'sync_clock',
  'sync_tombstone',
  'sync_remote',
  'sync_stamp',
  'sync_conflict',
  'sync_rejection',
  'sync_seen',
  'sync_decision',
  'sync_push',
]

export class SimulatedDatabase {
  /** What goes wrong with the next statement of a step. */
  fault: ((sql: string) => void) | undefined
  /** Called where a step is about to lock the clock of a database that is not SQLite. */
  onLock: () => void = () => {}
  /** Called where a database in memory would be saved. */
  onSave: () => void = () => {}
  /** What a server cannot explain. */
  onError: (error: unknown) => void = error => console.error(error)
  #app: Koa | undefined

  private constructor(
    public name: string,
    readonly relation: RelationKind,
    readonly dataSource: DataSource,
    /** Undefined: it is SQLite. */
    readonly other: OtherDatabase | undefined,
  ) {}

  static async open(
    name: string,
    relation: RelationKind,
    kind: 'sqljs' | 'libsql' | OtherKind,
    wallClock: string,
  ): Promise<SimulatedDatabase> {
    const entities = entitiesOf(relation, kind === 'mysql' ? 'varchar' : 'text')
    const other = kind === 'postgres' || kind === 'mysql' ? new OtherDatabase(kind) : undefined
    const dataSource = other
      ? new DataSource({ ...other.options, entities, synchronize: true } as DataSourceOptions)
      : kind === 'sqljs'
        ? new DataSource({ type: 'sqljs', entities, synchronize: true })
        : new DataSource({
            type: 'better-sqlite3',
            driver: libsql,
            database: join(mkdtempSync(join(FOLDER, 'sync-')), 'db'),
            enableWAL: true,
            entities,
            synchronize: true,
          })
    const database = new SimulatedDatabase(name, relation, dataSource, other)
    withSync(dataSource, {
      wallClock,
      // where a connection has to be made first, on a busy machine, a short one would be used up now and then
      patience: other ? 10_000 : 40,
      save: () => database.onSave(),
      beforeStatement: sql => {
        database.fault?.(sql)
        if (/sync_clock (FOR UPDATE|SET now = now)$/.test(sql)) database.onLock()
      },
      beforeStep: async () => {
        const turn = running.getStore()
        if (turn?.client === database.name) await turn.park('step')
      },
    })
    if (other) {
      await database.#setUpOther(other)
      return database
    }
    await dataSource.initialize()
    // a rule of the server's: a value that ends so is refused
    for (const { table } of database.log.collections)
      for (const event of ['INSERT', 'UPDATE'])
        database.run(`CREATE TRIGGER rule_${table.name}_${event} BEFORE ${event} ON ${table.name}
          WHEN NEW.c LIKE '%!' AND (SELECT refuses FROM rule) BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`)
    database.run('CREATE TABLE rule (refuses INTEGER)')
    database.run('CREATE TABLE wall (time INTEGER)')
    database.run('INSERT INTO wall VALUES (0)')
    // sql.js would look up and open its journal in a file system of its own with every step
    for (const pragma of ['synchronous = OFF', ...(kind === 'sqljs' ? ['journal_mode = MEMORY', 'locking_mode = EXCLUSIVE'] : [])])
      database.run(`PRAGMA ${pragma}`)
    return database
  }

  async #setUpOther(other: OtherDatabase): Promise<void> {
    // the triggers of the set-up name it
    this.run('CREATE TABLE wall (time BIGINT NOT NULL)')
    this.run('INSERT INTO wall VALUES (0)')
    await this.dataSource.initialize()
    this.run('CREATE TABLE rule (refuses INTEGER)')
    for (const { table } of this.log.collections) other.addRule(table.name)
    other.forgetDurability([...this.#allTables, 'wall', 'rule'].reverse())
  }

  get log(): ChangeLog {
    return changeLogOf(this.dataSource)
  }

  get tables(): string[] {
    return this.relation === 'none' ? ['item'] : ['item', 'part']
  }

  tableOf(id: string): string {
    return this.relation !== 'none' && (id === 'w' || id === 'v') ? 'part' : 'item'
  }

  run(sql: string, ...values: unknown[]): Row[] {
    return this.other ? this.other.run(sql, values) : connectionOf(this.dataSource).run(sql, values)
  }

  /** A column comes and goes, and TypeORM rebuilds the table for it. */
  async changeSchema(): Promise<void> {
    await changeSchema(this.log, async () => {
      const runner = this.dataSource.createQueryRunner()
      await runner.beforeMigration() // foreign keys off: dropping a table would cascade
      await runner.addColumn('item', new TableColumn({ name: 'spare', type: 'text', isNullable: true }))
      await runner.dropColumn('item', 'spare')
      await runner.afterMigration()
      if (this.other) await runner.release()
    })
  }

  /** Grows with every row that anything writes: where it stands still, nothing has changed. */
  get writes(): number {
    return this.other ? this.other.writes : Number(this.run('SELECT total_changes() AS n')[0]?.n)
  }

  /** Runs a step's statements now, outside any step: to look at what is there. */
  look<T>(body: Step<T>): T {
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
    if (!this.#app) {
      this.#app = new Koa()
      this.#app.on('error', error => this.onError(error))
      this.#app.use(syncRoutes(this.dataSource, { public: true }).routes())
    }
    const callback = this.#app.callback()
    return async (method, path, headers, body) => {
      const answer = await inject(callback as never, { method, url: path, headers, payload: body })
      return { status: answer.statusCode, headers: answer.headers as Record<string, string>, body: answer.payload }
    }
  }

  // ------------------------------------------------------------ images of a whole database

  get #allTables(): string[] {
    return [...this.tables, ...OUR_TABLES, ...this.tables.map(t => `sync_image_${t}`)]
  }

  dump(): Dump {
    if (this.other) return this.other.dump(this.#allTables)
    return new Map(
      this.#allTables.map(table => {
        const rows = this.run(`SELECT * FROM ${table}`)
        const columns = Object.keys(rows[0] ?? {})
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
    this.run('UPDATE sync_clock SET step = 1')
    for (const table of this.#allTables) if (table !== 'sync_clock') this.run(`DELETE FROM ${table}`)
    for (const [table, { columns, rows }] of dump) {
      if (table === 'sync_clock') continue
      for (const row of rows)
        this.run(`INSERT INTO ${table} (${columns.map(c => `"${c}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`, ...row)
    }
    const clock = dump.get('sync_clock')
    const cell = (name: string) => clock?.rows[0]?.[clock.columns.indexOf(name)]
    this.run(
      'UPDATE sync_clock SET now = ?, collection = ?, horizon = ?, step = NULL, stamping = NULL',
      cell('now'),
      cell('collection'),
      cell('horizon'),
    )
    this.run('COMMIT')
    this.run('PRAGMA foreign_keys = ON')
  }

  empty(collection: string): void {
    this.restore(new Map([['sync_clock', { columns: ['now', 'collection', 'horizon'], rows: [[0, collection, 0]] }]]))
  }
}
