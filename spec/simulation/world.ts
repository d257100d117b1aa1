// What the parts of one random history share: what its seed has drawn, its databases, and what is known of them while it runs.

import { Application } from './application.js'
import { type Dump, PROPERTIES, RELATIONS, type RelationKind, type SimulatedDatabase } from './databases.js'
import { drawFeatures, type Features } from './features.js'
import { type Cells, isSame, Oracle, type Value } from './oracle.js'
import type { Process } from './process.js'
import { Random } from './random.js'
import type { Request } from './requests.js'
import { OLD_SCHEMAS, type Schema } from './schemas.js'
import { type ServerKind, TOPOLOGIES, type Topology } from './topologies.js'
import { Users } from './users.js'

/** A copy of a database, and the tokens of the removals that stand in it. */
export interface Backup {
  readonly dump: Dump
  removals: Map<string, string>
}

/** How often what happens. */
function drawOdds({ chance, next }: Random) {
  const weight = () => (chance(0.5) ? 0 : next()) // half of the faults are off in any one history: a fixed mix misses rare bugs
  return {
    write: 0.05 + next() * 0.3,
    remove: next() * 0.3,
    lost: weight() * 0.15,
    late: weight() * 0.1,
    crash: weight() * 0.02,
    zombie: weight() * 0.02,
    collect: weight() * 0.04,
    bulk: weight() * 0.2,
    wipe: weight() * 0.006,
    rollback: weight() * 0.006,
    bad: weight() * 0.1,
    leave: weight() * 0.5,
    hostWrite: weight() * 0.05,
    transaction: weight() * 0.1,
    fault: weight() * 0.02,
    garble: weight() * 0.05,
    wall: weight() * 0.02,
    schema: weight() * 0.005,
  }
}

export class World {
  // ------------------------------------------------------------ what the seed has drawn

  readonly random: Random
  readonly features: Features
  readonly odds: ReturnType<typeof drawOdds>
  /** How parts refer to items in the small worlds of old. */
  readonly relation: RelationKind
  readonly schema: Schema
  readonly ids: readonly string[]
  /** There are rows that each database counts. */
  readonly isCounted: boolean
  /** Rows in an answer, and in a push. */
  readonly pageSize: number
  readonly batchSize: number
  /** Undefined: all is public. */
  readonly users: Users | undefined
  /** Draws for those who have lost a list, apart from all else. */
  readonly losing: Random

  // ------------------------------------------------------------ who is there

  readonly links: readonly (readonly [client: string, server: string])[]
  readonly names: readonly string[]
  readonly servers: ReadonlySet<string>
  readonly clients: ReadonlySet<string>
  /** Each device has two servers, and these know nothing of each other. */
  readonly isTwo: boolean
  readonly databases = new Map<string, SimulatedDatabase>()
  /** Syncs under way, by what they sync. */
  readonly processes = new Map<string, Process>()
  /** Those beside which another one of the same has begun. */
  readonly zombies: Process[] = []
  /** Databases that gain a column later. */
  readonly lacking: string[]

  // ------------------------------------------------------------ what has happened

  /** The states that it has come across. */
  readonly reached = new Set<string>()
  readonly oracle: Oracle
  readonly application: Application
  /** Database → id → token of the removal that stands there. */
  readonly removals = new Map<string, Map<string, string>>()
  /** Databases in memory as they were saved last, and what they had written by then. */
  readonly saved = new Map<string, Backup & { readonly writes: number }>()
  readonly backups = new Map<string, Backup>()
  /** Devices on which a transaction of the application's is open over steps of their syncs. */
  readonly openTransactions = new Set<string>()
  /** Requests that have not arrived yet. */
  readonly late: Request[] = []
  /** Requests that are at a server: what becomes of its rows then is their doing. */
  readonly serving = new Map<string, number>()
  /** The links that a server has had, and those that somebody has removed, by themselves or with a row. */
  readonly linked = new Set<string>()
  readonly unlinked = new Set<string>()
  /** The circles in trees that applications have made. */
  readonly circles = new Set<string>()
  /** Client + server + id → what was rejected. */
  readonly notUnique = new Map<string, unknown>()
  /** Values that a server had no column for. */
  readonly unknownTold = new Set<string>()
  /** Client + server + id → token of a removal that is in the journal. */
  readonly journalRemovals = new Map<string, string>()
  /** Of a row that was made here, and needs one that was removed here, the server has nothing: who takes that drops what nobody else has ever had. */
  readonly invented = new Set<string>()
  /** What must not be, and was seen where the transport would take an error for the network's. */
  violation: unknown
  /** Since a round began. */
  pushedRows = 0
  /** Polls that were answered with more than that there is nothing new. */
  news = 0
  /** Names that were given to the histories of databases. */
  collections = 0

  // ------------------------------------------------------------ how it goes on

  /** In the end nothing goes wrong any more. */
  hasFaults = true
  /** Is there anybody who decides conflicts? */
  asks = true
  /** The database may reject a mixture of both sides, again and again; then the server's is applied. */
  tries = 0

