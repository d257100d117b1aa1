// The updates of an answer.
// Rows are not copied: `value` is the parsed object itself, the envelope's names included, so read it by the names of columns, with `Object.hasOwn`.

import { MalformedAnswerError } from './errors.js'
import type { Update, WireRow } from './messages.js'
import { isObject, isStamp, own } from './words.js'

export function readUpdates(updates: unknown, name: string): Update[] {
  if (!Array.isArray(updates)) throw new MalformedAnswerError(`${name} is not an array`)
  return updates.map((row, index) => readUpdate(row, name, index))
}

function readUpdate(row: unknown, name: string, index: number): Update {
  const id = isObject(row) ? idOf(row) : undefined
  if (!isObject(row) || id === undefined) throw new MalformedAnswerError(`${name}[${index}] has no id`)
  // no database could store even that it is deferred
  if (id.includes('\0') || /\p{Surrogate}/u.test(id))
    throw new MalformedAnswerError(`the id of ${name}[${index}] has a NUL or half a character in it`)
  if (row.id !== id) row.id = id
  const value = isMarked(row, '_removed', name, index) ? null : row
  const stamp = own(row, '_lastChange')
  // of a row that is there it is a property of the application's, or means nothing
  const left = value === null && isMarked(row, '_left', name, index)
  // what is no stamp counts as unpushed: no cursor comes from here
  return { id, value, ...(isStamp(stamp) && { stamp }), ...(left && { left }) }
}

// servers on SQLite or MySQL keep booleans as 0 and 1
function isMarked(row: WireRow, property: string, name: string, index: number): boolean {
  const mark = own(row, property)
  if (mark === true || mark === 1) return true
  if (mark === undefined || mark === null || mark === false || mark === 0) return false
  throw new MalformedAnswerError(`${name}[${index}].${property} is not true or false`)
}

export function idOf(row: WireRow): string | undefined {
  const id = own(row, 'id')
  if (typeof id === 'string') return id
  return Number.isSafeInteger(id) ? String(id) : undefined
}
