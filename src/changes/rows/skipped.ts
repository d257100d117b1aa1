// Writes that the database skipped without an error: by a trigger of the application's (RETURN NULL, RAISE(IGNORE)), a rule, or a policy.

import { type Database, query, quote, Rollback, savepoint, type Transaction } from '../../databases/database.js'
import { ConstraintError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { forgetUnmovedExits, noteAnyExits } from '../store/exits.js'

interface Written {
  readonly id: string
  /** null: removed. */
  readonly value: WireRow | null
}

/** Throws ConstraintError where one of these is not stored under its stamp: a skipped row must not count as stored. */
export function* rejectSkipped(database: Database, collection: Collection, writes: readonly Written[], stamp: number): Transaction<void> {
  if (!writes.length || !(yield* database.maySkip(collection.table))) return
  const stamps = yield* readStamps(database, collection, writes)
  if (writes.some(({ id, value }) => stamps.get(id) !== (value === null ? undefined : stamp)))
    throw new ConstraintError('skipped', undefined)
}

/** The ids among these whose rows stay although they are deleted, as where a trigger marks them as deleted instead. Nothing is changed. */
export function* readStaying(database: Database, collection: Collection, ids: readonly string[]): Transaction<Set<string>> {
  if (!ids.length || !(yield* database.maySkip(collection.table))) return new Set()
  return (yield* tryToDelete(database, collection, ids)) ?? (yield* tryOneByOne(database, collection, ids))
}

function* tryOneByOne(database: Database, collection: Collection, ids: readonly string[]): Transaction<Set<string>> {
  const staying = new Set<string>()
  for (const id of ids) for (const stays of (yield* tryToDelete(database, collection, [id])) ?? []) staying.add(stays)
  return staying
}

// Undefined where the database rejects it: that is another matter.
function* tryToDelete(database: Database, collection: Collection, ids: readonly string[]): Transaction<Set<string> | undefined> {
  let staying: Set<string> | undefined
  try {
    yield* savepoint(function* () {
      yield* deleteRows(database, collection, ids)
      staying = new Set((yield* readStamps(database, collection, toWritten(ids))).keys())
      throw new Rollback()
    })
  } catch (error) {
    if (error instanceof ConstraintError) return
    if (!(error instanceof Rollback)) throw error
  }
  return staying
}

/** Deletes rows that stay, so that the trigger does with them what it does, and stamps them: they have changed. */
export function* deleteStaying(database: Database, collection: Collection, ids: readonly string[], stamp: number): Transaction<void> {
  if (!ids.length) return
  const { table } = collection
  yield* noteAnyExits(database, collection, ids, stamp)
  yield* deleteRows(database, collection, ids)
  const rows = ids.map(id => [stamp, id])
  yield* database.updateRows(table.name, ['_lastChange'], [table.key], rows)
  yield* forgetUnmovedExits(database, collection, ids, stamp)
  yield* rejectSkipped(
    database,
    collection,
    ids.map(id => ({ id, value: {} })),
    stamp,
  )
}

const toWritten = (ids: readonly string[]): Written[] => ids.map(id => ({ id, value: null }))

function deleteRows(database: Database, { table }: Collection, ids: readonly string[]): Transaction<void> {
  return database.deleteRows(
    table.name,
    [table.key],
    ids.map(id => [id]),
  )
}

function* readStamps(database: Database, { table }: Collection, writes: readonly Written[]): Transaction<Map<string, number>> {
  const rows = yield* query(
    `SELECT ${database.id(table, 'x')} AS id, x."_lastChange" AS stamp FROM ${quote(table.name)} x WHERE ${database.among(table.name, 'x', table.key)}`,
    database.list(writes.map(w => w.id)),
  )
  return new Map(rows.map(row => [String(row.id), Number(row.stamp)]))
}
