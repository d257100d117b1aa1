// Takes rows out of the database. What was changed in them here and never pushed is kept apart; what needs them waits in the journal for them.

import type { Collection } from '../../changes/collections/collection.js'
import { type Dependent, nameOf, readDependentsOf } from '../../changes/rows/dependents.js'
import { baseOf, lastHeardOf } from '../../changes/servers/agreement.js'
import { keepBases } from '../../changes/servers/baseVersions.js'
import { changeNoAccess, forgetStaying, type NoAccessRow, writeNoAccess } from '../../changes/servers/noAccess.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { serversOf } from '../../changes/servers/servers.js'
import type { Change } from '../../changes/store/change.js'
import { purgeRows } from '../../changes/store/storeChanges.js'
import { type Database, query, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean, readRowStates } from '../exchange.js'
import { readExchanges } from '../push/unpushed.js'
import { forgetExits, forgetRows } from './forgetRows.js'
import type { Leaving } from './leave.js'
import { isSameRow } from './merge.js'
import { type ToDefer, writeUnapplied } from './unapplied.js'

/** What becomes of rows. */
class Purge {
  readonly rows: Pick<Change, 'collection' | 'id' | 'old'>[] = []
  readonly apart: NoAccessRow[] = []
  /** Later versions of rows that were kept apart before, for this server or others. */
  readonly later: { readonly collection: Collection; readonly id: string; readonly local: WireRow | null }[] = []
  readonly waiting = new Map<Exchange, ToDefer[]>()
  /** What servers have of rows that wait for several: one of them may change them meanwhile. */
  readonly bases = new Map<Exchange, { readonly id: string; readonly value: WireRow | null }[]>()
  readonly ids = new Map<Collection, string[]>()

  add(collection: Collection, { id, version }: RowState): void {
    this.rows.push({ collection, id, old: version })
    addTo(this.ids, collection, id)
  }

  keepApart({ collection, server }: Exchange, { id, version, noAccess, setAside }: RowState, base: NoAccessRow['base']): void {
    // what is kept apart already counts, unless a later version came into the table
    if (version.stamp === 0) return
    this.apart.push({ server: server.id, id, local: version.value, base: noAccess ? noAccess.base : base })
    if (setAside !== undefined) this.later.push({ collection, id, local: version.value })
  }

  wait(exchange: Exchange, { id }: RowState, remote: ToDefer['remote']): void {
    addTo(this.waiting, exchange, { state: { ...GONE, id }, remote, reason: 'parent-missing' })
  }

  keepBase(exchange: Exchange, { id }: RowState, value: WireRow | null): void {
    addTo(this.bases, exchange, { id, value })
  }
}

function addTo<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key)
  if (group) group.push(value)
  else groups.set(key, [value])
}

/** A stamp that every server knows with which anything is agreed. */
const BEFORE_ALL = 0

const GONE: Omit<RowState, 'id'> = {
  ...{ version: { value: null, stamp: 0 }, unapplied: undefined, rejection: undefined, baseVersions: [], ignored: [], putOff: [] },
  ...{ noAccess: undefined, setAside: undefined },
}

/** Throws ConstraintError where a row that cannot wait for them needs one of these. Gives those that were in their tables. */
export function* purge(leaving: ReadonlyMap<Exchange, readonly Leaving[]>): Transaction<Set<RowState>> {
  const [any] = leaving.keys()
  const purged = new Set<RowState>()
  if (!any) return purged
  const { log } = any
  const found = new Purge()
  const roots: Dependent[] = []
  for (const [exchange, some] of leaving) {
    const { collection } = exchange
    // a row that it needs may have left before, and it waits for that
    const states = yield* readRowStates(
      exchange,
      some.map(({ state }) => state.id),
    )
    for (const { state: before } of some) {
      const state = states.get(before.id) as RowState
      found.add(collection, state)
      if (isUnpushed(exchange, state)) found.keepApart(exchange, state, baseOf(exchange.server, state))
      if (state.version.value !== null) purged.add(before)
      roots.push({ collection, id: state.id })
    }
    yield* forgetStaying(
      log.database,
      yield* serversOf(collection),
      some.map(({ state }) => state.id),
    )
  }
  for (const [collection, ids] of yield* readNeedy(log.database, roots)) yield* park(found, any, collection, ids)
  yield* store(log, found)
  return purged
}

