// Stores what the application decides about a row in the journal.

import { type Collection, valuesOf } from '../../changes/collections/collection.js'
import { readDependents } from '../../changes/rows/dependents.js'
import { NEVER, readVersions, type Version } from '../../changes/rows/rows.js'
import { baseOf, isInPush, localOf } from '../../changes/servers/agreement.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Write } from '../../changes/store/change.js'
import { releaseFirst } from '../../changes/store/release.js'
import { storeVersions } from '../../changes/store/store.js'
import { query, quote, type Transaction } from '../../databases/database.js'
import { joinId, splitId } from '../../databases/values/compositeKeys.js'
import { ConstraintError, NotInJournalError, UnpushedChildrenError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Resolved } from '../apply/candidates.js'
import { removeDependents } from '../apply/removals.js'
import { applyDecided, restore } from '../apply/storeDecided.js'
import { type Exchange, readRowStates, TransactionStamp } from '../exchange.js'
import { discardMoves } from '../push/moves.js'
import { readUnpushed, writeUnpushed } from '../push/unpushed.js'
import { decideForLater } from './decideForLater.js'
import { writeResolutions } from './resolutions.js'
import { restoreParents, withParents } from './restoreParents.js'

export interface JournalOptions {
  /** With this server alone, where the entity has several. */
  readonly url?: string
  /**
   * Rows that were not pushed and that would be removed along, because they need the row that goes; where a new row is discarded that a push
   * carries, those too that the server has: UnpushedChildrenError unless this says `journal`. Then they go, each as a decision in the journal of its entity, which `undo` takes back.
   */
  readonly children?: 'journal'
}

export interface ResolveOptions extends JournalOptions {
  /**
   * The id of a row that means the same, such as the `holder` of a unique value: it goes, and the rows that need it need the decided one
   * instead.
   */
  readonly replaces?: string
}

/** Stores what was decided about a row; what it needs comes along, and what needs it goes. */
export function* storeDecision(
  exchange: Exchange,
  state: RowState,
  remote: WireRow | null,
  value: WireRow | null,
  { children, replaces }: ResolveOptions = {},
): Transaction<void> {
  const { log, collection, server } = exchange
  const { id } = state
  const stamp = new TransactionStamp(exchange)
  const base = baseOf(server, state)
  const sides = { base: state.noAccess ? state.noAccess.base : base, local: localOf(state) }
  const resolution = { collection, id, url: server.url, ...sides, remote, decision: value }
  let parents: readonly Resolved[] = []
  if (value !== null) {
    const found = yield* restoreParents(exchange, id, value, stamp)
    if (found === 'not-seen') {
      if (replaces === undefined && (yield* decideForLater(exchange, { state, remote, value }, stamp)))
        return yield* writeResolutions(log.database, [resolution])
    } else parents = found ?? []
    yield* discardMoves(exchange, withParents(exchange, state, value, parents), stamp)
  } else {
    // a new row of ours: what the server has below it says that it has one as well, which was not read yet
    const isGivenUp = remote === null && (isInPush(server, state) || (!state.unapplied && !base))
    yield* removeFamily(exchange, state, { isOurs: remote !== null || isGivenUp, isGivenUp, children }, stamp)
  }
  const replaced = replaces === undefined ? undefined : yield* release(exchange, replaces)
  if (value === remote && isInPush(server, state)) {
    yield* applyDecided(exchange, parents, stamp)
    yield* restore(exchange, state, remote, stamp)
  } else yield* applyDecided(exchange, [...parents, { state, remote, value }], stamp)
  if (replaced) yield* replace(exchange, replaced, id, children, stamp)
  yield* writeResolutions(log.database, [resolution])
}

/**
 * Removes what needs a removed row, those too that forbid the removal where it was decided. `isOurs`: the server has not removed
 * it, so that what goes along is a local change as well. What was not pushed goes where the caller says so, and is kept in the journal. `isGivenUp`:
 * the row is not to be removed at the server, only our change reverted; so what the server has below it goes in that way too.
 */
export function* removeFamily(
  exchange: Exchange,
  { id, version, unapplied }: RowState,
  { isOurs, isGivenUp, children }: { isOurs: boolean; isGivenUp?: boolean; children: JournalOptions['children'] },
  stamp: TransactionStamp,
): Transaction<void> {
  const { log, collection, server } = exchange
  if (version.value === null) return
  const takesAll = unapplied !== undefined || children === 'journal'
  const dependents = yield* readDependents(log.database, collection, [id], { takesAll })
  if (dependents.blocked.length) throw new ConstraintError('foreign-key', undefined)
  const unpushed = yield* readUnpushed(exchange, [...dependents.removed, ...dependents.forbidding], isGivenUp)
  if (children !== 'journal') {
    const lost = new Map(
      unpushed.map(({ collection: there, state }) => [`${there.name} ${state.id}`, { entity: there.entity, id: state.id }]),
    )
    for (const row of dependents.forbidding) lost.set(`${row.collection.name} ${row.id}`, { entity: row.collection.entity, id: row.id })
    if (lost.size) rejectUnpushedChildren(collection, id, [...lost.values()])
  }
  yield* writeUnpushed(log.database, unpushed, server.url)
  yield* removeDependents(isOurs ? { ...exchange, siblings: new Map() } : exchange, [id], dependents, stamp)
}

