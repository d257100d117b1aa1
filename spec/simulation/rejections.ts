// What a server may reject: a unique value that another row has once the whole push is stored. What is valid as a whole is stored as a whole.

import { type ExtraColumn, neededIn, referencesOf, type TableSpec } from './schemas.js'

type Row = Readonly<Record<string, unknown>>

/** The columns that are unique, alone or together. */
const isSplit = (extra: ExtraColumn) => extra.kind === 'reference' && extra.isSplit === true

export const keysOf = ({ extras, together }: TableSpec): (readonly string[])[] => [
  ...extras.flatMap(e => ('unique' in e && e.unique ? [isSplit(e) ? [`${e.column}K`, `${e.column}N`] : [e.column]] : [])),
  ...together,
]

/**
 * The rows of a push that were rejected for a unique value which no other row would have had: `before` are the server's rows, `pushed` those of the
 * push, `rejected` what it rejected, of all tables: a row that needs one of those cannot be stored either, whatever its own values are.
 */
export function wronglyRejected(
  spec: TableSpec,
  before: readonly Row[],
  pushed: readonly Row[],
  rejected: readonly { readonly id: string; readonly code: string }[],
): string[] {
  // two rows that the database counts cannot exchange what they need for good: neither can be without it, nor made anew
  if (spec.isNumbered && spec.extras.some(e => e.kind === 'reference' && e.unique && !e.nullable)) return []
  const old = new Map(before.map(row => [String(row.id), row]))
  const posted = new Map(pushed.map(row => [String(row.id), row]))
  const notThere = new Set<unknown>(rejected.filter(({ id }) => !posted.has(id)).map(({ id }) => id))
  const needsOne = (row: Row) => referencesOf(spec).some(reference => notThere.has(neededIn(reference, row)))
  // a rejected row stays as it was, and so keeps what others wanted
  const out = new Set([
    ...rejected.filter(r => r.code !== 'not-unique').map(r => r.id),
    ...pushed.filter(needsOne).map(row => String(row.id)),
  ])
  for (let size = -1; size !== out.size; ) {
    size = out.size
    const rows = new Map(old)
    for (const [id, row] of posted) {
      if (out.has(id)) continue
      if (row._removed) rows.delete(id)
      else rows.set(id, { ...old.get(id), ...row })
    }
    for (const columns of keysOf(spec)) {
      const holders = new Map<string, string[]>()
      for (const [id, row] of rows) {
        const values = columns.map(c => row[c] ?? null)
        if (values.includes(null)) continue
        const key = JSON.stringify(values)
        holders.set(key, [...(holders.get(key) ?? []), id])
      }
      for (const ids of holders.values()) if (ids.length > 1) for (const id of ids) if (posted.has(id)) out.add(id)
    }
  }
  return rejected.filter(r => r.code === 'not-unique' && posted.has(r.id) && !out.has(r.id)).map(r => r.id)
}
