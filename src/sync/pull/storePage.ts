// Stores a page of an answer, in as many transactions as it needs.

import { dropNoAccess } from '../../changes/servers/noAccess.js'
import { type ServerState, writeServers } from '../../changes/servers/serverState.js'
import type { Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { FeedQuery } from '../../protocol/messages.js'
import type { Part } from '../apply/applied.js'
import { applyTogether } from '../apply/apply.js'
import { leaveRows } from '../apply/defer.js'
import type { Answer } from '../http/wire.js'
import { freeRejected } from '../push/rejections.js'
import { type Exchanges, type Session, type TransactionSize, transaction } from '../session.js'
import { type SyncStatus, statusOf } from '../status.js'
import { beginAnswer, completeAnswer, turnPage } from './answer.js'
import { FIRST_PAGE } from './pageReader.js'
import { cursorsOf } from './question.js'
import { NOTHING_SWEPT, sweep } from './sweep.js'
import { type Apply, type Change, inOrder, storeUpdates } from './updates.js'

export interface Page {
  readonly asked: readonly ServerState[]
  readonly question: FeedQuery
  readonly answer: Answer
  readonly etag: string | null
  /** Updates in the page after this one, at most. */
  readonly limit: number
}

export interface Stored {
  /** There is no further page. */
  readonly complete: boolean
  /** Where the cursors are now; undefined where another sync of this database has moved them. */
  readonly cursor: string | undefined
  /** The sync status after the last transaction of an answer. */
  readonly status: SyncStatus | undefined
}

/** Another sync of this database has moved the cursors since the question. */
class Moved extends Error {}

/** An answer counts only if nothing moved since the question (docs/how-it-works.md, law 3). */
export async function storePage(session: Session, page: Page, size: TransactionSize): Promise<Stored> {
  try {
    return await new PageStore(session, page, size).store()
  } catch (error) {
    if (error instanceof Moved) return { complete: false, cursor: undefined, status: undefined }
    throw error
  }
}

class PageStore {
  #cursor: string
  #status: SyncStatus | undefined
  #begins: boolean
  #sweeps = false
  /** When the body of the last transaction began: what went before it is others' time. */
  #start = 0

  constructor(
    private readonly session: Session,
    private readonly page: Page,
    private readonly size: TransactionSize,
  ) {
    this.#cursor = cursorsOf(page.asked)
    this.#begins = page.answer.reset !== undefined || page.question.after === undefined
  }

  async store(): Promise<Stored> {
    await this.#storeChanges()
    const complete = this.page.answer.next === undefined
    if (complete && this.#sweeps) await this.#sweep()
    return { complete, cursor: this.#cursor, status: this.#status }
  }

  async #storeChanges(): Promise<void> {
    const { session, page, size } = this
    const changes = inOrder(session, page.asked, page.answer.changes)
    let done = 0
    do {
      const some = changes.slice(done, done + size.rows)
      const parts = await this.#storeOrShrink(some, done + some.length === changes.length)
      if (!parts) continue
      for (const { exchange, applied } of parts) session.report.add(exchange.collection, applied)
      size.took(some.length, performance.now() - this.#start)
      done += some.length
      this.#begins = false
    } while (done < changes.length)
  }

  /** Undefined where fewer rows have to be tried. */
  async #storeOrShrink(some: readonly Change[], isLast: boolean): Promise<readonly Part[] | undefined> {
    const store = (apply: Apply) => this.#guarded((exchanges, others) => this.#storeSome(exchanges, others, some, isLast, apply))
    try {
      return await store(applyTogether)
    } catch (error) {
      // a constraint that the database checks in the end: the row that breaks it is deferred, and the others go on
      if (!(error instanceof ConstraintError)) throw error
      this.size.shrinkTo(some.length >> 1)
      return some.length > 1 ? undefined : await store(leaveRows)
    }
  }

  *#storeSome(exchanges: Exchanges, others: Exchanges, some: readonly Change[], isLast: boolean, apply: Apply): Transaction<Part[]> {
    const { session, page } = this
    const { answer, etag, limit } = page
    if (this.#begins) yield* beginAnswer(session, exchanges, others, answer)
    const parts = yield* storeUpdates(exchanges, some, apply)
    if (some.length) yield* freeRejected(exchanges)
    if (!isLast) return parts
    this.#sweeps = exchanges.some(({ server }) => server.sweeping !== null)
    for (const { server } of exchanges)
      if (server.pageSize !== null) server.pageSize = limit < Math.min(FIRST_PAGE, session.pageSize) ? limit : null
    if (answer.next !== undefined) turnPage(session, exchanges, answer, answer.next)
    else if (!this.#sweeps) yield* completeAnswer(exchanges, answer, etag)
    return parts
  }

  /** The cursors move with the last transaction. */
  async #sweep(): Promise<void> {
    const { session, page, size } = this
    for (const { id } of page.asked) {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const from: string = after
        const swept = await this.#guarded(function* (exchanges) {
          const exchange = exchanges.find(({ server }) => server.id === id)
          return exchange?.server.sweeping ? yield* sweep(exchange, from, size.rows) : NOTHING_SWEPT
        })
        if (swept.collection) session.report.of(swept.collection).pulled += swept.stored
        after = swept.after
      }
    }
    await this.#guarded(exchanges => completeAnswer(exchanges, page.answer, page.etag))
  }

  /** Runs a transaction where the cursors are as they were after the last one. Throws Moved. */
  async #guarded<T>(body: (exchanges: Exchanges, others: Exchanges) => Transaction<T>): Promise<T> {
    const outcome = await transaction(this.session, all => this.#guard(all, body))
    if (!outcome) throw new Moved()
    this.#cursor = outcome.cursor
    this.#status = outcome.status
    return outcome.result
  }

  *#guard<T>(
    all: Exchanges,
    body: (exchanges: Exchanges, others: Exchanges) => Transaction<T>,
  ): Transaction<{ result: T; cursor: string; status: SyncStatus | undefined } | undefined> {
    const exchanges = all.filter(({ server }) => this.page.asked.some(({ id }) => id === server.id))
    const servers = exchanges.map(exchange => exchange.server)
    if (cursorsOf(servers) !== this.#cursor) return
    this.#start = performance.now()
    const others = all.filter(exchange => !exchanges.includes(exchange))
    const result = yield* body(exchanges, others)
    if (this.session.noAccess === 'drop') yield* dropNoAccess([...(all[0]?.siblings.values() ?? [])])
    for (const server of servers) server.reads++
    yield* writeServers(this.session.log.database, servers)
    // to read it in a transaction of its own would cost as much again
    const status = all.some(({ server }) => server.pulling) ? undefined : yield* statusOf(all)
    return { result, cursor: cursorsOf(servers), status }
  }
}
