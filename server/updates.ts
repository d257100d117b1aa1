// Writes updates the way that a collection's clients read them.

import type { Collection } from '../src/changes/collections/collection.js'
import { dateToNumber } from '../src/databases/columns.js'
import { type Update, type WireRow, writeUpdate } from '../src/protocol/messages.js'

export type WriteUpdate = (update: Update) => WireRow

/** A collection for clients of 2012 writes its dates as numbers (PROTOCOL.md, Values). */
export function updateWriter(collection: Collection, dates: 'iso' | 'number' = 'iso'): WriteUpdate {
  if (dates === 'iso') return writeUpdate
  const properties = collection.columns.filter(c => c.isDate).map(c => c.property)
  return update => {
    const row = writeUpdate(update)
    for (const property of properties) {
      const date = row[property]
      if (typeof date === 'string') row[property] = dateToNumber(date)
    }
    return row
  }
}
