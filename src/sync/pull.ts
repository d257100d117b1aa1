// Reads what changed on the server, page by page, from where the last pull ended. Stopping anywhere is safe.

import type { Collection } from '../changes/collection.js'
import { first, imagesOf, query, quote, type Step } from '../changes/database/database.js'
import { baseOf, cursorOf, dropTentativeImages, isUndecided, isUpToSql, type Remote, resetRemote, writeRemote } from '../changes/remotes.js'
import { AnswerTooLargeError, ConstraintError, InvalidAnswerError, RequestTimeoutError } from '../errors.js'
import type { PullAnswer, PullQuery, Update } from '../protocol/messages.js'
import { type Exchange, readRowStates, StepStamp } from './exchange.js'
import { freeRefused } from './refusals.js'
import { nameOf } from './reply.js'
import { readKnown, type Session, StepSize, step } from './session.js'
import { leaveRows, nothingTaken, type Part, settle, type Taken, takeRows, takeTogether, takeUnknown } from './take.js'
import type { Pulled } from './transport.js'
import { readSentAndRemoved } from './undecided.js'
import { readWaiting } from './waiting.js'

/** Updates in the first page: there is something to store soon. Each further one is twice as large, up to the session's size. */
const FIRST_PAGE = 1_000

/** The next page, asked for while the last one is stored. It counts where nobody but ourselves has moved the cursor since (law 3). */
interface Ahead {
  readonly question: PullQuery
  readonly pulled: Promise<Pulled>
  /** Where the cursor stood when the last page was stored. */
  cursor: string | undefined
}

/**
 * Reads until all is read; `known` is what is known of the server at this moment, where that was read just now. Asks along whether it has a
 * column for properties that it has ignored, and gives those for which it has.
 */
export async function pull(session: Session, ignored: readonly string[], known?: Remote): Promise<readonly string[]> {
  const { transport, url, report, pageSize, signal } = session
  signal?.throwIfAborted() // what was aborted before is not heard of
  const end = new AbortController()
  const abort = () => end.abort(signal?.reason)
  signal?.addEventListener('abort', abort)
  let limit = 0
  const ask = (question: PullQuery, etag: string | null) => {
    report.requests++
    return transport.pull(url, { ...question, limit, ...(ignored.length && { properties: ignored }) }, etag, end.signal)
  }
  const size = new StepSize()
  let ahead: Ahead | undefined
  let gained: readonly string[] = []
  const turned = new Set<string>()
  let resets = 0
  try {
    for (let complete = false; !complete; known = undefined) {
      const asked: Remote = known ?? (await readKnown(session))
      if (asked.push && !isUndecided(asked)) return gained // another sync of this database has begun to tell
      const question = questionOf(asked)
      if (question.after === undefined) turned.clear()
      limit ||= Math.min(asked.pageSize ?? FIRST_PAGE, pageSize)
      const isAhead: boolean = ahead?.cursor === cursorOf(asked) && JSON.stringify(ahead.question) === JSON.stringify(question)
      const asking = ahead && isAhead ? ahead.pulled : ask(question, asked.pulling || asked.push || ignored.length ? null : asked.etag)
      const pulled: Pulled = await orSmaller(session, limit, asking)
      report.received += pulled.bytes
      if (!pulled.answer) return gained
      if (pulled.answer.reset) {
        resets++
        turned.clear()
      }
      checkAnswer(session, question, pulled.answer, turned, resets)
      gained = pulled.answer.properties?.filter(p => ignored.includes(p)) ?? gained
      report.unknownHere = unknownProperties(session, report.unknownHere, pulled.answer.updates)
      // twice as much may not arrive in time, or be too large
      if (!pulled.isNearLimit) limit = Math.min(limit * 2, pageSize)
      const next = nextQuestion(question, pulled.answer)
      ahead = next && { question: next, pulled: ask(next, null), cursor: undefined }
      ahead?.pulled.catch(() => {}) // heard of where it is needed
      const stored = await storePage(session, asked, pulled.answer, pulled.etag, size, limit)
      complete = stored.complete
      if (stored.cursor !== undefined && pulled.answer.next !== undefined) turned.add(pulled.answer.next)
      if (ahead) ahead.cursor = stored.cursor
      report.tell('pull')
    }
    return gained
  } finally {
    signal?.removeEventListener('abort', abort)
    end.abort()
  }
}

