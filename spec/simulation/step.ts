// Lets a sync go on by one step, and looks at what that did to its database: each change has a cause, and the oracle says whether it loses anything.

import { beside } from './beside.js'
import type { SimulatedDatabase } from './databases.js'
import type { Resolved } from './deciding.js'
import type { KnownRow } from './journalCalls.js'
import { knownRows } from './known.js'
import { isGone, isSame, type Value } from './oracle.js'
import type { Process } from './process.js'
import { countedIn, goneAbove, isConnected, lookAtTree, noteCircles, parentsIn, relatedTo } from './relatives.js'
import type { World } from './world.js'

/** What stands in a database, and what it knows of its server, before a step. */
interface Before {
  readonly db: SimulatedDatabase
  /** As it is when the step has its turn. */
  values: Map<string, Value>
  writes: number
  counted: Map<string, number>
  /** The newest decision that is in the journal. */
  decision: number
  /** Of wide tables. */
  readonly parents: ReadonlyMap<string, readonly string[]> | undefined
  readonly known: ReadonlyMap<string, KnownRow>
  readonly states: ReadonlyMap<string, State>
  /** What is kept apart of rows that are not to be seen any more. */
  readonly apart: ReadonlyMap<string, Value> | undefined
  /** Up to where the server has answered pushes. */
  readonly pushed: string
  readonly resolved: Resolved | undefined
}

/** Of a row: whether both sides know a version, and the server's where it waits in the journal. */
interface State {
  readonly base: 'gone' | 'row' | undefined
  readonly remote: Value | undefined
}

/** What a step has made of it. */
interface After {
  readonly values: Map<string, Value>
  readonly changed: readonly string[]
  readonly gone: readonly string[]
  /** What is not to be seen any more leaves no tombstone. */
  readonly purged: readonly string[]
  readonly stillWaiting: ReadonlySet<string>
  /** Decisions that it has stored. */
  readonly applied: Resolved
}

export async function step(w: World, p: Process): Promise<void> {
  const parked = p.next()
  noteCircles(w)
  if (parked && parked.kind !== 'transaction') {
    await p.go(parked) // what comes back from a server or a handler is stored by a step of its own
    lookAtTree(w, w.at(p.server), { from: w.at(p.client) })
    return tellEnd(w, p)
  }
  const before = lookBefore(w, p)
  const { db } = before
  const look = () => {
    noteCircles(w)
    before.values = w.snapshot(db)
    before.writes = db.writes
    if (w.isCounted) before.counted = countedIn(w, db)
    before.decision = newestDecision(db)
  }
  await beside(w, db, 'transaction beside a step', look, () => p.go(parked))
  if (db.writes === before.writes) return tellEnd(w, p)
  lookAtNumbers(w, before)
  if (w.servers.has(db.name)) w.users?.watch.note(db) // a relay
  noteRemovals(w, p)
  const after = lookAfter(w, p, before)
  if (w.schema.isWide) lookAtWaiting(w, db)
  // half an answer may close a circle that the other half opens
  if (!db.run('SELECT pulling FROM sync_server').some(({ pulling }) => Number(pulling))) lookAtTree(w, db, { decided: after.applied })
  if (w.users) lookAtUnseen(w, before, after)
  for (const id of w.ids)
    if (after.purged.includes(id)) observePurge(w, id, before, after)
    else observe(w, p, id, before, after)
  noteAcknowledged(w, p, before)
  // saved by the sync itself, before it was looked at here
  const disk = w.saved.get(db.name)
  if (disk?.writes === db.writes) disk.removals = new Map(w.removalsOf(db.name))
  tellEnd(w, p)
}

function tellEnd(w: World, p: Process): void {
  if (w.violation) throw w.violation
  if (p.result === undefined) return
  w.trace(`  ${p.client}→${p.server} ${p.collections.map(c => c.name)}: ${p.result} ${p.error ?? ''}`)
  if (p.result === 'error') throw p.error
}

// ------------------------------------------------------------ before and after

function lookBefore(w: World, p: Process): Before {
  const db = w.at(p.client)
  const counted = w.isCounted ? countedIn(w, db) : new Map<string, number>()
  const parents = w.schema.isWide ? parentsIn(w, db) : undefined
  const known = w.remembered(db, p.server, () => knownRows(w, db, p.server))
  const stateOf = (id: string, { base, unapplied }: KnownRow): State => {
    const removed = { removed: w.journalRemovals.get(`${p.client}${p.server}${id}`) ?? 'unknown' }
    return { base: base && base !== 'gone' ? 'row' : base, remote: unapplied === undefined ? undefined : (unapplied ?? removed) }
  }
  return {
    ...{ db, values: new Map(), writes: 0, counted, decision: newestDecision(db), parents, known },
    states: new Map([...known].map(([id, row]) => [id, stateOf(id, row)])),
    pushed: pushedPlaces(db, p),
    resolved: p.resolved,
    apart: w.users && new Map(w.ids.map(id => [id, w.keptApart(db, id)])),
  }
}

