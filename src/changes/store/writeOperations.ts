// Writes operations that do not depend on each other: one statement for all rows that have the same columns.

import { type Database, rowsOf, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import type { Operation } from './order.js'

export function* write(database: Database, operations: readonly Operation[]): Transaction<void> {
  const groups = new Map<Collection, Operation[]>()
  for (const operation of operations) {
    const { collection } = operation.change
    const group = groups.get(collection)
    if (group) group.push(operation)
    else groups.set(collection, [operation])
  }
  for (const [collection, some] of groups) {
    const { name, key, parts } = collection.table
    yield* database.deleteRows(
      name,
      [key],
      some.filter(o => o.kind === 'remove' && o.change.old.value !== null).map(o => [o.change.id]),
    )
    for (const kind of ['insert', 'update'] as const) {
      for (const { columns, rows } of groupByColumns(
        collection,
        some.filter(o => o.kind === kind),
      )) {
        const cells = (row: WireRow) => columns.map(c => c.fromWire((row[c.property] ?? null) as never))
        if (kind === 'insert') {
          // SQLite would count a number that is missing
          const lacking = collection.keyParts.find(part => !columns.includes(part))
          if (lacking) throw new ConstraintError('not-null', lacking.column)
          yield* database.insertRows(
            name,
            [...(parts ? [] : [key]), '_lastChange', ...columns],
            rowsOf(rows, o => [...(parts ? [] : [o.change.id]), o.change.stamp, ...cells(o.value as WireRow)]),
          )
        } else
          yield* database.updateRows(
            name,
            ['_lastChange', ...columns],
            [key],
            rowsOf(rows, o => [o.change.stamp, ...cells(o.value as WireRow), o.change.id]),
          )
      }
    }
  }
}

function groupByColumns(collection: Collection, operations: readonly Operation[]) {
  const groups = new Map<string, { columns: Collection['columns']; rows: Operation[] }>()
  for (const operation of operations) {
    const value = operation.value as WireRow
    let columns = collection.columns
    if (!columns.every(c => Object.hasOwn(value, c.property))) columns = columns.filter(c => Object.hasOwn(value, c.property))
    const name = columns === collection.columns ? '\n' : columns.map(c => c.property).join('\n')
    const group = groups.get(name)
    if (group) group.rows.push(operation)
    else groups.set(name, { columns, rows: [operation] })
  }
  return groups.values()
}
