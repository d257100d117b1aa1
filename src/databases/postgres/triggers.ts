// The triggers by which PostgreSQL captures every write, whatever makes it.
//
// They act always, except inside a transaction of the engine, which bypasses them by a setting of its transaction. Before a statement touches its first
// row the clock is locked, so that two transactions cannot wait for each other; it stays locked until the application commits, so that
// commits come in the order of stamps (law 1). One stamp serves the whole transaction. What is replaced is kept after the statement, for all
// of its rows at once.
//
// The functions run as their owner: a role that may write to the table needs no right to our tables.

import { text } from '../knows.js'
import { fingerprint, shortName } from '../names.js'
import { quote, type Table } from '../table.js'
import { keepAbsentBase, keepBase } from './bases.js'
import { exitStatements } from './exits.js'
import { idOf } from './fragments.js'
import { pathBodies } from './paths.js'
import { TRIGGER_MARK } from './triggerMark.js'

/** Where the tables live. */
export interface Place {
  /** The schema of our own tables, unquoted. */
  readonly schema: string
  readonly tableSchema: string
  /** Tells this schema's stamp from that of another one which the same transaction writes to. */
  readonly suffix: string
}

export interface Capture {
  readonly functions: readonly string[]
  /** By name; `version` is that of the function which it runs. */
  readonly triggers: ReadonlyMap<string, { readonly sql: (table: string) => string; readonly version: string; readonly isCloned: boolean }>
}

/** The bodies of the functions that the triggers of a table run, by event. `wallClock` is SQL for milliseconds since 1/1/1970. */
function bodiesOf(table: Table, place: Place, wallClock: string, tables: readonly Table[]) {
  const name = `${quote(place.tableSchema)}.${quote(table.name)}`
  const key = quote(table.key)
  const collection = text(table.name)
  const setting = text(`typeorm_sync.stamp_${place.suffix}`)
  const stamp = `CAST(current_setting(${setting}) AS bigint)`
  const hasServer = `EXISTS (SELECT 1 FROM sync_server r WHERE r.collection = ${collection})`
  const isThere = (alias: string) => `EXISTS (SELECT 1 FROM ${name} x WHERE x.${key} = ${alias}.${key})`

  const keepOld = (from: string) =>
    keepBase(table, { id: idOf(table, 'o'), stamp: 'o."_lastChange"', cell: c => `o.${quote(c)}`, from: `${from} o` })
  const keepAbsent = (from: string) => keepAbsentBase(table, idOf(table, 'n'), `${from} n`)
  const writeTombstone = (from: string, where: string) => `INSERT INTO sync_tombstone (collection, id, stamp)
      SELECT ${collection}, ${idOf(table, 'o')}, ${stamp} FROM ${from} o WHERE ${where}
      ON CONFLICT (collection, id) DO UPDATE SET stamp = excluded.stamp`
  const dropTombstone = (from: string) => `DELETE FROM sync_tombstone t USING ${from} n
      WHERE t.collection = ${collection} AND t.id = ${idOf(table, 'n')} AND ${isThere('n')}`
  const exits = exitStatements(table, name, stamp)
  const keysIn = (one: string, notIn: string) => `(SELECT ${key} FROM ${one} EXCEPT SELECT ${key} FROM ${notIn})`

  return {
    ...pathBodies(table, tables, place.schema, place.suffix),
    tick: `DECLARE ticked bigint;
  BEGIN
    -- the setting is empty where an earlier transaction of the session had one; a savepoint that is rolled back resets it with the tick
    IF coalesce(current_setting(${setting}, true), '') = '' THEN
      UPDATE sync_clock SET now = greatest(${wallClock}, now + 1) RETURNING now INTO ticked;
      PERFORM set_config(${setting}, CAST(ticked AS text), true);
    END IF;
    RETURN NULL;
  END`,
    stamp: `BEGIN
    NEW."_lastChange" := ${stamp};
    RETURN NEW;
  END`,
    exit: `BEGIN
    ${exits.moved};
    RETURN NEW;
  END`,
    // an application's trigger for the same rows may have removed one meanwhile, or made it again: what is there in the end counts
    insert: `BEGIN
    IF ${hasServer} THEN ${keepAbsent('sync_new')}; END IF;${exits.back('sync_new')}
    ${dropTombstone('sync_new')};
    RETURN NULL;
  END`,
    // transition tables do not say which old row became which new one
    update: `BEGIN
    IF ${hasServer} THEN ${keepOld('sync_old')}; END IF;
    IF EXISTS ${keysIn('sync_old', 'sync_new')} THEN
      ${writeTombstone(keysIn('sync_old', 'sync_new'), `NOT ${isThere('o')}`)};
      IF ${hasServer} THEN ${keepAbsent(keysIn('sync_new', 'sync_old'))}; END IF;${exits.back(`(SELECT * FROM sync_new WHERE ${key} IN ${keysIn('sync_new', 'sync_old')})`)}
      ${dropTombstone(keysIn('sync_new', 'sync_old'))};
    END IF;
    RETURN NULL;
  END`,
    delete: `BEGIN
    IF ${hasServer} THEN ${keepOld('sync_old')}; END IF;
    ${writeTombstone('sync_old', `NOT ${isThere('o')}`)};${exits.removed}
    RETURN NULL;
  END`,
    // of a partition alone, perhaps
    truncate: `DECLARE emptied text := format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
  BEGIN
    IF ${hasServer} THEN EXECUTE ${withTable('emptied', keepOld)}; END IF;
    EXECUTE ${withTable('emptied', from => writeTombstone(from, 'true'))};${table.scopes.length ? `\n    EXECUTE ${withTable('emptied', exits.emptied)};` : ''}
    RETURN NULL;
  END`,
  }
}

