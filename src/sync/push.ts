// Tells the server what changed here, in batches: each is a push of its own, written down before it is sent (law 5).

import type { Collection } from '../changes/collection.js'
import { first, imagesOf, query, quote, type Step } from '../changes/database/database.js'
import {
  baseOf,
  dropTentativeImages,
  forgetStored,
  type OpenPush,
  pruneImages,
  type Remote,
  UNDECIDED,
  writeRemotes,
} from '../changes/remotes.js'
import { laterOf, type Place } from '../changes/rows.js'
import { RequestTimeoutError, ServerError, TooLargeError, TransportError } from '../errors.js'
import type { ByPath, FeedPushAnswer, Refusal } from '../protocol/messages.js'
import { type Batch, isStillSo, keepNeeded, limitIn, type PushedOf, readAhead, readBatch, seenBy, withoutPutOff } from './batch.js'
import { type Exchange, readRowStates } from './exchange.js'
import { holdParents, isAnyWaiting, noteUntold } from './held.js'
import { noteIgnoredOf } from './ignored.js'
import { holdMoves } from './moves.js'
import { putOffReferences } from './putOff.js'
import { forgetOutdatedRefusals, freeRefused, writeRefusals } from './refusals.js'
import { type Exchanges, remotesIn, type Session, StepSize, step } from './session.js'
import { type Standing, standingOf } from './standing.js'
import { isOfFeed, markFor, OpenAtRouteError } from './wire.js'

/** `again`: the server has to be read first; `more`: another batch waits. Where all is told, how things stand then. */
type PushOutcome = Standing | 'more' | 'again'

/** Of a push that was sent. */
type Sent = Pick<OpenPush, 'key' | 'since'>

interface Prepared extends Batch {
  readonly push: Sent
  readonly serverCollection: string | null
  /** How far the collections were read that its removals may reach, and that are synced by themselves, by their paths. */
  readonly seen: ByPath<number>
}

/** Rows in the first push; in the further ones as many as a step reads in its time. */
const FIRST_BATCH = 1_000

/** Tells everything that there is to be told, and gives how things stand then; `again` where the server has to be read first. */
export async function push(session: Session): Promise<Standing | 'again'> {
  const size = new StepSize({ rows: FIRST_BATCH, largest: session.batchSize })
  for (let next: Prepared | PushOutcome = 'more'; ; ) {
    if (next === 'more') next = await step(session, exchanges => preparePush(session, exchanges, size))
    if (next === 'more') continue
    if (next === 'again' || !('push' in next)) return next
    // a database that is saved as a whole must not forget a push that the server knows
    await session.log.database.save()
    next = await sendPush(session, next, size)
  }
}

/**
 * Writes down the next push and reads it in the same step, so that it tells what stood at its limit. From now on what stood there is kept
 * until the answer is here: it is what both know if the push turns out to have arrived.
 */
function* preparePush(session: Session, exchanges: Exchanges, size: StepSize, ahead?: Batch): Step<Prepared | PushOutcome> {
  const { wire, log } = session
  const remotes = exchanges.map(exchange => exchange.remote)
  if (remotes.some(remote => remote.push)) return 'again' // another sync of this database was faster
  yield* holdParents(exchanges, wire.isFeed ? 'none' : 'others')
  if (yield* isAnyWaiting())
    for (const exchange of exchanges) {
      yield* holdMoves(exchange)
      yield* noteUntold(exchange)
    }
  let batch = ahead && (yield* isStillSo(exchanges, ahead)) ? ahead : yield* readBatch(session, exchanges, size)
  if (batch.more && wire.isFeed) {
    // the rest is told later: what was moved away from a removed row has to be told before that (law 23)
    yield* holdParents(exchanges, 'all')
    batch = yield* readBatch(session, exchanges, size)
  }
  const { rows, limit, more } = batch
  // nothing to tell is told at once
  if (!rows.length) {
    yield* acknowledge(exchanges, exchange => limitIn(limit, exchange), undefined, more)
    return more ? 'more' : yield* standingOf(exchanges)
  }
  const key = markFor(wire, globalThis.crypto.randomUUID())
  const since = Math.min(...remotes.map(remote => remote.serverDate))
  for (const exchange of exchanges) exchange.remote.push = { key, limit: limitIn(limit, exchange), since }
  yield* writeRemotes(log.database, remotes)
  yield* keepNeeded(exchanges, batch)
  const [{ serverCollection }, seen] = [remotes[0] as Remote, seenBy(session, exchanges, rows)]
  return { ...batch, push: { key, since }, serverCollection, seen }
}

