// A table or column that a migration renamed: what is known of it moves along. What an entity is called on the wire survives.

import { baseTableNameOf, copiesOf, type Database, query, quote, type Table, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'
import { movedProperties, moveProperties } from './renamedProperties.js'

/** The names at an entity's last set-up, by its table. */
interface Known {
  readonly paths: readonly string[]
  /** Columns by the property's name on the wire; `id` is the key. */
  readonly columns: Readonly<Record<string, string>>
}

function* readKnown(database: Database): Transaction<Map<string, Known>> {
  if (!(yield* database.columnNames('sync_collection')).length) return new Map()
  const rows = yield* query('SELECT collection, paths, properties FROM sync_collection')
  return new Map(
    rows.map(row => [String(row.collection), { paths: JSON.parse(String(row.paths)), columns: JSON.parse(String(row.properties)) }]),
  )
}

/** The table that held an entity before; undefined where it is known under the one that it has, or not at all. */
function formerTable(known: ReadonlyMap<string, Known>, collections: readonly Collection[], { name, paths }: Collection) {
  if (known.has(name)) return
  const others = new Set(collections.map(c => c.name))
  return [...known].find(([table, before]) => !others.has(table) && before.paths.some(path => paths.includes(path)))?.[0]
}

/** The tables of entities, each with the one that holds its rows yet, where a migration is about to rename it. */
export function* tablesBefore(database: Database, collections: readonly Collection[]): Transaction<Table[]> {
  const known = yield* readKnown(database)
  const tables: Table[] = []
  for (const collection of collections) {
    const was = formerTable(known, collections, collection)
    const isYetToCome = was !== undefined && !(yield* database.columnNames(collection.name)).length
    tables.push(isYetToCome ? { ...collection.table, was } : collection.table)
  }
  return tables
}

/** Moves along what is known of tables and columns that were renamed since the last set-up. */
export function* moveRenamed(database: Database, collections: readonly Collection[]): Transaction<void> {
  const known = yield* readKnown(database)
  for (const collection of collections) {
    const { name } = collection
    if (!(yield* database.columnNames(name)).length) continue
    const was = formerTable(known, collections, collection)
    if (was === undefined) yield* moveColumns(database, collection, known.get(name)?.columns ?? {})
    else if ((yield* database.columnNames(was)).length) {
      // both are there: it is another table, and a copy of the old one has nothing to do with it
      if ((yield* database.columnNames(copiesOf(name))).length) yield* query(`DROP TABLE ${quote(copiesOf(name))}`)
    } else {
      yield* moveTable(database, was, name)
      yield* moveColumns(database, collection, known.get(was)?.columns ?? {})
    }
  }
}

function* moveTable(database: Database, was: string, name: string): Transaction<void> {
  for (const [from, to] of [
    [baseTableNameOf(was), baseTableNameOf(name)],
    [copiesOf(was), copiesOf(name)],
  ] as const) {
    if (!(yield* database.columnNames(from)).length) continue
    // a copy that was there before is older, and true
    if ((yield* database.columnNames(to)).length) yield* query(`DROP TABLE ${quote(to)}`)
    yield* query(`ALTER TABLE ${quote(from)} RENAME TO ${quote(to)}`)
  }
  if (database.forgetTable) yield* database.forgetTable(was)
  for (const table of ['sync_server', 'sync_tombstone', 'sync_resolution']) {
    // of a table that had this name before, and is gone
    yield* query(`DELETE FROM ${table} WHERE collection = ?`, name)
    yield* query(`UPDATE ${table} SET collection = ? WHERE collection = ?`, name, was)
  }
  const pushes = yield* query('SELECT "key" AS name FROM sync_push')
  const moved = pushes.map(row => String(row.name)).filter(key => key.startsWith(`${was} `))
  for (const key of moved) yield* query('UPDATE sync_push SET "key" = ? WHERE "key" = ?', name + key.slice(was.length), key)
  yield* query('DELETE FROM sync_collection WHERE collection = ?', was)
}

// By the property of a column; where that was renamed as well, by what the column holds, compared with the copy from before the migration.
function* moveColumns(database: Database, collection: Collection, columns: Known['columns']): Transaction<void> {
  const { table } = collection
  const kept = yield* database.columnNames(baseTableNameOf(table.name))
  const copied = yield* database.columnNames(copiesOf(table.name))
  const own = yield* database.columnNames(table.name)
  const renamed = new Map<string, string>()
  const wanted = new Map([['id', table.key], ...collection.columns.map(c => [c.property, c.column] as const)])
  const isGone = (column: string | undefined): column is string => column !== undefined && !own.includes(column)
  for (const [property, column] of wanted) if (isGone(columns[property]) && own.includes(column)) renamed.set(columns[property], column)
  const key = [...renamed].find(([, column]) => column === table.key)?.[0] ?? table.key
  if (copied.includes(key)) {
    const isNew = (column: string) => own.includes(column) && !copied.includes(column) && ![...renamed.values()].includes(column)
    for (const gone of copied.filter(c => isGone(c) && kept.includes(c) && !renamed.has(c))) {
      for (const column of table.columns.filter(isNew)) {
        const differing = yield* query(
          `SELECT 1 FROM ${quote(table.name)} x JOIN ${quote(copiesOf(table.name))} v ON x.${quote(table.key)} = v.${quote(key)}
            WHERE ${database.differs(`x.${quote(column)}`, `v.${quote(gone)}`)} LIMIT 1`,
        )
        if (differing.length) continue
        renamed.set(gone, column)
        break
      }
    }
  }
  for (const [gone, column] of renamed) {
    if (kept.includes(gone) && !kept.includes(column)) yield* rename(baseTableNameOf(table.name), gone, column)
    if (copied.includes(gone) && !copied.includes(column)) yield* rename(copiesOf(table.name), gone, column)
  }
  yield* moveProperties(collection.name, movedProperties(columns, wanted, renamed))
}

const rename = (table: string, from: string, to: string) =>
  query(`ALTER TABLE ${quote(table)} RENAME COLUMN ${quote(from)} TO ${quote(to)}`)

/** Writes down how entities are called, for the next set-up. */
export function* noteNames(database: Database, collections: readonly Collection[]): Transaction<void> {
  const known = yield* readKnown(database)
  const rows = collections.map(({ name, paths, table, columns }) => [
    name,
    JSON.stringify(paths),
    JSON.stringify(Object.fromEntries([['id', table.key], ...columns.map(c => [c.property, c.column])])),
  ])
  const isNoted = ([name = '', paths, columns]: string[]) => {
    const before = known.get(name)
    return before && JSON.stringify(before.paths) === paths && JSON.stringify(before.columns) === columns
  }
  const left = rows.filter(row => !isNoted(row))
  if (left.length) yield* database.upsertRows('sync_collection', ['collection', 'paths', 'properties'], ['collection'], left)
}
