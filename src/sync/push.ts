// Tells the server what changed here, in batches: each is a push of its own, written down before it is sent (law 5).

import type { Collection } from '../changes/collection.js'
import { first, imagesOf, query, quote, type Step } from '../changes/database/database.js'
import {
  baseOf,
  dropTentativeImages,
  forgetRejections,
  forgetStored,
  isAgreed,
  isHeld,
  type OpenPush,
  pruneImages,
  type Remote,
  type RowState,
  readStates,
  writeRemote,
} from '../changes/remotes.js'
import { LAST, type Place, readChanges } from '../changes/rows.js'
import { storeVersions } from '../changes/store.js'
import { dateToNumber } from '../changes/values.js'
import { RequestTimeoutError, ServerError, TooLargeError, TransportError } from '../errors.js'
import { type PushAnswer, type PushedRow, type Refusal, type WireRow, writePushedRow } from '../protocol/messages.js'
import { type Exchange, readRowStates } from './exchange.js'
import { isSameRow } from './merge.js'
import { readKnown, type Session, step } from './session.js'
import { readWaiting } from './waiting.js'

/** `again`: the server has to be read first; `more`: another batch waits. */
export type PushOutcome = 'done' | 'more' | 'again'

interface Prepared {
  readonly push: OpenPush
  readonly more: boolean
  readonly body: readonly PushedRow[]
  /** The stamps of the versions that it tells. */
  readonly told: ReadonlyMap<string, number>
  readonly remote: Remote
  /** How far the collections were read that its removals may reach, by their paths. */
  readonly seen: ReadonlyMap<string, number>
}

export async function push(session: Session): Promise<PushOutcome> {
  const prepared = await step(session, exchange => preparePush(session, exchange))
  if (typeof prepared === 'string') return prepared
  // a database that is saved as a whole must not forget a push that the server knows
  await session.log.database.save()
  return await sendPush(session, prepared)
}

// ---------------------------------------------------------------- what is told

/**
 * Writes down the next push and reads it in the same step, so that it tells what stood at its limit. From now on what stood there is kept
 * until the answer is here: it is what both know if the push turns out to have arrived.
 */
function* preparePush({ batchSize }: Session, exchange: Exchange): Step<Prepared | PushOutcome> {
  const { log, collection, remote } = exchange
  if (remote.push) return 'again' // another sync of this database was faster
  yield* holdParents(exchange)
  const size = Math.max(1, Math.min(batchSize, remote.batch ?? batchSize))
  const news = yield* readNews(exchange, size + 1)
  yield* noteUntold(exchange)
  const { now } = yield* log.database.clock()
  const more = news.length > size
  const batch = news.slice(0, size)
  const last = batch.at(-1)
  const limit: Place = more && last ? { stamp: last.version.stamp, id: last.id } : { stamp: now, id: LAST }
  const body: PushedRow[] = []
  for (const state of batch) {
    const row = describePush(collection, remote, state)
    if (row) body.push(row)
  }
  // nothing to tell is told at once
  if (!body.length) {
    yield* acknowledge(exchange, limit, undefined, more)
    return more ? 'more' : 'done'
  }
  remote.push = { key: globalThis.crypto.randomUUID(), limit, since: remote.serverDate }
  yield* writeRemote(remote)
  return { push: remote.push, more, body, told: new Map(batch.map(s => [s.id, s.version.stamp])), remote, seen: seenBy(exchange, body) }
}

/** The news up to a number of rows, in the order of changes; what waits or was refused is not told. */
function* readNews(exchange: Exchange, limit: number): Step<RowState[]> {
  const { log, collection, remote } = exchange
  const news: RowState[] = []
  for (let above = remote.told; ; ) {
    const newsFor = remote.stored.size ? { newsFor: remote.id } : {}
    const changes = yield* readChanges(log.database, collection, { above, limit, removalsAbove: -1, ...newsFor })
    const versions = new Map(changes.map(c => [c.id, c]))
    const states = yield* readStates(log.database, collection, remote, [...versions.keys()], versions)
    for (const { id } of changes) {
      const state = states.get(id) as RowState
      if (!isHeld(state) && !isAgreed(remote, state, state.version.stamp)) news.push(state)
      if (news.length === limit) return news
    }
    const last = changes.at(-1)
    if (!last || changes.length < limit) return news
    above = { stamp: last.stamp, id: last.id }
  }
}

