// Rows that were read again and did not change keep the identity that they had: who shows a list draws only the others.

import type { EntityMetadata } from 'typeorm'
import { isEqual } from './isEqual.js'

/** A row, and a copy of it as it was read: who holds a row may change it. */
interface Known {
  readonly row: object
  readonly copy: unknown
}

/** What cannot be compared: a value of a class of which nothing is known, or one that leads back to itself. */
class Incomparable extends Error {}

export class SameRows<Row extends object> {
  #rows: readonly Row[] = []
  #known = new Map<string, Known>()
  readonly #classes: ReadonlySet<unknown>

  /** `keyOf` gives the same for a row that was read again. Objects of the `classes` are compared by their properties, and plain ones. */
  constructor(
    private readonly keyOf: (row: Row) => string,
    classes: Iterable<unknown>,
  ) {
    this.#classes = new Set([Object.prototype, null, ...classes])
  }

  /** Gives the rows, each in the object that it was in where it is the same; and the list as it was where all are. */
  keep(found: readonly Row[]): readonly Row[] {
    const known = new Map<string, Known>()
    const rows = found.map(row => {
      const key = this.keyOf(row)
      const before = this.#known.get(key)
      const kept = before && this.#isSame(before, row) ? before : this.#copied(row)
      if (kept) known.set(key, kept)
      return (kept?.row ?? row) as Row
    })
    this.#known = known
    if (rows.length !== this.#rows.length || rows.some((row, i) => row !== this.#rows[i])) this.#rows = rows
    return this.#rows
  }

  #isSame({ row, copy }: Known, found: object): boolean {
    return isEqual(copy, found) && isEqual(copy, row)
  }

  #copied(row: object): Known | undefined {
    try {
      return { row, copy: this.#copy(row, []) }
    } catch (error) {
      if (error instanceof Incomparable) return
      throw error
    }
  }

  #copy(value: unknown, above: readonly object[]): unknown {
    if (typeof value === 'function') throw new Incomparable()
    if (typeof value !== 'object' || value === null) return value
    if (value instanceof Date) return new Date(value)
    if (value instanceof Uint8Array) return Uint8Array.from(value)
    if (above.includes(value)) throw new Incomparable()
    const below = [...above, value]
    if (Array.isArray(value)) return value.map(each => this.#copy(each, below))
    const prototype = Object.getPrototypeOf(value)
    if (!this.#classes.has(prototype)) throw new Incomparable()
    const copy = Object.create(prototype)
    for (const [key, each] of Object.entries(value)) copy[key] = this.#copy(each, below)
    return copy
  }
}

/** The prototypes of a data source's entities, and of what is embedded in them. */
export function* prototypesOf(entities: readonly EntityMetadata[]): Generator<unknown> {
  for (const { target, allEmbeddeds } of entities)
    for (const type of [target, ...allEmbeddeds.map(e => e.type)]) if (typeof type === 'function') yield type.prototype
}
