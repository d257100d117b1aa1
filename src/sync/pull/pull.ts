// Reads what changed on the server, page by page, from where the last pull ended. Stopping anywhere is safe.

import { baseOf, isUndecided } from '../../changes/agreement.js'
import { dropTentativeBases } from '../../changes/baseVersions.js'
import type { Collection } from '../../changes/collection.js'
import { type ServerState, writeServers } from '../../changes/serverState.js'
import { resetServer } from '../../changes/servers.js'
import { baseTableOf, first, query, quote, type Transaction } from '../../databases/database.js'
import { isUpToSql } from '../../databases/knows.js'
import { AnswerTooLargeError, ConstraintError, InvalidAnswerError, RequestTimeoutError } from '../../errors.js'
import type { ByPath, FeedQuery, Update } from '../../protocol/messages.js'
import { applyDecided, applyRemoteRows, applyTogether, applyUnknown, leaveRows, nothingApplied, type Part } from '../apply/apply.js'
import { readUnapplied } from '../apply/unapplied.js'
import { type Exchange, readRowStates, TransactionStamp } from '../exchange.js'
import { type Answer, markFor, type Pulled } from '../http/wire.js'
import { freeRejected } from '../push/rejections.js'
import { type Exchanges, type Member, type Session, serversIn, TransactionSize, transaction } from '../session.js'
import { type SyncStatus, statusOf } from '../status.js'
import { type ByCollection, checkAnswer, cursorsOf, etagOf, isSameQuestion, nextAsked, nextQuestion, questionOf } from './question.js'
import { readSentAndRemoved } from './undecided.js'

/** Updates in the first page: there is something to store soon. Each further one is twice as large, up to the session's size. */
const FIRST_PAGE = 1_000

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
      const servers: readonly ServerState[] = known?.servers ?? (await transaction(session, serversIn, { readOnly: true }))
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

/** Notes which collections the server lacks. True where those were others before: what was asked is worth nothing then. */
function isServedOtherwise(session: Session, { collections }: FeedQuery, { unknown = [] }: Answer): boolean {
  const { members, lacking } = session
  const isUnknown = ({ path }: Member) => unknown.includes(path)
  if (!members.some(isUnknown) && !lacking.some(m => collections.includes(m.path) && !isUnknown(m))) return false
  const all = [...members, ...lacking]
  const isLacking = (m: Member) => isUnknown(m) || (lacking.includes(m) && !collections.includes(m.path))
  const inOrder = session.log.collections.flatMap(collection => all.filter(m => m.collection === collection))
  session.members = inOrder.filter(m => !isLacking(m))
  session.lacking = inOrder.filter(isLacking)
  return true
}

const ENVELOPE = new Set(['id', '_lastChange', '_removed', '_partial'])

// Rows of a collection have the same properties: one at each end of a page says which.
function noteUnknownProperties({ report }: Session, { column }: Collection, updates: readonly Update[]): void {
  const names = [updates[0], updates.at(-1)].flatMap(update => Object.keys(update?.value ?? {}))
  const unknown = names.filter(p => !column.has(p) && !ENVELOPE.has(p))
  if (unknown.length) report.unknownHere = [...new Set([...report.unknownHere, ...unknown])].sort()
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

interface Change {
  readonly collection: Collection
  readonly update: Update
}

/** How rows are taken. */
type Apply = (parts: readonly Part[], stamp: TransactionStamp) => Transaction<void>

/** Stores a page in as many transactions as it needs. An answer counts only if nothing moved since the question (law 3). */
async function storePage(
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

/**
 * The updates of a page in the order in which they are stored: that of the changes, so that what was one change there is seldom cut. What a
 * first answer brings is new: rows after those which they may need.
 */
function inOrder({ members }: Session, asked: readonly ServerState[], groups: ByPath<readonly Update[]>): Change[] {
  const changes: Change[] = []
  for (const { collection, serverId, path } of members)
    if (asked.some(({ id }) => id === serverId)) for (const update of groups.get(path) ?? []) changes.push({ collection, update })
  const isFirst = asked.every(({ serverDate }) => serverDate === 0)
  return isFirst || groups.size < 2 ? changes : changes.sort((x, y) => (x.update.stamp ?? 0) - (y.update.stamp ?? 0))
}

function* beginAnswer({ wire, members }: Session, exchanges: Exchanges, others: Exchanges, answer: Answer): Transaction<void> {
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
  for (const exchange of exchanges) {
    const { collection, server } = exchange
    server.serverHistory ??= answer.collection ?? null
    server.dateForm ??= dateFormOf(collection, answer.changes.get(members.find(m => m.collection === collection)?.path ?? '') ?? [])
    server.pulling = true
    server.page = null
    server.sweeping = answer.full === true && (yield* wasAnythingAgreed(exchange))
  }
  // begun anew, a full answer forgets what an earlier one has shown; where nothing was agreed before, it has nothing to sweep
  yield* forgetSeen(exchanges)
}

function* forgetSeen(exchanges: Exchanges): Transaction<void> {
  const [any] = exchanges
  const seen = exchanges.map(({ server }) => [server.id])
  if (any && (yield* first('SELECT 1 FROM sync_seen LIMIT 1'))) yield* any.log.database.deleteRows('sync_seen', ['server'], seen)
}

function* wasAnythingAgreed({ log, collection, server }: Exchange): Transaction<boolean> {
  const { table } = collection
  const known = yield* first(
    `SELECT 1 FROM sync_server r WHERE r.id = ? AND (
       EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isUpToSql({ id: log.database.id(table, 'x'), stamp: 'x."_lastChange"' })})
       OR EXISTS (SELECT 1 FROM sync_stamp m JOIN ${quote(table.name)} x ON x."_lastChange" = m.stamp WHERE m.server = r.id)
       OR EXISTS (SELECT 1 FROM ${quote(baseTableOf(table))} i WHERE i._sync_server = r.id AND i._sync_removed = 0)
       OR EXISTS (SELECT 1 FROM sync_unapplied c WHERE c.server = r.id))`,
    server.id,
  )
  return known !== undefined
}

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

/** Stores updates, with the stamp of one transaction. Gives what became of them, by collection. */
function* storeUpdates(exchanges: Exchanges, changes: readonly Change[], take: Apply): Transaction<Part[]> {
  const [any] = exchanges
  if (!any || !changes.length) return []
  const stamp = new TransactionStamp(any)
  const parts = exchanges.flatMap((exchange): Part[] => {
    const updates = changes.filter(c => c.collection === exchange.collection).map(c => c.update)
    return updates.length ? [{ exchange, updates, taken: nothingApplied() }] : []
  })
  const left: Part[] = []
  for (const part of parts) {
    const { server } = part.exchange
    const isFirst = server.serverDate === 0 && !server.sweeping && take === applyTogether
    if (isFirst && (yield* applyUnknown(part.exchange, part.updates, stamp))) part.taken.stored += part.updates.length
    else left.push(part)
  }
  yield* take(left, stamp)
  for (const { exchange, updates } of parts) yield* noteSeen(exchange, updates)
  return parts
}

function* noteSeen({ log: { database }, server }: Exchange, updates: readonly Update[]): Transaction<void> {
  if (!server.sweeping) return
  const rowsOf = (some: readonly Update[]) => some.map(({ id }) => [server.id, id])
  const [keys, there] = [['server', 'id'], updates.filter(u => u.value !== null)]
  yield* database.upsertRows('sync_seen', keys, keys, rowsOf(there))
  yield* database.deleteRows('sync_seen', keys, rowsOf(updates.filter(u => u.value === null)))
}

function turnPage(session: Session, exchanges: Exchanges, answer: Answer, next: string): void {
  for (const { server } of exchanges) {
    server.page = markFor(session.wire, next)
    server.highest = Math.max(server.highest, answer.now) // no later page may come from an older state
  }
}

// Rows before bookkeeping, bookkeeping before the cursors: they move with the last step of the last page alone.
function* completeAnswer(exchanges: Exchanges, answer: Answer, etag: string | null): Transaction<void> {
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
      serverDate: Math.max(server.serverDate, answer.now),
      highest: Math.max(server.highest, answer.now),
      pulling: false,
      page: null,
      sweeping: false,
      etag,
    })
}

