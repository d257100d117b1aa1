// Names that a database does not cut off.

// Bytes. PostgreSQL cuts off what is longer, silently; MySQL allows 64 characters.
const LONGEST = 63

/** The name as it is, or, where it is too long for a database, its beginning and a fingerprint of the whole. */
export function shortName(name: string, longest = LONGEST): string {
  const bytes = new TextEncoder().encode(name)
  if (bytes.length <= longest) return name
  // a character that is cut through is left out
  const beginning = new TextDecoder().decode(bytes.slice(0, longest - 17)).replace(/\ufffd+$/, '')
  return `${beginning}_${fingerprint(name)}`
}

/** 16 hexadecimal digits that differ for different texts, unless they are made to be equal (FNV-1a, 64 bits). */
export function fingerprint(text: string): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}