// ---------------------------------------------------------------- the request

/** Sends a push, and reads the next one while the answer is under way. */
async function sendPush(session: Session, prepared: Prepared, size: StepSize): Promise<Prepared | PushOutcome> {
  const { wire, report, signal } = session
  const { push, rows, body, serverCollection, more, told, seen } = prepared
  const isOurs = serverCollection !== null
  report.requests++
  report.sent += body.length
  try {
    const pushed = wire.push(
      body,
      isOurs ? { since: push.since, collection: serverCollection, key: push.key, seen, retry: true } : { retry: false },
      signal,
    )
    pushed.catch(() => {}) // heard of below
    const ahead = more
      ? await step(session, exchanges => readAhead(session, exchanges, size), { readOnly: true, afterOthers: true })
      : undefined
    const answer = await pushed
    report.received += answer.bytes
    if (answer.kind === 'stored' && !answer.answer.empty) {
      const next = await step(session, function* (exchanges) {
        if (!(yield* acknowledgePush(exchanges, session, prepared, answer.answer, answer.isNearLimit))) return
        // what was read ahead knows nothing of what the server has just ignored
        return more
          ? yield* preparePush(session, exchanges, size, answer.answer.ignored?.size ? undefined : ahead)
          : yield* standingOf(exchanges)
      })
      if (next) for (const { collection } of rows) report.of(collection).pushed++
      report.tell('push')
      return next ?? 'again'
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

// What is certain not to have been stored ends the push, so that a client that may not write still reads; else it stays open.
async function failPush(session: Session, prepared: Prepared, error: unknown): Promise<PushOutcome> {
  const { push, rows, body, told } = prepared
  if (!(error instanceof TransportError)) throw error
  if (error instanceof TooLargeError) {
    const [only] = rows
    if (rows.length === 1 && only) {
      const detail = `The row has ${new TextEncoder().encode(body).length - 2} bytes as JSON. ${error.message}`
      const collection = session.members.find(m => m.collection === only.collection)?.path ?? ''
      await setAside(session, push, [{ collection, id: only.row.id, code: 'too-large', detail }], told)
    } else await endPush(session, push, halfOf(prepared))
    return 'more'
  }
  if (error.isDefinite) await endPush(session, push)
  // the next one is smaller: it arrives in time, and a server that fails because of its rows names a row that comes alone
  else if (error instanceof RequestTimeoutError || error.status === 500)
    await step(session, exchanges => shrinkBatch(exchanges, halfOf(prepared)))
  throw error
}

/** What comes along does not count: a batch of so many rows may bring as much again. */
const halfOf = ({ rows, needed }: Batch) => Math.max(1, Math.floor((rows.length - needed.length) / 2))

function* shrinkBatch(exchanges: Exchanges, batch: number): Step<void> {
  const remotes = exchanges.map(exchange => exchange.remote)
  for (const remote of remotes) remote.batch = batch
  const [any] = exchanges
  if (any) yield* writeRemotes(any.log.database, remotes)
}

// ---------------------------------------------------------------- its end

/** Those that are in a push. False of all of them: another sync has ended it meanwhile, with the rows that it told. */
const partOf = (exchanges: Exchanges, { key }: Sent) => exchanges.filter(({ remote }) => remote.push?.key === key)

/** Acknowledging is one assignment; false where another sync has ended this push meanwhile, with the rows that it told. */
function* acknowledgePush(
  all: Exchanges,
  { batchSize, members }: Session,
  { push, rows, more }: Pick<Prepared, 'push' | 'rows' | 'more'>,
  answer: FeedPushAnswer,
  isNearLimit: boolean,
): Step<boolean> {
  const exchanges = partOf(all, push)
  if (!exchanges.length) return false
  for (const exchange of exchanges) {
    const { collection, remote } = exchange
    if (remote.batch !== null && !isNearLimit) remote.batch = remote.batch * 2 < batchSize ? remote.batch * 2 : null
    const own = rows.filter(each => each.collection === collection).map(each => each.row)
    if (own.length) yield* noteIgnoredOf(exchange, own, answer.ignored?.get(members.find(m => m.collection === collection)?.path ?? ''))
  }
  // what was new took a value, and let go of none
  if (rows.some(({ row }) => row.value === null || row.partial)) yield* freeRefused(exchanges)
  yield* acknowledge(exchanges, ({ remote }) => (remote.push as OpenPush).limit, answer, more)
  return true
}

function* acknowledge(exchanges: Exchanges, limitOf: (exchange: Exchange) => Place, answer?: FeedPushAnswer, more = false): Step<void> {
  const remotes = exchanges.map(exchange => exchange.remote)
  for (const exchange of exchanges) {
    const { remote } = exchange
    remote.told = laterOf(remote.told, limitOf(exchange))
    remote.push = null
    if (!answer) continue
    remote.highest = Math.max(remote.highest, answer.now)
    if (answer.since !== undefined && answer.since === remote.serverDate) remote.serverDate = answer.now // nothing of others lies between
  }
  yield* forgetStored(remotes)
  const { log } = exchanges[0] as Exchange
  yield* writeRemotes(log.database, remotes)
  if (yield* first('SELECT 1 FROM sync_rejection LIMIT 1')) for (const exchange of exchanges) yield* forgetOutdatedRefusals(exchange)
  if (more) return // it looks at all of them
  for (const { collection, remote } of yield* withImages(exchanges)) yield* pruneImages(log.database, collection, remote)
}

/** Those of which versions are kept for the server: usually there are none. */
function* withImages(exchanges: Exchanges): Step<Exchange[]> {
  const parts = exchanges.map(
    ({ collection, remote }, n) =>
      `SELECT ${n} AS n, EXISTS (SELECT 1 FROM ${quote(imagesOf(collection.table))} WHERE _sync_remote = ${remote.id}) AS kept`,
  )
  const rows = yield* query(parts.join(' UNION ALL '))
  return rows.flatMap(({ n, kept }) => (kept ? [exchanges[Number(n)] as Exchange] : []))
}

/** The rows that an unanswered push tells, as they are now; what was changed since counts along, for its image stands for it. */
function* readTold(exchange: Exchange): Step<PushedOf[]> {
  const { log, collection, remote } = exchange
  if (!remote.push) return []
  const { limit } = remote.push
  const told = yield* query(
    `SELECT DISTINCT v.id FROM (
       SELECT ${log.database.id(collection.table, 'x')} AS id, x."_lastChange" AS stamp FROM ${quote(collection.name)} x
       UNION SELECT t.id, t.stamp FROM sync_tombstone t WHERE t.collection = ?1
       UNION SELECT i._sync_id, i._sync_stamp FROM ${quote(imagesOf(collection.table))} i WHERE i._sync_remote = ?2) v
      WHERE (v.stamp, v.id) > (?3, ?4) AND (v.stamp, v.id) <= (?5, ?6)
        AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.remote = ?2 AND m.stamp = v.stamp)`,
    ...[collection.name, remote.id, remote.told.stamp, remote.told.id, limit.stamp, limit.id],
  )
  const ids = told.map(row => String(row.id))
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  return states.map(state => {
    const { value } = state.version
    const row = { id: state.id, value: value && !baseOf(remote, state) ? withoutPutOff(value, state) : value, partial: false }
    return { collection, row }
  })
}

function endPush(session: Session, push: Sent, batch?: number): Promise<boolean> {
  return step(session, exchanges => endIn(exchanges, push, batch))
}

/** False where another sync has ended it meanwhile. */
function* endIn(all: Exchanges, push: Sent, batch?: number): Step<boolean> {
  const exchanges = partOf(all, push)
  const [any] = exchanges
  if (!any) return false
  const remotes = exchanges.map(exchange => exchange.remote)
  for (const remote of remotes) {
    remote.push = null
    if (batch !== undefined) remote.batch = batch
  }
  yield* writeRemotes(any.log.database, remotes)
  for (const { log, collection, remote } of exchanges) yield* dropTentativeImages(log.database, collection, remote)
  return true
}

function leaveUndecided(session: Session, push: Sent): Promise<void> {
  return step(session, function* (exchanges) {
    const remotes = partOf(exchanges, push).map(exchange => exchange.remote)
    for (const remote of remotes) remote.push = { ...(remote.push as OpenPush), key: UNDECIDED }
    yield* writeRemotes(session.log.database, remotes)
  })
}

/** Sets refused rows aside, each with its reason; the others are told again. */
async function setAside(session: Session, push: Sent, refusals: readonly Refusal<string>[], told: Batch['told']): Promise<void> {
  const { wire, members, report } = session
  const collections = new Map(members.map(m => [m.path, m.collection]))
  const known = refusals.flatMap(refusal => {
    const collection = collections.get(refusal.collection ?? '')
    const stamp = collection && told.get(collection)?.get(refusal.id)
    return collection && stamp !== undefined ? [{ ...refusal, of: collection, stamp }] : []
  })
  if (!known.length) {
    await endPush(session, push)
    const entities = members.map(m => m.collection.entity).join(', ')
    throw new ServerError(`${wire.url} refused rows of ${entities} that it was not told.`, { url: wire.url, status: 422, isDefinite: true })
  }
  // in one step: what another sync has pushed since may have been refused as well, as a later version
  const refused = await step(session, function* (exchanges) {
    const counts = new Map<Collection, number>()
    if (!(yield* endIn(exchanges, push))) return counts
    for (const exchange of exchanges) {
      const own = known.filter(({ of }) => of === exchange.collection)
      if (!own.length) continue
      const putOff = yield* putOffReferences(exchange, own)
      const some = own.filter(({ id }) => !putOff.has(id))
      yield* writeRefusals(exchange, some)
      counts.set(exchange.collection, some.length)
    }
    return counts
  })
  for (const [collection, count] of refused) report.of(collection).refused += count
}

interface OpenAt {
  readonly push: Sent
  readonly serverCollection: string | null
}

/** The pushes without an answer; several where the collections were pushed by themselves. */
async function readOpen(session: Session): Promise<OpenAt[]> {
  const remotes = await step(session, exchanges => remotesIn(exchanges), { readOnly: true })
  const keys = new Set(remotes.flatMap(({ push }) => (push && push.key !== UNDECIDED ? push.key : [])))
  return [...keys].map(key => {
    const { push, serverCollection } = remotes.find(remote => remote.push?.key === key) as Remote
    return { push: push as OpenPush, serverCollection }
  })
}

/**
 * Ends a push without an answer, before anything else: an empty one under its key brings the answer again, or makes sure that it never
 * counts. A server that knows no keys cannot be asked: the push stays undecided until the next pull shows what it stored. Throws OpenAtRouteError
 * where this is a sync with the feed, and the push went to a route.
 */
export async function finishPush(session: Session): Promise<void> {
  const { wire, report, signal } = session
  const open = await readOpen(session)
  for (const { push, serverCollection } of open) {
    if (serverCollection === null) {
      await leaveUndecided(session, push)
      continue
    }
    // one that was sent to an entity's route, or to the feed, is ended there
    if (wire.isFeed && !isOfFeed(push.key)) throw new OpenAtRouteError()
    const there = isOfFeed(push.key) ? session.feed : wire
    try {
      report.requests++
      const answer = await there.push(
        there.body(new Map()),
        { since: push.since, collection: serverCollection, key: push.key, retry: true },
        signal,
      )
      report.received += answer.bytes
      if (answer.kind === 'stored' && answer.replayed && !answer.answer.empty) {
        const rows = await step(
          session,
          function* (exchanges) {
            const rows: PushedOf[] = []
            for (const exchange of partOf(exchanges, push)) rows.push(...(yield* readTold(exchange)))
            return rows
          },
          { readOnly: true },
        )
        if (
          await step(session, exchanges =>
            acknowledgePush(exchanges, session, { push, rows, more: false }, answer.answer, answer.isNearLimit),
          )
        )
          for (const { collection } of rows) report.of(collection).pushed++
      } else await endPush(session, push)
    } catch (error) {
      if (!(error instanceof TransportError && error.isDefinite)) throw error
      await endPush(session, push)
    }
  }
}
