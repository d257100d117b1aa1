// In which order changes are stored: a push or a page is one change, whatever order its rows come in. What is valid as a whole is stored as a
// whole: a unique value is released before it is taken, a row is there before others need it, and goes when none needs it any more. A cycle is
// broken by a row that changes twice.

import { type ColumnCodec, equalValues } from '../databases/columns.js'
import type { UniqueIndex } from '../databases/database.js'
import type { Json, WireRow } from '../protocol/messages.js'
import { type Collection, keyOf, type Reference } from './collection.js'
import { componentsOf, cyclesOf, type Edge, levelsOf } from './graph.js'
import type { Version } from './rows.js'
import type { ServerState } from './serverState.js'

/** A row to be written: `value` has the properties that are to be set, and for a new row all that there are; null removes it. */
export interface Write {
  readonly id: string
  /** What stands there now, read in this transaction. */
  readonly old: Version
  readonly value: WireRow | null
}

/** A write with everything that it takes to store it along with those of other collections. */
export interface Change extends Write {
  readonly collection: Collection
  readonly stamp: number
  /** The server that it came from: it needs no base version of what it replaces itself. */
  readonly from?: ServerState | undefined
}

/** The unique indexes of each collection; none where they are not to be looked at. */
export type Uniques = ReadonlyMap<Collection, readonly UniqueIndex[]>

export interface Operation {
  readonly kind: 'remove' | 'insert' | 'update'
  readonly change: Change
  readonly value: WireRow | null
}

/** A row that lets go of something before everything else. */
export interface Release {
  readonly change: Change
  /** Of each of these indexes it leaves its place. */
  readonly indexes: readonly UniqueIndex[]
  /** Keys of rows that go. */
  readonly cleared: readonly string[]
}

export interface Plan {
  readonly releases: readonly Release[]
  /** Those of one level do not depend on each other, but in their order where they are of one kind and collection. */
  readonly levels: readonly (readonly Operation[])[]
  /** Keys of rows that need each other, which are set last. */
  readonly late: readonly Operation[]
  /** Rows need each other by keys that may not be null: only a database that looks at them in the end can take them. */
  readonly isDeferred: boolean
  /** How many unique values are released by one row and taken by another. */
  readonly taken: number
}

type Why =
  | { readonly kind: 'unique'; readonly index: UniqueIndex }
  /** `to` needs the row `from`, by a property of its own. */
  | { readonly kind: 'needs'; readonly property: string }
  /** `from` leaves the row `to`, by a property of its own. */
  | { readonly kind: 'leaves'; readonly property: string }

type Dependency = Edge & Why

/** The row as it will stand; null where it is to go. */
const afterOf = ({ old, value }: Write): WireRow | null => value && (old.value ? { ...old.value, ...value } : value)

const isSet = (value: Json | undefined): value is NonNullable<Json> => value !== null && value !== undefined

// ---------------------------------------------------------------- what depends on what

/** Beyond so many pairs, rows of one value go by way of a node of its own: the work stays linear. */
const PAIRS = 64

interface Graph {
  readonly size: number
  readonly edges: readonly Dependency[]
}

