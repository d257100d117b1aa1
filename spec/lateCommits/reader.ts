// A client that only reads: it asks for what changed since the last time, and keeps a copy.

import { COLLECTIONS, type CollectionName, wait } from './words.js'

export interface Copied {
  readonly id: string
  readonly text: string
  readonly version: number
  readonly item?: string
}

type Wire = Copied & { readonly _lastChange?: number; readonly _removed?: boolean }

const forEach = <T>(make: () => T): Record<CollectionName, T> => ({ items: make(), parts: make() })

export class Reader {
  readonly copies = forEach(() => new Map<string, Copied>())
  readonly removed = forEach(() => new Set<string>())
  readonly since = forEach(() => 0)
  readonly histories = forEach(() => '')
  readonly #etags = forEach(() => '')
  reads = 0
  rows = 0
  busy = 0

  constructor(
    readonly name: string,
    private readonly url: () => string,
    private readonly how: { readonly limit?: number; readonly withETag?: boolean },
    private readonly problem: (text: string) => void,
  ) {}

  /** Reads all that is new; gives the number of rows. */
  async read(collections: readonly CollectionName[] = COLLECTIONS): Promise<number> {
    let rows = 0
    for (const collection of collections) rows += await this.#readCollection(collection)
    return rows
  }

  async #readCollection(collection: CollectionName): Promise<number> {
    const query = new URLSearchParams({ since: String(this.since[collection]) })
    if (this.histories[collection]) query.set('collection', this.histories[collection])
    if (this.how.limit) query.set('limit', String(this.how.limit))
    let [rows, now] = [0, this.since[collection]]
    for (;;) {
      query.set('min', String(now))
      const answer = await this.#get(collection, query)
      if (!answer) break
      if (answer.reset) this.problem(`${this.name} was given a reset of ${collection}: ${JSON.stringify(answer).slice(0, 300)}`)
      if (answer.now < now) this.problem(`${this.name}: now of ${collection} went back from ${now} to ${answer.now}`)
      this.#take(collection, answer.updates)
      rows += answer.updates.length
      now = answer.now
      this.histories[collection] = answer.collection
      if (answer.next === undefined) break
      query.set('after', answer.next)
    }
    this.since[collection] = now
    this.rows += rows
    return rows
  }

  async #get(collection: CollectionName, query: URLSearchParams) {
    const etag = this.how.withETag ? this.#etags[collection] : ''
    for (;;) {
      const response = await fetch(`${this.url()}/${collection}?${query}`, { headers: etag ? { 'If-None-Match': etag } : {} })
      this.reads++
      this.#etags[collection] = response.headers.get('ETag') ?? ''
      if (response.status === 304) return
      const answer = (await response.json()) as { now: number; collection: string; updates: Wire[]; next?: string; reset?: string }
      if (response.status === 200) return answer
      if (response.status !== 503) throw new Error(`GET ${collection}: ${response.status} ${JSON.stringify(answer)}`)
      this.busy++
      await wait(50)
    }
  }

  #take(collection: CollectionName, updates: readonly Wire[]): void {
    const [copy, removed] = [this.copies[collection], this.removed[collection]]
    for (const { _lastChange, _removed, ...row } of updates) {
      const known = copy.get(row.id)
      if (_removed) {
        copy.delete(row.id)
        removed.add(row.id)
        continue
      }
      if (known && known.version > row.version)
        this.problem(`${this.name}: ${collection} ${row.id} went back from version ${known.version} to ${row.version}`)
      removed.delete(row.id)
      copy.set(row.id, row)
    }
  }
}
