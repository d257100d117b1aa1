// What a push tells: the local changes up to a place, as so many rows as a request has room for.

import { baseOf, isAgreed, isHeld } from '../../changes/agreement.js'
import { keepBases } from '../../changes/baseVersions.js'
import { type Collection, keyOf } from '../../changes/collection.js'
import { withoutIgnored } from '../../changes/ignored.js'
import { type FeedPlace, placeIn } from '../../changes/pages.js'
import type { RowState } from '../../changes/rowStates.js'
import { isUpTo, LAST, laterOf, type Place } from '../../changes/rows.js'
import type { ServerState } from '../../changes/serverState.js'
import { dateToNumber, equalValues } from '../../databases/columns.js'
import { first, type Transaction } from '../../databases/database.js'
import { deepProperty, TOO_DEEP } from '../../protocol/depth.js'
import { type ByPath, type PushedRow, type Rejection, type WireRow, writePushedRow } from '../../protocol/messages.js'
import { type Exchange, readRowStates } from '../exchange.js'
import type { Exchanges, Session, TransactionSize } from '../session.js'
import { nextChange, openLocalChanges } from './localChanges.js'
import { writeRejections } from './rejections.js'

/** How far a batch with this limit tells one collection. */
export const limitIn = (limit: FeedPlace, { log, collection }: Exchange): Place => placeIn(log.collections, limit, collection)

export interface PushedOf {
  readonly collection: Collection
  readonly row: PushedRow
}

export interface Batch {
  readonly rows: readonly PushedOf[]
  /** The rows as JSON. */
  readonly body: string
  /** Those among them that come along because others need them: their own changes lie behind the limit. */
  readonly needed: readonly PushedOf[]
  /** The stamps of the versions that it tells, by collection and id. */
  readonly stamps: ReadonlyMap<Collection, ReadonlyMap<string, number>>
  /** It tells the local changes up to here; the clock's time where it tells all of them. */
  readonly limit: FeedPlace
  readonly more: boolean
  /** The clock's time at which it was read. */
  readonly now: number
}

/** Bytes in a push, but for a row that is larger by itself: proxies and body parsers take a megabyte unless told otherwise. */
const LARGEST_BODY = 1_000_000

/** Reads what is to be pushed next. */
export function readBatch(session: Session, exchanges: Exchanges, size: TransactionSize): Transaction<Batch> {
  return read(session, exchanges, size, false) as Transaction<Batch>
}

function* read(session: Session, exchanges: Exchanges, size: TransactionSize, isReadOnly: boolean): Transaction<Batch | undefined> {
  const start = performance.now()
  const batch = new BatchBuilder(session)
  const most = Math.max(1, Math.min(size.rows, exchanges[0]?.server.batch ?? size.rows))
  const lists = yield* openLocalChanges(exchanges)
  const rejected = new Map<Exchange, (Rejection & { stamp: number })[]>()
  let last: FeedPlace | undefined
  let count = 0
  let more = false
  for (let next = yield* nextChange(lists, most); next; next = yield* nextChange(lists, most + 1 - count)) {
    const { exchange } = next
    const { collection, server } = exchange
    const { id, stamp } = next.change
    const state = next.state
    // what waits or was rejected is not pushed
    if (!isHeld(state) && !isAgreed(server, state, stamp)) {
      more = count === most
      if (more) break
      const row = describePush(collection, server, state)
      const rejection = row && reject(row)
      if (rejection) rejected.set(exchange, [...(rejected.get(exchange) ?? []), { ...rejection, stamp }])
      else if (row && !batch.add(exchange, row)) {
        more = true
        break
      }
      batch.addStamp(collection, id, stamp)
      last = { stamp, id, collection }
      count++
    }
    next.done()
  }
  if (isReadOnly && rejected.size) return
  for (const [exchange, some] of rejected) yield* writeRejections(exchange, some)
  // where a push has to be as small as that, each row is told by itself: so it is found which of them is too large
  if (more && exchanges[0]?.server.batch !== 1) yield* addNeeded(batch, exchanges)
  const now = (yield* (exchanges[0] as Exchange).log.database.clock()).now
  const limit: FeedPlace = (more && last) || { stamp: now, id: LAST }
  size.took(count, performance.now() - start)
  return { ...batch.build(), limit, more, now }
}

