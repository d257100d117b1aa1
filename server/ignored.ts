// Names the posted properties that were not stored: a newer client may know a column that this server does not have yet (PROTOCOL.md, POST).

import type { Collection } from '../src/changes/collections/collection.js'
import { BadRequestError } from '../src/protocol/errors.js'
import type { PostedRow } from './posted.js'

export const ENVELOPE = new Set(['id', '_lastChange', '_removed', '_partial'])

/** The answer repeats the names and is kept with the key: no more of them than a table has columns, and no longer ones. */
const MOST = 1_000
const LONGEST = 1_000

/** The posted properties without a column, each once. Throws BadRequestError where they are too many, or too long. */
export function ignoredProperties(rows: readonly PostedRow[]): Map<Collection, string[]> {
  const ignored = new Map<Collection, Set<string>>()
  let count = 0
  for (const { collection, value } of rows) {
    for (const property in value) {
      if (collection.column.has(property) || ENVELOPE.has(property)) continue
      const known = ignored.get(collection) ?? new Set()
      if (known.has(property)) continue
      if (property.length > LONGEST || count++ === MOST)
        throw new BadRequestError(`More than ${MOST} properties are not known here, or one has a name of more than ${LONGEST} characters.`)
      ignored.set(collection, known.add(property))
    }
  }
  return new Map([...ignored].map(([collection, properties]) => [collection, [...properties]]))
}
