// A row is there before other rows need it, and is removed when none needs it any more.

import type { WireRow } from '../../protocol/messages.js'
import { type Collection, keyAt, keyOf, type Reference } from '../collections/collection.js'
import type { Change } from './change.js'
import { type ChangeGraph, isSet } from './changeGraph.js'

/** Adds which rows have to be there before others need them, and which have to leave others before these are removed. */
export function addReference(graph: ChangeGraph, reference: Reference): void {
  const { child, parent } = reference
  if (!child || !parent || !graph.nodesOf.has(parent)) return
  const { coming, going } = keysOf(graph, parent, reference)
  if (!coming.size && !going.size) return
  const { changes, after, nodesOf, edges } = graph
  for (const i of nodesOf.get(child) ?? []) {
    const { id, old } = changes[i] as Change
    const [before, then] = [keyOf(reference, id, old.value), keyOf(reference, id, after[i] ?? null)]
    if (isSet(then) && (!isSet(before) || String(before) !== String(then))) {
      const from = coming.get(String(then))
      if (from !== undefined && from !== i) edges.push({ kind: 'needs', reference, from, to: i })
    }
    if (isSet(before) && (!isSet(then) || String(before) !== String(then))) {
      const to = going.get(String(before))
      // MariaDB does not remove a row that needs itself
      if (to !== undefined && (to !== i || after[i] === null)) edges.push({ kind: 'leaves', reference, from: i, to })
    }
  }
}

/** Which rows of the parent get a key that others may need, and which lose one. */
function keysOf({ changes, after, nodesOf }: ChangeGraph, parent: Collection, reference: Reference) {
  const referencedBy = (i: number, row: WireRow | null | undefined) => keyAt(reference, changes[i]?.id as string, row)
  const coming = new Map<string, number>()
  const going = new Map<string, number>()
  for (const i of nodesOf.get(parent) ?? []) {
    const [before, then] = [referencedBy(i, changes[i]?.old.value), referencedBy(i, after[i])]
    if (before === then) continue
    if (then !== undefined) coming.set(then, i)
    if (before !== undefined) going.set(before, i)
  }
  return { coming, going }
}