const pushedPlaces = (db: SimulatedDatabase, p: Process) =>
  JSON.stringify(db.run(`SELECT pushed_stamp, pushed_id FROM sync_server WHERE id IN (${p.remoteIds.join()}) ORDER BY id`))

const newestDecision = (db: SimulatedDatabase) => Number(db.run('SELECT max(id) AS id FROM sync_resolution')[0]?.id ?? 0)

/** A row that one decision took along, with what was not pushed of it, and that another one brought back, is counted anew. */
function lookAtNumbers(w: World, { db, counted, decision }: Before): void {
  if (!w.isCounted) return
  const taken = db.run('SELECT row_id FROM sync_resolution WHERE id > ? AND decision IS NULL', decision)
  const isTaken = new Set(taken.map(row => row.row_id))
  for (const [id, number] of countedIn(w, db))
    if ((counted.get(id) ?? number) !== number && !isTaken.has(id))
      throw new Error(`${db.name} counts ${id} anew: ${counted.get(id)} → ${number}`)
}

/** Removals that a page brought, and that wait now. */
function noteRemovals({ journalRemovals }: World, p: Process): void {
  for (const [id, value] of p.page) if (value && isGone(value)) journalRemovals.set(`${p.client}${p.server}${id}`, value.removed)
  for (const [id, token] of p.sweepToken) if (!p.page.has(id)) journalRemovals.set(`${p.client}${p.server}${id}`, token)
}

function lookAfter(w: World, p: Process, { db, values: before, resolved }: Before): After {
  const values = w.snapshot(db)
  const changed = w.changesOf(before, values)
  const waiting = 'SELECT c.id FROM sync_unapplied c JOIN sync_server r ON r.id = c.server WHERE r.origin = ?'
  const stillWaiting = new Set(db.run(waiting, `http://${p.server}`).map(r => String(r.id)))
  const applied = new Map([...(resolved ?? [])].filter(([id]) => !stillWaiting.has(id)))
  if (resolved && (applied.size || p.kind !== 'transaction')) p.resolved = undefined // a step that found the database busy comes again
  const gone = changed.filter(id => isGone(values.get(id)))
  return { values, changed, gone, purged: w.users ? gone.filter(id => !values.has(id)) : [], stillWaiting, applied }
}

/** What the server has answered to is pushed. */
function noteAcknowledged(w: World, p: Process, { db, pushed, states, values }: Before): void {
  if (pushedPlaces(db, p) === pushed) return
  p.page = new Map()
  for (const [id, { base }] of states) {
    const v = values.get(id)
    if (base === 'gone' && v && isGone(v)) w.oracle.neverTold.add(v.removed)
  }
}

function lookAtWaiting(w: World, db: SimulatedDatabase): void {
  for (const { reason } of db.run('SELECT reason FROM sync_unapplied')) {
    if (reason === 'not-unique') w.reached.add('not-unique waited')
    if (reason === 'parent-missing' && w.schema.isMutual) w.reached.add('mutual references waited')
  }
}

// ------------------------------------------------------------ what happened to a row

