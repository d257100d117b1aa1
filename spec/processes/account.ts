import { type Edit, Ledger } from '../crash/ledger.js'
import type { Said } from './open.js'

/** What was said by everybody in a round. */
export class Account {
  readonly ledger = new Ledger()
  readonly problems: string[] = []
  readonly counts: Record<string, number> = {}
  readonly #edits = new Map<string, Edit>()
  readonly #removals = new Set<string>()

  hear(said: Said): void {
    this.count(said.said === 'failed' ? `failed: ${said.code}` : said.said, said.said === 'stored' ? said.tokens.length : 1)
    if (said.said === 'begins')
      for (const { row, property, token, before } of said.edits) this.#edits.set(token, this.ledger.note(row, property, token, before))
    if (said.said === 'stored') for (const token of said.tokens) (this.#edits.get(token) as Edit).isAcknowledged = true
    if (said.said === 'seen') {
      this.ledger.see(said.tokens)
      for (const row of said.removals) this.#removals.add(row)
    }
    if (said.said === 'problem') this.problems.push(said.text)
  }

  count(what: string, times = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + times
  }

  /** What a handler was shown as removed; whose removal it was the database does not say. */
  seeRemovals(): void {
    for (const row of this.#removals) this.ledger.see(this.ledger.removalsOf(row))
  }
}
