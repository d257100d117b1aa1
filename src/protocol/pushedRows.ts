// The body of a POST becomes rows, or an error (PROTOCOL.md). Inside, types are trusted.
// Rows are not copied: `value` is the parsed object itself, the envelope's names included, so read it by the names of columns, with `Object.hasOwn`.

import { deepProperty } from './depth.js'
import { BadRequestError } from './errors.js'
import type { PushedRow, Rejection, WireRow } from './messages.js'
import { isObject, own } from './words.js'

const LONGEST_ID = 255

/**
 * The rows of a POST, and a rejection for each id that is none, comes twice, or whose row is marked wrongly.
 * A rejection's id is the one that was sent, '' where that is no string. Throws BadRequestError for a body that is not an array of objects.
 */
export function readPushedRows(body: unknown): { rows: PushedRow[]; rejections: Rejection[] } {
  if (!Array.isArray(body)) throw new BadRequestError('The body is not a JSON array of rows.')
  const rows: PushedRow[] = []
  const rejections: Rejection[] = []
  const seen = new Map<string, WireRow | undefined>()
  for (const [index, row] of body.entries()) {
    if (!isObject(row)) throw new BadRequestError(`Row ${index} of the body is not an object.`)
    const id = own(row, 'id')
    const why = whyNoId(id)
    if (typeof id !== 'string' || why !== undefined) {
      rejections.push({ id: typeof id === 'string' ? id : '', code: 'bad-id', detail: `The id of row ${index} ${why}.` })
      continue
    }
    if (seen.has(id)) {
      const before = seen.get(id)
      // persistence.js sent each removal twice, from December 2011 to August 2012
      if (before === undefined || isSamePush(before, row)) continue
      // one rejection, however often it comes
      seen.set(id, undefined)
      rejections.push({ id, code: 'duplicate-id', detail: 'The id comes more than once; which row is meant?' })
      continue
    }
    seen.set(id, row)
    const mark = ['_removed', '_partial'].find(name => !isMark(own(row, name)))
    if (mark) rejections.push({ id, property: mark, code: 'not-valid', detail: `${mark} is neither true nor false.` })
    else if (own(row, '_removed') === true) rows.push({ id, value: null, partial: false })
    else rows.push({ id, value: row, partial: own(row, '_partial') === true })
  }
  return { rows, rejections }
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

/** The groups of a POST to the feed, by their paths. Throws BadRequestError for a body that is no object with arrays in `changes`. */
export function readFeedGroups(body: unknown): Map<string, unknown[]> {
  const changes = isObject(body) ? own(body, 'changes') : undefined
  if (!isObject(changes)) throw new BadRequestError('The body is not {"changes": {…}}: rows by the paths of their collections.')
  return new Map(
    Object.keys(changes).map(path => {
      const rows = changes[path]
      if (Array.isArray(rows)) return [path, rows]
      throw new BadRequestError('What the body says of a path is not an array of rows.')
    }),
  )
}
