import type { Json } from '../../../protocol/messages.js'
import { type ColumnType, type Reject, textOf } from '../../values/columnType.js'

type Nested = (string | null | Nested)[]

const deepest = 6

export interface ItemType {
  readonly type: ColumnType
  /** An item is read in another way than by its text, and so is the array. */
  readonly isReadOneByOne?: boolean
  /** Between the items; only `box` has another than the comma. */
  readonly delimiter?: string
  /** Items are JSON: an array among them is an item, and not another dimension. */
  readonly isJson?: boolean
}

/** An array of items of a type, on the wire an array; arrays in it where it has more dimensions. */
export function arrayOf({ type, isReadOneByOne, delimiter = ',', isJson = false }: ItemType): ColumnType {
  const listToWire = (list: unknown[]): Json[] => list.map(item => (Array.isArray(item) ? listToWire(item) : itemToWire(item)))
  const itemToWire = (item: unknown): Json => (item === null || item === undefined ? null : type.toWire(item))
  const write = (value: Json[], reject: Reject, depth: number): string => {
    if (depth > deepest) return reject(`has more than ${deepest} dimensions`)
    const items = value.map(item => {
      if (item === null) return 'NULL'
      return Array.isArray(item) && !isJson ? write(item, reject, depth + 1) : quoteItem(String(type.fromWire(item, reject)), delimiter)
    })
    return `{${items.join(delimiter)}}`
  }
  return {
    read: expression => (isReadOneByOne ? readOneByOne(expression, type) : `CAST(${expression} AS text)`),
    placeholder: '?',
    isSpelledThere: type.isSpelledThere,
    toWire(cell) {
      if (Array.isArray(cell)) return listToWire(cell)
      const text = textOf(cell)
      // TypeORM makes JSON of an array of JSON, which PostgreSQL does not read as an array
      const json = isJson ? parseJson(text) : undefined
      if (Array.isArray(json)) return json
      const items = readItems(text, delimiter)
      return items ? listToWire(items) : text
    },
    fromWire(value, reject) {
      if (!Array.isArray(value)) return reject('is not an array')
      if (!isJson && value.some(Array.isArray) && shapeOf(value) === undefined) return reject('is an array of arrays of different length')
      return write(value, reject, 1)
    },
  }
}

/** The lengths in all dimensions; undefined where arrays differ, or are empty inside others. */
function shapeOf(value: Json, depth = 0): string | undefined {
  if (!Array.isArray(value)) return ''
  if (depth > deepest || (depth > 0 && value.length === 0)) return undefined
  const shapes = new Set(value.map(item => shapeOf(item, depth + 1)))
  const [shape] = shapes
  return shapes.size > 1 || (value.length > 0 && shape === undefined) ? undefined : `${value.length},${shape ?? ''}`
}

// '#' and JSON: the lengths in all dimensions, and the items without them
function readOneByOne(expression: string, type: ColumnType): string {
  return (
    `CASE WHEN ${expression} IS NOT NULL THEN '#' || CAST(json_build_array(` +
    `ARRAY(SELECT array_length(${expression}, sync_n) FROM generate_series(1, array_ndims(${expression})) AS sync_n), ` +
    `ARRAY(SELECT CAST(${type.read('sync_item.value')} AS text) FROM unnest(${expression}) WITH ORDINALITY AS sync_item(value, place) ` +
    `ORDER BY sync_item.place)) AS text) END`
  )
}

function readItems(text: string, delimiter: string): unknown[] | undefined {
  try {
    if (text.startsWith('#')) {
      const [lengths, items] = JSON.parse(text.slice(1))
      return lengths.slice(1).reduceRight((list: unknown[], length: number) => chunks(list, length), items)
    }
    return parseArray(text, delimiter)
  } catch {
    return undefined
  }
}

/** The array's text with other items. */
export function replaceItems(text: string, replace: (item: string) => string): string {
  const write = (list: Nested): string =>
    `{${list.map(item => (item === null ? 'NULL' : Array.isArray(item) ? write(item) : quoteItem(replace(item), ','))).join(',')}}`
  return write(parseArray(text, ',') ?? [])
}

function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function chunks<T>(list: T[], length: number): T[][] {
  return Array.from({ length: list.length / length }, (_, i) => list.slice(i * length, (i + 1) * length))
}

// as the server itself quotes: TypeORM's reading of enums counts on it
function quoteItem(text: string, delimiter: string): string {
  const isBare = text !== '' && !/["\\{}\s]/.test(text) && !text.includes(delimiter) && !/^null$/i.test(text)
  return isBare ? text : `"${text.replace(/["\\]/g, '\\$&')}"`
}

// Not a regular expression: an item may be longer than an engine's stack allows one to be.
function endOfQuoted(text: string, start: number): number | undefined {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') return i
  }
  return
}

function parseArray(text: string, delimiter: string): Nested | undefined {
  const bounds = /^(?:\[-?\d+:-?\d+\])+=/.exec(text)?.[0].length ?? 0
  const root: Nested = []
  const open: Nested[] = [root]
  const special = new RegExp(`[{}"${delimiter}]`, 'g')
  for (let place = bounds; place < text.length; ) {
    const list = open.at(-1)
    if (!list) return undefined
    const character = text[place] as string
    if (character === '"') {
      const end = endOfQuoted(text, place)
      if (end === undefined) return undefined
      list.push(text.slice(place + 1, end).replace(/\\(.)/gs, '$1'))
      place = end + 1
    } else if ('{}'.includes(character) || character === delimiter) {
      if (character === '}') open.pop()
      else if (character === '{') {
        const inner: Nested = []
        list.push(inner)
        open.push(inner)
      }
      place++
    } else {
      special.lastIndex = place
      const end = special.exec(text)?.index ?? text.length
      const found = text.slice(place, end)
      list.push(found === 'NULL' ? null : found)
      place = end
    }
  }
  const [array] = root
  return open.length === 1 && Array.isArray(array) && root.length === 1 ? array : undefined
}
