// Rows that the server has hung on one which is not seen: what is here of them is out of date, and in the way of removals.

import { savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import { readShownElsewhere } from '../apply/leave.js'
import { parkRows } from '../apply/purge.js'
import { readUnapplied } from '../apply/unapplied.js'
import { type Exchange, readRowStates, siblingOf, type TransactionStamp } from '../exchange.js'
import { findMissingParents } from './restoreParents.js'

/**
 * They leave their tables for the journal, with what was changed in them here, and wait for that row. Not those that another server shows, nor those about which
 * a handler is to be asked. False where there are none.
 */
export function* parkOutdated(exchange: Exchange, stamp: TransactionStamp): Transaction<boolean> {
  let isAny = false
  if (![...exchange.siblings.values()].some(server => server.isPart)) return isAny
  for (const collection of exchange.siblings.keys()) {
    const there = siblingOf(exchange, collection)
    if (!there) continue
    const ids = yield* findOutdated(there)
    if (!ids.length) continue
    isAny = true
    yield* stamp.take() // whoever read rows ahead sees by the clock that they have changed
    if (ids.length > 1 && (yield* tryToPark(there, ids))) continue
    for (const id of ids) yield* tryToPark(there, [id])
  }
  return isAny
}

function* findOutdated(exchange: Exchange): Transaction<string[]> {
  const waiting = [...(yield* readUnapplied(exchange))].filter(([, { reason }]) => reason === 'parent-missing').map(([id]) => id)
  if (!waiting.length) return []
  const here = [...(yield* readRowStates(exchange, waiting)).values()].filter(({ version }) => version.value !== null)
  const elsewhere = yield* readShownElsewhere(exchange, here)
  const outdated: string[] = []
  for (const { id, unapplied } of here)
    if (unapplied?.remote && !elsewhere.has(id) && (yield* findMissingParents(exchange, id, unapplied.remote)) === 'not-seen')
      outdated.push(id)
  return outdated
}

/** False where a row that cannot wait needs one of them: what is not synced. */
function* tryToPark(exchange: Exchange, ids: readonly string[]): Transaction<boolean> {
  try {
    yield* savepoint(() => parkRows(exchange, ids))
    return true
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    return false
  }
}