const ENVELOPE = new Set(['id', '_lastChange', '_removed', '_partial'])

// Rows of a collection have the same properties: one at each end of a page says which.
function unknownProperties({ collection }: Session, known: readonly string[], updates: readonly Update[]): readonly string[] {
  const names = [updates[0], updates.at(-1)].flatMap(update => Object.keys(update?.value ?? {}))
  const unknown = names.filter(p => !collection.column.has(p) && !ENVELOPE.has(p))
  return unknown.length ? [...new Set([...known, ...unknown])].sort() : known
}

/** Milliseconds by which a server of 2011 is asked again: it may read its clock after its rows, or store rows after their stamps. */
const OVERLAP = 60_000

const questionOf = ({ serverDate, page, serverCollection, highest }: Remote): PullQuery => ({
  since: serverCollection === null ? Math.max(0, serverDate - OVERLAP) : serverDate,
  after: page ?? undefined,
  collection: serverCollection ?? undefined,
  min: highest || undefined,
})

// A server whose clock went back has stamps below what was read, and no pull would ever show them.
function checkAnswer(
  session: Session,
  { since }: PullQuery,
  { now, reset, next }: PullAnswer,
  turned: ReadonlySet<string>,
  resets: number,
): void {
  const refuse = (what: string): never => {
    const url = nameOf(session.url)
    throw new InvalidAnswerError(`${url} ${what} All local changes are safe.`, '', { url, isDefinite: true })
  }
  if (now < since && !reset)
    refuse(
      `says that its time is ${now}, and was read up to ${since} before: was its clock set back, or an older database put in its place? ` +
        'Nothing was stored. To begin anew with it, call journal(…).forget(url) and sync again.',
    )
  // or it would be asked without end
  if (next !== undefined && turned.has(next)) refuse('gave a page a `next` that it had given before: its pages would never end.')
  if (resets > session.rounds) refuse(`was reset ${resets} times while it was read.`)
}

/** A page that did not arrive in time, or is too large, is asked for smaller by the next sync; the pages before it are stored. */
async function orSmaller(session: Session, limit: number, asking: Promise<Pulled>): Promise<Pulled> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof RequestTimeoutError || error instanceof AnswerTooLargeError)
      await step(session, function* ({ remote }) {
        remote.pageSize = Math.max(1, Math.floor(limit / 4))
        yield* writeRemote(remote)
      })
    throw error
  }
}

/** What will be asked when the page is stored; undefined where there is no more, or where a reset changes everything first. */
function nextQuestion({ since, collection, min = 0 }: PullQuery, { next: after, reset, ...answer }: PullAnswer): PullQuery | undefined {
  if (after === undefined || reset) return
  return { since, after, collection: collection ?? answer.collection, min: Math.max(min, answer.now) || undefined }
}

const MOVED = Symbol('moved')
const OUTDATED = { complete: false, cursor: undefined }

interface Stored {
  /** There is no further page. */
  readonly complete: boolean
  /** Where the cursor stands now; undefined where somebody else moved it. */
  readonly cursor: string | undefined
}

