const letters = bytesOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const padding = 0x3d

/** Not with btoa, which wants its bytes as a text of as many characters: four times as slow. */
export function encodeBase64(bytes: Uint8Array): string {
  const text = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  let place = 0
  for (let i = 0; i < bytes.length; i += 3) {
    const bits = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    text[place++] = letters[bits >> 18] as number
    text[place++] = letters[(bits >> 12) & 63] as number
    text[place++] = letters[(bits >> 6) & 63] as number
    text[place++] = letters[bits & 63] as number
  }
  text.fill(padding, text.length - ((3 - (bytes.length % 3)) % 3))
  return new TextDecoder().decode(text)
}

/** Undefined where the text is not base64 (RFC 4648, section 4, with padding). */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined
  let binary: string
  try {
    binary = atob(text)
  } catch {
    return undefined
  }
  const padded = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  // atob passes over white space
  return binary.length === (text.length / 4) * 3 - padded ? bytesOf(binary) : undefined
}

function bytesOf(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
  return bytes
}