/** A removal speaks for what the remover saw, in other collections as well (law 9). */
function seenBy({ collection, siblings, remote: own }: Exchange, body: readonly PushedRow[]): Map<string, number> {
  const seen = new Map<string, number>()
  if (!body.some(row => row.value === null)) return seen
  const visited = new Set([collection])
  for (const parent of visited) {
    for (const { child } of parent.children) {
      const remote = child && siblings.get(child)
      // what was read of a history that was reset since says nothing of this one
      const date = remote?.serverCollection === own.serverCollection ? remote?.serverDate : 0
      if (child && remote && child !== collection) seen.set(new URL(remote.url).pathname, date ?? 0)
      if (child) visited.add(child)
    }
  }
  return seen
}

/** A removal waits with the rows that wait for a word about it (law 9). */
function* holdParents(exchange: Exchange): Step<void> {
  const { collection, remote } = exchange
  if (!collection.children.some(r => r.child && exchange.siblings.has(r.child))) return
  for (const { child } of collection.children) {
    const sibling = child && exchange.siblings.get(child)
    if (!child || !sibling) continue
    const waiting = yield* readWaiting({ ...exchange, collection: child, remote: sibling })
    const parents = new Set<string>()
    for (const { theirs } of waiting.values())
      for (const { property, parent } of child.parents)
        if (parent === collection && typeof theirs?.[property] === 'string') parents.add(theirs[property])
    if (child !== collection)
      for (const id of yield* readLeft({ ...exchange, collection: child, remote: sibling }, collection)) parents.add(id)
    for (const state of (yield* readRowStates(exchange, [...parents])).values()) {
      const { id, version } = state
      if (version.stamp === 0 || version.value !== null || isAgreed(remote, state, version.stamp) || isHeld(state)) continue
      yield* writeRejection(
        exchange,
        { id, code: 'children-exist', detail: 'Rows that need it wait for a decision, or are told first.' },
        version.stamp,
      )
    }
  }
}

/** Removed rows that others were moved away from: told first, their removal would take those along on the server. */
function* readLeft(exchange: Exchange, parent: Collection): Step<string[]> {
  const { log, collection, remote } = exchange
  const left: string[] = []
  for (const { property, childColumn, parent: needed, parentColumn } of collection.parents) {
    if (needed !== parent || parentColumn !== parent.table.key) continue
    const rows = yield* query(
      `SELECT DISTINCT i._sync_id AS id
         FROM ${quote(imagesOf(collection.table))} i JOIN sync_tombstone t ON t.collection = ? AND t.id = ${log.database.text(`i.${quote(childColumn)}`)}
        WHERE i._sync_remote = ?`,
      parent.name,
      remote.id,
    )
    const states = yield* readRowStates(
      exchange,
      rows.map(r => String(r.id)),
    )
    for (const state of states.values()) {
      const before = baseOf(remote, state)?.[property]
      if (isHeld(state) || isAgreed(remote, state, state.version.stamp) || !state.version.value || typeof before !== 'string') continue
      if (state.version.value[property] !== before) left.push(before)
    }
  }
  return left
}

/** What waits is not told, whatever `told` says: the stamp of our version is noted with every push. */
function* noteUntold(exchange: Exchange): Step<void> {
  const { log, remote } = exchange
  const ids = [...(yield* readWaiting(exchange)).keys()]
  if (!ids.length) return
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const moved = states.filter(s => !isAgreed(remote, s, s.version.stamp) && s.waiting?.untold !== s.version.stamp)
  yield* log.database.updateRows(
    'sync_conflict',
    ['untold'],
    ['remote', 'id'],
    moved.map(s => [s.version.stamp, remote.id, s.id]),
  )
}

/** What is told of a row: all of it, where the server has none; what changed, where it has; nothing, where it is as the server knows it. */
function describePush({ columns }: Collection, remote: Remote, state: RowState): PushedRow | undefined {
  const { id, version } = state
  const base = baseOf(remote, state)
  const { value } = version
  if (value === null) return base === null ? undefined : { id, value: null, partial: false } // made and removed here: never mind
  if (!base) return { id, value, partial: false }
  if (isSameRow(value, base)) return
  const changed: WireRow = {}
  for (const { property } of columns)
    if (Object.hasOwn(value, property) && !isSameRow({ p: value[property] as never }, { p: base[property] as never }))
      changed[property] = value[property] as never
  return { id, value: changed, partial: true }
}

// ---------------------------------------------------------------- the request

