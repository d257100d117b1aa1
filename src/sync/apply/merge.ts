// The three-way merge of one row. It decides; it neither reads nor writes.

import { equalValues } from '../../databases/values/equalValues.js'
import type { WireRow } from '../../protocol/messages.js'

export interface Merge {
  /** The merged row; of a contested property our side. null: removed. */
  readonly value: WireRow | null
  /** The properties that both sides changed, each in its own way; empty where it is the row's existence that is contested. */
  readonly properties: readonly string[]
  readonly isContested: boolean
}

/** Properties that the database or the ORM changes by itself: of two concurrent values the later one counts. */
export type IsAutomatic = (property: string) => boolean

const never: IsAutomatic = () => false

/** Properties that are one value together, as those of a key: they are merged as one. */
export type Together = readonly (readonly string[])[]

/** Two versions of a row are the same where all their properties are; an absent property says nothing. */
export function isSameRow(x: WireRow | null, y: WireRow | null): boolean {
  if (x === null || y === null) return x === y
  if (x === y) return true
  for (const p in x) if (Object.hasOwn(y, p) && !equalValues(x[p], y[p])) return false
  return true
}

/** Has it a value of which the other one says nothing? A property that the server has gained meanwhile may have been edited there. */
const saysMore = (row: WireRow | null, base: WireRow | null) =>
  row !== null && base !== null && Object.keys(row).some(p => !Object.hasOwn(base, p) && row[p] !== null)

/** `base` is the last version that both sides know: null where they know that there was none, undefined where there is no such version. */
export function merge(
  base: WireRow | null | undefined,
  local: WireRow | null,
  remote: WireRow | null,
  isAutomatic: IsAutomatic = never,
  together: Together = [],
): Merge {
  const agreed = (value: WireRow | null): Merge => ({ value, properties: [], isContested: false })
  if (local === null || remote === null) {
    if (local === remote) return agreed(remote)
    if (base !== undefined && isSameRow(local, base)) return agreed(remote)
    if (base !== undefined && isSameRow(remote, base) && !saysMore(remote, base)) return agreed(local)
    return { value: local, properties: [], isContested: true }
  }
  const known = base ?? undefined
  const value: WireRow = {}
  const properties: string[] = []
  for (const p of new Set([...Object.keys(local), ...Object.keys(remote)])) {
    const isMine = Object.hasOwn(local, p)
    const [ours, other] = [local[p], remote[p]]
    if (!Object.hasOwn(remote, p) || (isMine && equalValues(ours, other))) value[p] = ours as never
    else if (!isMine) value[p] = other as never
    else if (known && Object.hasOwn(known, p) && equalValues(other, known[p])) value[p] = ours as never
    else if (known && Object.hasOwn(known, p) && equalValues(ours, known[p])) value[p] = other as never
    else if (isAutomatic(p)) value[p] = later(ours, other) as never
    else {
      value[p] = ours as never
      properties.push(p)
    }
  }
  for (const p of contestedTogether(known, local, remote, together)) {
    if (properties.includes(p)) continue
    value[p] = local[p] as never
    properties.push(p)
  }
  return { value, properties, isContested: properties.length > 0 }
}

/** What both sides have changed of values that are one together, each in its own way, be it each another part. */
function contestedTogether(base: WireRow | undefined, local: WireRow, remote: WireRow, together: Together): string[] {
  const isSame = (x: WireRow, y: WireRow) => (p: string) => equalValues(x[p], y[p])
  const isSameHere = isSame(local, remote)
  return together
    .filter(all => all.every(p => Object.hasOwn(local, p) && Object.hasOwn(remote, p)))
    .filter(all => !all.every(isSameHere) && !(base && (all.every(isSame(local, base)) || all.every(isSame(remote, base)))))
    .flatMap(all => all.filter(p => !isSameHere(p)))
}

// versions are numbers, dates ISO 8601 in UTC, which sort as they are
function later<T>(x: T, y: T): T {
  if (x === null || x === undefined) return y
  if (y === null || y === undefined) return x
  return y > x ? y : x
}
