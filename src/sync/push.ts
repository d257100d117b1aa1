// Tells the server what changed here, in batches: each is a push of its own, written down before it is sent (law 5).

import { imagesOf, query, quote, type Step } from '../changes/database/database.js'
import {
  baseOf,
  dropTentativeImages,
  forgetStored,
  isUndecided,
  type OpenPush,
  pruneImages,
  type Remote,
  UNDECIDED,
  writeRemote,
} from '../changes/remotes.js'
import type { Place } from '../changes/rows.js'
import { RequestTimeoutError, ServerError, TooLargeError, TransportError } from '../errors.js'
import type { PushAnswer, PushedRow, Refusal } from '../protocol/messages.js'
import { type Batch, holdParents, isStillSo, noteUntold, readAhead, readBatch, seenBy, withoutPutOff } from './batch.js'
import { type Exchange, readRowStates } from './exchange.js'
import { noteIgnoredOf } from './ignored.js'
import { holdMoves } from './moves.js'
import { putOffReferences } from './putOff.js'
import { forgetOutdatedRefusals, freeRefused, writeRefusals } from './refusals.js'
import { readKnown, type Session, StepSize, step } from './session.js'

/** `again`: the server has to be read first; `more`: another batch waits. */
type PushOutcome = 'done' | 'more' | 'again'

interface Prepared extends Batch {
  readonly push: OpenPush
  readonly remote: Remote
  /** How far the collections were read that its removals may reach, by their paths. */
  readonly seen: ReadonlyMap<string, number>
}

/** Rows in the first push; in the further ones as many as a step reads in its time. */
const FIRST_BATCH = 1_000

/** Tells everything that there is to be told; `again` where the server has to be read first. */
export async function push(session: Session): Promise<'done' | 'again'> {
  const size = new StepSize({ rows: FIRST_BATCH, largest: session.batchSize })
  for (let next: Prepared | PushOutcome = 'more'; ; ) {
    if (next === 'more') next = await step(session, exchange => preparePush(exchange, size))
    if (next === 'done' || next === 'again') return next
    if (next === 'more') continue
    // a database that is saved as a whole must not forget a push that the server knows
    await session.log.database.save()
    next = await sendPush(session, next, size)
  }
}

/**
 * Writes down the next push and reads it in the same step, so that it tells what stood at its limit. From now on what stood there is kept
 * until the answer is here: it is what both know if the push turns out to have arrived.
 */
function* preparePush(exchange: Exchange, size: StepSize, ahead?: Batch): Step<Prepared | PushOutcome> {
  const { remote } = exchange
  if (remote.push) return 'again' // another sync of this database was faster
  yield* holdParents(exchange)
  yield* holdMoves(exchange)
  yield* noteUntold(exchange)
  const batch = ahead && (yield* isStillSo(exchange, ahead)) ? ahead : yield* readBatch(exchange, size)
  const { rows, limit, more } = batch
  // nothing to tell is told at once
  if (!rows.length) {
    yield* acknowledge(exchange, limit, undefined, more)
    return more ? 'more' : 'done'
  }
  remote.push = { key: globalThis.crypto.randomUUID(), limit, since: remote.serverDate }
  yield* writeRemote(remote)
  return { ...batch, push: remote.push, remote, seen: seenBy(exchange, rows) }
}

// ---------------------------------------------------------------- the request

