// A push without an answer is ended before anything else (docs/how-it-works.md, law 5).

import { baseOf } from '../../changes/servers/agreement.js'
import { type OpenPush, type ServerState, UNDECIDED, writeServers } from '../../changes/servers/serverState.js'
import { baseTableOf, query, quote, type Transaction } from '../../databases/database.js'
import { type Exchange, readRowStates } from '../exchange.js'
import { TransportError } from '../http/errors.js'
import type { Pushed } from '../http/wire.js'
import { isOfFeed, OpenAtRouteError } from '../http/wire.js'
import { asPrincipal, checkPrincipal, principalOf } from '../principal.js'
import { heldScope } from '../scope.js'
import { type Session, serversIn, transaction } from '../session.js'
import { acknowledgePush } from './acknowledge.js'
import type { PushedOf } from './batchBuilder.js'
import { withoutPutOff } from './describePush.js'
import { endPush, partOf } from './endPush.js'
import type { Sent } from './preparePush.js'

interface OpenAt {
  readonly push: Sent
  readonly serverHistory: string | null
  readonly principal: string | undefined
  readonly scope: { readonly scope?: string }
}

/** The pushes without an answer; several where the collections were pushed by themselves. */
async function readOpen(session: Session): Promise<OpenAt[]> {
  const servers = await transaction(session, exchanges => serversIn(exchanges), { mode: 'read' })
  const keys = new Set(servers.flatMap(({ push }) => (push && push.key !== UNDECIDED ? push.key : [])))
  return [...keys].map(key => {
    const { push, serverHistory } = servers.find(server => server.push?.key === key) as ServerState
    return { push: push as OpenPush, serverHistory, principal: principalOf(servers), scope: heldScope(servers) }
  })
}

function leaveUndecided(session: Session, push: Sent): Promise<void> {
  return transaction(session, function* (exchanges) {
    const servers = partOf(exchanges, push).map(exchange => exchange.server)
    for (const server of servers) server.push = { ...(server.push as OpenPush), key: UNDECIDED }
    yield* writeServers(session.log.database, servers)
  })
}

/** The rows of an unanswered push, as they are now; what was changed since is one of them, for its base version was pushed. */
function* readPushedRows(exchange: Exchange): Transaction<PushedOf[]> {
  const { log, collection, server } = exchange
  if (!server.push) return []
  const { limit } = server.push
  const pushedRows = yield* query(
    `SELECT DISTINCT v.id FROM (
       SELECT ${log.database.id(collection.table, 'x')} AS id, x."_lastChange" AS stamp FROM ${quote(collection.name)} x
       UNION SELECT t.id, t.stamp FROM sync_tombstone t WHERE t.collection = ?
       UNION SELECT i._sync_id, i._sync_stamp FROM ${quote(baseTableOf(collection.table))} i WHERE i._sync_server = ?) v
      WHERE (v.stamp, v.id) > (?, ?) AND (v.stamp, v.id) <= (?, ?)
        AND NOT EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = ? AND m.stamp = v.stamp)`,
    ...[collection.name, server.id, server.pushedTo.stamp, server.pushedTo.id, limit.stamp, limit.id, server.id],
  )
  const ids = pushedRows.map(row => String(row.id))
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  return states.map(state => {
    const { value } = state.version
    const row = { id: state.id, value: value && !baseOf(server, state) ? withoutPutOff(value, state) : value, partial: false }
    return { collection, row }
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
  for (const { push, serverHistory, principal, scope } of open) {
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
        { since: push.since, collection: serverHistory, ...asPrincipal(principal), ...scope, key: push.key, retry: true },
        signal,
      )
      report.received += answer.bytes
      if (answer.kind !== 'rejected') checkPrincipal(there.url, principal, answer.answer)
      if (answer.kind === 'stored' && answer.replayed && !answer.answer.empty) await acknowledgeReplayed(session, push, answer)
      else await endPush(session, push)
    } catch (error) {
      if (!(error instanceof TransportError && error.isDefinite)) throw error
      await endPush(session, push)
    }
  }
}

/** The push had arrived: its answer came again. */
async function acknowledgeReplayed(session: Session, push: Sent, { answer, isNearLimit }: Pushed & { kind: 'stored' }): Promise<void> {
  const rows = await transaction(
    session,
    function* (exchanges) {
      const rows: PushedOf[] = []
      for (const exchange of partOf(exchanges, push)) rows.push(...(yield* readPushedRows(exchange)))
      return rows
    },
    { mode: 'read' },
  )
  const isOurs = await transaction(session, exchanges =>
    acknowledgePush(exchanges, session, { push, rows, more: false }, answer, isNearLimit),
  )
  if (isOurs) for (const { collection } of rows) session.report.of(collection).pushed++
}
