import { bounded, type ColumnType, rejectRounded, textOf } from '../../values/columnType.js'

const integerForm = /^-?(?:0|[1-9]\d*)$/
const decimalForm = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i
// a double has 309 digits before the point, and as many zeros behind it
const LONGEST = 1_000
const smallest = -(2n ** 63n)
const largest = 2n ** 63n - 1n

// A driver rounds integers beyond 2^53 to the next double. A real must not become text: SQLite writes 15 digits of it.
const exact = (expression: string) =>
  `CASE WHEN typeof(${expression}) = 'integer' AND ${expression} NOT BETWEEN ${Number.MIN_SAFE_INTEGER} AND ${Number.MAX_SAFE_INTEGER} ` +
  `THEN CAST(${expression} AS TEXT) ELSE ${expression} END`

/** 64-bit integers: numbers, and strings beyond 2^53. SQLite keeps fractions in such a column as well, and TypeORM calls every number "integer". */
const sqliteInteger: ColumnType = {
  read: exact,
  placeholder: '?',
  toWire(cell) {
    // of an entity
    if (typeof cell === 'number' && Number.isInteger(cell) && !Number.isSafeInteger(cell) && Math.abs(cell) < 2 ** 63)
      return String(BigInt(cell))
    if (typeof cell === 'number') return finiteOrName(cell)
    const text = textOf(cell)
    return integerForm.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : text
  },
  fromWire(value, reject) {
    if (typeof value === 'string') return integerForm.test(value) ? integerParameter(BigInt(value), reject) : reject('is not an integer')
    if (typeof value !== 'number' || Number.isNaN(value)) return reject('is not a number')
    if (Number.isSafeInteger(value)) return value + 0
    rejectRounded(value, reject)
    return Number.isInteger(value) || !Number.isFinite(value) ? reject('is out of range') : value
  },
}
export const integerType = bounded(sqliteInteger, LONGEST)

/** Floating point: numbers, and "Infinity" and "-Infinity", for which JSON has no number. */
export const realType: ColumnType = {
  read: expression => expression,
  placeholder: '?',
  toWire: cell => (typeof cell === 'number' ? finiteOrName(cell) : textOf(cell)),
  fromWire(value, reject) {
    if (typeof value === 'number' && !Number.isNaN(value)) return value + 0
    return infinity(value) ?? reject('is not a number')
  },
}

/** Decimals: strings, since other databases hold more digits than a double. SQLite itself holds them as 64-bit integer or double. */
export function decimalType(precision: number | null | undefined, scale: number | undefined): ColumnType {
  const limit = precision ? 10 ** (precision - (scale ?? 0)) : Number.POSITIVE_INFINITY
  const type: ColumnType = {
    read: exact,
    placeholder: '?',
    toWire(cell) {
      if (typeof cell === 'number') return String(finiteOrName(cell))
      const text = textOf(cell)
      if (!decimalForm.test(text)) return text
      const parameter = decimalParameter(text)
      return String(typeof parameter === 'number' ? finiteOrName(parameter) : parameter)
    },
    fromWire(value, reject) {
      const infinite = infinity(value)
      if (infinite !== undefined) return infinite
      rejectRounded(value, reject)
      const text = typeof value === 'number' ? String(value) : value
      if (typeof text !== 'string' || !decimalForm.test(text)) return reject('is not a decimal number')
      const parameter = decimalParameter(text)
      if (!Number.isFinite(Number(parameter))) return reject('is out of range')
      return Math.abs(Number(parameter)) >= limit ? reject(`has more than ${precision} digits`) : parameter
    },
  }
  return bounded(type, LONGEST)
}

function decimalParameter(text: string): number | string {
  const number = Number(text) + 0
  if (Number.isSafeInteger(number) || !/^[+-]?\d+$/.test(text)) return number
  const integer = BigInt(text.replace('+', ''))
  return integer >= smallest && integer <= largest ? integer.toString() : number
}

function integerParameter(integer: bigint, reject: (detail: string) => never): number | string {
  if (integer < smallest || integer > largest) return reject('is out of range')
  const number = Number(integer)
  // as text, because a driver binds a number as a double
  return Number.isSafeInteger(number) ? number : integer.toString()
}

function finiteOrName(cell: number): number | string {
  return Number.isFinite(cell) ? cell + 0 : String(cell)
}

function infinity(value: unknown): number | undefined {
  return value === 'Infinity' || value === '-Infinity' ? Number(value) : undefined
}
