// The same history in the model (model.js) and in the shipped code: one random schedule of whole operations drives both, and after each of
// them both stand in the same place. A difference is a fault of one of the two.
//   node sameHistory.js [--seeds N] [--first S] [--topology star,relay,two,users,users-relay,users-two] [--operations N] [--show N] [--trace]
//                       [--without remedy,…]
//
// With users (users, users-relay, users-two) servers show their callers a part of the rows. The host grants and revokes memberships and moves rows, servers
// forget sets of keys, devices change hands, and are wiped or adopted.
//
// What is not compared, and why that says nothing about either:
// - Stamps as numbers. Where rows of one step share a stamp in the code each has its own in the model (those that one page merged), or the
//   other way round (a bulk write: SQLite ticks for each row). Stamps are asked for their order alone, so the order of a database's rows is
//   compared, except of those that share a stamp on one side. Every clock begins at 1: before the first stamp a device asks
//   with since=0 again and again, and the model calls the empty answer a full one where the code says 304.
// - `serverDate` as a number. What counts is what an answer from there would tell, and whether it would be a reset.
// - The order in which the model's maps are walked: where it gives stamps it is made the code's (`ordered`).
// - Images that are no base of anything: the model sweeps them after an answered push, the code also where nothing was to tell. Both are
//   compared as swept. So are rejections of versions that have moved on, which the code forgets and the model keeps.
// - Names of users and of sets of keys, which the code hashes: what a set holds is compared.
// - A write that changes nothing: the code's triggers stamp it, the model does not. It is not drawn.
// - A horizon is drawn as a row's tombstone, and never below an earlier one: there the code collects once more what lies below that, and the
//   model does not. It covers all that shares a stamp with the row in the model.
// - The order of the rows in a body and in a page.

import { pathToFileURL } from 'node:url'
import 'reflect-metadata'
import { collectTombstones } from '../../server-koa/index.js'
import type { Collection } from '../../src/changes/collections/collection.js'
import { openServers } from '../../src/changes/servers/servers.js'
import { adopt, wipe } from '../../src/entity/users.js'
import { OtherUserError, SyncContentionError } from '../../src/errors.js'
import type { Conflict, ConflictUpdate } from '../../src/sync/conflicts/handlers.js'
import { TransportError } from '../../src/sync/http/errors.js'
import { createTransport } from '../../src/sync/http/transport.js'
import { feedWire } from '../../src/sync/http/wire.js'
import { ReportBuilder } from '../../src/sync/report.js'
import { sync } from '../../src/sync/sync.js'
import { IDS, PROPERTIES } from './databases.js'
import type { Contested, Get, Page, Post, Posted, Value } from './model.js'
import * as model from './model.js'
import { EVERYTHING, policiesOf } from './policies.js'
import { Random } from './random.js'
import { codeState, modelState, ranks, remoteIdOf, remoteOf, SORTED, stampsOfCode } from './sameStates.js'
import {
  COLUMNS,
  describeAnswer,
  describeBody,
  describeModelPage,
  describeModelPosted,
  question,
  refuses,
  resolve,
  rowsIn,
  text,
} from './sameText.js'
import { type Backup, type Both, copyModel, database, modelRules } from './sameWorld.js'
import { choicesOf, ONE_TABLE_OF_USERS, ROLES, USERS } from './schemas.js'
import { hasUsers, TOPOLOGIES, type Topology } from './topologies.js'

const OPERATIONS = 40
const ROWS = 3 // in a page, and in a push, as in the model

interface Fault {
  /** The how-manyth request of the sync it strikes. */
  readonly at: number
  readonly kind: 'request lost' | 'answer lost' | 'later'
}

/** What one side did in an operation: its requests with their answers, what its handler was asked, and how it ended. */
interface Seen {
  readonly requests: string[]
  readonly asked: Set<string>
  end: string
}

interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | undefined
}

class Lost extends TypeError {}

// ---------------------------------------------------------------- the history