/** PL/pgSQL for the text of a statement in which a variable names a table. */
function withTable(variable: string, statement: (from: string) => string): string {
  const parts = statement('\0').split('\0')
  return parts.map(text).join(` || ${variable} || `)
}

type Event = keyof ReturnType<typeof bodiesOf>

// PostgreSQL fires them in the order of their names: the stamp comes after the triggers of the application, which may bring a row with an old stamp.
// `isUnconditional`: also inside of a transaction of the engine. `isShared`: one function serves all tables. `isCloned`: for each row; PostgreSQL makes those of partitions itself.
const EVENTS: Record<
  Event,
  { trigger: string; on: string; rows?: string; isShared?: boolean; isCloned?: boolean; isUnconditional?: boolean }
> = {
  tick: { trigger: 'sync_tick', on: 'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE', isShared: true },
  above: { trigger: '~sync_above', on: 'BEFORE INSERT OR UPDATE', isCloned: true, isUnconditional: true },
  exit: { trigger: '~sync_exit', on: 'BEFORE UPDATE', isCloned: true },
  stamp: { trigger: '~sync_stamp', on: 'BEFORE INSERT OR UPDATE', isShared: true, isCloned: true },
  insert: { trigger: 'sync_insert', on: 'AFTER INSERT', rows: 'REFERENCING NEW TABLE AS sync_new' },
  update: { trigger: 'sync_update', on: 'AFTER UPDATE', rows: 'REFERENCING OLD TABLE AS sync_old NEW TABLE AS sync_new' },
  delete: { trigger: 'sync_delete', on: 'AFTER DELETE', rows: 'REFERENCING OLD TABLE AS sync_old' },
  belowNew: { trigger: 'sync_below_new', on: 'AFTER INSERT', rows: 'REFERENCING NEW TABLE AS sync_new', isUnconditional: true },
  below: {
    trigger: 'sync_below',
    on: 'AFTER UPDATE',
    rows: 'REFERENCING OLD TABLE AS sync_old NEW TABLE AS sync_new',
    isUnconditional: true,
  },
  truncate: { trigger: 'sync_truncate', on: 'BEFORE TRUNCATE' },
}

function optionsOf(event: Event, schema: string): string {
  if (event === 'stamp') return ''
  const owned = `SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp`
  // The plan is kept for the session: made for one row, it must do for a million, and the other way round.
  return event === 'tick' || event === 'exit' || event === 'above' ? owned : `${owned} SET enable_hashjoin = off SET enable_mergejoin = off`
}

/** What captures the writes to one table. `wallClock` is SQL for milliseconds since 1/1/1970. */
export function captureOf(table: Table, place: Place, wallClock: string, tables: readonly Table[]): Capture {
  const schema = quote(place.schema)
  // a transaction of another schema may write here, by a trigger of the application
  const isNotBypassed = `current_setting('typeorm_sync.bypass', true) IS DISTINCT FROM ${text(place.suffix)}`
  const { hasMoved } = exitStatements(table, '', '')
  const bodies = bodiesOf(table, place, wallClock, tables)
  const functions: string[] = []
  const triggers: [string, { sql: (table: string) => string; version: string; isCloned: boolean }][] = []
  for (const [event, { trigger, on, rows = '', isShared, isCloned = false, isUnconditional }] of Object.entries(EVENTS) as [
    Event,
    (typeof EVENTS)[Event],
  ][]) {
    const [options, body] = [optionsOf(event, schema), bodies[event]]
    if (body === undefined || (event === 'exit' && !table.scopes.length)) continue
    const when = isUnconditional ? '' : `WHEN (${isNotBypassed}${event === 'exit' ? ` AND ${hasMoved}` : ''})`
    const procedure = `${schema}.${quote(shortName(isShared ? `sync_${event}` : `sync_${event}_${table.name}`))}()`
    // the same for every table, where the function is
    const version = fingerprint(JSON.stringify([on, when, options, body]))
    functions.push(
      `CREATE OR REPLACE FUNCTION ${procedure} RETURNS trigger LANGUAGE plpgsql ${options} AS ${text(`${TRIGGER_MARK}${version} */ ${body}`)}`,
      // a role that may call it could make a trigger of it on a table of its own
      `REVOKE ALL ON FUNCTION ${procedure} FROM PUBLIC`,
    )
    const sql = (place: string) => `CREATE OR REPLACE TRIGGER ${quote(trigger)} ${on} ON ${place} ${rows}
      FOR EACH ${isCloned ? 'ROW' : 'STATEMENT'} ${when} EXECUTE FUNCTION ${procedure}`
    triggers.push([trigger, { sql, version, isCloned }])
  }
  return { functions, triggers: new Map(triggers) }
}