/** Sends a push, and reads the next one while the answer is under way. */
async function sendPush(session: Session, prepared: Prepared, size: StepSize): Promise<Prepared | PushOutcome> {
  const { transport, url, report, signal } = session
  const { push, rows, body, remote, more, told, seen } = prepared
  const isOurs = remote.serverCollection !== null
  report.requests++
  report.sent += body.length
  try {
    const pushed = transport.push(
      url,
      body,
      isOurs ? { since: push.since, collection: remote.serverCollection ?? undefined, key: push.key, seen, retry: true } : { retry: false },
      signal,
    )
    pushed.catch(() => {}) // heard of below
    const ahead = more ? await step(session, exchange => readAhead(exchange, size), { readOnly: true, afterOthers: true }) : undefined
    const answer = await pushed
    report.received += answer.bytes
    if (answer.kind === 'stored' && !answer.answer.empty) {
      const next = await step(session, function* (exchange) {
        if (!(yield* acknowledgePush(exchange, session, push, answer.answer, rows, answer.isNearLimit, more))) return
        // what was read ahead knows nothing of what the server has just ignored
        return more ? yield* preparePush(exchange, size, answer.answer.ignored?.length ? undefined : ahead) : 'done'
      })
      if (next) report.pushed += rows.length
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
async function failPush(session: Session, { push, rows, body, told }: Prepared, error: unknown): Promise<PushOutcome> {
  if (!(error instanceof TransportError)) throw error
  if (error instanceof TooLargeError) {
    const [only] = rows
    if (rows.length === 1 && only) {
      const detail = `The row has ${new TextEncoder().encode(body).length - 2} bytes as JSON. ${error.message}`
      await setAside(session, push, [{ id: only.id, code: 'too-large', detail }], told)
    } else await endPush(session, push, Math.max(1, Math.floor(rows.length / 2)))
    return 'more'
  }
  if (error.isDefinite) await endPush(session, push)
  // the next one is smaller: it arrives in time, and a server that fails because of its rows names a row that comes alone
  else if (error instanceof RequestTimeoutError || error.status === 500) await step(session, exchange => shrinkBatch(exchange, rows.length))
  throw error
}

function* shrinkBatch({ remote }: Exchange, rows: number): Step<void> {
  remote.batch = Math.max(1, Math.floor(rows / 2))
  yield* writeRemote(remote)
}

// ---------------------------------------------------------------- its end

/** Acknowledging is one assignment; false where another sync has ended this push meanwhile, with the rows that it told. */
function* acknowledgePush(
  exchange: Exchange,
  { batchSize }: Session,
  push: OpenPush,
  answer: PushAnswer,
  rows: readonly PushedRow[],
  isNearLimit: boolean,
  more = false,
): Step<boolean> {
  const { remote } = exchange
  if (remote.push?.key !== push.key) return false
  if (remote.batch !== null && !isNearLimit) remote.batch = remote.batch * 2 < batchSize ? remote.batch * 2 : null
  yield* noteIgnoredOf(exchange, rows, answer.ignored)
  // what was new took a value, and let go of none
  if (rows.some(row => row.value === null || row.partial)) yield* freeRefused(exchange)
  yield* acknowledge(exchange, push.limit, answer, more)
  return true
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
  yield* forgetOutdatedRefusals(exchange)
  if (!more) yield* pruneImages(log.database, collection, remote) // it looks at all of them
}

/** The rows that an unanswered push tells, as they are now; what was changed since counts along, for its image stands for it. */
function* readTold(exchange: Exchange, limit: Place): Step<PushedRow[]> {
  const { log, collection, remote } = exchange
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
    return { id: state.id, value: value && !baseOf(remote, state) ? withoutPutOff(value, state) : value, partial: false }
  })
}

function endPush(session: Session, push: OpenPush, batch?: number): Promise<boolean> {
  return step(session, exchange => endIn(exchange, push, batch))
}

/** False where another sync has ended it meanwhile. */
function* endIn({ log, collection, remote }: Exchange, push: OpenPush, batch?: number): Step<boolean> {
  if (remote.push?.key !== push.key) return false
  remote.push = null
  if (batch !== undefined) remote.batch = batch
  yield* writeRemote(remote)
  yield* dropTentativeImages(log.database, collection, remote)
  return true
}

function leaveUndecided(session: Session, push: OpenPush): Promise<void> {
  return step(session, function* ({ remote }) {
    if (remote.push?.key !== push.key) return
    remote.push = { ...push, key: UNDECIDED }
    yield* writeRemote(remote)
  })
}

/** Sets refused rows aside, each with its reason; the others are told again. */
async function setAside(
  session: Session,
  push: OpenPush,
  refusals: readonly Refusal<string>[],
  told: ReadonlyMap<string, number>,
): Promise<void> {
  const { url, collection, report } = session
  const known = refusals.filter(r => told.has(r.id))
  if (!known.length) {
    await endPush(session, push)
    throw new ServerError(`${url} refused rows of ${collection.entity} that it was not told.`, { url, status: 422, isDefinite: true })
  }
  // in one step: what another sync has pushed since may have been refused as well, as a later version
  report.refused += await step(session, function* (exchange) {
    if (!(yield* endIn(exchange, push))) return 0
    const putOff = yield* putOffReferences(exchange, known)
    const refused = known.filter(({ id }) => !putOff.has(id))
    yield* writeRefusals(
      exchange,
      refused.map(refusal => ({ ...refusal, stamp: told.get(refusal.id) as number })),
    )
    return refused.length
  })
}

/**
 * Ends a push without an answer, before anything else: an empty one under its key brings the answer again, or makes sure that it never
 * counts. A server that knows no keys cannot be asked: the push stays undecided until the next pull shows what it stored.
 */
export async function finishPush(session: Session): Promise<void> {
  const { transport, url, report, signal } = session
  const remote = await readKnown(session)
  const { push, serverCollection } = remote
  if (!push || isUndecided(remote)) return
  if (serverCollection === null) return await leaveUndecided(session, push)
  try {
    report.requests++
    const answer = await transport.push(url, '[]', { since: push.since, collection: serverCollection, key: push.key, retry: true }, signal)
    report.received += answer.bytes
    if (answer.kind === 'stored' && answer.replayed && !answer.answer.empty) {
      const rows = await step(session, exchange => readTold(exchange, push.limit), { readOnly: true })
      if (await step(session, exchange => acknowledgePush(exchange, session, push, answer.answer, rows, answer.isNearLimit)))
        report.pushed += rows.length
    } else await endPush(session, push)
  } catch (error) {
    if (!(error instanceof TransportError && error.isDefinite)) throw error
    await endPush(session, push)
  }
}
