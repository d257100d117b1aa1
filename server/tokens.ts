// Tokens of pages: the place up to which changes were sent.

import { createHash } from 'node:crypto'
import type { Collection } from '../src/changes/collections/collection.js'
import type { FeedPlace } from '../src/changes/rows/pages.js'
import { BadRequestError } from '../src/protocol/errors.js'

/** The last place that was sent, and of a full answer the stamp at which it began. */
export interface Token extends FeedPlace {
  readonly start: number | undefined
  /** Where there are rules: the set of keys that the client held, empty for none, and the one that it is given. */
  readonly from?: string
  readonly to?: string
}

export const writeToken = ({ stamp, id, start, from, to }: Token, reader: string | undefined) =>
  toText([stamp, id, start ?? null, reader ?? null, from ?? null, to ?? null])

/** Undefined where its page was another user's, or of another version: the client begins again. Throws BadRequestError for a token that is none. */
export function readToken(text: string, reader: string | undefined): Token | undefined {
  const list = toList(text, 6)
  const token = tokenOf(list)
  if (!token) throw new BadRequestError('`after` is no token of this server.')
  return list[3] === (reader ?? null) ? token : undefined
}

/** A token of the feed names the collection too, and of which collections its page was one. */
export const writeFeedToken = (token: Token, collections: readonly Collection[], reader: string | undefined) =>
  toText([
    ...[token.stamp, token.id, token.start ?? null, token.collection?.name, nameSet(collections, reader)],
    ...[token.from ?? null, token.to ?? null],
  ])

/**
 * Undefined where its page was one of other collections, another user's, or of another version: the client begins again, for what joins them now would miss what
 * comes before it.
 * Throws BadRequestError for a token that is none.
 */
export function readFeedToken(text: string, collections: readonly Collection[], reader: string | undefined): Token | undefined {
  const list = toList(text, 7)
  const token = tokenOf(list)
  if (!token || typeof list[3] !== 'string' || typeof list[4] !== 'string')
    throw new BadRequestError('`after` is no token of the feed of this server.')
  const collection = collections.find(c => c.name === list[3])
  return collection && list[4] === nameSet(collections, reader) ? { ...token, collection } : undefined
}

/** A short name for these collections in this order, as somebody reads them. */
export const nameSet = (collections: readonly Collection[], reader: string | undefined) =>
  createHash('sha256')
    .update(JSON.stringify([reader ?? null, ...collections.map(c => c.name)]))
    .digest('base64url')
    .slice(0, 12)

const toText = (list: readonly unknown[]) => Buffer.from(JSON.stringify(list)).toString('base64url')

function toList(text: string, length: number): unknown[] {
  try {
    const list: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (Array.isArray(list) && list.length === length) return list
  } catch {
    // it is none
  }
  return []
}

function tokenOf([stamp, id, start, ...more]: readonly unknown[]): Token | undefined {
  const [from, to] = more.slice(-2)
  const isStamp = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0
  // no database has an id with a NUL or half a character, and some fail where they are asked for one
  const isId = typeof id === 'string' && !/\0|\p{Surrogate}/u.test(id)
  if (!isStamp(stamp) || !isId || (start !== null && !isStamp(start))) return
  if (![from, to].every(name => name === null || typeof name === 'string')) return
  return { stamp, id, start: start ?? undefined, ...(typeof from === 'string' && { from }), ...(typeof to === 'string' && { to }) }
}
