// The order in which rows of one table are inserted that refer to each other.

import type { SelfReference } from './knownTables.js'

type List = readonly unknown[]

/** A row that is inserted without its parent, and gets it afterwards. */
interface Later {
  readonly reference: SelfReference
  readonly row: List
}

/** Rows with their parents first. Of those that refer to each other in a circle one is `later`, and has null for its parent until then. */
export function parentsFirst(
  rows: readonly List[],
  columns: readonly string[],
  references: readonly SelfReference[],
): { readonly ordered: readonly List[]; readonly later: readonly Later[] } {
  const own = references.flatMap(reference => {
    const [from, to] = [reference.child, reference.parent].map(names => names.map(name => columns.indexOf(name))) as [number[], number[]]
    return [...from, ...to].includes(-1) ? [] : [{ reference, from, byValue: new Map(rows.map(row => [keyIn(row, to), row])) }]
  })
  if (!own.length) return { ordered: rows, later: [] }
  type Own = (typeof own)[number]
  const parentOf = (row: List, { from, byValue }: Own) => (from.some(i => row[i] === null) ? undefined : byValue.get(keyIn(row, from)))

  const inserted = new Set<List>()
  const later: Later[] = []
  const ordered = order(rows, row => own.map(each => parentOf(row, each))).map(row => {
    const missing = own.filter(each => {
      if (!each.reference.nullable.length) return false
      const parent = parentOf(row, each)
      return parent !== undefined && parent !== row && !inserted.has(parent)
    })
    inserted.add(row)
    for (const { reference } of missing) later.push({ reference, row })
    return missing.length
      ? row.map((value, place) => (missing.some(({ reference }) => reference.nullable.includes(columns[place] as string)) ? null : value))
      : row
  })
  return { ordered, later }
}

const keyIn = (row: List, places: readonly number[]) => JSON.stringify(places.map(i => String(row[i])))

function order(rows: readonly List[], parentsOf: (row: List) => (List | undefined)[]): List[] {
  const ordered = new Set<List>()
  const path = new Set<List>()
  for (const row of rows) {
    // not by recursion: a list may be as deep as it is long
    const stack = [row]
    for (let next = stack.at(-1); next; next = stack.at(-1)) {
      path.add(next)
      const parent = parentsOf(next).find(p => p && !ordered.has(p) && !path.has(p))
      if (parent) stack.push(parent)
      else {
        ordered.add(next)
        stack.pop()
      }
    }
  }
  return [...ordered]
}
