import { type OpenPush, type ServerState, writeServers } from '../../changes/servers/serverState.js'
import type { Transaction } from '../../databases/database.js'
import type { ByPath } from '../../protocol/messages.js'
import { markFor } from '../http/wire.js'
import { principalOf } from '../principal.js'
import { heldScope } from '../scope.js'
import type { Exchanges, Session, TransactionSize } from '../session.js'
import { type SyncStatus, statusOf } from '../status.js'
import { acknowledge } from './acknowledge.js'
import { type Batch, isStillSo, limitIn, readBatch } from './batch.js'
import { holdParents, isAnyUnapplied, noteUnpushed } from './heldBack.js'
import { holdMoves } from './moves.js'
import { keepNeeded } from './needed.js'
import { seenBy } from './seen.js'

/** `again`: the server has to be read first; `more`: there is another batch. Where all is pushed, the sync status then. */
export type PushOutcome = SyncStatus | 'more' | 'again'

/** Of a push that was sent. */
export type Sent = Pick<OpenPush, 'key' | 'since'>

export interface Prepared extends Batch {
  readonly push: Sent
  readonly serverHistory: string | null
  /** On whose behalf it is made. */
  readonly principal: string | undefined
  /** What it says of the keys that are held. */
  readonly scope: { readonly scope?: string }
  /** How far the collections were read that its removals may reach, and that are synced by themselves, by their paths. */
  readonly seen: ByPath<number>
}

/**
 * Writes down the next push and reads it in the same transaction, so that it has what was there at its limit. From now on that version is kept
 * until the answer is here: it is what both know if the push turns out to have arrived (docs/how-it-works.md, law 5).
 */
export function* preparePush(
  session: Session,
  exchanges: Exchanges,
  size: TransactionSize,
  ahead?: Batch,
): Transaction<Prepared | PushOutcome> {
  const { wire, log } = session
  const servers = exchanges.map(exchange => exchange.server)
  if (servers.some(server => server.push)) return 'again' // another sync of this database was faster
  // what is held back may be a reason to hold another one
  do for (const exchange of exchanges) yield* holdMoves(exchange)
  while (yield* holdParents(exchanges, wire.isFeed ? 'none' : 'others'))
  if (yield* isAnyUnapplied()) for (const exchange of exchanges) yield* noteUnpushed(exchange)
  let batch = ahead && (yield* isStillSo(exchanges, ahead)) ? ahead : yield* readBatch(session, exchanges, size)
  // the rest is pushed later: what was moved away from a removed row has to be pushed before that (law 23)
  if (batch.more && wire.isFeed && (yield* holdParents(exchanges, 'all'))) batch = yield* readBatch(session, exchanges, size)
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
  return { ...batch, push: { key, since }, serverHistory, principal: principalOf(servers), scope: heldScope(servers), seen }
}
