// Rows of a push that its user does not see any more, and of which no pull will speak.

import type { FeedStaleAnswer } from '../../protocol/messages.js'
import { nothingApplied, type Part } from '../apply/applied.js'
import { applyLeft } from '../apply/leave.js'
import { TransactionStamp } from '../exchange.js'
import { type Session, transaction } from '../session.js'
import { endIn } from './endPush.js'
import type { Sent } from './preparePush.js'

/**
 * Ends a push that others were faster than. A part of a row that the user does not see is answered as one of an unknown id: with a removal at stamp 0. The row
 * leaves, and what was changed in it is kept.
 */
export async function endStale(session: Session, push: Sent, { changes }: FeedStaleAnswer): Promise<void> {
  const parts = await transaction(session, function* (exchanges) {
    const parts: Part[] = []
    if (!(yield* endIn(exchanges, push))) return parts
    for (const { collection, path } of session.members) {
      const exchange = exchanges.find(each => each.collection === collection)
      // a server that shows everything to everybody has lost the row
      if (!exchange || exchange.server.scope === null) continue
      const updates = (changes.get(path) ?? []).filter(({ value, stamp }) => value === null && stamp === 0)
      if (updates.length) parts.push({ exchange, updates, applied: nothingApplied() })
    }
    const [any] = parts
    if (any) yield* applyLeft(parts, new TransactionStamp(any.exchange))
    return parts
  })
  for (const { exchange, applied } of parts) session.report.add(exchange.collection, applied)
}
