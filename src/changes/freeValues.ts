// Values that no row has: where rows exchange unique values that may not be null, each holds one of these for a moment.

import type { ColumnCodec } from '../databases/columns.js'
import { query, queryCells, quote, type Transaction } from '../databases/database.js'
import type { Json } from '../protocol/messages.js'
import type { Collection } from './collection.js'

/** How often it is worth trying: a rule of the database may forbid values of one kind (only positive ones, only digits). */
export const KINDS_OF_VALUES = 4

/** The end of the table that is read to find a gap. */
const MOST = 100_000

const DAY = 86_400_000

/** Can the column hold a value that is nobody's? Not where it has to be that of another row. */
export const canBeFree = ({ parents }: Collection, column: ColumnCodec) =>
  !parents.some(r => r.childColumn === column.column) && kindOf(column) !== undefined

/**
 * As many values as there are rows, each of which the column can hold and no row has or is about to take; undefined where there are too few.
 * `taken`: what rows are about to take. `before`: what the rows hold. The first kind is near to what is there, the last one anything.
 */
export function* readFreeValues(
  collection: Collection,
  column: ColumnCodec,
  before: readonly Json[],
  taken: readonly Json[],
  kind: number,
): Transaction<Json[] | undefined> {
  const make = kindOf(column)
  if (!make) return
  const { name } = collection.table
  const cell = `x.${quote(column.column)}`
  const present: Json[] = [...taken]
  if (make.isOrdered && kind < 2) {
    // an index knows them
    const ends = yield* queryCells(
      `SELECT ${column.read('v.low')}, ${column.read('v.high')} FROM (SELECT min(${cell}) AS low, max(${cell}) AS high FROM ${quote(name)} x) v`,
    )
    present.push(...(ends[0] ?? []).map(end => column.toWire(end)))
  } else if (kind >= 2 || make.isSmall) {
    const cells = yield* queryCells(`SELECT ${column.read(cell)} FROM ${quote(name)} x LIMIT ?`, MOST)
    present.push(...cells.map(([value]) => column.toWire(value ?? null)))
  }
  const used = new Set(present.map(nameOf))
  const free: Json[] = []
  let tries = 0
  for (const value of make.values(
    present.filter(v => v !== null),
    kind,
    before,
  )) {
    if (free.length === before.length) break
    // of what the column does not hold at all there is no end
    if (++tries > (free.length ? 70_000 + 20 * before.length : 1_000)) return
    const held = hold(column, value)
    if (held === undefined || used.has(nameOf(held))) continue
    used.add(nameOf(held))
    free.push(held)
  }
  return free.length === before.length ? free : undefined
}

/** Do other rows hang on one of these? Then it cannot go and come back. */
export function* isReferenced(
  collection: Collection,
  ids: readonly string[],
  among: (table: string, column: string) => { sql: string; list: unknown },
): Transaction<boolean> {
  for (const { childTable, childColumn, parentColumn } of collection.children) {
    if (parentColumn !== collection.table.key) return true
    const { sql, list } = among(childTable, childColumn)
    if (ids.length && (yield* query(`SELECT 1 FROM ${quote(childTable)} x WHERE ${sql} LIMIT 1`, list)).length) return true
  }
  return false
}

const nameOf = (value: Json) => (typeof value === 'string' ? value.toLowerCase() : JSON.stringify(value))

function hold(column: ColumnCodec, value: Json): Json | undefined {
  const held = column.canonical(value)
  try {
    column.fromWire(held as never)
    return held
  } catch {
    return
  }
}

interface KindOfValue {
  /** The database knows the least and the greatest. */
  readonly isOrdered?: boolean
  /** There are so few that each counts. */
  readonly isSmall?: boolean
  values(present: readonly Json[], kind: number, before: readonly Json[]): Iterable<Json>
}

const BITS: Record<string, number> = {
  ...{ tinyint: 8, smallint: 16, int2: 16, smallserial: 16, mediumint: 24, int: 32, integer: 32, int4: 32, serial: 32 },
  ...{ bigint: 64, int8: 64, bigserial: 64, 'unsigned big int': 64 },
}