class BatchBuilder {
  readonly #rows: PushedOf[] = []
  readonly #needed: PushedOf[] = []
  readonly #texts = new Map<string, string[]>()
  readonly #stamps = new Map<Collection, Map<string, number>>()
  #bytes = 0

  constructor(private readonly session: Session) {}

  get rows(): readonly PushedOf[] {
    return this.#rows
  }

  has(collection: Collection, id: string): boolean {
    return this.#stamps.get(collection)?.has(id) === true
  }

  /** False where there is no room for it. */
  add({ server, collection }: Exchange, row: PushedRow, isNeeded = false): boolean {
    const text = JSON.stringify(writeFor(server, collection, row))
    this.#bytes += new TextEncoder().encode(text).length + 1
    if (this.#bytes > LARGEST_BODY && this.#rows.length && !isNeeded) return false
    this.#rows.push({ collection, row })
    if (isNeeded) this.#needed.push({ collection, row })
    const path = this.session.members.find(m => m.collection === collection)?.path ?? ''
    const texts = this.#texts.get(path)
    if (texts) texts.push(text)
    else this.#texts.set(path, [text])
    return true
  }

  addStamp(collection: Collection, id: string, stamp: number): void {
    const stamps = this.#stamps.get(collection) ?? new Map<string, number>()
    this.#stamps.set(collection, stamps.set(id, stamp))
  }

  build(): Pick<Batch, 'rows' | 'needed' | 'body' | 'stamps'> {
    return { rows: this.#rows, needed: this.#needed, body: this.session.wire.body(this.#texts as ByPath<string[]>), stamps: this.#stamps }
  }
}

/**
 * A batch may end between a new row and one that it needs, which was changed since: that one comes along, and is pushed in its turn as well (law
 * 23).
 */
function* addNeeded(batch: BatchBuilder, exchanges: Exchanges): Transaction<void> {
  const exchangeOf = new Map(exchanges.map(exchange => [exchange.collection, exchange]))
  for (let rows = batch.rows; rows.length; ) {
    const needed = new Map<Exchange, Set<string>>()
    for (const { collection, row } of rows) {
      for (const reference of collection.parents) {
        const key = keyOf(reference, row.id, row.value)
        const there = reference.parent && exchangeOf.get(reference.parent)
        if (!there || typeof key !== 'string' || batch.has(there.collection, key)) continue
        if (reference.parentColumn === there.collection.table.key) needed.set(there, (needed.get(there) ?? new Set()).add(key))
      }
    }
    const before = batch.rows.length
    for (const [there, ids] of needed) {
      for (const state of (yield* readRowStates(there, [...ids])).values()) {
        const { version, id } = state
        if (!version.value || isHeld(state) || isAgreed(there.server, state, version.stamp) || baseOf(there.server, state)) continue
        const row = describePush(there.collection, there.server, state)
        if (!row || reject(row)) continue
        batch.add(there, row, true)
        batch.addStamp(there.collection, id, version.stamp)
      }
    }
    rows = batch.rows.slice(before)
  }
}

/**
 * What comes along is kept as a version that lies before the limit, as triggers keep what stood there: if the push counts, it is what both know.
 */
export function* keepNeeded(exchanges: Exchanges, { needed, limit }: Batch): Transaction<void> {
  for (const exchange of exchanges) {
    const { log, collection, server } = exchange
    const place = limitIn(limit, exchange)
    const isFree = (stamp: number, id: string) =>
      stamp > 0 && isUpTo(place, id, stamp) && !isUpTo(server.pushedTo, id, stamp) && !server.stored.has(stamp)
    for (const { row } of needed.filter(each => each.collection === collection)) {
      const stamp = [limit.stamp, limit.stamp - 1].find(each => isFree(each, row.id))
      if (stamp !== undefined) yield* keepBases(log.database, collection, server, [row], stamp)
    }
  }
}

/** No server would take it, and JSON cannot be made of it. */
function reject({ id, value }: PushedRow): Rejection | undefined {
  const property = value && deepProperty(value)
  return property ? { id, property, code: 'not-valid', detail: TOO_DEEP } : undefined
}

/**
 * Reads what is to be pushed when the open push has counted, while its answer is under way; undefined where rows wait or were rejected, for then
 * more than the clock says whether it still holds.
 */
export function* readAhead(session: Session, exchanges: Exchanges, size: TransactionSize): Transaction<Batch | undefined> {
  if (exchanges.some(({ server }) => !server.push) || (yield* isAnyHeld(exchanges))) return
  const after = exchanges.map(({ server, ...exchange }) => {
    const pushedTo = server.push ? laterOf(server.pushedTo, server.push.limit) : server.pushedTo
    return { ...exchange, server: { ...server, pushedTo } as ServerState }
  })
  return yield* read(session, after, size, true)
}

/** Does a batch that was read ahead still tell what stands here? Whatever changed a row since has moved the clock. */
export function* isStillSo(exchanges: Exchanges, batch: Batch): Transaction<boolean> {
  const clock = yield* (exchanges[0] as Exchange).log.database.clock()
  return clock.now === batch.now && !(yield* isAnyHeld(exchanges))
}

function* isAnyHeld(exchanges: Exchanges): Transaction<boolean> {
  for (const table of ['sync_unapplied', 'sync_rejection'])
    for (const { server } of exchanges) if (yield* first(`SELECT 1 FROM ${table} WHERE server = ? LIMIT 1`, server.id)) return true
  return false
}

/** A removal speaks for what the remover saw, in collections that are synced by themselves as well (law 9). */
export function seenBy({ members }: Session, exchanges: Exchanges, rows: readonly PushedOf[]): Map<string, number> {
  const seen = new Map<string, number>()
  for (const { collection, siblings, server: own } of exchanges) {
    if (!rows.some(({ collection: there, row }) => there === collection && row.value === null)) continue
    const visited = new Set([collection])
    for (const parent of visited) {
      for (const { child } of parent.children) {
        const server = child && siblings.get(child)
        // what was read of a history that was reset since says nothing of this one
        const date = server?.serverHistory === own.serverHistory ? server?.serverDate : 0
        if (child && server && !members.some(m => m.collection === child)) seen.set(new URL(server.url).pathname, date ?? 0)
        if (child) visited.add(child)
      }
    }
  }
  return seen
}

/** What is told of a row: all of it, where the server has none; what changed, where it has; nothing, where it is as the server knows it. */
function describePush({ columns }: Collection, server: ServerState, state: RowState): PushedRow | undefined {
  const { id, version } = state
  const base = baseOf(server, state)
  const { value } = version
  if (value === null) return base === null ? undefined : { id, value: null, partial: false } // made and removed here: never mind
  if (!base) return { id, value: withoutPutOff(value, state), partial: false }
  const changed: WireRow = {}
  for (const { property } of columns)
    if (Object.hasOwn(value, property) && !(Object.hasOwn(base, property) && equalValues(value[property], base[property])))
      changed[property] = value[property] as never
  if (!Object.keys(changed).length) return
  // a server of 2011 would make a row of the part where it has none
  if (server.serverHistory === null) return { id, value, partial: false }
  return { id, value: changed, partial: true }
}

/** A row that the server does not have goes without the references that are put off. */
export const withoutPutOff = (value: WireRow, { putOff }: RowState): WireRow =>
  putOff.length ? withoutIgnored(value, { ignored: putOff, putOff: [] }) : value

// A server of 2012 writes dates as numbers.
function writeFor({ dateForm }: ServerState, { columns }: Collection, row: PushedRow): WireRow {
  if (dateForm === null || row.value === null) return writePushedRow(row)
  const value = { ...row.value }
  for (const { isDate, property } of columns) {
    const date = value[property]
    if (isDate && typeof date === 'string') value[property] = dateToNumber(date) * (dateForm === 'milliseconds' ? 1000 : 1)
  }
  return writePushedRow({ ...row, value })
}
