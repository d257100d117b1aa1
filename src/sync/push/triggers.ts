// Triggers of the application's on a device that change the very row which is being stored.
//
// What they make of it is a change of this device, and pushed. But two devices that touch a row each time that it is stored would push to each other
// so without end. So where a row comes that differs from ours only in what the triggers change anyway, it is stored as it came.

import type { Collection } from '../../changes/collections/collection.js'
import { readVersions } from '../../changes/rows/rows.js'
import { keepBases } from '../../changes/servers/baseVersions.js'
import type { Write } from '../../changes/store/change.js'
import { equalValues } from '../../databases/columns.js'
import type { Database, Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'

/** Looks at rows of this server that were just stored under a stamp. Throws ConstraintError where one stays another than it was to be. */
export function* pushWhatTriggersChanged(
  { log: { database }, collection, server }: Exchange,
  writes: readonly Write[],
  stamp: number,
): Transaction<void> {
  if (!(yield* database.mayChange(collection.table))) return
  const changed = yield* readChanged(database, collection, writes)
  const toPush = changed.filter(({ write, properties }) => {
    const { old, value } = write
    return (
      old.value === null ||
      collection.columns.some(c => !properties.has(c.property) && isOther(c.property, old.value as WireRow, value as WireRow))
    )
  })
  const past = changed.filter(c => !toPush.includes(c)).map(c => c.write)
  if (past.length) {
    const { pastTriggers } = database
    if (!pastTriggers) throw new ConstraintError('rule', undefined)
    yield* pastTriggers(collection.table, () => storeValues(database, collection, past))
  }
  if (!toPush.length) return
  const ourStamp = yield* database.tick()
  const { name, key } = collection.table
  yield* database.updateRows(
    name,
    ['_lastChange'],
    [key],
    toPush.map(({ write }) => [ourStamp, write.id]),
  )
  const bases = toPush.map(({ write: { id, old, value } }) => ({ id, value: { ...old.value, ...value } }))
  yield* keepBases(database, collection, server, bases, stamp)
}

/** The rows that are not as they were written, with the properties in which they differ. */
function* readChanged(
  database: Database,
  collection: Collection,
  writes: readonly Write[],
): Transaction<{ write: Write; properties: Set<string> }[]> {
  const stored = writes.filter(w => w.value !== null)
  const versions = yield* readVersions(
    database,
    collection,
    stored.map(w => w.id),
  )
  return stored.flatMap(write => {
    const now = versions.get(write.id)?.value
    if (!now) return []
    const properties = collection.columns.map(c => c.property).filter(p => isOther(p, { ...write.old.value, ...write.value }, now))
    return properties.length ? [{ write, properties: new Set(properties) }] : []
  })
}

const isOther = (property: string, one: WireRow, other: WireRow) =>
  Object.hasOwn(one, property) && Object.hasOwn(other, property) && !equalValues(one[property], other[property])

function* storeValues(database: Database, { table, columns }: Collection, writes: readonly Write[]): Transaction<void> {
  for (const { id, old, value } of writes) {
    const row = { ...old.value, ...value }
    const given = columns.filter(c => Object.hasOwn(row, c.property))
    yield* database.updateRows(table.name, given, [table.key], [[...given.map(c => c.fromWire(row[c.property] ?? null)), id]])
  }
}