async function sendPush(session: Session, prepared: Prepared): Promise<PushOutcome> {
  const { transport, url, report, signal } = session
  const { push, remote, more, told, seen } = prepared
  const isOurs = remote.serverCollection !== null
  const body = JSON.stringify(prepared.body.map(row => writeFor(remote, session.collection, row)))
  report.requests++
  report.sent += body.length
  try {
    const answer = await transport.push(
      url,
      body,
      isOurs ? { since: push.since, collection: remote.serverCollection ?? undefined, key: push.key, seen, retry: true } : { retry: false },
      signal,
    )
    report.received += answer.bytes
    if (answer.kind === 'stored' && !answer.answer.empty) {
      const isCounted = await acknowledgePush(session, push, answer.answer, more)
      if (isCounted) report.pushed += prepared.body.length
      report.tell('push')
      return !isCounted ? 'again' : more ? 'more' : 'done'
    }
    if (answer.kind !== 'stored' && !answer.isDefinite) return 'again' // an earlier try may still arrive: it is ended first
    if (answer.kind === 'refused') {
      await setAside(session, push, answer.refusals, told)
      report.tell('push')
      return 'more'
    }
    await endPush(session, push)
    return 'again'
  } catch (error) {
    return await failPush(session, prepared, error)
  }
}

// A server of 2012 knows no parts and writes dates as numbers.
function writeFor({ serverCollection, dateForm }: Remote, { columns }: Collection, row: PushedRow): WireRow {
  if (serverCollection !== null && dateForm === null) return writePushedRow(row)
  let value = row.value
  if (value !== null && dateForm !== null) {
    value = { ...value }
    for (const { isDate, property } of columns) {
      const date = value[property]
      if (isDate && typeof date === 'string') value[property] = dateToNumber(date) * (dateForm === 'milliseconds' ? 1000 : 1)
    }
  }
  return writePushedRow({ ...row, value, partial: row.partial && serverCollection !== null })
}

// What is certain not to have been stored ends the push, so that a client that may not write still reads; else it stays open.
async function failPush(session: Session, { push, body, told }: Prepared, error: unknown): Promise<PushOutcome> {
  if (!(error instanceof TransportError)) throw error
  if (error instanceof TooLargeError) {
    const [only] = body
    if (body.length === 1 && only) await setAside(session, push, [{ id: only.id, code: 'too-large', detail: error.message }], told)
    else await endPush(session, push, Math.max(1, Math.floor(body.length / 2)))
    return 'more'
  }
  if (error.isDefinite) await endPush(session, push)
  else if (error instanceof RequestTimeoutError) await step(session, exchange => shrinkBatch(exchange, body.length)) // the next one is smaller
  throw error
}

function* shrinkBatch({ remote }: Exchange, rows: number): Step<void> {
  remote.batch = Math.max(1, Math.floor(rows / 2))
  yield* writeRemote(remote)
}

// ---------------------------------------------------------------- its end

/** Acknowledging is one assignment; false where another sync has ended this push meanwhile, with the rows that it told. */
function acknowledgePush(session: Session, push: OpenPush, answer: PushAnswer, more = false): Promise<boolean> {
  return step(session, function* (exchange) {
    const { remote } = exchange
    if (remote.push?.key !== push.key) return false
    if (remote.batch !== null) remote.batch = remote.batch * 2 < session.batchSize ? remote.batch * 2 : null
    yield* acknowledge(exchange, push.limit, answer, more)
    return true
  })
}

// a row that was refused before and has moved on since is not refused any more
function* forgetOutdatedRejections(exchange: Exchange): Step<void> {
  const { log, collection, remote } = exchange
  const refused = yield* query('SELECT id FROM sync_rejection WHERE remote = ?', remote.id)
  if (!refused.length) return
  const states = yield* readRowStates(
    exchange,
    refused.map(row => String(row.id)),
  )
  const outdated: { id: string; stamp: number }[] = []
  for (const state of states.values()) {
    const { id, rejection, version } = state
    if (rejection && rejection.stamp !== version.stamp && isAgreed(remote, state, version.stamp))
      outdated.push({ id, stamp: rejection.stamp })
  }
  yield* forgetRejections(log.database, collection, remote, outdated)
}

function* acknowledge(exchange: Exchange, limit: Place, answer?: PushAnswer, more = false): Step<void> {
  const { log, collection, remote } = exchange
  remote.told = limit
  remote.push = null
  if (answer) {
    remote.highest = Math.max(remote.highest, answer.now)
    if (answer.since !== undefined && answer.since === remote.serverDate) remote.serverDate = answer.now // nothing of others lies between
  }
  yield* forgetStored(remote)
  yield* writeRemote(remote)
  yield* forgetOutdatedRejections(exchange)
  if (!more) yield* pruneImages(log.database, collection, remote) // it looks at all of them
}

