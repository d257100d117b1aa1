// Keys as SQL.

import { baseTableOf, type Database, query, quote, type Transaction } from '../../databases/database.js'
import { ValueError } from '../../errors.js'
import type { Json } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { type Filter, type Keys, OWN_KEY } from './keySet.js'

/** A part of a statement, with its parameters. */
export interface Condition {
  readonly sql: string
  readonly values: readonly unknown[]
}

export const ALWAYS: Condition = { sql: '1 = 1', values: [] }
export const NEVER_SO: Condition = { sql: '1 = 0', values: [] }

export const all = (...conditions: readonly Condition[]): Condition => join(conditions, ' AND ')
export const any = (...conditions: readonly Condition[]): Condition => (conditions.length ? join(conditions, ' OR ') : NEVER_SO)
/** Not so, or not known: a column may be NULL. */
export const not = ({ sql, values }: Condition): Condition => ({ sql: `CASE WHEN ${sql} THEN 1 ELSE 0 END = 0`, values })

const join = (conditions: readonly Condition[], by: string): Condition => ({
  sql: `(${conditions.map(c => c.sql).join(by)})`,
  values: conditions.flatMap(c => c.values),
})

/** «One of the keys fits the row x.» */
export function fitsRow(database: Database, collection: Collection, keys: Keys): Condition {
  const { table } = collection
  return fits(keys, (property, values) => {
    const column = property === OWN_KEY ? table.key : columnOf(collection, property)
    return column === undefined
      ? undefined
      : among(database, table.name, 'x', column, possible(collection, property, values), isText(collection, property))
  })
}

/** «One of the keys fitted the row whose exit i is.» */
export function fitsExit(database: Database, collection: Collection, keys: Keys): Condition {
  const bases = baseTableOf(collection.table)
  return fits(keys, (property, values) => {
    const column = property === OWN_KEY ? '_sync_id' : columnOf(collection, property)
    return column === undefined
      ? undefined
      : among(database, bases, 'i', column, possible(collection, property, values), isText(collection, property))
  })
}

/** «One of the keys fits the tombstone t», where the own key is the only scope. */
export function fitsTombstone(database: Database, keys: Keys): Condition {
  return fits(keys, (property, values) => (property === OWN_KEY ? among(database, 'sync_tombstone', 't', 'id', values, true) : undefined))
}

/** `toSql` gives undefined where no row has the property. */
function fits(keys: Keys, toSql: (property: string, values: readonly string[]) => Condition | undefined): Condition {
  if (keys === 'all') return ALWAYS
  const conditions = keys.flatMap(filter => {
    const parts = Object.entries(filter).map(([property, values]) => toSql(property, values))
    return parts.every(part => part !== undefined) ? all(...parts) : []
  })
  return any(...conditions)
}

/** «The column has one of these values»; undefined for none. Where the column holds texts its collation may take others for equal: users’ names, too. */
export function among(
  database: Database,
  table: string,
  alias: string,
  column: string,
  values: readonly string[],
  isText: boolean,
): Condition | undefined {
  if (!values.length) return
  const list = database.list(values)
  const byIndex: Condition = { sql: database.among(table, alias, column), values: [list] }
  return isText ? all(byIndex, { sql: database.amongTexts(`${alias}.${quote(column)}`), values: [list] }) : byIndex
}

/** Does a column of this type hold texts? */
export const holdsTexts = (type: string) => /char|text|clob/i.test(type)

const isText = (collection: Collection, property: string) =>
  property !== OWN_KEY && holdsTexts(collection.scopes.find(c => c.property === property)?.declared ?? '')

const columnOf = ({ scopes }: Collection, property: string) => scopes.find(c => c.property === property)?.column

/**
 * One of the keys as columns of a row, `preferred` where it is among the values: a row with these fits it. Undefined where no key speaks of other columns than
 * the row's own key, or where none can be.
 */
export function columnsOfKey(collection: Collection, keys: Keys, preferred: string): ReadonlyMap<string, unknown> | undefined {
  if (keys === 'all') return
  const found = keys.flatMap(filter => {
    const columns = new Map<string, unknown>()
    let isPreferred = true
    for (const [property, values] of Object.entries(filter)) {
      const scope = collection.scopes.find(c => c.property === property)
      const some = possible(collection, property, values)
      const value = some.includes(preferred) ? preferred : some[0]
      if (!scope || value === undefined) return []
      columns.set(scope.column, holds(scope, value) ? scope.fromWire(value) : scope.fromWire(Number(value)))
      isPreferred &&= value === preferred
    }
    return [{ columns, isPreferred }]
  })
  return (found.find(key => key.isPreferred) ?? found[0])?.columns
}

/** The values that the column can hold: a database fails where it is asked for a uuid that is none. */
function possible(collection: Collection, property: string, values: readonly string[]): readonly string[] {
  if (property === OWN_KEY) return values.filter(value => collection.rejectKey(value) === undefined)
  const codec = collection.scopes.find(c => c.property === property)
  return values.filter(value => !codec || holds(codec, value) || (/^-?\d+$/.test(value) && holds(codec, Number(value))))
}

function holds(codec: Collection['scopes'][number], value: Json): boolean {
  try {
    codec.fromWire(value)
    return true
  } catch (error) {
    if (error instanceof ValueError) return false
    throw error
  }
}

/** Those of the ids whose rows a key fits. */
export function* readFitting(database: Database, collection: Collection, keys: Keys, ids: readonly string[]): Transaction<Set<string>> {
  const { table } = collection
  if (!ids.length) return new Set()
  const condition = fitsRow(database, collection, keys)
  const rows = yield* query(
    `SELECT ${database.id(table, 'x')} AS id FROM ${quote(table.name)} x WHERE ${database.among(table.name, 'x', table.key)} AND ${condition.sql}`,
    database.list(ids.filter(id => collection.rejectKey(id) === undefined)),
    ...condition.values,
  )
  return new Set(rows.map(row => String(row.id)))
}

/** The stamps of the last exits of these ids from what the keys open. */
export function* readExits(
  database: Database,
  collection: Collection,
  keys: readonly Filter[],
  ids: readonly string[],
): Transaction<Map<string, number>> {
  if (!ids.length) return new Map()
  const bases = baseTableOf(collection.table)
  const fitsId = database.list(ids)
  const condition = collection.scopes.length ? fitsExit(database, collection, keys) : fitsTombstone(database, keys)
  const rows = yield* collection.scopes.length
    ? query(
        `SELECT i._sync_id AS id, max(i._sync_stamp) AS stamp FROM ${quote(bases)} i
          WHERE i._sync_server = 0 AND ${database.among(bases, 'i', '_sync_id')} AND ${condition.sql} GROUP BY i._sync_id`,
        ...[fitsId, ...condition.values],
      )
    : query(
        `SELECT t.id AS id, t.stamp AS stamp FROM sync_tombstone t
          WHERE t.collection = ? AND ${database.among('sync_tombstone', 't', 'id')} AND ${condition.sql}`,
        ...[collection.name, fitsId, ...condition.values],
      )
  return new Map(rows.map(row => [String(row.id), Number(row.stamp)]))
}
