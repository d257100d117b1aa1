// What a push tells: the news up to a place, as so many rows as a request has room for.

import { type Collection, keyOf } from '../changes/collection.js'
import { imagesOf, query, quote, type Step } from '../changes/database/database.js'
import { withoutIgnored } from '../changes/ignored.js'
import { baseOf, isAgreed, isHeld, type Remote, type RowState, readKinds, readStates } from '../changes/remotes.js'
import { LAST, type Place, readChangePage } from '../changes/rows.js'
import { dateToNumber, equalValues } from '../changes/values.js'
import { deepProperty, TOO_DEEP } from '../protocol/depth.js'
import { type PushedRow, type Refusal, type WireRow, writePushedRow } from '../protocol/messages.js'
import { type Exchange, readRowStates, siblingOf } from './exchange.js'
import { writeRefusals } from './refusals.js'
import type { StepSize } from './session.js'
import { readWaiting } from './waiting.js'

export interface Batch {
  readonly rows: readonly PushedRow[]
  /** The rows as JSON. */
  readonly body: string
  /** The stamps of the versions that it tells. */
  readonly told: ReadonlyMap<string, number>
  /** It tells the news up to here; the clock's time where it tells all of them. */
  readonly limit: Place
  readonly more: boolean
  /** The clock's time at which it was read. */
  readonly now: number
}

/** Bytes in a push, but for a row that is larger by itself: proxies and body parsers take a megabyte unless told otherwise. */
const LARGEST_BODY = 1_000_000

/** Bytes of rows that are read at a time: rows may be megabytes, though little of them is told. */
const LARGEST_READ = 8_000_000

/** Reads what is to be told next. */
export function readBatch(exchange: Exchange, size: StepSize): Step<Batch> {
  return read(exchange, size, false) as Step<Batch>
}

function* read(exchange: Exchange, size: StepSize, isReadOnly: boolean): Step<Batch | undefined> {
  const { log, collection, remote } = exchange
  const start = performance.now()
  const most = Math.max(1, Math.min(size.rows, remote.batch ?? size.rows))
  const news: Place[] = []
  const rows: PushedRow[] = []
  const texts: string[] = []
  const refused: (Refusal & { stamp: number })[] = []
  let [bytes, more] = [0, false]
  const newsFor = remote.stored.size ? { newsFor: remote.id } : {}
  for (let above = remote.told, isLast = false; !more && !isLast; ) {
    const limit = most + 1 - news.length
    const page = yield* readChangePage(log.database, collection, { above, limit, removalsAbove: -1, bytes: LARGEST_READ, ...newsFor })
    const versions = new Map(page.changes.map(c => [c.id, c]))
    const states = yield* readStates(log.database, collection, remote, [...versions.keys()], versions)
    for (const { id, stamp } of page.changes) {
      const state = states.get(id) as RowState
      // what waits or was refused is not told
      if (isHeld(state) || isAgreed(remote, state, stamp)) continue
      more = news.length === most
      if (more) break
      const row = describePush(collection, remote, state)
      const refusal = row && refuse(row)
      const text = row && !refusal ? JSON.stringify(writeFor(remote, collection, row)) : undefined
      if (refusal) refused.push({ ...refusal, stamp })
      else if (row && text !== undefined) {
        bytes += new TextEncoder().encode(text).length + 1
        more = rows.length > 0 && bytes > LARGEST_BODY
        if (more) break
        rows.push(row)
        texts.push(text)
      }
      news.push({ id, stamp })
    }
    const last = page.changes.at(-1)
    isLast = !page.more || !last
    if (last) above = { stamp: last.stamp, id: last.id }
  }
  if (isReadOnly && refused.length) return
  yield* writeRefusals(exchange, refused)
  const { now } = yield* log.database.clock()
  const limit: Place = (more && news.at(-1)) || { stamp: now, id: LAST }
  size.took(news.length, performance.now() - start)
  return { rows, body: `[${texts.join(',')}]`, told: new Map(news.map(({ id, stamp }) => [id, stamp])), limit, more, now }
}

