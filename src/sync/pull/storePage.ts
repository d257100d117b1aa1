// Stores a page of an answer, in as many transactions as it needs.

import { type ServerState, writeServers } from '../../changes/serverState.js'
import type { Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { FeedQuery } from '../../protocol/messages.js'
import type { Part } from '../apply/applied.js'
import { applyTogether } from '../apply/apply.js'
import { leaveRows } from '../apply/defer.js'
import type { Answer, Pulled } from '../http/wire.js'
import { freeRejected } from '../push/rejections.js'
import { type Exchanges, type Session, type TransactionSize, transaction } from '../session.js'
import { type SyncStatus, statusOf } from '../status.js'
import { beginAnswer, completeAnswer, turnPage } from './answer.js'
import { FIRST_PAGE } from './pull.js'
import { cursorsOf } from './question.js'
import { NOTHING_SWEPT, type Swept, sweep } from './sweep.js'
import { type Apply, inOrder, storeUpdates } from './updates.js'

const MOVED = Symbol('moved')

const OUTDATED = { complete: false, cursor: undefined, status: undefined }

interface Stored {
  /** There is no further page. */
  readonly complete: boolean
  /** Where the cursors stand now; undefined where somebody else moved them. */
  readonly cursor: string | undefined
  /** How things stand after the last step of an answer. */
  readonly status: SyncStatus | undefined
}

/** Stores a page in as many transactions as it needs. An answer counts only if nothing moved since the question (law 3). */
export async function storePage(
  session: Session,
  asked: readonly ServerState[],
  question: FeedQuery,
  { answer, etag }: Pulled & { readonly answer: Answer },
  size: TransactionSize,
  limit: number,
): Promise<Stored> {
  const { log, report, pageSize } = session
  let cursor = cursorsOf(asked)
  let status: SyncStatus | undefined
  async function guarded<T>(body: (exchanges: Exchanges, others: Exchanges) => Transaction<T>): Promise<T | typeof MOVED> {
    const outcome = await transaction(session, function* (all) {
      const exchanges = all.filter(({ server }) => asked.some(({ id }) => id === server.id))
      const servers = exchanges.map(exchange => exchange.server)
      if (cursorsOf(servers) !== cursor) return MOVED
      const result = yield* body(
        exchanges,
        all.filter(exchange => !exchanges.includes(exchange)),
      )
      for (const server of servers) server.reads++
      yield* writeServers(log.database, servers)
      // a look of its own would cost as much again
      const end = all.some(({ server }) => server.pulling) ? undefined : yield* statusOf(all)
      return { result, cursor: cursorsOf(servers), end }
    })
    if (outcome === MOVED) return MOVED
    cursor = outcome.cursor
    status = outcome.end
    return outcome.result
  }
  const changes = inOrder(session, asked, answer.changes)
  const { next } = answer
  let begins = answer.reset !== undefined || question.after === undefined
  let done = 0
  let sweeps = false
  do {
    const some = changes.slice(done, done + size.rows)
    let start = 0
    const store = (take: Apply) =>
      guarded(function* (exchanges, others) {
        start = performance.now() // what went before it is others' time
        if (begins) yield* beginAnswer(session, exchanges, others, answer)
        const parts = yield* storeUpdates(exchanges, some, take)
        if (some.length) yield* freeRejected(exchanges)
        if (done + some.length < changes.length) return parts
        sweeps = exchanges.some(({ server }) => server.sweeping)
        for (const { server } of exchanges)
          if (server.pageSize !== null) server.pageSize = limit < Math.min(FIRST_PAGE, pageSize) ? limit : null
        if (next !== undefined) turnPage(session, exchanges, answer, next)
        else if (!sweeps) yield* completeAnswer(exchanges, answer, etag)
        return parts
      })
    let parts: readonly Part[] | typeof MOVED
    try {
      parts = await store(applyTogether)
    } catch (error) {
      // A constraint that the database looks at in the end: who breaks it waits, and the others go on.
      if (!(error instanceof ConstraintError)) throw error
      size.shrinkTo(some.length >> 1)
      if (some.length > 1) continue
      parts = await store(leaveRows)
    }
    if (parts === MOVED) return OUTDATED
    for (const { exchange, taken } of parts) {
      const figures = report.of(exchange.collection)
      figures.pulled += taken.stored
      figures.merged += taken.merged
    }
    size.took(some.length, performance.now() - start)
    done += some.length
    begins = false
  } while (done < changes.length)
  if (next !== undefined) return { complete: false, cursor, status }
  if (!sweeps) return { complete: true, cursor, status }

  // A full answer sweeps, where anything was agreed before it; the cursors move with the last step.
  for (const { id } of asked) {
    let after: string | undefined = ''
    while (after !== undefined) {
      const from: string = after
      const swept: Swept | typeof MOVED = await guarded(function* (exchanges) {
        const exchange = exchanges.find(({ server }) => server.id === id)
        return exchange?.server.sweeping ? yield* sweep(exchange, from, size.rows) : NOTHING_SWEPT
      })
      if (swept === MOVED) return OUTDATED
      if (swept.collection) report.of(swept.collection).pulled += swept.stored
      after = swept.after
    }
  }
  return (await guarded(exchanges => completeAnswer(exchanges, answer, etag))) === MOVED ? OUTDATED : { complete: true, cursor, status }
}