function graphOf(changes: readonly Change[], uniques: Uniques): Graph {
  const edges: Dependency[] = []
  let size = changes.length
  const collections = new Map<Collection, number[]>()
  for (const [i, { collection }] of changes.entries()) {
    const some = collections.get(collection)
    if (some) some.push(i)
    else collections.set(collection, [i])
  }
  const after = changes.map(afterOf)
  for (const [collection, some] of collections) {
    for (const index of uniques.get(collection) ?? []) addUnique(collection, some, index)
    for (const reference of collection.parents) addReference(reference, some)
  }
  return { size, edges }

  function addUnique(collection: Collection, some: readonly number[], index: UniqueIndex): void {
    const [columns, others] = [index.columns, index.others].map(names =>
      names.flatMap(n => collection.columns.find(c => c.column === n) ?? []),
    )
    const all = [...(columns as ColumnCodec[]), ...(others as ColumnCodec[])]
    const places = new Map<string, { released: number[]; taken: number[] }>()
    const placeOf = (row: WireRow) => {
      const tuple = (columns as ColumnCodec[]).map(c => row[c.property])
      if (!tuple.every(isSet)) return // null is never taken
      const name = JSON.stringify(tuple.map(fold))
      const place = places.get(name) ?? { released: [], taken: [] }
      places.set(name, place)
      return place
    }
    for (const i of some) {
      const [before, then] = [changes[i]?.old.value, after[i]]
      if (before && then && all.every(({ property: p }) => equalValues(before[p], then[p]))) continue
      if (before) placeOf(before)?.released.push(i)
      if (then) placeOf(then)?.taken.push(i)
    }
    for (const { released, taken } of places.values()) {
      if (released.length * taken.length <= PAIRS) {
        for (const from of released) for (const to of taken) if (from !== to) edges.push({ kind: 'unique', index, from, to })
        continue
      }
      const between = size++
      for (const from of released) edges.push({ kind: 'unique', index, from, to: between })
      for (const to of taken) edges.push({ kind: 'unique', index, from: between, to })
    }
  }

  function addReference(reference: Reference, some: readonly number[]): void {
    const { parent, parentColumn, property } = reference
    const there = parent && collections.get(parent)
    if (!there) return
    const referenced = parentColumn === parent.table.key ? undefined : parent.columns.find(c => c.column === parentColumn)?.property
    const referencedBy = (i: number, row: WireRow | null | undefined) => {
      const key = row && (referenced === undefined ? changes[i]?.id : row[referenced])
      return isSet(key) ? String(key) : undefined
    }
    const coming = new Map<string, number>()
    const going = new Map<string, number>()
    for (const i of there) {
      const [before, then] = [referencedBy(i, changes[i]?.old.value), referencedBy(i, after[i])]
      if (before === then) continue
      if (then !== undefined) coming.set(then, i)
      if (before !== undefined) going.set(before, i)
    }
    if (!coming.size && !going.size) return
    for (const i of some) {
      const { id, old } = changes[i] as Change
      const [before, then] = [keyOf(reference, id, old.value), keyOf(reference, id, after[i] ?? null)]
      if (isSet(then) && (!isSet(before) || String(before) !== String(then))) {
        const from = coming.get(String(then))
        if (from !== undefined && from !== i) edges.push({ kind: 'needs', property, from, to: i })
      }
      if (isSet(before) && (!isSet(then) || String(before) !== String(then))) {
        const to = going.get(String(before))
        // MariaDB does not remove a row that needs itself
        if (to !== undefined && (to !== i || after[i] === null)) edges.push({ kind: 'leaves', property, from: i, to })
      }
    }
  }
}

// What a database may take for equal: more than it does take for equal does no harm.
function fold(value: NonNullable<Json>): Json {
  if (typeof value !== 'string') return typeof value === 'object' ? '' : String(Number(value))
  const text = value.normalize('NFKD').replace(/\p{M}/gu, '').toUpperCase().toLowerCase().trimEnd()
  if (/^\d{4}-\d\d-\d\dt\d\d:\d\d/.test(text)) return text.slice(0, 16) // a fraction may be rounded
  return /^[-+]?\d+(\.\d+)?$/.test(text) && text.length < 16 ? String(Number(text)) : text
}

// ---------------------------------------------------------------- units

/** Changes that can only be stored together. */
export interface Unit<C> {
  readonly changes: readonly C[]
  /** Units that it may depend on. */
  readonly needs: ReadonlySet<Unit<C>>
}

/** Units, those first that others may depend on; between some stand others without a change. Linear. */
export function unitsOf<C extends Change>(changes: readonly C[], uniques: Uniques): Unit<C>[] {
  const { size, edges } = graphOf(changes, uniques)
  const unitOf: Unit<C>[] = []
  const units = componentsOf(size, edges).map(component => {
    const unit = { changes: component.flatMap(i => changes[i] ?? []), needs: new Set<Unit<C>>() }
    for (const i of component) unitOf[i] = unit
    return unit
  })
  for (const { from, to } of edges) {
    const [needed, unit] = [unitOf[from], unitOf[to]]
    if (needed && unit && needed !== unit) (unit.needs as Set<Unit<C>>).add(needed)
  }
  return units
}

/** What some of these have to let go of, for others take it. */
export function releasesOf(changes: readonly Change[], uniques: Uniques, isReleasing: (change: Change) => boolean): Release[] {
  const indexes = new Map<Change, Set<UniqueIndex>>()
  for (const edge of graphOf(changes, uniques).edges) {
    const change = changes[edge.from]
    if (edge.kind === 'unique' && change && isReleasing(change)) indexes.set(change, (indexes.get(change) ?? new Set()).add(edge.index))
  }
  return [...indexes].map(([change, own]) => ({ change, indexes: [...own], cleared: [] }))
}

// ---------------------------------------------------------------- the plan

