// The triggers by which PostgreSQL captures every write, by whomever (ARCHITECTURE.md, «Capture is in the database»).
//
// They act always, except inside a transaction of the engine, which says so by a setting of its transaction. Before a statement touches its first
// row the clock is locked, so that two transactions cannot wait for each other; it stays locked until the application commits, so that
// commits come in the order of stamps (law 1). One stamp serves the whole transaction. What is replaced is kept after the statement, for all
// of its rows at once.
//
// The functions run as their owner: a role that may write to the table needs no right to our tables.

import { baseTableOf, quote, type Table } from '../database.js'
import { isKnownOrInPushSql, text } from '../knows.js'
import { fingerprint, shortName } from '../names.js'

/** Where the tables live. */
export interface Place {
  /** The schema of our own tables, unquoted. */
  readonly schema: string
  readonly tableSchema: string
  /** Tells this schema's stamp from that of another one which the same transaction writes to. */
  readonly suffix: string
}

/** What a function begins with that is ours, and of which version. */
export const TRIGGER_MARK = '/* typeorm-sync '

/** SQL for the key of a row as an id. */
export const idOf = (table: Table, alias: string) => `(CAST(${alias}.${quote(table.key)} AS text) COLLATE "C")`

/** Keeps the version that `source` names as a base version, for every server that knows it. */
export function keepBase(
  table: Table,
  source: { id: string; stamp: string; cell: (column: string) => string; from: string; where?: string },
): string {
  const columns = table.columns.map(quote)
  return `INSERT INTO ${quote(baseTableOf(table))} AS i (_sync_server, _sync_id, _sync_stamp, _sync_removed${columns.map(c => `, ${c}`).join('')})
    SELECT r.id, ${source.id}, ${source.stamp}, 0${table.columns.map(c => `, ${source.cell(c)}`).join('')}
      FROM sync_server r CROSS JOIN ${source.from}
      WHERE r.collection = ${text(table.name)} AND ${source.where ?? ''}
      ${isKnownOrInPushSql(source)}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE
      SET _sync_removed = 0${columns.map(c => `, ${c} = excluded.${c}`).join('')}
      WHERE i._sync_removed = 1`
}

/** Keeps what stood at an id before a row was made there, a tombstone or nothing, for every server that knows it: born here (law 10). */
export function keepAbsentBase(table: Table, id: string, from: string, where = ''): string {
  return `INSERT INTO ${quote(baseTableOf(table))} (_sync_server, _sync_id, _sync_stamp, _sync_removed)
    SELECT r.id, ${id}, coalesce(t.stamp, 0), 1
      FROM sync_server r CROSS JOIN ${from} LEFT JOIN sync_tombstone t ON t.collection = r.collection AND t.id = ${id}
      WHERE r.collection = ${text(table.name)} AND ${where}
      ${isKnownOrInPushSql({ id, stamp: 'coalesce(t.stamp, 0)' })}
    ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE SET _sync_removed = 1`
}

export interface Capture {
  readonly functions: readonly string[]
  /** By name; `version` is that of the function which it runs. */
  readonly triggers: ReadonlyMap<string, { readonly sql: (table: string) => string; readonly version: string; readonly isCloned: boolean }>
}

