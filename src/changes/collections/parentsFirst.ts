/**
 * Items so that each comes after those of its parents that are among them, as far as there is no cycle. Not by recursion, and linear: a list may be
 * as deep as it is long.
 */
export function parentsFirst<T>(items: readonly T[], parentsOf: (item: T) => Iterable<T | undefined>): T[] {
  const among = new Set(items)
  const ordered = new Set<T>()
  const begun = new Set<T>()
  for (const root of items) {
    const path: { item: T; parents: Iterator<T | undefined> }[] = []
    const begin = (item: T | undefined) => {
      if (item === undefined || begun.has(item) || !among.has(item)) return
      begun.add(item)
      path.push({ item, parents: parentsOf(item)[Symbol.iterator]() })
    }
    begin(root)
    for (let last = path.at(-1); last; last = path.at(-1)) {
      const next = last.parents.next()
      if (!next.done) {
        begin(next.value)
        continue
      }
      ordered.add(last.item)
      path.pop()
    }
  }
  return [...ordered]
}
