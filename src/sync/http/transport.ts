// Carries questions and pushes to a server over HTTP (PROTOCOL.md). Everything that it gives back has been checked.

import { isStaleAnswer, readPullAnswer, readPushAnswer, readStaleAnswer } from '../../protocol/answers.js'
import { isFeedStaleAnswer, readFeedAnswer, readFeedPushAnswer, readFeedStaleAnswer } from '../../protocol/feedAnswers.js'
import type {
  ByPath,
  FeedAnswer,
  FeedPushAnswer,
  FeedQuery,
  FeedStaleAnswer,
  PullAnswer,
  PullQuery,
  PushAnswer,
  Rejection,
  StaleAnswer,
} from '../../protocol/messages.js'
import { readRejections } from '../../protocol/rejections.js'
import { errorOf, isDefinite, isOk, isRedirect, readAnswer } from './reply.js'
import { createAsk, type TransportOptions } from './request.js'

export type { HeadersValue, TransportOptions } from './request.js'

export interface Pulled<Answer = PullAnswer> {
  /** undefined: nothing is new (304). */
  readonly answer: Answer | undefined
  readonly etag: string | null
  /** Length of the body, unzipped. */
  readonly bytes: number
  /** Twice as much might not arrive in time, or be too large. */
  readonly isNearLimit: boolean
}

/** `isDefinite` is false where an earlier try of the same push got no answer, and may still arrive. */
export type Pushed<Answer = PushAnswer, Stale = StaleAnswer> = { readonly bytes: number; readonly isNearLimit: boolean } & (
  | { readonly kind: 'stored'; readonly answer: Answer; readonly replayed: boolean }
  | { readonly kind: 'stale'; readonly answer: Stale; readonly isDefinite: boolean }
  | { readonly kind: 'rejected'; readonly rejections: Rejection<string>[]; readonly isDefinite: boolean }
)

export interface Push {
  /** «I have seen everything up to here.» */
  readonly since?: number
  readonly collection?: string | undefined
  /** The set of keys that the client holds. */
  readonly scope?: string
  /** On whose behalf the push is made. */
  readonly principal?: string
  readonly key?: string
  /** How far other collections of this server were read, by their paths: rows there may go with a removal. */
  readonly seen?: ByPath<number>
  /** To a feed: the paths of those collections that the client has. */
  readonly collections?: readonly string[]
  /** The server knows keys, so that a second copy does no harm. */
  readonly retry: boolean
}

/** All reject with a TransportError, or with the signal's reason. */
export interface Transport {
  pull(url: string, query: PullQuery, etag: string | null, signal?: AbortSignal): Promise<Pulled>
  pullFeed(url: string, query: FeedQuery, etag: string | null, signal?: AbortSignal): Promise<Pulled<FeedAnswer>>
  /** `body` is the JSON text of the rows. */
  push(url: string, body: string, push: Push, signal?: AbortSignal): Promise<Pushed>
  pushFeed(url: string, body: string, push: Push, signal?: AbortSignal): Promise<Pushed<FeedPushAnswer, FeedStaleAnswer>>
}

/** How the answers to a push are read. */
interface Reading<Answer, Stale> {
  readonly read: (body: unknown) => Answer
  readonly isStale: (body: unknown) => boolean
  readonly readStale: (body: unknown) => Stale
}

const OF_ROUTE = { read: readPushAnswer, isStale: isStaleAnswer, readStale: readStaleAnswer }
const OF_FEED = { read: readFeedPushAnswer, isStale: isFeedStaleAnswer, readStale: readFeedStaleAnswer }

/** The version of the schema that the client has; each request says it. */
export interface Versioned {
  readonly schema?: number
}

