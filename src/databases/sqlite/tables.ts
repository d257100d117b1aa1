// The tables of the change log on SQLite (ARCHITECTURE.md, «One change log for both sides»).

export const TABLES = [
  `CREATE TABLE IF NOT EXISTS sync_clock (
    timeline TEXT NOT NULL PRIMARY KEY,
    now INTEGER NOT NULL,          -- the last stamp
    collection TEXT NOT NULL,      -- the random name of this history
    horizon INTEGER NOT NULL,      -- tombstones up to here are collected

    bypass INTEGER,                  -- set inside a step of the engine: triggers keep still
    stamping TEXT                  -- the key of the row that a trigger is stamping
  )`,
  `CREATE TABLE IF NOT EXISTS sync_tombstone (
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    stamp INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
  ) WITHOUT ROWID`,
  'CREATE INDEX IF NOT EXISTS sync_tombstone_stamp ON sync_tombstone (collection, stamp, id)',
  `CREATE TABLE IF NOT EXISTS sync_replaced (
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (collection, id)
  ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS sync_server (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    url TEXT NOT NULL,
    origin TEXT NOT NULL,          -- which server it is: collections of one server share foreign keys there
    server_history TEXT,        -- the server's collection id; null: it knows none, or was never heard
    principal TEXT,                -- the name that the server gave the user whose rows are here
    server_date INTEGER NOT NULL DEFAULT 0,
    highest INTEGER NOT NULL DEFAULT 0,
    reads INTEGER NOT NULL DEFAULT 0,     -- steps in which its answers were stored
    pulling INTEGER NOT NULL DEFAULT 0,   -- an answer of several pages is being read
    page TEXT,                     -- the token of its next page
    sweeping INTEGER NOT NULL DEFAULT 0,  -- it is a full answer, and what it lacks is to go
    pushed_stamp INTEGER NOT NULL DEFAULT 0,
    pushed_id TEXT NOT NULL,
    push_key TEXT,                 -- an unanswered push
    push_stamp INTEGER,
    push_id TEXT,
    push_since INTEGER,
    etag TEXT,
    date_form TEXT,                -- how the server writes dates, where not as ISO 8601
    batch INTEGER,                 -- rows in a push, once it had to be made smaller
    page_size INTEGER,             -- updates in a page, once it had to be made smaller
    UNIQUE (collection, url)
  )`,
  `CREATE TABLE IF NOT EXISTS sync_stamp (
    server INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    PRIMARY KEY (server, stamp)
  ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS sync_unapplied (
    server INTEGER NOT NULL,
    id TEXT NOT NULL,
    remote TEXT,                   -- the server's row as JSON; null: removed there
    unpushed INTEGER,                -- the stamp of our version, if that is news
    reason TEXT NOT NULL,
    PRIMARY KEY (server, id)
  ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS sync_rejection (
    server INTEGER NOT NULL,
    id TEXT NOT NULL,
    stamp INTEGER NOT NULL,        -- of the version that was refused
    code TEXT NOT NULL,
    property TEXT,
    detail TEXT,
    again INTEGER NOT NULL,        -- told again by the next sync; 2: when rows there have changed
    PRIMARY KEY (server, id)
  ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS sync_ignored (
    server INTEGER NOT NULL,
    id TEXT NOT NULL,
    property TEXT NOT NULL,        -- the server has no column for it: its value is not pushed
    PRIMARY KEY (server, id, property)
  ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS sync_seen (
    server INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (server, id)
  ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS sync_resolution (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    row_id TEXT NOT NULL,
    url TEXT NOT NULL,
    resolved_at INTEGER NOT NULL,   -- milliseconds since 1/1/1970
    base TEXT,                     -- rows as JSON; the text null: there is none
    local TEXT,
    remote TEXT,
    decision TEXT
  )`,
  'CREATE INDEX IF NOT EXISTS sync_resolution_age ON sync_resolution (resolved_at)',
  `CREATE TABLE IF NOT EXISTS sync_push (
    key TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    answer TEXT NOT NULL,
    answered_at INTEGER NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS sync_collection (
    collection TEXT NOT NULL PRIMARY KEY,
    paths TEXT NOT NULL,               -- JSON: what it is called on the wire
    properties TEXT NOT NULL           -- JSON: columns by property
  )`,
  'CREATE INDEX IF NOT EXISTS sync_push_age ON sync_push (answered_at)',
]
