// Places in the order of changes: by stamp, then by id.

/** A place in the order of changes: many rows may share a stamp. */
export interface Place {
  readonly stamp: number
  readonly id: string
}

/** An id above all others, bytewise: no key may begin with it. */
export const LAST = '\u{10ffff}'

/** Compares as the database does, bytewise: UTF-16 would put characters beyond U+FFFF below those from U+E000. */
export function compareIds(x: string, y: string): number {
  const length = Math.min(x.length, y.length)
  for (let i = 0; i < length; i++) {
    const [a, b] = [x.charCodeAt(i), y.charCodeAt(i)]
    if (a !== b) return order(a) - order(b)
  }
  return x.length - y.length
}

// the halves of characters beyond U+FFFF, which come as two units
const order = (unit: number) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)

/** Is (stamp, id) at or before the place? */
export const isUpTo = (place: Place, id: string, stamp: number) =>
  stamp < place.stamp || (stamp === place.stamp && compareIds(id, place.id) <= 0)

export const laterOf = (one: Place, other: Place) => (isUpTo(one, other.id, other.stamp) ? one : other)
