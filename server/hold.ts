// A GET that is answered when there is news: `Prefer: wait=25` (RFC 7240; PROTOCOL.md, Live).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Caller } from './caller.js'
import type { Exchange } from './exchange.js'
import type { LiveLimits } from './limits.js'
import type { PageQuery, PullPage } from './pull.js'
import { watcherOf } from './watcher.js'

/** Seconds; proxies give up somewhat later. */
const LONGEST = 55

/** Reads an answer; where the request prefers to wait, and nothing is new, reads it again when there is news, or the time is over. */
export async function readWhenNew(
  exchange: Exchange,
  log: ChangeLog,
  limits: LiveLimits,
  caller: Caller,
  query: PageQuery,
  read: () => Promise<PullPage>,
): Promise<PullPage> {
  const seconds = Math.min(LONGEST, Number(/(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})/i.exec(exchange.get('Prefer'))?.[1] ?? 0))
  if (!seconds) return read()
  exchange.vary('Prefer')
  exchange.set({ 'Preference-Applied': `wait=${seconds}` })
  const until = Math.min(Date.now() + seconds * 1000, caller.caller?.expires ?? Number.POSITIVE_INFINITY)
  let isOver = false
  let [wake, isWoken] = [() => {}, false]
  const look = async () => {
    isWoken = true
    wake()
  }
  const end = () => {
    isOver = true
    void look()
  }
  const { signal, isServed = () => true } = exchange.request
  const leave = watcherOf(log, limits).listen({ principal: caller.principal, isServed, look, end })
  const timer = setTimeout(end, until - Date.now())
  if (signal.aborted) end()
  signal.addEventListener('abort', end)
  try {
    for (;;) {
      isWoken = false
      const page = await read()
      if (isNews(exchange, query, page) || isOver) return page
      if (!isWoken) await new Promise<void>(resolve => (wake = resolve))
    }
  } finally {
    leave()
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
    if (!isServed()) exchange.set({ Connection: 'close' })
  }
}

/** Without an ETag a client that lacks nothing gets an answer with nothing in it. */
function isNews(exchange: Exchange, { scope, after }: PageQuery, { answer }: PullPage): boolean {
  if (!answer) return false
  const isEmpty = !answer.changes.size && !answer.full && !answer.reset && !answer.next && answer.scope === scope && !after
  return !isEmpty || exchange.get('If-None-Match') !== ''
}
