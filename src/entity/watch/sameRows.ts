// Rows that were read again and did not change keep the identity that they had: who shows a list draws only the others.

import type { EntityMetadata } from 'typeorm'

/** A row, and what was in it when it was read: who holds a row may change it. */
interface Known {
  readonly row: object
  readonly content: Content
}

/** What is in an object, in the order of its keys. Quicker to make and to compare than a copy. */
interface Content {
  readonly prototype: unknown
  readonly keys: readonly string[]
  readonly values: readonly unknown[]
}

/** What cannot be compared: a value of a class of which nothing is known, or one that leads back to itself. */
class Incomparable extends Error {}

/** Objects in objects, beyond which one is taken to lead back to itself. */
const DEEPEST = 50

export class SameRows<Row extends object> {
  #rows: readonly Row[] = []
  #known = new Map<unknown, Known>()
  readonly #classes: ReadonlySet<unknown>

  /** `keyOf` gives the same for a row that was read again. Objects of the `classes` are compared by their properties, and plain ones. */
  constructor(
    private readonly keyOf: (row: Row) => unknown,
    classes: Iterable<unknown>,
  ) {
    this.#classes = new Set([Object.prototype, Array.prototype, null, ...classes])
  }

  /** Gives the rows, each in the object that it was in where it is the same; and the list as it was where all are. */
  keep(found: readonly Row[]): readonly Row[] {
    const known = new Map<unknown, Known>()
    const rows = found.map(row => {
      const key = this.keyOf(row)
      const before = this.#known.get(key)
      const kept = before && isSame(before, row) ? before : this.#note(row)
      if (kept) known.set(key, kept)
      return (kept?.row ?? row) as Row
    })
    this.#known = known
    if (rows.length !== this.#rows.length || rows.some((row, i) => row !== this.#rows[i])) this.#rows = rows
    return this.#rows
  }

  #note(row: object): Known | undefined {
    try {
      return { row, content: this.#contentOf(row, 0) }
    } catch (error) {
      if (error instanceof Incomparable) return
      throw error
    }
  }

  #contentOf(object: object, depth: number): Content {
    const prototype = Object.getPrototypeOf(object)
    if (!this.#classes.has(prototype) || depth > DEEPEST) throw new Incomparable()
    const keys = Object.keys(object)
    const values = keys.map(key => this.#valueOf(object[key as never], depth))
    return { prototype, keys, values }
  }

  #valueOf(value: unknown, depth: number): unknown {
    if (typeof value === 'function') throw new Incomparable()
    if (typeof value !== 'object' || value === null) return value
    if (value instanceof Date) return new Date(value)
    if (value instanceof Uint8Array) return Uint8Array.from(value)
    return this.#contentOf(value, depth + 1)
  }
}

const isSame = ({ row, content }: Known, found: object) => holds(content, found) && holds(content, row)

/** Is this what is in the object? */
function holds({ prototype, keys, values }: Content, object: object): boolean {
  if (Object.getPrototypeOf(object) !== prototype) return false
  const own = Object.keys(object)
  if (own.length !== keys.length) return false
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]
    if (key !== own[i]) return false
    const [noted, value] = [values[i], object[key as never] as unknown]
    if (!Object.is(noted, value) && !isValue(noted, value)) return false
  }
  return true
}

function isValue(noted: unknown, value: unknown): boolean {
  if (typeof noted !== 'object' || typeof value !== 'object' || noted === null || value === null) return false
  if (noted instanceof Date) return value instanceof Date && Object.is(noted.getTime(), value.getTime())
  if (!(noted instanceof Uint8Array)) return holds(noted as Content, value)
  return value instanceof Uint8Array && noted.length === value.length && noted.every((byte, i) => byte === value[i])
}

/** The prototypes of a data source's entities, and of what is embedded in them. */
export function* prototypesOf(entities: readonly EntityMetadata[]): Generator<unknown> {
  for (const { target, allEmbeddeds } of entities)
    for (const type of [target, ...allEmbeddeds.map(e => e.type)]) if (typeof type === 'function') yield type.prototype
}
