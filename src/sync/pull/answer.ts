// An answer of several pages, while it is read: its beginning, its pages, its end.

import type { Collection } from '../../changes/collections/collection.js'
import { isUndecided } from '../../changes/servers/agreement.js'
import { dropTentativeBases } from '../../changes/servers/baseVersions.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import { resetServer } from '../../changes/servers/servers.js'
import type { Transaction } from '../../databases/database.js'
import type { Update } from '../../protocol/messages.js'
import { applyDecided } from '../apply/storeDecided.js'
import { TransactionStamp } from '../exchange.js'
import { InvalidAnswerError } from '../http/errors.js'
import { type Answer, markFor } from '../http/wire.js'
import { notePrincipal } from '../principal.js'
import { beginScope } from '../scope.js'
import type { Exchanges, Session } from '../session.js'
import { forgetSeen, wasAnythingAgreed } from './sweep.js'
import { readSentAndRemoved } from './undecided.js'

export function* beginAnswer({ wire, members }: Session, exchanges: Exchanges, others: Exchanges, answer: Answer): Transaction<void> {
  for (const { log, collection, server } of exchanges) {
    if (answer.reset === 'collection-changed') yield* resetServer(log.database, collection, server, answer.collection ?? null)
    else if (server.serverHistory !== null && answer.collection !== server.serverHistory) {
      throw new InvalidAnswerError(
        `${wire.url} has another history id than before and does not say that it was reset; is this the same server?`,
        '',
        { url: wire.url, isDefinite: true },
      )
    }
  }
  // what was read of another history, by those that are not asked just now, is worth nothing either
  for (const { log, collection, server } of others) {
    if (server.serverHistory === null || answer.collection === undefined || server.serverHistory === answer.collection) continue
    yield* resetServer(log.database, collection, server, answer.collection)
  }
  yield* notePrincipal([...exchanges, ...others], answer.principal)
  yield* beginScope(exchanges, answer.scope)
  for (const exchange of exchanges) {
    const { collection, server } = exchange
    server.serverHistory ??= answer.collection ?? null
    const path = members.find(m => m.collection === collection)?.path ?? ''
    server.dateForm ??= dateFormOf(collection, answer.changes.get(path) ?? [])
    server.pulling = true
    server.page = null
    if (answer.full) server.isPart = sweepingOf(path, answer) === 'left'
    server.sweeping = answer.full === true && (yield* wasAnythingAgreed(exchange)) ? sweepingOf(path, answer) : null
  }
  // begun anew, a full answer forgets what an earlier one has shown; where nothing was agreed before, it has nothing to sweep
  yield* forgetSeen(exchanges)
}

const sweepingOf = (path: string, { scoped = [] }: Answer) => (scoped.includes(path) ? 'left' : 'removed')

// Servers of 2012 and before write dates as numbers; they get dates in the form that they use.
function dateFormOf(collection: Collection, updates: readonly Update[]): ServerState['dateForm'] {
  const dates = collection.columns.filter(c => c.isDate)
  if (!dates.length) return null
  for (const { value } of updates) {
    for (const { property } of dates) {
      const date = value?.[property]
      if (typeof date === 'number') return Math.abs(date) > 1e12 ? 'milliseconds' : 'seconds'
      if (typeof date === 'string') return null
    }
  }
  return null
}

/** Notes where the next page begins (docs/how-it-works.md, law 12). */
export function turnPage(session: Session, exchanges: Exchanges, answer: Answer, next: string): void {
  for (const { server } of exchanges) {
    server.page = markFor(session.wire, next)
    server.highest = Math.max(server.highest, answer.now) // no later page may come from an older state
  }
}

// Rows before bookkeeping, bookkeeping before the cursors: they move with the last transaction of the last page alone.
export function* completeAnswer(exchanges: Exchanges, answer: Answer, etag: string | null): Transaction<void> {
  for (const exchange of exchanges) {
    const { log, collection, server } = exchange
    if (!isUndecided(server)) continue
    const gone = yield* readSentAndRemoved(exchange)
    if (gone.length) yield* applyDecided(exchange, gone, new TransactionStamp(exchange))
    server.push = null
    yield* dropTentativeBases(log.database, collection, server)
  }
  if (exchanges.some(({ server }) => server.sweeping)) yield* forgetSeen(exchanges)
  for (const { server } of exchanges)
    Object.assign(server, {
      scope: answer.scope ?? null,
      serverDate: Math.max(server.serverDate, answer.now),
      highest: Math.max(server.highest, answer.now),
      pulling: false,
      page: null,
      sweeping: null,
      etag,
    })
}
