// The triggers of ours that tables have, and their partitions.

import { query, type Transaction } from '../statement.js'
import type { Table } from '../table.js'
import { classOf, SUFFIX } from './catalog.js'
import type { Place } from './triggers.js'

export interface Present {
  readonly place: Place
  /** Versions by name, and behind it the partition; of one that is switched off none. */
  readonly triggers: ReadonlyMap<string, string>
  /** Its partitions: a statement fires the triggers of the one that it names. */
  readonly places: readonly string[]
  /** Tables that inherit from it without being partitions. */
  readonly heirs: readonly string[]
  /** Schemas of other change logs that have triggers there. */
  readonly logs: readonly string[]
}

/** A trigger's name, and behind it the partition. */
export const placed = (trigger: string, place: string) => (place ? `${trigger} ON ${place}` : trigger)

/** By table. */
export function* presentTriggers(tables: readonly Table[]): Transaction<Map<string, Present>> {
  const rows = yield* query(
    `SELECT w.name AS name, n.nspname AS table_schema, current_schema() AS schema, ${SUFFIX} AS suffix,
            part.relid = c.oid AS is_top, part.name AS place, part.is_heir AS is_heir, t.tgname AS trigger, CASE WHEN t.tgenabled IN ('O', 'A') THEN t.version ELSE '' END AS version, t.log AS log
       FROM unnest(CAST(? AS text[])) AS w(name)
       JOIN pg_class c ON c.oid = ${classOf('w.name')}
       JOIN pg_namespace n ON n.oid = c.relnamespace
       CROSS JOIN LATERAL (SELECT c.oid AS relid, format('%I.%I', n.nspname, c.relname) AS name, false AS is_heir
                 UNION ALL SELECT p.oid, format('%I.%I', m.nspname, p.relname), NOT p.relispartition
                   FROM pg_class p JOIN pg_namespace m ON m.oid = p.relnamespace
                  WHERE p.oid IN (WITH RECURSIVE below (oid) AS (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
                                    UNION SELECT i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.oid) SELECT oid FROM below)) part
       LEFT JOIN (SELECT g.tgrelid, g.tgname, g.tgenabled, l.nspname AS log, substring(p.prosrc FROM '^/\\* typeorm-sync ([0-9a-f]+) \\*/') AS version
                    FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace l ON l.oid = p.pronamespace
                   WHERE NOT g.tgisinternal AND g.tgparentid = 0) t
         ON t.tgrelid = part.relid AND t.version IS NOT NULL`,
    tables.map(t => t.name),
  )
  const present = new Map<string, Present & { triggers: Map<string, string>; places: string[]; heirs: string[]; logs: string[] }>()
  for (const row of rows) {
    const name = String(row.name)
    const place = { schema: String(row.schema), tableSchema: String(row.table_schema), suffix: String(row.suffix) }
    const found = present.get(name) ?? { place, triggers: new Map<string, string>(), places: [], heirs: [], logs: [] as string[] }
    const list = row.is_heir ? found.heirs : found.places
    if (!row.is_top && !list.includes(String(row.place))) list.push(String(row.place))
    if (row.trigger !== null && row.log !== row.schema) found.logs.push(String(row.log))
    else if (row.trigger !== null) found.triggers.set(placed(String(row.trigger), row.is_top ? '' : String(row.place)), String(row.version))
    present.set(name, found)
  }
  return present
}
