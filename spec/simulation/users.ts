// Users who see a part of the rows: who uses which device, what the host grants and revokes, and what has to be on a device in the end.

import { createHash } from 'node:crypto'
import type { SimulatedDatabase } from './databases.js'
import type { Cells, Value } from './oracle.js'
import { EVERYTHING, type Policy, policiesOf, type Row } from './policies.js'
import type { Random } from './random.js'
import { type ChoiceColumn, PROPERTIES, ROLES, referencesOf, type Schema, USERS } from './schemas.js'
import { type State, Watch } from './watch.js'

/** What answers call a user. */
export const principalName = (user: string) =>
  createHash('sha256').update(`typeorm-sync principal ${user}`).digest('base64url').slice(0, 22)

export interface UsersWorld {
  readonly random: Random
  readonly reached: Set<string>
  readonly trace: (line: string) => void
  readonly schema: Schema
  readonly links: readonly (readonly [string, string])[]
  readonly world: ReadonlyMap<string, SimulatedDatabase>
}

/** A request, and who sent it. */
interface Asked {
  readonly from: string
  readonly user?: string | undefined
  readonly method: string
  readonly path: string
  readonly posted: readonly Row[]
}

/** What the journal of a device has of a row and a server. */
interface Noted {
  readonly unapplied?: Row
  readonly rejection?: Row
  readonly noAccess?: Row
}

export class Users {
  readonly policy: Policy
  readonly watch: Watch
  /** By the devices: who uses it at this moment. */
  readonly #of = new Map<string, string>()
  readonly odds: Readonly<Record<'grant' | 'forget' | 'change' | 'move' | 'wipe', number>>

  constructor(private readonly w: UsersWorld) {
    const { random, schema, links } = w
    const weight = () => (random.chance(0.5) ? 0 : random.next())
    this.policy = random.pick(policiesOf(schema))
    this.odds = {
      grant: weight() * 0.1,
      forget: weight() * 0.05,
      change: weight() * 0.02,
      move: random.next() * 0.5,
      wipe: weight() * 0.01,
    }
    this.watch = new Watch(schema, this.policy, [...USERS, EVERYTHING])
    for (const [client] of links) this.#of.set(client, this.#draw(client))
  }

