// What the removals of a POST reach by foreign keys, and whose rows may not be stored or removed for them.

import type { ChangeLog } from '../src/changes/changeLog.js'
import { keyAt, keyOf, noneOf } from '../src/changes/collections/collection.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { type Dependent, type Link, nameOf, reaching, readDependentsOf } from '../src/changes/rows/dependents.js'
import { findOrphansAmong } from '../src/changes/rows/orphans.js'
import type { Version } from '../src/changes/rows/rows.js'
import type { Transaction } from '../src/databases/database.js'
import type { WireRow } from '../src/protocol/messages.js'
import { type PostedRow, type PostedWrite, type Rejected, readVersionsOf, type VersionOf } from './posted.js'

/** A row that was not posted and that posted removals change. */
interface Reached extends Dependent {
  readonly old: Version
  /** What is set; null: removed. */
  readonly value: WireRow | null
  /** Those that cascade to it. */
  readonly parents: readonly Dependent[]
}

export interface Reach {
  /** Those that depend on others first. */
  readonly changes: readonly Reached[]
  /** The posted removals that cascade to one of these. */
  readonly removalsOf: (rows: readonly Dependent[]) => Dependent[]
  /** Posted removals that rows forbid. */
  readonly forbidden: readonly Dependent[]
  /** Posted rows, by name, whose parent is removed: what becomes null. */
  readonly cleared: ReadonlyMap<string, WireRow>
  /** Posted rows whose parent is removed, which would remove them. */
  readonly orphans: readonly (Dependent & { readonly property: string })[]
}

const NOTHING_REACHED: Reach = { changes: [], removalsOf: () => [], forbidden: [], cleared: new Map(), orphans: [] }

export function* readReached(log: ChangeLog, rows: readonly PostedRow[], versionOf: VersionOf): Transaction<Reach> {
  const removals = rows
    .filter(r => r.value === null && versionOf(r).value !== null)
    .map(({ collection, id }): Dependent => ({ collection, id }))
  if (!removals.some(({ collection }) => collection.children.length)) return NOTHING_REACHED
  const posted = new Map([...byCollection(rows)].map(([collection, some]) => [collection, new Map(some.map(r => [r.id, r]))]))
  const postedAt = ({ collection, id }: Dependent) => posted.get(collection)?.get(id)
  // a posted child that names another parent does not go with the old one
  const leaves = (row: Dependent, { reference, key }: Link) => {
    const there = postedAt(row)
    const needed = there && keyOf(reference, row.id, there.value, versionOf(there).value)
    return needed !== undefined && needed !== key
  }
  const dependents = yield* readDependentsOf(log.database, removals, { leaves })
  const removalsOf = (some: readonly Dependent[]) => {
    const names = reaching(dependents, some)
    return removals.filter(row => names.has(nameOf(row)))
  }
  const changed = new Map<string, Omit<Reached, 'old'>>()
  const cleared = new Map<string, WireRow>()
  // cleared while their parents are there: the old versions are kept
  for (const { collection: there, id, reference, parent } of dependents.cleared) {
    const row = { collection: there, id }
    const name = nameOf(row)
    if (postedAt(row)) {
      cleared.set(name, { ...cleared.get(name), ...noneOf(reference) })
      continue
    }
    const known = changed.get(name)
    changed.set(name, { ...row, value: { ...known?.value, ...noneOf(reference) }, parents: [...(known?.parents ?? []), parent] })
  }
  const orphans: (Dependent & { property: string })[] = []
  const reached = [...changed.values()]
  // none of these is cleared as well
  for (const { collection, id, by } of dependents.removed) {
    if (postedAt({ collection, id })) orphans.push(...by.map(({ reference: { property } }) => ({ collection, id, property })))
    else reached.push({ collection, id, value: null, parents: by.map(link => link.parent) })
  }
  const oldOf = yield* readVersionsOf(log, reached)
  return {
    changes: reached.map(change => ({ ...change, old: oldOf(change) })),
    removalsOf,
    forbidden: removalsOf([...dependents.forbidding.map(row => row.parent), ...dependents.blocked]),
    cleared,
    orphans,
  }
}

export function* rejectByRelation({ database }: ChangeLog, writes: readonly PostedWrite[], reached: Reach): Transaction<Rejected[]> {
  const rows = writes.filter(w => w.value !== null) as (PostedWrite & { value: WireRow })[]
  const orphans: (Dependent & { property: string })[] = [...reached.orphans]
  for (const [{ collection, id }, { property }] of yield* findOrphansAmong(database, rows)) orphans.push({ collection, id, property })
  // nor may a row need one that the same push removes
  const going = [...writes, ...reached.changes].filter(w => w.value === null)
  if (going.length) {
    const goingOf = byCollection(going)
    const rowsOf = byCollection(rows)
    for (const [collection, some] of rowsOf) {
      for (const reference of collection.parents) {
        const { parent, property } = reference
        if (!parent || !goingOf.has(parent)) continue
        const keys = new Set((goingOf.get(parent) ?? []).map(row => keyAt(reference, row.id, row.old.value)))
        for (const row of rowsOf.get(parent) ?? []) keys.delete(keyAt(reference, row.id, row.value))
        for (const { id, value, old } of some) {
          const key = keyOf(reference, id, value, old.value)
          if (key !== null && key !== undefined && keys.has(String(key))) orphans.push({ collection, id, property })
        }
      }
    }
  }
  return [
    ...orphans.map((row): Rejected => ({ ...row, code: 'parent-missing', detail: 'The row that it needs is not there.' })),
    ...reached.forbidden.map((row): Rejected => ({ ...row, code: 'children-exist', detail: 'There are rows that need it.' })),
  ]
}
