// Values that a server has ignored, for it has no column for them yet: they are not pushed, whatever the stamp of their row says. No version
// of the row that this server knows has such a property.

import type { WireRow } from '../protocol/messages.js'
import type { Collection } from './collection.js'
import { type Database, first, query, quote, type Step } from './database/database.js'

/** Notes which properties of rows this server has ignored: those, and none beside them. */
export function* noteIgnored(
  database: Database,
  remote: number,
  rows: readonly { id: string; properties: readonly string[] }[],
): Step<void> {
  if (yield* first('SELECT 1 FROM sync_ignored WHERE remote = ? LIMIT 1', remote))
    yield* database.deleteRows(
      'sync_ignored',
      ['remote', 'id'],
      rows.map(({ id }) => [remote, id]),
    )
  yield* addIgnored(database, remote, rows)
}

/** Notes that this server has no column for properties of rows, beside those that are noted. */
export function addIgnored(database: Database, remote: number, rows: readonly { id: string; properties: readonly string[] }[]): Step<void> {
  const ignored = rows.flatMap(({ id, properties }) => properties.map(property => [remote, id, property]))
  return database.upsertRows('sync_ignored', ['remote', 'id', 'property'], ['remote', 'id', 'property'], ignored)
}

/** The server knows these now. */
export function forgetIgnored(
  database: Database,
  remote: number,
  rows: readonly { id: string; properties: readonly string[] }[],
): Step<void> {
  const known = rows.flatMap(({ id, properties }) => properties.map(property => [remote, id, property]))
  return database.deleteRows('sync_ignored', ['remote', 'id', 'property'], known)
}

/** The ignored properties of rows, by id. */
export function* readIgnored(database: Database, remote: number, ids: unknown): Step<Map<string, string[]>> {
  const rows = yield* query(
    `SELECT g.id, g.property FROM sync_ignored g WHERE g.remote = ? AND ${database.among('sync_ignored', 'g', 'id')} ORDER BY g.property`,
    remote,
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

/** The properties of ours that this server has ignored in rows which are still there. */
export function* readIgnoredProperties({ table, column }: Collection, database: Database, remote: number): Step<string[]> {
  const rows = yield* query(
    `SELECT DISTINCT g.property FROM sync_ignored g
      WHERE g.remote = ? AND EXISTS (SELECT 1 FROM ${quote(table.name)} x WHERE x.${quote(table.key)} = ${database.key(table, 'g.id')})
      ORDER BY g.property`,
    remote,
  )
  return rows.map(row => String(row.property)).filter(property => column.has(property))
}

/** The ids of rows with an ignored value of these properties, in their order, above one. */
export function* readIgnoredIds(remote: number, properties: readonly string[], above: string, limit: number): Step<string[]> {
  const rows = yield* query(
    `SELECT DISTINCT id FROM sync_ignored WHERE remote = ? AND id > ? AND property IN (${properties.map(() => '?').join(', ')}) ORDER BY id LIMIT ?`,
    ...[remote, above, ...properties, limit],
  )
  return rows.map(row => String(row.id))
}

/** A version without what the server has ignored of it. */
export function withoutIgnored(value: WireRow, ignored: readonly string[]): WireRow {
  const known = { ...value }
  for (const property of ignored) delete known[property]
  return known
}
