// What TypeORM keeps of a tree beside the parent of each row, a materialized path or a closure table, follows from the parents: it does not travel, and is
// made here where the engine stores rows. Of rows that the database counts it is made of their numbers, which are others elsewhere.

import { type Database, query, quote, type Transaction } from '../../databases/database.js'
import { splitId } from '../../databases/values/compositeKeys.js'
import { travelling } from '../../databases/values/identities.js'
import { type Collection, keyOf, type Reference } from '../collections/collection.js'
import { byCollection } from '../collections/groupBy.js'
import { neededKey, needs } from '../collections/joins.js'
import type { Change } from './change.js'

/** Brings what follows in line with rows that were written. */
export function* followTrees(
  database: Database,
  changes: readonly Pick<Change, 'collection' | 'id' | 'old' | 'value'>[],
): Transaction<void> {
  for (const [collection, some] of byCollection(changes)) {
    const reference = treeOf(collection)
    if (!reference) continue
    const isMoved = ({ id, old, value }: (typeof some)[number]) =>
      value !== null && (old.value === null || keyOf(reference, id, value, old.value) !== keyOf(reference, id, old.value))
    const moved = some.filter(isMoved).map(({ id }) => id)
    if (moved.length) yield* follow(database, collection, reference, moved)
  }
}

/** The reference to the parent, of a tree of which TypeORM keeps more. */
export function treeOf({ metadata, parents }: Collection): Reference | undefined {
  const { closureJunctionTable, materializedPathColumn, treeParentRelation } = metadata
  if (!closureJunctionTable && !materializedPathColumn) return
  const columns = treeParentRelation?.joinColumns.map(c => travelling(c).databaseName) ?? []
  return parents.find(r => r.childColumns.length === columns.length && columns.every(c => r.childColumns.includes(c)))
}

function* follow(database: Database, collection: Collection, reference: Reference, moved: readonly string[]): Transaction<void> {
  const { metadata, table } = collection
  const below = yield* readBelow(database, collection, reference, moved)
  const nodes = yield* readNodes(database, collection, reference, below)
  const paths = [...below].map(id => [id, pathOf(nodes, id)] as const)
  const keyOfNode = (id: string) => nodes.get(id)?.key ?? id
  const { closureJunctionTable: closure, materializedPathColumn: mpath } = metadata
  if (mpath) {
    const order = metadata.treeParentRelation?.joinColumns.map(c => metadata.primaryColumns.indexOf(c.referencedColumn as never)) ?? []
    const nameOf = (id: string) => (order.length < 2 ? keyOfNode(id) : order.map(i => splitId(id, order.length)?.[i]).join('_'))
    const rows = paths.map(([id, path]) => [`${path.map(nameOf).join('.')}.`, id])
    yield* database.updateRows(table.name, [mpath.databaseName], [table.key], rows)
  }
  const [ancestor, descendant] = [closure?.ancestorColumns[0]?.databaseName, closure?.descendantColumns[0]?.databaseName]
  if (!closure || !ancestor || !descendant) return
  yield* database.deleteRows(
    closure.tableName,
    [descendant],
    [...below].map(id => [keyOfNode(id)]),
  )
  const pairs = paths.flatMap(([id, path]) => path.map(above => [keyOfNode(above), keyOfNode(id)]))
  yield* database.insertRows(closure.tableName, [ancestor, descendant], pairs)
}

/** Rows, and all below them. */
function* readBelow(database: Database, { table }: Collection, reference: Reference, ids: readonly string[]): Transaction<Set<string>> {
  const below = new Set(ids)
  for (let level = [...below]; level.length; ) {
    const rows = yield* query(
      `SELECT ${database.id(table, 'x')} AS id FROM ${quote(table.name)} p JOIN ${quote(table.name)} x ON ${needs(reference)}
        WHERE ${database.among(table.name, 'p', table.key)}`,
      database.list(level),
    )
    level = rows.map(row => String(row.id)).filter(id => !below.has(id) && below.add(id))
  }
  return below
}

interface Node {
  readonly parent: string | null
  /** Its key in this database, as text. */
  readonly key: string
}

/** Rows, and all above them. */
function* readNodes(
  database: Database,
  { table }: Collection,
  reference: Reference,
  ids: Iterable<string>,
): Transaction<Map<string, Node>> {
  const id = database.id(table, 'x')
  const key = table.number === undefined ? id : database.text(`x.${quote(table.number)}`)
  const nodes = new Map<string, Node>()
  for (let level = [...ids]; level.length; ) {
    const rows = yield* query(
      `SELECT ${id} AS id, ${key} AS "key", ${neededKey(database, reference, 'x')} AS parent FROM ${quote(table.name)} x
        WHERE ${database.among(table.name, 'x', table.key)}`,
      database.list(level),
    )
    for (const row of rows) nodes.set(String(row.id), { parent: row.parent === null ? null : String(row.parent), key: String(row.key) })
    const above = new Set(rows.flatMap(({ parent }) => (parent === null || nodes.has(String(parent)) ? [] : String(parent))))
    level = [...above]
  }
  return nodes
}

/** From the root down to the row. A circle ends where it began. */
function pathOf(nodes: ReadonlyMap<string, Node>, id: string): string[] {
  const path = new Set<string>()
  for (let at: string | null | undefined = id; typeof at === 'string' && !path.has(at) && nodes.has(at); at = nodes.get(at)?.parent)
    path.add(at)
  return [...path].reverse()
}
