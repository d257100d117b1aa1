// Reads the body of an answer as JSON while it comes.

import { BodyParser } from './bodyParser.js'
/** A whole body. */
export interface Body {
  /** undefined where it is no JSON, or not UTF-8. */
  readonly json: unknown
  readonly isUtf8: boolean
  /** How it begins, for messages. */
  readonly excerpt: string
  /** Its length, unzipped. */
  readonly bytes: number
}

/** Rejects as the body's stream does, or with what `tooLarge` gives where it has more bytes than `largest`. */
export async function readBody(
  response: Response,
  largest = Number.POSITIVE_INFINITY,
  tooLarge = () => new Error('too large'),
): Promise<Body> {
  const parser = new BodyParser()
  const reader = response.body?.getReader?.()
  // React Native's fetch has no streams
  if (!reader) parser.add(new Uint8Array(await response.arrayBuffer()))
  else
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      parser.add(read.value)
      if (parser.bytes <= largest) continue
      reader.cancel().catch(() => {}) // the rest is of no use
      throw tooLarge()
    }
  if (parser.bytes > largest) throw tooLarge()
  return parser.end()
}
