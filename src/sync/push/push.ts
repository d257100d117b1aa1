// Tells the server what changed here, in batches: each is a push of its own, written down before it is sent (law 5).

import { baseOf } from '../../changes/agreement.js'
import { dropTentativeBases, pruneBases } from '../../changes/baseVersions.js'
import type { Collection } from '../../changes/collection.js'
import { laterOf, type Place } from '../../changes/rows.js'
import { type OpenPush, type ServerState, UNDECIDED, writeServers } from '../../changes/serverState.js'
import { forgetStored } from '../../changes/storedStamps.js'
import { baseTableOf, first, query, quote, type Transaction } from '../../databases/database.js'
import { RequestTimeoutError, ServerError, TooLargeError, TransportError } from '../../errors.js'
import type { ByPath, FeedPushAnswer, Rejection } from '../../protocol/messages.js'
import { type Exchange, readRowStates } from '../exchange.js'
import { isOfFeed, markFor, OpenAtRouteError } from '../http/wire.js'
import { type Exchanges, type Session, serversIn, TransactionSize, transaction } from '../session.js'
import { type SyncStatus, statusOf } from '../status.js'
import { type Batch, isStillSo, keepNeeded, limitIn, type PushedOf, readAhead, readBatch, seenBy, withoutPutOff } from './batch.js'
import { holdParents, isAnyUnapplied, noteUnpushed } from './held.js'
import { noteIgnoredOf } from './ignored.js'
import { holdMoves } from './moves.js'
import { putOffReferences } from './putOff.js'
import { forgetOutdatedRejections, freeRejected, writeRejections } from './rejections.js'

/** `again`: the server has to be read first; `more`: another batch waits. Where all is pushed, how things stand then. */
type PushOutcome = SyncStatus | 'more' | 'again'

/** Of a push that was sent. */
type Sent = Pick<OpenPush, 'key' | 'since'>

interface Prepared extends Batch {
  readonly push: Sent
  readonly serverHistory: string | null
  /** How far the collections were read that its removals may reach, and that are synced by themselves, by their paths. */
  readonly seen: ByPath<number>
}

/** Rows in the first push; in the further ones as many as a transaction reads in its time. */
const FIRST_BATCH = 1_000

/** Tells everything that there is to be pushed, and gives how things stand then; `again` where the server has to be read first. */
export async function push(session: Session): Promise<SyncStatus | 'again'> {
  const size = new TransactionSize({ rows: FIRST_BATCH, largest: session.batchSize })
  for (let next: Prepared | PushOutcome = 'more'; ; ) {
    if (next === 'more') next = await transaction(session, exchanges => preparePush(session, exchanges, size))
    if (next === 'more') continue
    if (next === 'again' || !('push' in next)) return next
    // a database that is saved as a whole must not forget a push that the server knows
    await session.log.database.save()
    next = await sendPush(session, next, size)
  }
}

/**
 * Writes down the next push and reads it in the same transaction, so that it tells what stood at its limit. From now on what stood there is kept
 * until the answer is here: it is what both know if the push turns out to have arrived.
 */
function* preparePush(session: Session, exchanges: Exchanges, size: TransactionSize, ahead?: Batch): Transaction<Prepared | PushOutcome> {
  const { wire, log } = session
  const servers = exchanges.map(exchange => exchange.server)
  if (servers.some(server => server.push)) return 'again' // another sync of this database was faster
  yield* holdParents(exchanges, wire.isFeed ? 'none' : 'others')
  if (yield* isAnyUnapplied())
    for (const exchange of exchanges) {
      yield* holdMoves(exchange)
      yield* noteUnpushed(exchange)
    }
  let batch = ahead && (yield* isStillSo(exchanges, ahead)) ? ahead : yield* readBatch(session, exchanges, size)
  if (batch.more && wire.isFeed) {
    // the rest is pushed later: what was moved away from a removed row has to be pushed before that (law 23)
    yield* holdParents(exchanges, 'all')
    batch = yield* readBatch(session, exchanges, size)
  }
  const { rows, limit, more } = batch
  // where nothing is to be pushed that is acknowledged at once
  if (!rows.length) {
    yield* acknowledge(exchanges, exchange => limitIn(limit, exchange), undefined, more)
    return more ? 'more' : yield* statusOf(exchanges)
  }
  const key = markFor(wire, globalThis.crypto.randomUUID())
  const since = Math.min(...servers.map(server => server.serverDate))
  for (const exchange of exchanges) exchange.server.push = { key, limit: limitIn(limit, exchange), since }
  yield* writeServers(log.database, servers)
  yield* keepNeeded(exchanges, batch)
  const [{ serverHistory }, seen] = [servers[0] as ServerState, seenBy(session, exchanges, rows)]
  return { ...batch, push: { key, since }, serverHistory, seen }
}

