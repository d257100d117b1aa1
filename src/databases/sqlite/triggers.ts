// The triggers by which SQLite captures every write, whatever makes it (docs/how-it-works.md, «Capture is in the database»).
//
// A trigger acts always, except inside a transaction of the engine, which sets a bypass in the clock. Its bodies name only the table that they belong to
// and our own: TypeORM rebuilds tables, and a trigger elsewhere that names one makes the migration fail. They use no OR clause: the
// application's own conflict clause would override it, where it does not override ON CONFLICT … DO UPDATE.

import { TRIGGER_MARK, text } from '../knows.js'
import { keysOf, quote, type Table } from '../table.js'
import { idOfCells } from '../values/compositeKeys.js'
import { keepAbsentBase, keepBase } from './bases.js'
import type { IndexedColumn } from './catalog.js'
import { NOW } from './clock.js'
import { exitStatements } from './exits.js'
import { ofNew, pathTriggers } from './paths.js'

/**
 * An OR REPLACE removes rows without firing a delete trigger: those whose unique values the statement is about to use are noted before, and those of
 * them that are gone afterwards were replaced. Where the statement does not replace them the note says nothing.
 */
function replacedRows(table: Table, indexed: IndexedColumn[][], writeTombstone: (from: string) => string) {
  // a rowid is in no index
  const unique = table.number === undefined ? indexed : [...indexed, [{ name: table.number, collation: 'BINARY' }]]
  const [name, key, collection, exits] = [quote(table.name), quote(table.key), text(table.name), exitStatements(table)]
  const writeReplacedTombstones = (except = '', told?: string) => `${writeTombstone(`p.id, ${NOW} FROM sync_replaced p
      WHERE p.collection = ${collection} AND NOT EXISTS (SELECT 1 FROM ${name} x WHERE x.${key} = p.id)`)}${exits.replaced({ isNew: !except, ...(told && { except: told }) })}
    DELETE FROM sync_replaced WHERE collection = ${collection}${except};`
  const same = ({ name, collation }: IndexedColumn) => `x.${quote(name)} = NEW.${quote(name)} COLLATE ${quote(collation)}`
  const isKey = `(x.${key} = ${newKeyOf(table, c => ofNew(table, c))} COLLATE "BINARY")`
  const sameUnique = (columns: IndexedColumn[]) => `(${columns.map(same).join(' AND ')})`
  const noteReplaced = (
    taken: string,
  ) => `INSERT INTO sync_replaced (collection, id) SELECT ${collection}, x.${key} FROM ${name} x WHERE ${taken}
      ON CONFLICT (collection, id) DO NOTHING;
    ${keepBase(table, { id: `x.${key}`, stamp: 'x."_lastChange"', cell: c => `x.${quote(c)}`, from: `, ${name} x`, where: `(${taken}) AND` })};${exits.note(taken)}`
  const takenByInsert = [isKey, ...unique.map(sameUnique)].join(' OR ')
  const takenByUpdate = `(${[isKey, ...unique.map(sameUnique)].join(' OR ')}) AND x.${key} IS NOT OLD.${key}`
  const uniqueColumns = [...new Set([...keysOf(table), ...unique.flat().map(c => c.name)])].map(quote).join(', ')
  return { takenByInsert, takenByUpdate, uniqueColumns, noteReplaced, writeReplacedTombstones }
}

/** SQL for the key of the row as it will be: before an update what is generated is not there yet. */
const newKeyOf = ({ key, parts }: Table, cell = (column: string) => `NEW.${quote(column)}`) =>
  parts ? idOfCells(parts.map(cell)) : `NEW.${quote(key)}`

