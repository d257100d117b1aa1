// Changes that can only be stored together.

import type { Change } from './change.js'
import { graphOf } from './changeGraph.js'
import { componentsOf } from './graph.js'
import type { Uniques } from './uniques.js'

/** Changes that can only be stored together. */
export interface Unit<C> {
  readonly changes: readonly C[]
  /** Units that it may depend on. */
  readonly needs: ReadonlySet<Unit<C>>
}

/** Units, those first that others may depend on; between some stand others without a change. Linear. */
export function unitsOf<C extends Change>(changes: readonly C[], uniques: Uniques): Unit<C>[] {
  const { size, edges } = graphOf(changes, uniques)
  const unitOf: Unit<C>[] = []
  const units = componentsOf(size, edges).map(component => {
    const unit = { changes: component.flatMap(i => changes[i] ?? []), needs: new Set<Unit<C>>() }
    for (const i of component) unitOf[i] = unit
    return unit
  })
  for (const { from, to } of edges) {
    const [needed, unit] = [unitOf[from], unitOf[to]]
    if (needed && unit && needed !== unit) (unit.needs as Set<Unit<C>>).add(needed)
  }
  return units
}
