// What a value of a row looks like: anything may be in there, and no two different values look the same.

import { h } from './dom.js'

/** Characters of a text that are shown at once. */
const LONG = 160
/** Bytes that are shown. */
const FIRST_BYTES = 16

// what is invisible, or turns the direction of what follows, is shown by its number
const UNSEEN = /(?![\t\n])\p{Cc}|(?!\u200d)[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|(?<!\p{Extended_Pictographic}\ufe0f?)\u200d/gu

export const visible = (text: string) =>
  text.replaceAll(UNSEEN, character => `⟨U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}⟩`)

const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array

export type Kind = 'unknown' | 'null' | 'empty' | 'text' | 'number' | 'boolean' | 'date' | 'bytes' | 'reference' | 'json'

export function kindOf(value: unknown): Kind {
  if (value === undefined) return 'unknown'
  if (value === null) return 'null'
  if (value === '') return 'empty'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number' || typeof value === 'bigint') return 'number'
  if (typeof value === 'boolean') return 'boolean'
  if (value instanceof Date) return 'date'
  return isBytes(value) ? 'bytes' : 'json'
}

export const sizeOf = (bytes: number) =>
  bytes < 1_000 ? `${bytes} B` : bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`

const hex = (bytes: Uint8Array) => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ')

/** A value as text: different values give different texts, but for bytes of the same length and beginning. */
export function textOf(value: unknown): string {
  if (value === undefined) return 'not known'
  if (isBytes(value)) {
    const rest = value.length > FIRST_BYTES ? ' …' : ''
    return `${sizeOf(value.length)} of bytes: ${hex(value.subarray(0, FIRST_BYTES))}${rest}`
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'no date' : value.toISOString().replace('T', ' ')
  if (typeof value === 'object' && value !== null) {
    const [short, long] = [JSON.stringify(value, plain), JSON.stringify(value, plain, 2)]
    return short.length > 40 ? long : short
  }
  return String(value)
}

const plain = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)

/** The value as an element. */
export function show(value: unknown, kind: Kind = kindOf(value)): HTMLElement {
  if (kind === 'unknown') return h('span', { class: 'value word' }, 'not known')
  if (kind === 'null') return h('span', { class: 'value word' }, 'null')
  if (kind === 'empty') return h('span', { class: 'value word' }, 'empty text')
  if (kind === 'bytes') return showBytes(value as Uint8Array)
  const text = visible(textOf(value))
  // spaces at the ends cannot be seen
  const edged = kind === 'text' && text !== text.trim() ? `“${text}”` : text
  if (edged.length <= LONG) return h('span', { class: `value ${kind}`, dir: 'auto' }, edged)
  return h(
    'details',
    { class: `value ${kind} long` },
    h(
      'summary',
      {},
      h('span', { dir: 'auto' }, `${edged.slice(0, LONG)}…`),
      h('span', { class: 'more' }, `all ${edged.length} characters`),
    ),
    h('span', { dir: 'auto', tabindex: 0, role: 'group', 'aria-label': 'The whole text' }, edged),
  )
}

const PICTURES: readonly [type: string, begin: string][] = [
  ['image/png', '89 50 4e 47 0d 0a 1a 0a'],
  ['image/jpeg', 'ff d8 ff'],
  ['image/gif', '47 49 46 38'],
  ['image/webp', '52 49 46 46'],
]

function showBytes(bytes: Uint8Array): HTMLElement {
  const text = h('span', { class: 'value bytes' }, textOf(bytes))
  const beginning = hex(bytes.subarray(0, FIRST_BYTES))
  const type = PICTURES.find(([, begin]) => beginning.startsWith(begin))?.[0]
  if (!type) return text
  // a picture of these types runs no script
  const address = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>], { type }))
  const release = () => URL.revokeObjectURL(address)
  const picture = h('img', { src: address, alt: '', load: release, error: () => [release(), picture.remove()] })
  return h('span', { class: 'picture' }, picture, text)
}

/** What tells one value from another; of bytes all of them count. */
export function printOf(value: unknown): string {
  return (
    JSON.stringify(value, function (this: Record<string, unknown>, key: string, given: unknown) {
      const own = this[key] // before toJSON
      if (isBytes(own)) return `bytes ${own.length} ${sumOf(own)}`
      if (own instanceof Date) return `date ${own.getTime()}`
      return given === undefined ? 'undefined' : typeof given === 'bigint' ? `bigint ${given}` : given
    }) ?? 'undefined'
  )
}

// FNV-1a
function sumOf(bytes: Uint8Array): number {
  let sum = 0x811c9dc5
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193)
  return sum >>> 0
}

/** A moment, by the clock of the person who looks at it; of another day with its date. */
export function time(moment: Date | number): HTMLElement {
  const date = new Date(moment)
  const isToday = date.toDateString() === new Date().toDateString()
  return h('time', { datetime: date.toISOString() }, isToday ? date.toLocaleTimeString() : date.toLocaleString())
}
