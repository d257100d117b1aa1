// Changes that depend on each other in a ring are stored nevertheless: some rows change twice, or the database checks foreign keys in the end.

import type { UniqueIndex } from '../../databases/database.js'
import type { Change } from './change.js'
import type { Dependency } from './changeGraph.js'
import { cyclesOf } from './graph.js'

export interface Broken {
  /** What rows release before everything else. */
  readonly releases: Map<number, { readonly indexes: Set<UniqueIndex>; readonly cleared: Set<string> }>
  /** Keys that are set after everything else. */
  readonly late: Map<number, Set<string>>
  /** Foreign keys are checked in the end. */
  readonly isDeferred: boolean
  /** The dependencies that are left. They have no cycle. */
  readonly edges: readonly Dependency[]
}

/** Breaks the cycles of dependencies; with `releasesAll` no unique value is waited for, be it in a cycle or not. */
export function breakCycles(changes: readonly Change[], size: number, all: readonly Dependency[], releasesAll: boolean): Broken {
  const releases: Broken['releases'] = new Map()
  const releaseOf = (i: number) => {
    const found = releases.get(i) ?? { indexes: new Set(), cleared: new Set() }
    releases.set(i, found)
    return found
  }
  const late: Broken['late'] = new Map()

  // unique values first: what a row releases is free for all others
  let { isWithin } = cyclesOf(size, all)
  let edges = all.filter(edge => {
    if (edge.kind !== 'unique' || !(releasesAll || isWithin(edge))) return true
    if (edge.from < changes.length) releaseOf(edge.from).indexes.add(edge.index)
    return false
  })
  if (!all.some(isWithin)) return { releases, late, isDeferred: false, edges }
  // then keys that may be null
  isWithin = cyclesOf(size, edges).isWithin
  edges = edges.filter(edge => {
    if (edge.kind === 'unique' || !isWithin(edge)) return true
    const row = edge.kind === 'needs' ? edge.to : edge.from
    const { nullable } = edge.reference
    if (edge.kind === 'leaves') for (const property of nullable) releaseOf(row).cleared.add(property)
    else for (const property of nullable) late.set(row, (late.get(row) ?? new Set()).add(property))
    return !nullable.length
  })
  isWithin = cyclesOf(size, edges).isWithin
  const left = edges.filter(edge => !isWithin(edge))
  return { releases, late, isDeferred: left.length < edges.length, edges: left }
}
