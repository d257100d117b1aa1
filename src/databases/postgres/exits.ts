// Exits: what left a scope (../exits.ts).

import { EXIT, EXIT_INDEX, type ExitIndex, type ExitSource, type ExitStatements, indexesOf, planExitIndexes } from '../exits.js'
import { text } from '../knows.js'
import { query, type Transaction } from '../statement.js'
import { baseTableOf, keysOf, quote, type Table } from '../table.js'
import { classOf } from './catalog.js'
import { NOW } from './clock.js'
import { idOf } from './fragments.js'

/** Writes the exits of what `source` names; `columns` are those that it knows. The first one under a stamp is the true one. */
export function writeExits(table: Table, source: ExitSource, columns = table.scopes): string {
  return `INSERT INTO ${quote(baseTableOf(table))} AS i (_sync_server, _sync_id, _sync_stamp, _sync_removed${columns.map(c => `, ${quote(c)}`).join('')})
      SELECT ${EXIT}, ${source.id}, ${source.stamp}, ${source.removed}${columns.map(c => `, ${source.cell(c)}`).join('')} ${source.from ?? ''}
      ON CONFLICT (_sync_server, _sync_id, _sync_stamp) DO UPDATE SET _sync_removed = greatest(i._sync_removed, excluded._sync_removed)`
}

/** SQL for «these two differ», whatever a collation counts as equal. */
const differs = (one: string, other: string) => `CAST(${one} AS text) COLLATE "C" IS DISTINCT FROM CAST(${other} AS text) COLLATE "C"`

/** SQL for «the row is in another scope». */
export const hasMoved = (columns: readonly string[], one: string, other: string) =>
  columns.map(c => differs(`${one}.${quote(c)}`, `${other}.${quote(c)}`)).join(' OR ')

/** What the triggers of a table do about exits; nothing where it has no scopes. `name` is the table's in a statement. */
export function exitStatements(table: Table, name: string, stamp: string) {
  const [key, collection, bases] = [quote(table.key), text(table.name), quote(baseTableOf(table))]
  const inScopes = (statements: string) => (table.scopes.length ? `\n    ${statements}` : '')
  // what is generated is not there yet
  const isOtherKey = keysOf(table)
    .map(c => differs(`OLD.${quote(c)}`, `NEW.${quote(c)}`))
    .join(' OR ')
  const ofOld = { id: idOf(table, 'o'), stamp, cell: (c: string) => `o.${quote(c)}` }
  const isBack = (from: string) => `FROM ${from} n JOIN sync_tombstone t ON t.collection = ${collection} AND t.id = ${idOf(table, 'n')}`
  const isExit = (id: string) => `i._sync_server = ${EXIT} AND i._sync_id = ${id} AND i._sync_removed = 1`
  return {
    /** For each row, since only there is known which row became which, and before other triggers change it once more. */
    moved: writeExits(table, {
      ...{ id: idOf(table, 'OLD'), stamp, removed: `CASE WHEN ${isOtherKey} THEN 1 ELSE 0 END` },
      cell: c => `OLD.${quote(c)}`,
    }),
    hasMoved: table.scopes.length ? `(${isOtherKey} OR ${hasMoved(table.scopes, 'OLD', 'NEW')})` : 'false',

    /** Of rows that were deleted; one that a trigger of the application's has made again has moved, perhaps. */
    removed: inScopes(
      `${writeExits(table, {
        ...{ ...ofOld, removed: `CASE WHEN x.${key} IS NULL THEN 1 ELSE 0 END` },
        from: `FROM sync_old o LEFT JOIN ${name} x ON x.${key} = o.${key} WHERE x.${key} IS NULL OR ${hasMoved(table.scopes, 'o', 'x')}`,
      })};`,
    ),
    emptied: (from: string) => writeExits(table, { ...ofOld, removed: '1', from: `FROM ${from} o` }),

    /** A row that was removed is there again: where it was it has not left, and elsewhere it was not removed. */
    back: (from: string) =>
      inScopes(`IF EXISTS (SELECT 1 ${isBack(from)}) THEN
      DELETE FROM ${bases} i USING (SELECT n.*, t.id AS _sync_id ${isBack(from)}) t WHERE ${isExit('t._sync_id')} AND NOT (${hasMoved(table.scopes, 'i', 't')});
      UPDATE ${bases} i SET _sync_removed = 0 ${isBack(from)} WHERE ${isExit('t.id')};
    END IF;`),
  }
}

export const exits: ExitStatements = {
  *keepExits(table, ids, stamp, isRemoval) {
    if (!ids.length) return
    const source = {
      id: idOf(table, 'x'),
      stamp: 'CAST(? AS bigint)',
      removed: isRemoval ? '1' : '0',
      cell: (c: string) => `x.${quote(c)}`,
    }
    yield* query(writeExits(table, { ...source, from: `FROM ${quote(table.name)} x WHERE x.${quote(table.key)} = ANY(?)` }), stamp, ids)
  },
}

/** The exits of rows that a migration has moved or removed; `cell` gives what the copy, `was`, has. */
export function* exitsOfMigration(
  table: Table,
  { copy, scopes, cell }: { copy: string; scopes: readonly string[]; cell: (column: string) => string },
  ids: readonly string[],
): Transaction<void> {
  if (!scopes.length || !ids.length) return
  const [key, id, copiedId] = [quote(table.key), idOf(table, 'x'), idOf(table, 'was')]
  const source = {
    ...{ id: copiedId, stamp: `coalesce(x."_lastChange", ${NOW})`, removed: `CASE WHEN x.${key} IS NULL THEN 1 ELSE 0 END`, cell },
    from: `FROM ${copy} was LEFT JOIN ${quote(table.name)} x ON ${id} = ${copiedId}
      WHERE ${copiedId} = ANY(CAST(? AS text[])) AND (x.${key} IS NULL OR ${hasMoved(scopes, 'was', 'x')})`,
  }
  yield* query(writeExits(table, source, scopes), ids)
}

/** The indexes for exits that a table of base versions has. */
export function* exitIndexes(table: Table): Transaction<ExitIndex[]> {
  const rows = yield* query(
    `SELECT c.relname AS name, a.attname AS "column"
       FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(attnum, place)
       JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
      WHERE x.indrelid = ${classOf('?')} AND c.relname LIKE '${EXIT_INDEX.replaceAll('_', '\\_')}%' ORDER BY c.relname, k.place`,
    baseTableOf(table),
  )
  return indexesOf(rows.map(row => [String(row.name), String(row.column)]))
}

/** Makes the indexes by which exits are read; `before`: those before the table was aligned. Where the entity has no scopes any more, the exits go. */
export function* alignExitIndexes(table: Table, before: readonly ExitIndex[]): Transaction<void> {
  const bases = quote(baseTableOf(table))
  const { drop, create } = planExitIndexes(table, yield* exitIndexes(table))
  for (const name of drop) yield* query(`DROP INDEX ${quote(name)}`)
  for (const { name, columns } of create)
    yield* query(`CREATE INDEX IF NOT EXISTS ${quote(name)} ON ${bases} (${columns.map(quote).join(', ')}) WHERE _sync_server = ${EXIT}`)
  if (before.length && !table.scopes.length) yield* query(`DELETE FROM ${bases} WHERE _sync_server = ${EXIT}`)
}
