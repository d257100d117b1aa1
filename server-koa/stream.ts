// The whole difference as one JSON object, for clients that do not ask for pages (PROTOCOL.md, GET).

import { Readable } from 'node:stream'
import type { PullAnswer } from '../src/protocol/messages.js'
import type { WriteUpdate } from './updates.js'

/**
 * Streams an answer of any length with one page in memory: the next is read when the client has taken the last. If a page cannot be had the
 * stream fails, and whoever sends it has to break the connection: half an answer must never look like a whole one.
 */
export function streamAnswer(
  firstPage: PullAnswer,
  readAfter: (page: PullAnswer) => Promise<PullAnswer | undefined>,
  write: WriteUpdate,
): Readable {
  return Readable.from(pieces(firstPage, readAfter, write))
}

async function* pieces(
  firstPage: PullAnswer,
  readAfter: (page: PullAnswer) => Promise<PullAnswer | undefined>,
  write: WriteUpdate,
): AsyncGenerator<string> {
  const { collection, full, reset } = firstPage
  const head = JSON.stringify({ collection, full, reset }).slice(1, -1)
  yield `{${head}${head && ','}"updates":[`
  let page = firstPage
  let comma = ''
  for (;;) {
    if (page.updates.length > 0) yield comma + page.updates.map(update => JSON.stringify(write(update))).join(',')
    if (page.updates.length > 0) comma = ','
    if (page.next === undefined) break
    const next = await readAfter(page)
    if (!next || next.reset) throw new Error('The collection was reset while it was being read.')
    page = next
  }
  yield `],"now":${page.now}}`
}
