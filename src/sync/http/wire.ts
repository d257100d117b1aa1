// What a sync says to a server, in one form of words: to its feed, or to the route of one entity, which older servers have alone.

import type { ByPath, FeedAnswer, FeedPushAnswer, FeedQuery, FeedStaleAnswer } from '../../protocol/messages.js'
import { ServerError } from './errors.js'
import type { Push, Transport, Pulled as Transported, Pushed as TransportedPush } from './transport.js'

/** What changed; a server of 2011 has no history id. */
export type Answer = Omit<FeedAnswer, 'collection'> & { readonly collection?: string }

export type Pulled = Transported<Answer>
export type Pushed = TransportedPush<FeedPushAnswer, FeedStaleAnswer>

/** Its promises reject with a TransportError, or with the signal's reason. */
export interface Wire {
  readonly url: string
  readonly isFeed: boolean
  /** The body of a push, of rows as JSON by the paths of their collections. */
  body(rows: ByPath<readonly string[]>): string
  pull(query: FeedQuery, etag: string | null, signal?: AbortSignal): Promise<Pulled>
  push(body: string, push: Omit<Push, 'collections'>, signal?: AbortSignal): Promise<Pushed>
}

/**
 * What belongs to a feed says so, the key of a push and the token of a page: a push is ended where it was sent, and a page of one kind is none of
 * the other, whatever the client asks meanwhile.
 */
const FEED = 'feed-'

export const isOfFeed = (text: string) => text.startsWith(FEED)

export const markFor = ({ isFeed }: Wire, text: string) => (isFeed ? FEED : '') + text

export const unmark = (text: string) => (isOfFeed(text) ? text.slice(FEED.length) : text)

/** There is no feed at this url: the server is an older one, or not one of ours. */
export class NoFeedError extends Error {
  constructor(override readonly cause: ServerError) {
    super('There is no feed.')
  }
}

/** A push to the route of an entity has no answer yet: a sync by the routes ends it, and reads the others while that route is away. */
export class OpenAtRouteError extends Error {
  constructor() {
    super('A push to a route has no answer.')
  }
}

const MISSING = new Set([404, 405, 410, 501])

function rejectFeed(error: unknown): never {
  throw error instanceof ServerError && MISSING.has(error.status ?? 0) ? new NoFeedError(error) : error
}

/** The feed, of which the client has the collections at these paths. */
export function feedWire(transport: Transport, url: string, paths: readonly string[]): Wire {
  return {
    url,
    isFeed: true,
    body: rows => `{"changes":{${[...rows].map(([path, texts]) => `${JSON.stringify(path)}:[${texts.join(',')}]`).join(',')}}}`,
    pull: (query, etag, signal) => transport.pullFeed(url, query, etag, signal).catch(rejectFeed),
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
      if (pushed.kind === 'rejected') return { ...pushed, rejections: pushed.rejections.map(r => ({ ...r, collection: path })) }
      if (pushed.kind === 'stale') {
        const { updates, ...rest } = pushed.answer
        return { ...pushed, answer: { ...rest, changes: new Map([[path, updates]]) } }
      }
      const { ignored, ...answer } = pushed.answer
      return { ...pushed, answer: { ...answer, ...(ignored && { ignored: new Map([[path, ignored]]) }) } }
    },
  }
}
