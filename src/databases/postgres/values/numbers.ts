import type { Json } from '../../../protocol/messages.js'
import { integerType } from '../../sqlite/values/numbers.js'
import { bounded, type ColumnType, type Reject, rejectRounded, textOf } from '../../values/columnType.js'
import { DECIMAL, MOST_CHARACTERS, shortestSingle, spellDecimal } from '../../values/decimals.js'

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

/** Floating point, with all of its digits: those that are the same number again (extra_float_digits of a transaction). */
export function postgresFloat(bytes: 4 | 8): ColumnType {
  const stored = (value: number) => (bytes === 4 ? shortestSingle(value) : value)
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
  return bounded(type, MOST_CHARACTERS)
}

/** Money, in units of the currency. The server writes its sign and commas along (lc_monetary of a transaction). */
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
  rejectRounded(value, reject)
  const isDecimal = (typeof value === 'number' && Number.isFinite(value)) || (typeof value === 'string' && DECIMAL.test(value))
  return isDecimal ? (spell(value) ?? reject('is out of range')) : reject('is not a decimal number')
}
