// The rows that the removals of others would remove with them, as they are: of many removals with the statements of one.

import type { Reference } from '../../changes/collections/collection.js'
import { type Dependent, nameOf, readDependents } from '../../changes/rows/dependents.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import { type Exchange, isClean, siblingOf } from '../exchange.js'
import { readUnpushedElsewhere } from '../push/unpushed.js'
import { readStatesOf } from './removals.js'

export interface Family {
  /** The rows and their stamps, to compare. */
  readonly family: string
  /** Those that were changed here. */
  readonly children: readonly { readonly entity: string; readonly id: string }[]
}

export const NO_FAMILY: Family = { family: '', children: [] }

interface Child {
  readonly row: Dependent
  readonly onDelete: Reference['onDelete']
}

/** Reads the families of rows that are here, by id: of each as if it alone were removed. Those that have none are absent. */
export function* readFamilies(exchange: Exchange, states: readonly RowState[]): Transaction<Map<string, Family>> {
  const { log, collection } = exchange
  const families = new Map<string, Family>()
  const ids = states.filter(state => state.version.value !== null).map(state => state.id)
  if (!ids.length || !collection.children.length) return families
  const childrenOf = new Map<string, Child[]>()
  const all = new Map<string, Dependent>()
  const found = (row: Dependent, parent: Dependent, onDelete: Reference['onDelete']) => {
    if (row.collection.isLink) return
    all.set(nameOf(row), row)
    const children = childrenOf.get(nameOf(parent))
    if (children) children.push({ row, onDelete })
    else childrenOf.set(nameOf(parent), [{ row, onDelete }])
  }
  yield* readDependents(log.database, collection, ids, { found })
  if (!all.size) return families
  const stateOf = yield* readStatesOf(exchange, [...all.values()])
  const elsewhere = yield* readUnpushedElsewhere(exchange, [...all.values()])
  for (const id of ids) {
    const family: string[] = []
    const children: { entity: string; id: string }[] = []
    for (const { row, isCleared } of below({ collection, id }, childrenOf)) {
      const there = siblingOf(exchange, row.collection)
      const state = stateOf(row)
      family.push(`${row.collection.name} ${row.id} ${state.version.stamp}`)
      if (there ? !isClean(there, state) : !isCleared && elsewhere.has(nameOf(row)))
        children.push({ entity: row.collection.entity, id: row.id })
    }
    if (family.length) families.set(id, { family: family.sort().join('\n'), children })
  }
  return families
}

/** What hangs on a row: a cascade goes on below, anything else ends there. */
function below(root: Dependent, childrenOf: ReadonlyMap<string, readonly Child[]>): Iterable<{ row: Dependent; isCleared: boolean }> {
  const reached = new Map<string, { row: Dependent; isCleared: boolean }>()
  const walked = new Set([nameOf(root)])
  for (const name of walked) {
    for (const { row, onDelete } of childrenOf.get(name) ?? []) {
      const child = nameOf(row)
      if (child === nameOf(root)) continue
      const isCleared = onDelete === 'SET NULL' && (reached.get(child)?.isCleared ?? true)
      reached.set(child, { row, isCleared })
      if (onDelete === 'CASCADE') walked.add(child)
    }
  }
  return reached.values()
}
