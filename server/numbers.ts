// Numbers that JSON.parse would round silently: 9007199254740993 becomes 9007199254740992. They are found in the text, and become infinite,
// which no JSON text is: so they differ from all others when the text is parsed.

import type { Json, PushedRow, Rejection, WireRow } from '../src/protocol/messages.js'

/** As many digits as the least number has that a double rounds. */
const DIGITS = 16
const [ZERO, NINE, QUOTE, MINUS] = [0x30, 0x39, 0x22, 0x2d]

const isDigit = (byte: number | undefined) => byte !== undefined && byte >= ZERO && byte <= NINE
// of a number: digits, «.», «+», «-», «e» and «E»
const isPart = (byte: number | undefined) =>
  isDigit(byte) || byte === 0x2e || byte === 0x2b || byte === MINUS || byte === 0x65 || byte === 0x45

/** The text with `1e999` for each number that would be rounded; itself where there is none. `endOfString` gives the place of the closing quote. */
export function markRounded(bytes: Buffer, endOfString: (bytes: Buffer, start: number) => number): Buffer {
  const pieces: Buffer[] = []
  let copied = 0
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === QUOTE) i = endOfString(bytes, i)
    else if (isDigit(bytes[i])) {
      const start = bytes[i - 1] === MINUS ? i - 1 : i
      while (isPart(bytes[i + 1])) i++
      if (i + 1 - start < DIGITS || !isRounded(bytes.toString('latin1', start, i + 1))) continue
      pieces.push(bytes.subarray(copied, start), Buffer.from('1e999'))
      copied = i + 1
    }
  }
  return copied === 0 ? bytes : Buffer.concat([...pieces, bytes.subarray(copied)])
}

/** Is it a whole number beyond 2^53 that no double is, and that no program writes for one? A number with an exponent is one of a double. */
function isRounded(text: string): boolean {
  const [, digits, fraction = ''] = /^(-?\d+)(?:\.(\d*))?$/.exec(text) ?? []
  if (digits === undefined || Number.isSafeInteger(Number(digits))) return false
  // the thousands of digits of a hostile number are not converted
  if (digits.length > 400 || /[1-9]/.test(fraction)) return true
  const number = Number(digits)
  return !Number.isFinite(number) || (String(number) !== digits && BigInt(number) !== BigInt(digits))
}

/** Leaves out the rows that have an infinite number, and rejects them by the property. */
export function rejectRounded(rows: readonly PushedRow[]): { rows: PushedRow[]; rejections: Rejection[] } {
  const rejections: Rejection[] = []
  const kept = rows.filter(({ id, value }) => {
    const rounded = value === null ? [] : Object.keys(value).filter(property => hasInfinite((value as WireRow)[property] as Json))
    const detail = 'It has a number beyond 2^53, which JSON rounds; write it as a string.'
    rejections.push(...rounded.map((property): Rejection => ({ id, property, code: 'not-valid', detail })))
    return rounded.length === 0
  })
  return { rows: kept, rejections }
}

// no deeper than a body may be
const hasInfinite = (value: Json): boolean =>
  typeof value === 'number'
    ? !Number.isFinite(value)
    : typeof value === 'object' && value !== null && Object.values(value).some(hasInfinite)
