import { DEEPEST, isDeeperThan } from '../../protocol/depth.js'
import type { Json } from '../../protocol/messages.js'
import { bytesOf, type ColumnType, type Reject, textOf } from './columnType.js'

// sql.js drops a byte order mark at the beginning, libsql all behind a NUL: such texts are read as bytes
const asText = {
  read: (expression: string) =>
    `CASE WHEN unicode(${expression}) = 65279 OR instr(${expression}, char(0)) THEN CAST(${expression} AS BLOB) ELSE ${expression} END`,
  placeholder: '?',
}

export function textType(length: number | undefined): ColumnType {
  return {
    ...asText,
    toWire: textOf,
    fromWire(value, reject) {
      const text = wellFormed(value, reject)
      // in characters, as databases count, not in UTF-16 units
      const tooLong = length !== undefined && text.length > length && (text.length > 2 * length || [...text].length > length)
      return tooLong ? reject(`is longer than ${length} characters`) : text
    },
  }
}

/** `simple-array`: an array of strings, stored with commas between them. */
export const arrayType: ColumnType = {
  ...asText,
  toWire: cell => splitAtCommas(textOf(cell)),
  fromWire(value, reject) {
    if (!Array.isArray(value)) return reject('is not an array of strings')
    const items = value.map(item => wellFormed(item, reject))
    const text = items.join(',')
    // ['a,b'] and [''] would come back as something else
    return splitAtCommas(text).length === items.length ? text : reject('has an item that a list with commas cannot hold')
  },
}

/** One value of the list, or an array of them; a number where the list has the number. */
export function enumType(list: readonly (string | number)[] | undefined, isArray: boolean): ColumnType {
  const known = list && new Map<string, string | number>(list.map(item => [String(item), item]))
  const read = (text: string) => known?.get(text) ?? text
  const write = (value: Json | undefined, reject: Reject) => {
    if (typeof value !== 'string' && typeof value !== 'number') return reject('is not one of the listed values')
    const text = wellFormed(String(value), reject)
    return !known || known.has(text) ? text : reject('is not one of the listed values')
  }
  if (!isArray) return { ...asText, toWire: cell => read(textOf(cell)), fromWire: write }
  return {
    ...asText,
    toWire: cell => splitAtCommas(textOf(cell)).map(read),
    fromWire: (value, reject) => (Array.isArray(value) ? value.map(item => write(item, reject)).join(',') : reject('is not an array')),
  }
}

/** JSON as text. A column of type `json` has SQLite's numeric affinity: it turns a lone number's text into a number. */
export function jsonType(isText: boolean): ColumnType {
  return {
    read: expression => expression,
    placeholder: '?',
    toWire: jsonOf,
    fromWire(value, reject) {
      // a fraction as the number that it is: SQLite's own reading of its text may be another double
      if (!isText && typeof value === 'number' && Number.isFinite(value) && !Number.isInteger(value)) return value
      return jsonText(value, reject)
    },
  }
}

/** SQLite's binary JSON. What is no JSON is read as it is, where `json()` would fail. */
export const jsonbType: ColumnType = {
  read: expression => `CASE WHEN json_valid(${expression}, 10) THEN json(${expression}) ELSE ${expression} END`,
  placeholder: 'jsonb(?)',
  toWire: jsonOf,
  fromWire: jsonText,
}

function jsonOf(cell: unknown): Json {
  if (typeof cell === 'number' && Number.isFinite(cell)) return cell
  const text = bytesOf(cell) ? textOf(cell) : String(cell)
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function jsonText(value: Json, reject: Reject): string {
  if (isDeeperThan(value, DEEPEST)) return reject(`is nested deeper than ${DEEPEST} levels`)
  return JSON.stringify(value) ?? reject('is not JSON')
}

function splitAtCommas(text: string): string[] {
  return text === '' ? [] : text.split(',')
}

function wellFormed(value: unknown, reject: Reject): string {
  if (typeof value !== 'string') return reject('is not a string')
  if (value.includes('\0')) return reject('contains a NUL character')
  return /\p{Surrogate}/u.test(value) ? reject('contains half a character (a lone surrogate)') : value
}
