// What is contested of a row, as a handler is asked about it and as the journal lists it.

import { type Collection, noneOf, type Reference } from '../../changes/collections/collection.js'
import { findOrphans } from '../../changes/rows/orphans.js'
import { isKeptApart, localOf } from '../../changes/servers/agreement.js'
import { isConflictReason, type RowState, type UnappliedReason } from '../../changes/servers/rowStates.js'
import { readUniqueProperties } from '../../changes/store/uniques.js'
import { equalValues } from '../../databases/columns.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { isAutomatic, readCommonBases, togetherIn } from '../apply/bases.js'
import { NO_FAMILY, readFamilies } from '../apply/families.js'
import { type Merge, merge } from '../apply/merge.js'
import { type Exchange, readRowStates } from '../exchange.js'
import { findClosing } from '../push/moves.js'

/** What the handler is shown: a decision counts only if it is still so (law 3). */
export interface Contested {
  readonly id: string
  readonly reason: UnappliedReason
  readonly local: WireRow | null
  readonly stamp: number
  readonly remote: WireRow | null
  readonly json: string | null
  readonly base: WireRow | null | undefined
  /**
   * Contested on whichever side they were changed: the properties of a relation to a parent that was removed here, or that would close a circle here; unique
   * ones of a row that is kept apart.
   */
  readonly lost?: readonly string[]
  /** The rows that a removal would remove with it, as they were. */
  readonly family: string
  readonly children: readonly { readonly entity: string; readonly id: string }[]
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
    const base = state.noAccess ? state.noAccess.base : basesOf(id)
    const { reason, remote } = unapplied
    const orphan = reason === 'parent-removed' && remote ? yield* findLostParent(exchange, state, remote) : undefined
    const lost = remote ? yield* findLost(exchange, state, reason, remote) : undefined
    contested.push({
      ...sidesOf(localOf(state), base, unapplied.remote, orphan),
      ...(lost && { lost }),
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

/** The properties that are contested whichever side has changed them: of a circle, or of our side that is kept apart and may have lost its unique value. */
function* findLost(
  exchange: Exchange,
  state: RowState,
  reason: UnappliedReason,
  remote: WireRow,
): Transaction<readonly string[] | undefined> {
  const isContested = reason === 'contested'
  if (isContested && isKeptApart(state)) return yield* readUniqueProperties(exchange.log.database, exchange.collection)
  if (!isContested && reason !== 'cycle') return
  return yield* findClosing(exchange, { id: state.id, local: state.version.value, value: remote }, isContested)
}

/** The relation by which a row needs one that was removed here. */
function* findLostParent({ log, collection }: Exchange, { id, version }: RowState, remote: WireRow): Transaction<Reference | undefined> {
  return (yield* findOrphans(log.database, collection, [{ id, value: remote, old: version }])).get(id)
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
    return { local: { ...remote, ...noneOf(orphan) }, base: null, lost: orphan.properties }
  return { local, base, ...(local && { lost: orphan.properties }) }
}

export const mergeOf = (collection: Collection, { base, local, remote, lost }: Contested) =>
  contestLost(merge(base, local, remote, isAutomatic(collection), togetherIn(collection)), local, remote, lost)

/** What is contested of a row. */
export const propertiesOf = (collection: Collection, contested: Contested) => mergeOf(collection, contested).properties

function contestLost(merged: Merge, local: WireRow | null, remote: WireRow | null, lost: readonly string[] = []): Merge {
  const differing = lost.filter(p => !equalValues(local?.[p], remote?.[p]))
  const more = (differing.length ? differing : lost).filter(p => !merged.properties.includes(p))
  if (!more.length || local === null || merged.value === null) return merged
  const ours = Object.fromEntries(more.map(p => [p, local[p] ?? null]))
  return { isContested: true, properties: [...merged.properties, ...more], value: { ...merged.value, ...ours } }
}

/** Both sides of a conflict, merged: of what is contested our side. Undefined where there is none, or of a row that the database does not accept as it is. */
export function* mergedSides(exchange: Exchange, { id, unapplied }: RowState): Transaction<WireRow | null | undefined> {
  if (!unapplied || !isConflictReason(unapplied.reason)) return
  const [contested] = yield* describeContested(exchange, new Set([id]), true)
  return contested && mergeOf(exchange.collection, contested).value
}
