// Asks the application about what is contested, outside any step, and stores what it decides.

import { baseOf, isInPush } from '../../changes/agreement.js'
import { type Collection, keyOf, type Reference } from '../../changes/collection.js'
import { readDependents } from '../../changes/dependents.js'
import { holdOne } from '../../changes/held.js'
import type { RowState, UnappliedReason } from '../../changes/rowStates.js'
import { findOrphans } from '../../changes/store.js'
import { savepoint, type Transaction } from '../../databases/database.js'
import { ConflictHandlerError, ConstraintError, ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Applied, applyDecided, isAutomatic, type Resolved, readCommonBases, restore } from '../apply/apply.js'
import { NO_FAMILY, readFamilies } from '../apply/families.js'
import { type Merge, merge } from '../apply/merge.js'
import { readEarly, removeDependents } from '../apply/removals.js'
import { readUnappliedChildren } from '../apply/unapplied.js'
import { differences, fromEntity, toEntity } from '../entities.js'
import { type Exchange, readRowStates, siblingOf, TransactionStamp } from '../exchange.js'
import { applyUnapplied } from '../pull/pull.js'
import { discardMoves, findCircle } from '../push/moves.js'
import { readUnpushed, writeUnpushed } from '../push/unpushed.js'
import { type Session, transaction } from '../session.js'
import { type Conflict, type ConflictHandler, type ConflictUpdate, UPDATE_DATE } from './handlers.js'
import { writeResolution } from './resolutions.js'

/** What the handler is shown: a decision counts only if it is still so (law 3). */
export interface Contested {
  readonly id: string
  readonly reason: UnappliedReason
  readonly local: WireRow | null
  readonly stamp: number
  readonly remote: WireRow | null
  readonly json: string | null
  readonly base: WireRow | null | undefined
  /** The relation to a parent that was removed here, or that would close a circle here; contested whoever changed it. */
  readonly lost?: string
  /** The rows that a removal would take along, as they were. */
  readonly family: string
  readonly children: readonly { readonly entity: string; readonly id: string }[]
}

export interface Decision {
  readonly contested: Contested
  /** null: the row is to be removed. */
  readonly value: WireRow | null
}

export async function resolveConflicts(session: Session): Promise<void> {
  const { members, report } = session
  const found = await transaction(session, function* (exchanges) {
    const [any] = exchanges
    if (!any || exchanges.some(({ server }) => server.pulling)) return [] // half a pull is half the picture
    const parts = yield* applyUnapplied(any, new TransactionStamp(any))
    const found: { collection: Collection; taken: Applied; contested: Contested[] }[] = []
    for (const { exchange, taken } of parts) {
      const isOurs = exchanges.some(each => each.collection === exchange.collection)
      const contested = isOurs ? yield* describeContested(exchange, taken.contested) : []
      found.push({ collection: exchange.collection, taken, contested })
    }
    return found
  })
  for (const { collection, taken } of found) {
    report.of(collection).pulled += taken.stored
    report.of(collection).merged += taken.merged
  }
  for (const { collection, contested } of found) {
    const handler = members.find(m => m.collection === collection)?.handler
    if (contested.length && handler) await resolveWith(session, collection, handler, contested)
  }
}

async function resolveWith(
  session: Session,
  collection: Collection,
  handler: ConflictHandler,
  contested: readonly Contested[],
): Promise<void> {
  const { report } = session
  report.of(collection).conflicts += contested.length
  report.emit('conflicts')
  const resolved = await ask(session, collection, handler, contested)
  await transaction(session, function* (exchanges) {
    const exchange = exchanges.find(each => each.collection === collection)
    if (!exchange) return
    const stamp = new TransactionStamp(exchange)
    if (resolved.length) yield* stamp.take()
    const left: Decision[] = []
    const { url } = exchange.server
    for (const decision of childrenFirst(exchange, resolved))
      if (!(yield* applyDecisions(exchange, [decision], url, stamp))) left.push(decision)
    yield* applyTogether(exchange, left, url, stamp)
  })
  report.emit('conflicts')
}