/** Stores a page in as many steps as it needs. An answer counts only if nothing moved since the question (law 3). */
async function storePage(
  session: Session,
  asked: Remote,
  answer: PullAnswer,
  etag: string | null,
  size: StepSize,
  limit: number,
): Promise<Stored> {
  const { report, pageSize } = session
  let cursor = cursorOf(asked)
  async function guarded<T>(body: (exchange: Exchange) => Step<T>): Promise<T | typeof MOVED> {
    const outcome = await step(session, function* (exchange) {
      const { remote } = exchange
      if (cursorOf(remote) !== cursor) return MOVED
      const result = yield* body(exchange)
      remote.reads++
      yield* writeRemote(remote)
      return { result, cursor: cursorOf(remote) }
    })
    if (outcome === MOVED) return MOVED
    cursor = outcome.cursor
    return outcome.result
  }
  const { updates, next } = answer
  let begins = answer.reset !== undefined || asked.page === null
  let done = 0
  let sweeps = false
  do {
    const some = updates.slice(done, done + size.rows)
    let start = 0
    const store = (take: typeof takeRows) =>
      guarded(function* (exchange) {
        start = performance.now() // what went before it is others' time
        if (begins) yield* beginAnswer(session, exchange, answer)
        const taken = yield* storeUpdates(exchange, some, take)
        if (some.length) yield* freeRefused(exchange)
        if (done + some.length < updates.length) return taken
        sweeps = exchange.remote.sweeping
        if (exchange.remote.pageSize !== null) exchange.remote.pageSize = limit < Math.min(FIRST_PAGE, pageSize) ? limit : null
        if (next !== undefined) turnPage(exchange, answer, next)
        else if (!sweeps) yield* completeAnswer(exchange, answer, etag)
        return taken
      })
    let taken: Taken | typeof MOVED
    try {
      taken = await store(takeRows)
    } catch (error) {
      // A constraint that the database looks at in the end: who breaks it waits, and the others go on.
      if (!(error instanceof ConstraintError)) throw error
      size.shrinkTo(some.length >> 1)
      if (some.length > 1) continue
      taken = await store(leaveRows)
    }
    if (taken === MOVED) return OUTDATED
    report.pulled += taken.stored
    report.merged += taken.merged
    size.took(some.length, performance.now() - start)
    done += some.length
    begins = false
  } while (done < updates.length)
  if (next !== undefined) return { complete: false, cursor }
  if (!sweeps) return { complete: true, cursor }

  // A full answer sweeps, where anything was agreed before it; the cursor moves with the last step.
  let after: string | undefined = ''
  while (after !== undefined) {
    const from: string = after
    const swept: Swept | typeof MOVED = await guarded(exchange => sweep(exchange, from, size.rows))
    if (swept === MOVED) return OUTDATED
    report.pulled += swept.stored
    after = swept.after
  }
  return (await guarded(exchange => completeAnswer(exchange, answer, etag))) === MOVED ? OUTDATED : { complete: true, cursor }
}

function* beginAnswer({ collection, url }: Session, exchange: Exchange, answer: PullAnswer): Step<void> {
  const { remote } = exchange
  if (answer.reset === 'collection-changed') yield* resetRemote(collection, remote, answer.collection ?? null)
  else if (remote.serverCollection !== null && answer.collection !== remote.serverCollection) {
    throw new InvalidAnswerError(
      `${url} has another collection id than before and does not say that it was reset; is this the same server?`,
      '',
      { url, isDefinite: true },
    )
  }
  remote.serverCollection ??= answer.collection ?? null
  remote.dateForm ??= dateFormOf(collection, answer.updates)
  remote.pulling = true
  remote.page = null
  // Begun anew, a full answer forgets what an earlier one has shown. Where nothing was agreed before, it has nothing to sweep.
  yield* query('DELETE FROM sync_seen WHERE remote = ?', remote.id)
  remote.sweeping = answer.full === true && (yield* wasAnythingAgreed(exchange))
}

function* wasAnythingAgreed({ log, collection, remote }: Exchange): Step<boolean> {
  const { table } = collection
  const known = yield* first(
    `SELECT 1 FROM sync_remote r WHERE r.id = ? AND (
       EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isUpToSql('x."_lastChange"', log.database.id(table, 'x'))})
       OR EXISTS (SELECT 1 FROM sync_stamp m JOIN ${quote(table.name)} x ON x."_lastChange" = m.stamp WHERE m.remote = r.id)
       OR EXISTS (SELECT 1 FROM ${quote(imagesOf(table))} i WHERE i._sync_remote = r.id AND i._sync_removed = 0)
       OR EXISTS (SELECT 1 FROM sync_conflict c WHERE c.remote = r.id))`,
    remote.id,
  )
  return known !== undefined
}