function observe(w: World, p: Process, id: string, before: Before, after: After): void {
  const { db, parents, apart } = before
  const { oracle } = w
  const old = before.values.get(id) ?? null
  let value: Value = after.values.get(id) ?? null
  const state = before.states.get(id)
  const remote =
    p.page.get(id) ?? (isGone(value) && p.sweepToken.has(id) ? { removed: p.sweepToken.get(id) as string } : undefined) ?? state?.remote
  const decision = after.applied.get(id)
  const isChanged = after.changed.includes(id)
  const above = goneParent(id, before, after)
  const byParent = isChanged && isGone(value) && above !== undefined && !(remote && isGone(remote))
  if (value && isGone(value) && (isChanged || value.removed === 'unknown')) {
    const heard = remote && isGone(remote) ? remote.removed : undefined
    const token =
      decision?.removal ??
      heard ??
      (byParent ? removalOf(w, p, above, before, after) : undefined) ??
      (isChanged ? undefined : oracle.lastRemoval.get(p.client + id)) ??
      oracle.token('n')
    w.removalsOf(p.client).set(id, token)
    value = { removed: token }
  }
  if (value && isGone(value) && old && isGone(old) && remote && isGone(remote)) {
    oracle.inherit(value.removed, remote.removed)
    oracle.inherit(remote.removed, value.removed)
  }
  const { applied } = after
  const isResolved =
    decision !== undefined ||
    (isChanged && applied.size > 0 && (parents ? isConnected(id, applied, parents, parentsIn(w, db)) : relatedTo(id, applied)))
  if (!isChanged && !decision && !p.page.has(id)) return
  // a removal drops what its server had no column for, where nothing was changed since
  if (remote && isGone(remote)) for (const token of before.known.get(id)?.ignored ?? []) oracle.inherit(remote.removed, token)
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

/** A row that is gone, and by whose removal this one may have gone along. */
function goneParent(id: string, { db, parents }: Before, { gone }: After): string | undefined {
  if (parents) return goneAbove(id, gone, parents)
  return id !== 'x' && gone.includes('x') && db.tableOf(id) === 'part' ? 'x' : undefined
}

/** What the removal of a row is called by which others went along; whichever of them is looked at first. */
function removalOf(w: World, p: Process, id: string, { states }: Before, { applied }: After): string | undefined {
  if (!w.schema.isWide) return w.removalsOf(p.client).get(id)
  const remote = p.page.get(id) ?? states.get(id)?.remote
  return applied.get(id)?.removal ?? (remote && isGone(remote) ? remote.removed : undefined) ?? p.sweepToken.get(id)
}

/** A row has left, because it is not to be seen any more: nothing of it stays. */
function observePurge(w: World, id: string, { db, values, resolved }: Before, after: After): void {
  w.reached.add('purged')
  // what was decided of a row that waits for another one can be read
  const isDecided = resolved?.has(id) || after.stillWaiting.has(id)
  const waits = `SELECT 1 FROM sync_unapplied u WHERE u.server = _sync_server AND u.id = _sync_id`
  const bases = `sync_base_${db.tableOf(id)} WHERE (_sync_server <> 0 OR a IS NOT NULL) AND NOT EXISTS (${waits}) AND`
  const traces = [bases, 'sync_resolution WHERE']
  for (const table of isDecided ? traces.slice(0, 1) : traces)
    if (db.run(`SELECT 1 FROM ${table} ${/base/.test(table) ? '_sync_id' : 'row_id'} = ?`, id).length)
      throw new Error(`${db.name} keeps ${id}, which left, in ${table}`)
  w.oracle.observe({ database: db.name, id, old: values.get(id) ?? null, value: after.values.get(id) ?? null, cause: 'purge' })
}

// ------------------------------------------------------------ what is not to be seen any more

/** Of users who see a part of the rows. */
function lookAtUnseen(w: World, before: Before, after: After): void {
  const { db, states } = before
  for (const [id, old] of before.values)
    if (isGone(old) && old && !after.values.has(id) && states.get(id)?.base === 'gone') w.oracle.neverTold.add(old.removed) // made and removed here
  const isTheirs = (id: string) => {
    const { base, remote } = states.get(id) ?? {}
    return base !== 'gone' || Boolean(remote && !isGone(remote)) || after.stillWaiting.has(id)
  }
  for (const [id, kept] of before.apart ?? []) if (!kept && w.keptApart(db, id)) lookAtLeft(db, id, after.values.has(id), isTheirs(id))
  lookAtApart(w, before, after)
}

/** What leaves is kept apart alone, and nothing leaves that was made here and is not the server's. */
function lookAtLeft(db: SimulatedDatabase, id: string, isHere: boolean, isTheirs: boolean): void {
  if (isHere) throw new Error(`${db.name} keeps ${id} apart, and its row or tombstone stays`)
  if (!isTheirs) throw new Error(`${db.name} keeps ${id} apart, which was made there and is not the server's`)
}

/** A decision about a row that cannot be stored yet stands where the row is kept apart. */
function lookAtApart(w: World, { db, values: before, apart, resolved }: Before, { values: after }: After): void {
  const { reached, oracle } = w
  for (const [id, kept] of apart ?? []) {
    const value = w.keptApart(db, id)
    if (value && !kept) reached.add('kept apart')
    if (!value && kept) reached.add('kept apart and back')
    const decision = resolved?.get(id)
    const old = before.get(id) ?? kept
    if (!decision || after.has(id) || !old || (value && isSame(kept, value))) continue
    reached.add('decided for later')
    if (isGone(decision.remote) && decision.remote && w.invented.has(decision.remote.removed)) oracle.neverTold.add(decision.remote.removed)
    // of a decision for the server's side nothing of ours is kept
    oracle.observe({ database: db.name, id, old, value: value ?? decision.remote, cause: 'handler', remote: decision.remote })
  }
}
