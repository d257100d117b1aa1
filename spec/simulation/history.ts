// One random history: devices, servers, relays; the application writes between any two steps; requests and answers get lost, late and
// doubled; processes die; tombstones are collected; servers are wiped or restored; devices fall back to a backup.

import { AsyncLocalStorage } from 'node:async_hooks'
import { collectTombstones } from '../../server-koa/index.js'
import type { Collection } from '../../src/changes/collections/collection.js'
import { baseOf } from '../../src/changes/servers/agreement.js'
import { openServers } from '../../src/changes/servers/servers.js'
import { adopt, wipe } from '../../src/entity/users.js'
import { DatabaseBusyError, DatabaseFailedError, OtherUserError, SyncContentionError, SyncError } from '../../src/errors.js'
import type { Conflict, ConflictUpdate } from '../../src/sync/conflicts/handlers.js'
import { isClean, openExchanges, readRowStates } from '../../src/sync/exchange.js'
import { TransportError } from '../../src/sync/http/errors.js'
import { createTransport } from '../../src/sync/http/transport.js'
import { feedWire, routeWire, type Wire } from '../../src/sync/http/wire.js'
import { ReportBuilder } from '../../src/sync/report.js'
import { sync } from '../../src/sync/sync.js'
import { Application } from './application.js'
import { database, WALL } from './databasePool.js'
import { type Dump, PROPERTIES, RELATIONS, running, SimulatedDatabase, type Turn } from './databases.js'
import { drawFeatures, type Features } from './features.js'
import { callJournal, type KnownRow } from './journalCalls.js'
import { type Cells, cellsOf, isGone, isSame, Oracle, type Value } from './oracle.js'
import { EVERYTHING } from './policies.js'
import { Random } from './random.js'
import { keysOf, wronglyRejected } from './rejections.js'
import { type Groups, groupsOf, pathOf, postedRows, type Request, updatesOf } from './requests.js'
import { choicesOf, isNumberedReference, numberColumnOf, numbersOf, OLD_SCHEMAS, referencesOf, type TableSpec, USERS } from './schemas.js'
import type { OTHER_STATES } from './states.js'
import { type ServerKind, TOPOLOGIES, type Topology } from './topologies.js'
import { principalName, Users } from './users.js'

export interface Outcome {
  readonly problems: string[]
  readonly reached: Set<string>
  readonly rounds: number
}

class Lost extends TypeError {}

/** A sync of ours asks nothing that the server rejects: what is contested, reset or rejected by row it goes on from. */
const isRefusal = ({ status = 0 }: TransportError) => status >= 400 && status < 500 && ![408, 425, 429].includes(status)
class InjectedFault extends Error {}

