import { bounded, type ColumnType, textOf } from './columnType.js'
import { LONGEST_DATE, toIsoDateTime, toPlainDate, toPlainTime } from './dates.js'

/** What the pg driver is told about dates, by the application. */
export interface DriverDates {
  /** Its parser for `timestamp`. */
  parse(text: string): unknown
  /** `pg.defaults.parseInputDatesAsUTC`: a `timestamp` is written in UTC, and not in the time zone of the process. */
  readonly writesUtc: boolean
}

const infinite = /^-?infinity$/
const timeParts = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?\s?(Z|[+-][\d:]+)?$/i
const endOfDay = /^24:00(?::00(?:\.0+)?)?(?:\s?(?:Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?))?$/i
const largestOffset = 16 * 3600
const latest = Date.parse('9999-12-31T23:59:59.999Z')

// to_json writes ISO 8601 whatever DateStyle says, and, unlike to_char, infinity and years B.C.
const asJson = (expression: string) => `CAST(to_json(${expression}) AS text)`

export const timestamptzType = (precision: number | null | undefined): ColumnType =>
  bounded(
    {
      read: expression => asJson(`${expression} AT TIME ZONE 'UTC'`),
      placeholder: '?',
      isDate: true,
      toWire: cell => dateTimeOf(cell, isoOf),
      fromWire(value, reject) {
        if (isInfinite(value)) return value
        const time = timeOf(value, precision) ?? reject('is not a date with time')
        return spellDateTime(new Date(time), '+00')
      },
    },
    LONGEST_DATE,
  )

/**
 * A `timestamp` has no zone. The pg driver writes the clock of the process into it and reads it as such, so that it is
 * a moment for as long as the process keeps its zone; here it is the same moment. The driver's own parser reads it,
 * since applications replace that one to have UTC in the column.
 */
export const timestampType = (precision: number | null | undefined, driver: DriverDates): ColumnType =>
  bounded(
    {
      read: asJson,
      placeholder: '?',
      isDate: true,
      toWire: cell =>
        dateTimeOf(cell, text => {
          const parsed = driver.parse(text)
          const date = typeof parsed === 'string' ? new Date(parsed) : parsed
          return date instanceof Date ? isoOfDate(date) : undefined
        }),
      fromWire(value, reject) {
        if (isInfinite(value)) return value
        const date = new Date(timeOf(value, precision) ?? reject('is not a date with time'))
        return spellDateTime(driver.writesUtc ? date : withClockInUtc(date), '')
      },
    },
    LONGEST_DATE,
  )

export const dateType = bounded(
  {
    read: asJson,
    placeholder: '?',
    isDate: true,
    toWire(cell) {
      if (cell instanceof Date) return Number.isNaN(cell.getTime()) ? String(cell) : withClockInUtc(cell).toISOString().replace(/T.*/, '')
      const text = bare(cell)
      const date = toPlainDate(text)
      return date === undefined ? text : plainDate(date)
    },
    fromWire(value, reject) {
      if (isInfinite(value)) return value
      const date = typeof value === 'string' || typeof value === 'number' ? toPlainDate(value) : undefined
      return withEra(plainDate(date ?? reject('is not a date')))
    },
  },
  LONGEST_DATE,
)

/** `10:00:00`, its fraction of a second where there is one. What names a zone is taken without it, as the server does. */
export const timeType = (precision: number | null | undefined): ColumnType => spelledTime(text => spellTime(text, precision))

/** A time with zone, `10:00:00+02`; UTC where none is named, since otherwise it would be the session's. */
export const timetzType = (precision: number | null | undefined): ColumnType =>
  spelledTime(text => {
    const zone = spellZone(timeParts.exec(text)?.[5] ?? '+00')
    const time = spellTime(text, precision)
    return time && zone && time + zone
  })

function spelledTime(spell: (text: string) => string | undefined): ColumnType {
  const type: ColumnType = {
    read: expression => `CAST(${expression} AS text)`,
    placeholder: '?',
    toWire: cell => spell(textOf(cell)) ?? textOf(cell),
    fromWire: (value, reject) => (typeof value === 'string' ? spell(value) : undefined) ?? reject('is not a time'),
  }
  return bounded(type, LONGEST_DATE)
}

/** A date with time for the inside of a range, in UTC or as it is. */
export function spellRangeTime(text: string, zone: '' | '+00'): string | undefined {
  if (infinite.test(text)) return text
  const [, fraction = '', offset = ''] = /(?:\.(\d+))?\s?(Z|[+-]\d{2}(?::?\d{2})?)?$/i.exec(text.slice(10)) ?? []
  const iso = toIsoDateTime(zone === '' && offset ? text.slice(0, -offset.length) : text)
  if (!iso || iso.startsWith('0000')) return undefined
  return `${withoutZeros(iso.slice(0, -1).replace('T', ' ') + fraction.slice(3, 6))}${zone}`
}

