// Values that no row has: where rows exchange unique values that may not be null, each of them holds one of these for a moment.

import type { ColumnCodec } from '../../databases/columns.js'
import { queryCells, quote, type Transaction } from '../../databases/database.js'
import type { Json } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { kindOf } from './kindsOfValues.js'

/** How often it is worth trying: a rule of the database may forbid values of one kind (only positive ones, only digits). */
export const KINDS_OF_VALUES = 4

/** The end of the table that is read to find a gap. */
const MOST = 100_000

/** Can the column hold a value that no row has? A foreign key cannot, and a part of the key is the row's name. */
export const canBeFree = ({ parents, keyParts }: Collection, column: ColumnCodec) =>
  !keyParts.includes(column) && !parents.some(r => r.childColumns.includes(column.column)) && kindOf(column) !== undefined

/**
 * As many values as there are rows, each of which the column can hold and no row has or will have; undefined where there are too few.
 * `wanted`: what rows will have. `before`: what the rows have. The first kind is near to what is there, the last one anything.
 */
export function* readFreeValues(
  collection: Collection,
  column: ColumnCodec,
  before: readonly Json[],
  wanted: readonly Json[],
  kind: number,
): Transaction<Json[] | undefined> {
  const make = kindOf(column)
  if (!make) return
  const { name } = collection.table
  const cell = `x.${quote(column.column)}`
  const present: Json[] = [...wanted]
  if (make.isOrdered && kind < 2) {
    // an index knows them
    const ends = yield* queryCells(
      `SELECT ${column.read('v.low')}, ${column.read('v.high')} FROM (SELECT min(${cell}) AS low, max(${cell}) AS high FROM ${quote(name)} x) v`,
    )
    present.push(...(ends[0] ?? []).map(end => column.toWire(end)))
  } else if (kind >= 2 || make.isSmall) {
    const cells = yield* queryCells(`SELECT ${column.read(cell)} FROM ${quote(name)} x LIMIT ?`, MOST)
    present.push(...cells.map(([value]) => column.toWire(value ?? null)))
  }
  const used = new Set(present.map(nameOf))
  const free: Json[] = []
  let tries = 0
  for (const value of make.values(
    present.filter(v => v !== null),
    kind,
    before,
  )) {
    if (free.length === before.length) break
    // a column may hold none of them
    if (++tries > (free.length ? 70_000 + 20 * before.length : 1_000)) return
    const held = hold(column, value)
    if (held === undefined || used.has(nameOf(held))) continue
    used.add(nameOf(held))
    free.push(held)
  }
  return free.length === before.length ? free : undefined
}

const nameOf = (value: Json) => (typeof value === 'string' ? value.toLowerCase() : JSON.stringify(value))

function hold(column: ColumnCodec, value: Json): Json | undefined {
  const held = column.canonical(value)
  try {
    column.fromWire(held as never)
    return held
  } catch {
    return
  }
}
