// What a sync says to a server, in one form of words: to its feed, or to the route of one entity, which older servers have alone.

import { ServerError } from '../errors.js'
import type { ByPath, FeedAnswer, FeedPushAnswer, FeedQuery, FeedStaleAnswer, Refusal } from '../protocol/messages.js'
import type { Transport } from './transport.js'

/** What changed; a server of 2011 has no collection id. */
export type Answer = Omit<FeedAnswer, 'collection'> & { readonly collection?: string }

export interface Pulled {
  /** undefined: nothing is new (304). */
  readonly answer: Answer | undefined
  readonly etag: string | null
  /** Length of the body, unzipped. */
  readonly bytes: number
  /** Twice as much might not arrive in time, or be too large. */
  readonly isNearLimit: boolean
}

/** `isDefinite` is false where an earlier try of the same push got no answer, and may still arrive. */
export type Pushed = { readonly bytes: number; readonly isNearLimit: boolean } & (
  | { readonly kind: 'stored'; readonly answer: FeedPushAnswer; readonly replayed: boolean }
  | { readonly kind: 'stale'; readonly answer: FeedStaleAnswer; readonly isDefinite: boolean }
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal<string>[]; readonly isDefinite: boolean }
)

export interface WirePush {
  readonly since?: number
  readonly collection?: string | undefined
  readonly key?: string
  /** How far other collections of this server were read, by their paths. To a feed that goes without saying. */
  readonly seen?: ByPath<number>
  /** The server knows keys, so that a second copy does no harm. */
  readonly retry: boolean
}

/** Its promises reject with a TransportError, or with the signal's reason. */
export interface Wire {
  readonly url: string
  readonly isFeed: boolean
  /** The body of a push, of rows as JSON by the paths of their collections. */
  body(rows: ByPath<readonly string[]>): string
  pull(query: FeedQuery, etag: string | null, signal?: AbortSignal): Promise<Pulled>
  push(body: string, push: WirePush, signal?: AbortSignal): Promise<Pushed>
}

/** The key of a push to a feed says so: it is ended there, whatever the client asks meanwhile. */
const FEED = 'feed-'

export const isFeedKey = (key: string) => key.startsWith(FEED)

export const newKey = ({ isFeed }: Wire) => (isFeed ? FEED : '') + globalThis.crypto.randomUUID()

/** There is no feed at this url: the server is an older one, or not one of ours. */
export class NoFeedError extends Error {
  constructor(override readonly cause: ServerError) {
    super('There is no feed.')
  }
}

const MISSING = new Set([404, 405, 410, 501])

function refuseFeed(error: unknown): never {
  throw error instanceof ServerError && MISSING.has(error.status ?? 0) ? new NoFeedError(error) : error
}

/** The feed, of which the client has the collections at these paths. */
export function feedWire(transport: Transport, url: string, paths: readonly string[]): Wire {
  return {
    url,
    isFeed: true,
    body: rows => `{"changes":{${[...rows].map(([path, texts]) => `${JSON.stringify(path)}:[${texts.join(',')}]`).join(',')}}}`,
    pull: (query, etag, signal) => transport.pullFeed(url, query, etag, signal).catch(refuseFeed),
    push: (body, push, signal) => transport.pushFeed(url, body, { ...push, collections: paths }, signal),
  }
}

/** The route of one entity. */
export function routeWire(transport: Transport, url: string, path: string): Wire {
  return {
    url,
    isFeed: false,
    body: rows => `[${[...rows.values()].flat().join(',')}]`,
    async pull({ collections, properties, ...query }, etag, signal) {
      const own = properties?.get(path)
      const { answer, ...pulled } = await transport.pull(url, { ...query, ...(own && { properties: own }) }, etag, signal)
      if (!answer) return { answer, ...pulled }
      const { updates, properties: known, ...rest } = answer
      return { answer: { ...rest, changes: new Map([[path, updates]]), ...(known && { properties: new Map([[path, known]]) }) }, ...pulled }
    },
    async push(body, push, signal) {
      const pushed = await transport.push(url, body, push, signal)
      if (pushed.kind === 'refused') return { ...pushed, refusals: pushed.refusals.map(r => ({ ...r, collection: path })) }
      if (pushed.kind === 'stale') {
        const { updates, ...rest } = pushed.answer
        return { ...pushed, answer: { ...rest, changes: new Map([[path, updates]]) } }
      }
      const { ignored, ...answer } = pushed.answer
      return { ...pushed, answer: { ...answer, ...(ignored && { ignored: new Map([[path, ignored]]) }) } }
    },
  }
}
