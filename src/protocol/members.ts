// The members of an answer.

import { MalformedAnswerError } from './errors.js'
import type { Named, WireRow } from './messages.js'
import { isObject, isScope, isStamp, isText, own } from './words.js'

export function asAnswer(body: unknown): WireRow {
  if (isObject(body)) return body
  throw new MalformedAnswerError('it is not an object')
}

export function stampOf(answer: WireRow, name: string): number {
  const stamp = own(answer, name)
  if (isStamp(stamp)) return stamp
  throw new MalformedAnswerError(`${name} is not a stamp (a whole number of milliseconds)`)
}

// null means the same as absent
export const isThere = (answer: WireRow, name: string) => (own(answer, name) ?? undefined) !== undefined

// null means the same as absent
export function optional<Name extends string, T>(
  answer: WireRow,
  name: Name,
  is: (value: unknown) => value is T,
  what: string,
): { [N in Name]?: T } {
  const value = own(answer, name) ?? undefined
  if (value === undefined) return {}
  // a reason or a token that is not understood must not be passed over
  if (!is(value)) throw new MalformedAnswerError(`${name} is not ${what}`)
  return { [name]: value } as { [N in Name]?: T }
}

/** Who asked, and by which keys they see rows, as the server calls both; nothing where it knows no users. */
export const namesOf = (answer: WireRow): Named => ({
  ...optional(answer, 'principal', isText, 'a text'),
  ...optional(answer, 'scope', isScope, 'the name of a set of keys'),
})
