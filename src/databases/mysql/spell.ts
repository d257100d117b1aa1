// How the database spells values, and which of them it rejects.

import { ConstraintError } from '../../errors.js'
import type { ColumnCodec } from '../columns.js'
import { type Cell, query, type Transaction } from '../statement.js'
import { chunks } from './chunks.js'

type Spelled = readonly [cell: Cell, state: string | null]

export function* spell(columns: readonly ColumnCodec[], lists: readonly (readonly unknown[])[]): Transaction<Spelled[][]> {
  const answers: Spelled[][] = []
  for (const [i, column] of columns.entries()) {
    const answer: Spelled[] = []
    for (const some of chunks(lists[i] ?? [], 100)) answer.push(...(yield* spellSome(column, some)))
    answers.push(answer)
  }
  return answers
}

// MariaDB makes NULL of what it cannot read, MySQL an error: then each is asked for by itself.
function* spellSome(column: ColumnCodec, values: readonly unknown[]): Transaction<Spelled[]> {
  const made = column.placeholder === '?' ? `CAST(? AS ${column.declared})` : column.placeholder
  try {
    const rows = yield* query(values.map((_, n) => `SELECT ${n} AS n, ${column.read(made)} AS cell`).join(' UNION ALL '), ...values)
    const cells = new Map(rows.map(({ n, cell }) => [Number(n), cell ?? null]))
    return values.map((_, n) => [cells.get(n) ?? null, cells.get(n) == null ? '22007' : null])
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    if (values.length < 2) return [[null, error.state ?? error.kind]]
    const answers: Spelled[] = []
    for (const value of values) answers.push(...(yield* spellSome(column, [value])))
    return answers
  }
}
