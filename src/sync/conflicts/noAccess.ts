// Changes of rows that are not seen any more, as the journal discards them.

import { forgetBasesOf } from '../../changes/servers/baseVersions.js'
import { writeNoAccess } from '../../changes/servers/noAccess.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { serversOf } from '../../changes/servers/servers.js'
import type { Transaction } from '../../databases/database.js'
import { purgeUnseen, readShownElsewhere } from '../apply/leave.js'
import { forgetUnapplied } from '../apply/unapplied.js'
import { type Exchange, TransactionStamp } from '../exchange.js'

/** Is a change of ours kept apart for this server? */
export const isKeptApart = ({ noAccess }: RowState): boolean => noAccess?.local !== undefined

/** Discards it. A row that was made anew under its id goes as well, unless another server shows it. Throws ConstraintError where a row needs that one. */
export function* discardApart(exchange: Exchange, state: RowState): Transaction<void> {
  const { log, collection, server } = exchange
  const { id, version, unapplied, noAccess } = state
  if (version.stamp > 0) {
    if ((yield* readShownElsewhere(exchange, [state])).size)
      return yield* writeNoAccess(log.database, [{ server: server.id, id, local: undefined, base: undefined }])
    yield* purgeUnseen(exchange, state, new TransactionStamp(exchange))
  } else if (noAccess?.base === null) {
    // a row that this server makes under the id is no edit of what others have of ours
    yield* forgetBasesOf(log.database, collection, yield* serversOf(collection), id)
  }
  yield* log.database.deleteRows('sync_no_access', ['server', 'id'], [[server.id, id]])
  // it was made here, and waited for rows that it needs
  if (unapplied?.remote === null) yield* forgetUnapplied(exchange, [id])
}
