export const DECIMAL = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:e([+-]?\d{1,6}))?$/i

// PostgreSQL's; those of MySQL are smaller
const MOST_DIGITS = 131_072
const LARGEST_SCALE = 16_383
export const MOST_CHARACTERS = MOST_DIGITS + LARGEST_SCALE + 10
const nudge = 2 ** -50

/** The nearest number of 32 bits, as PostgreSQL writes it: 0.1, which a double holds as 0.10000000149011612. */
export function shortestSingle(number: number): number {
  const single = Math.fround(number)
  // half-way between two singles is not near enough
  for (let digits = 1; digits < 9; digits++) {
    const text = roundToEven(single, digits)
    if ([-nudge, 0, nudge].every(part => Math.fround(Number(text) * (1 + part)) === single)) return Number(text)
  }
  return Number(single.toPrecision(9))
}

// toPrecision chooses the larger one of two that are as near
function roundToEven(single: number, digits: number): string {
  const longer = single.toPrecision(digits + 1)
  const isBetween = /[02468]\.?5(?:e|$)/.test(longer) && Number(longer) === single
  return isBetween ? longer.replace(/5(?=e|$)/, '0') : single.toPrecision(digits)
}

/** A decimal the way PostgreSQL and MySQL write it, rounded half away from zero where a scale is given. Undefined if it is none, or has too many digits. */
export function spellDecimal(text: string, scale?: number): string | undefined {
  const [match, sign, whole = '', fraction = '', bare = '', power = '0'] = DECIMAL.exec(text) ?? []
  if (!match) return undefined
  const digits = whole + fraction + bare
  const point = whole.length + Number(power)
  if (point > MOST_DIGITS || digits.length - point > LARGEST_SCALE) return undefined
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

// not as a BigInt, whose time grows with the square of its length
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