interface Swept {
  readonly collection?: Collection
  readonly stored: number
  /** The id to go on after; undefined at the end. */
  readonly after: string | undefined
}

const NOTHING_SWEPT: Swept = { stored: 0, after: undefined }

/** What a full answer lacks, the server does not have any more (law 8). */
function* sweep(exchange: Exchange, after: string, limit: number): Transaction<Swept> {
  const { log, collection, server } = exchange
  const { table } = collection
  const rows = yield* query(
    `SELECT k.id FROM (
       SELECT ${log.database.id(table, 'x')} AS id FROM ${quote(table.name)} x
       UNION SELECT c.id FROM sync_unapplied c WHERE c.server = ?1
       UNION SELECT i._sync_id FROM ${quote(baseTableOf(table))} i WHERE i._sync_server = ?1) k
      WHERE k.id > ?2 AND NOT EXISTS (SELECT 1 FROM sync_seen s WHERE s.server = ?1 AND s.id = k.id)
      ORDER BY k.id LIMIT ?3`,
    server.id,
    after,
    limit,
  )
  const ids = rows.map(row => String(row.id))
  const gone: Update[] = []
  for (const state of (yield* readRowStates(exchange, ids)).values()) {
    const before = state.unapplied ? state.unapplied.remote : baseOf(server, state)
    if (before) gone.push({ id: state.id, value: null })
  }
  const { stored } = gone.length ? yield* applyRemoteRows(exchange, gone, new TransactionStamp(exchange)) : nothingApplied()
  return { collection, stored, after: ids.length < limit ? undefined : ids.at(-1) }
}

/**
 * Tries again what waits, as long as that gets it further; what could be a matter of other rows of this server's is tried along: rows of several
 * collections may need each other. Gives what became of it, by collection; contested is what is in the end.
 */
export function* applyUnapplied(exchange: Exchange, stamp: TransactionStamp): Transaction<Part[]> {
  const all = new Map<Collection, Part>()
  for (let before = -1; ; ) {
    const parts: Part[] = []
    let waits = 0
    for (const [there, server] of exchange.siblings) {
      const other: Exchange = { ...exchange, collection: there, server }
      const unapplied = yield* readUnapplied(other)
      waits += unapplied.size
      const updates = [...unapplied].map(([id, { remote }]) => ({ id, value: remote }))
      if (updates.length) parts.push({ exchange: other, updates, taken: nothingApplied() })
    }
    if (waits === before) return [...all.values()]
    before = waits
    yield* applyTogether(parts, stamp)
    for (const { taken } of all.values()) taken.contested.clear()
    for (const part of parts) {
      const { stored, merged, contested } = part.taken
      const total = all.get(part.exchange.collection)?.taken ?? nothingApplied()
      all.set(part.exchange.collection, { ...part, taken: total })
      total.stored += stored
      total.merged += merged
      for (const id of contested) total.contested.add(id)
    }
  }
}
