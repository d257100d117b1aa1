import { bounded, type ColumnType, type Reject, textOf } from '../../values/columnType.js'
import { LONGEST_DATE, toIsoDateTime, toPlainDate } from '../../values/dates.js'
import type { MysqlSettings } from './settings.js'

// DATETIME has no zone: mysql2 writes and reads the time that a clock shows in the zone of its option `timezone`, the process's own
// unless it is set. TIMESTAMP has one, but the server converts it to the session's zone and mysql2 reads that as its own again. The
// wire has the moment that TypeORM reads: the cell's text, understood as mysql2 understands it.
//
// Of the hour that a clock shows twice in autumn, a column holds the first; `canonical` knows, since it reads what was written.

const asText = { read: (expression: string) => `CAST(${expression} AS CHAR)`, placeholder: '?' }

const cellForm = /^(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?$/
const timeForm = /^(-?)(\d{1,3}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?$/

// mysql2 reads the years 0 to 99 as 1900 to 1999
const firstYear = 100

// The limits of TIMESTAMP in UTC, as any session sees them: its zone is between -14 and +14 hours.
const firstTimestamp = '1970-01-01 14:00:01'
const lastTimestamp = '2038-01-18 13:14:07'

/** `datetime` and `timestamp`: what exceeds the column's precision is cut off, as MariaDB does it; MySQL would round. */
export function dateTimeType(kind: 'DATETIME' | 'TIMESTAMP', precision: number, settings: MysqlSettings): ColumnType {
  const zone = offsetOf(settings.timezone)

  const write = (date: Date): string => {
    const clock = clockOf(date, zone)
    return clock.slice(0, 19) + (precision > 0 ? `.${clock.slice(20, 23).padEnd(precision, '0').slice(0, precision)}` : '')
  }

  const type: ColumnType = {
    ...asText,
    isDate: true,
    toWire(cell) {
      if (cell instanceof Date) {
        if (!isHeld(cell, zone)) return Number.isNaN(cell.getTime()) ? String(cell) : cell.toISOString()
        return momentOf(write(cell), zone)?.toISOString() ?? cell.toISOString()
      }
      const text = typeof cell === 'number' ? cell : textOf(cell)
      const moment = typeof text === 'string' ? momentOf(text, zone) : undefined
      // a text with a zone is not a cell, but what an entity has
      return moment?.toISOString() ?? toIsoDateTime(text) ?? String(text)
    },
    fromWire(value, reject) {
      const iso = typeof value === 'string' || typeof value === 'number' ? toIsoDateTime(value) : undefined
      if (iso === undefined) return reject('is not a date with time')
      const date = new Date(iso)
      if (!isHeld(date, zone)) return reject(`is not in the years ${firstYear} to 9999`)
      const text = write(date)
      if (kind === 'TIMESTAMP' && (text < firstTimestamp || text > lastTimestamp)) return reject('is out of the range of a timestamp')
      return text
    },
    asDriverReads(parameter) {
      return typeof parameter !== 'string' || readsText(kind, settings) ? parameter : (momentOf(parameter, zone) ?? new Date(Number.NaN))
    },
  }
  return bounded(type, LONGEST_DATE)
}

/** `2026-01-31`; a time behind it is left out, as the server would do it. */
export function dateType(settings: MysqlSettings): ColumnType {
  const zone = offsetOf(settings.timezone)
  const type: ColumnType = {
    ...asText,
    isDate: true,
    toWire(cell) {
      const text = textOf(cell)
      return shortDate(text) ?? text
    },
    fromWire(value, reject) {
      const date = typeof value === 'string' || typeof value === 'number' ? shortDate(value) : undefined
      if (date === undefined) return reject('is not a date')
      return Number(date.slice(0, 4)) < firstYear ? reject(`is before the year ${firstYear}`) : date
    },
    // TypeORM makes a string of it again, of another day where the zones of mysql2, process and column are not the same
    asDriverReads(parameter) {
      return typeof parameter !== 'string' || readsText('DATE', settings) ? parameter : momentOf(`${parameter} 00:00:00`, zone)
    },
  }
  return bounded(type, LONGEST_DATE)
}

/** `10:00:00`, from -838:59:59 to 838:59:59, with as many digits behind the point as the column has. */
export function timeType(precision: number): ColumnType {
  const type: ColumnType = {
    ...asText,
    toWire(cell) {
      const text = textOf(cell)
      return fullTime(text, precision) ?? text
    },
    fromWire: (value, reject: Reject) => (typeof value === 'string' ? fullTime(value, precision) : undefined) ?? reject('is not a time'),
  }
  return bounded(type, LONGEST_DATE)
}

/** `year`: 0 and 1901 to 2155; the server would read other numbers as years of two digits. */
export const yearType: ColumnType = {
  read: expression => `(${expression} + 0)`,
  placeholder: '?',
  toWire(cell) {
    const text = textOf(cell)
    return /^\d{1,4}$/.test(text) ? Number(text) : text
  },
  fromWire(value, reject) {
    const year = typeof value === 'number' || (typeof value === 'string' && /^\d{4}$/.test(value)) ? Number(value) : undefined
    if (year === undefined || !Number.isInteger(year)) return reject('is not a year')
    return year === 0 || (year >= 1901 && year <= 2155) ? year + 0 : reject('is not in the years 1901 to 2155')
  },
}

/** Minutes; undefined for the zone of the process. */
function offsetOf(timezone: string | undefined): number | undefined {
  if (!timezone || timezone === 'local') return undefined
  const [, sign, hours, minutes] = /^([ +-])(\d\d):(\d\d)$/.exec(timezone) ?? []
  // mysql2 reads what it does not know as UTC
  return sign ? (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) : 0
}

function momentOf(cell: string, offset: number | undefined): Date | undefined {
  const [match, year, month, day, hour, minute, second, fraction = ''] = cellForm.exec(cell) ?? []
  if (!match || Number(year) < firstYear || toPlainDate(`${year}-${month}-${day}`) === undefined) return undefined
  const parts = [Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)] as const
  const milliseconds = Number(fraction.slice(0, 3).padEnd(3, '0'))
  return offset === undefined ? new Date(...parts, milliseconds) : new Date(Date.UTC(...parts, milliseconds) - offset * 60_000)
}

function isHeld(date: Date, offset: number | undefined): boolean {
  const year = offset === undefined ? date.getFullYear() : new Date(date.getTime() + offset * 60_000).getUTCFullYear()
  return year >= firstYear && year <= 9999
}

/** `2026-01-31 10:00:00.000`, as a clock in the zone shows it. */
function clockOf(date: Date, offset: number | undefined): string {
  const shown =
    offset === undefined
      ? Date.UTC(
          date.getFullYear(),
          date.getMonth(),
          date.getDate(),
          date.getHours(),
          date.getMinutes(),
          date.getSeconds(),
          date.getMilliseconds(),
        )
      : date.getTime() + offset * 60_000
  return new Date(shown).toISOString().replace('T', ' ').slice(0, -1)
}

function shortDate(value: string | number): string | undefined {
  const [year, month, day] = (toPlainDate(value) ?? '').split(/[T ]/i)[0]!.split('-')
  return year && month && day ? `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}` : undefined
}

function fullTime(text: string, precision: number): string | undefined {
  const [match, minus, hours = '', minutes = '', seconds = '0', fraction = ''] = timeForm.exec(text) ?? []
  if (!match || Number(minutes) > 59 || Number(seconds) > 59) return undefined
  const digits = fraction.slice(0, precision).padEnd(precision, '0')
  const isLast = Number(hours) === 838 && Number(minutes) === 59 && Number(seconds) === 59
  if (Number(hours) > 838 || (isLast && Number(digits) > 0)) return undefined
  const time = [hours, minutes, seconds].map(part => String(Number(part)).padStart(2, '0')).join(':')
  const full = precision > 0 ? `${time}.${digits}` : time
  return minus && /[1-9]/.test(full) ? `-${full}` : full
}

function readsText(kind: 'DATE' | 'DATETIME' | 'TIMESTAMP', { dateStrings }: MysqlSettings): boolean {
  return Array.isArray(dateStrings) ? dateStrings.includes(kind) : Boolean(dateStrings)
}
