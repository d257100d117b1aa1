// Looks at JSON before it is parsed.

/**
 * How deep brackets are nested, and whether a number is so long that it may be rounded, strings left out. In UTF-8 no byte of another
 * character is one of these.
 */
export function look(bytes: Buffer): { deepest: number; isLong: boolean } {
  let [depth, deepest, digits, isLong] = [0, 0, 0, false]
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes[i] as number
    if (c >= 0x30 && c <= 0x39) {
      if (++digits > 15) isLong = true
      continue
    }
    // an exponent may be more than any double
    if (digits > 0 && (c === 0x65 || c === 0x45)) isLong = true
    digits = 0
    if (c === 0x22) i = endOfString(bytes, i)
    else if (c === 0x5b || c === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (c === 0x5d || c === 0x7d) depth--
  }
  return { deepest, isLong }
}

/** Does an object of the first two levels have a name twice? JSON.parse keeps the last one without an error. */
export function saysTwice(bytes: Buffer): boolean {
  const names: Set<string>[] = []
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes[i] as number
    if (c === 0x22) {
      const [start, end] = [i, endOfString(bytes, i)]
      i = end
      if (depth > 2) continue
      while (isSpace(bytes[i + 1])) i++
      if (bytes[i + 1] !== 0x3a) continue
      const name: string = JSON.parse(bytes.toString('utf8', start, end + 1))
      if (names[depth]?.has(name)) return true
      names[depth]?.add(name)
    } else if (c === 0x5b || c === 0x7b) {
      if (++depth <= 2) names[depth] = new Set()
    } else if (c === 0x5d || c === 0x7d) depth--
  }
  return false
}

const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

export function endOfString(bytes: Buffer, start: number): number {
  let i = start + 1
  for (; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++
  return i
}