/** The triggers of one table, by name. `wallClock` is SQL for milliseconds since 1/1/1970. */
export function triggersOf(table: Table, unique: IndexedColumn[][], wallClock: string, tables: readonly Table[] = []): Map<string, string> {
  const name = quote(table.name)
  const key = quote(table.key)
  const collection = text(table.name)
  const [oldKey, newKey] = [`OLD.${key}`, newKeyOf(table)]
  const now = NOW
  const exits = exitStatements(table)
  const notOurs = '(SELECT bypass FROM sync_clock) IS NULL'
  const tick = (stamping: string, where = '') => `UPDATE sync_clock SET now = max(${wallClock}, now + 1), stamping = ${stamping}${where};`
  const stampRow = `UPDATE ${name} SET "_lastChange" = ${now} WHERE ${key} = ${newKey};`
  const keepOld = `${keepBase(table, { id: oldKey, stamp: 'OLD."_lastChange"', cell: c => `OLD.${quote(c)}` })};`
  const writeTombstone = (from: string) => `INSERT INTO sync_tombstone (collection, id, stamp) SELECT ${collection}, ${from}
      ON CONFLICT (collection, id) DO UPDATE SET stamp = excluded.stamp;`
  const dropTombstone = `DELETE FROM sync_tombstone WHERE collection = ${collection} AND id = ${newKey};`
  const isReplaced = `SELECT 1 FROM sync_replaced p WHERE p.collection = ${collection} AND p.id = ${newKey}`
  const keepAbsentBaseOfNew = `${keepAbsentBase(table, newKey, { where: `NOT EXISTS (${isReplaced}) AND` })};`
  const { takenByInsert, takenByUpdate, uniqueColumns, noteReplaced, writeReplacedTombstones } = replacedRows(table, unique, writeTombstone)
  const all = [...new Set([...keysOf(table), ...table.columns])].map(quote).join(', ')
  // A stamp that a statement wrote is overridden, unless it is the one that a trigger has just given to this very row.
  const isChange = `(OLD."_lastChange" IS NEW."_lastChange" OR NEW."_lastChange" IS NOT ${now} OR ${newKey} IS NOT (SELECT stamping FROM sync_clock))`
  // a key of identities is there when these have been filled, and so is the row
  const getsKey = table.paths?.some(p => table.parts?.includes(p.column)) === true
  const [hadKey, hasKey] = getsKey ? [` AND ${oldKey} IS NOT NULL`, ` AND ${newKey} IS NOT NULL`] : ['', '']
  const inserted = `${tick(newKey)}
    ${keepAbsentBaseOfNew}
    ${writeReplacedTombstones()}${exits.back}
    ${dropTombstone}
    ${stampRow}`
  const triggers: Record<string, string> = {
    replace_insert: `BEFORE INSERT ON ${name}
  WHEN ${notOurs} AND EXISTS (SELECT 1 FROM ${name} x WHERE ${takenByInsert}) BEGIN
    ${noteReplaced(takenByInsert)}`,
    replace_update: `BEFORE UPDATE OF ${uniqueColumns} ON ${name}
  WHEN ${notOurs} AND EXISTS (SELECT 1 FROM ${name} x WHERE ${takenByUpdate}) BEGIN
    ${noteReplaced(takenByUpdate)}`,
    insert: `AFTER INSERT ON ${name}
  WHEN ${notOurs}${hasKey} BEGIN
    ${inserted}`,
    ...(getsKey && {
      insert_late: `AFTER UPDATE OF ${keysOf(table).map(quote).join(', ')} ON ${name}
  WHEN ${notOurs}${hasKey} AND ${oldKey} IS NULL BEGIN
    ${inserted}`,
    }),
    // before all others, and apart from the stamping: an application's trigger may change the row, or others of the table, once more while
    // ours runs, and SQLite does not fire a trigger inside itself. The first base version is the true one.
    keep: `BEFORE UPDATE OF ${all}, "_lastChange" ON ${name}
  WHEN ${notOurs}${hadKey} AND ${isChange} BEGIN
    ${keepOld}`,
    // apart from the stamping for the same reason. Under the stamp that the row has just got, or is about to get.
    ...(table.scopes.length && {
      exit: `AFTER UPDATE OF ${[...new Set([...keysOf(table), ...table.scopes])].map(quote).join(', ')} ON ${name}
  WHEN ${notOurs}${hadKey} AND ${exits.hasMoved} BEGIN
    ${tick('stamping', ` WHERE NOT EXISTS (SELECT 1 FROM ${name} x WHERE x.${key} = ${newKey} AND x."_lastChange" = sync_clock.now AND x."_lastChange" IS NOT NEW."_lastChange")`)}
    ${exits.moved}`,
    }),
    update: `AFTER UPDATE OF ${all}, "_lastChange" ON ${name}
  WHEN ${notOurs} AND ${isChange} AND ${oldKey} IS ${newKey} BEGIN
    ${tick(newKey)}
    ${stampRow}`,
    // the row's own note stays: within an OR REPLACE an application's trigger may come here before ours does for the insert
    replaced_update: `AFTER UPDATE OF ${uniqueColumns} ON ${name}
  WHEN ${notOurs} AND ${oldKey} IS ${newKey} AND EXISTS (SELECT 1 FROM sync_replaced p WHERE p.collection = ${collection} AND p.id IS NOT ${newKey}) BEGIN
    ${tick(newKey)}
    ${writeReplacedTombstones(` AND id IS NOT ${newKey}`)}`,
    rename: `AFTER UPDATE OF ${keysOf(table).map(quote).join(', ')} ON ${name}
  WHEN ${notOurs}${hadKey} AND ${oldKey} IS NOT ${newKey} BEGIN
    ${tick(newKey)}
    ${writeTombstone(`${oldKey}, ${now} WHERE true`)}
    ${keepAbsentBaseOfNew}
    ${writeReplacedTombstones('', oldKey)}${exits.back}
    ${dropTombstone}
    ${stampRow}`,
    delete: `AFTER DELETE ON ${name}
  WHEN ${notOurs}${hadKey} BEGIN
    ${tick('NULL')}
    ${keepOld}
    ${writeTombstone(`${oldKey}, ${now} WHERE true`)}${exits.removed}
    DELETE FROM sync_replaced WHERE collection = ${collection} AND id = ${oldKey};`,
  }
  return new Map(
    Object.entries({ ...triggers, ...pathTriggers(table, tables) }).map(([event, body]) => {
      const trigger = `sync_${event}_${table.name}` // this way round no two tables have one name in common
      return [trigger, `CREATE TRIGGER ${quote(trigger)} ${TRIGGER_MARK} ${body}\n  END`]
    }),
  )
}