/** Beyond so many statements one after the other, all that is in somebody's way lets go at once. */
const DEEP = 8

/**
 * Plans how changes are stored. Where unique values go from row to row, those that are in a cycle let go first; with `releasesAll` every one,
 * which takes two statements for a chain of any length.
 */
export function planChanges(changes: readonly Change[], uniques: Uniques, releasesAll = false): Plan {
  const { size, edges: all } = graphOf(changes, uniques)
  const taken = all.filter(e => e.kind === 'unique').length
  if (!all.length) return { releases: [], levels: [changes.map(operationOf)], late: [], isDeferred: false, taken }

  const releases = new Map<number, { indexes: Set<UniqueIndex>; cleared: Set<string> }>()
  const releaseOf = (i: number) => {
    const found = releases.get(i) ?? { indexes: new Set(), cleared: new Set() }
    releases.set(i, found)
    return found
  }
  const late = new Map<number, Set<string>>()
  let isDeferred = false

  // unique values first: what a row lets go of is free for whoever takes it
  let { isWithin } = cyclesOf(size, all)
  let edges = all.filter(edge => {
    if (edge.kind !== 'unique' || !(releasesAll || isWithin(edge))) return true
    if (edge.from < changes.length) releaseOf(edge.from).indexes.add(edge.index)
    return false
  })
  if (all.some(isWithin)) {
    // then keys that may be null
    isWithin = cyclesOf(size, edges).isWithin
    edges = edges.filter(edge => {
      if (edge.kind === 'unique' || !isWithin(edge)) return true
      const row = edge.kind === 'needs' ? edge.to : edge.from
      if (!changes[row]?.collection.column.get(edge.property)?.nullable) return true
      if (edge.kind === 'leaves') releaseOf(row).cleared.add(edge.property)
      else late.set(row, (late.get(row) ?? new Set()).add(edge.property))
      return false
    })
    isWithin = cyclesOf(size, edges).isWithin
    edges = edges.filter(edge => {
      if (!isWithin(edge)) return true
      isDeferred = true
      return false
    })
  }

  const operations = changes.map((change, i) => {
    const value = change.value && { ...change.value }
    const release = releases.get(i)
    if (value && change.old.value && release) {
      // what it let go of comes back, where it does not change
      const touched = [...release.cleared, ...[...release.indexes].flatMap(index => propertiesOf(change.collection, index))]
      for (const p of touched) if (!Object.hasOwn(value, p) && Object.hasOwn(change.old.value, p)) value[p] = change.old.value[p] as Json
    }
    if (value) for (const p of late.get(i) ?? []) value[p] = null
    return { ...operationOf(change), value }
  })
  // a database takes rows of one statement in their order, where it looks at each
  const isTogether = ({ from, to, kind }: Dependency) => {
    const [x, y] = [operations[from], operations[to]]
    return (
      kind !== 'unique' &&
      x?.kind === y?.kind &&
      x?.kind !== 'update' &&
      x?.change.collection === y?.change.collection &&
      sameProperties(x, y)
    )
  }
  const { order, level } = levelsOf(size, edges, edge => (edge.to >= changes.length || isTogether(edge) ? 0 : 1))
  const levels: Operation[][] = []
  for (const node of order) {
    const operation = operations[node]
    if (!operation) continue
    const at = level[node] as number
    while (levels.length <= at) levels.push([])
    levels[at]?.push(operation)
  }
  return {
    releases: [...releases].map(([i, { indexes, cleared }]) => ({
      change: changes[i] as Change,
      indexes: [...indexes],
      cleared: [...cleared],
    })),
    levels,
    late: [...late].map(([i, properties]) => {
      const change = changes[i] as Change
      const value = Object.fromEntries([...properties].map(p => [p, change.value?.[p] ?? null]))
      return { kind: 'update', change, value }
    }),
    isDeferred,
    taken,
  }
}

export const isDeep = ({ levels }: Plan) => levels.length > DEEP

export const propertiesOf = (collection: Collection, { columns }: UniqueIndex) =>
  columns.flatMap(name => collection.columns.find(c => c.column === name)?.property ?? [])

function operationOf(change: Change): Operation {
  const { old, value } = change
  return { kind: value === null ? 'remove' : old.value === null ? 'insert' : 'update', change, value }
}

function sameProperties(x: Operation | undefined, y: Operation | undefined): boolean {
  if (!x?.value || !y?.value) return true
  const names = Object.keys(x.value)
  return names.length === Object.keys(y.value).length && names.every(p => Object.hasOwn(y.value as WireRow, p))
}
