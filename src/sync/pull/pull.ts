// Reads what changed on the server, page by page, from where the last pull ended. Stopping anywhere is safe.

import { isUndecided } from '../../changes/agreement.js'
import type { Collection } from '../../changes/collection.js'
import { type ServerState, writeServers } from '../../changes/serverState.js'
import { AnswerTooLargeError, RequestTimeoutError } from '../../errors.js'
import type { FeedQuery } from '../../protocol/messages.js'
import type { Pulled } from '../http/wire.js'
import { type Session, serversIn, TransactionSize, transaction } from '../session.js'
import type { SyncStatus } from '../status.js'
import { type ByCollection, checkAnswer, cursorsOf, etagOf, isSameQuestion, nextAsked, nextQuestion, questionOf } from './question.js'
import { isServedOtherwise, noteUnknownProperties } from './served.js'
import { storePage } from './storePage.js'

/** Updates in the first page: there is something to store soon. Each further one is twice as large, up to the session's size. */
export const FIRST_PAGE = 1_000

/** The next page, asked for while the last one is stored. It counts where nobody but ourselves has moved the cursor since (law 3). */
interface Ahead {
  readonly question: FeedQuery
  readonly pulled: Promise<Pulled>
  /** Where the cursors stood when the last page was stored. */
  cursor: string | undefined
}

export interface PullOutcome {
  /** Properties that the server has ignored, and for which it has a column now. */
  readonly gained: ByCollection<readonly string[]>
  /** How things stand after the last step; undefined where that was not looked at. */
  readonly status: SyncStatus | undefined
}

/**
 * Reads until all is read; `known` is how things stand at this moment, where that was read just now. Asks along whether the server has
 * columns for properties that it has ignored.
 */
export async function pull(session: Session, ignored: ByCollection<readonly string[]>, known?: SyncStatus): Promise<PullOutcome> {
  const { wire, report, pageSize, signal } = session
  signal?.throwIfAborted() // what was aborted before is not heard of
  const end = new AbortController()
  const abort = () => end.abort(signal?.reason)
  signal?.addEventListener('abort', abort)
  let limit = 0
  const ask = (question: FeedQuery, etag: string | null) => {
    report.requests++
    return wire.pull({ ...question, limit }, etag, end.signal)
  }
  const size = new TransactionSize()
  let ahead: Ahead | undefined
  const gained = new Map<Collection, readonly string[]>()
  const turned = new Set<string>()
  let resets = 0
  let status: SyncStatus | undefined
  try {
    for (let complete = false; !complete; known = undefined) {
      const servers: readonly ServerState[] = known?.servers ?? (await transaction(session, serversIn, { mode: 'read' }))
      if (servers.some(server => server.push && !isUndecided(server))) return { gained, status } // another sync of this database has begun to tell
      const asked: readonly ServerState[] = nextAsked(servers)
      const question = questionOf(session, asked, ignored)
      if (question.after === undefined) turned.clear()
      limit ||= Math.min(asked[0]?.pageSize ?? FIRST_PAGE, pageSize)
      const isAhead: boolean = ahead?.cursor === cursorsOf(asked) && isSameQuestion(ahead.question, question)
      const asking = ahead && isAhead ? ahead.pulled : ask(question, question.properties ? null : etagOf(asked))
      const pulled: Pulled = await orSmaller(session, limit, asking)
      report.received += pulled.bytes
      const { answer } = pulled
      if (!answer) return { gained, status: known } // what was changed meanwhile is the next sync's
      if (answer.reset) {
        resets++
        turned.clear()
      }
      checkAnswer(session, question, answer, turned, resets)
      if (isServedOtherwise(session, question, answer)) {
        if (!session.members.length) return { gained, status }
        ahead = undefined
        continue
      }
      for (const { collection, path } of session.members) {
        const properties = answer.properties?.get(path)?.filter(p => ignored.get(collection)?.includes(p))
        if (properties?.length) gained.set(collection, properties)
        noteUnknownProperties(session, collection, answer.changes.get(path) ?? [])
      }
      // twice as much may not arrive in time, or be too large
      if (!pulled.isNearLimit) limit = Math.min(limit * 2, pageSize)
      const next = nextQuestion(question, answer)
      ahead = next && { question: next, pulled: ask(next, null), cursor: undefined }
      ahead?.pulled.catch(() => {}) // heard of where it is needed
      const stored = await storePage(session, asked, question, { ...pulled, answer }, size, limit)
      complete = stored.complete && asked.length === servers.length
      if (complete) status = stored.status
      if (stored.cursor !== undefined && answer.next !== undefined) turned.add(answer.next)
      if (ahead) ahead.cursor = stored.cursor
      report.emit('pull')
    }
    return { gained, status }
  } finally {
    signal?.removeEventListener('abort', abort)
    if (ahead) end.abort()
  }
}

/** A page that did not arrive in time, or is too large, is asked for smaller by the next sync; the pages before it are stored. */
async function orSmaller(session: Session, limit: number, asking: Promise<Pulled>): Promise<Pulled> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof RequestTimeoutError || error instanceof AnswerTooLargeError)
      await transaction(session, function* (exchanges) {
        const servers = exchanges.map(exchange => exchange.server)
        for (const server of servers) server.pageSize = Math.max(1, Math.floor(limit / 4))
        yield* writeServers(session.log.database, servers)
      })
    throw error
  }
}