/** No server would take it, and JSON cannot be made of it. */
function refuse({ id, value }: PushedRow): Refusal | undefined {
  const property = value && deepProperty(value)
  return property ? { id, property, code: 'not-valid', detail: TOO_DEEP } : undefined
}

/**
 * Reads what is to be told when the open push has counted, while its answer is under way; undefined where rows wait or were refused, for then
 * more than the clock says whether it still holds.
 */
export function* readAhead(exchange: Exchange, size: StepSize): Step<Batch | undefined> {
  const { remote } = exchange
  if (!remote.push || (yield* isAnyHeld(exchange))) return
  return yield* read({ ...exchange, remote: { ...remote, told: remote.push.limit } }, size, true)
}

/** Does a batch that was read ahead still tell what stands here? Whatever changed a row since has moved the clock. */
export function* isStillSo(exchange: Exchange, batch: Batch): Step<boolean> {
  return (yield* exchange.log.database.clock()).now === batch.now && !(yield* isAnyHeld(exchange))
}

function* isAnyHeld({ collection, remote }: Exchange): Step<boolean> {
  const { waiting, refused } = yield* readKinds(collection, remote)
  return waiting || refused
}

/** A removal speaks for what the remover saw, in other collections as well (law 9). */
export function seenBy({ collection, siblings, remote: own }: Exchange, rows: readonly PushedRow[]): Map<string, number> {
  const seen = new Map<string, number>()
  if (!rows.some(row => row.value === null)) return seen
  const visited = new Set([collection])
  for (const parent of visited) {
    for (const { child } of parent.children) {
      const remote = child && siblings.get(child)
      // what was read of a history that was reset since says nothing of this one
      const date = remote?.serverCollection === own.serverCollection ? remote?.serverDate : 0
      if (child && remote && child !== collection) seen.set(new URL(remote.url).pathname, date ?? 0)
      if (child) visited.add(child)
    }
  }
  return seen
}

/** A removal waits with the rows that wait for a word about it, however far below it they hang on the server (law 9). */
export function* holdParents(exchange: Exchange): Step<void> {
  const { collection } = exchange
  const below = descendantsOf(exchange)
  if (!below.length) return
  let level = new Map<Collection, Set<string>>()
  for (const there of below) {
    for (const [id, { theirs }] of yield* readWaiting(there)) addParents(level, there.collection, id, theirs)
    if (there.collection !== collection && collection.children.some(r => r.child === there.collection))
      for (const id of yield* readLeft(there, collection)) add(level, collection, id)
  }
  const walked = new Set<string>()
  const held: RowState[] = []
  while (level.size) {
    const next = new Map<Collection, Set<string>>()
    for (const [parent, ids] of level) {
      const there = siblingOf(exchange, parent)
      if (!there) continue
      for (const state of (yield* readRowStates(there, [...ids])).values()) {
        const { id, version } = state
        const isGoing = version.stamp > 0 && version.value === null && !isAgreed(there.remote, state, version.stamp)
        if (!isGoing || walked.has(`${parent.name} ${id}`)) continue
        walked.add(`${parent.name} ${id}`)
        if (parent === collection && !isHeld(state)) held.push(state)
        // the server's own cascade would come down from there
        addParents(next, parent, id, baseOf(there.remote, state) ?? null)
      }
    }
    level = next
  }
  const detail = 'Rows that need it wait for a decision, or are told first.'
  const refusals = held.map(({ id, version }): Refusal & { stamp: number } => ({
    id,
    code: 'children-exist',
    detail,
    stamp: version.stamp,
  }))
  yield* writeRefusals(exchange, refusals)
}

/** The collections of this server whose rows may hang on ours, by whatever way. */
function descendantsOf(exchange: Exchange): Exchange[] {
  const visited = new Set<Collection>()
  const parents = [exchange.collection]
  for (const parent of parents) {
    for (const { child } of parent.children) {
      if (!child || visited.has(child) || !exchange.siblings.has(child)) continue
      visited.add(child)
      parents.push(child)
    }
  }
  return [...visited].flatMap(collection => siblingOf(exchange, collection) ?? [])
}