function rejectUnpushedChildren({ entity }: Collection, id: string, children: readonly { entity: string; id: string }[]): never {
  const some = children.slice(0, 3).map(c => `${c.entity} ${c.id}`)
  if (children.length > some.length) some.push('…')
  throw new UnpushedChildrenError(
    `${entity} ${id} cannot be removed here: ${children.length} ${children.length === 1 ? 'row needs' : 'rows need'} it and would go too ` +
      `(${some.join(', ')}). Sync or move them first, or say { children: 'journal' }: then the journals of their entities bring them back.`,
    children,
    { entity },
  )
}

/** Lets a row that is about to go let go of its unique values, while the rows that need it are still there. */
function* release(exchange: Exchange, id: string): Transaction<RowState> {
  const { log, collection } = exchange
  const state = (yield* readRowStates(exchange, [id])).get(id) as RowState
  const { value } = state.version
  if (value === null) throw new NotInJournalError(`There is no ${collection.entity} ${id} to be replaced.`, { entity: collection.entity })
  const change = { collection, id, old: state.version, value: null, stamp: state.version.stamp }
  yield* releaseFirst(log, [{ change, indexes: yield* log.database.uniqueIndexes(collection.table), cleared: [] }], [change])
  return state
}

/**
 * Moves the rows that need one to another one, and removes it: all of that is a local change, and the journal can bring the row back. A row whose own
 * key is that of the row which goes cannot be moved; one that has it as a part is made anew.
 */
function* replace(
  exchange: Exchange,
  replaced: RowState,
  by: string,
  children: JournalOptions['children'],
  stamp: TransactionStamp,
): Transaction<void> {
  const { log, collection, server } = exchange
  const { database } = log
  const { id, version } = replaced
  for (const reference of collection.children) {
    const { child, childTable, childColumns, isOwnKey, isKeyPart } = reference
    if (!reference.isByKey || isOwnKey) continue
    const columns = childColumns.map(quote)
    const partsOf = (key: string) => (columns.length < 2 ? [key] : (splitId(key, columns.length) ?? []))
    if (!child) {
      yield* query(
        `UPDATE ${quote(childTable)} SET ${columns.map(c => `${c} = ?`).join(', ')} WHERE ${columns.map(c => `${c} = ?`).join(' AND ')}`,
        ...[...partsOf(by), ...partsOf(id)],
      )
      continue
    }
    const rows = yield* query(
      `SELECT ${database.id(child.table, 'x')} AS id FROM ${quote(childTable)} x WHERE ${columns.map(c => `x.${c} = ?`).join(' AND ')}`,
      ...partsOf(id),
    )
    const versions = yield* readVersions(
      database,
      child,
      rows.map(row => String(row.id)),
    )
    const writes = isKeyPart
      ? yield* remake(exchange, child, versions, valuesOf(reference, by))
      : [...versions].map(([row, old]) => ({ id: row, old, value: valuesOf(reference, by) }))
    if (writes.length) yield* storeVersions(log, child, writes, yield* database.tick())
  }
  const old = (yield* readVersions(database, collection, [id])).get(id) ?? version
  yield* removeFamily(exchange, { ...replaced, version: old }, { isOurs: true, children }, stamp)
  yield* storeVersions(log, collection, [{ id, old, value: null }], yield* database.tick())
  const sides = { base: baseOf(server, replaced), local: version.value, remote: null }
  yield* writeResolutions(database, [{ collection, id, url: server.url, ...sides, decision: null }])
}

/** Rows under other keys, where there are none yet, instead of these. */
function* remake({ log }: Exchange, collection: Collection, versions: ReadonlyMap<string, Version>, key: WireRow): Transaction<Write[]> {
  const made = new Map<string, WireRow>()
  for (const { value } of versions.values()) {
    if (!value) continue
    const row = { ...value, ...key }
    made.set(joinId(collection.keyParts.map(({ property }) => String(row[property]))), row)
  }
  const there = yield* readVersions(log.database, collection, [...made.keys()])
  const added = [...made].map(([id, value]) => ({ id, old: there.get(id) ?? NEVER, value })).filter(({ old }) => old.value === null)
  return [...added, ...[...versions].map(([id, old]) => ({ id, old, value: null }))]
}