/** Runs the history of a seed; gives the differences after the first operation that shows any. */
export async function sameHistory(
  seed: number,
  topology: Topology,
  operations = OPERATIONS,
  trace: (line: string) => void = () => {},
): Promise<string[]> {
  const random = new Random(seed)
  const { chance, pick } = random
  const weight = () => (chance(0.4) ? 0 : random.next()) // some faults are off in any one history
  const odds = {
    fault: weight() * 0.5,
    remove: random.next() * 0.5,
    bad: weight() * 0.3,
    bulk: weight() * 0.15,
    late: weight() * 0.5,
    collect: weight() * 0.2,
    reset: weight() * 0.04,
    backup: weight() * 0.12,
    host: weight() * 0.3,
    write: hasUsers(topology) ? 0.15 + random.next() * 0.3 : 0.3 + random.next() * 0.4,
    grant: weight() * 0.5,
    forget: weight() * 0.1,
    change: weight() * 0.08,
    wipe: weight() * 0.03,
    move: random.next() * 0.5,
  }
  const isOfUsers = hasUsers(topology)
  const policy = isOfUsers ? pick(policiesOf(ONE_TABLE_OF_USERS)) : undefined
  const scopes = isOfUsers ? choicesOf(ONE_TABLE_OF_USERS.tables[0]!) : []
  const values = pick([2, 4, 50]) // how many there are of a property: few, and both sides often write the same
  const links = TOPOLOGIES[topology] as readonly (readonly [string, string])[]
  const names = [...new Set(links.flat())]
  const servers = new Set<string>(links.map(([, s]) => s))
  const clients = new Set<string>(links.map(([c]) => c))
  const world = new Map<string, Both>()
  const backups = new Map<string, Backup>()
  const late: { server: string; http: HttpRequest; post: Post; user: string }[] = []
  /** Who has a device in their hands. */
  const userOf = new Map<string, string>()
  let collections = 0
  let keys = 0

  // ------------------------------------------------------------ one operation on both sides

  const at = (name: string) => world.get(name) as Both
  const aValue = (p: string) => `${p}${Math.floor(random.next() * values)}`

  function store(name: string, id: string, value: Value, stamp?: number): void {
    const { code, model: db } = at(name)
    const old = db.version(id).value
    if (value?.removed) code.run('DELETE FROM item WHERE id = ?', id)
    else {
      const columns = COLUMNS.filter(p => value && p in value)
      const cells = columns.map(p => value?.[p])
      if (model.gone(old)) code.run(`INSERT INTO item (id, ${columns}) VALUES (?${', ?'.repeat(columns.length)})`, id, ...cells)
      else code.run(`UPDATE item SET ${columns.map(p => `${p} = ?`)} WHERE id = ?`, ...cells, id)
    }
    db.write(id, value, stamp)
  }

  function drawValue(name: string, old: Value): Value {
    const value: Record<string, string | null> = { ...(model.gone(old) ? {} : old) }
    for (const p of PROPERTIES) if (value[p] === undefined || chance(0.4)) value[p] = aValue(p)
    for (const { column, values: all } of scopes)
      if (value[column] === undefined || chance(odds.move)) value[column] = aScope(name, column, all)
    if (chance(odds.bad) && !servers.has(name)) value.c = `${aValue('c')}!`
    return value
  }

  /** Usually one that its user may give a row. */
  function aScope(name: string, column: string, all: readonly (string | null)[]): string | null {
    const user = userOf.get(name)
    if (!user || user === EVERYTHING || chance(0.3)) return pick(all)
    if (column === 'owner') return user
    const server = links.find(([client]) => client === name)?.[1] as string
    const own = [...(world.get(server)?.model.members.values() ?? [])].filter(m => m.who === user && m.role === 'writer')
    return own.length ? (pick(own).list as string) : pick(all)
  }

  function write(name: string): string | undefined {
    const id = pick(IDS)
    const old = at(name).model.version(id).value
    const value: Value = !model.gone(old) && chance(odds.remove) ? { removed: 'r' } : drawValue(name, old)
    if (!model.gone(value) && text(value) === text(old)) return
    store(name, id, value)
    return `${name} writes ${id} ${text(value)}`
  }

  // one statement; its rows share a stamp in the model
  function writeMany(name: string): string | undefined {
    const { code, model: db } = at(name)
    const there = SORTED.filter(id => !model.gone(db.version(id).value) && chance(0.8))
    const absent = SORTED.filter(id => model.gone(db.version(id).value) && chance(0.8))
    const list = (ids: readonly string[]) => `(${ids.map(id => `'${id}'`).join(', ')})`
    const kind = pick(['update', 'insert', 'remove'])
    let ids = there
    let newValueOf: (id: string) => Value = () => ({ removed: 'r' })
    let sql = () => `DELETE FROM item WHERE id IN ${list(ids)}`
    const literal = (cell: string | null | undefined) => (cell === null ? 'NULL' : `'${cell}'`)
    if (kind === 'update') {
      const moved = scopes.length && chance(odds.move) ? pick(scopes) : undefined
      const [column, value] = moved ? [moved.column, aScope(name, moved.column, moved.values)] : ['b', aValue('b')]
      ids = there.filter(id => db.version(id).value?.[column] !== value)
      newValueOf = id => ({ ...db.version(id).value, [column]: value })
      sql = () => `UPDATE item SET ${column} = ${literal(value)} WHERE id IN ${list(ids)}`
    } else if (kind === 'insert') {
      const value: Record<string, string | null> = Object.fromEntries(PROPERTIES.map(p => [p, aValue(p)]))
      for (const { column, values: all } of scopes) value[column] = aScope(name, column, all)
      ids = absent
      newValueOf = () => value
      const cells = Object.values(value).map(literal)
      sql = () => `INSERT INTO item (id, ${Object.keys(value)}) VALUES ${ids.map(id => `('${id}', ${cells.join(', ')})`).join(', ')}`
    }
    if (!ids.length) return
    code.run(sql())
    // SQLite stamps them one by one, in an order of its own; the model gives them one stamp where that comes to the same: exits of rows that are there again
    // are collected by their own stamps
    const stamps = stampsOfCode(code)
    const stampOf = (id: string) => stamps.get(id)?.stamp ?? 0
    const stamped = [...ids].sort((x, y) => stampOf(x) - stampOf(y))
    const shared = !isOfUsers && String(stamped) === String(ids) ? db.tick() : undefined
    for (const id of stamped) db.write(id, newValueOf(id), shared)
    return `${name} ${kind}s ${ids} at once`
  }

  async function collect(name: string): Promise<string | undefined> {
    const { code, model: db } = at(name)
    const tombstones = [...db.versions].filter(([, v]) => model.gone(v.value))
    if (!tombstones.length) return
    const [id, { stamp }] = pick(tombstones)
    const stamps = stampsOfCode(code)
    // what shares a stamp with it in the model comes within it in the code
    const horizon = Math.max(...[...db.versions].filter(([, v]) => v.stamp === stamp).map(([x]) => stamps.get(x)?.stamp ?? 0))
    db.collect(Math.max(db.horizon, stamp)) // never below an earlier horizon: the code looks after that itself
    const realNow = Date.now
    Date.now = () => 1_000_000_000
    try {
      await collectTombstones(code.dataSource, { olderThan: 1_000_000_000 - horizon })
    } finally {
      Date.now = realNow
    }
    return `${name} collects up to ${id}`
  }

  function reset(name: string): string {
    const both = at(name)
    const backup = backups.get(name)
    const collection = `c${++collections}`
    if (backup && chance(0.7)) {
      both.code.restore(backup.dump)
      both.model = copyModel(backup.model)
      both.code.run('UPDATE sync_clock SET collection = ?', collection)
      both.model.collection = collection
      return `${name} is restored as ${collection}`
    }
    begin(both, collection)
    return `${name} is wiped, and is ${collection}`
  }

  function begin(both: Both, collection: string): void {
    both.code.empty(collection)
    both.code.run('UPDATE sync_clock SET now = 1')
    both.model = new model.Database(collection)
    both.model.now = 1
    if (policy) both.model.rules = modelRules(policy)
  }

  // ------------------------------------------------------------ users

  const someLists = () =>
    choicesOf(ONE_TABLE_OF_USERS.tables[0]!)
      .find(({ column }) => column === 'list')!
      .values.filter(l => l !== null)

  /** The host gives somebody a role in a list; undefined: none. */
  function setRole(name: string, who: string, list: string, role: string | undefined): void {
    const { code, model: db } = at(name)
    const id = `${who} ${list}`
    code.run('DELETE FROM member WHERE id = ?', id)
    db.members.delete(id)
    if (role === undefined) return
    code.run('INSERT INTO member (id, who, list, role) VALUES (?, ?, ?, ?)', id, who, list, role)
    db.members.set(id, { who, list, role })
  }

  function grant(name: string): string {
    const { versions, members } = at(name).model
    // usually somebody who has a device, and a list in which there is something
    const lists = [...versions.values()].flatMap(({ value }) => (value && !model.gone(value) ? (value.list ?? []) : []))
    const users = links.flatMap(([client, server]) => (server === name ? (userOf.get(client) ?? []) : [])).filter(u => u !== EVERYTHING)
    const who = users.length && chance(0.7) ? pick(users) : pick(USERS)
    const list = lists.length && chance(0.7) ? pick(lists) : pick(someLists())
    const isRevoked = members.has(`${who} ${list}`) && chance(0.7)
    const role = isRevoked ? undefined : pick(ROLES)
    setRole(name, who, list, role)
    return `${name} makes ${who} ${role ?? 'nothing'} of ${list}`
  }

  function forget(name: string): string {
    at(name).code.run('DELETE FROM sync_scope')
    at(name).model.sets.clear()
    return `${name} forgets all sets of keys`
  }

  // a relay has to see what its devices may see
  const drawUser = (client: string) => (servers.has(client) || chance(0.15) ? EVERYTHING : pick(USERS))

  function change(client: string): string {
    userOf.set(client, drawUser(client))
    return `${client} is in the hands of ${userOf.get(client)}`
  }

  /** A device is emptied, or its rows become the present user's. */
  async function handOver(client: string, isWiped: boolean): Promise<string> {
    const both = at(client)
    await (isWiped ? wipe : adopt)(both.code.dataSource, () => true)
    const { model: before } = both
    const db = isWiped ? new model.Database(before.collection) : before
    db.rules = before.rules
    db.now = before.now
    db.horizon = db.tick()
    db.exits = []
    for (const [id, { value }] of db.versions) if (model.gone(value)) db.versions.delete(id)
    const decisions = before.remotes.map(r => r.decisions)
    db.remotes = []
    both.model = db
    openRemotes(client)
    // decisions about rows that stay are no secret of the former user's
    if (!isWiped) for (const [i, r] of db.remotes.entries()) r.decisions = decisions[i] as Set<string>
    return `${client} is ${isWiped ? 'wiped' : 'adopted'}`
  }

  function openRemotes(client: string): void {
    const { code, model: db } = at(client)
    for (const [c, server] of links) {
      if (c !== client) continue
      code.look(
        openServers(code.log.database, [{ collection: code.log.collections[0]!, url: `http://${server}/items` }], `http://${server}`),
      )
      db.remotes.push(Object.assign(new model.Remote(server), { tokenOfRemoval: () => 'r' }))
    }
  }

  /** What an application does when it hears that somebody else has signed in than the one whose rows are here. */
  async function meetOther(client: string, server: string): Promise<string> {
    const former = remoteOf(at(client).model, server).principal as string
    if (chance(0.7)) return await handOver(client, chance(0.7))
    userOf.set(client, former)
    return `${client} is in the hands of ${former} again`
  }

  function backUp(name: string): string {
    const both = at(name)
    const backup = backups.get(name)
    if (servers.has(name) || !backup || chance(0.5)) {
      backups.set(name, { dump: both.code.dump(), model: copyModel(both.model) })
      return `${name} is backed up`
    }
    both.code.restore(backup.dump)
    both.model = copyModel(backup.model)
    return `${name} falls back to its backup`
  }

  // ------------------------------------------------------------ syncs

  /** The model's, step by step. */
  function syncModel(client: string, server: string, fault: Fault | undefined, toldLater: (post: Post) => void): Seen {
    const seen: Seen = { requests: [], asked: new Set(), end: '' }
    const known = remoteOf(at(client).model, server)
    const it = model.sync(at(client).model, known, {
      handler: contested => decideAll(contested, seen.asked),
      newKey: () => `k${++keys}`,
      rounds: 12,
    })
    const user = userOf.get(client)
    let count = 0
    let answer: Page | Posted | undefined
    try {
      for (;;) {
        ordered(at(client).model, known)
        const transaction = it.next(answer)
        answer = undefined
        if (transaction.done) {
          seen.end = transaction.value
          return seen
        }
        const request = transaction.value
        if (!request) continue
        const isStruck = ++count === fault?.at
        const asks = request.get ? 'GET' : `POST ${describeBody(request.post.body)}`
        if (isStruck && fault.kind !== 'answer lost') {
          if (request.post && fault.kind === 'later') toldLater(request.post)
          seen.requests.push(`${asks} ⇒ never arrived`)
          throw new Lost()
        }
        answer = request.get ? page(client, server, request.get) : model.post(at(server).model, request.post, refuses, user)
        seen.requests.push(`${asks} ⇒ ${request.get ? describeModelPage(answer as Page) : describeModelPosted(answer as Posted)}`)
        if (isStruck) throw new Lost()
      }
    } catch (error) {
      if (!(error instanceof Lost || error instanceof model.OtherUser)) throw error
      it.return('')
      seen.end = error instanceof Lost ? 'lost' : 'other user'
      return seen
    }
  }

  const page = (client: string, server: string, query: Get): Page => {
    const answer = model.get(at(server).model, query, userOf.get(client))
    return answer.status === 304 ? answer : { ...answer, updates: [...(answer.updates ?? [])].sort(byOrder(at(client).model)) }
  }

  // the code stores rows before removals, each in the order of ids
  const byOrder = (db: model.Database) => (x: { id: string }, y: { id: string }) =>
    Number(model.gone(db.version(x.id).value)) - Number(model.gone(db.version(y.id).value)) || (x.id < y.id ? -1 : 1)

  function ordered(db: model.Database, known: model.Remote): void {
    const sort = <T>(map: Map<string, T>) => {
      const entries = [...map].map(([id, value]) => ({ id, value })).sort(byOrder(db))
      map.clear()
      for (const { id, value } of entries) map.set(id, value)
    }
    sort(db.versions)
    sort(known.conflicts)
  }

  function decideAll(contested: readonly Contested[], asked: Set<string>): (Contested & { value: Value })[] {
    return [...contested]
      .sort((x, y) => (x.id < y.id ? -1 : 1))
      .flatMap(c => {
        const [mine, { theirs, base }] = [c.mine.value, c]
        const isRow = !model.gone(mine) && !model.gone(theirs)
        const known = base && !model.gone(base) ? base : undefined
        const isContested = (p: string) =>
          mine?.[p] !== theirs?.[p] && !(known && theirs?.[p] === known[p]) && !(known && mine?.[p] === known[p])
        const properties = isRow ? COLUMNS.filter(isContested) : []
        asked.add(question(c.id, mine, theirs, base, properties))
        const decision = resolve(c.id, mine, theirs, properties)
        if (decision === 'leave') return []
        if (decision === 'remote') return [{ ...c, value: theirs ?? { removed: 'r' } }]
        if (decision === 'local') return [{ ...c, value: mine ?? { removed: 'r' } }]
        return [{ ...c, value: { ...model.merge(base, mine, theirs).value, ...Object.fromEntries(decision) } }]
      })
  }

  async function syncCode(client: string, server: string, fault: Fault | undefined, toldLater: (http: HttpRequest) => void): Promise<Seen> {
    const seen: Seen = { requests: [], asked: new Set(), end: '' }
    const { code } = at(client)
    const user = userOf.get(client)
    let count = 0
    async function fetch(url: string, init: RequestInit | undefined): Promise<Response> {
      const { pathname, search } = new URL(url)
      const http: HttpRequest = {
        method: (init?.method ?? 'GET') as 'GET',
        path: pathname + search,
        headers: { ...Object.fromEntries(new Headers(init?.headers).entries()), ...(user !== undefined && { user }) },
        body: init?.body ? String(init.body) : undefined,
      }
      const isStruck = ++count === fault?.at
      const asks = http.method === 'GET' ? 'GET' : `POST ${describeBody(rowsIn(JSON.parse(http.body as string)) as never)}`
      if (isStruck && fault.kind !== 'answer lost') {
        if (http.method === 'POST' && fault.kind === 'later') toldLater(http)
        seen.requests.push(`${asks} ⇒ never arrived`)
        throw new Lost('fetch failed')
      }
      const answer = await at(server).code.handler(http.method, http.path, http.headers, http.body)
      seen.requests.push(`${asks} ⇒ ${describeAnswer(http.method, answer)}`)
      if (isStruck) throw new Lost('fetch failed')
      return new Response(answer.status === 304 ? null : answer.body, { status: answer.status, headers: answer.headers })
    }
    function handler(conflicts: Conflict[], updates: ConflictUpdate[]): void {
      for (const conflict of conflicts) {
        const { id, properties } = conflict
        const [mine, theirs, base] = [conflict.local as Value, conflict.remote as Value, conflict.base as Value | undefined]
        seen.asked.add(question(id, mine, theirs, base, properties))
        const decision = resolve(id, mine, theirs, properties)
        if (decision === 'leave') continue
        if (decision === 'remote') conflict.takeRemote()
        else if (decision === 'local') updates.push(mine === null ? { id, _removed: true } : { id })
        else updates.push({ id, ...Object.fromEntries(decision) })
      }
    }
    try {
      const transport = createTransport({ fetch: (url, init) => fetch(String(url), init), retries: 0, timeout: 10 ** 9 })
      const wire = feedWire(transport, `http://${server}/sync`, ['/items'])
      const [collection] = code.log.collections as [Collection]
      await sync({
        log: code.log,
        members: [{ collection, path: '/items', serverId: remoteIdOf(code, server), handler: handler as never }],
        wire,
        feed: wire,
        lacking: [],
        pageSize: ROWS,
        batchSize: ROWS,
        maxRounds: 12,
        handlerTimeout: undefined,
        noAccess: 'keep',
        signal: undefined,
        report: new ReportBuilder({ entities: [], url: '' }, () => {}),
      })
      seen.end = 'ok'
    } catch (error) {
      if (error instanceof SyncContentionError) seen.end = 'contention'
      else if (error instanceof OtherUserError) seen.end = 'other user'
      else if (error instanceof TransportError && (error.cause as Error)?.message === 'fetch failed') seen.end = 'lost'
      else throw error
    }
    return seen
  }

  function compareTold(inModel: Seen, inCode: Seen): string[] {
    const differences: string[] = []
    for (let i = 0; i < Math.max(inModel.requests.length, inCode.requests.length); i++) {
      const [m, c] = [inModel.requests[i] ?? 'none', inCode.requests[i] ?? 'none']
      trace(`    ${c}`)
      if (m !== c) differences.push(`request ${i + 1}: model ${m}, code ${c}`)
    }
    const [m, c] = [inModel, inCode].map(seen => [...seen.asked].sort().join(' | '))
    if (m !== c) differences.push(`asked: model ${m}, code ${c}`)
    if (inModel.end !== inCode.end) differences.push(`ends: model ${inModel.end}, code ${inCode.end}`)
    return differences
  }

  async function syncBoth(): Promise<[string, string[]]> {
    const [client, server] = pick(links)
    const kind = pick(['request lost', 'answer lost', 'later'] as const)
    const fault = chance(odds.fault) ? { at: 1 + Math.floor(random.next() * 4), kind } : undefined
    let [post, http]: [Post | undefined, HttpRequest | undefined] = [undefined, undefined]
    const inModel = syncModel(client, server, fault, request => { post = request }) // biome-ignore format: short
    const inCode = await syncCode(client, server, fault, request => { http = request }) // biome-ignore format: short
    if (post && http) late.push({ server, post, http, user: userOf.get(client) as string })
    const line = `${client} syncs with ${server}${fault ? `, request ${fault.at}: ${fault.kind}` : ''}`
    const differences = compareTold(inModel, inCode)
    const isOther = !differences.length && inCode.end === 'other user'
    return [isOther ? `${line}; ${await meetOther(client, server)}` : line, differences]
  }

  async function deliver(): Promise<[string, string[]]> {
    const [{ server, post, http, user }] = late.splice(Math.floor(random.next() * late.length), 1) as [(typeof late)[number]]
    const inModel = describeModelPosted(model.post(at(server).model, post, refuses, user))
    const inCode = describeAnswer('POST', await at(server).code.handler(http.method, http.path, http.headers, http.body))
    const line = `a late push arrives at ${server}: ${describeBody(post.body)}`
    return [line, inModel === inCode ? [] : [`answer: model ${inModel}, code ${inCode}`]]
  }

  // ------------------------------------------------------------ the schedule

  async function operate(): Promise<[string | undefined, string[]]> {
    const name = pick(servers.size && chance(odds.host) ? names : names.filter(n => !servers.has(n)))
    if (chance(odds.bulk)) return [writeMany(name), []]
    if (late.length && chance(odds.late)) return await deliver()
    if (chance(odds.collect)) return [await collect(pick(names)), []]
    if (chance(odds.reset)) return [reset(pick([...servers].filter(n => !clients.has(n)))), []]
    if (chance(odds.backup)) return [backUp(pick(names.filter(n => !(servers.has(n) && clients.has(n))))), []]
    const device = pick(names.filter(n => !servers.has(n)))
    if (isOfUsers && chance(odds.grant)) return [grant(pick([...servers])), []]
    if (isOfUsers && chance(odds.forget)) return [forget(pick([...servers])), []]
    if (isOfUsers && chance(odds.change)) return [change(device), []]
    if (isOfUsers && chance(odds.wipe)) return [await handOver(device, true), []]
    if (chance(odds.write)) return [write(name), []]
    return await syncBoth()
  }

  for (const name of names) {
    const both: Both = { code: await database(name, isOfUsers), model: new model.Database('') }
    world.set(name, both)
    begin(both, `c${++collections}`)
    both.code.policy = policy
    if (isOfUsers && clients.has(name)) userOf.set(name, drawUser(name))
    if (isOfUsers && servers.has(name))
      for (const who of USERS) for (const list of someLists()) if (chance(0.5)) setRole(name, who, list, pick(ROLES))
    both.code.run('DELETE FROM rule')
    both.code.run('INSERT INTO rule VALUES (?)', servers.has(name) ? 1 : 0)
    both.code.run('UPDATE wall SET time = 0')
    // some databases hold rows from before they were synced
    if (chance(0.3)) for (const id of SORTED) if (chance(0.6)) store(name, id, drawValue(name, null))
  }
  for (const client of clients) openRemotes(client)

  for (let i = 1; i <= operations; i++) {
    const [what, differences] = await operate()
    if (what === undefined) continue
    trace(`${i} ${what}`)
    const [inModel, inCode] = [modelState(world, links), codeState(world, links)]
    for (const [key, m] of inModel) if (m !== inCode.get(key)) differences.push(`${key}: model ${m}; code ${inCode.get(key)}`)
    differences.push(...ranks(world))
    if (differences.length) return differences.map(d => `operation ${i} (${what}): ${d}`)
  }
  return []
}

