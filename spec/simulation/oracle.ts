// The oracle knows the ancestry of every value: each value that is written is a new token, and remembers which tokens its writer saw.
// No database may drop a value whose successor it does not store, unless a handler saw both.

/** Where a database lacks a column there is nothing (null): what stands there comes after the removals that the rest of the row comes after. */
export type Cells = { a: string; b: string; c: string }
/** A row, the token of its removal, or nothing: it never was here. */
export type Value = Cells | { removed: string } | null

const PROPERTIES = ['a', 'b', 'c'] as const

export const isGone = (value: Value | undefined): value is { removed: string } | null | undefined => !value || 'removed' in value
export const cellsOf = (value: Value | undefined): string[] =>
  !value ? [] : 'removed' in value ? [value.removed] : PROPERTIES.flatMap(p => value[p] ?? [])
export const isSame = (x: Value, y: Value): boolean =>
  isGone(x) || isGone(y) ? isGone(x) && isGone(y) : PROPERTIES.every(p => x[p] === y[p])

export interface Change {
  readonly database: string
  readonly id: string
  readonly old: Value
  readonly value: Value
  /** `purge`: it left, because it is not to be seen any more, and nothing of it counts as lost here. */
  readonly cause: 'application' | 'post' | 'merge' | 'handler' | 'cascade' | 'purge'
  /** Of a merge: what the server has, and what both knew before; undefined: not known. */
  readonly remote?: Value | undefined
  readonly base?: 'gone' | 'row' | undefined
}

export class Oracle {
  #ancestors = new Map<string, Set<string>>()
  #tokens = 0
  #createdLocally = new Set<string>()
  /** Removals of what was made and removed between two syncs. */
  readonly neverTold = new Set<string>()
  readonly #givenUp = new Set<string>()
  readonly #removals = new Set<string>()
  readonly lastRemoval = new Map<string, string>()
  /** The ids of rows that anybody has removed, in the application or in the journal. */
  readonly removed = new Set<string>()
  /** The databases in which a token has stood. */
  readonly #places = new Map<string, Set<string>>()
  readonly written: { id: string; property: 'a' | 'b' | 'c' | 'removed'; token: string }[] = []
  /** False once a wipe or a backup has lost edits. */
  isWhole = true

  constructor(private readonly trace: (line: string) => void) {}

  token(name: string, ...before: (string | undefined)[]): string {
    const token = `${name}.${++this.#tokens}`
    this.#ancestors.set(token, new Set())
    for (const b of before) this.inherit(token, b)
    return token
  }

  /** A second name for the same ancestry. */
  alias(token: string, alias: string): string {
    this.#ancestors.set(alias, this.#ancestors.get(token) as Set<string>)
    return alias
  }

  inherit(token: string | undefined, before: string | undefined): void {
    if (token && before && before !== token) this.#ancestors.get(token)?.add(before)
  }

  /** Is the token the same as the other, or made by someone who saw it? */
  isAfter(token: string, before: string): boolean {
    const seen = new Set([token])
    const stack = [token]
    for (let t = stack.pop(); t !== undefined; t = stack.pop()) {
      if (t === before) return true
      for (const a of this.#ancestors.get(t) ?? []) {
        if (seen.has(a)) continue
        seen.add(a)
        stack.push(a)
      }
    }
    return false
  }

