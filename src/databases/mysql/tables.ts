// The tables of the change log on MySQL and MariaDB (ARCHITECTURE.md, «One change log for both sides»). Texts compare bytewise;
// no key is wider than 3,072 bytes, with four for each character.

const END = 'ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin'
const COLLECTION = 'collection VARCHAR(64) NOT NULL' // a table's name
const ID = 'VARCHAR(512)'

/** SQL that makes each table, by its name. */
export const TABLES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    // the session variable @sync_bypass marks a transaction of the engine: triggers keep still
    sync_clock: `(
    timeline VARCHAR(64) NOT NULL PRIMARY KEY,
    \`now\` BIGINT NOT NULL,       -- the last stamp
    collection VARCHAR(64) NOT NULL, -- the random name of this history
    horizon BIGINT NOT NULL        -- tombstones up to here are collected
  )`,
    sync_tombstone: `(
    ${COLLECTION},
    id ${ID} NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (collection, id),
    INDEX sync_tombstone_stamp (collection, stamp, id)
  )`,
    sync_server: `(
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    ${COLLECTION},
    url VARCHAR(512) NOT NULL,
    origin VARCHAR(512) NOT NULL,  -- which server it is: collections of one server share foreign keys there
    server_history TEXT,        -- the server's collection id; null: it knows none, or was never heard
    principal TEXT,             -- the name that the server gave the user whose rows are here
    server_date BIGINT NOT NULL DEFAULT 0,
    highest BIGINT NOT NULL DEFAULT 0,
    \`reads\` BIGINT NOT NULL DEFAULT 0,   -- steps in which its answers were stored
    pulling INTEGER NOT NULL DEFAULT 0,  -- an answer of several pages is being read
    page MEDIUMTEXT,               -- the token of its next page
    sweeping INTEGER NOT NULL DEFAULT 0, -- it is a full answer, and what it lacks is to go
    pushed_stamp BIGINT NOT NULL DEFAULT 0,
    pushed_id ${ID} NOT NULL,
    push_key VARCHAR(255),         -- an unanswered push
    push_stamp BIGINT,
    push_id ${ID},
    push_since BIGINT,
    etag TEXT,
    date_form VARCHAR(20),         -- how the server writes dates, where not as ISO 8601
    batch BIGINT,                  -- rows in a push, once it had to be made smaller
    page_size BIGINT,              -- updates in a page, once it had to be made smaller
    UNIQUE (collection, url)
  )`,
    sync_stamp: `(
    server BIGINT NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (server, stamp)
  )`,
    sync_unapplied: `(
    server BIGINT NOT NULL,
    id ${ID} NOT NULL,
    remote LONGTEXT,               -- the server's row as JSON; null: removed there
    unpushed BIGINT,                 -- the stamp of our version, if that is news
    reason VARCHAR(64) NOT NULL,
    PRIMARY KEY (server, id)
  )`,
    sync_rejection: `(
    server BIGINT NOT NULL,
    id ${ID} NOT NULL,
    stamp BIGINT NOT NULL,         -- of the version that was refused
    code TEXT NOT NULL,
    property TEXT,
    detail TEXT,
    again INTEGER NOT NULL,        -- told again by the next sync; 2: when rows there have changed
    PRIMARY KEY (server, id)
  )`,
    sync_ignored: `(
    server BIGINT NOT NULL,
    id ${ID} NOT NULL,
    property VARCHAR(250) NOT NULL, -- the server has no column for it: its value is not pushed
    PRIMARY KEY (server, id, property)
  )`,
    sync_seen: `(
    server BIGINT NOT NULL,
    id ${ID} NOT NULL,
    PRIMARY KEY (server, id)
  )`,
    sync_resolution: `(
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    ${COLLECTION},
    row_id ${ID} NOT NULL,
    url TEXT NOT NULL,
    resolved_at BIGINT NOT NULL,    -- milliseconds since 1/1/1970
    base LONGTEXT,                 -- rows as JSON; the text null: there is none
    local LONGTEXT,
    remote LONGTEXT,
    decision LONGTEXT,
    INDEX sync_resolution_age (resolved_at)
  )`,
    sync_collection: `(
    collection VARCHAR(64) NOT NULL PRIMARY KEY,
    paths TEXT NOT NULL,           -- JSON: what it is called on the wire
    properties MEDIUMTEXT NOT NULL -- JSON: columns by property
  )`,
    sync_push: `(
    \`key\` VARCHAR(512) NOT NULL PRIMARY KEY,
    hash VARCHAR(64) NOT NULL,
    answer LONGTEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    INDEX sync_push_age (answered_at)
  )`,
  }).map(([name, columns]) => [name, `CREATE TABLE IF NOT EXISTS ${name} ${columns} ${END}`]),
)

/** What ends the definition of a table of ours. */
export const TABLE_OPTIONS = END
export const ID_TYPE = ID
