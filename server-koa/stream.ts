// An answer as one JSON object, written while it is read (PROTOCOL.md, GET).

import { Readable } from 'node:stream'
import type { PullAnswer } from '../src/protocol/messages.js'
import type { WriteUpdate } from './updates.js'

interface Most {
  readonly limit: number
  readonly bytes: number
}

/**
 * Streams an answer with one page in memory: the next is read when the client has taken the last, up to so many updates and until there are so
 * many bytes. If a page cannot be had the stream fails, and whoever sends it has to break the connection: half an answer must never look like a whole one.
 */
export function streamAnswer(
  firstPage: PullAnswer,
  readAfter: (page: PullAnswer, limit: number) => Promise<PullAnswer | undefined>,
  write: WriteUpdate,
  most: Most,
): Readable {
  return Readable.from(pieces(firstPage, readAfter, write, most))
}

// Updates that are written at a time. A text of more than 128 KiB is several times as slow to make.
const PIECE = 128

async function* pieces(
  firstPage: PullAnswer,
  readAfter: (page: PullAnswer, limit: number) => Promise<PullAnswer | undefined>,
  write: WriteUpdate,
  { limit, bytes }: Most,
): AsyncGenerator<string> {
  const { collection, full, reset, properties } = firstPage
  const head = JSON.stringify({ collection, full, reset, properties }).slice(1, -1)
  let text = `{${head}${head && ','}"updates":[`
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
  yield `${text}],${next === undefined ? '' : `"next":${JSON.stringify(next)},`}"now":${now}}`
}
