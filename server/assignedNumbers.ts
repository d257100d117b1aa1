// Numbers that people see, as an invoice's: the server assigns them (docs/schemas.md, Numbers that people see).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import { hasServers } from '../src/changes/servers/servers.js'
import { type ColumnCodec, equalValues } from '../src/databases/columns.js'
import { first, quote, type Transaction } from '../src/databases/database.js'
import { syncedEntities } from '../src/entity/registry.js'
import { SyncConfigurationError } from '../src/errors.js'
import type { Json, WireRow } from '../src/protocol/messages.js'
import type { PostedWrite } from './posted.js'

interface AssignedNumber {
  readonly column: ColumnCodec
  /** Rows with the same values of these are counted together. */
  readonly per: readonly ColumnCodec[]
}

const known = new WeakMap<ChangeLog, ReadonlyMap<Collection, readonly AssignedNumber[]>>()

/** The numbers that are declared, of the collections that have any. Throws SyncConfigurationError. */
export function assignedNumbersOf(log: ChangeLog): ReadonlyMap<Collection, readonly AssignedNumber[]> {
  const before = known.get(log)
  if (before) return before
  const found = new Map<Collection, AssignedNumber[]>()
  for (const { metadata, urls, options } of syncedEntities(log.dataSource)) {
    const collection = log.collections.find(c => c.metadata === metadata)
    if (!collection || !options.assignedNumbers) continue
    const declared = Object.entries(options.assignedNumbers).map(([property, { per = [] }]) => describe(collection, property, per))
    if (urls.length > 1) rejectNumbers(collection, 'it syncs with several servers, and each would give numbers of its own')
    found.set(collection, declared)
  }
  known.set(log, found)
  return found
}

const INTEGER = /^((tiny|small|medium|big|unsigned big )?int(eger)?[248]?)$/i

function rejectNumbers({ entity }: Collection, why: string): never {
  throw new SyncConfigurationError(`${entity} has assignedNumbers, but ${why}.`, { entity })
}

function describe(collection: Collection, property: string, per: readonly string[]): AssignedNumber {
  const { column: codecs, keyParts } = collection
  const reject = (why: string) => rejectNumbers(collection, why)
  const columnOf = (name: string) => codecs.get(name) ?? reject(`${name} is no column of it that is synced`)
  const column = columnOf(property)
  if (!INTEGER.test(column.declared) || column.metadata.relationMetadata) reject(`${property} is no column of integers`)
  if (keyParts.includes(column)) reject(`${property} is a part of its key, which the device gives`)
  if (!column.nullable) reject(`${property} may not be null: it is, on a device, until the row is pushed`)
  return { column, per: per.map(columnOf) }
}

/**
 * Gives the writes whose senders have other numbers, as they are to be stored: a row keeps the number that it has, and gets the next one where it has
 * none, whatever was posted. The clock is locked, so that no other push counts meanwhile. A relay assigns none: they come from its server.
 */
export function* assignNumbers(log: ChangeLog, writes: readonly PostedWrite[]): Transaction<ReadonlyMap<PostedWrite, PostedWrite>> {
  const declared = assignedNumbersOf(log)
  const numbered = new Map<PostedWrite, PostedWrite>()
  if (!declared.size) return numbered
  for (const [collection, some] of byCollection(writes.filter(w => w.value !== null))) {
    const numbers = declared.get(collection)
    if (!numbers || (yield* hasServers(collection))) continue
    const next = new NextNumbers(collection)
    for (const write of some) {
      const { old } = write
      const row: WireRow = { ...old.value, ...write.value }
      const own: WireRow = {}
      for (const number of numbers) {
        const { property } = number.column
        const kept = old.value?.[property] ?? null
        own[property] = kept ?? (yield* next.of(number, row))
      }
      if (Object.keys(own).some(property => !equalValues(own[property], row[property] ?? null)))
        numbered.set(write, { ...write, value: { ...write.value, ...own } })
    }
  }
  return numbered
}

/** Counts on from the highest number of each group of rows, which is read once. */
class NextNumbers {
  readonly #highest = new Map<string, Json>()

  constructor(private readonly collection: Collection) {}

  *of({ column, per }: AssignedNumber, row: WireRow): Transaction<Json> {
    const values = per.map(({ property }) => row[property] ?? null)
    const group = JSON.stringify([column.property, ...values])
    const highest = this.#highest.get(group) ?? (yield* this.#read(column, per, values))
    const next = column.canonical(typeof highest === 'string' ? String(BigInt(highest) + 1n) : Number(highest) + 1)
    this.#highest.set(group, next)
    return next
  }

  *#read(column: ColumnCodec, per: readonly ColumnCodec[], values: readonly Json[]): Transaction<Json> {
    const conditions = per.map((c, i) => (values[i] === null ? `x.${quote(c.column)} IS NULL` : `x.${quote(c.column)} = ${c.placeholder}`))
    const parameters = per.flatMap((c, i) => (values[i] === null ? [] : [c.fromWire(values[i] as Json)]))
    const highest = column.read(`MAX(x.${quote(column.column)})`)
    const where = conditions.length ? ` WHERE ${conditions.join(' AND ')}` : ''
    const found = yield* first(`SELECT ${highest} AS highest FROM ${quote(this.collection.table.name)} x${where}`, ...parameters)
    return found?.highest === null ? 0 : column.toWire(found?.highest)
  }
}
