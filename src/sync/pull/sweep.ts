// A full answer is mark and sweep: what it lacks, the server does not have any more (docs/how-it-works.md, law 8), or does not show any more.

import type { Collection } from '../../changes/collections/collection.js'
import { baseOf } from '../../changes/servers/agreement.js'
import { baseTableOf, first, query, quote, type Transaction } from '../../databases/database.js'
import { isUpToSql } from '../../databases/knows.js'
import type { Update } from '../../protocol/messages.js'
import { nothingApplied } from '../apply/applied.js'
import { applyRemoteRows } from '../apply/apply.js'
import { type Exchange, readRowStates, TransactionStamp } from '../exchange.js'
import type { Exchanges } from '../session.js'

export function* wasAnythingAgreed({ log, collection, server }: Exchange): Transaction<boolean> {
  const { table } = collection
  const known = yield* first(
    `SELECT 1 FROM sync_server r WHERE r.id = ? AND (
       EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE ${isUpToSql({ id: log.database.id(table, 'x'), stamp: 'x."_lastChange"' })})
       OR EXISTS (SELECT 1 FROM sync_stamp m JOIN ${quote(table.name)} x ON x."_lastChange" = m.stamp WHERE m.server = r.id)
       OR EXISTS (SELECT 1 FROM ${quote(baseTableOf(table))} i WHERE i._sync_server = r.id AND i._sync_removed = 0)
       OR EXISTS (SELECT 1 FROM sync_unapplied c WHERE c.server = r.id))`,
    server.id,
  )
  return known !== undefined
}

export function* noteSeen({ log: { database }, server }: Exchange, updates: readonly Update[]): Transaction<void> {
  if (!server.sweeping) return
  const rowsOf = (some: readonly Update[]) => some.map(({ id }) => [server.id, id])
  const [keys, there] = [['server', 'id'], updates.filter(u => u.value !== null)]
  yield* database.upsertRows('sync_seen', keys, keys, rowsOf(there))
  yield* database.deleteRows('sync_seen', keys, rowsOf(updates.filter(u => u.value === null)))
}

export function* forgetSeen(exchanges: Exchanges): Transaction<void> {
  const [any] = exchanges
  const seen = exchanges.map(({ server }) => [server.id])
  if (any && (yield* first('SELECT 1 FROM sync_seen LIMIT 1'))) yield* any.log.database.deleteRows('sync_seen', ['server'], seen)
}

export interface Swept {
  readonly collection?: Collection
  readonly stored: number
  /** The id to go on after; undefined at the end. */
  readonly after: string | undefined
}

export const NOTHING_SWEPT: Swept = { stored: 0, after: undefined }

/** What a full answer lacks, the server does not have any more (law 8); or it is there, where the user sees a part of the rows. */
export function* sweep(exchange: Exchange, after: string, limit: number): Transaction<Swept> {
  const { log, collection, server } = exchange
  const { table } = collection
  const rows = yield* query(
    `SELECT k.id FROM (
       SELECT ${log.database.id(table, 'x')} AS id FROM ${quote(table.name)} x
       UNION SELECT c.id FROM sync_unapplied c WHERE c.server = ?
       UNION SELECT i._sync_id FROM ${quote(baseTableOf(table))} i WHERE i._sync_server = ?) k
      WHERE k.id > ? AND NOT EXISTS (SELECT 1 FROM sync_seen s WHERE s.server = ? AND s.id = k.id)
      ORDER BY k.id LIMIT ?`,
    ...[server.id, server.id, after, server.id, limit],
  )
  const ids = rows.map(row => String(row.id))
  const gone: Update[] = []
  for (const state of (yield* readRowStates(exchange, ids)).values()) {
    const before = state.unapplied ? state.unapplied.remote : baseOf(server, state)
    if (before) gone.push({ id: state.id, value: null, ...(server.sweeping === 'left' && { left: true }) })
  }
  const { stored } = gone.length ? yield* applyRemoteRows(exchange, gone, new TransactionStamp(exchange)) : nothingApplied()
  return { collection, stored, after: ids.length < limit ? undefined : ids.at(-1) }
}
