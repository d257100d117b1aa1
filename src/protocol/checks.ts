// The door of the client: what a server answers becomes a message, or an error (PROTOCOL.md). Inside, types are trusted. `requests.ts` is the
// door of the server.
// Rows are not copied: `value` is the parsed object itself, the envelope's names included, so read it by the names of columns, with `Object.hasOwn`.

import { MalformedAnswerError } from '../errors.js'
import type {
  FeedAnswer,
  FeedPushAnswer,
  FeedStaleAnswer,
  PullAnswer,
  PushAnswer,
  Rejection,
  StaleAnswer,
  Update,
  WireRow,
} from './messages.js'
import { isBoolean, isObject, isReset, isStamp, isText, isTexts, own } from './words.js'

// ---------------------------------------------------------------- of the routes

/** An answer to a GET; one of a server of 2011 as well. Throws MalformedAnswerError. */
export function readPullAnswer(body: unknown): PullAnswer {
  const answer = asAnswer(body)
  return {
    now: stampOf(answer, 'now'),
    updates: readUpdates(own(answer, 'updates'), 'updates'),
    ...optional(answer, 'collection', isText, 'a text'),
    ...optional(answer, 'next', isText, 'a text'),
    ...optional(answer, 'full', isBoolean, 'true or false'),
    ...optional(answer, 'reset', isReset, 'a known reason'),
    ...optional(answer, 'properties', isTexts, 'a list of properties'),
  }
}

/** An answer to a POST that was stored. Throws MalformedAnswerError. */
export function readPushAnswer(body: unknown): PushAnswer {
  return { ...readStored(body), ...optional(asAnswer(body), 'ignored', isTexts, 'a list of properties') }
}

function readStored(body: unknown): Omit<PushAnswer, 'ignored'> {
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
    ...(own(answer, 'replayed') === true && { replayed: true }),
    ...(own(answer, 'empty') === true && { empty: true }),
  }
}

/** Is it a server of ours that says so, and not something between? */
export const isStaleAnswer = (body: unknown): boolean => isObject(body) && (Object.hasOwn(body, 'updates') || Object.hasOwn(body, 'reset'))

/** The 409 to a POST. Where everything was reset `now` is 0 and nothing contested unless they are told. Throws MalformedAnswerError. */
export function readStaleAnswer(body: unknown): StaleAnswer {
  const answer = asAnswer(body)
  const reset = optional(answer, 'reset', isReset, 'a known reason')
  const isNeeded = (name: string) => reset.reset === undefined || Object.hasOwn(answer, name)
  return {
    now: isNeeded('now') ? stampOf(answer, 'now') : 0,
    updates: isNeeded('updates') ? readUpdates(own(answer, 'updates'), 'updates') : [],
    ...reset,
  }
}

/** The rejected rows of a 422; undefined where it names none, and so is about something else. */
export function readRejections(body: unknown): Rejection<string>[] | undefined {
  const errors = isObject(body) ? own(body, 'errors') : undefined
  if (!Array.isArray(errors) || errors.length === 0) return
  const rejections = errors.map(readRejection)
  return rejections.every(rejection => rejection !== undefined) ? rejections : undefined
}

function readRejection(error: unknown): Rejection<string> | undefined {
  const id = isObject(error) ? idOf(error) : undefined
  if (!isObject(error) || id === undefined) return
  const [collection, property, code, detail] = ['collection', 'property', 'code', 'detail'].map(name => own(error, name))
  return {
    ...(typeof collection === 'string' && { collection }),
    id,
    ...(typeof property === 'string' && { property }),
    code: typeof code === 'string' ? code : 'not-valid',
    detail: typeof detail === 'string' ? detail : '',
  }
}

// ---------------------------------------------------------------- of the feed

/** An answer to a GET of the feed. Throws MalformedAnswerError. */
export function readFeedAnswer(body: unknown): FeedAnswer {
  const answer = asAnswer(body)
  const { collection } = optional(answer, 'collection', isText, 'a text')
  if (collection === undefined) throw new MalformedAnswerError('collection is missing')
  return {
    now: stampOf(answer, 'now'),
    collection,
    changes: readByPath(answer, 'changes', readUpdates),
    ...optional(answer, 'next', isText, 'a text'),
    ...optional(answer, 'full', isBoolean, 'true or false'),
    ...optional(answer, 'reset', isReset, 'a known reason'),
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
  const reset = optional(answer, 'reset', isReset, 'a known reason')
  const isNeeded = (name: string) => reset.reset === undefined || Object.hasOwn(answer, name)
  return {
    now: isNeeded('now') ? stampOf(answer, 'now') : 0,
    changes: isNeeded('changes') ? readByPath(answer, 'changes', readUpdates) : new Map(),
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

// null says the same as absent
const isThere = (answer: WireRow, name: string) => (own(answer, name) ?? undefined) !== undefined

// ---------------------------------------------------------------- rows and members

function readUpdates(updates: unknown, name: string): Update[] {
  if (!Array.isArray(updates)) throw new MalformedAnswerError(`${name} is not an array`)
  return updates.map((row, index) => readUpdate(row, name, index))
}

function readUpdate(row: unknown, name: string, index: number): Update {
  const id = isObject(row) ? idOf(row) : undefined
  if (!isObject(row) || id === undefined) throw new MalformedAnswerError(`${name}[${index}] has no id`)
  // no database could note even that it waits
  if (id.includes('\0') || /\p{Surrogate}/u.test(id))
    throw new MalformedAnswerError(`the id of ${name}[${index}] has a NUL or half a character in it`)
  if (row.id !== id) row.id = id
  const value = isRemoved(own(row, '_removed'), name, index) ? null : row
  const stamp = own(row, '_lastChange')
  // what is no stamp counts as unpushed: no cursor comes from here
  return isStamp(stamp) ? { id, value, stamp } : { id, value }
}

// servers on SQLite or MySQL keep booleans as 0 and 1
function isRemoved(mark: unknown, name: string, index: number): boolean {
  if (mark === true || mark === 1) return true
  if (mark === undefined || mark === null || mark === false || mark === 0) return false
  throw new MalformedAnswerError(`${name}[${index}]._removed is not true or false`)
}

function idOf(row: WireRow): string | undefined {
  const id = own(row, 'id')
  if (typeof id === 'string') return id
  return Number.isSafeInteger(id) ? String(id) : undefined
}

function asAnswer(body: unknown): WireRow {
  if (isObject(body)) return body
  throw new MalformedAnswerError('it is not an object')
}

function stampOf(answer: WireRow, name: string): number {
  const stamp = own(answer, name)
  if (isStamp(stamp)) return stamp
  throw new MalformedAnswerError(`${name} is not a stamp (a whole number of milliseconds)`)
}

// null says the same as absent
function optional<Name extends string, T>(
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