/** `isListed`: children are read of removals alone, for no decision is compared with them. */
export function* describeContested(exchange: Exchange, ids: ReadonlySet<string>, isListed = false): Transaction<Contested[]> {
  const contested: Contested[] = []
  const states = [...(yield* readRowStates(exchange, [...ids])).values()].filter(state => state.unapplied)
  const families = yield* readFamilies(exchange, isListed ? states.filter(state => !state.unapplied?.remote) : states)
  const basesOf = yield* readCommonBases(
    exchange,
    states.map(state => ({ state, remote: state.unapplied?.remote ?? null })),
  )
  for (const state of states) {
    const { id, version, unapplied } = state
    if (!unapplied) continue
    const { family, children } = families.get(id) ?? NO_FAMILY
    const base = basesOf(id)
    const { reason, remote } = unapplied
    const orphan = reason === 'parent-removed' && remote ? yield* findLostParent(exchange, state, remote) : undefined
    const circle = reason === 'cycle' && remote ? yield* findCircle(exchange, id, remote) : undefined
    contested.push({
      ...sidesOf(version.value, base, unapplied.remote, orphan),
      ...(circle && { lost: circle.tree.property }),
      id,
      reason,
      stamp: version.stamp,
      remote: unapplied.remote,
      json: unapplied.json,
      family,
      children,
    })
  }
  return contested
}

/** The relation by which a row needs one that was removed here. */
function* findLostParent({ log, collection }: Exchange, { id, version }: RowState, remote: WireRow): Transaction<Reference | undefined> {
  const property = (yield* findOrphans(log.database, collection, [{ id, value: remote, old: version }])).get(id)
  return collection.parents.find(r => r.property === property)
}

// A row that needs one that was removed here: our side is the row without that parent, or, where it cannot be without, none.
function sidesOf(
  local: WireRow | null,
  base: WireRow | null | undefined,
  remote: WireRow | null,
  orphan: Reference | undefined,
): Pick<Contested, 'local' | 'base' | 'lost'> {
  if (!orphan || !remote) return { local, base }
  if (local === null && orphan.onDelete === 'SET NULL')
    return { local: { ...remote, [orphan.property]: null }, base: null, lost: orphan.property }
  return { local, base, ...(local && { lost: orphan.property }) }
}

// ---------------------------------------------------------------- the handler

async function ask(
  session: Session,
  collection: Collection,
  handler: ConflictHandler,
  contested: readonly Contested[],
): Promise<Decision[]> {
  const { signal, handlerTimeout } = session
  const { entity } = collection
  const questions = contested.map(c => question(collection, c))
  const updates: ConflictUpdate[] = []
  try {
    await answered(
      handler,
      questions.map(q => q.conflict),
      updates,
      handlerTimeout,
      signal,
    )
    return await hold(
      session,
      collection,
      questions.flatMap(q => q.resolve(updates)),
    )
  } catch (error) {
    if (signal?.aborted || error instanceof ConflictHandlerError) throw error
    const why = error instanceof ValueError ? `decided a value that cannot be stored: ${error.message}` : `threw: ${String(error)}`
    throw new ConflictHandlerError(`The conflict handler of ${entity} ${why}. The conflicts wait, and the next sync brings them again.`, {
      entity,
      cause: error,
    })
  }
}

/** The decisions in the database's own spelling, where it has one. Throws ValueError. */
async function hold(session: Session, collection: Collection, resolved: readonly Decision[]): Promise<Decision[]> {
  if (!collection.columns.some(c => c.isSpelledThere)) return [...resolved]
  return await transaction(session, function* () {
    const held: Decision[] = []
    for (const { contested, value } of resolved)
      held.push({ contested, value: value && (yield* holdOne(session.log.database, collection, value)) })
    return held
  })
}

function answered(
  handler: ConflictHandler,
  conflicts: Conflict[],
  updates: ConflictUpdate[],
  timeout: number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const abort = () => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(
            () =>
              reject(
                new ConflictHandlerError(
                  `The conflict handler gave no answer in ${timeout} ms. The conflicts wait, and the next sync brings them again.`,
                ),
              ),
            timeout,
          )
    const end = (applyDecision: () => void) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      applyDecision()
    }
    try {
      const result = handler(conflicts, updates, () => end(resolve))
      if (isPromise(result))
        result.then(
          () => end(resolve),
          error => end(() => reject(error)),
        )
      else if (handler.length < 3) end(resolve)
    } catch (error) {
      end(() => reject(error))
    }
  })
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function'

