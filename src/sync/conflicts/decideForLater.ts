// A decision that needs a row which is not seen waits in the journal (docs/how-it-works.md, law 18).

import { isInPush } from '../../changes/servers/agreement.js'
import { changeNoAccess, writeNoAccess } from '../../changes/servers/noAccess.js'
import { serversOf } from '../../changes/servers/servers.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Resolved } from '../apply/candidates.js'
import { readShownElsewhere } from '../apply/leave.js'
import { isSameRow } from '../apply/merge.js'
import { parkRows } from '../apply/purge.js'
import { writeUnapplied } from '../apply/unapplied.js'
import { type Exchange, readRowStates, type TransactionStamp } from '../exchange.js'

/**
 * The row leaves its table for the journal: what was decided is our side, the server's row is its base, and it is stored and pushed when the row that it needs
 * is there. Of a decision for the server's side nothing of ours remains. False where another server shows the row, or a push carries it: then it stays as it
 * is, and nobody is asked again before that row is there. Throws ConstraintError where a row that cannot wait needs it.
 */
export function* decideForLater(exchange: Exchange, { state, remote, value }: Resolved, stamp: TransactionStamp): Transaction<boolean> {
  const { log, collection, server } = exchange
  const { database } = log
  const { id } = state
  if (isInPush(server, state)) return false
  if ((yield* readShownElsewhere(exchange, [state])).size) {
    yield* writeUnapplied(exchange, [{ state, remote, reason: 'parent-missing' }])
    return false
  }
  yield* stamp.take() // whoever read rows ahead sees by the clock that they have changed
  yield* parkRows(exchange, [id])
  yield* changeNoAccess(yield* serversOf(collection), id, value)
  if (saysNothing(value, remote)) yield* database.deleteRows('sync_no_access', ['server', 'id'], [[server.id, id]])
  else yield* writeNoAccess(database, [{ server: server.id, id, local: value, base: remote }])
  const parked = (yield* readRowStates(exchange, [id])).get(id)
  if (parked) yield* writeUnapplied(exchange, [{ state: parked, remote, reason: 'parent-missing' }])
  return true
}

/** The server's row has all of it; what that lacks, an older schema does not know. */
const saysNothing = (value: WireRow | null, remote: WireRow | null) =>
  isSameRow(value, remote) && Object.entries(value ?? {}).every(([p, ours]) => ours === null || Object.hasOwn(remote ?? {}, p))
