// Values that a server has ignored, for it has no column for them yet, and references that are put off, for it has no such row yet: they are not
// pushed, whatever the stamp of their row says. No version of the row that this server knows has such a property; a reference is null there.

import { type Database, first, query, quote, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'

/** Notes which properties of rows this server has ignored. Of those that were pushed (null: the row was removed) it knows the others. */
export function* noteIgnored(
  database: Database,
  serverId: number,
  rows: readonly { readonly id: string; readonly pushed: readonly string[] | null; readonly ignored: readonly string[] }[],
): Transaction<void> {
  if (yield* first('SELECT 1 FROM sync_ignored WHERE server = ? LIMIT 1', serverId)) {
    const removed = rows.filter(({ pushed }) => pushed === null).map(({ id }) => [serverId, id])
    yield* database.deleteRows('sync_ignored', ['server', 'id'], removed)
    const known = rows.map(({ id, pushed }) => ({ id, properties: pushed ?? [] }))
    yield* forgetIgnored(database, serverId, known)
  }
  const ignored = rows.map(row => ({ id: row.id, properties: row.ignored }))
  yield* addIgnored(database, serverId, ignored)
}

/** Notes that this server has no column for properties of rows, or lacks the rows that they refer to, beside those that are noted. */
export function addIgnored(
  database: Database,
  serverId: number,
  rows: readonly { readonly id: string; readonly properties: readonly string[] }[],
): Transaction<void> {
  const ignored = rows.flatMap(({ id, properties }) => properties.map(property => [serverId, id, property]))
  return database.upsertRows('sync_ignored', ['server', 'id', 'property'], ['server', 'id', 'property'], ignored)
}

/** The server knows these now. */
export function forgetIgnored(
  database: Database,
  serverId: number,
  rows: readonly { id: string; properties: readonly string[] }[],
): Transaction<void> {
  const known = rows.flatMap(({ id, properties }) => properties.map(property => [serverId, id, property]))
  return database.deleteRows('sync_ignored', ['server', 'id', 'property'], known)
}

/** The ignored properties of rows, by id. */
export function* readIgnored(database: Database, serverId: number, ids: unknown): Transaction<Map<string, string[]>> {
  const rows = yield* query(
    `SELECT g.id, g.property FROM sync_ignored g WHERE g.server = ? AND ${database.among('sync_ignored', 'g', 'id')} ORDER BY g.property`,
    serverId,
    ids,
  )
  const ignored = new Map<string, string[]>()
  for (const { id, property } of rows) {
    const properties = ignored.get(String(id))
    if (properties) properties.push(String(property))
    else ignored.set(String(id), [String(property)])
  }
  return ignored
}

/** The properties of ours that this server has ignored in rows which are still there. Of what it has rejected it has no row that could get them. */
export function* readIgnoredProperties({ table, column }: Collection, database: Database, serverId: number): Transaction<string[]> {
  const rows = yield* query(
    `SELECT DISTINCT g.property FROM sync_ignored g
      WHERE g.server = ? AND EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE x.${quote(table.key)} = ${database.key(table, 'g.id')}
        AND NOT EXISTS (SELECT 1 FROM sync_rejection j WHERE j.server = g.server AND j.id = g.id AND j.stamp = x."_lastChange"))
      ORDER BY g.property`,
    serverId,
  )
  return rows.map(row => String(row.property)).filter(property => column.has(property))
}

/** The ids of rows with an ignored value of these properties, in their order, above one. */
export function* readIgnoredIds(serverId: number, properties: readonly string[], above: string, limit: number): Transaction<string[]> {
  const rows = yield* query(
    `SELECT DISTINCT id FROM sync_ignored WHERE server = ? AND id > ? AND property IN (${properties.map(() => '?').join(', ')}) ORDER BY id LIMIT ?`,
    ...[serverId, above, ...properties, limit],
  )
  return rows.map(row => String(row.id))
}

/** A version without what the server has ignored of it. */
export function withoutIgnored(
  value: WireRow,
  { ignored, putOff }: { readonly ignored: readonly string[]; readonly putOff: readonly string[] },
): WireRow {
  const known = { ...value }
  for (const property of ignored) delete known[property]
  for (const property of putOff) known[property] = null
  return known
}
