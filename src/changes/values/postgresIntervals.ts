import { bounded, type ColumnType, textOf } from './columnType.js'
import { LONGEST_DATE } from './dates.js'
import { viewOfHex } from './postgresNumbers.js'

interface Interval {
  readonly months: bigint
  readonly days: bigint
  readonly micros: bigint
}

const second = 1_000_000n
const largest = { months: 2n ** 31n - 1n, days: 2n ** 31n - 1n, micros: 2n ** 63n - 1n }
// the server does not read the smallest time that it writes
const smallest = { months: -(2n ** 31n), days: -(2n ** 31n), micros: 1n - 2n ** 63n }

/** An interval, spelled as the server does in its own IntervalStyle: `1 year 2 mons -3 days +04:05:06.7`. */
export function intervalType(precision: number | null | undefined): ColumnType {
  const step = 10n ** BigInt(6 - Math.min(precision ?? 6, 6))
  const stored = (interval: Interval) => ({ ...interval, micros: roundTo(interval.micros, step) })
  const type: ColumnType = {
    // its bytes, whatever IntervalStyle says
    read: expression => `'h' || encode(interval_send(${expression}), 'hex')`,
    placeholder: '?',
    toWire(cell) {
      const text = textOf(cell)
      const interval = isParts(cell) ? ofParts(cell) : (ofBytes(text) ?? ofText(text))
      return interval ? spell(stored(interval)) : text
    },
    fromWire(value, reject) {
      const interval = (typeof value === 'string' ? ofText(value) : undefined) ?? reject('is not an interval')
      return spell(within(stored(interval)) ?? reject('is out of range'))
    },
  }
  return bounded(type, LONGEST_DATE)
}

function spell({ months, days, micros }: Interval): string {
  const units = [
    [months / 12n, 'year'],
    [months % 12n, 'mon'],
    [days, 'day'],
  ] as const
  let text = ''
  let isAfterNegative = false
  for (const [count, unit] of units) {
    if (count === 0n) continue
    text += `${text && ' '}${isAfterNegative && count > 0n ? '+' : ''}${count} ${unit}${count === 1n ? '' : 's'}`
    isAfterNegative = count < 0n
  }
  if (micros === 0n && text) return text
  const sign = micros < 0n ? '-' : isAfterNegative ? '+' : ''
  return `${text}${text && ' '}${sign}${clock(micros < 0n ? -micros : micros)}`
}

function clock(micros: bigint): string {
  const seconds = micros / second
  const parts = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n].map(part => String(part).padStart(2, '0'))
  const fraction = String(micros % second)
    .padStart(6, '0')
    .replace(/0+$/, '')
  return parts.join(':') + (fraction && `.${fraction}`)
}

const unitForms: readonly [RegExp, keyof Interval, bigint][] = [
  [/^(?:years?|y)$/i, 'months', 12n],
  [/^(?:months?|mons?)$/i, 'months', 1n],
  [/^(?:weeks?|w)$/i, 'days', 7n],
  [/^(?:days?|d)$/i, 'days', 1n],
  [/^(?:hours?|hrs?|h)$/i, 'micros', 3600n * second],
  [/^(?:minutes?|mins?|m)$/i, 'micros', 60n * second],
  [/^(?:seconds?|secs?|s)$/i, 'micros', second],
  [/^(?:milliseconds?|msecs?|ms)$/i, 'micros', 1000n],
]
const isoForm =
  /^P(?=.)(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?(?:T(?=.)(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+(?:\.\d{1,6})?)S)?)?$/
const isoUnits = ['y', 'mon', 'w', 'd', 'h', 'm', 's']
const clockForm = /^([+-]?)(\d+):([0-5]?\d)(?::([0-5]?\d(?:\.\d{1,6})?))?$/
const countForm = /^[+-]?\d+(?:\.\d{1,6})?$/

function ofText(text: string): Interval | undefined {
  const iso = isoForm.exec(text)
  const words = iso ? iso.slice(1).flatMap((count, i) => (count ? [count, isoUnits[i] as string] : [])) : text.trim().split(/\s+/)
  const sum = { months: 0n, days: 0n, micros: 0n }
  const seen = new Set<unknown>()
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string
    const time = clockForm.exec(word)
    if (time && i === words.length - 1) {
      const [, sign, hours = '0', minutes = '0', seconds = '0'] = time
      const micros = (BigInt(hours) * 60n + BigInt(minutes)) * 60n * second + scaled(seconds, second)
      sum.micros += sign === '-' ? -micros : micros
      continue
    }
    const unit = unitForms.find(([form]) => form.test(words[i + 1] ?? ''))
    // the server takes no unit twice
    if (!unit || seen.has(unit) || !countForm.test(word) || (word.includes('.') && unit[1] !== 'micros')) return undefined
    seen.add(unit)
    sum[unit[1]] += scaled(word, unit[2])
    i++
  }
  return words.length > 0 ? within(sum) : undefined
}

function scaled(count: string, factor: bigint): bigint {
  const [, sign, whole = '0', fraction = ''] = /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(count) ?? []
  const size = BigInt(whole) * factor + (BigInt(fraction.padEnd(6, '0')) * factor) / second
  return sign === '-' ? -size : size
}

function ofBytes(text: string): Interval | undefined {
  if (!/^h[0-9a-f]{32}$/.test(text)) return undefined
  const view = viewOfHex(text)
  return { micros: view.getBigInt64(0), days: BigInt(view.getInt32(8)), months: BigInt(view.getInt32(12)) }
}

type Parts = Partial<Record<'years' | 'months' | 'days' | 'hours' | 'minutes' | 'seconds' | 'milliseconds', number>>

// what pg makes of an interval
function isParts(cell: unknown): cell is Parts {
  return typeof cell === 'object' && cell !== null && Object.getPrototypeOf(cell) !== Uint8Array.prototype && !ArrayBuffer.isView(cell)
}

function ofParts({ years = 0, months = 0, days = 0, hours = 0, minutes = 0, seconds = 0, milliseconds = 0 }: Parts): Interval | undefined {
  const micros = [(hours * 60 + minutes) * 60 + seconds, Math.round(milliseconds * 1000)]
  if (![years, months, days, ...micros].every(Number.isInteger)) return undefined
  return within({
    months: BigInt(years * 12 + months),
    days: BigInt(days),
    micros: BigInt(micros[0] as number) * second + BigInt(micros[1] as number),
  })
}

function within(interval: Interval): Interval | undefined {
  const fits = (['months', 'days', 'micros'] as const).every(part => interval[part] <= largest[part] && interval[part] >= smallest[part])
  return fits ? interval : undefined
}

function roundTo(micros: bigint, step: bigint): bigint {
  const half = micros < 0n ? -step / 2n : step / 2n
  return ((micros + half) / step) * step
}
