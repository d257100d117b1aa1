// Stores rows of which this database knows nothing that the server does not know, as most are, without reading them.

import type { Collection } from '../../changes/collections/collection.js'
import { findOrphans } from '../../changes/rows/orphans.js'
import { NEVER } from '../../changes/rows/rows.js'
import { agreedSql } from '../../changes/servers/agreement.js'
import { readIdsOfBases } from '../../changes/servers/baseVersions.js'
import { isAnythingKnown, readKinds } from '../../changes/servers/rowStates.js'
import { hasOtherServers } from '../../changes/servers/servers.js'
import { forgetUnmovedExits, noteAnyExits, readMoves } from '../../changes/store/exits.js'
import { insertNew } from '../../changes/store/store.js'
import { quote, Rollback, type Transaction } from '../../databases/database.js'
import { ConstraintError, ValueError } from '../../errors.js'
import type { Update, WireRow } from '../../protocol/messages.js'
import type { Exchange, TransactionStamp } from '../exchange.js'
import type { Applied } from './applied.js'

/**
 * Stores rows of which we know nothing that the server does not know, as most are, without reading them; what is left has to be read.
 * Not where something else decides about them: another server, the journal, or a parent that may come along with them.
 */
export function* applyUnread(exchange: Exchange, left: Map<string, Update>, applied: Applied, stamp: TransactionStamp): Transaction<void> {
  const { log, collection, server } = exchange
  const { columns, table, parents } = collection
  const { database } = log
  if (!database.updateRowsWhere || parents.some(r => r.parent === collection) || !columns.length || !left.size) return
  const { unapplied, rejected, ignored, baseVersions, noAccess } = yield* readKinds(collection, server)
  if (unapplied || rejected || ignored || noAccess || (yield* database.mayChange(table)) || (yield* hasOtherServers(collection, server.id)))
    return
  // of a row that was changed here the server's version is kept
  const changed = baseVersions ? yield* readIdsOfBases(database, collection, server, [...left.keys()]) : new Set()
  const whole = [...left.values()].filter(
    (u): u is Update & { value: WireRow } => u.value !== null && !changed.has(u.id) && isWhole(collection, u.id, u.value),
  )
  const orphans = yield* findOrphans(
    database,
    collection,
    whole.map(({ id, value }) => ({ id, value, old: NEVER })),
  )
  const updates = whole.filter(({ id }) => !orphans.has(id))
  if (!updates.length) return
  const moves = yield* readMoves(database, collection, updates)
  try {
    const counts = yield* stamp.savepoint(function* () {
      const now = yield* stamp.take()
      const rows = updates.map(({ id, value }) => [now, ...columns.map(c => c.fromWire(value[c.property] as never)), id])
      const agreed = agreedSql(server, quote(table.key))
      yield* noteAnyExits(database, collection, moves, now)
      const changed = yield* database.updateRowsWhere!(table.name, ['_lastChange', ...columns], table.key, agreed, rows)
      yield* forgetUnmovedExits(database, collection, moves, now)
      if (changed.every(count => count === 0)) throw new NothingChanged()
      return changed
    })
    for (const [i, { id }] of updates.entries()) if (counts[i] && left.delete(id)) applied.stored++
  } catch (error) {
    // or one of them cannot be stored: which, is found by looking
    if (!(error instanceof NothingChanged || error instanceof ValueError || error instanceof ConstraintError)) throw error
  }
}

/** A stamp that nothing has would move the clock, and clients would fetch what they know. */
class NothingChanged extends Rollback {}

const isWhole = ({ columns, rejectKey }: Collection, id: string, value: WireRow) =>
  rejectKey(id, value) === undefined && columns.every(c => Object.hasOwn(value, c.property))

/**
 * Inserts rows of a full answer to a database that knows none of them, as it usually is. False, and nothing is stored, where the database
 * knows one, or does not accept one as it is: then each has to be read.
 */
export function* applyUnknown(
  { log, collection, server }: Exchange,
  updates: readonly Update[],
  stamp: TransactionStamp,
): Transaction<boolean> {
  if ((yield* isAnythingKnown(collection, server)) || (yield* log.database.mayChange(collection.table))) return false
  yield* stamp.take() // outside of the savepoint
  return (yield* insertNew(log.database, collection, updates, () => stamp.take())) !== undefined
}
