// Parses JSON piece by piece. A text of megabytes costs as much as storing its rows: the updates of an answer, or those of each collection of a feed,
// are parsed as they come, and the text of none is kept.

// What is larger than 128 KiB goes past the young generation of V8's heap, which makes it several times as slow.
import type { Body } from './body.js'

const PIECE = 64 * 1024

/** Where the rows begin, of one collection or of the first one of a feed: the name of the list, and what closes the answer behind it. */
const BEGINNINGS = [
  { pattern: /("updates"):\[/, closing: ']}' },
  { pattern: /"changes":\{("(?:[^"\\]|\\.)*"):\[/, closing: ']}}' },
]

const NEXT_LIST = /^("(?:[^"\\]|\\.)*"):\[/

const LONGEST_NAME = 4_096

const [OPENING, CLOSING, BRACE, COMMA, OPENING_BRACE, QUOTE] = [0x5b, 0x5d, 0x7d, 0x2c, 0x7b, 0x22]

export class BodyParser {
  /** What is not parsed yet, behind an opening bracket. */
  #buffer = new Uint8Array(PIECE)
  #end = 1
  #bytes = 0
  #excerpt: string | undefined
  /** What comes before the name of the first list; null where there is none that could be parsed by itself. */
  #head: string | null | undefined
  /** The lists whose rows were parsed, by their names as JSON; the last one goes on. */
  readonly #lists: { readonly name: string; readonly rows: unknown[] }[] = []

  get bytes(): number {
    return this.#bytes
  }

  add(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength
    for (let at = 0; at < chunk.byteLength; ) {
      // one byte stays free, for a closing bracket
      if (this.#end === this.#buffer.length - 1) this.#makeRoom()
      const some = chunk.subarray(at, at + this.#buffer.length - 1 - this.#end)
      this.#buffer.set(some, this.#end)
      this.#end += some.length
      at += some.length
    }
  }

  end(): Body {
    const bytes = this.#buffer.subarray(1, this.#end)
    const rest = decode(bytes)
    const excerpt = this.#excerpt ?? (rest ?? new TextDecoder().decode(bytes)).slice(0, 100)
    return { json: rest === undefined ? undefined : this.#parseRest(rest), isUtf8: rest !== undefined, excerpt, bytes: this.#bytes }
  }

  #makeRoom(): void {
    this.#head ??= this.#findHead()
    if (this.#head !== null && this.#parsePiece()) return
    const larger = new Uint8Array(this.#buffer.length * 2)
    larger.set(this.#buffer)
    this.#buffer = larger
  }

  /**
   * Parses the rows that are there. Where a row ends is guessed, and JSON.parse knows: a text that was cut inside a string, or inside an
   * object or list of a row, is none that closing the list would complete.
   */
  #parsePiece(): boolean {
    const buffer = this.#buffer
    let end = this.#end - 3
    while (end > 0 && !(buffer[end] === BRACE && buffer[end + 1] === COMMA && buffer[end + 2] === OPENING_BRACE)) end--
    if (end > 0 && this.#parseRows(end + 1)) {
      this.#drop(end + 2)
      return true
    }
    return this.#parseList()
  }

  /** Parses the rest of a list that ends here. */
  #parseList(): boolean {
    const buffer = this.#buffer
    for (let end = 1; end < this.#end - 4; end++) {
      if (!(buffer[end] === BRACE && buffer[end + 1] === CLOSING && buffer[end + 2] === COMMA && buffer[end + 3] === QUOTE)) continue
      const text = decode(buffer.subarray(end + 3, Math.min(this.#end, end + LONGEST_NAME)), { isCut: true })
      const [opening, name] = NEXT_LIST.exec(text ?? '') ?? []
      if (!opening || !name || !this.#parseRows(end + 1)) continue
      this.#lists.push({ name, rows: [] })
      this.#drop(end + 3 + new TextEncoder().encode(opening).length)
      return true
    }
    return false
  }

  /** Parses the rows before a place, where they are whole. */
  #parseRows(end: number): boolean {
    const buffer = this.#buffer
    const byte = buffer[end] as number
    buffer[0] = OPENING
    buffer[end] = CLOSING
    const text = decode(buffer.subarray(0, end + 1))
    const rows = text === undefined ? undefined : parse(text)
    buffer[end] = byte
    if (!Array.isArray(rows)) return false
    const list = this.#lists.at(-1)
    for (const row of rows) list?.rows.push(row)
    return true
  }

  #findHead(): string | null {
    const text = decode(this.#buffer.subarray(1, this.#end), { isCut: true })
    this.#excerpt = text?.slice(0, 100)
    for (const { pattern, closing } of BEGINNINGS) {
      const found = pattern.exec(text ?? '')
      if (!text || !found?.[1]) continue
      const opening = text.slice(0, found.index + found[0].length)
      if (parse(opening + closing) === undefined) continue
      this.#lists.push({ name: found[1], rows: [] })
      this.#drop(1 + new TextEncoder().encode(opening).length)
      return opening.slice(0, -(found[1].length + 2))
    }
    return null
  }

  /** Drops what was parsed: what comes before a place. */
  #drop(place: number): void {
    this.#buffer.copyWithin(1, place, this.#end)
    this.#end -= place - 1
  }

  #parseRest(rest: string): unknown {
    const last = this.#lists.at(-1)
    if (!last || typeof this.#head !== 'string') return parse(rest)
    const json = parse(`${this.#head}${last.name}:[${rest}`) as Record<string, unknown> | undefined
    if (json === undefined) return
    const lists = (json.changes ?? json) as Record<string, unknown>
    for (const { name, rows } of this.#lists) {
      const key = parse(name) as string
      const more = lists[key]
      if (name === last.name && !Array.isArray(more)) return json // the name came twice
      lists[key] = name === last.name ? rows.concat(more) : rows
    }
    return json
  }
}

/** Undefined where it is not UTF-8: texts in another encoding would become rows full of U+FFFD without a word. */
function decode(bytes: Uint8Array, { isCut = false } = {}): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: isCut }).decode(bytes, { stream: isCut })
  } catch {
    return
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return
  }
}
