// What the engine itself moves out of a scope, or removes, leaves an exit, as what triggers see (databases/exits.ts). Exits are noted before the rows
// change, while the database has what they were; those of rows that have stayed go again.

import { baseTableOf, type Database, EXIT, query, queryCells, quote, type Transaction } from '../../databases/database.js'
import type { Json, WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { byCollection, groupBy } from '../collections/groupBy.js'
import type { Change } from './change.js'

/** Notes the exits of these changes. To be called before the rows change; `forgetUnmoved` afterwards. */
export function* noteExits(database: Database, changes: readonly Change[]): Transaction<{ forgetUnmoved: () => Transaction<void> }> {
  const uncertain: [collection: Collection, ids: string[], stamp: number][] = []
  for (const [collection, all] of byCollection(changes)) {
    const { scopes, table } = collection
    if (!scopes.length) continue
    yield* liftExits(database, collection, all)
    // a row that keeps its stamp is on its way: it leaves under the stamp of what follows
    const leaving = all.filter(c => c.old.value !== null && c.stamp !== c.old.stamp)
    const mayChange = leaving.length > 0 && (yield* database.mayChange(table))
    for (const [stamp, some] of groupBy(leaving, c => c.stamp)) {
      const moved = idsOf(some.filter(c => c.value !== null && (mayChange || isMove(collection, c.old.value, c.value))))
      yield* database.keepExits(table, moved, stamp, false)
      yield* database.keepExits(table, idsOf(some.filter(c => c.value === null)), stamp, true)
      // what a trigger makes of a row, or how the database spells a value, is seen afterwards
      if (mayChange || scopes.some(c => c.isSpelledThere || c.path)) uncertain.push([collection, moved, stamp])
    }
  }
  return {
    *forgetUnmoved() {
      for (const each of uncertain) yield* forgetUnmovedExits(database, ...each)
    },
  }
}

/** Notes that rows of a collection may leave a scope, whatever becomes of them. */
export function* noteAnyExits(database: Database, { table, scopes }: Collection, ids: readonly string[], stamp: number): Transaction<void> {
  if (scopes.length) yield* database.keepExits(table, ids, stamp, false)
}

/**
 * Notes that new rows are not seen by who has made them: they leave the scopes of one of the maker's keys, where they never were, so that the maker's devices
 * hear of it. Others who hold that key hear of an id that they do not know.
 */
export function* noteUnseenByMaker(
  database: Database,
  { table }: Collection,
  key: ReadonlyMap<string, unknown>,
  ids: readonly string[],
  stamp: number,
): Transaction<void> {
  yield* database.upsertRows(
    baseTableOf(table),
    ['_sync_server', '_sync_id', '_sync_stamp', '_sync_removed', ...key.keys()],
    ['_sync_server', '_sync_id', '_sync_stamp'],
    ids.map(id => [EXIT, id, stamp, 0, ...key.values()]),
  )
}

/** Forgets the exits, under a stamp, of rows that are where they were. */
export function* forgetUnmovedExits(
  database: Database,
  { table, scopes }: Collection,
  ids: readonly string[],
  stamp: number,
): Transaction<void> {
  if (!scopes.length || !ids.length) return
  const bases = quote(baseTableOf(table))
  const differs = table.scopes.map(c => database.differs(`x.${quote(c)}`, `${bases}.${quote(c)}`)).join(' OR ')
  yield* query(
    `DELETE FROM ${bases} WHERE _sync_server = ${EXIT} AND _sync_stamp = ? AND _sync_removed = 0
      AND ${database.among(baseTableOf(table), bases, '_sync_id')}
      AND EXISTS (SELECT 1 FROM ${quote(table.name)} x
                   WHERE x.${quote(table.key)} = ${database.key(table, `${bases}._sync_id`)} AND NOT (${differs}))`,
    stamp,
    database.list(ids),
  )
}

/** Of rows that will be written as they came, those that are in another scope now. */
export function* readMoves(
  database: Database,
  collection: Collection,
  rows: readonly { id: string; value: WireRow }[],
): Transaction<string[]> {
  const { table, scopes } = collection
  if (!scopes.length || !rows.length) return []
  if (scopes.some(c => c.path)) return idsOf(rows)
  const cells = yield* queryCells(
    `SELECT ${database.id(table, 'x')} AS id${scopes.map((c, i) => `, ${c.read(`x.${quote(c.column)}`)} AS c${i}`).join('')}
       FROM ${quote(table.name)} x WHERE ${database.among(table.name, 'x', table.key)}`,
    database.list(idsOf(rows)),
  )
  const before = new Map(
    cells.map(([id, ...values]) => [String(id), Object.fromEntries(scopes.map((c, i) => [c.property, c.toWire(values[i] ?? null)]))]),
  )
  return idsOf(rows.filter(({ id, value }) => before.has(id) && isMove(collection, before.get(id) as WireRow, value)))
}

const isMove = ({ scopes }: Collection, old: WireRow | null, value: WireRow | null) =>
  scopes.some(c => {
    // by a path a row moves with its parent: where to is seen afterwards
    if (c.path) return value !== null && c.path.by.some(p => Object.hasOwn(value, p) && value[p] !== (old?.[p] ?? null))
    return value !== null && Object.hasOwn(value, c.property) && c.canonical(value[c.property] as Json) !== (old?.[c.property] ?? null)
  })

/** A row that was removed is there again: elsewhere, perhaps, but it was not removed. */
function* liftExits(database: Database, { table }: Collection, changes: readonly Change[]): Transaction<void> {
  const back = idsOf(changes.filter(c => c.value !== null && c.old.value === null && c.old.stamp > 0))
  if (!back.length) return
  const bases = baseTableOf(table)
  yield* query(
    `UPDATE ${quote(bases)} SET _sync_removed = 0
      WHERE _sync_server = ${EXIT} AND _sync_removed = 1 AND ${database.among(bases, quote(bases), '_sync_id')}`,
    database.list(back),
  )
}

const idsOf = (rows: readonly { readonly id: string }[]) => rows.map(({ id }) => id)
