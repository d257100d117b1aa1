// What a server does now and then: forgets what no client asks for any more, and begins its history anew after a restore.

import type { DataSource } from 'typeorm'
import type { Collection } from '../src/changes/collections/collection.js'
import { baseTableOf, type Database, EXIT, first, query, quote, type Transaction } from '../src/databases/database.js'
import { isKnownSql } from '../src/databases/knows.js'
import { changeLogOf } from '../src/entity/registry.js'
import { forgetSets } from './keySets.js'

const DAY = 24 * 60 * 60 * 1000
// in a transaction, so that requests are answered in between
const BATCH = 2_000

interface Age {
  /** Milliseconds. */
  readonly olderThan?: number
}

/**
 * Forgets removals, and sets of keys that users held, that are older than 180 days, or `olderThan`. A client that was away for longer reads everything from
 * the beginning; its own changes stay. Resolves to how many were forgotten.
 */
export async function collectTombstones(dataSource: DataSource, { olderThan = 180 * DAY }: Age = {}): Promise<number> {
  const { database, collections } = changeLogOf(dataSource)
  // The horizon before the tombstones: from then on no client gets a difference that might lack one.
  const horizon = await database.transaction(() => raiseHorizon(database, Date.now() - olderThan))
  let count = 0
  for (const collection of collections) {
    let collected: number
    do {
      collected = await database.transaction(() => collectSome(database, collection, horizon))
      count += collected
    } while (collected === BATCH)
    // in the order of their key, from where the last batch ended: what is newer stays, and is passed by once
    for (let from: Exit | undefined = { id: '', stamp: 0 }; from && collection.scopes.length; ) {
      const after: Exit = from
      from = await database.transaction(() => collectExits(database, collection, horizon, after))
    }
  }
  await database.transaction(() => forgetSets(horizon))
  return count
}

function* raiseHorizon(database: Database, stamp: number): Transaction<number> {
  const { now, horizon } = yield* database.clock()
  // never above now: a client that has read everything would be below it
  const raised = Math.max(horizon, Math.min(now, Math.floor(stamp)))
  if (raised > horizon) yield* query('UPDATE sync_clock SET horizon = ?', raised)
  return raised
}

// Only what every server of this database knows, and waits for nothing. Base versions are dropped with it: else an old one counts as the base of a new row with
// that id.
function* collectSome(database: Database, { name, table }: Collection, horizon: number): Transaction<number> {
  const rows = yield* query(
    `SELECT t.id AS id
       FROM sync_tombstone t
      WHERE t.collection = ? AND t.stamp <= ?
        AND NOT EXISTS (
          SELECT 1 FROM sync_server r
           WHERE r.collection = t.collection
             AND NOT (${isKnownSql({ id: 't.id', stamp: 't.stamp' })}
               AND NOT EXISTS (SELECT 1 FROM sync_unapplied w WHERE w.server = r.id AND w.id = t.id)))
      ORDER BY t.stamp, t.id LIMIT ?`,
    name,
    horizon,
    BATCH,
  )
  if (rows.length === 0) return 0
  const ids = rows.map(row => String(row.id))
  const bases = baseTableOf(table)
  yield* query(`DELETE FROM ${quote(bases)} WHERE ${database.among(bases, quote(bases), '_sync_id')}`, database.list(ids))
  yield* database.deleteRows(
    'sync_tombstone',
    ['collection', 'id'],
    ids.map(id => [name, id]),
  )
  return rows.length
}

interface Exit {
  readonly id: string
  readonly stamp: number
}

/** Forgets some of what left a scope up to the horizon, in the order of their key. Gives the last one; undefined where there are no more. */
function* collectExits(database: Database, { table }: Collection, horizon: number, after: Exit): Transaction<Exit | undefined> {
  const bases = baseTableOf(table)
  const rows = yield* query(
    `SELECT i._sync_id AS id, i._sync_stamp AS stamp FROM ${quote(bases)} i
      WHERE i._sync_server = ${EXIT} AND i._sync_stamp <= ? AND i._sync_id >= ? AND (i._sync_id > ? OR i._sync_stamp > ?)
      ORDER BY i._sync_id, i._sync_stamp LIMIT ?`,
    ...[horizon, after.id, after.id, after.stamp, BATCH],
  )
  const exits = rows.map(row => ({ id: String(row.id), stamp: Number(row.stamp) }))
  yield* database.deleteRows(
    bases,
    ['_sync_server', '_sync_id', '_sync_stamp'],
    exits.map(({ id, stamp }) => [EXIT, id, stamp]),
  )
  return exits.length < BATCH ? undefined : exits.at(-1)
}

/** Forgets the idempotency keys of POSTs that were answered more than 30 days ago, or `olderThan`. Resolves to how many were forgotten. */
export async function forgetPushes(dataSource: DataSource, { olderThan = 30 * DAY }: Age = {}): Promise<number> {
  const before = Date.now() - olderThan
  return changeLogOf(dataSource).database.transaction(function* () {
    const row = yield* first('SELECT count(*) AS pushes FROM sync_push WHERE answered_at < ?', before)
    yield* query('DELETE FROM sync_push WHERE answered_at < ?', before)
    return Number(row?.pushes)
  })
}

/**
 * To be called after a backup was restored, before clients are let in again: it gives the history a new name. Every client then reads everything
 * and pushes all that it has, so that what the backup lacks comes back; only contents that differ conflict. Resolves to the new name.
 */
export async function renewHistory(dataSource: DataSource): Promise<string> {
  const name = globalThis.crypto.randomUUID()
  await changeLogOf(dataSource).database.transaction(() => query('UPDATE sync_clock SET collection = ?', name), { durable: true })
  await changeLogOf(dataSource).database.save()
  return name
}

export interface MaintenanceOptions {
  /** Milliseconds; by default a day. */
  readonly every?: number
  /** Called with a failure; the next run comes all the same. */
  readonly onError?: (error: unknown) => void
}

/** Runs `collectTombstones` and `forgetPushes` now and then for as long as the data source is open. Gives back what stops it. */
export function maintain(dataSource: DataSource, { every = DAY, onError = console.error }: MaintenanceOptions = {}): () => void {
  const work = async () => {
    try {
      if (dataSource.isInitialized) await collectTombstones(dataSource)
      if (dataSource.isInitialized) await forgetPushes(dataSource)
    } catch (error) {
      if (dataSource.isInitialized) onError(error)
    }
  }
  void work()
  // a timer that is set for longer than 2^31 - 1 fires at once
  const timer = setInterval(work, Math.min(every, 2 ** 31 - 1)).unref()
  return () => clearInterval(timer)
}
