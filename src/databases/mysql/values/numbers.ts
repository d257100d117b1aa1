import { bounded, bytesOf, type ColumnType, rejectRounded, textOf } from '../../values/columnType.js'
import { DECIMAL, shortestSingle, spellDecimal } from '../../values/decimals.js'
import type { MysqlSettings } from './settings.js'

// the server's own decimals have 65 digits
const LONGEST = 1_000
const integerForm = /^[+-]?\d+$/
const strictIntegerForm = /^-?(?:0|[1-9]\d*)$/

/** Integers of so many bits: numbers, and strings beyond 2^53. The server would round a fraction, so it is rejected. */
export function integerType(bits: number, isUnsigned: boolean, settings: MysqlSettings): ColumnType {
  const smallest = isUnsigned ? 0n : -(2n ** BigInt(bits - 1))
  const largest = isUnsigned ? 2n ** BigInt(bits) - 1n : 2n ** BigInt(bits - 1) - 1n
  const { supportBigNumbers = true, bigNumberStrings = true } = settings
  const type: ColumnType = {
    read: expression => expression,
    placeholder: '?',
    toWire(cell) {
      if (typeof cell === 'boolean') return Number(cell)
      // of an entity; the server rounds it so
      if (typeof cell === 'number')
        return Number.isFinite(cell) ? numberOrDigits(BigInt(Math.sign(cell) * Math.round(Math.abs(cell)))) : String(cell)
      const text = textOf(cell)
      return integerForm.test(text) ? numberOrDigits(BigInt(text.replace('+', ''))) : text
    },
    fromWire(value, reject) {
      rejectRounded(value, reject)
      const isInteger = typeof value === 'number' ? Number.isInteger(value) : typeof value === 'string' && strictIntegerForm.test(value)
      if (!isInteger) return reject(typeof value === 'number' && !Number.isFinite(value) ? 'is out of range' : 'is not an integer')
      const integer = BigInt(value as number | string)
      return integer < smallest || integer > largest ? reject('is out of range') : numberOrDigits(integer)
    },
    asDriverReads(parameter) {
      if (bits < 64 || parameter === null) return parameter
      if (!supportBigNumbers) return Number(parameter)
      return bigNumberStrings ? String(parameter) : parameter
    },
  }
  return bounded(type, LONGEST)
}

/** `bit(n)`: the number that its bits are. A text would be read as bytes. */
export function bitType(bits: number, toBuffer: (bytes: Uint8Array) => unknown, settings: MysqlSettings): ColumnType {
  const integer = integerType(bits, true, settings)
  return {
    ...integer,
    read: expression => `CAST(${expression} AS UNSIGNED)`,
    placeholder: 'CAST(? AS UNSIGNED)',
    toWire(cell) {
      const bytes = bytesOf(cell)
      return bytes ? numberOrDigits(bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)) : integer.toWire(cell)
    },
    fromWire: (value, reject) => integer.fromWire(typeof value === 'boolean' ? Number(value) : value, reject),
    asDriverReads(parameter) {
      if (parameter === null) return null
      const bytes = new Uint8Array(Math.ceil(bits / 8))
      for (let rest = BigInt(parameter as number | string), i = bytes.length - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 255n)
      return toBuffer(bytes)
    },
  }
}

export const booleanType: ColumnType = {
  read: expression => expression,
  placeholder: '?',
  toWire: cell => (typeof cell === 'number' || typeof cell === 'boolean' ? Boolean(cell) : !/^(|0|f|false|n|no|off)$/i.test(textOf(cell))),
  fromWire(value, reject) {
    // 0 and 1 are how servers of 2012 wrote them
    if (value === true || value === 1) return 1
    if (value === false || value === 0) return 0
    return reject('is not true or false')
  },
}

export interface RealOptions {
  readonly isSingle: boolean
  readonly isUnsigned: boolean
  /** Digits in all and behind the point: `double(10,2)`. */
  readonly digits?: readonly [precision: number, scale: number]
}