function question(collection: Collection, contested: Contested): { conflict: Conflict; resolve(updates: ConflictUpdate[]): Decision[] } {
  const { id, reason, local, remote, base, children } = contested
  const merged = mergeOf(collection, contested)
  const entityOf = (row: WireRow | null) => row && toEntity(collection, id, row)
  const localEntity = entityOf(local)
  const shown = localEntity && fromEntity(collection, localEntity)
  let isRemote = false
  const conflict: Conflict & { [UPDATE_DATE]?: string } = {
    entity: collection.entity,
    id,
    local: localEntity,
    remote: entityOf(remote),
    base: base && toEntity(collection, id, base),
    properties: merged.properties,
    reason,
    children,
    takeRemote: () => {
      isRemote = true
    },
    [UPDATE_DATE]: collection.columns.find(c => c.automatic === 'updated')?.property,
  }
  return {
    conflict,
    resolve(updates) {
      const update = updates.findLast(u => u.id === id || (u as Record<string, unknown>)[collection.keyProperty] === id)
      if (isRemote) return [{ contested, value: remote }]
      if (update?._removed) return [{ contested, value: null }]
      const assigned = localEntity && shown ? differences(shown, fromEntity(collection, localEntity)) : {}
      const isResolved = merged.properties.length > 0 && merged.properties.every(p => Object.hasOwn(assigned, p))
      if (!update && !isResolved) return []
      const start = local === null ? remote : remote === null ? local : merged.value
      return [{ contested, value: { ...start, ...assigned, ...(update && fromEntity(collection, update)) } }]
    },
  }
}

const mergeOf = (collection: Collection, { base, local, remote, lost }: Contested) =>
  contestLost(merge(base, local, remote, isAutomatic(collection)), local, lost)

/** What is contested of a row. */
export const propertiesOf = (collection: Collection, contested: Contested) => mergeOf(collection, contested).properties

function contestLost(merged: Merge, local: WireRow | null, lost: string | undefined): Merge {
  if (lost === undefined || local === null || merged.value === null || merged.properties.includes(lost)) return merged
  return { isContested: true, properties: [...merged.properties, lost], value: { ...merged.value, [lost]: local[lost] ?? null } }
}

// ---------------------------------------------------------------- what was decided

function childrenFirst({ collection }: Exchange, resolved: readonly Decision[]): Decision[] {
  const own = collection.parents.filter(r => r.parent === collection)
  if (!own.length) return [...resolved]
  const byId = new Map(resolved.map(d => [d.contested.id, d]))
  const parentsOf = ({ contested, value }: Decision) =>
    own.flatMap(r => byId.get(String((value ?? contested.local ?? contested.remote)?.[r.property])) ?? [])
  // parents before children, reversed; rows that need each other come in any order
  const ordered = new Set<Decision>()
  const entered = new Set<Decision>()
  for (const decision of resolved) {
    for (let path = [decision]; path.length; ) {
      const last = path.at(-1) as Decision
      const parents = entered.has(last) ? [] : parentsOf(last).filter(parent => !entered.has(parent))
      entered.add(last)
      if (parents.length) path.push(...parents)
      else ordered.add(path.pop() as Decision)
    }
  }
  return [...ordered].reverse()
}

/** Stores decisions together, or none of them: false where the database does not take them as they are. */
function* applyDecisions(exchange: Exchange, resolved: readonly Decision[], url: string, stamp: TransactionStamp): Transaction<boolean> {
  try {
    yield* savepoint(function* () {
      const ready: Decision[] = []
      const taken = new Map<string, Resolved>()
      for (const decision of resolved) {
        const parents = yield* prepareDecision(exchange, decision, url, stamp)
        if (!parents) continue
        ready.push(decision)
        for (const parent of parents) taken.set(nameOf(exchange, parent), parent)
      }
      // what one of them took along may be another
      const states = yield* readRowStates(
        exchange,
        ready.map(d => d.contested.id),
      )
      const stored = ready.filter(d => isStillContested(states.get(d.contested.id) as RowState, d.contested))
      for (const { contested, value } of stored) {
        const resolved = { state: states.get(contested.id) as RowState, remote: contested.remote, value }
        taken.set(nameOf(exchange, resolved), resolved)
      }
      yield* applyDecided(exchange, [...taken.values()], stamp)
      for (const { contested, value } of stored) {
        const { id, base, local, remote } = contested
        yield* writeResolution(exchange, url, { id, base, local, remote, decision: value })
      }
    })
    return true
  } catch (error) {
    if (!(error instanceof ConstraintError || error instanceof ValueError)) throw error
    return false
  }
}

