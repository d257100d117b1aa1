const digits = Uint8Array.from('0123456789abcdef', digit => digit.charCodeAt(0))
const values = new Uint8Array(128).fill(255)
for (const [digit, value] of [...'0123456789abcdef'].map((d, i) => [d, i] as const))
  for (const spelling of [digit, digit.toUpperCase()]) values[spelling.charCodeAt(0)] = value

export function encodeHex(bytes: Uint8Array): string {
  const text = new Uint8Array(bytes.length * 2)
  for (let i = 0, place = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number
    text[place++] = digits[byte >> 4] as number
    text[place++] = digits[byte & 15] as number
  }
  return new TextDecoder().decode(text)
}

/** The bytes that the text says from a place on; undefined where it is not pairs of hexadecimal digits. */
export function decodeHex(text: string, start = 0): Uint8Array | undefined {
  if ((text.length - start) % 2 !== 0) return undefined
  const bytes = new Uint8Array((text.length - start) / 2)
  for (let i = 0, place = start; i < bytes.length; i++) {
    const high = values[text.charCodeAt(place++)] ?? 255
    const low = values[text.charCodeAt(place++)] ?? 255
    if (high > 15 || low > 15) return undefined
    bytes[i] = (high << 4) | low
  }
  return bytes
}
