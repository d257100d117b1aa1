// The door: what came from outside becomes a message, or an error (PROTOCOL.md). Inside, types are trusted.
// Rows are not copied: `value` is the parsed object itself, the envelope's names included, so read it by the names of columns, with `Object.hasOwn`.

import { BadRequestError, MalformedAnswerError } from '../errors.js'
import { deepProperty } from './depth.js'
import type { PullAnswer, PullQuery, PushAnswer, PushedRow, Refusal, Reset, StaleAnswer, Update, WireRow } from './messages.js'

// ---------------------------------------------------------------- what the client receives

/** An answer to a GET; one of a server of 2011 as well. Throws MalformedAnswerError. */
export function readPullAnswer(body: unknown): PullAnswer {
  const answer = asAnswer(body)
  return {
    now: stampOf(answer, 'now'),
    updates: readUpdates(answer),
    ...optional(answer, 'collection', isText, 'a text'),
    ...optional(answer, 'next', isText, 'a text'),
    ...optional(answer, 'full', isBoolean, 'true or false'),
    ...optional(answer, 'reset', isReset, 'a known reason'),
    ...optional(answer, 'properties', isTexts, 'a list of properties'),
  }
}

/** An answer to a POST that was stored. Throws MalformedAnswerError. */
export function readPushAnswer(body: unknown): PushAnswer {
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
    ...optional(answer, 'ignored', isTexts, 'a list of properties'),
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
  const isTold = (name: string) => reset.reset === undefined || Object.hasOwn(answer, name)
  return { now: isTold('now') ? stampOf(answer, 'now') : 0, updates: isTold('updates') ? readUpdates(answer) : [], ...reset }
}

/** The refused rows of a 422; undefined where it names none, and so is about something else. */
export function readRefusals(body: unknown): Refusal<string>[] | undefined {
  const errors = isObject(body) ? own(body, 'errors') : undefined
  if (!Array.isArray(errors) || errors.length === 0) return
  const refusals = errors.map(readRefusal)
  return refusals.every(refusal => refusal !== undefined) ? refusals : undefined
}

function readRefusal(error: unknown): Refusal<string> | undefined {
  const id = isObject(error) ? idOf(error) : undefined
  if (!isObject(error) || id === undefined) return
  const [property, code, detail] = ['property', 'code', 'detail'].map(name => own(error, name))
  return {
    id,
    ...(typeof property === 'string' && { property }),
    code: typeof code === 'string' ? code : 'not-valid',
    detail: typeof detail === 'string' ? detail : '',
  }
}

function readUpdates(answer: WireRow): Update[] {
  const updates = own(answer, 'updates')
  if (!Array.isArray(updates)) throw new MalformedAnswerError('updates is not an array')
  return updates.map(readUpdate)
}

function readUpdate(row: unknown, index: number): Update {
  const id = isObject(row) ? idOf(row) : undefined
  if (!isObject(row) || id === undefined) throw new MalformedAnswerError(`updates[${index}] has no id`)
  // no database could note even that it waits
  if (id.includes('\0') || /\p{Surrogate}/u.test(id))
    throw new MalformedAnswerError(`the id of updates[${index}] has a NUL or half a character in it`)
  if (row.id !== id) row.id = id
  const value = isRemoved(own(row, '_removed'), index) ? null : row
  const stamp = own(row, '_lastChange')
  // what is no stamp counts as untold: no cursor comes from here
  return isStamp(stamp) ? { id, value, stamp } : { id, value }
}