/** Runs the history of a seed. */
export async function history(
  seed: number,
  topology: Topology,
  trace: (line: string) => void = () => {},
  steps = 300,
  kind: ServerKind = 'sqlite',
  wanted: Partial<Features> = {},
): Promise<Outcome> {
  const random = new Random(seed)
  const drawn = { ...drawFeatures(seed, topology, kind), ...wanted }
  // one that is wanted may be another than the one that has the column
  const features = drawn.schema?.gained ? drawn : { ...drawn, late: new Set<string>() }
  const { chance, pick } = random
  const reached = new Set<string>()
  const weight = () => (chance(0.5) ? 0 : random.next()) // half of the faults are off in any one history: a fixed mix misses rare bugs
  const odds = {
    write: 0.05 + random.next() * 0.3,
    remove: random.next() * 0.3,
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
  const relation = pick(RELATIONS)
  const schema = features.schema ?? OLD_SCHEMAS[relation]
  const { byCollection, strangers } = features
  const IDS = schema.ids
  const isCounted = schema.tables.some(t => t.isNumbered)
  const pageSize = pick([1, 2, 3, 3, 50])
  const batchSize = pick([1, 2, 3, 3, 50])
  const oracle = new Oracle(trace)
  const links = TOPOLOGIES[topology] as readonly (readonly [string, string])[]
  const names = [...new Set(links.flat())]
  const servers = new Set(links.map(([, s]) => s))
  const clients = new Set(links.map(([c]) => c))
  const world = new Map<string, SimulatedDatabase>()
  const removals = new Map<string, Map<string, string>>() // database → id → token of the removal that stands there
  const saved = new Map<string, { dump: Dump; removals: Map<string, string>; readonly writes: number }>()
  const openTransactions = new Set<string>()
  const late: Request[] = []
  let pushedRows = 0
  let news = 0
  let faults = true
  let collections = 0
  const isTwo = servers.size === 2 && ![...servers].some(name => clients.has(name))
  const users = schema.users && new Users({ random, reached, trace, schema, links, world })
  // ------------------------------------------------------------ what stands where

  // what was looked at is looked at again only where something was written since
  const seen = new Map<string, { writes: number; found: unknown }>()
  function remembered<T>(db: SimulatedDatabase, what: string, find: () => T): T {
    const { writes } = db
    const known = seen.get(db.name + what)
    if (known?.writes === writes) return known.found as T
    const found = find()
    seen.set(db.name + what, { writes, found })
    return found
  }

  function rollback(db: SimulatedDatabase): void {
    db.run('ROLLBACK')
    forgetSeen(db) // it does not count as a write
  }

  function forgetSeen(db: SimulatedDatabase): void {
    for (const key of seen.keys()) if (key.startsWith(db.name)) seen.delete(key)
    users?.watch.forget(db)
  }

  function snapshot(db: SimulatedDatabase): Map<string, Value> {
    const { rows, tombstones } = remembered(db, '', () => ({
      rows: db.tables.flatMap(table =>
        db.run(`SELECT id, ${PROPERTIES.map(p => (db.lacks(p) ? `NULL AS ${p}` : p)).join(', ')} FROM ${table}`),
      ),
      tombstones: db.run('SELECT id FROM sync_tombstone'),
    }))
    const values = new Map<string, Value>()
    for (const { id, a, b, c } of rows) values.set(String(id), { a, b, c } as Cells)
    for (const { id } of tombstones)
      if (!values.has(String(id))) values.set(String(id), { removed: removals.get(db.name)?.get(String(id)) ?? 'unknown' })
    return values
  }
  function changesOf(before: Map<string, Value>, after: Map<string, Value>): string[] {
    return IDS.filter(id => !isSame(before.get(id) ?? null, after.get(id) ?? null))
  }
  const removalsOf = (name: string) => removals.get(name) ?? removals.set(name, new Map()).get(name)!

  // ------------------------------------------------------------ which rows need which

  /** The number that each row has. It stays, and references by numbers lead to the same rows as those by identities. */
  function countedIn(db: SimulatedDatabase): Map<string, number> {
    const counted = new Map<string, number>()
    for (const spec of schema.tables) {
      if (spec.isNumbered) for (const { id, num } of db.run(`SELECT id, num FROM ${spec.name}`)) counted.set(String(id), Number(num))
      for (const reference of referencesOf(spec).filter(r => isNumberedReference(schema, r))) {
        const [own, number] = [`x."${reference.column}"`, `x."${numberColumnOf(reference.column)}"`]
        const wrong = db.run(
          `SELECT x.id, ${own} AS own, ${number} AS number, p.id AS led FROM ${spec.name} x LEFT JOIN ${reference.to} p ON p.num = ${number}
            WHERE coalesce(p.id, '') <> coalesce(${own}, '') OR (${number} IS NULL) <> (${own} IS NULL)`,
        )
        if (wrong.length) throw new Error(`${db.name} has other numbers than identities: ${JSON.stringify(wrong)}`)
      }
    }
    return counted
  }

  /** The parents of each row, as the rows stand. */
  function parentsIn(db: SimulatedDatabase): Map<string, string[]> {
    return remembered(db, 'parents', () => {
      const parents = new Map<string, string[]>()
      for (const spec of schema.tables) {
        const columns = referencesOf(spec).map(r => `"${r.column}"`)
        if (!columns.length) continue
        for (const { id, ...keys } of db.run(`SELECT id, ${columns.join(', ')} FROM ${spec.name}`))
          parents.set(
            String(id),
            Object.values(keys).flatMap(key => (key === null ? [] : String(key))),
          )
      }
      return parents
    })
  }

  /** Of rows that are gone, one by whose removal this one may have gone along. */
  function goneAbove(
    id: string,
    gone: readonly string[],
    parents: ReadonlyMap<string, readonly string[]>,
    path = new Set<string>(),
  ): string | undefined {
    path.add(id)
    for (const parent of parents.get(id) ?? []) {
      if (path.has(parent) || !gone.includes(parent)) continue
      return goneAbove(parent, gone, parents, path) ?? parent
    }
    return undefined
  }

  function isConnected(id: string, others: ReadonlyMap<string, unknown>, ...graphs: ReadonlyMap<string, readonly string[]>[]): boolean {
    const found = new Set([id])
    for (let size = 0; size !== found.size; ) {
      size = found.size
      for (const graph of graphs)
        for (const [child, parents] of graph)
          for (const parent of parents) if (found.has(child) || found.has(parent)) found.add(child).add(parent)
    }
    return [...found].some(each => others.has(each))
  }

  // ------------------------------------------------------------ the application

  const application = new Application({
    ...{ random, oracle, odds, reached, servers, snapshot, removalsOf, forgetSeen },
    choose: (db, column) => users?.choose(db, column) ?? null,
    keptApart,
    moves: () => users?.odds.move ?? 0,
  })

  /** What was changed here in a row that is not to be seen any more. */
  function keptApart(db: SimulatedDatabase, id: string): Value {
    if (!users) return null
    const kept = remembered(db, 'kept apart', () => users.keptApart(db)).get(id)
    return kept === null ? { removed: removalsOf(db.name).get(id) ?? 'unknown' } : (kept ?? null)
  }

  /** The links that a server has had, and those that somebody has removed, by themselves or with a row. */
  const [linked, unlinked] = [new Set<string>(), new Set<string>()]
  const linkColumns = schema.tables[0]?.isNumbered ? ['_sync_to_item', '_sync_to_other'] : ['item', 'other']
  const linksIn = (db: SimulatedDatabase) =>
    schema.linked
      ? db
          .run(`SELECT ${linkColumns[0]} AS item, ${linkColumns[1]} AS other FROM link ORDER BY 1, 2`)
          .map(({ item, other }) => `${item} ${other}`)
      : []

  function writeLink(db: SimulatedDatabase): void {
    const [item, other] = ['item', schema.linked].map(name => pick(schema.tables.find(t => t.name === name)?.ids ?? []))
    const name = `${item} ${other}`
    if (linksIn(db).includes(name)) {
      unlinked.add(name)
      db.run(`DELETE FROM link WHERE ${linkColumns[0]} = ? AND ${linkColumns[1]} = ?`, item, other)
    } else if (![item, other].some(id => isGone(snapshot(db).get(id as string))))
      db.run(
        'INSERT INTO link (item, other) VALUES (?, ?)',
        ...[
          ['item', item],
          [schema.linked, other],
        ].map(([table, id]) => (schema.tables[0]?.isNumbered ? db.numberOf(String(table), id) : id)),
      )
    trace(`  ${db.name} ${linksIn(db).includes(name) ? 'links' : 'does not link'} ${name}`)
  }

  function lookAtLinks(): string[] {
    if (!oracle.isWhole) return []
    const removed = new Set(oracle.written.filter(w => w.property === 'removed').map(w => w.id))
    const stays = (name: string) => !unlinked.has(name) && !name.split(' ').some(id => removed.has(id))
    const there = new Set(linksIn([...world.values()][0] as SimulatedDatabase))
    return [...linked].filter(name => stays(name) && !there.has(name)).map(name => `the link ${name} is lost`)
  }

  function writeRow(db: SimulatedDatabase, id: string): void {
    if (schema.linked && chance(0.4)) {
      writeLink(db)
      return
    }
    if (schema.isWide) {
      application.write(db, id)
      if (servers.has(db.name)) users?.watch.note(db)
      return
    }
    const { name } = db
    const old = snapshot(db).get(id) ?? null
    const needsParent = db.tableOf(id) === 'part'
    const parentIsThere = db.run("SELECT 1 FROM item WHERE id = 'x'").length > 0
    const before = old === null ? [oracle.lastRemoval.get(name + id)] : cellsOf(old)
    if (isGone(old)) {
      if (needsParent && !parentIsThere && relation !== 'SET NULL') return
      const cells = Object.fromEntries(PROPERTIES.map(p => [p, oracle.token(name, ...before)])) as Cells
      for (const p of PROPERTIES) oracle.written.push({ id, property: p, token: cells[p] })
      const columns = needsParent ? ', "itemId"' : ''
      db.run(
        `INSERT INTO ${db.tableOf(id)} (id, a, b, c${columns}) VALUES (?, ?, ?, ?${needsParent ? (parentIsThere ? ", 'x'" : ', NULL') : ''})`,
        id,
        cells.a,
        cells.b,
        cells.c,
      )
      observeApplication(db, id, old, cells)
      return
    }
    if (chance(odds.remove)) {
      const family = id === 'x' ? ['w', 'v'] : []
      const children = family.filter(
        c =>
          db.tableOf(c) === 'part' &&
          !isGone(snapshot(db).get(c)) &&
          db.run(`SELECT 1 FROM part WHERE id = ? AND "itemId" = 'x'`, c).length,
      )
      if (children.length && relation === 'RESTRICT') return
      const values = snapshot(db)
      const token = oracle.token(`${name}r`, ...before, ...(relation === 'CASCADE' ? children.flatMap(c => cellsOf(values.get(c))) : []))
      oracle.written.push({ id, property: 'removed', token })
      db.run(`DELETE FROM ${db.tableOf(id)} WHERE id = ?`, id)
      if (relation === 'CASCADE')
        for (const c of children) {
          removalsOf(name).set(c, token)
          observeApplication(db, c, values.get(c) ?? null, { removed: token })
        }
      removalsOf(name).set(id, token)
      observeApplication(db, id, old, { removed: token })
      return
    }
    const value = { ...old } as Cells
    for (const p of PROPERTIES) if (chance(0.4)) value[p] = oracle.token(name, old[p])
    if (chance(odds.bad) && !servers.has(name)) value.c = oracle.alias(oracle.token(name, old.c), `${name}.bad${oracle.written.length}!`)
    for (const p of PROPERTIES) if (value[p] !== old[p]) oracle.written.push({ id, property: p, token: value[p] })
    if (isSame(value, old)) return
    db.run(`UPDATE ${db.tableOf(id)} SET a = ?, b = ?, c = ? WHERE id = ?`, value.a, value.b, value.c, id)
    observeApplication(db, id, old, value)
  }
  function observeApplication(db: SimulatedDatabase, id: string, old: Value, value: Value): void {
    oracle.observe({ database: db.name, id, old, value, cause: 'application' })
  }

  function write(db: SimulatedDatabase): void {
    if (openTransactions.has(db.name)) return
    if ([...processes.values()].some(p => p.client === db.name && p.kind === 'handler')) reached.add('edit during a handler')
    if (chance(odds.transaction)) {
      // a transaction of the application's that comes to nothing: whatever it wrote was never there
      db.run('BEGIN')
      writeWhatNeverWas(db)
      if (clients.has(db.name) && !servers.has(db.name) && chance(0.5)) openTransactions.add(db.name)
      else rollback(db)
      reached.add('transaction rolled back')
      return
    }
    if (schema.isWide) {
      db.run('BEGIN')
      for (const id of chance(odds.bulk) ? IDS : [pick(IDS)]) writeRow(db, id)
      db.run('COMMIT')
      lookAtTree(db)
    } else if (chance(odds.bulk)) {
      db.run('BEGIN')
      for (const id of IDS) writeRow(db, id)
      db.run('COMMIT')
      reached.add('bulk write')
    } else writeRow(db, pick(IDS))
    save(db)
  }

  function lookAtTree(db: SimulatedDatabase): void {
    if (!schema.name.startsWith('tree')) return
    reached.add('moved in a tree')
    const parents = parentsIn(db)
    for (const id of IDS) {
      const path = new Set<string>()
      for (let at: string | undefined = id; at !== undefined && !path.has(at); at = parents.get(at)?.[0]) path.add(at)
      if ([...path].some(each => parents.get(each)?.some(p => path.has(p) && p === id))) reached.add('parents in a circle')
    }
  }

  function writeWhatNeverWas(db: SimulatedDatabase): void {
    if (schema.isWide) {
      for (const { name } of schema.tables) db.run(`UPDATE ${name} SET a = 'never', c = 'never'`)
      return
    }
    db.run(`UPDATE item SET a = 'never', b = 'never'`)
    db.run(`DELETE FROM item WHERE id = 'y'`)
    db.run(`INSERT INTO item (id, a) SELECT 'z', 'never' FROM (SELECT 1 AS one) d WHERE NOT EXISTS (SELECT 1 FROM item WHERE id = 'z')`)
  }

  /**
   * Does some of the engine's work, with luck beside a transaction of the application's. It ends where the engine is about to wait for it, so that
   * the order of things is the same each time; what only reads does not wait. `look` is called when all is written that was there before the work.
   */
  async function beside<T>(
    db: SimulatedDatabase,
    state: (typeof OTHER_STATES)[number],
    look: () => void,
    work: () => Promise<T>,
  ): Promise<T> {
    if (!db.other || !faults || !chance(odds.transaction)) {
      look()
      return work()
    }
    const clock = () => Number(db.run('SELECT "now" FROM sync_clock')[0]?.now)
    const before = clock()
    const comesToNothing = chance(0.4)
    if (comesToNothing) look()
    const write = () => {
      for (const id of IDS) if (chance(0.3)) writeRow(db, id)
    }
    db.run('BEGIN')
    if (comesToNothing) writeWhatNeverWas(db)
    else write()
    const isHeld = clock() > before
    if (!isHeld) {
      // nothing was written, so nobody waits
      rollback(db)
      if (!comesToNothing) look()
      return work()
    }
    reached.add(state)
    trace(`  TRANSACTION on ${db.name}`)
    let isWaiting = false
    const waiting = new Promise<void>(resolve => {
      db.onLock = () => {
        isWaiting = true
        resolve()
      }
    })
    const working = work()
    await Promise.race([waiting, working.catch(() => {})])
    db.onLock = () => {}
    if (isWaiting) {
      reached.add('step waits for a transaction')
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    if (comesToNothing) rollback(db)
    else {
      write()
      look()
      db.run('COMMIT')
    }
    trace(`  ${comesToNothing ? 'ROLLBACK' : 'COMMIT'} on ${db.name}`)
    return working
  }

  function save(db: SimulatedDatabase): void {
    if (odds.crash > 0 && db.dataSource.options.type === 'sqljs' && !openTransactions.has(db.name))
      saved.set(db.name, { dump: remembered(db, 'dump', () => db.dump()), removals: new Map(removalsOf(db.name)), writes: db.writes })
  }

  // ------------------------------------------------------------ the network

  /** Requests that are at a server: what becomes of its rows then is their doing. */
  const serving = new Map<string, number>()

  async function serve(request: Request): Promise<Response> {
    const { server, method, path, headers, body, from } = request
    const db = world.get(server) as SimulatedDatabase
    let before = new Map<string, Value>()
    let tokens = new Map<string, string>()
    let watched: ReturnType<Users['look']> | undefined
    const look = () => {
      before = snapshot(db)
      tokens = new Map(removalsOf(server))
      watched = users?.look(db, headers.user)
    }
    const isFaulty = db.other !== undefined && faults && chance(odds.fault * 3)
    if (isFaulty) injectFault(db)
    // who only reads does not wait for a transaction beside it, and may see what was before that
    const earlier = db.other && method === 'GET' ? users?.look(db, headers.user) : undefined
    const numbersBefore = method === 'POST' ? numbersIn(db) : undefined
    const groups = groupsOf(body, path)
    const specs = schema.tables.filter(spec => groups.has(`/${spec.name}s`) && keysOf(spec).length)
    const rowsBefore =
      numbersBefore && !isFaulty
        ? new Map(specs.map(spec => [spec, remembered(db, spec.name, () => db.run(`SELECT * FROM ${spec.name}`))]))
        : undefined
    const count = (more: 1 | -1) => serving.set(server, (serving.get(server) ?? 0) + more)
    count(1)
    const handling = beside(db, 'transaction beside a request', look, () => running.exit(() => db.handler(method, path, headers, body)))
    const answer = await handling.finally(() => count(-1))
    if (isFaulty) endFault(db)
    // the key is random, and a history is not
    trace(`    ${from} ${method} ${server}${path.replace(/&idempotency-key=[^&]*/, '')} ${body ?? ''} ⇒ ${answer.status} ${answer.body}`)
    const after = snapshot(db)
    for (const name of linksIn(db)) linked.add(name)
    for (const id of changesOf(before, after)) {
      const old = before.get(id) ?? null
      let value: Value = after.get(id) ?? null
      if (isGone(value)) {
        const reaching = schema.isWide ? [...request.removals.values()] : [request.removals.get('x')]
        const token = request.removals.get(id) ?? oracle.token(`${server}k`, ...reaching, ...cellsOf(request.sees.get(id)))
        if (!request.removals.has(id)) reached.add('removal took others along on the server')
        // who has no such column has seen the row nevertheless
        if (schema.gained && old && !isGone(old)) oracle.inherit(token, old[schema.gained])
        removalsOf(server).set(id, token)
        value = { removed: token }
      }
      oracle.observe({
        database: server,
        id,
        old: old && isGone(old) ? { removed: tokens.get(id) ?? 'unknown' } : old,
        value,
        cause: 'post',
      })
    }
    if (users && watched)
      users.answered(db, { from, user: headers.user, method, path, posted: postedRows(body) }, answer, { ...watched, earlier })
    if (method === 'POST') {
      if (schema.isWide) lookAtPush(db, request, answer, numbersBefore, after)
      // a removal that reaches others lets go of more than its own values
      const isPlain = !postedRows(body).some(row => row._removed) || !schema.tables.some(t => referencesOf(t).length)
      for (const [spec, rows] of answer.status === 422 && features.valid && isPlain ? (rowsBefore ?? []) : []) {
        const path = `/${spec.name}s`
        const vain = wronglyRejected(spec, rows, groups.get(path) ?? [], JSON.parse(answer.body).errors)
        if (vain.length) throw new Error(`${server} rejected ${vain} in vain: ${body} over ${JSON.stringify(rows)} ${answer.body}`)
      }
      if (answer.headers['idempotency-replayed']) reached.add('replayed')
      if (answer.status === 422) reached.add(/children-unseen/.test(answer.body) ? 'removal rejected for rows not seen' : 'rejected')
      if (answer.status === 409 && !postedRows(body).length) reached.add('retry across a collection change')
      if (answer.status === 409) reached.add(/"reset"/.test(answer.body) ? 'push answered with a reset' : 'stale push')
      if (/"empty":true/.test(answer.body)) reached.add('push ended by an empty one')
      // a removal that was posted and is gone already stands for the one posted
      for (const [id, token] of request.removals) {
        const status = removalsOf(server).get(id)
        if (answer.status === 200 && isGone(after.get(id)) && status !== undefined && status !== token) {
          oracle.inherit(status, token)
          oracle.inherit(token, status)
        }
        if (answer.status === 200 && !before.has(id) && isGone(after.get(id))) oracle.neverTold.add(token)
        if (users && answer.status === 200 && !isGone(after.get(id))) {
          oracle.neverTold.add(token)
          reached.add('removal of a row that is not seen')
        }
      }
    } else {
      if (/"reset":"collection-changed"/.test(answer.body)) reached.add('collection-changed')
      if (/"reset":"since-too-old"/.test(answer.body)) reached.add('since-too-old')
      if (/after=/.test(path)) reached.add('second page')
      if (/after=/.test(path) && /"reset"/.test(answer.body)) reached.add('reset while paging')
      if (answer.status === 304) reached.add('nothing new')
      else news++
    }
    if (answer.status === 503) reached.add('server busy')
    if (db.other && answer.status === 500 && !isFaulty) throw new Error(`${server} failed with ${method} ${path} ${body ?? ''}`)
    return new Response(answer.status === 304 || answer.status === 204 ? null : answer.body, {
      status: answer.status,
      headers: answer.headers as Record<string, string>,
    })
  }

  function numbersIn(db: SimulatedDatabase): Map<string, string> | undefined {
    if (!schema.tables.some(t => numbersOf(t).length)) return
    return remembered(db, 'numbers', () => {
      const numbers = new Map<string, string>()
      for (const spec of schema.tables) {
        const columns = numbersOf(spec).map(c => c.column)
        if (!columns.length) continue
        for (const { id, ...values } of db.run(`SELECT id, ${columns.map(c => `"${c}"`).join(', ')} FROM ${spec.name}`))
          numbers.set(String(id), JSON.stringify(Object.values(values)))
      }
      return numbers
    })
  }

  const notUnique = new Map<string, unknown>() // client + server + id → what was rejected
  const unknownTold = new Set<string>() // values that a server had no column for

  function lookAtPush(
    db: SimulatedDatabase,
    { from, server, body, removals: removed }: Request,
    answer: { status: number; body: string },
    numbersBefore: Map<string, string> | undefined,
    after: Map<string, Value>,
  ): void {
    const rows = postedRows(body)
    if (answer.status === 422)
      for (const { id, code } of JSON.parse(answer.body).errors) {
        if (code !== 'not-unique') continue
        reached.add('not-unique rejected')
        const row = rows.find(r => r.id === id)
        notUnique.set(from + server + id, JSON.stringify({ ...row, _partial: undefined }))
      }
    if (answer.status !== 200) return
    for (const row of rows) {
      const key = `${from}${server}${row.id}`
      if (notUnique.get(key) === JSON.stringify({ ...row, _partial: undefined })) reached.add('not-unique pushed again')
      notUnique.delete(key)
      const { gained } = schema
      if (!gained || typeof row[gained] !== 'string') continue
      if (db.lacks(gained)) {
        reached.add('property unknown to the server')
        unknownTold.add(row[gained])
      } else if (unknownTold.has(row[gained])) reached.add('unknown property pushed later')
    }
    const numbers = numbersIn(db)
    if (numbers && numbersBefore)
      for (const [id, local] of numbersBefore)
        for (const [other, remote] of numbersBefore)
          if (id < other && local !== remote && numbers.get(id) === remote && numbers.get(other) === local)
            reached.add('unique values exchanged in one push')
    // a server that keeps what was to be removed has seen the removal
    for (const [id, token] of removed) {
      const value = after.get(id)
      if (!value || isGone(value) || schema.trigger !== 'skip') continue
      reached.add('removal skipped by a trigger')
      for (const t of cellsOf(value)) oracle.inherit(t, token)
    }
    if (schema.trigger === 'touch' && rows.some(r => typeof r.a === 'string')) reached.add('column changed by a trigger')
  }

  // ------------------------------------------------------------ processes

  interface Parked {
    readonly kind: string
    readonly release: () => void
  }

  /** A question that was asked, perhaps ahead, while the answer before it is being stored. */
  interface Flight {
    parked: Parked | undefined
    isDone: boolean
    /** What its answer has. */
    heard: Heard | undefined
  }

  interface Heard {
    readonly page: Map<string, Value>
    /** What a removal that a full answer shows by leaving the row out is called. */
    readonly sweepToken: Map<string, string>
    /** In the middle of a full answer. */
    readonly readsFull: boolean
    readonly isReset: boolean
  }

  class Process implements Turn {
    /** The sync itself; its questions wait for their turns by themselves. */
    #sync: Parked | undefined
    /** What the sync does while it is not parked. */
    #state: 'runs' | 'waits for an answer' | 'ended' = 'runs'
    #awaited: Flight | undefined
    readonly #flights = new Set<Flight>()
    result: string | undefined
    error: unknown
    /** The page whose rows are being stored, and the removals it had. */
    page = new Map<string, Value>()
    resolved: Map<string, { remote: Value; removal?: string | undefined }> | undefined
    #wake: () => void = () => {}

    constructor(
      readonly client: string,
      readonly server: string,
      /** Of its feed, or one by itself. */
      readonly collections: readonly Collection[],
      readonly remoteIds: readonly number[],
    ) {}

    park(kind: string): Promise<void> {
      return new Promise(release => {
        this.#sync = { kind, release }
        this.#wakeWhenIdle()
      })
    }

    /** Who waits for a turn of this process: the sync, or a question. */
    next(): Parked | undefined {
      const parked = [...this.#flights].flatMap(f => f.parked ?? [])
      if (this.#sync) parked.push(this.#sync)
      if (this.#sync)
        for (const { parked } of this.#flights) if (parked) reached.add(parked.kind === 'GET' ? 'question asked ahead' : 'batch read ahead')
      return parked.length > 1 ? pick(parked) : parked[0]
    }

    get isAlive(): boolean {
      return this.#sync !== undefined || [...this.#flights].some(f => f.parked)
    }

    get kind(): string | undefined {
      return this.#sync?.kind
    }

    /** Goes on until all of it waits for its turn again, or it ends. */
    async go(parked: Parked | undefined): Promise<void> {
      const moved = new Promise<void>(resolve => {
        this.#wake = resolve
      })
      if (!parked) this.#start()
      else {
        if (parked === this.#sync) this.#sync = undefined
        for (const flight of this.#flights) if (flight.parked === parked) flight.parked = undefined
        parked.release()
      }
      await moved
    }

    #wakeWhenIdle(): void {
      if ([...this.#flights].some(f => !f.parked)) return
      if (this.#sync || this.#state !== 'runs') this.#wake()
    }

    /** A question in flight, whose answer is taken when the sync asks for it. */
    #ask<T>(ask: () => Promise<T>): Promise<T> {
      const flight: Flight = { parked: undefined, isDone: false, heard: undefined }
      this.#flights.add(flight)
      const answer = flights.run(flight, ask)
      const end = () => {
        flight.isDone = true
        this.#flights.delete(flight)
        if (this.#awaited === flight) this.#state = 'runs'
        this.#wakeWhenIdle()
      }
      answer.then(end, end)
      const note = () => {
        if (flight.heard) this.#note(flight.heard)
      }
      // the sync is no promise's: whether it waits for one is seen by its asking for it
      return {
        catch: (failed: (error: unknown) => unknown) => answer.catch(failed),
        // biome-ignore lint/suspicious/noThenProperty: it is awaited like one
        then: (done: (value: T) => unknown, failed: (error: unknown) => unknown) => {
          if (!flight.isDone) {
            this.#state = 'waits for an answer'
            this.#awaited = flight
            this.#wakeWhenIdle()
          }
          return answer.then((value: T) => {
            note()
            return done(value)
          }, failed)
        },
      } as unknown as Promise<T>
    }

    #note({ page, sweepToken, readsFull, isReset }: Heard): void {
      this.page = page
      this.sweepToken = sweepToken
      this.readsFull = readsFull
      if (isReset) this.wasReset = true
    }

    #start(): void {
      const db = world.get(this.client) as SimulatedDatabase
      const end = (result: string, error?: unknown) => {
        this.result = result
        this.error = error
        this.#state = 'ended'
        this.#flights.clear()
        this.#wake()
      }
      const transport = createTransport({ fetch: (url, init) => this.#fetch(String(url), init), retries: 0, timeout: 10 ** 9 })
      const inTurn = (wire: Wire): Wire => ({
        ...wire,
        pull: (...question) => this.#ask(() => wire.pull(...question)),
        push: (...rows) => this.#ask(() => wire.push(...rows)),
      })
      const feed = inTurn(feedWire(transport, `http://${this.server}/sync`, db.log.collections.map(pathOf)))
      const routeOf = (collection: Collection) =>
        inTurn(routeWire(transport, `http://${this.server}${pathOf(collection)}`, pathOf(collection)))
      const members = this.collections.map((collection, i) => ({
        collection,
        path: pathOf(collection),
        serverId: this.remoteIds[i] as number,
        handler: asks ? (conflicts: Conflict[], updates: ConflictUpdate[]) => this.#handle(conflicts, updates) : undefined,
      }))
      running.run(this, () => {
        sync({
          log: db.log,
          members,
          wire: byCollection ? routeOf(this.collections[0] as Collection) : feed,
          feed,
          lacking: [],
          pageSize,
          batchSize,
          maxRounds: 12,
          handlerTimeout: undefined,
          noAccess: 'keep',
          signal: undefined,
          report: new ReportBuilder({ entities: [], url: '' }, () => {}),
        }).then(
          () => end('ok'),
          error =>
            end(
              error instanceof SyncContentionError
                ? 'contention'
                : users && error instanceof OtherUserError && this.metStranger
                  ? 'other user'
                  : this.isHandedOver && error instanceof SyncError
                    ? 'fault'
                    : (error instanceof TransportError && (this.isGarbled || !isRefusal(error))) ||
                        error instanceof DatabaseBusyError ||
                        error instanceof DatabaseFailedError ||
                        error instanceof InjectedFault ||
                        (error instanceof OtherUserError && this.metStranger) ||
                        (error as { cause?: unknown })?.cause instanceof InjectedFault
                      ? 'fault'
                      : 'error',
              error,
            ),
        )
      })
    }

    async #fetch(url: string, init: RequestInit | undefined): Promise<Response> {
      const { pathname, search } = new URL(url)
      const body = init?.body === undefined || init.body === null ? undefined : String(init.body)
      const removed = new Map<string, string>()
      for (const row of postedRows(body))
        if (row._removed) removed.set(String(row.id), removalsOf(this.client).get(String(row.id)) ?? 'unknown')
      // where the database was handed over meanwhile, it compares with whose the rows were; it stores nothing any more
      if (users && this.goesOn && !this.isHandedOver) violation ??= new Error(`${this.client} goes on as ${users.userOf(this.client)}.`)
      const isStranger = users ? this.#isOther() : this.#isStranger()
      const user = users ? users.userOf(this.client) : isStranger ? 'stranger' : undefined
      const request: Request = {
        server: this.server,
        method: (init?.method ?? 'GET') as 'GET',
        path: pathname + search,
        headers: { ...Object.fromEntries(new Headers(init?.headers).entries()), ...(user !== undefined && { user }) },
        body,
        removals: removed,
        sees: snapshot(world.get(this.client) as SimulatedDatabase),
        from: this.client,
      }
      const flight = flights.getStore() as Flight
      await new Promise<void>(release => {
        flight.parked = { kind: request.method, release }
        this.#wakeWhenIdle()
      })
      pushedRows += postedRows(body).length
      if (faults && request.method === 'POST' && chance(odds.late)) {
        late.push(request)
        reached.add('late request')
        throw new Lost('fetch failed')
      }
      if (faults && chance(odds.lost)) throw new Lost('fetch failed')
      const answer = await serve(request).catch(error => {
        violation ??= error // the transport would believe it to be the network's
        throw error
      })
      if (faults && chance(odds.lost)) {
        reached.add('lost answer')
        throw new Lost('fetch failed')
      }
      if (faults && chance(odds.garble)) {
        reached.add('garbled answer')
        this.isGarbled = true
        const text = await answer.text()
        return new Response(chance(0.5) ? '<html>Welcome to our hotel</html>' : text.slice(0, text.length / 2), {
          status: answer.status === 304 ? 200 : answer.status,
        })
      }
      if (isStranger || (users && this.#isOther(user))) return this.#poison(request, answer, isStranger)
      if (request.method === 'GET' && answer.status === 200) {
        const {
          full,
          next,
          reset,
          scoped = [],
          ...changes
        } = (await answer.clone().json()) as Groups & {
          full?: boolean
          next?: string
          reset?: string
          scoped?: string[]
        }
        const updates = updatesOf(changes) as Record<string, string>[]
        const page = new Map<string, Value>()
        const sweepToken = new Map<string, string>()
        const remote = removalsOf(this.server)
        const lacked =
          schema.gained && updates.some(u => u[schema.gained as string] && world.get(this.client)?.lacks(schema.gained as string))
        if (lacked) reached.add('property unknown to the device')
        for (const { id, _removed, _left, a, b, c } of updates)
          if (_left) reached.add('told that a row left')
          else page.set(String(id), _removed ? { removed: remote.get(String(id)) ?? 'unknown' } : ({ a, b, c } as Cells))
        if (full)
          for (const id of IDS)
            if (!page.has(id) && this.collections.some(c => isSwept(c, id, scoped)))
              sweepToken.set(id, oracle.lastRemoval.get(this.server + id) ?? remote.get(id) ?? oracle.token('lost'))
        flight.heard = { page, sweepToken, readsFull: full === true && next !== undefined, isReset: reset !== undefined }
      }
      return answer
    }
    /** The rows here are those of another user than this one, or than the one who is signed in now. */
    #isOther(user = users?.userOf(this.client)): boolean {
      const known = knownPrincipal(this.client, this.server)
      return known !== undefined && user !== undefined && known !== principalName(user)
    }

    /** Somebody else has signed in; not before the device has heard whose rows it holds. */
    #isStranger(): boolean {
      if (!faults || !strangers || !chance(strangers)) return false
      return knownPrincipal(this.client, this.server) !== undefined
    }

    /** What another user is answered: rows of theirs. None of it may be stored. */
    async #poison({ method, path }: Request, answer: Response, wasStranger: boolean): Promise<Response> {
      this.metStranger = true
      // a page that was read ahead is thrown away unseen where another sync has gone on
      this.goesOn = !path.includes('&after=')
      const isWrong = method === 'GET' ? answer.status === 304 : answer.status !== 409 && answer.status < 500
      // the transport would take what is thrown here for the network's
      if (isWrong && wasStranger) violation ??= new Error(`Another user's ${method} got ${answer.status}.`)
      reached.add(method === 'GET' ? 'another user in a pull' : 'another user in a push')
      const text = (await answer.text()).replace(/"a":"[^"]*"/g, '"a":"of another user"')
      return new Response(text, { status: answer.status, headers: answer.headers })
    }

    readsFull = false
    wasReset = false
    isGarbled = false
    isHandedOver = false
    metStranger = false
    /** Does what it asks next say that it has not looked who was answered? */
    goesOn = false
    sweepToken = new Map<string, string>()

    async #handle(conflicts: Conflict[], updates: ConflictUpdate[]): Promise<void> {
      const resolve = decideFor(this, conflicts, updates)
      if (this.wasReset) reached.add('conflict during a reset')
      await this.park('handler')
      this.resolved = resolve()
      reached.add('handler')
    }
  }

  /** By what a server called the user whose rows are on a device. */
  function knownPrincipal(client: string, server: string): string | undefined {
    const [known] = (world.get(client) as SimulatedDatabase).run(
      'SELECT principal FROM sync_server WHERE origin = ? AND principal IS NOT NULL',
      `http://${server}`,
    )
    return known && String(known.principal)
  }

  /** Does a full answer say by leaving a row out that it was removed? Of what is seen in part it may have left. */
  const isSwept = (collection: Collection, id: string, scoped: readonly string[]) =>
    collection.name === schema.tables.find(t => t.ids.includes(id))?.name && !scoped.includes(pathOf(collection))

  const flights = new AsyncLocalStorage<Flight>()
  const processes = new Map<string, Process>()
  let violation: unknown
  const journalRemovals = new Map<string, string>() // client + server + id → token of a removal that is in the journal

  const cellsFrom = ({ a, b, c }: Readonly<Record<string, unknown>>) => ({ a, b, c }) as Cells

  /** What is known of each row and of what the server has: the base, and the server's version where it is unapplied (null: removed there). */
  function lookAt(db: SimulatedDatabase, server: string): Map<string, KnownRow> {
    const states = new Map<string, KnownRow>()
    const servers = db.run('SELECT id FROM sync_server WHERE origin = ?', `http://${server}`).map(row => Number(row.id))
    for (const exchange of servers.length ? db.look(openExchanges(db.log, servers)) : []) {
      const { collection } = exchange
      const ids = IDS.filter(id => db.tableOf(id) === collection.name)
      for (const [id, state] of db.look(readRowStates(exchange, ids))) {
        // of what is kept apart the note says what both sides knew
        const base = state.noAccess ? state.noAccess.base : baseOf(exchange.server, state)
        const remote = state.unapplied?.remote
        states.set(id, {
          base: base === undefined ? undefined : base === null ? 'gone' : cellsFrom(base),
          unapplied: remote ? cellsFrom(remote) : remote,
          ignored:
            state.unapplied || !isClean(exchange, state) ? [] : state.ignored.flatMap(p => state.version.value?.[p] ?? []).map(String),
        })
      }
    }
    return states
  }

  /** Lets a process go on, and looks at what it did to its database. */
  async function transaction(p: Process): Promise<void> {
    const db = world.get(p.client) as SimulatedDatabase
    const parked = p.next()
    if (parked && parked.kind !== 'transaction') {
      await p.go(parked) // what comes back from a server or a handler is stored by a step of its own
      return tellEnd(p)
    }
    let before = new Map<string, Value>()
    let writes = 0
    let counted = new Map<string, number>()
    const look = () => {
      before = snapshot(db)
      writes = db.writes
      if (isCounted) counted = countedIn(db)
    }
    if (isCounted) counted = countedIn(db)
    const pushedPlaces = () =>
      JSON.stringify(db.run(`SELECT pushed_stamp, pushed_id FROM sync_server WHERE id IN (${p.remoteIds.join()}) ORDER BY id`))
    const parents = schema.isWide ? parentsIn(db) : undefined
    const known = remembered(db, p.server, () => lookAt(db, p.server))
    const states = new Map(
      [...known].map(([id, { base, unapplied }]) => {
        const removed = { removed: journalRemovals.get(`${p.client}${p.server}${id}`) ?? 'unknown' }
        return [
          id,
          { base: base && base !== 'gone' ? 'row' : base, remote: unapplied === undefined ? undefined : (unapplied ?? removed) },
        ] as const
      }),
    )
    const acknowledged = pushedPlaces()
    const resolved = p.resolved
    const apart = users && new Map(IDS.map(id => [id, keptApart(db, id)]))
    await beside(db, 'transaction beside a step', look, () => p.go(parked))
    if (db.writes === writes) return tellEnd(p)
    if (isCounted)
      for (const [id, number] of countedIn(db))
        if ((counted.get(id) ?? number) !== number) throw new Error(`${db.name} counts ${id} anew: ${counted.get(id)} → ${number}`)
    if (servers.has(db.name)) users?.watch.note(db) // a relay
    // removals that a page brought, and that wait now
    for (const [id, value] of p.page) if (value && isGone(value)) journalRemovals.set(`${p.client}${p.server}${id}`, value.removed)
    for (const [id, token] of p.sweepToken) if (!p.page.has(id)) journalRemovals.set(`${p.client}${p.server}${id}`, token)
    const after = snapshot(db)
    const changed = changesOf(before, after)
    const stillWaiting = new Set(
      db
        .run('SELECT c.id FROM sync_unapplied c JOIN sync_server r ON r.id = c.server WHERE r.origin = ?', `http://${p.server}`)
        .map(r => String(r.id)),
    )
    const applied = new Map([...(resolved ?? [])].filter(([id]) => !stillWaiting.has(id)))
    if (resolved && (applied.size || p.kind !== 'transaction')) p.resolved = undefined // a step that found the database busy comes again
    const gone = changed.filter(id => isGone(after.get(id)))
    // what is not to be seen any more leaves no tombstone
    const purged = users ? gone.filter(id => !after.has(id)) : []
    if (users)
      for (const [id, old] of before)
        if (isGone(old) && old && !after.has(id) && states.get(id)?.base === 'gone') oracle.neverTold.add(old.removed) // made and removed here
    if (schema.isWide) lookAtWaiting(db)
    if (users) {
      const isTheirs = (id: string) => {
        const { base, remote } = states.get(id) ?? {}
        return base !== 'gone' || Boolean(remote && !isGone(remote)) || stillWaiting.has(id)
      }
      for (const [id, kept] of apart ?? []) if (!kept && keptApart(db, id)) lookAtLeft(db, id, after.has(id), isTheirs(id))
      lookAtApart(db, before, apart as Map<string, Value>, after, resolved ?? new Map())
    }
    for (const id of IDS) {
      const old = before.get(id) ?? null
      let value: Value = after.get(id) ?? null
      if (purged.includes(id)) {
        reached.add('purged')
        // what was decided of a row that waits for another one can be read
        const isDecided = resolved?.has(id) || stillWaiting.has(id)
        const waits = `SELECT 1 FROM sync_unapplied u WHERE u.server = _sync_server AND u.id = _sync_id`
        const bases = `sync_base_${db.tableOf(id)} WHERE (_sync_server <> 0 OR a IS NOT NULL) AND NOT EXISTS (${waits}) AND`
        const traces = [bases, 'sync_resolution WHERE']
        for (const table of isDecided ? traces.slice(0, 1) : traces)
          if (db.run(`SELECT 1 FROM ${table} ${/base/.test(table) ? '_sync_id' : 'row_id'} = ?`, id).length)
            throw new Error(`${p.client} keeps ${id}, which left, in ${table}`)
        oracle.observe({ database: p.client, id, old, value, cause: 'purge' })
        continue
      }
      const state = states.get(id)
      const remote =
        p.page.get(id) ?? (isGone(value) && p.sweepToken.has(id) ? { removed: p.sweepToken.get(id) as string } : undefined) ?? state?.remote
      const decision = applied.get(id)
      const isChanged = changed.includes(id)
      const above = parents ? goneAbove(id, gone, parents) : id !== 'x' && gone.includes('x') && db.tableOf(id) === 'part' ? 'x' : undefined
      const byParent = isChanged && isGone(value) && above !== undefined && !(remote && isGone(remote))
      if (value && isGone(value) && (isChanged || value.removed === 'unknown')) {
        const heard = remote && isGone(remote) ? remote.removed : undefined
        const token =
          decision?.removal ??
          heard ??
          (byParent ? removalOf(above, p, states, applied) : undefined) ??
          (isChanged ? undefined : oracle.lastRemoval.get(p.client + id)) ??
          oracle.token('n')
        removalsOf(p.client).set(id, token)
        value = { removed: token }
      }
      if (value && isGone(value) && old && isGone(old) && remote && isGone(remote)) {
        oracle.inherit(value.removed, remote.removed)
        oracle.inherit(remote.removed, value.removed)
      }
      const isResolved =
        decision !== undefined ||
        (isChanged && applied.size > 0 && (parents ? isConnected(id, applied, parents, parentsIn(db)) : relatedTo(id, applied)))
      if (!isChanged && !decision && !p.page.has(id)) continue
      // a removal drops what its server had no column for, where nothing was changed since
      if (remote && isGone(remote)) for (const token of known.get(id)?.ignored ?? []) oracle.inherit(remote.removed, token)
      oracle.observe({
        database: p.client,
        id,
        old: old ?? (isResolved ? (apart?.get(id) ?? null) : null),
        value,
        cause: isResolved ? 'handler' : byParent ? 'cascade' : 'merge',
        remote: decision?.remote ?? remote,
        base: state?.base,
      })
    }
    if (pushedPlaces() !== acknowledged) {
      p.page = new Map()
      for (const [id, { base }] of states) {
        const v = before.get(id)
        if (base === 'gone' && v && isGone(v)) oracle.neverTold.add(v.removed)
      }
    }
    // saved by the sync itself, before it was looked at here
    const disk = saved.get(db.name)
    if (disk?.writes === db.writes) disk.removals = new Map(removalsOf(db.name))
    tellEnd(p)
  }
  /** What leaves is kept apart alone, and nothing leaves that was made here and is not the server's. */
  function lookAtLeft(db: SimulatedDatabase, id: string, isHere: boolean, isTheirs: boolean): void {
    if (isHere) throw new Error(`${db.name} keeps ${id} apart, and its row or tombstone stays`)
    if (!isTheirs) throw new Error(`${db.name} keeps ${id} apart, which was made there and is not the server's`)
  }
  /** A decision about a row that cannot be stored yet stands where the row is kept apart. */
  function lookAtApart(
    db: SimulatedDatabase,
    before: ReadonlyMap<string, Value>,
    apart: ReadonlyMap<string, Value>,
    after: ReadonlyMap<string, Value>,
    resolved: ReadonlyMap<string, { remote: Value }>,
  ): void {
    for (const [id, kept] of apart) {
      const value = keptApart(db, id)
      if (value && !kept) reached.add('kept apart')
      if (!value && kept) reached.add('kept apart and back')
      const decision = resolved.get(id)
      const old = before.get(id) ?? kept
      if (!decision || after.has(id) || !old || (value && isSame(kept, value))) continue
      reached.add('decided for later')
      if (isGone(decision.remote) && decision.remote && invented.has(decision.remote.removed)) oracle.neverTold.add(decision.remote.removed)
      // of a decision for the server's side nothing of ours is kept
      oracle.observe({ database: db.name, id, old, value: value ?? decision.remote, cause: 'handler', remote: decision.remote })
    }
  }

  /** What the removal of a row is called by which others went along; whichever of them is looked at first. */
  function removalOf(
    id: string,
    p: Process,
    states: ReadonlyMap<string, { remote: Value | undefined }>,
    applied: ReadonlyMap<string, { removal?: string | undefined }>,
  ): string | undefined {
    if (!schema.isWide) return removalsOf(p.client).get(id)
    const remote = p.page.get(id) ?? states.get(id)?.remote
    return applied.get(id)?.removal ?? (remote && isGone(remote) ? remote.removed : undefined) ?? p.sweepToken.get(id)
  }

  function lookAtWaiting(db: SimulatedDatabase): void {
    for (const { reason } of db.run('SELECT reason FROM sync_unapplied')) {
      if (reason === 'not-unique') reached.add('not-unique waited')
      if (reason === 'parent-missing' && schema.name.startsWith('mutual')) reached.add('mutual references waited')
    }
    lookAtTree(db)
  }

  function tellEnd(p: Process): void {
    if (violation) throw violation
    if (p.result === undefined) return
    trace(`  ${p.client}→${p.server} ${p.collections.map(c => c.name)}: ${p.result} ${p.error ?? ''}`)
    if (p.result === 'error') throw p.error
  }
  // applying a child brings its parent back, and removing a parent removes its children
  const relatedTo = (id: string, resolved: Map<string, unknown>) =>
    id === 'x' ? resolved.has('w') || resolved.has('v') : (id === 'w' || id === 'v') && resolved.has('x')

  /** Of a row that was made here, and needs one that was removed here, the server has nothing: who takes that drops what nobody else has ever had. */
  const invented = new Set<string>()
  function invent(): string {
    const token = oracle.token('none')
    invented.add(token)
    return token
  }

  function decideFor(p: Process, conflicts: Conflict[], updates: ConflictUpdate[]): () => NonNullable<Process['resolved']> {
    const resolved: NonNullable<Process['resolved']> = new Map()
    if (schema.linked && conflicts.some(({ id }) => id.includes('/')))
      throw new Error(`somebody is asked about links: ${conflicts.map(c => c.id)}`)
    const plan = conflicts.map(conflict => {
      const cells = (row: object | null): Cells | null =>
        row && ({ a: (row as Cells).a, b: (row as Cells).b, c: (row as Cells).c } as Cells)
      const db = world.get(p.client) as SimulatedDatabase
      const local: Value = cells(conflict.local) ?? snapshot(db).get(conflict.id) ?? keptApart(db, conflict.id)
      const removed =
        journalRemovals.get(`${p.client}${p.server}${conflict.id}`) ?? (users && conflict.base === null ? invent() : 'unknown')
      const remote: Value = cells(conflict.remote) ?? { removed }
      return { conflict, local, remote, base: conflict.base ? cells(conflict.base) : conflict.base }
    })
    return () => {
      for (const { conflict, local, remote, base } of plan) {
        reached.add(isGone(local) || isGone(remote) ? 'conflict with a removal' : base === undefined ? 'conflict without base' : 'conflict')
        if (conflict.children.length) reached.add('children in a conflict')
        trace(
          `    ask ${p.client} ${conflict.id} mine ${JSON.stringify(local)} remote ${JSON.stringify(remote)} base ${JSON.stringify(base)} ${conflict.properties}`,
        )
        if (faults && chance(odds.leave)) {
          reached.add('conflict left waiting')
          continue
        }
        resolved.set(conflict.id, { remote })
        if (schema.isWide && !faults && tries > 5 && !isGone(local) && !isGone(remote)) {
          conflict.takeRemote()
          continue
        }
        if (isGone(local) || isGone(remote)) {
          const takesRemote = chance(0.5)
          if (takesRemote) {
            conflict.takeRemote()
            resolved.set(conflict.id, { remote, removal: remote && isGone(remote) ? remote.removed : undefined })
          } else updates.push(isGone(local) ? { id: conflict.id, _removed: true } : { id: conflict.id })
          continue
        }
        const update: ConflictUpdate = { id: conflict.id }
        for (const property of conflict.properties) {
          if (!(PROPERTIES as readonly string[]).includes(property) && schema.isWide) {
            const sides = [conflict.local, conflict.remote].map(row => (row as Record<string, unknown>)[property] ?? null)
            const [s, t] = sides.map(side => JSON.stringify(side)) as [string, string]
            update[property] = isTwo ? sides[s < t ? 1 : 0] : pick(sides)
            continue
          }
          const prop = property as 'a'
          // what a database has no column for says nothing
          if (schema.gained && !(local[prop] && remote[prop])) {
            update[prop] = local[prop] ?? remote[prop]
            continue
          }
          // with two servers the answer has to be the same wherever it is given
          update[prop] = isTwo
            ? [local[prop], remote[prop]].sort()[1]
            : pick([local[prop], remote[prop], oracle.token('m', local[prop], remote[prop])])
        }
        updates.push(update)
      }
      return resolved
    }
  }

  /** A client, and what it syncs with a server at once. */
  interface Pair {
    readonly client: string
    readonly server: string
    readonly tables: readonly string[]
  }

  function pairsOf(): Pair[] {
    return links.flatMap(([client, server]) => {
      const tables = (world.get(client) as SimulatedDatabase).log.collections.map(c => c.name)
      return (byCollection ? tables.map(table => [table]) : [tables]).map(some => ({ client, server, tables: some }))
    })
  }

  // ------------------------------------------------------------ the history itself

  async function run(): Promise<Outcome> {
    for (const name of names) {
      const db = await database(name, schema, features.late.has(name), kind, [...servers].indexOf(name))
      world.set(name, db)
      db.empty(`c${++collections}`)
      db.run('UPDATE wall SET time = 0')
      db.run('DELETE FROM rule')
      db.run('INSERT INTO rule VALUES (?)', servers.has(name) ? 1 : 0)
      removals.set(name, new Map())
      db.policy = servers.has(name) ? users?.policy : undefined
      if (servers.has(name)) beginUsers(db)
      // some databases hold rows from before they were synced
      if (chance(0.3)) {
        if (schema.isWide) db.run('BEGIN')
        for (const id of IDS) if (chance(0.5)) writeRow(db, id)
        if (schema.isWide) db.run('COMMIT')
      }
    }
    for (const [client, server] of links) openServersOf(client, server)
    for (const db of world.values()) {
      db.onSave = () => save(db)
      save(db)
    }

    for (const name of servers) users?.watch.note(world.get(name) as SimulatedDatabase)
    const zombies: Process[] = []
    const backups = new Map<string, { dump: Dump; removals: Map<string, string> }>()
    const stop = (client: string) => {
      for (let k = zombies.length; k--; ) if (zombies[k]?.client === client) zombies.splice(k, 1)
      for (const [id, p] of processes) if (p.client === client) processes.delete(id)
    }
    function die(name: string): void {
      const db = world.get(name) as SimulatedDatabase
      stop(name)
      if (openTransactions.delete(name)) rollback(db)
      const last = saved.get(name)
      // a database in memory is what was saved of it last
      if (last) {
        db.restore(last.dump)
        removals.set(name, new Map(last.removals))
      }
      trace(`CRASH ${name}`)
    }
    const pairs = pairsOf()
    async function advance({ client, server, tables }: Pair): Promise<string | undefined> {
      const db = world.get(client) as SimulatedDatabase
      const id = `${client}→${server} ${tables}`
      let p = processes.get(id)
      if (!p) {
        const own = db.log.collections.filter(c => tables.includes(c.name))
        const remotes = own.map(
          c => db.run('SELECT id FROM sync_server WHERE collection = ? AND origin = ?', c.name, `http://${server}`)[0],
        )
        p = new Process(
          client,
          server,
          own,
          remotes.map(remote => Number(remote?.id)),
        )
        processes.set(id, p)
        if ([...processes.values()].some(q => q !== p && q.client === client && q.server === server && q.isAlive))
          reached.add('two collections at once')
      }
      const isFaulty = faults && chance(odds.fault)
      if (isFaulty) injectFault(db)
      await transaction(p)
      const struck = isFaulty && db.fault === undefined
      endFault(db)
      if (struck && chance(0.5)) {
        die(client)
        reached.add('death inside a step')
        return 'fault'
      }
      if (p.result === undefined) return
      processes.delete(id)
      if (p.result === 'other user') await meetOther(client, server)
      return p.result
    }

    /** What an application does when it hears that somebody else has signed in than the one whose rows are here. */
    async function meetOther(client: string, server: string): Promise<void> {
      reached.add('another user signs in')
      const known = knownPrincipal(client, server)
      const former = [...USERS, EVERYTHING].find(user => principalName(user) === known)
      if (!users || former === undefined) return
      if (chance(0.3)) {
        users.change(client, former)
        reached.add('back to the user before')
      } else await handOver(client, chance(0.7))
    }

    /** A device is emptied, or its rows become the new user's. */
    async function handOver(client: string, isWiped: boolean): Promise<void> {
      const db = world.get(client) as SimulatedDatabase
      if (openTransactions.has(client)) return
      if (chance(0.5)) stop(client)
      const kept = IDS.flatMap(id => cellsOf(keptApart(db, id)))
      const values = [...[...snapshot(db).values()].flatMap(cellsOf), ...kept]
      if (isWiped) {
        const contents = () => JSON.stringify([...db.dump()].filter(([table]) => table !== 'sync_clock'))
        const before = contents()
        const agrees = chance(0.8)
        let asked = 0
        const isDone = await wipe(db.dataSource, unpushed => {
          asked = unpushed
          return agrees
        })
        trace(`WIPE ${client} ${asked} ${isDone}`)
        reached.add(!asked ? 'wiped' : isDone ? 'wiped after asking' : 'not wiped after asking')
        if (isDone !== (agrees || !asked)) throw new Error(`${client} was ${isDone ? '' : 'not '}wiped, ${asked} rows were asked about.`)
        if (!isDone) {
          if (contents() !== before) throw new Error(`${client} was changed by a wipe that was not to be.`)
          return
        }
        const left = [...db.dump()].filter(([table, { rows }]) => rows.length && table !== 'sync_clock')
        if (left.length) throw new Error(`a wipe leaves on ${client} ${JSON.stringify(left)}`)
        if (asked) giveUp(values)
        removals.set(client, new Map())
      } else {
        // a row that was made anew meanwhile, and removed, is not missed
        const isLost = IDS.some(id => !isGone(keptApart(db, id)) && (snapshot(db).get(id) ?? null) === null)
        let asked = 0
        await adopt(db.dataSource, unpushed => {
          asked = unpushed
          return true
        })
        trace(`ADOPT ${client} ${asked}`)
        reached.add(asked ? 'adopted after asking' : 'adopted')
        if (isLost && !asked) throw new Error(`${client} was adopted, and what it kept apart was dropped without a word.`)
        // what the former user has removed is not removed for this one, nor changed what that one does not see
        giveUp(kept)
        // one name for all that went along: of one row it may be on a server, and not of another
        for (const [id, removal] of removalsOf(client)) giveUp([removal], [id])
      }
      // a sync that is under way finds that its server is not known any more
      for (const p of [...processes.values(), ...zombies]) if (p.client === client) p.isHandedOver = true
      forgetSeen(db)
      for (const [c, server] of links) if (c === client) openServersOf(client, server)
      save(db)
    }

    /** What is on no server is lost with the wish of a user. */
    function giveUp(values: readonly string[], ids: readonly string[] = IDS): void {
      const rows = [...servers].map(name => snapshot(world.get(name) as SimulatedDatabase))
      const there = rows.flatMap(of => ids.flatMap(id => cellsOf(of.get(id))))
      oracle.giveUp(values.filter(value => !there.some(each => oracle.isAfter(each, value))))
    }

    const isBound = (client: string) => links.every(([c, server]) => c !== client || knownPrincipal(client, server) !== undefined)

    /** Who has lost a list, and has not heard of it, removes a row of it. */
    const losing = new Random(Math.imul(seed, 0x2545f491))
    function removeLost(server: string, lost: { who: string; list: string } | undefined): void {
      for (const [client, from] of links) {
        if (!lost || from !== server || users?.userOf(client) !== lost.who || !losing.chance(features.losing)) continue
        const db = world.get(client) as SimulatedDatabase
        const tables = schema.tables.filter(t => choicesOf(t).some(({ column }) => column === 'list'))
        const rows = tables.flatMap(({ name }) => db.run(`SELECT id FROM ${name} WHERE list = ? ORDER BY id`, lost.list))
        if (!rows.length || openTransactions.has(client)) continue
        application.remove(db, String(losing.pick(rows).id))
        save(db)
        reached.add('removed what was lost')
      }
    }
    const lacking = [...features.late].filter(name => world.has(name))
    async function grow(name: string): Promise<void> {
      stop(name)
      const db = world.get(name) as SimulatedDatabase
      if (openTransactions.delete(name)) rollback(db)
      const grown = await db.grow(WALL)
      world.set(name, grown)
      forgetSeen(grown)
      // a backup of before is another matter
      backups.delete(name)
      grown.onSave = () => save(grown)
      save(grown)
      trace(`GROWN ${name}`)
      reached.add(servers.has(name) ? 'column gained by a server' : 'column gained')
    }
    const journalUse = {
      ...{ random, oracle, reached, trace, snapshot, removalsOf, keptApart, giveUp },
      lookAt: (db: SimulatedDatabase) => links.filter(([client]) => client === db.name).map(([, server]) => lookAt(db, server)),
      waitingRemovals: (db: SimulatedDatabase, id: string) =>
        links.flatMap(([client, server]) => (client === db.name ? (journalRemovals.get(client + server + id) ?? []) : [])),
    }

    for (let i = 0; i < steps; i++) {
      if (lacking.length && chance(0.015)) {
        await grow(lacking.splice(Math.floor(random.next() * lacking.length), 1)[0] as string)
      } else if (users && chance(users.odds.grant)) {
        const db = world.get(pick([...servers])) as SimulatedDatabase
        if (!users.areSynced) removeLost(db.name, users.grant(db))
        else if (!clients.has(db.name)) writeMember(db)
      } else if (users && chance(users.odds.forget)) {
        users.forget(world.get(pick([...servers])) as SimulatedDatabase)
      } else if (users && chance(users.odds.change)) {
        const client = pick([...clients].filter(name => !servers.has(name)))
        if (isBound(client)) users.change(client)
      } else if (users && chance(users.odds.wipe)) {
        await handOver(pick([...clients].filter(name => !servers.has(name))), true)
      } else if (features.journal && chance(features.journal)) {
        const db = world.get(pick([...clients])) as SimulatedDatabase
        if (openTransactions.has(db.name)) continue
        await callJournal(db, journalUse)
        save(db)
      } else if (chance(odds.write)) {
        const name = pick(names)
        if (!servers.has(name) || chance(odds.hostWrite * 10)) write(world.get(name) as SimulatedDatabase)
      } else if (openTransactions.size && chance(0.3)) {
        const name = pick([...openTransactions])
        openTransactions.delete(name)
        rollback(world.get(name) as SimulatedDatabase)
        reached.add('transaction open over a step')
      } else if (zombies.length && chance(0.1)) {
        const zombie = pick(zombies)
        await transaction(zombie)
        if (zombie.result !== undefined) zombies.splice(zombies.indexOf(zombie), 1)
      } else if (chance(odds.zombie)) {
        const [id, p] = pick([...processes]) ?? []
        if (id !== undefined && p) {
          zombies.push(p)
          processes.delete(id)
          reached.add('two syncs at once')
        }
      } else if (chance(odds.crash)) {
        die(pick([...clients]))
        reached.add('crash')
      } else if (chance(odds.collect)) {
        const db = world.get(pick(names)) as SimulatedDatabase
        if (openTransactions.has(db.name)) continue
        const now = Number(db.run('SELECT "now" FROM sync_clock')[0]?.now)
        const horizon = Math.floor(now * (0.5 + random.next() / 2))
        const before = new Set(db.run('SELECT id FROM sync_tombstone').map(r => String(r.id)))
        await collectTombstones(db.dataSource, { olderThan: Date.now() + 3 - horizon })
        for (const r of db.run('SELECT id FROM sync_tombstone')) before.delete(String(r.id))
        trace(`COLLECT ${db.name} ${horizon}: ${[...before]}`)
        reached.add('collected')
        if ([...processes.values()].some(p => p.server === db.name && p.readsFull)) reached.add('collected during a full answer')
      } else if (late.length && chance(0.1)) {
        await serve(late.splice(Math.floor(random.next() * late.length), 1)[0] as Request)
      } else if (chance(odds.wall)) {
        const db = world.get(pick(names)) as SimulatedDatabase
        if (openTransactions.has(db.name)) continue
        const now = Number(db.run('SELECT "now" FROM sync_clock')[0]?.now)
        db.run('UPDATE wall SET time = ?', chance(0.5) ? now + Math.floor(random.next() * 1000) : Math.floor(now / 2))
        reached.add('clock set')
      } else if (chance(odds.schema)) {
        const db = world.get(pick(names)) as SimulatedDatabase
        if (openTransactions.has(db.name)) continue
        await db.changeSchema()
        reached.add('schema changed')
        save(db)
      } else if (chance(odds.wipe)) {
        const name = pick([...servers].filter(n => !clients.has(n)))
        if (serving.get(name)) continue
        const db = world.get(name) as SimulatedDatabase
        const backup = backups.get(name)
        if (backup && chance(0.5)) {
          db.restore(backup.dump)
          removals.set(name, new Map(backup.removals))
        } else {
          db.empty('')
          removals.set(name, new Map())
        }
        db.run('UPDATE sync_clock SET collection = ?', `c${++collections}`)
        oracle.isWhole = false
        reached.add('server reset')
        trace(`RESET ${name}`)
      } else if (chance(odds.rollback)) {
        const name = pick(names.filter(n => !servers.has(n)))
        const db = world.get(name) as SimulatedDatabase
        if (openTransactions.has(name)) continue
        const backup = backups.get(name)
        if (backup && chance(0.5)) {
          stop(name)
          db.restore(backup.dump)
          removals.set(name, new Map(backup.removals))
          save(db)
          oracle.isWhole = false
          reached.add('device rolled back')
          trace(`ROLLBACK ${name}`)
        } else backups.set(name, { dump: db.dump(), removals: new Map(removalsOf(name)) })
      } else await advance(pick(pairs))
      if (chance(0.002)) {
        const name = pick([...servers])
        backups.set(name, { dump: (world.get(name) as SimulatedDatabase).dump(), removals: new Map(removalsOf(name)) })
      }
    }

    // quiet: no more faults, the application mends what was rejected
    faults = false
    for (const name of openTransactions) rollback(world.get(name) as SimulatedDatabase)
    openTransactions.clear()
    for (const db of world.values()) db.fault = undefined
    for (const name of lacking.splice(0)) await grow(name)
    const all = [...world.values()]
    const isEqual = () => (users ? !users.differences().length : new Set(all.map(rowsOf)).size === 1)
    const finish = async (pair: Pair) => {
      let result: string | undefined
      for (let guard = 0; result === undefined && guard < 5_000; guard++) result = await advance(pair)
      return result ?? 'never ends'
    }
    const problems: string[] = []
    if (features.rest) problems.push(...(await rest(finish)))
    let results: string[] = []
    let wasQuiet = false
    let rounds = 0
    // what nobody was allowed to push is pushed when everybody may
    let isGenerous = users !== undefined && !users.areSynced && chance(0.4)
    for (; rounds < 30; rounds++) {
      for (const name of clients) mend(world.get(name) as SimulatedDatabase)
      tries = rounds
      results = []
      const rowsBefore = users && all.map(rowsOf).join()
      pushedRows = 0
      // what one server has is pushed to the other in the same round, as syncAll does
      for (const client of clients)
        for (const pair of isTwo ? [...pairs, ...pairs] : pairs) if (pair.client === client) results.push(await finish(pair))
      const isQuiet = (users ? rowsBefore === all.map(rowsOf).join() : pushedRows === 0) && isEqual() && results.every(r => r === 'ok')
      // at rest: nothing is pushed again. A parent that its child's sync brought back is done with when its own collection has been synced once more.
      if (isQuiet && wasQuiet && !isGenerous) break
      // the first one may only have ended what was under way
      wasQuiet = isQuiet && rounds > 0
      if (!isQuiet || !isGenerous) continue
      isGenerous = false
      // the next answers say that the sets are others, even where that brings no row
      wasQuiet = false
      for (const name of servers) users?.grantAll(world.get(name) as SimulatedDatabase)
    }
    if (users) return { problems: [...problems, ...(await lookAtUsers(finish, results))], reached, rounds }
    problems.push(...lookAtLinks())
    if (!isEqual()) problems.push(`diverged: ${all.map(db => db.name + rowsOf(db)).join(' ')}`)
    if (results.some(r => r !== 'ok')) problems.push(`ends with ${results}`)
    if (pushedRows) problems.push(`after ${rounds} rounds ${pushedRows} rows are pushed again`)
    for (const name of clients) {
      const db = world.get(name) as SimulatedDatabase
      if (db.run('SELECT 1 FROM sync_unapplied').length) problems.push(`a conflict is left on ${name}`)
      for (const table of ['sync_rejection', 'sync_seen'])
        if (db.run(`SELECT 1 FROM ${table}`).length) problems.push(`${table} is left on ${name}`)
      for (const table of db.tables)
        if (db.run(`SELECT 1 FROM sync_base_${table}`).length)
          problems.push(`images are left on ${name}: ${JSON.stringify(db.run(`SELECT * FROM sync_base_${table}`))}`)
    }
    if (!problems.length) problems.push(...oracle.missing(id => all.map(db => snapshot(db).get(id) ?? null), names))
    return { problems, reached, rounds }
  }

  function openServersOf(client: string, server: string): void {
    const db = world.get(client) as SimulatedDatabase
    for (const collection of db.log.collections)
      db.look(openServers(db.log.database, [{ collection, url: `http://${server}${pathOf(collection)}` }], `http://${server}`))
  }

  /** In the beginning the host has rows, lists and members. */
  function beginUsers(db: SimulatedDatabase): void {
    users?.begin(db)
    if (!users?.areSynced || clients.has(db.name)) return
    db.run('BEGIN')
    for (const spec of schema.tables) if (spec.name !== 'part') for (const id of spec.ids) if (chance(0.7)) writeRow(db, id)
    db.run('COMMIT')
  }

  /** The host grants, revokes, or changes a right, which is a row like any other. */
  function writeMember(db: SimulatedDatabase): void {
    const id = pick(IDS.filter(each => db.tableOf(each) === 'member'))
    const before = snapshot(db).get(id)
    db.run('BEGIN')
    writeRow(db, id)
    db.run('COMMIT')
    const after = snapshot(db).get(id)
    reached.add(isGone(after) ? 'revoked' : isGone(before) ? 'granted' : 'right changed')
  }

  /** Each device has what its user may see, nothing of what was to leave it, and nobody has anything to say any more. */
  async function lookAtUsers(finish: (pair: Pair) => Promise<string>, results: readonly string[]): Promise<string[]> {
    if (!users) return []
    const all = [...world.values()]
    const problems = users.differences()
    if (results.some(r => r !== 'ok')) problems.push(`ends with ${results}`)
    const clocks = () => all.map(db => `${db.name} ${db.run('SELECT "now" FROM sync_clock')[0]?.now}`).join()
    const before = clocks()
    pushedRows = 0
    news = 0
    for (const pair of pairsOf()) await finish(pair)
    const isTriedAgain = all.some(db => db.run('SELECT 1 FROM sync_rejection WHERE again = 1').length)
    if (!isTriedAgain) {
      if (pushedRows) problems.push(`at rest ${pushedRows} rows are pushed again`)
      if (clocks() !== before) problems.push(`at rest a clock moves: ${before} → ${clocks()}`)
    } else reached.add('at rest something is pushed with every sync')
    if (news && !isTriedAgain) problems.push(`at rest ${news} polls are answered with more than 304`)
    for (const db of all) if (db.run('SELECT 1 FROM sync_seen').length) problems.push(`sync_seen is left on ${db.name}`)
    problems.push(...users.watch.wrong, ...users.inVain())
    const finals = (id: string) =>
      all.map(db => snapshot(db).get(id) ?? null).filter((value, i) => isGone(value) || servers.has((all[i] as SimulatedDatabase).name))
    // what was not pushed for a reason; `differences` has looked whether there is one for what waits
    const isHeld = (db: SimulatedDatabase, id: string) =>
      ['sync_rejection', 'sync_no_access', 'sync_unapplied'].some(table => db.run(`SELECT 1 FROM ${table} WHERE id = ?`, id).length)
    const apart = (id: string) => all.flatMap(db => [keptApart(db, id), isHeld(db, id) ? (snapshot(db).get(id) ?? null) : null])
    if (!problems.length) problems.push(...oracle.missing(finals, names, apart, servers.size > 1))
    if (problems.length)
      for (const db of all)
        for (const [table, { columns, rows }] of db.dump())
          for (const row of rows) trace(`END ${db.name} ${table} ${columns.map((column, i) => `${column} ${row[i]}`).join(', ')}`)
    return problems
  }

  let asks = true
  /** The database may reject a mixture of both sides, again and again; then the server's is applied. */
  let tries = 0

  /** Without anybody who decides, and with nothing mended: what still differs between two databases stands in a journal. */
  async function rest(finish: (pair: Pair) => Promise<string>): Promise<string[]> {
    asks = false
    let isStill = false
    const pairs = pairsOf()
    const problems: string[] = []
    for (let round = 0; round < 12 && !isStill; round++) {
      const before = [...world.values()].map(rowsOf)
      const was = pushedRows
      for (const client of clients) for (const pair of isTwo ? [...pairs, ...pairs] : pairs) if (pair.client === client) await finish(pair)
      // what is rejected for other rows' sake is pushed again by every sync; the first syncs may have begun before the last edit, and push the next time
      isStill = round > 0 && [...world.values()].every((db, i) => rowsOf(db) === before[i]) && (pushedRows === was || round > 8)
    }
    if (!isStill) problems.push('never comes to rest while nobody decides')
    for (const [client, server] of links) {
      const [local, remote] = [world.get(client), world.get(server)] as [SimulatedDatabase, SimulatedDatabase]
      for (const spec of schema.tables) {
        const [own, other] = [local, remote].map(
          db => new Map(db.run(`SELECT * FROM ${spec.name}`).map(row => [String(row.id), describe(row)])),
        )
        const noted = new Set(
          local
            .run(
              `SELECT n.id FROM (SELECT server, id FROM sync_unapplied UNION SELECT server, id FROM sync_rejection) n JOIN sync_server r ON r.id = n.server
                WHERE r.origin = ? AND r.collection = ?`,
              ...[`http://${server}`, spec.name],
            )
            .map(row => String(row.id)),
        )
        if (noted.size) reached.add('at rest with something in the journal')
        if (features.again && keysOf(spec).length) problems.push(...inVain(local, remote, spec))
        for (const id of spec.ids)
          if (own?.get(id) !== other?.get(id) && !noted.has(id))
            problems.push(`at rest ${id} is ${own?.get(id)} on ${client}, ${other?.get(id)} on ${server}, and stands in no journal`)
      }
    }
    asks = true
    return problems
  }

  /** Rows that wait, or were rejected, for a unique value that no row has any more. */
  function inVain(local: SimulatedDatabase, remote: SimulatedDatabase, spec: TableSpec): string[] {
    const rowsIn = (db: SimulatedDatabase) => db.run(`SELECT * FROM ${spec.name}`)
    const of = `JOIN sync_server r ON r.id = n.server WHERE r.origin = ? AND r.collection = ? AND`
    const link = [`http://${remote.name}`, spec.name]
    type Row = Readonly<Record<string, unknown>>
    // an unapplied row may be put together of both sides
    const isHeld = (row: Row, rows: readonly Row[]) => {
      const own = rows.find(r => r.id === row.id)
      return keysOf(spec).some(columns =>
        rows.some(r => r !== own && columns.every(c => (r[c] ?? null) !== null && (r[c] === row[c] || r[c] === own?.[c]))),
      )
    }
    const unapplied = local.run(
      `SELECT n.id, n.remote FROM sync_unapplied n ${of} n.reason = 'not-unique' AND n.remote IS NOT NULL`,
      ...link,
    )
    const rejected = new Set(local.run(`SELECT n.id FROM sync_rejection n ${of} n.code = 'not-unique'`, ...link).map(row => row.id))
    const names = `on ${local.name} for a value of ${remote.name}'s that nobody has`
    return [
      ...unapplied
        .map(row => ({ ...JSON.parse(String(row.remote)), id: row.id }))
        .filter(row => !isHeld(row, rowsIn(local)))
        .map(({ id }) => `at rest ${id} waits ${names}`),
      ...rowsIn(local)
        .filter(row => rejected.has(row.id) && !isHeld(row, rowsIn(remote)))
        .map(({ id }) => `at rest ${id} is refused ${names}`),
    ]
  }

  const describe = (row: Readonly<Record<string, unknown>>) =>
    JSON.stringify(
      Object.entries(row)
        .filter(([name]) => !/^_lastChange$|^num$|Num$/.test(name) || name.startsWith('_sync_'))
        .sort(),
    )
  const columnsOf = new Map(schema.tables.map(t => [t.name, ['id', ...PROPERTIES, ...t.extras.map(e => `"${e.column}"`)].join(', ')]))
  /** All that an application sees. */
  const rowsOf = (db: SimulatedDatabase) =>
    JSON.stringify([...db.tables.map(t => db.run(`SELECT ${columnsOf.get(t)} FROM ${t} ORDER BY id`)), ...linksIn(db)])

  // a unique value that two rows want goes to one of them
  function mendUnique(db: SimulatedDatabase): void {
    const rejected = db.run("SELECT id FROM sync_rejection WHERE code = 'not-unique'").map(row => String(row.id))
    const holders = db.run("SELECT id, remote FROM sync_unapplied WHERE reason = 'not-unique' AND remote IS NOT NULL").flatMap(row => {
      const remote = JSON.parse(String(row.remote)) as Record<string, unknown>
      const spec = db.specOf(String(row.id))
      const those = keysOf(spec).flatMap(columns => {
        if (columns.some(c => remote[c] === null || remote[c] === undefined)) return []
        const where = columns.map(c => `"${c}" = ?`).join(' AND ')
        return db
          .run(`SELECT id FROM ${spec.name} WHERE ${where} AND id <> ?`, ...columns.map(c => remote[c]), row.id)
          .map(r => String(r.id))
      })
      // neither side's row has it, but what comes of both
      return those.length ? those : [String(row.id)]
    })
    const ids = new Set([...rejected, ...holders])
    if (!ids.size) return
    db.run('BEGIN')
    for (const id of ids) if (!isGone(snapshot(db).get(id))) application.free(db, id)
    db.run('COMMIT')
    save(db)
  }

  // what a server rejected, the application writes anew
  function mend(db: SimulatedDatabase): void {
    if (schema.isWide) mendUnique(db)
    for (const [id, value] of snapshot(db)) {
      if (isGone(value) || !value || !String((value as Cells).c).endsWith('!')) continue
      const old = value as Cells
      const mended = { ...old, c: oracle.token('fix', old.c) }
      db.run(`UPDATE ${db.tableOf(id)} SET c = ? WHERE id = ?`, mended.c, id)
      observeApplication(db, id, old, mended)
      save(db)
    }
  }

  // something goes wrong with one of the next statements: the disk is full, or busy
  function injectFault(db: SimulatedDatabase): void {
    let countdown = Math.floor(random.next() * 12)
    const isBusy = chance(0.3)
    const { other } = db
    const breaks = other !== undefined && chance(0.3)
    const losesCommit = other !== undefined && !breaks && chance(0.3)
    db.onError = () => {}
    db.fault = sql => {
      if (losesCommit ? sql !== 'COMMIT' : /^(ROLLBACK|RELEASE)/.test(sql) || countdown-- !== 0) return
      db.fault = undefined
      if (losesCommit || breaks) {
        reached.add(breaks ? 'connection broken' : 'commit without answer')
        trace(`  ${breaks ? 'connections of' : 'the answer to a commit on'} ${db.name} are lost: ${sql.slice(0, 40)}`)
        if (breaks) other.breakConnections()
        else other.losesCommit = true
        return
      }
      reached.add(isBusy ? 'database busy' : 'statement failed')
      // what PostgreSQL and MariaDB call it
      const codes = isBusy ? { code: '55P03', errno: 1205 } : { code: '53100', errno: 1021 }
      if (other) throw Object.assign(new InjectedFault(isBusy ? 'busy' : 'full'), codes)
      throw new InjectedFault(isBusy ? 'database is locked' : `SQLITE_FULL: ${sql.slice(0, 20)}`)
    }
  }

  function endFault(db: SimulatedDatabase): void {
    db.fault = undefined
    db.onError = error => console.error(error)
  }

  // time is what the history makes of it
  const realNow = Date.now
  let time = 1_000_000
  Date.now = () => (time += 3)
  try {
    return await run()
  } finally {
    Date.now = realNow
    for (const db of world.values()) {
      db.fault = undefined
      db.onSave = () => {}
      db.onLock = () => {}
      if (db.other || openTransactions.has(db.name)) db.run('ROLLBACK')
    }
    openTransactions.clear()
    if (schema.gained) for (const db of world.values()) await db.close()
  }
}
