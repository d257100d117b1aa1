// How the database spells values, and which of them it rejects.

import type { ColumnCodec } from '../columns.js'
import { text } from '../knows.js'
import { type Cell, first, query, type Transaction } from '../statement.js'
import type { Table } from '../table.js'
import type { Catalog, ColumnInfo } from './catalog.js'

export function* spell(
  catalog: Catalog,
  table: Table,
  columns: readonly ColumnCodec[],
  lists: readonly (readonly unknown[])[],
): Transaction<(readonly [cell: Cell, state: string | null])[][]> {
  const infos = yield* catalog.columnsOf(table.name)
  yield* query(`SELECT set_config('typeorm_sync.given', ?, true)`, JSON.stringify(lists))
  const block = spellingOf(columns.map(column => ({ column, info: infos.get(column.column) as ColumnInfo })))
  const row = yield* first(`DO ${text(block)}; SELECT current_setting('typeorm_sync.spelled') AS spelled`)
  return JSON.parse(String(row?.spelled))
}

/**
 * PL/pgSQL that reads lists of texts, one for each column, and writes for each text how the column's type spells it, or the class of the error:
 * `[[["10.0.0.1", null], [null, "22P02"]]]`. In a block, for each text that is no value would cost a savepoint and four statements.
 */
const spellingOf = (columns: readonly { readonly column: ColumnCodec; readonly info: ColumnInfo }[]) => `
  DECLARE sync_given text; sync_text text; sync_all text[]; sync_some text[];
  BEGIN ${columns
    .map(
      ({ column, info }, i) => `
    sync_some := '{}';
    FOR sync_given IN SELECT v FROM json_array_elements_text(CAST(current_setting('typeorm_sync.given') AS json) -> ${i}) AS e(v) LOOP
      BEGIN
        SELECT ${column.read('h.c')} INTO sync_text FROM (SELECT CAST(CAST(sync_given AS ${info.castType}) AS ${info.baseType}) AS c) h;
        sync_some := array_append(sync_some, CAST(json_build_array(sync_text, NULL) AS text));
      -- a JSON path has a syntax, and types of extensions fail as they like
      EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR syntax_error OR name_too_long OR internal_error
        OR raise_exception THEN
        sync_some := array_append(sync_some, CAST(json_build_array(NULL, SQLSTATE) AS text));
      END;
    END LOOP;
    sync_all := array_append(sync_all, '[' || array_to_string(sync_some, ',') || ']');`,
    )
    .join('')}
    PERFORM set_config('typeorm_sync.spelled', '[' || array_to_string(sync_all, ',') || ']', true);
  END`
