// A server whose answers a story writes itself: what a client makes of them is shown before there is a server that gives them, and of those that none would give.

import type { EntitySchema } from 'typeorm'
import type { WireRow } from '../../src/protocol/messages.js'
import { type Kind, openOn } from '../support/eachDatabase.js'

export interface Answer {
  readonly changes?: Readonly<Record<string, readonly WireRow[]>>
  readonly [member: string]: unknown
}

/** What a POST is answered with. */
export interface Reply {
  readonly status: number
  readonly body: unknown
}

export class HandMade {
  now = 1_000
  history = 'history'
  /** undefined: it names no sets of keys. */
  scope: string | undefined = 'one'
  /** The next answers to a GET; where there are none left, nothing is new. */
  readonly answers: Answer[] = []
  /** The next answers to a POST; where there are none left, everything is stored. */
  readonly replies: Reply[] = []
  readonly gets: URLSearchParams[] = []
  readonly posts: { query: URLSearchParams; changes: Record<string, WireRow[]> }[] = []
  /** Before a request is answered. */
  before: ((method: string) => unknown) | undefined

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const { pathname, searchParams } = new URL(String(input))
    if (pathname !== '/sync') return json(404, {})
    await this.before?.(init?.method ?? 'GET')
    return init?.method === 'POST' ? this.#push(searchParams, JSON.parse(String(init.body))) : this.#pull(searchParams)
  }

  /** An update of the next answer. */
  row = (id: string, more: WireRow = {}): WireRow => ({ id, ...more, _lastChange: ++this.now })
  left = (id: string): WireRow => ({ id, _removed: true, _left: true, _lastChange: ++this.now })
  removed = (id: string): WireRow => ({ id, _removed: true, _lastChange: ++this.now })

  #names(): Record<string, unknown> {
    return { now: this.now, collection: this.history, principal: 'alice', ...(this.scope !== undefined && { scope: this.scope }) }
  }

  #pull(query: URLSearchParams): Response {
    this.gets.push(query)
    const { scope = this.scope, ...answer } = this.answers.shift() ?? {}
    const full = query.get('since') === '0' ? { full: true } : {}
    return json(200, { ...this.#names(), ...full, changes: {}, ...answer, ...(scope !== undefined && { scope }) })
  }

  #push(query: URLSearchParams, { changes }: { changes: Record<string, WireRow[]> }): Response {
    this.posts.push({ query, changes })
    const { status, body } = this.replies.shift() ?? { status: 200, body: {} }
    const since = this.now++
    if (status !== 200) return json(status, { ...this.#names(), ...(body as object) })
    const isEmpty = !Object.values(changes).flat().length
    return json(200, { status: 'ok', ...this.#names(), since, ...(isEmpty && { empty: true }), ...(body as object) })
  }
}

const json = (status: number, body: unknown) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })

/** A device of such a server. */
export const deviceOf = (server: HandMade, entities: EntitySchema[], kind: Kind = 'libsql', more = {}) =>
  openOn(kind, entities, { server: 'http://hand.made', fetch: server.fetch, retries: 0, ...more })
