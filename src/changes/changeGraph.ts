// Which changes have to be stored before which others: by unique values, and by foreign keys.

import { type ColumnCodec, equalValues } from '../databases/columns.js'
import type { UniqueIndex } from '../databases/database.js'
import type { Json, WireRow } from '../protocol/messages.js'
import type { Change, Write } from './change.js'
import { type Collection, keyOf, type Reference } from './collection.js'
import type { Edge } from './graph.js'
import type { Uniques } from './uniques.js'

type Why =
  | { readonly kind: 'unique'; readonly index: UniqueIndex }
  /** `to` needs the row `from`, by a property of its own. */
  | { readonly kind: 'needs'; readonly property: string }
  /** `from` leaves the row `to`, by a property of its own. */
  | { readonly kind: 'leaves'; readonly property: string }

export type Dependency = Edge & Why

interface Graph {
  readonly size: number
  readonly edges: readonly Dependency[]
}

const isSet = (value: Json | undefined): value is NonNullable<Json> => value !== null && value !== undefined

/** The row as it will stand; null where it is to go. */
const afterOf = ({ old, value }: Write): WireRow | null => value && (old.value ? { ...old.value, ...value } : value)

/** Beyond so many pairs, rows of one value go by way of a node of its own: the work stays linear. */
const PAIRS = 64

export function graphOf(changes: readonly Change[], uniques: Uniques): Graph {
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
