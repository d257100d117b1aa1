import { bounded, type ColumnType, textOf } from '../../values/columnType.js'
import { LONGEST_DATE, toIsoDateTime, toPlainDate } from '../../values/dates.js'
import { readAsText } from './texts.js'

/** How the application has set the pg driver for dates. */
export interface DriverDates {
  /** Its parser for `timestamp`. */
  parse(text: string): unknown
  /** `pg.defaults.parseInputDatesAsUTC`: a `timestamp` is written in UTC, and not in the time zone of the process. */
  readonly writesUtc: boolean
}

const infinite = /^-?infinity$/
const latest = Date.parse('9999-12-31T23:59:59.999Z')

export const timestamptzType = (precision: number | null | undefined): ColumnType =>
  bounded(
    {
      read: expression => readAsText(`(${expression} AT TIME ZONE 'UTC')`),
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
      read: readAsText,
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
    read: readAsText,
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

function isInfinite(value: unknown): value is string {
  return typeof value === 'string' && infinite.test(value)
}

function timeOf(value: unknown, precision: number | null | undefined): number | undefined {
  const iso = typeof value === 'string' || typeof value === 'number' ? toIsoDateTime(value) : undefined
  if (iso === undefined) return undefined
  // rounded here, since the server would do it and another value be stored
  const unit = 10 ** Math.max(3 - (precision ?? 6), 0)
  const rounded = Math.round(Date.parse(iso) / unit) * unit
  return rounded > latest ? rounded - unit : rounded
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
  return withoutEra(textOf(cell))
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