function addParents(level: Map<Collection, Set<string>>, collection: Collection, id: string, row: WireRow | null): void {
  for (const reference of collection.parents) {
    const key = keyOf(reference, id, row)
    if (reference.parent && typeof key === 'string') add(level, reference.parent, key)
  }
}

function add(level: Map<Collection, Set<string>>, collection: Collection, id: string): void {
  const ids = level.get(collection)
  if (ids) ids.add(id)
  else level.set(collection, new Set([id]))
}

/** Removed rows that others were moved away from: told first, their removal would take those along on the server. */
function* readLeft(exchange: Exchange, parent: Collection): Step<string[]> {
  const { log, collection, remote } = exchange
  const left: string[] = []
  for (const { property, childColumn, isOwnKey, parent: needed, parentColumn } of collection.parents) {
    // a row whose own key it is does not move
    if (needed !== parent || parentColumn !== parent.table.key || isOwnKey) continue
    const rows = yield* query(
      `SELECT DISTINCT i._sync_id AS id
         FROM ${quote(imagesOf(collection.table))} i JOIN sync_tombstone t ON t.collection = ? AND t.id = ${log.database.text(`i.${quote(childColumn)}`)}
        WHERE i._sync_remote = ?`,
      parent.name,
      remote.id,
    )
    const states = yield* readRowStates(
      exchange,
      rows.map(r => String(r.id)),
    )
    for (const state of states.values()) {
      const before = baseOf(remote, state)?.[property]
      if (isHeld(state) || isAgreed(remote, state, state.version.stamp) || !state.version.value || typeof before !== 'string') continue
      if (state.version.value[property] !== before) left.push(before)
    }
  }
  return left
}

/** What waits is not told, whatever `told` says: the stamp of our version is noted with every push. */
export function* noteUntold(exchange: Exchange): Step<void> {
  const { log, remote } = exchange
  const ids = [...(yield* readWaiting(exchange)).keys()]
  if (!ids.length) return
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const moved = states.filter(s => !isAgreed(remote, s, s.version.stamp) && s.waiting?.untold !== s.version.stamp)
  yield* log.database.updateRows(
    'sync_conflict',
    ['untold'],
    ['remote', 'id'],
    moved.map(s => [s.version.stamp, remote.id, s.id]),
  )
}

/** What is told of a row: all of it, where the server has none; what changed, where it has; nothing, where it is as the server knows it. */
function describePush({ columns }: Collection, remote: Remote, state: RowState): PushedRow | undefined {
  const { id, version } = state
  const base = baseOf(remote, state)
  const { value } = version
  if (value === null) return base === null ? undefined : { id, value: null, partial: false } // made and removed here: never mind
  if (!base) return { id, value: withoutPutOff(value, state), partial: false }
  const changed: WireRow = {}
  for (const { property } of columns)
    if (Object.hasOwn(value, property) && !(Object.hasOwn(base, property) && equalValues(value[property], base[property])))
      changed[property] = value[property] as never
  if (!Object.keys(changed).length) return
  // a server of 2011 would make a row of the part where it has none
  if (remote.serverCollection === null) return { id, value, partial: false }
  return { id, value: changed, partial: true }
}

/** A row that the server does not have goes without the references that are put off. */
export const withoutPutOff = (value: WireRow, { putOff }: RowState): WireRow =>
  putOff.length ? withoutIgnored(value, { ignored: putOff, putOff: [] }) : value

// A server of 2012 writes dates as numbers.
function writeFor({ dateForm }: Remote, { columns }: Collection, row: PushedRow): WireRow {
  if (dateForm === null || row.value === null) return writePushedRow(row)
  const value = { ...row.value }
  for (const { isDate, property } of columns) {
    const date = value[property]
    if (isDate && typeof date === 'string') value[property] = dateToNumber(date) * (dateForm === 'milliseconds' ? 1000 : 1)
  }
  return writePushedRow({ ...row, value })
}
