// Which rows of the collections somebody may see, as data: it is named by a hash, kept, and compiled to SQL (conditions.ts).

/** The name of an entity's own key in a filter, whatever its property is called. */
export const OWN_KEY = 'id'

/** AND: each of these properties has one of its values. Values are texts, as ids are. */
export type Filter = Readonly<Record<string, readonly string[]>>

/** OR: a row is seen that one of them fits. `all`: every row is. */
export type Keys = 'all' | readonly Filter[]

/** By the names of the collections. One that is not in it is not served. */
export type KeySet = Readonly<Record<string, Keys>>

/** The same filters written in one way, so that equal sets have equal names: those of one property are one, in order. */
export function normalizeKeys(filters: readonly Filter[]): Keys {
  const single = new Map<string, Set<string>>()
  const others = new Map<string, Filter>()
  for (const filter of filters) {
    const properties = Object.keys(filter).sort()
    const [property] = properties
    if (property === undefined) return 'all'
    if (properties.some(p => !filter[p]?.length)) continue
    if (properties.length === 1) single.set(property, new Set([...(single.get(property) ?? []), ...(filter[property] ?? [])]))
    else {
      const sorted = Object.fromEntries(properties.map(p => [p, [...new Set(filter[p])].sort()]))
      others.set(JSON.stringify(sorted), sorted)
    }
  }
  const singles = [...single].sort(([x], [y]) => (x < y ? -1 : 1)).map(([property, values]): Filter => ({ [property]: [...values].sort() }))
  return [...singles, ...[...others].sort(([x], [y]) => (x < y ? -1 : 1)).map(([, filter]) => filter)]
}

/** How many keys they are: a filter of two properties with 3 and 4 values is 12. */
export const countKeys = (keys: Keys) =>
  keys === 'all' ? 1 : keys.reduce((sum, filter) => sum + Object.values(filter).reduce((product, values) => product * values.length, 1), 0)

/** The filters with those values alone that the other keys lack: whatever fits `keys` and not `others` fits one of these. */
export function withoutKeys(keys: Keys, others: Keys): Keys {
  if (others === 'all') return []
  if (keys === 'all') return keys
  const known = new Map(others.flatMap(filter => (Object.keys(filter).length === 1 ? Object.entries(filter) : [])))
  return keys.flatMap(filter => {
    const [property, more] = Object.keys(filter)
    if (property === undefined || more !== undefined) return [filter]
    const there = new Set(known.get(property))
    const values = (filter[property] ?? []).filter(value => !there.has(value))
    return values.length ? [{ [property]: values }] : []
  })
}
