// Sends a push, and does what its answer says.

import { writeServers } from '../../changes/servers/serverState.js'
import type { Transaction } from '../../databases/database.js'
import { RequestTimeoutError, TooLargeError, TransportError } from '../http/errors.js'
import { asPrincipal, checkPrincipal } from '../principal.js'
import { type Exchanges, type Session, type TransactionSize, transaction } from '../session.js'
import { statusOf } from '../status.js'
import { acknowledgePush } from './acknowledge.js'
import { type Batch, readAhead } from './batch.js'
import { endPush } from './endPush.js'
import { type Prepared, type PushOutcome, preparePush } from './preparePush.js'
import { setAside } from './setAside.js'
import { endStale } from './unseen.js'

/** Sends a push, and reads the next one while the answer is under way. */
export async function sendPush(session: Session, prepared: Prepared, size: TransactionSize): Promise<Prepared | PushOutcome> {
  const { wire, report, signal } = session
  const { push, rows, body, serverHistory, principal, scope, more, stamps, seen } = prepared
  const isOurs = serverHistory !== null
  report.requests++
  report.sent += body.length
  try {
    const pushed = wire.push(
      body,
      isOurs
        ? { since: push.since, collection: serverHistory, ...asPrincipal(principal), ...scope, key: push.key, seen, retry: true }
        : { retry: false },
      signal,
    )
    pushed.catch(() => {}) // heard of below
    const ahead = more
      ? await transaction(session, exchanges => readAhead(session, exchanges, size), { mode: 'read', afterOthers: true })
      : undefined
    const answer = await pushed
    report.received += answer.bytes
    if (answer.kind !== 'rejected') checkPrincipal(wire.url, principal, answer.answer)
    if (answer.kind === 'stored' && !answer.answer.empty) {
      const next = await transaction(session, function* (exchanges) {
        if (!(yield* acknowledgePush(exchanges, session, prepared, answer.answer, answer.isNearLimit))) return
        // what was read ahead knows nothing of what the server has just ignored
        return more
          ? yield* preparePush(session, exchanges, size, answer.answer.ignored?.size ? undefined : ahead)
          : yield* statusOf(exchanges)
      })
      if (next) for (const { collection } of rows) report.of(collection).pushed++
      if (isOurs && answer.answer.since === undefined) session.isChangedThere = true
      report.emit('push')
      return next ?? 'again'
    }
    if (answer.kind !== 'stored' && !answer.isDefinite) return 'again' // an earlier try may still arrive: it is ended first
    if (answer.kind === 'rejected') {
      await setAside(session, push, answer.rejections, stamps)
      report.emit('push')
      return 'more'
    }
    if (answer.kind === 'stale') await endStale(session, push, answer.answer)
    else await endPush(session, push)
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
