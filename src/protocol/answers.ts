// What a server answers becomes a message, or an error (PROTOCOL.md). Inside, types are trusted.

import { MalformedAnswerError } from './errors.js'
import { asAnswer, namesOf, optional, stampOf } from './members.js'
import type { PullAnswer, PushAnswer, StaleAnswer } from './messages.js'
import { readUpdates } from './updates.js'
import { isBoolean, isObject, isReset, isStaleReset, isStamp, isText, isTexts, own } from './words.js'

/** An answer to a GET; one of a server of 2011 as well. Throws MalformedAnswerError. */
export function readPullAnswer(body: unknown): PullAnswer {
  const answer = asAnswer(body)
  return {
    now: stampOf(answer, 'now'),
    updates: readUpdates(own(answer, 'updates'), 'updates'),
    ...optional(answer, 'collection', isText, 'a text'),
    ...namesOf(answer),
    ...optional(answer, 'next', isText, 'a text'),
    ...optional(answer, 'full', isBoolean, 'true or false'),
    ...optional(answer, 'reset', isReset, 'a known reason'),
    ...optional(answer, 'scoped', isTexts, 'a list of paths'),
    ...optional(answer, 'properties', isTexts, 'a list of properties'),
  }
}

/** An answer to a POST that was stored. Throws MalformedAnswerError. */
export function readPushAnswer(body: unknown): PushAnswer {
  return { ...readStored(body), ...optional(asAnswer(body), 'ignored', isTexts, 'a list of properties') }
}

export function readStored(body: unknown): Omit<PushAnswer, 'ignored'> {
  const answer = asAnswer(body)
  if (own(answer, 'status') !== 'ok') throw new MalformedAnswerError("status is not 'ok'")
  const now = stampOf(answer, 'now')
  const since = optional(answer, 'since', isStamp, 'a stamp')
  // the client moves from since to now, and never back
  if (since.since !== undefined && since.since > now) throw new MalformedAnswerError('since lies ahead of now')
  return {
    status: 'ok',
    now,
    ...since,
    ...namesOf(answer),
    ...(own(answer, 'replayed') === true && { replayed: true }),
    ...(own(answer, 'empty') === true && { empty: true }),
  }
}

/** Does the answer come from a server of ours, and not from a gateway? */
export const isStaleAnswer = (body: unknown): boolean => isObject(body) && (Object.hasOwn(body, 'updates') || Object.hasOwn(body, 'reset'))

/** The 409 to a POST. After a reset `now` is 0 and nothing is contested, unless the answer says so. Throws MalformedAnswerError. */
export function readStaleAnswer(body: unknown): StaleAnswer {
  const answer = asAnswer(body)
  const reset = optional(answer, 'reset', isStaleReset, 'a known reason')
  const isNeeded = (name: string) => reset.reset === undefined || Object.hasOwn(answer, name)
  return {
    now: isNeeded('now') ? stampOf(answer, 'now') : 0,
    updates: isNeeded('updates') ? readUpdates(own(answer, 'updates'), 'updates') : [],
    ...namesOf(answer),
    ...reset,
  }
}