/** What captures the writes to one table. `wallClock` is SQL for milliseconds since 1/1/1970. */
export function captureOf(table: Table, place: Place, wallClock: string): Capture {
  const schema = quote(place.schema)
  const name = `${quote(place.tableSchema)}.${quote(table.name)}`
  const key = quote(table.key)
  const collection = text(table.name)
  const setting = text(`typeorm_sync.stamp_${place.suffix}`)
  const stamp = `CAST(current_setting(${setting}) AS bigint)`
  const hasServer = `EXISTS (SELECT 1 FROM sync_server r WHERE r.collection = ${collection})`
  const isThere = (alias: string) => `EXISTS (SELECT 1 FROM ${name} x WHERE x.${key} = ${alias}.${key})`

  const keepOld = (from: string) =>
    keepBase(table, { id: idOf(table, 'o'), stamp: 'o."_lastChange"', cell: c => `o.${quote(c)}`, from: `${from} o` })
  const keepNothing = (from: string) => keepAbsentBase(table, idOf(table, 'n'), `${from} n`)
  const writeTombstone = (from: string, where: string) => `INSERT INTO sync_tombstone (collection, id, stamp)
      SELECT ${collection}, ${idOf(table, 'o')}, ${stamp} FROM ${from} o WHERE ${where}
      ON CONFLICT (collection, id) DO UPDATE SET stamp = excluded.stamp`
  const dropTombstone = (from: string) => `DELETE FROM sync_tombstone t USING ${from} n
      WHERE t.collection = ${collection} AND t.id = ${idOf(table, 'n')} AND ${isThere('n')}`
  const keysIn = (one: string, notIn: string) => `(SELECT ${key} FROM ${one} EXCEPT SELECT ${key} FROM ${notIn})`

  // another schema's step may write here, by a trigger of the application
  const notOurs = `WHEN (current_setting('typeorm_sync.bypass', true) IS DISTINCT FROM ${text(place.suffix)})`
  const tick = `DECLARE taken bigint;
  BEGIN
    -- the setting is empty where an earlier transaction of the session had one; a savepoint that is rolled back takes it back with the tick
    IF coalesce(current_setting(${setting}, true), '') = '' THEN
      UPDATE sync_clock SET now = greatest(${wallClock}, now + 1) RETURNING now INTO taken;
      PERFORM set_config(${setting}, CAST(taken AS text), true);
    END IF;
    RETURN NULL;
  END`
  const stampRow = `BEGIN
    NEW."_lastChange" := ${stamp};
    RETURN NEW;
  END`
  // an application's trigger for the same rows may have removed one meanwhile, or made it again: what stands there in the end is what counts
  const inserted = `BEGIN
    IF ${hasServer} THEN ${keepNothing('sync_new')}; END IF;
    ${dropTombstone('sync_new')};
    RETURN NULL;
  END`
  // transition tables do not tell which old row became which new one
  const updated = `BEGIN
    IF ${hasServer} THEN ${keepOld('sync_old')}; END IF;
    IF EXISTS ${keysIn('sync_old', 'sync_new')} THEN
      ${writeTombstone(keysIn('sync_old', 'sync_new'), `NOT ${isThere('o')}`)};
      IF ${hasServer} THEN ${keepNothing(keysIn('sync_new', 'sync_old'))}; END IF;
      ${dropTombstone(keysIn('sync_new', 'sync_old'))};
    END IF;
    RETURN NULL;
  END`
  const deleted = `BEGIN
    IF ${hasServer} THEN ${keepOld('sync_old')}; END IF;
    ${writeTombstone('sync_old', `NOT ${isThere('o')}`)};
    RETURN NULL;
  END`
  // of a partition alone, perhaps
  const truncated = `DECLARE emptied text := format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
  BEGIN
    IF ${hasServer} THEN EXECUTE replace(${text(keepOld('sync_emptied'))}, 'sync_emptied', emptied); END IF;
    EXECUTE replace(${text(writeTombstone('sync_emptied', 'true'))}, 'sync_emptied', emptied);
    RETURN NULL;
  END`

  const path = `SET search_path = pg_catalog, ${schema}, pg_temp`
  // The plan is kept for the session: made for one row, it must do for a million, and the other way round.
  const owned = `SECURITY DEFINER ${path} SET enable_hashjoin = off SET enable_mergejoin = off`
  const parts: { event: string; head: string; body: string; isShared?: boolean; options: string }[] = [
    {
      event: 'tick',
      head: 'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE',
      body: tick,
      isShared: true,
      options: `SECURITY DEFINER ${path}`,
    },
    // PostgreSQL fires them in the order of their names: after those of the application, which may bring a row with an old stamp
    { event: '~stamp', head: 'BEFORE INSERT OR UPDATE', body: stampRow, isShared: true, options: '' },
    { event: 'insert', head: 'AFTER INSERT', body: inserted, options: owned },
    { event: 'update', head: 'AFTER UPDATE', body: updated, options: owned },
    { event: 'delete', head: 'AFTER DELETE', body: deleted, options: owned },
    { event: 'truncate', head: 'BEFORE TRUNCATE', body: truncated, options: owned },
  ]
  const transitions: Record<string, string> = {
    insert: 'REFERENCING NEW TABLE AS sync_new',
    update: 'REFERENCING OLD TABLE AS sync_old NEW TABLE AS sync_new',
    delete: 'REFERENCING OLD TABLE AS sync_old',
  }
  const definitions = parts.map(({ event, head, body, isShared, options }) => {
    const trigger = event === '~stamp' ? '~sync_stamp' : `sync_${event}`
    const functionName = shortName(isShared ? `sync_${event.replace('~', '')}` : `sync_${event}_${table.name}`)
    const procedure = `${schema}.${quote(functionName)}()`
    const sql = (on: string) => `CREATE OR REPLACE TRIGGER ${quote(trigger)} ${head} ON ${on} ${transitions[event] ?? ''}
      FOR EACH ${event === '~stamp' ? 'ROW' : 'STATEMENT'} ${notOurs} EXECUTE FUNCTION ${procedure}`
    // the same for every table, where the function is
    const version = fingerprint(JSON.stringify([head, notOurs, options, body]))
    return { trigger, procedure, body, options, sql, version, isCloned: event === '~stamp' }
  })
  return {
    functions: definitions.flatMap(({ procedure, body, options, version }) => [
      `CREATE OR REPLACE FUNCTION ${procedure} RETURNS trigger LANGUAGE plpgsql ${options} AS ${text(`${TRIGGER_MARK}${version} */ ${body}`)}`,
      // whoever may call it could hang it on a table of his own
      `REVOKE ALL ON FUNCTION ${procedure} FROM PUBLIC`,
    ]),
    triggers: new Map(definitions.map(({ trigger, sql, version, isCloned }) => [trigger, { sql, version, isCloned }])),
  }
}
