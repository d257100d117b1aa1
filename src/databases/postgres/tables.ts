// The tables of the change log on PostgreSQL (ARCHITECTURE.md, «One change log for both sides»), and what the catalog says of tables.
//
// Ids are compared bytewise everywhere, whatever the database's own collation. What is JSON is text: its keys keep their order.

import { query, type Transaction } from '../database.js'

/** SQL for the table of a name in the schema that comes first in a transaction's path, the data source's own; null where it has none. */
export const classOf = (name: string) => `to_regclass(quote_ident(current_schema()) || '.' || quote_ident(${name}))`

/** SQL that tells the schemas of a database apart. */
export const SUFFIX = 'substr(md5(current_schema()), 1, 8)'

/** Lets the triggers of this schema keep still until the transaction ends, or act again; those of another one act. */
export const bypassCapture = (isOurs: boolean) => `SELECT set_config('typeorm_sync.bypass', ${isOurs ? SUFFIX : "''"}, true)`

/** By name: what is there already needs no right to create, and no lock. */
export const TABLES: Readonly<Record<string, string>> = {
  sync_clock: `CREATE TABLE IF NOT EXISTS sync_clock (
    timeline TEXT NOT NULL PRIMARY KEY,
    now BIGINT NOT NULL,           -- the last stamp
    collection TEXT NOT NULL,      -- the random name of this history
    horizon BIGINT NOT NULL        -- tombstones up to here are collected
  )`,
  sync_tombstone: `CREATE TABLE IF NOT EXISTS sync_tombstone (
    collection TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (collection, id)
  )`,
  sync_tombstone_stamp: 'CREATE INDEX IF NOT EXISTS sync_tombstone_stamp ON sync_tombstone (collection, stamp, id)',
  sync_server: `CREATE TABLE IF NOT EXISTS sync_server (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,  -- which server it is: collections of one server share foreign keys there
    server_history TEXT,        -- the server's collection id; null: it knows none, or was never heard
    principal TEXT,             -- the name that the server gave the user whose rows are here
    server_date BIGINT NOT NULL DEFAULT 0,
    highest BIGINT NOT NULL DEFAULT 0,
    "reads" BIGINT NOT NULL DEFAULT 0,      -- steps in which its answers were stored
    pulling SMALLINT NOT NULL DEFAULT 0,    -- an answer of several pages is being read
    page TEXT,                     -- the token of its next page
    sweeping SMALLINT NOT NULL DEFAULT 0,   -- it is a full answer, and what it lacks is to go
    pushed_stamp BIGINT NOT NULL DEFAULT 0,
    pushed_id TEXT COLLATE "C" NOT NULL,
    push_key TEXT,                 -- an unanswered push
    push_stamp BIGINT,
    push_id TEXT COLLATE "C",
    push_since BIGINT,
    etag TEXT,
    date_form TEXT,                -- how the server writes dates, where not as ISO 8601
    batch BIGINT,                  -- rows in a push, once it had to be made smaller
    page_size BIGINT,              -- updates in a page, once it had to be made smaller
    UNIQUE (collection, url)
  )`,
  sync_stamp: `CREATE TABLE IF NOT EXISTS sync_stamp (
    server BIGINT NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (server, stamp)
  )`,
  sync_unapplied: `CREATE TABLE IF NOT EXISTS sync_unapplied (
    server BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    remote TEXT,                   -- the server's row as JSON; null: removed there
    unpushed BIGINT,                 -- the stamp of our version, if that is news
    reason TEXT NOT NULL,
    PRIMARY KEY (server, id)
  )`,
  sync_rejection: `CREATE TABLE IF NOT EXISTS sync_rejection (
    server BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    stamp BIGINT NOT NULL,         -- of the version that was refused
    code TEXT NOT NULL,
    property TEXT,
    detail TEXT,
    again SMALLINT NOT NULL,       -- told again by the next sync; 2: when rows there have changed
    PRIMARY KEY (server, id)
  )`,
  sync_ignored: `CREATE TABLE IF NOT EXISTS sync_ignored (
    server BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    property TEXT COLLATE "C" NOT NULL, -- the server has no column for it: its value is not pushed
    PRIMARY KEY (server, id, property)
  )`,
  sync_seen: `CREATE TABLE IF NOT EXISTS sync_seen (
    server BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (server, id)
  )`,
  sync_resolution: `CREATE TABLE IF NOT EXISTS sync_resolution (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection TEXT COLLATE "C" NOT NULL,
    row_id TEXT COLLATE "C" NOT NULL,
    url TEXT NOT NULL,
    resolved_at BIGINT NOT NULL,    -- milliseconds since 1/1/1970
    base TEXT,                     -- rows as JSON; the text null: there is none
    local TEXT,
    remote TEXT,
    decision TEXT
  )`,
  sync_resolution_age: 'CREATE INDEX IF NOT EXISTS sync_resolution_age ON sync_resolution (resolved_at)',
  sync_push: `CREATE TABLE IF NOT EXISTS sync_push (
    "key" TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    answer TEXT NOT NULL,
    answered_at BIGINT NOT NULL
  )`,
  sync_collection: `CREATE TABLE IF NOT EXISTS sync_collection (
    collection TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    paths TEXT NOT NULL,           -- JSON: what it is called on the wire
    properties TEXT NOT NULL       -- JSON: columns by property
  )`,
  sync_push_age: 'CREATE INDEX IF NOT EXISTS sync_push_age ON sync_push (answered_at)',
}

/** A column as the catalog knows it. */
export interface ColumnInfo {
  /** Its type without length: a value that is cast to the full one would be cut off in silence. */
  readonly castType: string
  /** An enum, or a list of them. */
  readonly isEnum: boolean
  /** Its collation, qualified, where the type has one. */
  readonly collation: string | undefined
  /** The full type of a base version of it. A migration replaces enum types, and could not drop one that another table uses. */
  readonly baseType: string
  /** SQL of its default. */
  readonly fallback: string | null
}

/** The columns of a table, in their order; none where there is no such table. */
export function* readColumns(table: string): Transaction<Map<string, ColumnInfo>> {
  const rows = yield* query(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(a.atttypid, -1) AS cast_type,
            coalesce(e.typtype, t.typtype) = 'e' AS is_enum,
            quote_ident(cn.nspname) || '.' || quote_ident(co.collname) AS collation, pg_get_expr(d.adbin, d.adrelid) AS fallback
       FROM pg_attribute a
       JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
       LEFT JOIN pg_collation co ON co.oid = a.attcollation
       LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
      WHERE a.attrelid = ${classOf('?')} AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY a.attnum`,
    table,
  )
  return new Map(
    rows.map(row => {
      const collation = row.collation === null ? undefined : String(row.collation)
      const type = String(row.type)
      const isEnum = row.is_enum === true
      const baseType = isEnum ? 'text COLLATE pg_catalog."default"' : collation ? `${type} COLLATE ${collation}` : type
      const castType = String(row.cast_type)
      return [String(row.name), { castType, collation, isEnum, baseType, fallback: row.fallback as string | null }]
    }),
  )
}
