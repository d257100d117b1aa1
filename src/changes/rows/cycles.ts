// Self-references, such as a folder's parent: two sides that each move a row may close a circle that neither of them has made.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import type { Collection, Reference } from '../collections/collection.js'
import { neededKey } from '../collections/joins.js'

/** The references of a collection to itself in which a circle is a mistake. */
export const treesOf = (collection: Collection): Reference[] =>
  collection.parents.filter(r => r.parent === collection && r.isByKey && !r.isCyclic && !r.isOwnKey)

/**
 * The circles that `starts` are part of, were rows stored as `after` says: the key of the row that each needs. All of them are walked
 * together, a statement for each level, and none is read twice.
 */
export function* findCycles(
  database: Database,
  { table }: Collection,
  reference: Reference,
  starts: readonly string[],
  after: ReadonlyMap<string, unknown>,
): Transaction<string[][]> {
  const parents = new Map<string, string | undefined>()
  const note = (id: string, key: unknown) => parents.set(id, key === null || key === undefined ? undefined : String(key))
  for (const [id, key] of after) note(id, key)
  const walked = new Set<string>()
  for (let left = [...starts]; left.length; ) {
    // as far up as is known already, then the next level of all at once
    const unread = new Set<string>()
    for (const start of left) {
      let at: string | undefined = start
      while (at !== undefined && parents.has(at) && !walked.has(at)) {
        walked.add(at)
        at = parents.get(at)
      }
      if (at !== undefined && !parents.has(at)) unread.add(at)
    }
    left = [...unread]
    for (const id of left) note(id, null)
    if (!left.length) break
    const rows = yield* query(
      `SELECT ${database.id(table, 'x')} AS id, ${neededKey(database, reference, 'x')} AS parent
         FROM ${quote(table.name)} x WHERE ${database.among(table.name, 'x', table.key)}`,
      database.list(left),
    )
    for (const { id, parent } of rows) note(String(id), parent)
  }
  return circlesOf(parents, starts)
}

function circlesOf(parents: ReadonlyMap<string, string | undefined>, starts: readonly string[]): string[][] {
  const circles: string[][] = []
  const wanted = new Set(starts)
  const done = new Set<string>()
  for (const start of starts) {
    const path = new Map<string, number>()
    let at: string | undefined = start
    while (at !== undefined && !done.has(at) && !path.has(at)) {
      path.set(at, path.size)
      at = parents.get(at)
    }
    const ids = [...path.keys()]
    const circle = at === undefined || !path.has(at) ? [] : ids.slice(path.get(at))
    if (circle.some(id => wanted.has(id))) circles.push(circle)
    for (const id of ids) done.add(id)
  }
  return circles
}
