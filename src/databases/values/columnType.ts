import type { Json } from '../../protocol/messages.js'

/** How the values of one kind of column travel. Null is not its business. */
export interface ColumnType {
  /** SQL that reads `expression` so that the driver loses nothing. */
  read(expression: string): string
  placeholder: string
  /** What the driver gave for `read`, never null; whatever it is, this does not throw. */
  toWire(cell: unknown): Json
  /** The statement's parameter; calls `reject` with what is wrong, as the end of a sentence that begins with "it". */
  fromWire(value: NonNullable<Json>, reject: Reject): unknown
  isDate?: boolean
  /** Only the database knows whether it accepts a value, and how it spells it: `toWire(fromWire(value))` is not what it holds (held.ts). */
  isSpelledThere?: boolean
  /** The parameter, or null, as TypeORM's driver hands it out before it hydrates an entity, where that is something else. */
  asDriverReads?(parameter: unknown): unknown
}

/**
 * Texts of a limited length alone: before anything slow is done with one. A longer cell is read as it is.
 */
export function bounded(type: ColumnType, longest: number): ColumnType {
  return {
    ...type,
    toWire(cell) {
      const given = bytesOf(cell) ? textOf(cell) : cell
      return typeof given === 'string' && given.length > longest ? given : type.toWire(given)
    },
    fromWire: (value, reject) =>
      typeof value === 'string' && value.length > longest ? reject(`is longer than ${longest} characters`) : type.fromWire(value, reject),
  }
}

/** The number is not the one that was written: JSON's numbers have 53 bits. */
export function rejectRounded(value: Json | undefined, reject: Reject): void {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value))
    reject('is a number beyond 2^53, which JSON rounds; write it as a string')
}

/** The text without the spaces at its end. A regular expression would try each of the spaces within. */
export function withoutSpacesAtEnd(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === ' ') end--
  return text.slice(0, end)
}

export type Reject = (detail: string) => never

/** A cell of an unexpected kind, read as text. */
export function textOf(cell: unknown): string {
  const bytes = bytesOf(cell)
  return bytes ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) : String(cell)
}

/** The bytes of whatever a driver hands out for a blob (libsql: ArrayBuffer), undefined for anything else. */
export function bytesOf(cell: unknown): Uint8Array | undefined {
  if (cell instanceof Uint8Array) return cell
  if (ArrayBuffer.isView(cell)) return new Uint8Array(cell.buffer, cell.byteOffset, cell.byteLength)
  // not instanceof: libsql's buffers may come from another realm (jest, Electron)
  if (Object.prototype.toString.call(cell) === '[object ArrayBuffer]') return new Uint8Array(cell as ArrayBuffer)
  return undefined
}
