// What a removal cascades to by foreign keys: the engine does it itself, with stamps, before it removes the parent. It reads level by level,
// each reference of a level with one statement, however many rows there are.

import { type Database, queryCells, quote, type Transaction } from '../../databases/database.js'
import type { Collection, Reference } from '../collections/collection.js'
import { neededKey, needs } from '../collections/joins.js'
import { parentsFirst } from '../collections/parentsFirst.js'

/** A row to which a removal cascades. */
export interface Dependent {
  readonly collection: Collection
  readonly id: string
}

/** By which reference a row depends on another one that is removed. */
export interface Link {
  readonly reference: Reference
  readonly key: string
  readonly parent: Dependent
}

export interface Dependents {
  /** ON DELETE CASCADE: removed as well, those that depend on others first. `by` are all that cascade to the row. */
  readonly removed: readonly (Dependent & { readonly by: readonly Link[] })[]
  /** ON DELETE SET NULL: they need none by these references afterwards. */
  readonly cleared: readonly (Dependent & Link)[]
  /** ON DELETE RESTRICT or NO ACTION: rows that forbid the removal of their parent. */
  readonly forbidding: readonly (Dependent & Pick<Link, 'parent'>)[]
  /** Rows that are needed by a row of an entity that is not synced. */
  readonly blocked: readonly Dependent[]
  /** Of every row that is removed, by name: all that cascade to it, of those that were asked about as well. */
  readonly links: ReadonlyMap<string, readonly Link[]>
}

export const nameOf = ({ collection, id }: Dependent) => `${collection.name}\n${id}`

interface Options {
  /** Rows that forbid the removal are removed as well. */
  readonly takesAll?: boolean
  /** Those of a level whose own dependents are read; by default all. */
  readonly descend?: (level: readonly Dependent[]) => Transaction<readonly Dependent[]>
  /** Does the row move to another parent in the same transaction? */
  readonly leaves?: (row: Dependent, link: Link) => boolean
  /** Called with every row that depends on a removed one, once for each of its references. */
  readonly found?: (row: Dependent, parent: Dependent, onDelete: Reference['onDelete']) => void
}

/** Reads what the removals of these rows cascade to. */
export function readDependents(
  database: Database,
  collection: Collection,
  ids: readonly string[],
  options: Options = {},
): Transaction<Dependents> {
  return readDependentsOf(
    database,
    ids.map(id => ({ collection, id })),
    options,
  )
}

/** As `readDependents`, of rows of several collections. */
export function* readDependentsOf(
  database: Database,
  roots: readonly Dependent[],
  { takesAll = false, leaves = () => false, descend, found }: Options = {},
): Transaction<Dependents> {
  const links = new Map<string, Link[]>(roots.map(root => [nameOf(root), []]))
  const removed: (Dependent & { readonly by: readonly Link[] })[] = []
  const cleared: (Dependent & Link)[] = []
  const forbidding: (Dependent & Pick<Link, 'parent'>)[] = []
  const blocked: Dependent[] = []

  for (let level: readonly Dependent[] = roots; level.length; ) {
    const next: Dependent[] = []
    for (const [parent, parents] of byCollection(level)) {
      for (const reference of parent.children) {
        const { child, onDelete } = reference
        for (const { id, key, parentId } of yield* readChildren(database, parent, reference, parents.keys())) {
          const link: Link = { reference, key, parent: parents.get(parentId) ?? { collection: parent, id: parentId } }
          if (!child) {
            blocked.push(link.parent)
            continue
          }
          const row = { collection: child, id, by: [link] }
          found?.(row, link.parent, onDelete)
          const name = nameOf(row)
          const known = links.get(name)
          if (leaves(row, link)) continue
          if (known) known.push(link)
          else if (onDelete === 'SET NULL') cleared.push({ collection: child, id, ...link })
          else if (onDelete === 'RESTRICT' && !takesAll) forbidding.push({ collection: child, id, parent: link.parent })
          else {
            links.set(name, row.by)
            removed.push(row)
            next.push(row)
          }
        }
      }
    }
    level = descend && next.length ? yield* descend(next) : next
  }
  const stays = (row: Dependent) => !links.has(nameOf(row))
  return { removed: childrenFirst(removed), cleared: cleared.filter(stays), forbidding: forbidding.filter(stays), blocked, links }
}

function* readChildren(
  database: Database,
  parent: Collection,
  reference: Reference,
  parentIds: Iterable<string>,
): Transaction<{ id: string; key: string; parentId: string }[]> {
  const { child, childTable, parentTable, onDelete } = reference
  if (!child && onDelete !== 'RESTRICT') return []
  const cells = child
    ? `${database.id(child.table, 'x')} AS id, ${neededKey(database, reference, 'x')} AS reference`
    : "DISTINCT '' AS id, '' AS reference"
  const rows = yield* queryCells(
    `SELECT ${cells}, ${database.id(parent.table, 'p')} AS parent
       FROM ${quote(parentTable)} p JOIN ${quote(childTable)} x ON ${needs(reference)}
      WHERE ${database.among(parentTable, 'p', parent.table.key)}`,
    database.list(parentIds),
  )
  return rows.map(([id, key, parentId]) => ({ id: String(id), key: String(key), parentId: String(parentId) }))
}

function byCollection(rows: readonly Dependent[]): Map<Collection, Map<string, Dependent>> {
  const groups = new Map<Collection, Map<string, Dependent>>()
  for (const row of rows) {
    const group = groups.get(row.collection)
    if (group) group.set(row.id, row)
    else groups.set(row.collection, new Map([[row.id, row]]))
  }
  return groups
}

/** A row may depend on several: it is removed before all of them. */
function childrenFirst<R extends Dependent & { readonly by: readonly Link[] }>(removed: readonly R[]): R[] {
  // turned round twice, so that siblings stay in their order; whatever is walked is one of them, or was asked about
  return parentsFirst([...removed].reverse(), row => row.by.map(link => link.parent as R)).reverse()
}

/** The names of these rows, and of all that are removed and cascade to one of these. */
export function reaching({ links }: Pick<Dependents, 'links'>, rows: readonly Dependent[]): Set<string> {
  const names = new Set(rows.map(nameOf))
  // a set that grows is walked to its end
  for (const name of names) for (const { parent } of links.get(name) ?? []) names.add(nameOf(parent))
  return names
}