  constructor(
    seed: number,
    topology: Topology,
    readonly trace: (line: string) => void,
    readonly kind: ServerKind,
    wanted: Partial<Features>,
  ) {
    // the order of these draws is part of what a seed means
    this.random = new Random(seed)
    const drawn = { ...drawFeatures(seed, topology, kind), ...wanted }
    // one that is wanted may be another than the one that has the column
    this.features = drawn.schema?.gained ? drawn : { ...drawn, late: new Set<string>() }
    const odds = drawOdds(this.random)
    this.odds = this.features.keepsLinks && this.features.schema?.linked ? { ...odds, remove: 0 } : odds
    this.relation = this.random.pick(RELATIONS)
    this.schema = this.features.schema ?? OLD_SCHEMAS[this.relation]
    this.ids = this.schema.ids
    this.isCounted = this.schema.tables.some(t => t.isNumbered)
    this.pageSize = this.random.pick([1, 2, 3, 3, 50])
    this.batchSize = this.random.pick([1, 2, 3, 3, 50])
    this.oracle = new Oracle(trace)
    const { random, reached, schema } = this
    const links: World['links'] = TOPOLOGIES[topology]
    const servers = new Set(links.map(([, s]) => s))
    const clients = new Set(links.map(([c]) => c))
    this.links = links
    this.names = [...new Set(links.flat())]
    this.servers = servers
    this.clients = clients
    this.isTwo = servers.size === 2 && ![...servers].some(name => clients.has(name))
    this.users = schema.users && new Users({ ...{ random, reached, trace, schema, links }, world: this.databases })
    this.losing = new Random(Math.imul(seed, 0x2545f491))
    this.lacking = [...this.features.late].filter(name => this.names.includes(name))
    this.application = new Application({
      ...{ random, reached, servers, oracle: this.oracle, odds: this.odds },
      snapshot: db => this.snapshot(db),
      removalsOf: name => this.removalsOf(name),
      forgetSeen: db => this.forgetSeen(db),
      choose: (db, column) => this.users?.choose(db, column) ?? null,
      keptApart: (db, id) => this.keptApart(db, id),
      moves: () => this.users?.odds.move ?? 0,
    })
  }

  at(name: string): SimulatedDatabase {
    return this.databases.get(name) as SimulatedDatabase
  }

  // ------------------------------------------------------------ what stands where

  // what was looked at is looked at again only where something was written since
  readonly #seen = new Map<string, { writes: number; found: unknown }>()

  remembered<T>(db: SimulatedDatabase, what: string, find: () => T): T {
    const { writes } = db
    const known = this.#seen.get(db.name + what)
    if (known?.writes === writes) return known.found as T
    const found = find()
    this.#seen.set(db.name + what, { writes, found })
    return found
  }

  forgetSeen(db: SimulatedDatabase): void {
    for (const key of this.#seen.keys()) if (key.startsWith(db.name)) this.#seen.delete(key)
    this.users?.watch.forget(db)
  }

  rollback(db: SimulatedDatabase): void {
    db.run('ROLLBACK')
    this.forgetSeen(db) // it does not count as a write
  }

  snapshot(db: SimulatedDatabase): Map<string, Value> {
    const { rows, tombstones } = this.remembered(db, '', () => ({
      rows: db.tables.flatMap(table =>
        db.run(`SELECT id, ${PROPERTIES.map(p => (db.lacks(p) ? `NULL AS ${p}` : p)).join(', ')} FROM ${table}`),
      ),
      tombstones: db.run('SELECT id FROM sync_tombstone'),
    }))
    const values = new Map<string, Value>()
    for (const { id, a, b, c } of rows) values.set(String(id), { a, b, c } as Cells)
    for (const { id } of tombstones)
      if (!values.has(String(id))) values.set(String(id), { removed: this.removals.get(db.name)?.get(String(id)) ?? 'unknown' })
    return values
  }

  changesOf(before: Map<string, Value>, after: Map<string, Value>): string[] {
    return this.ids.filter(id => !isSame(before.get(id) ?? null, after.get(id) ?? null))
  }

  removalsOf(name: string): Map<string, string> {
    return this.removals.get(name) ?? this.removals.set(name, new Map()).get(name)!
  }

  /** What was changed here in a row that is not to be seen any more. */
  keptApart(db: SimulatedDatabase, id: string): Value {
    const { users } = this
    if (!users) return null
    const kept = this.remembered(db, 'kept apart', () => users.keptApart(db)).get(id)
    return kept === null ? { removed: this.removalsOf(db.name).get(id) ?? 'unknown' } : (kept ?? null)
  }

  /** By what a server called the user whose rows are on a device. */
  knownPrincipal(client: string, server: string): string | undefined {
    const [known] = this.at(client).run('SELECT principal FROM sync_server WHERE origin = ? AND principal IS NOT NULL', `http://${server}`)
    return known && String(known.principal)
  }

  // ------------------------------------------------------------ copies

  /** As a database in memory is saved: not in the middle of a transaction. */
  save(db: SimulatedDatabase): void {
    if (this.odds.crash > 0 && db.dataSource.options.type === 'sqljs' && !this.openTransactions.has(db.name))
      this.saved.set(db.name, {
        dump: this.remembered(db, 'dump', () => db.dump()),
        removals: new Map(this.removalsOf(db.name)),
        writes: db.writes,
      })
  }

  backUp(name: string): void {
    this.backups.set(name, { dump: this.at(name).dump(), removals: new Map(this.removalsOf(name)) })
  }

  restore(name: string, { dump, removals }: Backup): void {
    this.at(name).restore(dump)
    this.removals.set(name, new Map(removals))
  }
}
