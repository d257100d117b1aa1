// Makes values of a type, without end where there is none.

import type { Json } from '../../protocol/messages.js'
import type { KindOfValue } from './kindsOfValues.js'

export const DAY = 86_400_000

export function randomly<T extends Json>(make: () => T): () => Iterable<T> {
  return function* () {
    for (;;) yield make()
  }
}

const toBigInt = (value: Json) => {
  try {
    return [BigInt(typeof value === 'number' ? Math.round(value) : String(value))]
  } catch {
    return []
  }
}

const fromBigInt = (value: bigint): Json => (Number.isSafeInteger(Number(value)) ? Number(value) : value.toString())

export function numbers(lowest: bigint, highest: bigint): KindOfValue {
  return {
    isOrdered: true,
    *values(present, kind) {
      const known = present.flatMap(toBigInt)
      let [min, max] = [0n, 0n]
      for (const n of known) {
        if (n > max) max = n
        if (n < min) min = n
      }
      if (kind === 0) for (let n = max + 1n; n <= highest; n++) yield fromBigInt(n)
      else if (kind === 1) for (let n = min - 1n; n >= lowest; n--) yield fromBigInt(n)
      else if (kind === 2) for (let n = lowest > 1n ? lowest : 1n; n <= highest; n++) yield fromBigInt(n)
      if (kind < 3) return
      if (highest - lowest < 70_000n) for (let n = lowest; n <= highest; n++) yield fromBigInt(n)
      else for (;;) yield fromBigInt(lowest + BigInt(Math.floor(Math.random() * Number(highest - lowest))))
    },
  }
}

export function decimals(limit: number, scale: number, write: (value: number | string) => Json): KindOfValue {
  return {
    isOrdered: true,
    *values(present, kind) {
      const known = present.map(Number).filter(Number.isFinite)
      const start =
        kind === 0 ? Math.floor(known.reduce((x, y) => Math.max(x, y), 0)) : Math.ceil(known.reduce((x, y) => Math.min(x, y), 0))
      if (kind < 2) for (let i = 1; Math.abs(start) + i < limit; i++) yield write(kind === 0 ? start + i : start - i)
      else for (;;) yield write(((kind === 2 ? Math.random() : 2 * Math.random() - 1) * (limit - 10 ** -scale)).toFixed(scale))
    },
  }
}

export function dates(write: (time: number) => string, step: number): KindOfValue {
  return {
    isOrdered: true,
    *values(present, kind) {
      const known = present.map(value => Date.parse(String(value))).filter(Number.isFinite)
      const [first, last] = [
        known.reduce((x, y) => Math.min(x, y), Date.UTC(2000, 0)),
        known.reduce((x, y) => Math.max(x, y), Date.UTC(2000, 0)),
      ]
      if (kind === 0) for (let t = last + step; t < Date.UTC(9999, 0); t += step) yield write(t)
      else if (kind === 1) for (let t = first - step; t > Date.UTC(1000, 0); t -= step) yield write(t)
      else for (;;) yield write(Date.UTC(1971, 0) + Math.floor(Math.random() * 24_000) * DAY + Math.floor(Math.random() * 86_400) * 1000)
    },
  }
}

const DIGITS = '0123456789'

export const LETTERS = 'abcdefghijklmnopqrstuvwxyz'

const ALPHABETS = [`${LETTERS}${DIGITS}`, `abcdef${DIGITS}`, '123456789', LETTERS.toUpperCase()]

export function texts(length: number): KindOfValue {
  return {
    isSmall: length <= 2,
    *values(_present, kind, before) {
      const alphabet = ALPHABETS[kind] as string
      if (length <= 2) {
        for (const one of alphabet) yield one
        if (length === 2) for (const one of alphabet) for (const two of alphabet) yield one + two
        return
      }
      // what the value begins with may matter
      for (let i = 0; ; i++) {
        const start = kind === 0 ? String(before[i % Math.max(1, before.length)] ?? '').slice(0, Math.max(0, length - 12)) : ''
        yield start.slice(0, 24) + randomText(Math.min(length, 12), alphabet)
      }
    },
  }
}

export function randomText(length: number, alphabet: string): string {
  let text = ''
  for (let i = 0; i < length; i++) text += alphabet[Math.floor(Math.random() * alphabet.length)]
  return text
}