  /** Throws where a value is lost. */
  observe(change: Change): void {
    const { database, id, old, value, cause, remote, base } = change
    this.trace(
      `    ${database} ${cause} ${id} ${JSON.stringify(old)} → ${JSON.stringify(value)}${remote === undefined ? '' : ` remote ${JSON.stringify(remote)} base ${base}`}`,
    )
    const key = database + id
    for (const token of cellsOf(value)) this.#places.set(token, (this.#places.get(token) ?? new Set()).add(database))
    if (cause === 'purge') {
      this.#createdLocally.delete(key)
      return
    }
    for (const side of [old, value, remote]) if (side && isGone(side)) this.#removals.add(side.removed)
    if (value && isGone(value)) this.lastRemoval.set(key, value.removed)
    const isKnownGone = base === 'gone' && (old !== null || !this.isWhole || this.#createdLocally.has(key))
    if (cause === 'handler') {
      for (const other of [old, remote ?? null]) {
        if (isGone(value) || isGone(other)) for (const t of cellsOf(value)) for (const o of cellsOf(other)) this.inherit(t, o)
        else for (const p of PROPERTIES) this.#inheritCell(p, value, other)
      }
    }
    if (cause === 'application' && !isGone(old) && !isGone(value)) for (const p of PROPERTIES) if (!old[p]) this.#inheritCell(p, value, old)
    if (cause === 'application' && value && isGone(value)) this.removed.add(id)
    if (cause === 'handler' || cause === 'application') for (const other of [old, remote ?? null]) this.discard(other, value)
    if ((cause === 'application' || cause === 'post') && old === null) this.#createdLocally.add(key)
    if (cause === 'application' || cause === 'handler' || cause === 'cascade') return
    if (cause === 'merge' && remote && isGone(remote) && !isGone(value) && isKnownGone)
      for (const t of cellsOf(value)) this.inherit(t, remote.removed) // made here, never had the one removed there
    if (cause === 'merge' && old === null) {
      this.#createdLocally.delete(key)
      // the removal here was kept apart when the row left, and is the same as that there
      if (remote && isGone(remote)) this.inherit(remote.removed, this.lastRemoval.get(key))
      for (const t of cellsOf(value)) this.inherit(t, this.lastRemoval.get(key)) // the tombstone was collected here
    }
    if (cause === 'merge' && old && isGone(old) && !isGone(value) && isKnownGone) {
      this.neverTold.add(old.removed) // made and removed here, never pushed
      for (const t of cellsOf(value)) this.inherit(t, old.removed)
      return
    }
    if (cause === 'post' && old === null && value && isGone(value)) this.neverTold.add(value.removed)
    if (cause === 'post' && old === null) for (const t of cellsOf(value)) this.inherit(t, this.lastRemoval.get(key))
    if (cause === 'post' && old && isGone(old) && !isGone(value)) {
      for (const t of cellsOf(value)) this.inherit(t, old.removed) // a whole row of one who never had the one removed; a part is rejected
      return
    }
    const lost = this.#loss(old, value)
    if (lost !== undefined)
      throw new Error(
        `lost ${lost} of ${id} on ${database} by ${cause}: ${JSON.stringify(old)} → ${JSON.stringify(value)} (remote ${JSON.stringify(remote)}, base ${base})`,
      )
  }

  #loss(old: Value, value: Value): string | undefined {
    if (old === null) return
    if (isGone(old) && isGone(value)) {
      if (value) {
        this.inherit(old.removed, value.removed)
        this.inherit(value.removed, old.removed)
      }
      return
    }
    if (isGone(old)) return cellsOf(value).every(t => this.isAfter(t, old.removed)) ? undefined : old.removed
    if (isGone(value)) return cellsOf(old).find(t => !value || !this.isAfter(value.removed, t))
    const isKept = (o: string, t: string | undefined) =>
      (t ? this.isAfter(t, o) : this.#removalsBefore(value).some(r => this.isAfter(r, o))) || this.#isGivenUp(o)
    return PROPERTIES.map(p => [old[p], value[p]] as const).find(([o, t]) => o && !isKept(o, t))?.[0]
  }

  #inheritCell(property: keyof Cells, value: Cells, before: Cells): void {
    const token = value[property]
    if (!token || token === before[property]) return
    for (const b of before[property] ? [before[property]] : this.#removalsBefore(before)) this.inherit(token, b)
  }

  /** The removals that a row was made after: all that stands in it is. */
  #removalsBefore(value: Cells): string[] {
    const cells = cellsOf(value)
    return [...this.#removals].filter(r => cells.length && cells.every(t => this.isAfter(t, r)))
  }

  /** What is discarded for nothing has no heir. */
  discard(old: Value, value: Value): void {
    if (isGone(value)) return
    for (const p of PROPERTIES)
      if (!value[p]) for (const token of isGone(old) ? cellsOf(old) : [old[p]]) if (token) this.#givenUp.add(token)
  }

  /** The application has removed them knowingly. */
  giveUp(tokens: readonly string[]): void {
    for (const token of tokens) this.#givenUp.add(token)
  }

  /** Was it removed where it was made, before anybody else had it? Then nobody needs to hear of it, whatever they have at its id. */
  #hasNeverLeft(database: string, id: string, token: string): boolean {
    const removal = this.lastRemoval.get(database + id)
    if (removal === undefined || !this.#createdLocally.has(database + id) || !this.isAfter(removal, token)) return false
    const before = this.written.filter(w => w.id === id && this.isAfter(removal, w.token))
    return before.every(w => [...(this.#places.get(w.token) ?? [])].every(place => place === database))
  }

  #isGivenUp(token: string): boolean {
    return [...this.#givenUp].some(r => this.isAfter(r, token))
  }

  /**
   * What an application wrote and is in no final row, nor known to the writer of what is there. `apart`: what stands in journals. `differ`: the final
   * rows of an id need not be one row.
   */
  missing(
    finals: (id: string) => Value[],
    databases: readonly string[],
    apart: (id: string) => Value[] = () => [],
    differ = false,
  ): string[] {
    if (!this.isWhole) return []
    const problems: string[] = []
    for (const { id, property, token } of this.written) {
      if (databases.some(name => this.#hasNeverLeft(name, id, token))) continue
      const values = finals(id).filter(v => v !== null)
      const rows = values.filter(v => !isGone(v)) as Cells[]
      const heirs = apart(id).flatMap(cellsOf)
      if (rows.length) heirs.push(...rows.flatMap(v => (property === 'removed' || !v[property] ? cellsOf(v) : [v[property]])))
      if (!rows.length || differ)
        heirs.push(...values.flatMap(cellsOf), ...databases.flatMap(name => this.lastRemoval.get(name + id) ?? []))
      if (!heirs.some(x => this.isAfter(x, token)) && !this.#isGivenUp(token) && ![...this.neverTold].some(r => this.isAfter(r, token)))
        problems.push(`${token} of ${id} is in no final row`)
    }
    return problems
  }
}
