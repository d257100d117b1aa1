// As answers.ts, of the feed.

import { readStored } from './answers.js'
import { MalformedAnswerError } from './errors.js'
import { asAnswer, isThere, namesOf, optional, stampOf } from './members.js'
import type { FeedAnswer, FeedPushAnswer, FeedStaleAnswer, WireRow } from './messages.js'
import { readUpdates } from './updates.js'
import { isBoolean, isObject, isReset, isStaleReset, isText, isTexts, own } from './words.js'

/** An answer to a GET of the feed. Throws MalformedAnswerError. */
export function readFeedAnswer(body: unknown): FeedAnswer {
  const answer = asAnswer(body)
  const { collection } = optional(answer, 'collection', isText, 'a text')
  if (collection === undefined) throw new MalformedAnswerError('collection is missing')
  return {
    now: stampOf(answer, 'now'),
    collection,
    ...namesOf(answer),
    changes: readByPath(answer, 'changes', readUpdates),
    ...optional(answer, 'next', isText, 'a text'),
    ...optional(answer, 'full', isBoolean, 'true or false'),
    ...optional(answer, 'reset', isReset, 'a known reason'),
    ...optional(answer, 'scoped', isTexts, 'a list of paths'),
    ...optional(answer, 'unknown', isTexts, 'a list of paths'),
    ...(isThere(answer, 'properties') && { properties: readByPath(answer, 'properties', readTexts) }),
  }
}

/** An answer to a POST to the feed that was stored. Throws MalformedAnswerError. */
export function readFeedPushAnswer(body: unknown): FeedPushAnswer {
  const answer = asAnswer(body)
  return { ...readStored(body), ...(isThere(answer, 'ignored') && { ignored: readByPath(answer, 'ignored', readTexts) }) }
}

/** As `isStaleAnswer`, of the feed. */
export const isFeedStaleAnswer = (body: unknown): boolean =>
  isObject(body) && (Object.hasOwn(body, 'changes') || Object.hasOwn(body, 'reset'))

/** The 409 to a POST to the feed; as `readStaleAnswer`. Throws MalformedAnswerError. */
export function readFeedStaleAnswer(body: unknown): FeedStaleAnswer {
  const answer = asAnswer(body)
  const reset = optional(answer, 'reset', isStaleReset, 'a known reason')
  const isNeeded = (name: string) => reset.reset === undefined || Object.hasOwn(answer, name)
  return {
    now: isNeeded('now') ? stampOf(answer, 'now') : 0,
    changes: isNeeded('changes') ? readByPath(answer, 'changes', readUpdates) : new Map(),
    ...namesOf(answer),
    ...reset,
  }
}

function readByPath<T>(answer: WireRow, name: string, read: (value: unknown, name: string) => T): Map<string, T> {
  const groups = own(answer, name)
  if (!isObject(groups)) throw new MalformedAnswerError(`${name} is not an object`)
  return new Map(Object.keys(groups).map(path => [path, read(groups[path], `${name}[${path}]`)]))
}

function readTexts(texts: unknown, name: string): string[] {
  if (isTexts(texts)) return texts
  throw new MalformedAnswerError(`${name} is not a list of properties`)
}
