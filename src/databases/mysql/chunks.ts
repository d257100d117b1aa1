/** Rows in a statement. */
export const BATCH = 1_000

export function* chunks<T>(list: readonly T[], size = BATCH): Generator<T[]> {
  for (let i = 0; i < list.length; i += size) yield list.slice(i, i + size)
}
