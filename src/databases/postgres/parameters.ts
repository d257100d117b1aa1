// How parameters and cells travel through pg.

import { splitAtParameters } from '../statement.js'

const texts = new Map<string, string>()

/** PostgreSQL's `$1` for `?`, outside of what is quoted. */
export function numbered(sql: string): string {
  let text = texts.get(sql)
  if (text === undefined) {
    text = splitAtParameters(sql).reduce((before, part, i) => `${before}$${i}${part}`)
    if (texts.size > 2_000) texts.clear()
    texts.set(sql, text)
  }
  return text
}

const BOOL = 16
const INTEGERS = new Set([20, 21, 23, 26])
const REALS = new Set([700, 701])

// The application may have replaced pg's own parsers, which are global.
export const TYPES = {
  getTypeParser: (type: number) => (text: string) => {
    if (type === BOOL) return text === 't'
    if (REALS.has(type)) return Number(text)
    if (!INTEGERS.has(type)) return text
    const number = Number(text)
    return Number.isSafeInteger(number) ? number : text
  },
}
