// In which order changes are stored: a push or a page is one change, whatever order its rows come in. What is valid as a whole is stored as a
// whole: a unique value is released before another row gets it, a row is there before others need it, and is removed when none needs it any more. A
// cycle is broken by a row that changes twice.

import type { UniqueIndex } from '../../databases/database.js'
import type { Json, WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { type Broken, breakCycles } from './breakCycles.js'
import type { Change } from './change.js'
import { type Dependency, graphOf } from './changeGraph.js'
import { levelsOf } from './graph.js'
import type { Uniques } from './uniques.js'

export interface Operation {
  readonly kind: 'remove' | 'insert' | 'update'
  readonly change: Change
  readonly value: WireRow | null
}

/** A row that releases something before everything else. */
export interface Release {
  readonly change: Change
  /** It releases its place in each of these indexes. */
  readonly indexes: readonly UniqueIndex[]
  /** Foreign keys to rows that are removed. */
  readonly cleared: readonly string[]
}

export interface Plan {
  readonly releases: readonly Release[]
  /** Operations of one level do not depend on each other, but in their order where they are of one kind and collection. */
  readonly levels: readonly (readonly Operation[])[]
  /** Keys of rows that need each other, which are set last. */
  readonly late: readonly Operation[]
  /** Rows need each other by keys that may not be null: only a database that checks them in the end can store them. */
  readonly isDeferred: boolean
  /** How many unique values go from one row to another. */
  readonly exchanged: number
}

/** What some of these have to release, since others get it. */
export function releasesOf(changes: readonly Change[], uniques: Uniques, isReleasing: (change: Change) => boolean): Release[] {
  const indexes = new Map<Change, Set<UniqueIndex>>()
  for (const edge of graphOf(changes, uniques).edges) {
    const change = changes[edge.from]
    if (edge.kind === 'unique' && change && isReleasing(change)) indexes.set(change, (indexes.get(change) ?? new Set()).add(edge.index))
  }
  return [...indexes].map(([change, own]) => ({ change, indexes: [...own], cleared: [] }))
}

/** Beyond so many statements one after the other, all rows release what others get, at once. */
const DEEP = 8

/**
 * Plans how changes are stored. Where unique values go from row to row, rows in a cycle release them first; with `releasesAll` every row does,
 * so that a chain of any length needs two statements.
 */
export function planChanges(changes: readonly Change[], uniques: Uniques, releasesAll = false): Plan {
  const { size, edges } = graphOf(changes, uniques)
  const exchanged = edges.filter(e => e.kind === 'unique').length
  if (!edges.length) return { releases: [], levels: [changes.map(operationOf)], late: [], isDeferred: false, exchanged }
  const broken = breakCycles(changes, size, edges, releasesAll)
  const operations = changes.map((change, i) => operationWithin(change, i, broken))
  return {
    releases: [...broken.releases].map(([i, { indexes, cleared }]) => ({
      change: changes[i] as Change,
      indexes: [...indexes],
      cleared: [...cleared],
    })),
    levels: inLevels(operations, size, broken.edges),
    late: [...broken.late].map(([i, properties]) => {
      const change = changes[i] as Change
      const value = Object.fromEntries([...properties].map(p => [p, change.value?.[p] ?? null]))
      return { kind: 'update', change, value }
    }),
    isDeferred: broken.isDeferred,
    exchanged,
  }
}

/** The operation of a change, but for what it does before or after all others. */
function operationWithin(change: Change, i: number, { releases, late }: Broken): Operation {
  const value = change.value && { ...change.value }
  const release = releases.get(i)
  if (value && change.old.value && release) {
    // what it released comes back, where it does not change
    const touched = [...release.cleared, ...[...release.indexes].flatMap(index => propertiesOf(change.collection, index))]
    for (const p of touched) if (!Object.hasOwn(value, p) && Object.hasOwn(change.old.value, p)) value[p] = change.old.value[p] as Json
  }
  if (value) for (const p of late.get(i) ?? []) value[p] = null
  return { ...operationOf(change), value }
}

function inLevels(operations: readonly Operation[], size: number, edges: readonly Dependency[]): Operation[][] {
  // a database that checks each row stores those of one statement in their order
  const isTogether = ({ from, to, kind }: Dependency) => {
    const [x, y] = [operations[from], operations[to]]
    if (kind === 'unique' || x?.kind !== y?.kind || x?.kind === 'update') return false
    return x?.change.collection === y?.change.collection && sameProperties(x, y)
  }
  const { order, level } = levelsOf(size, edges, edge => (edge.to >= operations.length || isTogether(edge) ? 0 : 1))
  const levels: Operation[][] = []
  for (const node of order) {
    const operation = operations[node]
    if (!operation) continue
    const at = level[node] as number
    while (levels.length <= at) levels.push([])
    levels[at]?.push(operation)
  }
  return levels
}

export const isDeep = ({ levels }: Plan) => levels.length > DEEP

export const propertiesOf = (collection: Collection, { columns }: UniqueIndex) =>
  columns.flatMap(name => collection.columns.find(c => c.column === name)?.property ?? [])

function operationOf(change: Change): Operation {
  const { old, value } = change
  return { kind: value === null ? 'remove' : old.value === null ? 'insert' : 'update', change, value }
}

function sameProperties(x: Operation | undefined, y: Operation | undefined): boolean {
  if (!x?.value || !y?.value) return true
  const names = Object.keys(x.value)
  return names.length === Object.keys(y.value).length && names.every(p => Object.hasOwn(y.value as WireRow, p))
}
