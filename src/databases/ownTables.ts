// The tables of the change log, for every kind of database (docs/how-it-works.md). A kind has a map of types, and what is its own.
//
// Ids, and names by which rows are found, compare bytewise everywhere. What is JSON is text: its keys keep their order.

import { quote } from './table.js'

/** What a column holds. `name` is that of a table, or no longer than one; `id` is the id of a row, a url or a key; `text` may be long. */
export type OwnType = 'serial' | 'integer' | 'flag' | 'name' | 'id' | 'property' | 'text'

/** How a column is defined: its type, and ` null` or a default where it is not required. */
type Definition = OwnType | `${OwnType} null` | `${OwnType} 0`

export interface OwnTable {
  readonly columns: Readonly<Record<string, Definition>>
  /** Absent where a serial is the key. */
  readonly key?: readonly string[]
  readonly unique?: readonly string[]
  /** By name, the columns of indexes. */
  readonly indexes?: Readonly<Record<string, readonly string[]>>
}

export const OWN_TABLES = {
  // now: the last stamp. collection: the random name of this history. horizon: tombstones up to here are collected
  sync_clock: { columns: { timeline: 'name', now: 'integer', collection: 'name', horizon: 'integer' }, key: ['timeline'] },
  sync_tombstone: {
    columns: { collection: 'name', id: 'id', stamp: 'integer' },
    key: ['collection', 'id'],
    indexes: { sync_tombstone_stamp: ['collection', 'stamp', 'id'] },
  },
  sync_server: {
    columns: {
      id: 'serial',
      collection: 'name',
      url: 'id',
      origin: 'id', // which server it is: collections of one server share foreign keys there
      server_history: 'text null', // the id of the server's history; null: it knows none, or has never answered
      server_date: 'integer 0',
      highest: 'integer 0',
      reads: 'integer 0', // transactions in which its answers were stored
      pulling: 'flag 0', // an answer of several pages is being read
      page: 'text null', // the token of its next page
      sweeping: 'flag 0', // it is a full answer, and what it lacks is to go: 1: it was removed; 2: it is not seen any more
      pushed_stamp: 'integer 0',
      pushed_id: 'id',
      push_key: 'id null', // an unanswered push
      push_stamp: 'integer null',
      push_id: 'id null',
      push_since: 'integer null',
      etag: 'text null',
      principal: 'text null', // the name that the server gave the user whose rows are here
      scope: 'text null', // its name for the set of keys by which these are seen; empty: no whole set is held; null: it never named one
      is_part: 'flag 0', // the user sees a part of its rows
      date_form: 'text null', // how the server writes dates, where not as ISO 8601
      batch: 'integer null', // rows in a push, once it had to be made smaller
      page_size: 'integer null', // updates in a page, once it had to be made smaller
    },
    unique: ['collection', 'url'],
  },
  sync_stamp: { columns: { server: 'integer', stamp: 'integer' }, key: ['server', 'stamp'] },
  // remote: the server's row as JSON; null: removed there. unpushed: the stamp of our version, if that is a local change
  sync_unapplied: {
    columns: { server: 'integer', id: 'id', remote: 'text null', unpushed: 'integer null', reason: 'name' },
    key: ['server', 'id'],
  },
  // stamp: of the version that was rejected, or that is held back, which has a code of its own (HELD_BACK in rowStates.ts). again: pushed again by the
  // next sync; 2: when rows there have changed; 3: when the user holds other keys; 4: with either;
  // 5: it has come
  sync_rejection: {
    columns: { server: 'integer', id: 'id', stamp: 'integer', code: 'text', property: 'text null', detail: 'text null', again: 'flag' },
    key: ['server', 'id'],
  },
  // the server does not show the row any more. local: our unpushed version as JSON, which left the table; the text null: removed here; null: the row
  // is here for another server's sake. base: as JSON what the server had; the text null: nothing; null: not known
  sync_no_access: { columns: { server: 'integer', id: 'id', local: 'text null', base: 'text null' }, key: ['server', 'id'] },
  // the server has no column for the property: its value is not pushed
  sync_ignored: { columns: { server: 'integer', id: 'id', property: 'property' }, key: ['server', 'id', 'property'] },
  sync_seen: { columns: { server: 'integer', id: 'id' }, key: ['server', 'id'] },
  // resolved_at: milliseconds since 1/1/1970. Rows as JSON; the text null: there is none
  sync_resolution: {
    columns: {
      ...{ id: 'serial', collection: 'name', row_id: 'id', url: 'text', resolved_at: 'integer' },
      ...{ base: 'text null', local: 'text null', remote: 'text null', decision: 'text null' },
    },
    indexes: { sync_resolution_age: ['resolved_at'] },
  },
  sync_push: {
    columns: { key: 'id', hash: 'text', answer: 'text', answered_at: 'integer' },
    key: ['key'],
    indexes: { sync_push_age: ['answered_at'] },
  },
  // the keys that a caller held when a server answered, as JSON, by the name that the answer gave them; stamp: when they were noted last
  sync_scope: {
    columns: { principal: 'name', name: 'name', stamp: 'integer', held: 'text' },
    key: ['principal', 'name'],
    indexes: { sync_scope_stamp: ['principal', 'stamp'] },
  },
  // paths: JSON, what it is called on the wire. properties: JSON, columns by property
  sync_collection: { columns: { collection: 'name', paths: 'text', properties: 'text' }, key: ['collection'] },
} as const satisfies Readonly<Record<string, OwnTable>>

/** How a kind of database makes them. */
export interface TableKind {
  readonly types: Readonly<Record<OwnType, string>>
  /** What ends the definition of a table. */
  ending(table: OwnTable): string
  /** Indexes are part of the definition. */
  readonly hasIndexesInside?: boolean
}

/** SQL that makes our tables and their indexes, by name; a table comes before its indexes. */
export function makeTables(kind: TableKind, tables: Readonly<Record<string, OwnTable>> = OWN_TABLES): Map<string, string> {
  const list = (columns: readonly string[]) => `(${columns.map(quote).join(', ')})`
  const statements = new Map<string, string>()
  for (const [name, table] of Object.entries(tables)) {
    const indexes = Object.entries(table.indexes ?? {})
    const lines = Object.entries(table.columns).map(([column, definition]) => `${quote(column)} ${define(definition, kind)}`)
    if (table.key) lines.push(`PRIMARY KEY ${list(table.key)}`)
    if (table.unique) lines.push(`UNIQUE ${list(table.unique)}`)
    if (kind.hasIndexesInside) for (const [index, columns] of indexes) lines.push(`INDEX ${index} ${list(columns)}`)
    statements.set(name, `CREATE TABLE IF NOT EXISTS ${name} (\n  ${lines.join(',\n  ')})${kind.ending(table)}`)
    if (!kind.hasIndexesInside)
      for (const [index, columns] of indexes) statements.set(index, `CREATE INDEX IF NOT EXISTS ${index} ON ${name} ${list(columns)}`)
  }
  return statements
}

function define(definition: Definition, { types }: TableKind): string {
  const [type, more] = definition.split(' ') as [OwnType, string | undefined]
  if (type === 'serial' || more === 'null') return types[type]
  return `${types[type]} NOT NULL${more === '0' ? ' DEFAULT 0' : ''}`
}
