// The updates of a page, in the order in which they are stored.

import type { Collection } from '../../changes/collections/collection.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import type { Transaction } from '../../databases/database.js'
import type { ByPath, Update } from '../../protocol/messages.js'
import { nothingApplied, type Part } from '../apply/applied.js'
import { applyTogether } from '../apply/apply.js'
import { applyUnknown } from '../apply/applyUnread.js'
import { TransactionStamp } from '../exchange.js'
import type { Exchanges, Session } from '../session.js'
import { noteSeen } from './sweep.js'

export interface Change {
  readonly collection: Collection
  readonly update: Update
}

/** How rows are applied. */
export type Apply = (parts: readonly Part[], stamp: TransactionStamp) => Transaction<void>

/**
 * The updates of a page in the order in which they are stored: that of the changes, so that what was one change there is seldom cut. What a
 * first answer brings is new: rows after those which they may need.
 */
export function inOrder({ members }: Session, asked: readonly ServerState[], groups: ByPath<readonly Update[]>): Change[] {
  const changes: Change[] = []
  for (const { collection, serverId, path } of members)
    if (asked.some(({ id }) => id === serverId)) for (const update of groups.get(path) ?? []) changes.push({ collection, update })
  const isFirst = asked.every(({ serverDate }) => serverDate === 0)
  return isFirst || groups.size < 2 ? changes : changes.sort((x, y) => (x.update.stamp ?? 0) - (y.update.stamp ?? 0))
}

/** Stores updates, with the stamp of one transaction. Gives what became of them, by collection. */
export function* storeUpdates(exchanges: Exchanges, changes: readonly Change[], apply: Apply): Transaction<Part[]> {
  const [any] = exchanges
  if (!any || !changes.length) return []
  const stamp = new TransactionStamp(any)
  const parts = exchanges.flatMap((exchange): Part[] => {
    const updates = changes.filter(c => c.collection === exchange.collection).map(c => c.update)
    return updates.length ? [{ exchange, updates, applied: nothingApplied() }] : []
  })
  const left: Part[] = []
  for (const part of parts) {
    const { server } = part.exchange
    const isFirst = server.serverDate === 0 && !server.sweeping && apply === applyTogether
    if (isFirst && (yield* applyUnknown(part.exchange, part.updates, stamp))) part.applied.stored += part.updates.length
    else left.push(part)
  }
  yield* apply(left, stamp)
  for (const { exchange, updates } of parts) yield* noteSeen(exchange, updates)
  return parts
}