// servers on SQLite or MySQL keep booleans as 0 and 1
function isRemoved(mark: unknown, index: number): boolean {
  if (mark === true || mark === 1) return true
  if (mark === undefined || mark === null || mark === false || mark === 0) return false
  throw new MalformedAnswerError(`updates[${index}]._removed is not true or false`)
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

// ---------------------------------------------------------------- what the server receives

const LONGEST_ID = 255

/**
 * The rows of a POST, and a refusal for each id that is none, comes twice, or whose row is marked wrongly.
 * A refusal's id is the one that was sent, '' where that is no string. Throws BadRequestError for a body that is not an array of objects.
 */
export function readPushedRows(body: unknown): { rows: PushedRow[]; refusals: Refusal[] } {
  if (!Array.isArray(body)) throw new BadRequestError('The body is not a JSON array of rows.')
  const rows: PushedRow[] = []
  const refusals: Refusal[] = []
  const seen = new Map<string, WireRow | undefined>()
  for (const [index, row] of body.entries()) {
    if (!isObject(row)) throw new BadRequestError(`Row ${index} of the body is not an object.`)
    const id = own(row, 'id')
    const why = whyNoId(id)
    if (typeof id !== 'string' || why !== undefined) {
      refusals.push({ id: typeof id === 'string' ? id : '', code: 'bad-id', detail: `The id of row ${index} ${why}.` })
      continue
    }
    if (seen.has(id)) {
      const before = seen.get(id)
      // persistence.js told each removal twice, from December 2011 to August 2012
      if (before === undefined || isSamePush(before, row)) continue
      // said once, however often it comes
      seen.set(id, undefined)
      refusals.push({ id, code: 'duplicate-id', detail: 'The id comes more than once; which row is meant?' })
      continue
    }
    seen.set(id, row)
    const mark = ['_removed', '_partial'].find(name => !isMark(own(row, name)))
    if (mark) refusals.push({ id, property: mark, code: 'not-valid', detail: `${mark} is neither true nor false.` })
    else if (own(row, '_removed') === true) rows.push({ id, value: null, partial: false })
    else rows.push({ id, value: row, partial: own(row, '_partial') === true })
  }
  return { rows, refusals }
}

const isSamePush = (x: WireRow, y: WireRow) =>
  (own(x, '_removed') === true && own(y, '_removed') === true) ||
  (deepProperty(x) === undefined && deepProperty(y) === undefined && JSON.stringify(x) === JSON.stringify(y))

const isMark = (value: unknown) => value === undefined || typeof value === 'boolean'

function whyNoId(id: unknown): string | undefined {
  if (id === undefined) return 'is missing'
  if (typeof id !== 'string') return 'is not a string'
  if (id === '') return 'is empty'
  // in characters, as databases count, of which each is one or two of JavaScript's; a 10 MB id is not counted
  if (id.length > LONGEST_ID && (id.length > 2 * LONGEST_ID || [...id].length > LONGEST_ID))
    return `is longer than ${LONGEST_ID} characters`
  if (id.includes('\0')) return 'contains a NUL character'
  if (/\p{Surrogate}/u.test(id)) return 'contains half a character (a lone surrogate)'
  // the change log's own name for "after all ids"
  if (id.startsWith('\u{10ffff}')) return 'begins with U+10FFFF'
  return
}

type Query = Record<string, string | string[] | undefined>

const PARAMETERS = ['since', 'limit', 'after', 'min', 'collection', 'seen', 'properties', 'idempotency-key']

/** Throws BadRequestError for a name that looks like one of the protocol's and is none; others, such as a cache buster's, are passed over. */
function checkNames(query: Query): void {
  for (const name of Object.keys(query)) {
    const meant = /^[^[.]*/.exec(name)?.[0].trim().toLowerCase() ?? ''
    if (PARAMETERS.includes(meant) && name !== meant)
      throw new BadRequestError(`A parameter is not called ${meant}, but looks like it: write ${meant}=…, once.`)
  }
}

/** The query of a GET. Throws BadRequestError: what is no stamp must not become a full dump by accident. */
export function readPullQuery(query: Query): PullQuery {
  checkNames(query)
  const limit = numberOf(query, 'limit')
  if (limit === 0) throw new BadRequestError('limit is 0; ask for one update at least.')
  return {
    since: sinceOf(query) ?? 0,
    ...given('limit', limit),
    ...given('after', textOf(query, 'after')),
    ...given('min', numberOf(query, 'min')),
    ...given('collection', textOf(query, 'collection')),
    ...given('properties', propertiesOf(query)),
  }
}

/** The query of a POST. Throws BadRequestError. */
export function readPushQuery(query: Query): { since?: number; collection?: string; seen?: ReadonlyMap<string, number>; key?: string } {
  checkNames(query)
  return {
    ...given('since', sinceOf(query)),
    ...given('collection', textOf(query, 'collection')),
    ...given('seen', seenOf(query)),
    ...given('key', textOf(query, 'idempotency-key')),
  }
}

function propertiesOf(query: Query): string[] | undefined {
  return textOf(query, 'properties')
    ?.split(',')
    .map(property => property.replaceAll('%2C', ','))
}

// «12:/taskChanges,7:/noteChanges»: how far collections were read, by their paths
function seenOf(query: Query): ReadonlyMap<string, number> | undefined {
  const text = textOf(query, 'seen')
  if (!text) return
  return new Map(
    text.split(',').map(part => {
      const [, stamp = '', path] = /^(\d+):(\/.*)$/.exec(part) ?? []
      if (path && Number.isSafeInteger(Number(stamp))) return [path, Number(stamp)]
      throw new BadRequestError('seen is no list of stamps and paths, as in 12:/taskChanges,7:/noteChanges.')
    }),
  )
}

// persistence.js sends 'null' before its first success
function sinceOf(query: Query): number | undefined {
  const since = textOf(query, 'since')
  return since === '' || since === 'null' ? 0 : numberOf(query, 'since')
}

function numberOf(query: Query, name: string): number | undefined {
  const text = textOf(query, name)
  if (text === undefined) return
  const number = Number(text)
  // Number reads '1e3', '0x10' and ' ' as well
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number
  throw new BadRequestError(`${name} is not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, in digits.`)
}

function textOf(query: Query, name: string): string | undefined {
  const text: unknown = own(query, name)
  if (text === undefined || typeof text === 'string') return text
  throw new BadRequestError(`${name} is given more than once.`)
}

const given = <Name extends string, T>(name: Name, value: T | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { [N in Name]?: T }

// ---------------------------------------------------------------- words

// what a prototype says was not sent
const own = <T>(object: Record<string, T>, name: string): T | undefined => (Object.hasOwn(object, name) ? object[name] : undefined)

const isObject = (value: unknown): value is WireRow => typeof value === 'object' && value !== null && !Array.isArray(value)
const isStamp = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(text => typeof text === 'string')
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'
const isReset = (value: unknown): value is Reset => value === 'collection-changed' || value === 'since-too-old'