// ---------------------------------------------------------------- by hand

async function run(): Promise<void> {
  const option = (name: string, otherwise: string): string => {
    const i = process.argv.indexOf(`--${name}`)
    return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
  }
  const [seeds, first, show] = [Number(option('seeds', '60')), Number(option('first', '1')), Number(option('show', '5'))]
  const trace = process.argv.includes('--trace') ? (line: string) => console.log(line) : undefined
  for (const remedy of option('without', '').split(',').filter(Boolean)) model.without.add(remedy)
  let failed = 0
  const start = performance.now()
  for (const topology of option('topology', 'star,relay,two,users,users-relay,users-two').split(',') as Topology[]) {
    for (let seed = first; seed < first + seeds; seed++) {
      const differences = await sameHistory(seed, topology, Number(option('operations', String(OPERATIONS))), trace).catch(error => [
        String(error?.stack ?? error),
      ])
      if (differences.length && ++failed <= show) console.log(`${topology} seed ${seed}:\n  ${differences.slice(0, 6).join('\n  ')}`)
    }
    console.log(`${topology}: ${seeds} seeds from ${first}, ${Math.round((performance.now() - start) / 1000)} s`)
  }
  console.log(`${failed} histories differ`)
  process.exit(failed ? 1 : 0)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await run()
