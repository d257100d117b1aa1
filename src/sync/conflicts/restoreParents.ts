// The parents of a row that is to stay here, where they were removed here.

import { keyOf } from '../../changes/collections/collection.js'
import { nameOf } from '../../changes/rows/dependents.js'
import { readVersions } from '../../changes/rows/rows.js'
import { baseOf, isInPush } from '../../changes/servers/agreement.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Resolved } from '../apply/candidates.js'
import { isNotSeen } from '../apply/defer.js'
import { restore } from '../apply/storeDecided.js'
import { type Exchange, readRowStates, siblingOf, type TransactionStamp } from '../exchange.js'

/**
 * To keep a child is to restore its parents, which were removed here. They are to be stored together with it, for rows may need each other.
 * Nothing is stored, and undefined comes back, where there is one to be had nowhere; `not-seen` where it may be at the server, and the user does not see it.
 */
export function* restoreParents(
  exchange: Exchange,
  id: string,
  value: WireRow,
  stamp: TransactionStamp,
  present?: ReadonlySet<string>,
): Transaction<readonly Resolved[] | 'not-seen' | undefined> {
  const missing = yield* findMissingParents(exchange, id, value, present)
  if (!missing || missing === 'not-seen') return missing
  const parents: Resolved[] = []
  for (const { there, state, remote } of [...missing].reverse()) {
    if (isInPush(there.server, state)) yield* restore(there, state, remote, stamp)
    else parents.push({ exchange: there, state, remote, value: remote })
  }
  return parents
}

/** A row that is to be stored, and those of its collection that are stored together with it. */
export const withParents = ({ collection }: Exchange, { id, version }: RowState, value: WireRow, parents: readonly Resolved[]) => [
  { id, local: version.value, value },
  ...parents.flatMap(({ exchange, state, value: parent }) =>
    exchange?.collection === collection && parent ? [{ id: state.id, local: state.version.value, value: parent }] : [],
  ),
]

/** The names of those rows which these need, and that are here: of many rows with the statements of one. */
export function* readPresentParents(
  exchange: Exchange,
  rows: readonly { readonly id: string; readonly value: WireRow | null }[],
): Transaction<ReadonlySet<string>> {
  const present = new Set<string>()
  for (const reference of exchange.collection.parents) {
    const there = reference.parent && siblingOf(exchange, reference.parent)
    const keys = rows.map(({ id, value }) => keyOf(reference, id, value)).filter(key => typeof key === 'string')
    if (!there || !reference.isByKey || !keys.length) continue
    for (const [id, { value }] of yield* readVersions(there.log.database, there.collection, [...new Set(keys)]))
      if (value) present.add(nameOf({ collection: there.collection, id }))
  }
  return present
}

interface Missing {
  readonly there: Exchange
  readonly state: RowState
  readonly remote: WireRow
}

/** The rows that a row needs, and those that these need, which are not here; or why they are not to be had, as `restoreParents` says it. */
export function* findMissingParents(
  exchange: Exchange,
  id: string,
  value: WireRow,
  present?: ReadonlySet<string>,
): Transaction<readonly Missing[] | 'not-seen' | undefined> {
  const missing: Missing[] = []
  const walked = new Set([nameOf({ collection: exchange.collection, id })])
  const rows = [{ from: exchange, at: id, row: value }]
  for (const { from, at, row } of rows) {
    for (const reference of from.collection.parents) {
      const { parent, isByKey } = reference
      const key = keyOf(reference, at, row)
      const there = parent && siblingOf(from, parent)
      if (!there || typeof key !== 'string' || !isByKey) continue
      const name = nameOf({ collection: parent, id: key })
      if (present?.has(name) || walked.has(name)) continue
      walked.add(name)
      const state = (yield* readRowStates(there, [key])).get(key) as RowState
      if (state.version.value !== null) continue
      const remote = state.unapplied ? state.unapplied.remote : baseOf(there.server, state)
      if (!remote) return isNotSeen(there, state) ? 'not-seen' : undefined
      missing.push({ there, state, remote })
      rows.push({ from: there, at: key, row: remote })
    }
  }
  return missing
}
