// Tries again to apply rows that are not applied yet.

import type { Transaction } from '../../databases/database.js'
import type { Exchange, TransactionStamp } from '../exchange.js'
import { nothingApplied, type Part } from './applied.js'
import { applyTogether } from './apply.js'
import { readUnapplied } from './unapplied.js'

/**
 * Tries again to apply what is not applied, as long as that gets it further, in all collections of this server: rows of several
 * collections may need each other. Gives what became of it, and of what was tried before; contested is what is in the end.
 */
export function* applyUnapplied(exchange: Exchange, stamp: TransactionStamp, before: readonly Part[] = []): Transaction<Part[]> {
  const all = new Map(before.map(part => [part.exchange.collection, part]))
  for (let last = -1; ; ) {
    const parts: Part[] = []
    let count = 0
    for (const [there, server] of exchange.siblings) {
      const other: Exchange = { ...exchange, collection: there, server }
      const unapplied = yield* readUnapplied(other)
      count += unapplied.size
      const updates = [...unapplied].map(([id, { remote }]) => ({ id, value: remote }))
      if (updates.length) parts.push({ exchange: other, updates, applied: nothingApplied() })
    }
    if (count === last) return [...all.values()]
    last = count
    yield* applyTogether(parts, stamp)
    for (const { applied } of all.values()) applied.contested.clear()
    for (const part of parts) {
      const { stored, merged, contested } = part.applied
      const total = all.get(part.exchange.collection)?.applied ?? nothingApplied()
      all.set(part.exchange.collection, { ...part, applied: total })
      total.stored += stored
      total.merged += merged
      for (const id of contested) total.contested.add(id)
    }
  }
}
