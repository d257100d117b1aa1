import type { Collection } from './collection.js'

/** Items in groups, in their order. Linear. */
export function groupBy<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}

export const byCollection = <C extends { readonly collection: Collection }>(items: Iterable<C>) => groupBy(items, c => c.collection)
