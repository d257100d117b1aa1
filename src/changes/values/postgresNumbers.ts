import type { Json } from '../../protocol/messages.js'
import { bounded, type ColumnType, type Reject, refuseRounded, textOf } from './columnType.js'
import { integerType } from './sqliteNumbers.js'

const decimalForm = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:e([+-]?\d{1,6}))?$/i
const mostDigits = 131_072
const largestScale = 16_383
const nudge = 2 ** -50
const largestMoney = 2n ** 63n - 1n

const asNumber = (text: string) => (text === '' || Number.isNaN(Number(text)) ? undefined : Number(text))

export function postgresInteger(bits: 16 | 32 | 64): ColumnType {
  const limit = 2n ** BigInt(bits - 1)
  return {
    ...integerType,
    read: expression => expression,
    fromWire(value, reject) {
      const integer = integerType.fromWire(value, reject)
      if (typeof integer === 'number' && !Number.isInteger(integer)) return reject('is not an integer')
      const exact = BigInt(integer as number | string)
      return exact < -limit || exact >= limit ? reject('is out of range') : integer
    },
  }
}

/** Floating point, with all of its digits: those that are the same number again (extra_float_digits of a step). */
export function postgresFloat(bytes: 4 | 8): ColumnType {
  const stored = (value: number) => (bytes === 4 ? Number(shortestSingle(Math.fround(value))) : value)
  return {
    read: expression => expression,
    placeholder: '?',
    toWire(cell) {
      const number = typeof cell === 'number' ? cell : asNumber(textOf(cell))
      if (number === undefined) return textOf(cell)
      return Number.isFinite(number) ? stored(number) + 0 : String(number)
    },
    fromWire(value, reject) {
      if (value === 'Infinity' || value === '-Infinity' || value === 'NaN') return value
      if (typeof value !== 'number' || Number.isNaN(value)) return reject('is not a number')
      const number = stored(value)
      return Number.isFinite(number) && (number !== 0 || value === 0) ? String(number + 0) : reject('is out of range')
    },
  }
}

// As the server writes it: 0.1, which a double holds as 0.10000000149011612. Half-way between two singles is not near enough.
function shortestSingle(single: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = roundToEven(single, digits)
    if ([-nudge, 0, nudge].every(part => Math.fround(Number(text) * (1 + part)) === single)) return text
  }
  return single.toPrecision(9)
}

// toPrecision takes the larger one of two that are as near
function roundToEven(single: number, digits: number): string {
  const longer = single.toPrecision(digits + 1)
  const isBetween = /[02468]\.?5(?:e|$)/.test(longer) && Number(longer) === single
  return isBetween ? longer.replace(/5(?=e|$)/, '0') : single.toPrecision(digits)
}

/** Decimals, spelled as the column spells them: with the digits of its scale, or those they were written with. */
export function numericType(precision: number | null | undefined, scale: number | undefined): ColumnType {
  const spell = (value: unknown) => spellDecimal(String(value), precision ? (scale ?? 0) : undefined)
  const type: ColumnType = {
    read: expression => `CAST(${expression} AS text)`,
    placeholder: '?',
    toWire: cell => spell(textOf(cell)) ?? textOf(cell),
    fromWire(value, reject) {
      if (value === 'NaN' || (!precision && (value === 'Infinity' || value === '-Infinity'))) return value
      const text = decimalOf(value, spell, reject)
      const digits = text.replace(/^-?0*|\..*/g, '').length
      if (precision && digits > precision - (scale ?? 0)) return reject(`has more than ${precision} digits`)
      return text
    },
  }
  return bounded(type, mostDigits + largestScale + 10)
}

/** Money, in units of the currency. The server writes its sign and commas along (lc_monetary of a step). */
const money: ColumnType = {
  read: expression => `CAST(${expression} AS text)`,
  placeholder: '?',
  toWire(cell) {
    const text = textOf(cell)
    const digits = text.replace(/[^\d.e+-]/gi, '')
    return spellDecimal(/^\(.*\)$/.test(text) ? `-${digits}` : digits, 2) ?? text
  },
  fromWire(value, reject) {
    const text = decimalOf(value, item => spellDecimal(String(item), 2), reject)
    const cents = BigInt(text.replace('.', ''))
    return cents > largestMoney || cents < -largestMoney ? reject('is out of range') : text
  },
}
export const moneyType = bounded(money, 1_000)

/** Money as a server without a language writes it. */
export function dollars(text: string): string {
  return text.replace(/\B(?=(\d{3})+\.)/g, ',').replace(/^-?/, '$&$')
}

function decimalOf(value: Json, spell: (value: unknown) => string | undefined, reject: Reject): string {
  refuseRounded(value, reject)
  const isDecimal = (typeof value === 'number' && Number.isFinite(value)) || (typeof value === 'string' && decimalForm.test(value))
  return isDecimal ? (spell(value) ?? reject('is out of range')) : reject('is not a decimal number')
}

/** A decimal the way the server writes it, rounded where a scale is given. Undefined if it is none, or has too many digits. */
export function spellDecimal(text: string, scale?: number): string | undefined {
  const [match, sign, whole = '', fraction = '', bare = '', power = '0'] = decimalForm.exec(text) ?? []
  if (!match) return undefined
  const digits = whole + fraction + bare
  const point = whole.length + Number(power)
  if (point > mostDigits || digits.length - point > largestScale) return undefined
  const integer = digits.slice(0, Math.max(point, 0)).padEnd(point, '0').replace(/^0+/, '')
  const decimals = '0'.repeat(Math.max(-point, 0)) + digits.slice(Math.max(point, 0))
  return signed(sign === '-', ...roundDecimals(integer, decimals, scale ?? decimals.length))
}

function roundDecimals(integer: string, decimals: string, scale: number): [string, string] {
  if (decimals.length <= scale) return [integer, decimals.padEnd(scale, '0')]
  const kept = integer + decimals.slice(0, scale)
  if (decimals.charAt(scale) < '5') return [integer, decimals.slice(0, scale)]
  const raised = increment(kept)
  return [raised.slice(0, raised.length - scale), raised.slice(raised.length - scale)]
}

// not as a BigInt, for which it takes the square of its length
function increment(digits: string): string {
  let place = digits.length
  while (place > 0 && digits[place - 1] === '9') place--
  const zeros = '0'.repeat(digits.length - place)
  return place === 0 ? `1${zeros}` : digits.slice(0, place - 1) + (Number(digits[place - 1]) + 1) + zeros
}

function signed(isNegative: boolean, integer: string, decimals: string): string {
  const text = `${integer.replace(/^0+/, '') || '0'}${decimals && `.${decimals}`}`
  return isNegative && /[1-9]/.test(text) ? `-${text}` : text
}
