// Asks a server for pages: for the next one while the last one is stored.

import { type ServerState, writeServers } from '../../changes/servers/serverState.js'
import type { FeedQuery } from '../../protocol/messages.js'
import { AnswerTooLargeError, RequestTimeoutError } from '../http/errors.js'
import type { Answer, Pulled } from '../http/wire.js'
import { type Session, transaction } from '../session.js'
import { anyOf } from '../waiting.js'
import { cursorsOf, etagOf, isSameQuestion, nextQuestion } from './question.js'

/** Updates in the first page: there is something to store soon. Each further one is twice as large, up to the session's size. */
export const FIRST_PAGE = 1_000

/** A page that is asked for while the last one is stored. It counts where nothing else has moved the cursor since (docs/how-it-works.md, law 3). */
interface Ahead {
  readonly question: FeedQuery
  readonly pulled: Promise<Pulled>
  /** The cursors when the last page was stored. */
  cursor: string | undefined
}

export class PageReader {
  /** Updates in the next page; 0 before the first. */
  #limit = 0
  #ahead: Ahead | undefined
  readonly #end = new AbortController()
  readonly #signal: AbortSignal

  constructor(private readonly session: Session) {
    this.#signal = anyOf(session.signal, this.#end.signal)
  }

  get limit(): number {
    return this.#limit
  }

  /** Asks the server, unless that was asked before. */
  async read(question: FeedQuery, asked: readonly ServerState[]): Promise<Pulled> {
    const { report, pageSize } = this.session
    this.#limit ||= Math.min(asked[0]?.pageSize ?? FIRST_PAGE, pageSize)
    const ahead = this.#ahead
    const isAhead = ahead?.cursor === cursorsOf(asked) && isSameQuestion(ahead.question, question)
    const asking = ahead && isAhead ? ahead.pulled : this.#ask(question, question.properties ? null : etagOf(asked))
    const pulled = await this.#orSmaller(asking)
    report.received += pulled.bytes
    return pulled
  }

  /** Asks for the page after this one, where there is one. */
  askAhead(question: FeedQuery, answer: Answer, isNearLimit: boolean): void {
    // twice as much may not arrive in time, or be too large
    if (!isNearLimit) this.#limit = Math.min(this.#limit * 2, this.session.pageSize)
    const next = nextQuestion(question, answer)
    this.#ahead = next && { question: next, pulled: this.#ask(next, null), cursor: undefined }
    this.#ahead?.pulled.catch(() => {}) // `read` throws it
  }

  /** The last page was stored, and this is where the cursors are now. */
  noteStored(cursor: string | undefined): void {
    if (this.#ahead) this.#ahead.cursor = cursor
  }

  forgetAhead(): void {
    this.#ahead = undefined
  }

  end(): void {
    if (this.#ahead) this.#end.abort()
  }

  #ask(question: FeedQuery, etag: string | null): Promise<Pulled> {
    this.session.report.requests++
    return this.session.wire.pull({ ...question, limit: this.#limit }, etag, this.#signal)
  }

  /** A page that did not arrive in time, or is too large, is asked for smaller by the next sync; the pages before it are stored. */
  async #orSmaller(asking: Promise<Pulled>): Promise<Pulled> {
    try {
      return await asking
    } catch (error) {
      if (error instanceof RequestTimeoutError || error instanceof AnswerTooLargeError) await this.#shrink()
      throw error
    }
  }

  #shrink(): Promise<void> {
    const { session } = this
    const pageSize = Math.max(1, Math.floor(this.#limit / 4))
    return transaction(session, function* (exchanges) {
      const servers = exchanges.map(exchange => exchange.server)
      for (const server of servers) server.pageSize = pageSize
      yield* writeServers(session.log.database, servers)
    })
  }
}
