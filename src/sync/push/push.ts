import { type Session, TransactionSize, transaction } from '../session.js'
import type { SyncStatus } from '../status.js'
import { type Prepared, type PushOutcome, preparePush } from './preparePush.js'
import { sendPush } from './sendPush.js'

/** Rows in the first push; in the further ones as many as a transaction reads in its time. */
const FIRST_BATCH = 1_000

/** Pushes all local changes, and gives the sync status then; `again` where the server has to be read first. */
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
