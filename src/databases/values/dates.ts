// A number is seconds since 1/1/1970, and milliseconds where it exceeds this: persistence.js wrote dates so (PROTOCOL.md, Values).
const largestSeconds = 1e12

/** Of a date, a time or an interval as text, in characters. */
export const LONGEST_DATE = 200

const zone = /(Z|[+-]\d{2}(?::?\d{2})?)?/.source
const dateTimeForm = new RegExp(`^(\\d{4})-(\\d{2})-(\\d{2})(?:[T ](\\d{2}):(\\d{2})(?::(\\d{2})(?:\\.(\\d+))?)?\\s?${zone})?$`, 'i')
const dateForm = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]\d{2}:\d{2}[\d:.]*\s?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?$/i
const timeForm = new RegExp(`^(\\d{1,2}):(\\d{1,2})(?::(\\d{1,2})(?:\\.\\d+)?)?\\s?${zone}$`, 'i')

// four-digit years alone: TypeORM cuts all others off
const earliest = Date.parse('0000-01-01T00:00:00.000Z')
const latest = Date.parse('9999-12-31T23:59:59.999Z')

/** A date with time, in any form that SQLite or ISO 8601 know (UTC where no zone is named), as ISO 8601 UTC with milliseconds. */
export function toIsoDateTime(value: string | number): string | undefined {
  const time = typeof value === 'number' ? timeOfNumber(value) : timeOfText(value)
  return time !== undefined && time >= earliest && time <= latest ? new Date(time).toISOString() : undefined
}

/** `2026-01-31`, written as it was, perhaps with a time behind it; a number is read as a moment in UTC. */
export function toPlainDate(value: string | number): string | undefined {
  if (typeof value === 'number') return toIsoDateTime(value)?.slice(0, 10)
  const [match, year, month, day] = dateForm.exec(value) ?? []
  return match && timeOfDay(Number(year), Number(month), Number(day)) !== undefined ? value : undefined
}

/** `hh:mm`, seconds, their fraction and a zone where they are named, written as it was. */
export function toPlainTime(value: string): string | undefined {
  const [match, hours, minutes, seconds = '0'] = timeForm.exec(value) ?? []
  return match && Number(hours) < 24 && Number(minutes) < 60 && Number(seconds) < 60 ? value : undefined
}

/** A wire date the way persistence.js wants it: seconds since 1/1/1970, with a fraction. NaN if it is none. */
export function dateToNumber(date: string): number {
  return (timeOfText(date) ?? Number.NaN) / 1000
}

function timeOfNumber(value: number): number {
  return Math.abs(value) > largestSeconds ? Math.trunc(value) : Math.round(value * 1000)
}

function timeOfText(value: string): number | undefined {
  const parts = dateTimeForm.exec(value)
  if (!parts) return undefined
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '0', offset = 'Z'] = parts
  const midnight = timeOfDay(Number(year), Number(month), Number(day))
  if (midnight === undefined || +hour > 23 || +minute > 59 || +second > 59) return undefined
  const offsetMinutes = offset.toUpperCase() === 'Z' ? 0 : minutesOfOffset(offset)
  return midnight + ((+hour * 60 + +minute - offsetMinutes) * 60 + +second) * 1000 + Number(fraction.slice(0, 3).padEnd(3, '0'))
}

function timeOfDay(year: number, month: number, day: number): number | undefined {
  const date = new Date(0)
  // not Date.UTC, which reads the years 0 to 99 as 1900 to 1999
  date.setUTCFullYear(year, month - 1, day)
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : undefined
}

function minutesOfOffset(offset: string): number {
  const digits = offset.slice(1).replace(':', '').padEnd(4, '0')
  return (offset[0] === '-' ? -1 : 1) * (+digits.slice(0, 2) * 60 + +digits.slice(2))
}
