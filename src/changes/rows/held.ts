// What a database makes of values: how it gives them back, or that it cannot hold them.
//
// Most columns know that themselves. Of others the database alone does (`isSpelledThere`): it is asked, for all rows at once.

import type { Database, Transaction } from '../../databases/database.js'
import { ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'

export interface Held {
  /** The properties of the row for which there are columns, as the database gives them back. */
  readonly value: WireRow
  /** What it cannot hold. */
  readonly errors: ValueError[]
}

export function* readHeld(database: Database, collection: Collection, rows: readonly WireRow[]): Transaction<Held[]> {
  const held = rows.map(row => holdRow(collection, row))
  if (collection.columns.some(c => c.isSpelledThere)) yield* spellValues(database, collection, held)
  return held
}

/** What becomes of one row. Throws ValueError. */
export function* holdOne(database: Database, collection: Collection, row: WireRow): Transaction<WireRow> {
  const [held] = yield* readHeld(database, collection, [row])
  const { value, errors } = held as Held
  if (errors[0]) throw errors[0]
  return value
}

function holdRow({ columns }: Collection, row: WireRow): Held {
  const held: Held = { value: {}, errors: [] }
  for (const { property, fromWire, toWire } of columns) {
    if (!Object.hasOwn(row, property)) continue
    try {
      held.value[property] = toWire(fromWire(row[property] as never))
    } catch (error) {
      if (!(error instanceof ValueError)) throw error
      held.errors.push(error)
    }
  }
  return held
}

/** Puts in how the database spells values, and what it cannot hold. */
function* spellValues({ spell }: Database, { entity, table, columns }: Collection, rows: readonly Held[]): Transaction<void> {
  const asked = columns.flatMap(column => {
    if (!column.isSpelledThere) return []
    const parameters = new Map<unknown, Held[]>()
    for (const held of rows) {
      const value = held.value[column.property] ?? null
      if (value === null) continue
      const parameter = column.fromWire(value)
      const some = parameters.get(parameter)
      if (some) some.push(held)
      else parameters.set(parameter, [held])
    }
    return parameters.size ? [{ column, parameters }] : []
  })
  if (!spell || !asked.length) return
  const answers = yield* spell(
    table,
    asked.map(({ column }) => column),
    asked.map(({ parameters }) => [...parameters.keys()]),
  )
  for (const [i, { column, parameters }] of asked.entries()) {
    const { property, declared, toWire } = column
    for (const [j, some] of [...parameters.values()].entries()) {
      const [cell, state] = answers[i]![j]!
      for (const { value, errors } of some)
        if (state === null) value[property] = toWire(cell)
        else errors.push(new ValueError(entity, property, `is not what the database accepts as ${declared} (${state})`))
    }
  }
}