export function spellRangeDate(text: string): string | undefined {
  if (infinite.test(text)) return text
  const date = toPlainDate(text)
  return date && !date.startsWith('0000') ? plainDate(date) : undefined
}

function isInfinite(value: unknown): value is string {
  return typeof value === 'string' && infinite.test(value)
}

function timeOf(value: unknown, precision: number | null | undefined): number | undefined {
  const iso = typeof value === 'string' || typeof value === 'number' ? toIsoDateTime(value) : undefined
  if (iso === undefined) return undefined
  // rounded here, since the server would do it and another value be stored
  const step = 10 ** Math.max(3 - (precision ?? 6), 0)
  const rounded = Math.round(Date.parse(iso) / step) * step
  return rounded > latest ? rounded - step : rounded
}

function dateTimeOf(cell: unknown, read: (text: string) => string | undefined): string {
  if (cell instanceof Date) return isoOfDate(cell) ?? String(cell)
  const text = bare(cell).replace('T', ' ')
  return (infinite.test(text) ? undefined : read(text)) ?? text
}

function isoOf(text: string): string | undefined {
  return toIsoDateTime(withoutEra(text))
}

function isoOfDate(date: Date): string | undefined {
  return Number.isNaN(date.getTime()) ? undefined : toIsoDateTime(date.toISOString())
}

// pg makes numbers of infinite dates
function bare(cell: unknown): string {
  if (typeof cell === 'number') return String(cell).toLowerCase()
  return withoutEra(textOf(cell).replace(/^"(.*)"$/, '$1'))
}

function spellDateTime(date: Date, zone: string): string {
  const year = date.getUTCFullYear()
  const [, monthAndTime = ''] = /^[+-]?\d+-(.*)Z$/.exec(date.toISOString()) ?? []
  const text = `${String(year > 0 ? year : 1 - year).padStart(4, '0')}-${withoutZeros(monthAndTime.replace('T', ' '))}${zone}`
  return year > 0 ? text : `${text} BC`
}

// as the server writes fractions of a second
function withoutZeros(clock: string): string {
  return clock.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')
}

// a date whose UTC clock shows what the clock of the process shows
function withClockInUtc(date: Date): Date {
  const shifted = new Date(0)
  shifted.setUTCFullYear(date.getFullYear(), date.getMonth(), date.getDate())
  shifted.setUTCHours(date.getHours(), date.getMinutes(), date.getSeconds(), date.getMilliseconds())
  return shifted
}

function plainDate(text: string): string {
  const [, year = '', month = '', day = ''] = /^(\d{4})-(\d{1,2})-(\d{1,2})/.exec(text) ?? []
  return `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`
}

// the year before 1 is 0 in ISO 8601 and "1 BC" in PostgreSQL
function withEra(text: string): string {
  return text.startsWith('0000-') ? `0001-${text.slice(5)} BC` : text
}

function withoutEra(text: string): string {
  return /^0001-.* BC$/.test(text) ? `0000-${text.slice(5, -3)}` : text
}

function spellTime(text: string, precision: number | null | undefined): string | undefined {
  if (endOfDay.test(text)) return '24:00:00'
  const [match, hours, minutes, seconds = '0', fraction = '', zone = 'Z'] = timeParts.exec(text) ?? []
  if (!match || toPlainTime(`${hours}:${minutes}:${seconds}`) === undefined || !spellZone(zone)) return undefined
  const digits = Math.min(precision ?? 6, 6)
  const micros = Math.round(Number(`0.${fraction || 0}`) * 10 ** digits) * 10 ** (6 - digits)
  return spellClock(((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000_000 + micros)
}

function spellClock(micros: number): string {
  const seconds = Math.floor(micros / 1_000_000)
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map(part => String(part).padStart(2, '0'))
    .join(':')
  const fraction = String(micros % 1_000_000)
    .padStart(6, '0')
    .replace(/0+$/, '')
  return fraction ? `${clock}.${fraction}` : clock
}

function spellZone(zone: string): string | undefined {
  if (/^z$/i.test(zone)) return '+00'
  const [match, sign, hours, minutes = '00', seconds = '00'] = /^([+-])(\d{2}):?(\d{2})?:?(\d{2})?$/.exec(zone) ?? []
  const offset = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
  if (!match || Number(minutes) > 59 || Number(seconds) > 59 || offset >= largestOffset) return undefined
  const rest = seconds !== '00' ? `:${minutes}:${seconds}` : minutes !== '00' ? `:${minutes}` : ''
  return `${offset ? sign : '+'}${hours}${rest}`
}