  // a relay has to see what its devices may see
  #draw(client: string): string {
    const { chance, pick } = this.w.random
    return client === 'R' || chance(0.15) ? EVERYTHING : pick(USERS)
  }

  userOf(client: string): string {
    return this.#of.get(client) ?? EVERYTHING
  }

  /** Somebody else takes a device into their hands. */
  change(client: string, user?: string): void {
    this.#of.set(client, user ?? this.#draw(client))
    this.w.trace(`USER ${client} ${this.userOf(client)}`)
  }

  // ------------------------------------------------------------ what servers answer

  /** What stands in a server before a request, and what its sender may do. */
  look(db: SimulatedDatabase, user = EVERYTHING): State {
    return { rows: this.watch.rowsOf(db), rights: this.watch.rightsOf(db, user) }
  }

  answered(
    db: SimulatedDatabase,
    { from, user = EVERYTHING, method, path, posted }: Asked,
    { status, body }: { status: number; body: string },
    before: State & { earlier?: State | undefined },
  ): void {
    this.watch.note(db)
    const { reached } = this.w
    const ids = new Map(posted.map(row => [String(row.id), row]))
    if (method === 'POST') this.watch.stored(db, user, ids, before.rows, before.rights)
    if (status !== 200 && status !== 409 && status !== 422) return
    const json = JSON.parse(body)
    const { updates, changes = {}, errors = [], reset } = json
    const told = (updates ?? Object.values(changes).flat()) as Row[]
    this.watch.answered(db, user, told, errors, ids, before.earlier)
    if (reset === 'scope-unknown') reached.add(reset)
    if (reset === 'scope-changed') reached.add(method === 'POST' ? 'scope-changed in a push' : reset)
    const { full, next, scope } = json
    const held = /[?&]scope=([^&]+)/.exec(path)?.[1]
    if (method === 'GET' && held !== undefined && scope !== held && !full && next) reached.add('difference between two sets over pages')
    for (const { code } of errors) reached.add(`${code} rejected`)
    this.#noteRejected(db, user, { from, path, errors })
    const isGiven = (id: string) => !this.watch.sees(db, user, this.watch.rowsOf(db).get(id)) && this.watch.rowsOf(db).has(id)
    if (status === 200 && method === 'POST' && posted.some(row => !row._removed && isGiven(String(row.id)))) reached.add('given away')
  }

  readonly #rejected = new Map<string, string>()

  /** Rows that their sender may not push, with the set of keys that was held then; not those at whose ids a row is that is not seen: nobody says when it has gone. */
  #noteRejected(db: SimulatedDatabase, user: string, { from, path, errors }: { from: string; path: string; errors: readonly Row[] }): void {
    for (const { id, code } of errors) {
      const theirs = this.watch.rowsOf(db).get(String(id))
      const isHidden = theirs !== undefined && !this.watch.sees(db, user, theirs)
      const key = `${from} ${db.name} ${id}`
      if (code === 'not-allowed' && !isHidden) this.#rejected.set(key, /[?&]scope=([^&]*)/.exec(path)?.[1] ?? '')
      else this.#rejected.delete(key)
    }
  }

  /** What is still rejected though its user has got the right, with other keys, or sees what it needs. */
  inVain(): string[] {
    const { links, world } = this.w
    const found: string[] = []
    for (const [client, server] of links) {
      const [db, there] = [world.get(client), world.get(server)] as [SimulatedDatabase, SimulatedDatabase]
      for (const { id: key, stamp, code } of db.run(
        `SELECT n.id, n.stamp, n.code FROM sync_rejection n JOIN sync_server r ON r.id = n.server
          WHERE r.origin = ? AND n.code IN ('not-allowed', 'parent-missing')`,
        `http://${server}`,
      )) {
        const [id, user] = [String(key), this.userOf(client)]
        const row = this.watch.rowsOf(db).get(id)
        if (row && Number(row._lastChange) !== Number(stamp)) continue
        const isPossible = code === 'not-allowed' ? this.#hasOtherKeys(client, server, id) : row && this.#seesParents(there, user, row)
        if (isPossible && this.watch.mayPush(there, user, id, row))
          found.push(`${id} is rejected on ${client} as ${code}, though it is possible now`)
      }
    }
    return found
  }

  #hasOtherKeys(client: string, server: string, id: string): boolean {
    const db = this.w.world.get(client) as SimulatedDatabase
    const before = this.#rejected.get(`${client} ${server} ${id}`)
    return before !== undefined && before !== String(db.run('SELECT scope FROM sync_server WHERE origin = ?', `http://${server}`)[0]?.scope)
  }

  #seesParents(server: SimulatedDatabase, user: string, row: Row): boolean {
    const rows = this.watch.rowsOf(server)
    return referencesOf(server.specOf(String(row.id))).every(
      ({ column }) => row[column] === null || this.watch.sees(server, user, rows.get(String(row[column]))),
    )
  }

  // ------------------------------------------------------------ memberships

  get areSynced(): boolean {
    return this.w.schema.users?.isSynced === true
  }

  /** Of a table that is not synced. */
  begin(db: SimulatedDatabase): void {
    const { chance, pick } = this.w.random
    if (this.areSynced) return
    for (const who of USERS) for (const list of this.#lists) if (chance(0.6)) this.#add(db, who, list, pick(ROLES))
    this.watch.note(db)
  }

  get #lists(): readonly string[] {
    return this.w.schema.users?.lists ?? []
  }

  #add(db: SimulatedDatabase, who: string, list: string, role: string): void {
    db.run('INSERT INTO member (id, who, list, role) VALUES (?, ?, ?, ?)', `${who} ${list}`, who, list, role)
  }

  /** The host grants, revokes, or changes a right. Gives who has lost which list. */
  grant(db: SimulatedDatabase): { who: string; list: string } | undefined {
    const { random, reached, trace } = this.w
    const [who, list, role] = [random.pick(USERS), random.pick(this.#lists), random.pick(ROLES)]
    const [before] = db.run('SELECT role FROM member WHERE who = ? AND list = ?', who, list)
    if (before) db.run('DELETE FROM member WHERE who = ? AND list = ?', who, list)
    const isLost = before !== undefined && random.chance(0.7)
    if (isLost) reached.add('revoked')
    else {
      this.#add(db, who, list, role)
      reached.add(before ? 'right changed' : 'granted')
    }
    trace(
      `GRANT ${db.name} ${who} ${list} ${before?.role ?? 'none'} → ${JSON.stringify(db.run('SELECT role FROM member WHERE who = ? AND list = ?', who, list))}`,
    )
    this.watch.note(db)
    return isLost ? { who, list } : undefined
  }

  /** Everybody may write all lists. */
  grantAll(db: SimulatedDatabase): void {
    db.run('DELETE FROM member')
    for (const who of USERS) for (const list of this.#lists) this.#add(db, who, list, 'writer')
    this.w.trace(`GRANT ${db.name} everything`)
    this.w.reached.add('everything granted in the end')
    this.watch.note(db)
  }

  /** Key sets that answers have named are not known any more. */
  forget(db: SimulatedDatabase): void {
    db.run('DELETE FROM sync_scope')
    this.w.reached.add('key sets forgotten')
    this.w.trace(`FORGET ${db.name}`)
  }

  /** A value for a column, usually one that the user of the device may give. */
  choose(db: SimulatedDatabase, { column, values }: ChoiceColumn): string | null {
    const { chance, pick } = this.w.random
    const user = this.userOf(db.name)
    if (user === EVERYTHING || chance(0.3)) return pick(values)
    if (column === 'owner' || column === 'who') return chance(0.7) ? user : pick(values)
    const [server] = this.#serversOf(db.name)
    const own = server && column === 'list' ? [...this.watch.rightsOf(server, user).writers] : []
    return own.length ? pick(own) : pick(values)
  }

  #serversOf(client: string): SimulatedDatabase[] {
    return this.w.links.flatMap(([c, server]) => (c === client ? (this.w.world.get(server) ?? []) : []))
  }

  // ------------------------------------------------------------ what has to be where in the end

  /** What a device has that its user may not see, and what it lacks or has otherwise, apart from what its journal says. */
  differences(): string[] {
    const clients = [...new Set(this.w.links.map(([client]) => client))]
    const ofClients = clients.flatMap(client => [...this.#differencesOf(client), ...this.#linkDifferencesOf(client)])
    return [...ofClients, ...[...this.w.world.values()].flatMap(db => this.#wrongPaths(db))]
  }

  /** Rows that do not have the scope of their parents. */
  #wrongPaths(db: SimulatedDatabase): string[] {
    const path = this.w.schema.users?.path
    if (!path) return []
    const hidden = `_sync_scope_${path.name.replace('.', '_')}`
    const rows = [...this.watch.rowsOf(db).values()].filter(row => hidden in row && row[hidden] !== row[path.name])
    return rows.map(row => `${db.name} has ${row.id} in ${row[hidden]}, its parent in ${row[path.name]}`)
  }

  #differencesOf(client: string): string[] {
    const { world, schema, reached } = this.w
    const db = world.get(client) as SimulatedDatabase
    const user = this.userOf(client)
    const servers = this.#serversOf(client)
    const own = this.watch.rowsOf(db)
    const found: string[] = []
    for (const id of schema.ids) {
      const row = own.get(id)
      const noted = servers.map(server => this.#notedOf(db, server, id))
      const shown = servers
        .map(server => this.watch.rowsOf(server).get(id))
        .map((theirs, i) => (this.watch.sees(servers[i] as SimulatedDatabase, user, theirs) ? theirs : undefined))
      // what one of two servers rejects for other rows' sake has a fresh stamp with every sync
      const isAsItWas = ({ stamp }: Row) => !row || Number(row._lastChange) === Number(stamp) || servers.length > 1
      const isRejected = ({ rejection }: Noted) => rejection && isAsItWas(rejection)
      const isOurs = noted.some(each => isRejected(each) || each.noAccess)
      if (row && !shown.some(Boolean) && !isOurs) found.push(`${client} still has ${id}, which ${user} does not see`)
      for (const [i, theirs] of shown.entries()) {
        const server = servers[i] as SimulatedDatabase
        const { unapplied, rejection, noAccess } = noted[i] as Noted
        if (rejection) reached.add(`at the end ${rejection.code}`)
        if (noAccess) reached.add('an edit kept apart at the end')
        if (!theirs) {
          if (!isOurs) found.push(...this.#leftOver(db, server, id, shown))
          continue
        }
        if (isRejected({ ...noted[i] })) continue
        if (unapplied && this.#waitsForParent(db, server, user, unapplied, theirs)) {
          reached.add('waits for a parent that is not seen')
          continue
        }
        // what is kept apart for one server is our side for the other one too
        const apart = noAccess ?? (unapplied && noted.find(each => each.noAccess)?.noAccess)
        if (apart && this.#ownWaitsForParent(db, server, user, id, apart)) reached.add('kept apart for a parent that is not seen')
        else if (noAccess) found.push(`${client} keeps ${id} apart, which ${server.name} shows`)
        else if (unapplied) found.push(`${client} does not apply ${id}: ${JSON.stringify(unapplied)}`)
        else if (describe(row) !== describe(theirs)) found.push(`${client} has ${describe(row)}, ${server.name} ${describe(theirs)}`)
      }
    }
    return found
  }

  /** A link is seen with the item that has it, and is where both its ends are. */
  #linkDifferencesOf(client: string): string[] {
    const { world, schema, reached } = this.w
    if (!schema.linked) return []
    const db = world.get(client) as SimulatedDatabase
    const linksOf = (on: SimulatedDatabase) => on.run('SELECT item, other FROM link').map(({ item, other }) => `${item}/${other}`)
    const isNoted = (id: string) =>
      ['sync_unapplied', 'sync_rejection', 'sync_no_access'].some(
        table =>
          db.run(`SELECT 1 FROM ${table} n JOIN sync_server r ON r.id = n.server WHERE r.collection = 'link' AND n.id = ?`, id).length,
      )
    const own = linksOf(db)
    const shown = this.#serversOf(client).flatMap(server =>
      linksOf(server).filter(id => this.watch.sees(server, this.userOf(client), this.watch.rowsOf(server).get(id.split('/')[0] as string))),
    )
    if (shown.length) reached.add('links that are seen')
    return [
      ...shown.filter(id => !own.includes(id) && !isNoted(id)).map(id => `${client} lacks the link ${id}`),
      ...own.filter(id => !shown.includes(id) && !isNoted(id)).map(id => `${client} still has the link ${id}`),
    ]
  }

  #notedOf(db: SimulatedDatabase, server: SimulatedDatabase, id: string): Noted {
    const of = (table: string) =>
      db.run(
        `SELECT n.* FROM ${table} n JOIN sync_server r ON r.id = n.server WHERE n.id = ? AND r.collection = ? AND r.origin = ?`,
        ...[id, db.tableOf(id), `http://${server.name}`],
      )[0]
    const [unapplied, rejection, noAccess] = [of('sync_unapplied'), of('sync_rejection'), of('sync_no_access')]
    return { ...(unapplied && { unapplied }), ...(rejection && { rejection }), ...(noAccess && { noAccess }) }
  }

  /** The server shows a row, and not the one that it needs; or that one is ours, and is in the journal. */
  #waitsForParent(db: SimulatedDatabase, server: SimulatedDatabase, user: string, { reason, remote }: Row, theirs: Row): boolean {
    if (reason !== 'parent-missing' || remote === null) return false
    const waiting = JSON.parse(String(remote)) as Row
    if (PROPERTIES.some(p => waiting[p] !== theirs[p])) return false
    return this.#lacksParent(db, server, user, String(theirs.id), theirs)
  }

  /** Both sides have a row, and ours needs one that is not seen. */
  #ownWaitsForParent(db: SimulatedDatabase, server: SimulatedDatabase, user: string, id: string, { local }: Row): boolean {
    const own = local === null ? null : (JSON.parse(String(local)) as Row | null)
    return own !== null && this.#lacksParent(db, server, user, id, own)
  }

  #lacksParent(db: SimulatedDatabase, server: SimulatedDatabase, user: string, id: string, row: Row): boolean {
    const isAbsent = (parent: unknown) =>
      parent !== null &&
      (!this.watch.sees(server, user, this.watch.rowsOf(server).get(String(parent))) ||
        Object.keys(this.#notedOf(db, server, String(parent))).length > 0)
    return referencesOf(server.specOf(id)).some(({ column }) => isAbsent(row[column]))
  }

  /** Of a row that is not seen nothing stays but what its user has changed in it, and what other servers show of it. */
  #leftOver(db: SimulatedDatabase, server: SimulatedDatabase, id: string, shown: readonly (Row | undefined)[]): string[] {
    const theirs = this.watch.rowsOf(server).get(id)
    if (!theirs) return []
    const isShown = (token: unknown) => shown.some(row => row && Object.values(row).includes(token))
    const tokens = PROPERTIES.flatMap(p => (theirs[p] === null || isShown(theirs[p]) ? [] : String(theirs[p])))
    const tells = (cell: unknown) => typeof cell === 'string' && tokens.some(token => cell === token || cell.includes(`"${token}"`))
    // what was decided before a removal stays for undo
    const tables = [...db.dump()].filter(([table]) => table !== 'sync_resolution')
    return tables.flatMap(([table, { rows }]) =>
      rows
        .filter(cells => cells.some(tells))
        .map(cells => `${table} on ${db.name} keeps ${id}, which is not seen: ${JSON.stringify(cells)}`),
    )
  }

  /** What a device keeps apart of a row that it was not to see any more: the user's own version. */
  keptApart(db: SimulatedDatabase): Map<string, Value> {
    const kept = new Map<string, Value>()
    for (const { id, local } of db.run('SELECT id, local FROM sync_no_access WHERE local IS NOT NULL ORDER BY server')) {
      const { a, b, c } = (JSON.parse(String(local)) ?? {}) as Cells
      kept.set(String(id), local === 'null' ? null : { a, b, c })
    }
    return kept
  }
}

/** Without what each database has for itself: the columns of sync, and numbers. */
const describe = (row: Row | undefined) =>
  row &&
  JSON.stringify(
    Object.entries(row)
      .filter(([column]) => !/^_|[.]|^num$|Num$/.test(column))
      .sort(([x], [y]) => (x < y ? -1 : 1)),
  )
