// A posted move that closes a circle with rows which its sender has not seen, as when two devices move two folders into each other.

import type { Collection } from '../src/changes/collections/collection.js'
import { findCycles, treesOf } from '../src/changes/rows/cycles.js'
import { readLastChange } from '../src/changes/rows/lastChanges.js'
import { readVersions, type Version } from '../src/changes/rows/rows.js'
import type { Write } from '../src/changes/store/change.js'
import type { Database, Transaction } from '../src/databases/database.js'

/** The rows of such circles that changed after `since`: the move is contested, as it would be had the sender seen them. */
export function* readUnseenCircle(
  database: Database,
  collection: Collection,
  writes: readonly Write[],
  since: number,
): Transaction<Map<string, Version>> {
  const unseen = new Map<string, Version>()
  const trees = treesOf(collection)
  if (!trees.length || (yield* readLastChange(collection)) <= since) return unseen
  const posted = new Set(writes.map(w => w.id))
  for (const tree of trees) {
    const { property } = tree
    const placed = writes.filter(w => w.value && Object.hasOwn(w.value, property))
    const moved = placed.filter(w => w.old.value && w.value?.[property] !== null && w.value?.[property] !== w.old.value[property])
    if (!moved.length) continue
    const after = new Map(placed.map(w => [w.id, w.value?.[property]]))
    const ids = moved.map(w => w.id)
    const circles = yield* findCycles(database, collection, tree, ids, after)
    const others = circles.flat().filter(id => !posted.has(id))
    for (const [id, version] of yield* readVersions(database, collection, others)) if (version.stamp > since) unseen.set(id, version)
  }
  return unseen
}