// ---------------------------------------------------------------- the request

/** Sends a push, and reads the next one while the answer is under way. */
async function sendPush(session: Session, prepared: Prepared, size: TransactionSize): Promise<Prepared | PushOutcome> {
  const { wire, report, signal } = session
  const { push, rows, body, serverHistory, more, stamps, seen } = prepared
  const isOurs = serverHistory !== null
  report.requests++
  report.sent += body.length
  try {
    const pushed = wire.push(
      body,
      isOurs ? { since: push.since, collection: serverHistory, key: push.key, seen, retry: true } : { retry: false },
      signal,
    )
    pushed.catch(() => {}) // heard of below
    const ahead = more
      ? await transaction(session, exchanges => readAhead(session, exchanges, size), { readOnly: true, afterOthers: true })
      : undefined
    const answer = await pushed
    report.received += answer.bytes
    if (answer.kind === 'stored' && !answer.answer.empty) {
      const next = await transaction(session, function* (exchanges) {
        if (!(yield* acknowledgePush(exchanges, session, prepared, answer.answer, answer.isNearLimit))) return
        // what was read ahead knows nothing of what the server has just ignored
        return more
          ? yield* preparePush(session, exchanges, size, answer.answer.ignored?.size ? undefined : ahead)
          : yield* statusOf(exchanges)
      })
      if (next) for (const { collection } of rows) report.of(collection).pushed++
      report.emit('push')
      return next ?? 'again'
    }
    if (answer.kind !== 'stored' && !answer.isDefinite) return 'again' // an earlier try may still arrive: it is ended first
    if (answer.kind === 'rejected') {
      await setAside(session, push, answer.rejections, stamps)
      report.emit('push')
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
  const { push, rows, body, stamps } = prepared
  if (!(error instanceof TransportError)) throw error
  if (error instanceof TooLargeError) {
    const [only] = rows
    if (rows.length === 1 && only) {
      const detail = `The row has ${new TextEncoder().encode(body).length - 2} bytes as JSON. ${error.message}`
      const collection = session.members.find(m => m.collection === only.collection)?.path ?? ''
      await setAside(session, push, [{ collection, id: only.row.id, code: 'too-large', detail }], stamps)
    } else await endPush(session, push, halfOf(prepared))
    return 'more'
  }
  if (error.isDefinite) await endPush(session, push)
  // the next one is smaller: it arrives in time, and a server that fails because of its rows names a row that comes alone
  else if (error instanceof RequestTimeoutError || error.status === 500)
    await transaction(session, exchanges => shrinkBatch(exchanges, halfOf(prepared)))
  throw error
}

/** What comes along does not count: a batch of so many rows may bring as much again. */
const halfOf = ({ rows, needed }: Batch) => Math.max(1, Math.floor((rows.length - needed.length) / 2))

function* shrinkBatch(exchanges: Exchanges, batch: number): Transaction<void> {
  const servers = exchanges.map(exchange => exchange.server)
  for (const server of servers) server.batch = batch
  const [any] = exchanges
  if (any) yield* writeServers(any.log.database, servers)
}

// ---------------------------------------------------------------- its end

/** Those that are in a push. False of all of them: another sync has ended it meanwhile, with the rows that it told. */
const partOf = (exchanges: Exchanges, { key }: Sent) => exchanges.filter(({ server }) => server.push?.key === key)

/** Acknowledging is one assignment; false where another sync has ended this push meanwhile, with the rows that it told. */
function* acknowledgePush(
  all: Exchanges,
  { batchSize, members }: Session,
  { push, rows, more }: Pick<Prepared, 'push' | 'rows' | 'more'>,
  answer: FeedPushAnswer,
  isNearLimit: boolean,
): Transaction<boolean> {
  const exchanges = partOf(all, push)
  if (!exchanges.length) return false
  for (const exchange of exchanges) {
    const { collection, server } = exchange
    if (server.batch !== null && !isNearLimit) server.batch = server.batch * 2 < batchSize ? server.batch * 2 : null
    const own = rows.filter(each => each.collection === collection).map(each => each.row)
    if (own.length) yield* noteIgnoredOf(exchange, own, answer.ignored?.get(members.find(m => m.collection === collection)?.path ?? ''))
  }
  // what was new took a value, and let go of none
  if (rows.some(({ row }) => row.value === null || row.partial)) yield* freeRejected(exchanges)
  yield* acknowledge(exchanges, ({ server }) => (server.push as OpenPush).limit, answer, more)
  return true
}

function* acknowledge(
  exchanges: Exchanges,
  limitOf: (exchange: Exchange) => Place,
  answer?: FeedPushAnswer,
  more = false,
): Transaction<void> {
  const servers = exchanges.map(exchange => exchange.server)
  for (const exchange of exchanges) {
    const { server } = exchange
    server.pushedTo = laterOf(server.pushedTo, limitOf(exchange))
    server.push = null
    if (!answer) continue
    server.highest = Math.max(server.highest, answer.now)
    if (answer.since !== undefined && answer.since === server.serverDate) server.serverDate = answer.now // nothing of others lies between
  }
  yield* forgetStored(servers)
  const { log } = exchanges[0] as Exchange
  yield* writeServers(log.database, servers)
  if (yield* first('SELECT 1 FROM sync_rejection LIMIT 1')) for (const exchange of exchanges) yield* forgetOutdatedRejections(exchange)
  if (more) return // it looks at all of them
  for (const { collection, server } of yield* withBases(exchanges)) yield* pruneBases(log.database, collection, server)
}

/** Those of which versions are kept for the server: usually there are none. */
function* withBases(exchanges: Exchanges): Transaction<Exchange[]> {
  const parts = exchanges.map(
    ({ collection, server }, n) =>
      `SELECT ${n} AS n, EXISTS (SELECT 1 FROM ${quote(baseTableOf(collection.table))} WHERE _sync_server = ${server.id}) AS kept`,
  )
  const rows = yield* query(parts.join(' UNION ALL '))
  return rows.flatMap(({ n, kept }) => (kept ? [exchanges[Number(n)] as Exchange] : []))
}

/** The rows that an unanswered push tells, as they are now; what was changed since counts along, for its base version stands for it. */
function* readPushedRows(exchange: Exchange): Transaction<PushedOf[]> {
  const { log, collection, server } = exchange
  if (!server.push) return []
  const { limit } = server.push
  const pushedRows = yield* query(
    `SELECT DISTINCT v.id FROM (
       SELECT ${log.database.id(collection.table, 'x')} AS id, x."_lastChange" AS stamp FROM ${quote(collection.name)} x
       UNION SELECT t.id, t.stamp FROM sync_tombstone t WHERE t.collection = ?1
       UNION SELECT i._sync_id, i._sync_stamp FROM ${quote(baseTableOf(collection.table))} i WHERE i._sync_server = ?2) v
      WHERE (v.stamp, v.id) > (?3, ?4) AND (v.stamp, v.id) <= (?5, ?6)
        AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = ?2 AND m.stamp = v.stamp)`,
    ...[collection.name, server.id, server.pushedTo.stamp, server.pushedTo.id, limit.stamp, limit.id],
  )
  const ids = pushedRows.map(row => String(row.id))
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  return states.map(state => {
    const { value } = state.version
    const row = { id: state.id, value: value && !baseOf(server, state) ? withoutPutOff(value, state) : value, partial: false }
    return { collection, row }
  })
}

function endPush(session: Session, push: Sent, batch?: number): Promise<boolean> {
  return transaction(session, exchanges => endIn(exchanges, push, batch))
}

/** False where another sync has ended it meanwhile. */
function* endIn(all: Exchanges, push: Sent, batch?: number): Transaction<boolean> {
  const exchanges = partOf(all, push)
  const [any] = exchanges
  if (!any) return false
  const servers = exchanges.map(exchange => exchange.server)
  for (const server of servers) {
    server.push = null
    if (batch !== undefined) server.batch = batch
  }
  yield* writeServers(any.log.database, servers)
  for (const { log, collection, server } of exchanges) yield* dropTentativeBases(log.database, collection, server)
  return true
}

function leaveUndecided(session: Session, push: Sent): Promise<void> {
  return transaction(session, function* (exchanges) {
    const servers = partOf(exchanges, push).map(exchange => exchange.server)
    for (const server of servers) server.push = { ...(server.push as OpenPush), key: UNDECIDED }
    yield* writeServers(session.log.database, servers)
  })
}

/** Sets rejected rows aside, each with its reason; the others are pushed again. */
async function setAside(session: Session, push: Sent, rejections: readonly Rejection<string>[], stamps: Batch['stamps']): Promise<void> {
  const { wire, members, report } = session
  const collections = new Map(members.map(m => [m.path, m.collection]))
  const known = rejections.flatMap(rejection => {
    const collection = collections.get(rejection.collection ?? '')
    const stamp = collection && stamps.get(collection)?.get(rejection.id)
    return collection && stamp !== undefined ? [{ ...rejection, of: collection, stamp }] : []
  })
  if (!known.length) {
    await endPush(session, push)
    const entities = members.map(m => m.collection.entity).join(', ')
    throw new ServerError(`${wire.url} rejected rows of ${entities} that it was not pushed.`, {
      url: wire.url,
      status: 422,
      isDefinite: true,
    })
  }
  // in one transaction: what another sync has pushed since may have been rejected as well, as a later version
  const rejected = await transaction(session, function* (exchanges) {
    const counts = new Map<Collection, number>()
    if (!(yield* endIn(exchanges, push))) return counts
    for (const exchange of exchanges) {
      const own = known.filter(({ of }) => of === exchange.collection)
      if (!own.length) continue
      const putOff = yield* putOffReferences(exchange, own)
      const some = own.filter(({ id }) => !putOff.has(id))
      yield* writeRejections(exchange, some)
      counts.set(exchange.collection, some.length)
    }
    return counts
  })
  for (const [collection, count] of rejected) report.of(collection).rejected += count
}

interface OpenAt {
  readonly push: Sent
  readonly serverHistory: string | null
}

/** The pushes without an answer; several where the collections were pushed by themselves. */
async function readOpen(session: Session): Promise<OpenAt[]> {
  const servers = await transaction(session, exchanges => serversIn(exchanges), { readOnly: true })
  const keys = new Set(servers.flatMap(({ push }) => (push && push.key !== UNDECIDED ? push.key : [])))
  return [...keys].map(key => {
    const { push, serverHistory } = servers.find(server => server.push?.key === key) as ServerState
    return { push: push as OpenPush, serverHistory }
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
  for (const { push, serverHistory } of open) {
    if (serverHistory === null) {
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
        { since: push.since, collection: serverHistory, key: push.key, retry: true },
        signal,
      )
      report.received += answer.bytes
      if (answer.kind === 'stored' && answer.replayed && !answer.answer.empty) {
        const rows = await transaction(
          session,
          function* (exchanges) {
            const rows: PushedOf[] = []
            for (const exchange of partOf(exchanges, push)) rows.push(...(yield* readPushedRows(exchange)))
            return rows
          },
          { readOnly: true },
        )
        if (
          await transaction(session, exchanges =>
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