/** Takes rows out that wait for others which are not seen, with what needs them. Throws ConstraintError where a row that cannot wait needs one of them. */
export function* parkRows(exchange: Exchange, ids: readonly string[]): Transaction<void> {
  const { log, collection } = exchange
  const found = new Purge()
  yield* park(found, exchange, collection, ids)
  const roots = ids.map(id => ({ collection, id }))
  for (const [other, needy] of yield* readNeedy(log.database, roots)) yield* park(found, exchange, other, needy)
  yield* store(log, found)
}

/** Does a row hold something that the server lacks? */
function isUnpushed(exchange: Exchange, state: RowState): boolean {
  const { version, ignored } = state
  if (version.stamp === 0) return false
  if (ignored.some(property => (version.value?.[property] ?? null) !== null)) return true
  if (isClean(exchange, state)) return false
  const base = baseOf(exchange.server, state)
  return base === undefined || !isSameRow(version.value, base)
}

/** The rows that need one of these, by whatever way, and are none of them; whatever would become of them where that one were removed. */
function* readNeedy(database: Database, roots: readonly Dependent[]): Transaction<Map<Collection, string[]>> {
  const known = new Set(roots.map(nameOf))
  const needy = new Map<Collection, string[]>()
  const isNew = (row: Dependent) => !known.has(nameOf(row)) && known.add(nameOf(row)).size > 0
  for (let level: readonly Dependent[] = roots; level.length; ) {
    const { removed, cleared, blocked } = yield* readDependentsOf(database, level, { takesAll: true })
    if (blocked.length) throw new ConstraintError('foreign-key', undefined)
    const next = cleared.filter(isNew) // what hangs on the others was read with them
    for (const { collection, id } of [...removed.filter(isNew), ...next]) addTo(needy, collection, id)
    level = next
  }
  return needy
}

/** They wait in the journal, each with what was changed here, for every server that shows it or lacks it as it is here. */
function* park(found: Purge, from: Exchange, collection: Collection, ids: readonly string[]): Transaction<void> {
  const exchanges = yield* readExchanges(from, collection)
  if (!exchanges.length) throw new ConstraintError('foreign-key', undefined)
  const views: View[] = []
  for (const exchange of exchanges)
    for (const state of (yield* readRowStates(exchange, ids)).values())
      views.push({ exchange, state, isApart: isUnpushed(exchange, state) })
  const apart = new Set(views.filter(view => view.isApart).map(({ state }) => state.id))
  for (const { exchange, state, isApart } of views) {
    if (exchange === exchanges[0]) found.add(collection, state)
    const base = baseOf(exchange.server, state)
    const theirs = lastHeardOf(exchange.server, state)
    if (isApart) found.keepApart(exchange, state, base)
    // what another server lacks is no edit for this one
    else if (theirs && apart.has(state.id)) found.keepApart(exchange, state, base)
    // what was made here is the server's no row: it comes back by itself
    if (theirs || (isApart && base === null)) found.wait(exchange, state, theirs ?? null)
    if (theirs && base !== undefined && exchanges.length > 1) found.keepBase(exchange, state, base)
  }
}

/** A row as one server knows it. */
interface View {
  readonly exchange: Exchange
  readonly state: RowState
  /** Does it hold something that this one lacks? */
  readonly isApart: boolean
}

function* store(log: Exchange['log'], { rows, apart, later, waiting, bases, ids }: Purge): Transaction<void> {
  const { database } = log
  for (const [collection, some] of ids) {
    const servers = yield* serversOf(collection)
    yield* forgetRows(database, collection, servers, some)
    yield* forgetExits(database, collection, some)
    yield* database.deleteRows(
      'sync_tombstone',
      ['collection', 'id'],
      some.map(id => [collection.name, id]),
    )
  }
  yield* purgeRows(log, rows)
  // those whose server this database is read everything anew: nothing says what went
  if (rows.some(({ old }) => old.value !== null)) yield* query('UPDATE sync_clock SET horizon = ?', (yield* database.clock()).now)
  for (const { collection, id, local } of later) yield* changeNoAccess(yield* serversOf(collection), id, local)
  yield* writeNoAccess(database, apart)
  for (const [exchange, some] of waiting) yield* writeUnapplied(exchange, some)
  for (const [{ collection, server }, some] of bases) yield* keepBases(database, collection, server, some, BEFORE_ALL)
}
