// Every edit that an application made, and what became of it: it is there in the end, a writer who saw it wrote on, or a handler saw it.

export interface Edit {
  readonly row: string
  /** null: the row was removed. */
  readonly property: string | null
  readonly token: string
  /** What its writer saw there. */
  readonly before: readonly string[]
  /** The application's write was committed. */
  isAcknowledged: boolean
}

export class Ledger {
  #edits: Edit[] = []
  #seen = new Set<string>()
  #tokens = 0

  get size(): number {
    return this.#edits.length
  }

  clone(): Ledger {
    const clone = new Ledger()
    clone.#edits = this.#edits.map(edit => ({ ...edit }))
    clone.#seen = new Set(this.#seen)
    clone.#tokens = this.#tokens
    return clone
  }

  token(by: string): string {
    return `${by}${++this.#tokens}`
  }

  note(row: string, property: string | null, token: string, before: readonly unknown[]): Edit {
    const edit = { row, property, token, before: before.filter(b => typeof b === 'string'), isAcknowledged: false }
    this.#edits.push(edit)
    return edit
  }

  removalsOf(row: string): string[] {
    return this.#edits.filter(e => e.row === row && e.property === null).map(e => e.token)
  }

  /** A handler was shown these. */
  see(tokens: Iterable<unknown>): void {
    for (const token of tokens) if (typeof token === 'string') this.#seen.add(token)
  }

  /** The acknowledged edits of which nothing is left. `finals`: the rows as they stand in the end. */
  lost(finals: ReadonlyMap<string, Record<string, unknown>>): Edit[] {
    const heirs = new Map<string, Edit[]>()
    for (const edit of this.#edits) for (const before of edit.before) heirs.set(before, [...(heirs.get(before) ?? []), edit])
    const known = new Map<string, boolean>()
    const isThere = (edit: Edit): boolean => {
      const answer = known.get(edit.token)
      if (answer !== undefined) return answer
      known.set(edit.token, false)
      const row = finals.get(edit.row)
      const stands = edit.property === null ? row === undefined : row?.[edit.property] === edit.token
      const found = stands || this.#seen.has(edit.token) || (heirs.get(edit.token) ?? []).some(isThere)
      known.set(edit.token, found)
      return found
    }
    return this.#edits.filter(edit => edit.isAcknowledged && !isThere(edit))
  }
}