// Servers of 2012 and before write dates as numbers; they are told dates in the form that they use.
function dateFormOf(collection: Collection, updates: readonly Update[]): Remote['dateForm'] {
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

function* storeUpdates(exchange: Exchange, updates: readonly Update[], take: typeof takeRows): Step<Taken> {
  const { log, remote } = exchange
  const stamp = new StepStamp(exchange)
  const isFirst = remote.serverDate === 0 && !remote.sweeping && take === takeRows
  if (isFirst && updates.length && (yield* takeUnknown(exchange, updates, stamp))) return { ...nothingTaken(), stored: updates.length }
  const taken = updates.length ? yield* take(exchange, updates, stamp) : nothingTaken()
  if (!remote.sweeping) return taken
  yield* log.database.upsertRows(
    'sync_seen',
    ['remote', 'id'],
    ['remote', 'id'],
    updates.filter(u => u.value !== null).map(u => [remote.id, u.id]),
  )
  yield* log.database.deleteRows(
    'sync_seen',
    ['remote', 'id'],
    updates.filter(u => u.value === null).map(u => [remote.id, u.id]),
  )
  return taken
}

function turnPage({ remote }: Exchange, answer: PullAnswer, next: string): void {
  remote.page = next
  remote.highest = Math.max(remote.highest, answer.now) // no later page may come from an older state
}

// Rows before bookkeeping, bookkeeping before the cursor: it moves with the last step of the last page alone.
function* completeAnswer(exchange: Exchange, answer: PullAnswer, etag: string | null): Step<void> {
  const { log, collection, remote } = exchange
  if (isUndecided(remote)) {
    const gone = yield* readSentAndRemoved(exchange)
    if (gone.length) yield* settle(exchange, gone, new StepStamp(exchange))
    remote.push = null
    yield* dropTentativeImages(log.database, collection, remote)
  }
  if (remote.sweeping) yield* query('DELETE FROM sync_seen WHERE remote = ?', remote.id)
  Object.assign(remote, {
    serverDate: Math.max(remote.serverDate, answer.now),
    highest: Math.max(remote.highest, answer.now),
    pulling: false,
    page: null,
    sweeping: false,
    etag,
  })
}

interface Swept {
  readonly stored: number
  /** The id to go on after; undefined at the end. */
  readonly after: string | undefined
}

/** What a full answer lacks, the server does not have any more (law 8). */
function* sweep(exchange: Exchange, after: string, limit: number): Step<Swept> {
  const { log, collection, remote } = exchange
  const { table } = collection
  const rows = yield* query(
    `SELECT k.id FROM (
       SELECT ${log.database.id(table, 'x')} AS id FROM ${quote(table.name)} x
       UNION SELECT c.id FROM sync_conflict c WHERE c.remote = ?1
       UNION SELECT i._sync_id FROM ${quote(imagesOf(table))} i WHERE i._sync_remote = ?1) k
      WHERE k.id > ?2 AND NOT EXISTS (SELECT 1 FROM sync_seen s WHERE s.remote = ?1 AND s.id = k.id)
      ORDER BY k.id LIMIT ?3`,
    remote.id,
    after,
    limit,
  )
  const ids = rows.map(row => String(row.id))
  const gone: Update[] = []
  for (const state of (yield* readRowStates(exchange, ids)).values()) {
    const before = state.waiting ? state.waiting.theirs : baseOf(remote, state)
    if (before) gone.push({ id: state.id, value: null })
  }
  const { stored } = gone.length ? yield* takeRows(exchange, gone, new StepStamp(exchange)) : nothingTaken()
  return { stored, after: ids.length < limit ? undefined : ids.at(-1) }
}

/**
 * Tries again what waits, as long as that gets it further; what could be a matter of other rows of this server's is tried along: rows of several
 * collections may need each other.
 */
export function* takeWaiting(exchange: Exchange, stamp: StepStamp): Step<Taken> {
  const all = nothingTaken()
  for (let before = -1; ; ) {
    const parts: Part[] = []
    let waits = 0
    for (const [there, remote] of exchange.siblings) {
      const other: Exchange = { ...exchange, collection: there, remote }
      const waiting = yield* readWaiting(other)
      waits += waiting.size
      const updates = [...waiting].map(([id, { theirs }]) => ({ id, value: theirs }))
      if (updates.length) parts.push({ exchange: other, updates, taken: nothingTaken() })
    }
    if (waits === before) return all
    before = waits
    yield* takeTogether(parts, stamp)
    all.contested.clear()
    for (const { exchange: there, taken } of parts) {
      all.stored += taken.stored
      all.merged += taken.merged
      if (there.collection === exchange.collection) for (const id of taken.contested) all.contested.add(id)
    }
  }
}
