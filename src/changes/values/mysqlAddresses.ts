import { bounded, type ColumnType, textOf } from './columnType.js'

/** MariaDB's types for addresses and uuids, each in the spelling in which the server gives it back. */
export const uuidType = spelled('a uuid', uuid)
export const inet4Type = spelled('an IPv4 address', inet4)
export const inet6Type = spelled('an IPv6 address', inet6)

function spelled(what: string, spell: (text: string) => string | undefined): ColumnType {
  const type: ColumnType = {
    read: expression => `CAST(${expression} AS CHAR)`,
    placeholder: '?',
    toWire(cell) {
      const text = textOf(cell)
      return spell(text) ?? text
    },
    fromWire: (value, reject) => (typeof value === 'string' ? spell(value) : undefined) ?? reject(`is not ${what}`),
  }
  return bounded(type, 100)
}

function uuid(text: string): string | undefined {
  const form = /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/
  const parts = form.exec(text.toLowerCase())?.slice(1)
  if (!parts) return undefined
  const [version, variant] = [parts[2]!, parts[3]!].map(part => Number.parseInt(part.slice(0, 2), 16)) as [number, number]
  // MariaDB sorts by the time in a uuid, and has no place for these
  return version >= 0x80 && variant > 0 && variant <= 0x80 ? undefined : parts.join('-')
}

function inet4(text: string): string | undefined {
  const parts = text.split('.')
  return parts.length === 4 && parts.every(part => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256) ? text : undefined
}

function inet6(text: string): string | undefined {
  const words = wordsOf(text.toLowerCase())
  if (!words) return undefined
  const gap = longestZeros(words)
  // an IPv4 address in an IPv6 address
  const isMapped = gap.start === 0 && (gap.length === 6 || (gap.length === 5 && words[5] === 0xffff))
  const hex = (from: number, to: number) => words.slice(from, to).map(word => word.toString(16))
  const last = isMapped ? [[words[6]! >> 8, words[6]! & 255, words[7]! >> 8, words[7]! & 255].join('.')] : hex(6, 8)
  const groups = [...hex(0, 6), ...last]
  if (gap.length === 0) return groups.join(':')
  return `${groups.slice(0, gap.start).join(':')}::${groups.slice(gap.start + gap.length).join(':')}`
}

function wordsOf(text: string): number[] | undefined {
  const [, head = text, tail] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text) ?? []
  if (tail !== undefined && inet4(tail) === undefined) return undefined
  const [a = 0, b = 0, c = 0, d = 0] = tail?.split('.').map(Number) ?? []
  const whole = tail === undefined ? text : `${head}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  const halves = whole.split('::').map(half => (half === '' ? [] : half.split(':')))
  const groups = halves.flat()
  if (halves.length > 2 || !groups.every(group => /^[0-9a-f]{1,4}$/.test(group))) return undefined
  if (halves.length === 1 ? groups.length !== 8 : groups.length > 7) return undefined
  const zeros = new Array<string>(8 - groups.length).fill('0')
  return [...halves[0]!, ...zeros, ...(halves[1] ?? [])].map(group => Number.parseInt(group, 16))
}

function longestZeros(words: readonly number[]): { start: number; length: number } {
  let longest = { start: -1, length: 0 }
  for (let start = 0; start < words.length; start++) {
    let length = 0
    while (words[start + length] === 0) length++
    if (length > longest.length) longest = { start, length }
  }
  return longest
}
