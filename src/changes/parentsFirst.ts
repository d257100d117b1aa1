/**
 * Items so that each comes after those of its parents that are among them; in a ring, which has no first, in the order given. Not by recursion, and
 * linear: a list may be as deep as it is long.
 */
export function parentsFirst<T>(items: readonly T[], parentsOf: (item: T) => Iterable<T | undefined>): T[] {
  const among = new Set(items)
  const children = new Map<T, T[]>()
  const missing = new Map<T, number>()
  for (const item of among) {
    let count = 0
    for (const parent of parentsOf(item)) {
      if (parent === undefined || !among.has(parent)) continue
      count++
      const group = children.get(parent)
      if (group) group.push(item)
      else children.set(parent, [item])
    }
    if (count) missing.set(item, count)
  }
  if (!missing.size) return [...among]
  const ordered = new Set(items.filter(item => !missing.has(item)))
  // a set that grows is walked to its end
  for (const item of ordered) {
    for (const child of children.get(item) ?? []) {
      const left = (missing.get(child) as number) - 1
      missing.set(child, left)
      if (left === 0) ordered.add(child)
    }
  }
  for (const item of among) ordered.add(item)
  return [...ordered]
}
