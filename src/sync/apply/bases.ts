import { type Collection, keyOf, noneOf } from '../../changes/collections/collection.js'
import { readVersions } from '../../changes/rows/rows.js'
import { baseOf } from '../../changes/servers/agreement.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean } from '../exchange.js'
import { type Merge, merge } from './merge.js'
import type { ToDefer } from './unapplied.js'

export const isAutomatic = (collection: Collection) => (property: string) => collection.column.get(property)?.automatic !== undefined

/** Properties that are one value together: the key of another row. */
export const togetherIn = ({ parents }: Collection) => parents.map(r => r.properties).filter(properties => properties.length > 1)

/** Merges a row of a collection. Of a link that one side has removed, and neither is known to have seen the other, no one is asked, unless its relation has a handler: it is there. */
export function mergeIn(collection: Collection, base: WireRow | null | undefined, local: WireRow | null, remote: WireRow | null): Merge {
  const merged = merge(base, local, remote, isAutomatic(collection), togetherIn(collection))
  return collection.isLink && !collection.isAsked && merged.isContested
    ? { value: local ?? remote, properties: [], isContested: false }
    : merged
}

/**
 * What both sides know, with what follows from the removal of a parent: ON DELETE SET NULL is no edit, so it contests none.
 */
export function* readCommonBases(
  exchange: Exchange,
  rows: readonly Pick<ToDefer, 'state' | 'remote'>[],
): Transaction<(id: string) => WireRow | null | undefined> {
  const { log, collection, server } = exchange
  const isKnown = ({ state, remote }: Pick<ToDefer, 'state' | 'remote'>) => remote !== null || !isEditOfIgnored(exchange, state)
  const bases = new Map(rows.map(row => [row.state.id, isKnown(row) ? baseOf(server, row.state) : undefined]))
  for (const reference of collection.parents) {
    const { parent, properties, onDelete, isByKey } = reference
    if (onDelete !== 'SET NULL' || !parent || !isByKey) continue
    const cleared = new Map<string, string>()
    for (const { state, remote } of rows) {
      const key = keyOf(reference, state.id, bases.get(state.id))
      if (properties.every(p => remote?.[p] === null) && typeof key === 'string') cleared.set(state.id, key)
    }
    if (!cleared.size) continue
    const versions = yield* readVersions(log.database, parent, [...new Set(cleared.values())])
    for (const [id, key] of cleared) if (!versions.get(key)?.value) bases.set(id, { ...bases.get(id), ...noneOf(reference) })
  }
  return id => bases.get(id)
}

/**
 * A removal there removes values that were pushed and ignored as well, but no edit, and none that is contested: then both sides know no version
 * that has all of the row.
 */
const isEditOfIgnored = (exchange: Exchange, state: RowState) =>
  state.ignored.some(p => (state.version.value?.[p] ?? null) !== null) &&
  (state.unapplied?.reason === 'contested' || !isClean(exchange, state))
