// A unique value is released by one row before another row gets it.

import { type ColumnCodec, equalValues } from '../../databases/columns.js'
import type { UniqueIndex } from '../../databases/database.js'
import type { Json, WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { type ChangeGraph, isSet } from './changeGraph.js'

/** Beyond so many pairs, rows of one value go by way of a node of its own: the work stays linear. */
const PAIRS = 64

/** Adds which row has to release its place in a unique index before which other row gets it. */
export function addUnique(graph: ChangeGraph, collection: Collection, index: UniqueIndex): void {
  const { edges } = graph
  for (const { released, acquired } of placesOf(graph, collection, index)) {
    if (released.length * acquired.length <= PAIRS) {
      for (const from of released) for (const to of acquired) if (from !== to) edges.push({ kind: 'unique', index, from, to })
      continue
    }
    const between = graph.size++
    for (const from of released) edges.push({ kind: 'unique', index, from, to: between })
    for (const to of acquired) edges.push({ kind: 'unique', index, from: between, to })
  }
}

interface Released {
  readonly released: number[]
  readonly acquired: number[]
}

/** The places of an index that rows release or get. */
function placesOf({ changes, after, nodesOf }: ChangeGraph, collection: Collection, index: UniqueIndex): Iterable<Released> {
  const columnsOf = (names: readonly string[]): ColumnCodec[] => names.flatMap(n => collection.columns.find(c => c.column === n) ?? [])
  const columns = columnsOf(index.columns)
  const all = [...columns, ...columnsOf(index.others)]
  const places = new Map<string, Released>()
  const placeOf = (row: WireRow) => {
    const tuple = columns.map(c => row[c.property])
    if (!tuple.every(isSet)) return // many rows may have null
    const name = JSON.stringify(tuple.map(fold))
    const place = places.get(name) ?? { released: [], acquired: [] }
    places.set(name, place)
    return place
  }
  for (const i of nodesOf.get(collection) ?? []) {
    const [before, then] = [changes[i]?.old.value, after[i]]
    if (before && then && all.every(({ property: p }) => equalValues(before[p], then[p]))) continue
    if (before) placeOf(before)?.released.push(i)
    if (then) placeOf(then)?.acquired.push(i)
  }
  return places.values()
}

// What a database may compare as equal. It does no harm if fewer are equal for the database.
function fold(value: NonNullable<Json>): Json {
  if (typeof value !== 'string') return typeof value === 'object' ? '' : String(Number(value))
  const text = value.normalize('NFKD').replace(/\p{M}/gu, '').toUpperCase().toLowerCase().trimEnd()
  if (/^\d{4}-\d\d-\d\dt\d\d:\d\d/.test(text)) return text.slice(0, 16) // a fraction may be rounded
  return /^[-+]?\d+(\.\d+)?$/.test(text) && text.length < 16 ? String(Number(text)) : text
}
