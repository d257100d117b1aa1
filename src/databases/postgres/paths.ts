// Scopes by paths (../paths.ts). These triggers act inside of the engine's transactions as well.

import { text } from '../knows.js'
import { leadsTo, type PathScope, pathsTo } from '../paths.js'
import { quote, type Table } from '../table.js'

/** The bodies of the functions of a table's triggers for paths: its own, and those that lead to it. Undefined where there are none. */
export function pathBodies(table: Table, tables: readonly Table[], schema: string, suffix: string) {
  const own = table.paths ?? []
  const below = pathsTo(table.name, tables)
  const named = (name: string) => `${quote(schema)}.${quote(name)}`
  const fill = (path: PathScope) => {
    const isMoved = path.references.map(c => `NEW.${quote(c)} IS DISTINCT FROM OLD.${quote(c)}`).join(' OR ')
    return `IF TG_OP = 'INSERT' OR ${isMoved} THEN
      NEW.${quote(path.column)} := (SELECT p.${quote(path.parentColumn)} FROM ${named(path.parent)} p WHERE ${leadsTo(path, 'NEW.', 'p.')});
    END IF;`
  }
  const correct = ({ child, path }: (typeof below)[number]) => {
    const differs = `CAST(x.${quote(path.column)} AS text) COLLATE "C" IS DISTINCT FROM CAST(n.${quote(path.parentColumn)} AS text) COLLATE "C"`
    const from = `FROM sync_new n JOIN ${named(child.name)} x ON ${leadsTo(path, 'x.', 'n.')} AND ${differs}`
    return `IF EXISTS (SELECT 1 ${from}) THEN
      IF bypass = ${text(suffix)} THEN
        IF EXISTS (SELECT 1 FROM sync_server r WHERE r.collection = ${text(child.name)}) THEN
          UPDATE sync_clock SET horizon = now;
        ELSE
          PERFORM set_config('typeorm_sync.bypass', '', true);
        END IF;
      END IF;
      UPDATE ${named(child.name)} x SET ${quote(path.column)} = n.${quote(path.parentColumn)} FROM sync_new n
        WHERE ${leadsTo(path, 'x.', 'n.')} AND ${differs};
      PERFORM set_config('typeorm_sync.bypass', coalesce(bypass, ''), true);
    END IF;`
  }
  // only where a value that is kept has changed are the rows below looked for
  const kept = [...new Set(below.map(({ path }) => `CAST(${quote(path.parentColumn)} AS text) COLLATE "C"`))].join(', ')
  const correctAll = `DECLARE bypass text := current_setting('typeorm_sync.bypass', true);
  BEGIN
    ${below.map(correct).join('\n    ')}
    RETURN NULL;
  END`
  const values = `SELECT ${quote(table.key)}, ${kept} FROM`
  return {
    above: own.length ? `BEGIN\n    ${own.map(fill).join('\n    ')}\n    RETURN NEW;\n  END` : undefined,
    belowNew: below.length ? correctAll : undefined,
    below: below.length
      ? correctAll.replace('BEGIN\n', `BEGIN\n    IF NOT EXISTS (${values} sync_new EXCEPT ${values} sync_old) THEN RETURN NULL; END IF;\n`)
      : undefined,
  }
}