/** Rows that exchange their unique values are taken together, or not at all; what is left waits, and is asked about again. */
function* applyTogether(exchange: Exchange, resolved: readonly Decision[], url: string, stamp: TransactionStamp): Transaction<void> {
  if (resolved.length < 2 || (yield* applyDecisions(exchange, resolved, url, stamp))) return
  const middle = resolved.length >> 1
  yield* applyTogether(exchange, resolved.slice(0, middle), url, stamp)
  yield* applyTogether(exchange, resolved.slice(middle), url, stamp)
}

const nameOf = (exchange: Exchange, resolved: Resolved) => `${(resolved.exchange ?? exchange).collection.name} ${resolved.state.id}`

const isStillContested = ({ version, unapplied }: RowState, contested: Contested) =>
  version.stamp === contested.stamp && unapplied !== undefined && unapplied.json === contested.json

/**
 * Stores what a decision takes along. Gives the parents that are to be stored together with its row; undefined, and nothing is stored, where it
 * does not count any more, or not yet.
 */
function* prepareDecision(
  exchange: Exchange,
  { contested, value }: Decision,
  url: string,
  stamp: TransactionStamp,
): Transaction<readonly Resolved[] | undefined> {
  const { id } = contested
  const state = (yield* readRowStates(exchange, [id])).get(id) as RowState
  if (!isStillContested(state, contested)) return // it moved: asked again later
  if (value !== null) {
    const parents = yield* takeParents(exchange, id, value, stamp)
    if (parents) yield* discardMoves(exchange, id, value)
    return parents
  }
  const { family } = (yield* readFamilies(exchange, [state])).get(id) ?? NO_FAMILY
  if (family !== contested.family) return // or its children did
  if ((yield* readUnappliedChildren(exchange, id)).length) return // nor does a removal stand while a child waits
  return state.version.value === null || (yield* takeChildren(exchange, contested, url, stamp)) ? [] : undefined
}

/**
 * Whoever takes the child takes its parents, which were removed here. They are to be stored together with it, for rows may need each other.
 * Undefined, and nothing is stored, where there is one to be had nowhere.
 */
export function* takeParents(
  exchange: Exchange,
  id: string,
  value: WireRow,
  stamp: TransactionStamp,
): Transaction<readonly Resolved[] | undefined> {
  const missing: { there: Exchange; state: RowState; remote: WireRow }[] = []
  const walked = new Set([`${exchange.collection.name} ${id}`])
  const rows = [{ from: exchange, at: id, row: value }]
  for (const { from, at, row } of rows) {
    for (const reference of from.collection.parents) {
      const { parent, parentColumn } = reference
      const key = keyOf(reference, at, row)
      const there = parent && siblingOf(from, parent)
      if (!there || typeof key !== 'string' || parentColumn !== parent.table.key || walked.has(`${parent.name} ${key}`)) continue
      walked.add(`${parent.name} ${key}`)
      const state = (yield* readRowStates(there, [key])).get(key) as RowState
      if (state.version.value !== null) continue
      const remote = state.unapplied ? state.unapplied.remote : baseOf(there.server, state)
      if (!remote) return
      missing.push({ there, state, remote })
      rows.push({ from: there, at: key, row: remote })
    }
  }
  const parents: Resolved[] = []
  for (const { there, state, remote } of missing.reverse()) {
    if (isInPush(there.server, state)) yield* restore(there, state, remote, stamp)
    else parents.push({ exchange: there, state, remote, value: remote })
  }
  return parents
}

/**
 * A removal that was decided takes its children along; those with news of their own can be read, and brought back, in the journal.
 * False where it is too early for that.
 */
function* takeChildren(exchange: Exchange, { id, remote }: Contested, url: string, stamp: TransactionStamp): Transaction<boolean> {
  // where ON DELETE forbids it the children that were shown go as well, or the decision could never be stored
  const dependents = yield* readDependents(exchange.log.database, exchange.collection, [id], { takesAll: true })
  if (dependents.blocked.length) throw new ConstraintError('foreign-key', undefined)
  if (remote === null && (yield* readEarly(exchange, dependents.removed)).length) return false
  yield* writeUnpushed(yield* readUnpushed(exchange, dependents.removed), url)
  // where the removal is our own decision it is a local change, and so is what goes along
  const from = remote === null ? exchange : { ...exchange, siblings: new Map() }
  yield* removeDependents(from, [id], dependents, stamp)
  return true
}
