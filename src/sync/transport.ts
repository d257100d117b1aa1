// Carries questions and pushes to a server over HTTP (PROTOCOL.md). Everything that it gives back has been checked.

import { isStaleAnswer, readPullAnswer, readPushAnswer, readRefusals, readStaleAnswer } from '../protocol/checks.js'
import type { PullAnswer, PullQuery, PushAnswer, Refusal, StaleAnswer } from '../protocol/messages.js'
import { errorOf, isDefinite, isOk, isRedirect, readAnswer } from './reply.js'
import { createAsk, type TransportOptions } from './request.js'

export type { HeadersValue, TransportOptions } from './request.js'

export interface Pulled {
  /** undefined: nothing is new (304). */
  readonly answer: PullAnswer | undefined
  readonly etag: string | null
  /** Length of the body, unzipped. */
  readonly bytes: number
  /** Twice as much might not arrive in time, or be too large. */
  readonly isNearLimit: boolean
}

/** `isDefinite` is false where an earlier try of the same push got no answer, and may still arrive. */
export type Pushed =
  | { readonly kind: 'stored'; readonly answer: PushAnswer; readonly replayed: boolean }
  | { readonly kind: 'stale'; readonly answer: StaleAnswer; readonly isDefinite: boolean }
  | { readonly kind: 'refused'; readonly refusals: Refusal<string>[]; readonly isDefinite: boolean }

export interface Push {
  /** «I have seen everything up to here.» */
  readonly since?: number
  readonly collection?: string
  readonly key?: string
  /** How far other collections of this server were read, by their paths: rows there may go with a removal. */
  readonly seen?: ReadonlyMap<string, number>
  /** The server knows keys, so that a second copy does no harm. */
  readonly retry: boolean
}

/** Both reject with a TransportError, or with the signal's reason. */
export interface Transport {
  pull(url: string, query: PullQuery, etag: string | null, signal?: AbortSignal): Promise<Pulled>
  /** `body` is the JSON text of the rows. */
  push(
    url: string,
    body: string,
    push: Push,
    signal?: AbortSignal,
  ): Promise<Pushed & { readonly bytes: number; readonly isNearLimit: boolean }>
}

export function createTransport(options: TransportOptions = {}): Transport {
  const ask = createAsk(options)

  return {
    async pull(url, { since, limit, after, min, collection, properties }, etag, signal) {
      const headers = { accept: 'application/json', ...(etag !== null && { 'if-none-match': etag }) }
      const address = withQuery(url, {
        since,
        limit,
        after,
        min,
        collection,
        properties: properties?.map(p => p.replaceAll(',', '%2C')).join(','),
      })
      const reply = await ask({ method: 'GET', url: address, headers, mayRetry: true }, signal)
      const { bytes, isNearLimit } = reply
      const newEtag = reply.headers.get('etag')
      if (reply.status === 304 && etag !== null) return { answer: undefined, etag: newEtag ?? etag, bytes, isNearLimit }
      if (!isOk(reply)) throw errorOf(reply)
      return { answer: readAnswer(reply, readPullAnswer), etag: newEtag, bytes, isNearLimit }
    },

    async push(url, body, { since, collection, key, seen, retry }, signal) {
      const headers = {
        accept: 'application/json',
        'content-type': 'application/json',
        ...(key !== undefined && { 'idempotency-key': key }),
      }
      // the key in the query as well: a proxy may strip the header, where alone an older server of ours looks
      const address = withQuery(url, { since, collection, seen: seen && writeSeen(seen), 'idempotency-key': key })
      const reply = await ask({ method: 'POST', url: address, headers, body, mayRetry: retry }, signal)
      const { bytes, isNearLimit } = reply
      if (isRedirect(reply)) throw errorOf(reply)
      if (isOk(reply)) {
        const answer = readAnswer(reply, readPushAnswer)
        // a gateway may hide the header, and an older server of ours says it nowhere else
        const replayed = answer.replayed === true || reply.headers.get('idempotency-replayed') === 'true'
        return { kind: 'stored', answer, replayed, bytes, isNearLimit }
      }
      if (reply.status === 409 && isStaleAnswer(reply.json))
        return { kind: 'stale', answer: readAnswer(reply, readStaleAnswer), isDefinite: isDefinite(reply), bytes, isNearLimit }
      const refusals = reply.status === 422 ? readRefusals(reply.json) : undefined
      if (refusals) return { kind: 'refused', refusals, isDefinite: isDefinite(reply), bytes, isNearLimit }
      throw errorOf(reply)
    },
  }
}

// an absent one where there is nothing to say
const writeSeen = (seen: ReadonlyMap<string, number>) =>
  [...seen].map(([path, stamp]) => `${stamp}:${path.replaceAll(',', '%2C')}`).join(',') || undefined

/** Adds to the url's own query what is given. The url itself stays as it was written, and may be relative in a browser. */
function withQuery(url: string, parameters: Record<string, string | number | undefined>): string {
  const given = Object.entries(parameters).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  )
  const query = new URLSearchParams(given).toString()
  const address = url.replace(/#.*$/s, '')
  return query === '' ? address : `${address}${address.includes('?') ? '&' : '?'}${query}`
}