function kindOf({ metadata, declared }: ColumnCodec): KindOfValue | undefined {
  const type = declared
    .toLowerCase()
    .replace(/\(.*?\)/g, '')
    .replace(/\s+(unsigned|zerofill)/g, '')
    .trim()
  const length = Number(metadata.length || (/\((\d+)\)/.exec(declared)?.[1] ?? 0))
  if (metadata.isArray) return
  if (metadata.enum?.length) return { isSmall: true, values: () => (metadata.enum as Json[]).map(String) }
  if (metadata.type === Boolean || /^bool/.test(String(metadata.type)) || /^bool/.test(type))
    return { isSmall: true, values: () => [true, false] }
  if (type === 'year') return numbers(1901n, 2155n)
  const bits = BITS[type]
  if (bits) {
    const half = 1n << BigInt(bits - 1)
    return metadata.unsigned ? numbers(0n, 2n * half - 1n) : numbers(-half, half - 1n)
  }
  if (/^(decimal|numeric|dec|fixed)$/.test(type)) {
    const whole = Math.max(0, Math.min(15, metadata.precision ?? 10) - (metadata.scale ?? 0))
    return decimals(10 ** whole, metadata.scale ?? 0, String)
  }
  if (/^(float|float4|float8|double|double precision|real)$/.test(type)) return decimals(1e6, 0, Number)
  if (type === 'date') return dates(time => new Date(time).toISOString().slice(0, 10), DAY)
  if (/^(datetime|datetime2|timestamp|timestamptz|timestamp with(out)? time zone)/.test(type))
    return dates(time => new Date(time).toISOString(), 1000)
  if (/^time/.test(type))
    return { isSmall: true, values: randomly(() => new Date(Math.floor(Math.random() * DAY)).toISOString().slice(11, 19)) }
  if (type === 'uuid') return { values: randomly(() => globalThis.crypto.randomUUID()) }
  if (/^(binary|varbinary|blob|tinyblob|mediumblob|longblob|bytea)$/.test(type))
    return { values: randomly(() => btoa(randomText(type === 'binary' ? length || 1 : Math.min(length || 16, 16), LETTERS))) }
  if (/char|text|clob|citext/.test(type)) return texts(/^(char|character|nchar|bpchar)$/.test(type) ? length || 1 : length || 36)
  return
}

function randomly<T extends Json>(make: () => T): () => Iterable<T> {
  return function* () {
    for (;;) yield make()
  }
}

const toBigInt = (value: Json) => {
  try {
    return [BigInt(typeof value === 'number' ? Math.round(value) : String(value))]
  } catch {
    return []
  }
}
const fromBigInt = (value: bigint): Json => (Number.isSafeInteger(Number(value)) ? Number(value) : value.toString())

function numbers(lowest: bigint, highest: bigint): KindOfValue {
  return {
    isOrdered: true,
    *values(present, kind) {
      const known = present.flatMap(toBigInt)
      let [min, max] = [0n, 0n]
      for (const n of known) {
        if (n > max) max = n
        if (n < min) min = n
      }
      if (kind === 0) for (let n = max + 1n; n <= highest; n++) yield fromBigInt(n)
      else if (kind === 1) for (let n = min - 1n; n >= lowest; n--) yield fromBigInt(n)
      else if (kind === 2) for (let n = lowest > 1n ? lowest : 1n; n <= highest; n++) yield fromBigInt(n)
      if (kind < 3) return
      if (highest - lowest < 70_000n) for (let n = lowest; n <= highest; n++) yield fromBigInt(n)
      else for (;;) yield fromBigInt(lowest + BigInt(Math.floor(Math.random() * Number(highest - lowest))))
    },
  }
}

function decimals(limit: number, scale: number, write: (value: number | string) => Json): KindOfValue {
  return {
    isOrdered: true,
    *values(present, kind) {
      const known = present.map(Number).filter(Number.isFinite)
      const start =
        kind === 0 ? Math.floor(known.reduce((x, y) => Math.max(x, y), 0)) : Math.ceil(known.reduce((x, y) => Math.min(x, y), 0))
      if (kind < 2) for (let i = 1; Math.abs(start) + i < limit; i++) yield write(kind === 0 ? start + i : start - i)
      else for (;;) yield write(((kind === 2 ? Math.random() : 2 * Math.random() - 1) * (limit - 10 ** -scale)).toFixed(scale))
    },
  }
}

function dates(write: (time: number) => string, step: number): KindOfValue {
  return {
    isOrdered: true,
    *values(present, kind) {
      const known = present.map(value => Date.parse(String(value))).filter(Number.isFinite)
      const [first, last] = [
        known.reduce((x, y) => Math.min(x, y), Date.UTC(2000, 0)),
        known.reduce((x, y) => Math.max(x, y), Date.UTC(2000, 0)),
      ]
      if (kind === 0) for (let t = last + step; t < Date.UTC(9999, 0); t += step) yield write(t)
      else if (kind === 1) for (let t = first - step; t > Date.UTC(1000, 0); t -= step) yield write(t)
      else for (;;) yield write(Date.UTC(1971, 0) + Math.floor(Math.random() * 24_000) * DAY + Math.floor(Math.random() * 86_400) * 1000)
    },
  }
}

const DIGITS = '0123456789'
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const ALPHABETS = [`${LETTERS}${DIGITS}`, `abcdef${DIGITS}`, '123456789', LETTERS.toUpperCase()]

function texts(length: number): KindOfValue {
  return {
    isSmall: length <= 2,
    *values(_present, kind, before) {
      const alphabet = ALPHABETS[kind] as string
      if (length <= 2) {
        for (const one of alphabet) yield one
        if (length === 2) for (const one of alphabet) for (const two of alphabet) yield one + two
        return
      }
      // what the value begins with may matter
      for (let i = 0; ; i++) {
        const start = kind === 0 ? String(before[i % Math.max(1, before.length)] ?? '').slice(0, Math.max(0, length - 12)) : ''
        yield start.slice(0, 24) + randomText(Math.min(length, 12), alphabet)
      }
    },
  }
}

function randomText(length: number, alphabet: string): string {
  let text = ''
  for (let i = 0; i < length; i++) text += alphabet[Math.floor(Math.random() * alphabet.length)]
  return text
}
