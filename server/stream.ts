// An answer as one JSON object, written while it is read (PROTOCOL.md, GET).

import { Readable } from 'node:stream'
import { type PullAnswer, type Reset, type Update, writeUpdate } from '../src/protocol/messages.js'
import { type Token, writeToken } from './tokens.js'
import type { WriteUpdate } from './updates.js'

/** A part of the updates of one collection. */
export interface UpdatesPage {
  readonly now: number
  readonly updates: readonly Update[]
  readonly reset?: Reset
  readonly next?: Token
}

interface Most {
  /** Whose the token of the next page is. */
  readonly reader: string | undefined
  readonly limit: number
  readonly bytes: number
}

/**
 * Streams an answer with one page in memory: the next is read when the client has read the last, up to so many updates and until there are so
 * many bytes. If a page cannot be read the stream fails, and the caller has to break the connection: half an answer must never look like a whole one.
 */
export function streamAnswer(
  answer: Omit<PullAnswer, 'next' | 'updates'>,
  firstPage: UpdatesPage,
  readAfter: (page: UpdatesPage, limit: number) => Promise<UpdatesPage | undefined>,
  write: WriteUpdate,
  most: Most,
): Readable {
  return Readable.from(pieces(answer, firstPage, readAfter, write, most))
}

// Updates that are written at a time. A text of more than 128 KiB is several times as slow to make.
const PIECE = 128

async function* pieces(
  answer: Omit<PullAnswer, 'next' | 'updates'>,
  firstPage: UpdatesPage,
  readAfter: (page: UpdatesPage, limit: number) => Promise<UpdatesPage | undefined>,
  write: WriteUpdate,
  { reader, limit, bytes }: Most,
): AsyncGenerator<string> {
  const { now: _, ...head } = answer
  let text = `${JSON.stringify(head).slice(0, -1)},"updates":[`
  let page = firstPage
  let comma = ''
  let sent = 0
  for (let left = limit; ; ) {
    const { updates } = page
    for (let at = 0; at < updates.length; at += PIECE) {
      text += comma + JSON.stringify(updates.slice(at, at + PIECE).map(write)).slice(1, -1)
      sent += text.length
      yield text
      text = ''
      comma = ','
    }
    left -= updates.length
    if (page.next === undefined || left <= 0 || sent >= bytes) break
    const next = await readAfter(page, left)
    if (!next || next.reset) throw new Error('The collection was reset while it was being read.')
    page = next
  }
  const { next, now } = page
  yield `${text}],${next === undefined ? '' : `"next":${JSON.stringify(writeToken(next, reader))},`}"now":${now}}`
}

/** A part of the updates of a collection on the feed. */
export interface FeedGroup {
  readonly path: string
  readonly updates: readonly Update[]
}

/** Streams an answer of the feed: `head` before the changes, `tail` behind them. Groups of one path come one after the other. */
export function streamFeed(head: object, groups: Iterable<FeedGroup> | AsyncIterable<FeedGroup>, tail: object): Readable {
  return Readable.from(feedPieces(head, groups, tail))
}

async function* feedPieces(head: object, groups: Iterable<FeedGroup> | AsyncIterable<FeedGroup>, tail: object): AsyncGenerator<string> {
  let text = `${JSON.stringify(head).slice(0, -1)},"changes":{`
  let open: string | undefined
  for await (const { path, updates } of groups) {
    if (path !== open) text += `${open === undefined ? '' : '],'}${JSON.stringify(path)}:[`
    for (let at = 0; at < updates.length; at += PIECE) {
      if (path === open) text += ','
      open = path
      text += JSON.stringify(updates.slice(at, at + PIECE).map(writeUpdate)).slice(1, -1)
      yield text
      text = ''
    }
  }
  yield `${text}${open === undefined ? '' : ']'}},${JSON.stringify(tail).slice(1)}`
}
