import type { Json } from '../../../protocol/messages.js'
import { decodeBase64, encodeBase64 } from '../../values/base64.js'
import { bounded, bytesOf, type ColumnType, type Reject, textOf, withoutSpacesAtEnd } from '../../values/columnType.js'
import { decodeHex, encodeHex } from '../../values/hex.js'
import { jsonType, textType } from '../../values/texts.js'

export const readAsText = (expression: string) => `CAST(${expression} AS text)`

const anyText = textType(undefined)
// the server is slow with what is longer
const LONGEST = 1_000_000

/** A type that travels as the text that the server writes, in the settings of a transaction (PINNED). The server alone parses and spells it. */
export const spelledThere: ColumnType = bounded(
  {
    // as an item of an array or a client sees it: a cast of an address, or of XML, gives another text
    read: expression => `CASE WHEN ${expression} IS NOT NULL THEN format('%s', ${expression}) END`,
    placeholder: '?',
    isSpelledThere: true,
    // pg makes objects of intervals and points
    toWire: cell => (isObject(cell) ? (cell.toPostgres?.() ?? JSON.stringify(cell)) : textOf(cell)),
    fromWire: anyText.fromWire,
  },
  LONGEST,
)

type DriverObject = { toPostgres?(): string; x?: number; y?: number; radius?: number }

function isObject(cell: unknown): cell is DriverObject {
  return typeof cell === 'object' && cell !== null && !bytesOf(cell)
}

/** `(1,2)` and `<(1,2),3>`, of which pg makes objects. */
export const pointType: ColumnType = {
  ...spelledThere,
  toWire(cell) {
    if (!isObject(cell)) return spelledThere.toWire(cell)
    return cell.radius === undefined ? `(${cell.x},${cell.y})` : `<(${cell.x},${cell.y}),${cell.radius}>`
  },
}

/** Times, and ranges of dates: in digits, for words such as `now` and names of zones mean something else from day to day. */
export const timeType: ColumnType = {
  ...spelledThere,
  fromWire(value, reject) {
    const text = spelledThere.fromWire(value, reject) as string
    return /[^\d\s:.,+\-TZ"()[\]{}]/i.test(text.replace(/infinity|empty/gi, '')) ? reject('is not written in digits') : text
  },
}

/** Times with zone: UTC where none is named, since otherwise it would be the session's. */
export const timetzType: ColumnType = {
  ...timeType,
  fromWire(value, reject) {
    const text = timeType.fromWire(value, reject) as string
    return /(z|[+-][\d:]+)\s*$/i.test(text) ? text : `${text}+00`
  },
}

const inUtc = (range: string) =>
  `CASE WHEN isempty(${range}) THEN tsrange 'empty' ELSE tsrange(lower(${range}) AT TIME ZONE 'UTC', upper(${range}) AT TIME ZONE 'UTC', ` +
  `CASE WHEN lower_inc(${range}) THEN '[' ELSE '(' END || CASE WHEN upper_inc(${range}) THEN ']' ELSE ')' END) END`

/** Ranges of moments, in UTC, where the server would read and write them in the session's zone. */
export function momentsType(isMulti: boolean): ColumnType {
  const withZone = (text: string) =>
    text
      .replace(/(\d{4}-\d\d-\d\d)(?=\s*"?\s*[,)\]])/g, '$1 00:00')
      .replace(/(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?=\s*"?\s*[,)\]])/g, '$1+00')
  return {
    ...spelledThere,
    read: isMulti
      ? expression =>
          `CASE WHEN ${expression} IS NOT NULL THEN format('%s', coalesce((SELECT range_agg(${inUtc('sync_part.range')}) ` +
          `FROM unnest(${expression}) AS sync_part(range)), '{}')) END`
      : expression => spelledThere.read(`(${inUtc(expression)})`),
    toWire: cell => withZone(textOf(cell)),
    fromWire: (value, reject) => withZone(timeType.fromWire(value, reject) as string),
  }
}

export function postgresText(length: number | undefined): ColumnType {
  return { ...textType(length), read: readAsText }
}

/** `char(n)`, without the blanks that the server fills it up with: other databases do not, and they do not count in comparisons. */
export function charType(length: number): ColumnType {
  const type = textType(length)
  return {
    read: readAsText,
    placeholder: '?',
    toWire: cell => withoutSpacesAtEnd(textOf(cell)),
    fromWire: (value, reject) => type.fromWire(typeof value === 'string' ? withoutSpacesAtEnd(value) : value, reject),
  }
}

export const byteaType: ColumnType = {
  read: readAsText,
  placeholder: '?',
  toWire(cell) {
    const bytes = bytesOf(cell)
    if (bytes) return encodeBase64(bytes)
    const text = textOf(cell)
    return encodeBase64((text.startsWith('\\x') ? decodeHex(text, 2) : undefined) ?? new TextEncoder().encode(text))
  },
  fromWire(value, reject) {
    const bytes = (typeof value === 'string' ? decodeBase64(value) : undefined) ?? reject('is not base64')
    return `\\x${encodeHex(bytes)}`
  },
}

const jsonText = jsonType(true)

export const postgresJson: ColumnType = { ...jsonText, read: readAsText }

/** Other than `json`, it holds what the text means, and PostgreSQL has no NUL and no half characters. */
export const postgresJsonb: ColumnType = {
  ...postgresJson,
  fromWire(value, reject) {
    const text = jsonText.fromWire(value, reject)
    rejectOddCharacters(value, reject)
    return text
  },
}

function rejectOddCharacters(value: Json, reject: Reject): void {
  if (typeof value === 'string') anyText.fromWire(value, reject)
  if (typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value)) anyText.fromWire(key, reject)
  for (const item of Object.values(value)) rejectOddCharacters(item, reject)
}

/** PostGIS: GeoJSON, as TypeORM has it. */
export const geoJsonType: ColumnType = {
  ...postgresJsonb,
  read: expression => `ST_AsGeoJSON(${expression})`,
  fromWire(value, reject) {
    const isShape = typeof value === 'object' && !Array.isArray(value) && typeof value.type === 'string'
    return isShape ? postgresJsonb.fromWire(value, reject) : reject('is not GeoJSON')
  },
}

export const uuidType: ColumnType = {
  read: readAsText,
  placeholder: '?',
  toWire: textOf,
  fromWire: (value, reject) =>
    typeof value === 'string' && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)
      ? value.toLowerCase()
      : reject('is not a UUID'),
}

/** Checked here: a cast cuts off what is too long, and fills up what is too short. */
export function bitType(length: number | undefined, isVarying: boolean): ColumnType {
  const fits = (text: string) => (isVarying ? length === undefined || text.length <= length : text.length === (length ?? 1))
  const size = isVarying ? (length ? `${length} bits at most` : 'bits') : `${length ?? 1} bits`
  return bounded(
    {
      read: readAsText,
      placeholder: '?',
      toWire: textOf,
      fromWire: (value, reject) => (typeof value === 'string' && fits(value) && /^[01]*$/.test(value) ? value : reject(`is not ${size}`)),
    },
    LONGEST,
  )
}