/**
 * Floating point. The server prints six digits of a `float`, too few: it is read as double, and the wire has the shortest number
 * that is the same `float`, 0.1 rather than 0.10000000149011612, as PostgreSQL prints it.
 */
export function realType({ isSingle, isUnsigned, digits }: RealOptions): ColumnType {
  const hold = (number: number) => {
    // the server keeps -0.010000000000000009 and prints -0.01
    if (digits) return Number(roundedTo(digits[1], number).toFixed(digits[1])) + 0
    return (isSingle ? Math.fround(number) : number) + 0
  }
  const limit = digits ? Number(`${'9'.repeat(digits[0] - digits[1])}.${'9'.repeat(digits[1])}`) : Number.MAX_VALUE
  return {
    read: expression => (isSingle ? `(${expression} + 0e0)` : expression),
    placeholder: '?',
    toWire(cell) {
      const number = typeof cell === 'number' ? cell : Number(textOf(cell).trim() || Number.NaN)
      if (!Number.isFinite(number)) return textOf(cell)
      const held = hold(number)
      return isSingle && !digits ? shortestSingle(held) : held
    },
    fromWire(value, reject) {
      if (value === 'Infinity' || value === '-Infinity') return reject('is out of range')
      if (typeof value !== 'number' || Number.isNaN(value)) return reject('is not a number')
      const held = hold(value)
      if (!Number.isFinite(held) || Math.abs(held) > limit || (isUnsigned && held < 0)) return reject('is out of range')
      return held
    },
    asDriverReads(parameter) {
      if (!isSingle || typeof parameter !== 'number') return parameter
      return digits ? parameter : sixDigits(parameter)
    },
  }
}

/** Decimals: strings with as many digits behind the point as the column has, rounded half away from zero as the server does it. */
export function decimalType(precision: number, scale: number, isUnsigned: boolean, settings: MysqlSettings): ColumnType {
  const type: ColumnType = {
    read: expression => `CAST(${expression} AS CHAR)`,
    placeholder: '?',
    toWire: cell => spellDecimal(textOf(cell), scale) ?? textOf(cell),
    fromWire(value, reject) {
      if (value === 'Infinity' || value === '-Infinity') return reject('is out of range')
      rejectRounded(value, reject)
      const text = typeof value === 'string' || typeof value === 'number' ? String(value) : ''
      if (!DECIMAL.test(text)) return reject('is not a decimal number')
      const spelled = spellDecimal(text, scale)
      if (spelled === undefined || spelled.replace(/^-?0*|\..*/g, '').length > precision - scale)
        return reject(`has more than ${precision} digits`)
      return isUnsigned && spelled.startsWith('-') ? reject('is out of range') : spelled
    },
    asDriverReads: parameter => (settings.decimalNumbers && parameter !== null ? Number(parameter) : parameter),
  }
  return bounded(type, LONGEST)
}

function numberOrDigits(integer: bigint): number | string {
  const number = Number(integer)
  return Number.isSafeInteger(number) ? number : integer.toString()
}

// as the server prints a float: ties to even, where toPrecision goes up
function sixDigits(held: number): number {
  const seven = held.toExponential(6)
  const [mantissa = '', exponent] = seven.split('e')
  const isTie = Number(seven) === held && mantissa.endsWith('5')
  return Number(isTie && /[02468]$/.test(mantissa.slice(0, -1)) ? `${mantissa.slice(0, -1)}e${exponent}` : held.toPrecision(6))
}

// as the server does it: the fraction alone, ties to even
function roundedTo(scale: number, number: number): number {
  const whole = Math.floor(number)
  const factor = 10 ** scale
  const scaled = (number - whole) * factor
  const down = Math.floor(scaled)
  const isUp = scaled - down > 0.5 || (scaled - down === 0.5 && down % 2 === 1)
  return whole + (isUp ? down + 1 : down) / factor
}