export function createTransport(options: TransportOptions & Versioned = {}, dataSource?: object): Transport {
  const ask = createAsk(options, dataSource)
  const { schema } = options

  async function pull<Answer>(
    address: string,
    read: (body: unknown) => Answer,
    etag: string | null,
    signal: AbortSignal | undefined,
  ): Promise<Pulled<Answer>> {
    const headers = { accept: 'application/json', ...(etag !== null && { 'if-none-match': etag }) }
    const reply = await ask({ method: 'GET', url: address, headers, mayRetry: true }, signal)
    const { bytes, isNearLimit } = reply
    const newEtag = reply.headers.get('etag')
    if (reply.status === 304 && etag !== null) return { answer: undefined, etag: newEtag ?? etag, bytes, isNearLimit }
    if (!isOk(reply)) throw errorOf(reply)
    return { answer: readAnswer(reply, read), etag: newEtag, bytes, isNearLimit }
  }

  async function push<Answer extends { replayed?: true }, Stale>(
    url: string,
    body: string,
    { since, collection, scope, principal, key, seen, collections, retry }: Push,
    { read, isStale, readStale }: Reading<Answer, Stale>,
    signal: AbortSignal | undefined,
  ): Promise<Pushed<Answer, Stale>> {
    const headers = {
      accept: 'application/json',
      'content-type': 'application/json',
      ...(key !== undefined && { 'idempotency-key': key }),
    }
    // the key in the query as well: a proxy may strip the header, where alone an older server of ours looks
    const address = withQuery(url, {
      since,
      collection,
      scope,
      principal,
      seen: seen && writeSeen(seen),
      collections: collections && listOf(collections),
      'idempotency-key': key,
      schema,
    })
    const reply = await ask({ method: 'POST', url: address, headers, body, mayRetry: retry }, signal)
    const { bytes, isNearLimit } = reply
    if (isRedirect(reply)) throw errorOf(reply)
    if (isOk(reply)) {
      const answer = readAnswer(reply, read)
      // a gateway may hide the header, and an older server of ours says it nowhere else
      const replayed = answer.replayed === true || reply.headers.get('idempotency-replayed') === 'true'
      return { kind: 'stored', answer, replayed, bytes, isNearLimit }
    }
    if (reply.status === 409 && isStale(reply.json))
      return { kind: 'stale', answer: readAnswer(reply, readStale), isDefinite: isDefinite(reply), bytes, isNearLimit }
    const rejections = reply.status === 422 ? readRejections(reply.json) : undefined
    if (rejections) return { kind: 'rejected', rejections, isDefinite: isDefinite(reply), bytes, isNearLimit }
    throw errorOf(reply)
  }

  return {
    pull(url, { properties, ...query }, etag, signal) {
      return pull(withQuery(url, { ...pageOf(query), properties: properties && listOf(properties), schema }), readPullAnswer, etag, signal)
    },

    pullFeed: (url, query, etag, signal) => pull(feedAddress(url, query, schema), readFeedAnswer, etag, signal),

    push: (url, body, given, signal) => push(url, body, given, OF_ROUTE, signal),
    pushFeed: (url, body, given, signal) => push(url, body, given, OF_FEED, signal),
  }
}

/** Where a question is asked of a feed. */
export function feedAddress(url: string, { collections, properties, ...query }: FeedQuery, schema: number | undefined): string {
  const asked = properties && [...properties].flatMap(([path, names]) => names.map(name => `${path}:${name}`))
  return withQuery(url, { ...pageOf(query), collections: listOf(collections), properties: asked && listOf(asked), schema })
}

const pageOf = ({ since, limit, after, min, collection, scope }: Omit<PullQuery, 'properties'>) => ({
  ...{ since, limit, after, min, collection, scope },
})

const listOf = (names: readonly string[]) => names.map(name => name.replaceAll(',', '%2C')).join(',')

// an absent one where there is nothing to say
const writeSeen = (seen: ByPath<number>) => listOf([...seen].map(([path, stamp]) => `${stamp}:${path}`)) || undefined

/** Adds to the url's own query what is given. The url itself stays as it was written, and may be relative in a browser. */
function withQuery(url: string, parameters: Record<string, string | number | undefined>): string {
  const given = Object.entries(parameters).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  )
  const query = new URLSearchParams(given).toString()
  const address = url.replace(/#.*$/s, '')
  return query === '' ? address : `${address}${address.includes('?') ? '&' : '?'}${query}`
}