/** How many rows an unanswered push tells; what was changed since counts along, for its image stands for it. */
function* countTold({ log, collection, remote }: Exchange, limit: Place): Step<number> {
  const row = yield* first(
    `SELECT count(*) AS told FROM (
       SELECT ${log.database.id(collection.table, 'x')} AS id, x."_lastChange" AS stamp FROM ${quote(collection.name)} x
       UNION SELECT t.id, t.stamp FROM sync_tombstone t WHERE t.collection = ?1
       UNION SELECT i._sync_id, i._sync_stamp FROM ${quote(imagesOf(collection.table))} i WHERE i._sync_remote = ?2) v
      WHERE (v.stamp, v.id) > (?3, ?4) AND (v.stamp, v.id) <= (?5, ?6)
        AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.remote = ?2 AND m.stamp = v.stamp)`,
    ...[collection.name, remote.id, remote.told.stamp, remote.told.id, limit.stamp, limit.id],
  )
  return Number(row?.told)
}

function endPush(session: Session, push: OpenPush, batch?: number): Promise<void> {
  return step(session, function* ({ log, collection, remote }) {
    if (remote.push?.key !== push.key) return
    remote.push = null
    if (batch !== undefined) remote.batch = batch
    yield* writeRemote(remote)
    yield* dropTentativeImages(log.database, collection, remote)
  })
}

/** Sets refused rows aside, each with its reason; the others are told again. */
async function setAside(session: Session, push: OpenPush, refusals: readonly Refusal[], told: ReadonlyMap<string, number>): Promise<void> {
  const { url, collection, report } = session
  const known = refusals.filter(r => told.has(r.id))
  await endPush(session, push)
  if (!known.length)
    throw new ServerError(`${url} refused rows of ${collection.entity} that it was not told.`, { url, status: 422, isDefinite: true })
  await step(session, function* (exchange) {
    for (const refusal of known) yield* writeRejection(exchange, refusal, told.get(refusal.id) as number)
  })
  report.refused += known.length
}

function* writeRejection({ log, remote }: Exchange, { id, code, property, detail }: Refusal, stamp: number): Step<void> {
  const again = ['parent-missing', 'children-exist', 'children-unseen'].includes(code) ? 1 : 0 // a matter of other rows: told again by the next sync
  yield* log.database.upsertRows(
    'sync_rejection',
    ['remote', 'id', 'stamp', 'code', 'property', 'detail', 'again'],
    ['remote', 'id'],
    [[remote.id, id, stamp, code, property ?? null, detail, again]],
  )
}

/** What was refused for a missing parent, or for children that were still there, is told again. */
export async function tellAgain(session: Session): Promise<void> {
  await step(session, function* (exchange) {
    const rows = yield* query('SELECT id FROM sync_rejection WHERE remote = ? AND again = 1', exchange.remote.id)
    yield* tellRowsAgain(
      exchange,
      rows.map(r => String(r.id)),
    )
  })
}

/** Gives refused rows a fresh stamp, so that they are told again. */
export function* tellRowsAgain(exchange: Exchange, ids: readonly string[]): Step<void> {
  const { collection, remote, log } = exchange
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const refused = states.filter(s => s.rejection?.stamp === s.version.stamp && !s.waiting)
  if (refused.length) {
    const stamp = yield* log.database.tick()
    yield* storeVersions(
      log,
      collection,
      refused.map(s => ({ id: s.id, old: s.version, value: s.version.value })),
      stamp,
      remote,
    )
  }
  yield* forgetRejections(
    log.database,
    collection,
    remote,
    states.flatMap(s => (s.rejection ? [{ id: s.id, stamp: s.rejection.stamp }] : [])),
  )
}

/**
 * Ends a push without an answer, before anything else: an empty one under its key brings the answer again, or makes sure that it never
 * counts. A server that knows no keys cannot be asked: the push is given up, and what it stored comes back with the next pull.
 */
export async function finishPush(session: Session): Promise<void> {
  const { transport, url, report, signal } = session
  const remote = await readKnown(session)
  const { push, serverCollection } = remote
  if (!push) return
  if (serverCollection === null) return await endPush(session, push)
  try {
    report.requests++
    const answer = await transport.push(url, '[]', { since: push.since, collection: serverCollection, key: push.key, retry: true }, signal)
    report.received += answer.bytes
    if (answer.kind === 'stored' && answer.replayed && !answer.answer.empty) {
      const rows = await step(session, exchange => countTold(exchange, push.limit), { readOnly: true })
      if (await acknowledgePush(session, push, answer.answer)) report.pushed += rows
    } else await endPush(session, push)
  } catch (error) {
    if (!(error instanceof TransportError && error.isDefinite)) throw error
    await endPush(session, push)
  }
}
