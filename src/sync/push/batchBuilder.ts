// Collects the rows of a push, as long as there is room for them.

import type { Collection } from '../../changes/collections/collection.js'
import type { ByPath, PushedRow } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'
import type { Session } from '../session.js'
import type { Batch } from './batch.js'
import { writeFor } from './describePush.js'

export interface PushedOf {
  readonly collection: Collection
  readonly row: PushedRow
}

/** Bytes in a push, but for a row that is larger by itself: proxies and body parsers accept a megabyte by default. */
const LARGEST_BODY = 1_000_000

export class BatchBuilder {
  readonly #rows: PushedOf[] = []
  readonly #needed: PushedOf[] = []
  readonly #texts = new Map<string, string[]>()
  readonly #stamps = new Map<Collection, Map<string, number>>()
  #bytes = 0

  constructor(private readonly session: Session) {}

  get rows(): readonly PushedOf[] {
    return this.#rows
  }

  has(collection: Collection, id: string): boolean {
    return this.#stamps.get(collection)?.has(id) === true
  }

  /** False where there is no room for it. */
  add({ server, collection }: Exchange, row: PushedRow, isNeeded = false): boolean {
    const text = JSON.stringify(writeFor(server, collection, row))
    this.#bytes += new TextEncoder().encode(text).length + 1
    if (this.#bytes > LARGEST_BODY && this.#rows.length && !isNeeded) return false
    this.#rows.push({ collection, row })
    if (isNeeded) this.#needed.push({ collection, row })
    const path = this.session.members.find(m => m.collection === collection)?.path ?? ''
    const texts = this.#texts.get(path)
    if (texts) texts.push(text)
    else this.#texts.set(path, [text])
    return true
  }

  addStamp(collection: Collection, id: string, stamp: number): void {
    const stamps = this.#stamps.get(collection) ?? new Map<string, number>()
    this.#stamps.set(collection, stamps.set(id, stamp))
  }

  build(): Pick<Batch, 'rows' | 'needed' | 'body' | 'stamps'> {
    return { rows: this.#rows, needed: this.#needed, body: this.session.wire.body(this.#texts as ByPath<string[]>), stamps: this.#stamps }
  }
}
