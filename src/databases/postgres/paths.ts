// Scopes by paths (../paths.ts). These triggers act inside of the engine's transactions as well.

import { text } from '../knows.js'
import { leadsTo, type PathScope, pathsTo } from '../paths.js'
import { quote, type Table } from '../table.js'

/** The bodies of the functions of a table's triggers for paths: its own, and those that lead to it. `schema` is the data source's own. Undefined where there are none. */
export function pathBodies(table: Table, tables: readonly Table[], schema: string, suffix: string) {
  const own = table.paths ?? []
  const below = pathsTo(table.name, tables)
  const named = (name: string) => `${quote(tables.find(t => t.name === name)?.schema ?? schema)}.${quote(name)}`
  const fill = (path: PathScope) => {
    const isMoved = path.references.map(c => `NEW.${quote(c)} IS DISTINCT FROM OLD.${quote(c)}`).join(' OR ')
    return `IF TG_OP = 'INSERT' OR ${isMoved} THEN
      NEW.${quote(path.column)} := (SELECT p.${quote(path.parentColumn)} FROM ${named(path.parent)} p WHERE ${leadsTo(path, 'NEW.', 'p.')});
    END IF;`
  }
  const isBypassed = `current_setting('typeorm_sync.bypass', true) IS NOT DISTINCT FROM ${text(suffix)}`
  const number = ({ column, references: [reference], parent, parentKeys: [parentKey], parentColumn }: PathScope) => {
    const [own, there, key] = [`NEW.${quote(reference as string)}`, `NEW.${quote(column)}`, `p.${quote(parentKey as string)}`]
    const isMoved = `${own} IS DISTINCT FROM OLD.${quote(reference as string)}`
    return `IF (TG_OP = 'INSERT' OR ${isMoved}) AND (${own} IS NOT NULL OR NOT (${isBypassed})) THEN
      ${there} := coalesce((SELECT p.${quote(parentColumn)} FROM ${named(parent)} p WHERE ${key} = ${own}), CASE WHEN ${isBypassed} THEN ${there} END);
    ELSIF (${isBypassed}) AND (TG_OP = 'INSERT' OR ${there} IS DISTINCT FROM OLD.${quote(column)}) THEN
      ${own} := (SELECT ${key} FROM ${named(parent)} p WHERE p.${quote(parentColumn)} = ${there});
    END IF;`
  }
  // a child may have come before its parent
  const arrive = ({ child, path }: (typeof below)[number]) => {
    const set = (column: string, value: string, by: string, is: string) =>
      `UPDATE ${named(child.name)} x SET ${quote(column)} = n.${quote(value)} FROM sync_new n
        WHERE x.${quote(by)} = n.${quote(is)} AND x.${quote(column)} IS DISTINCT FROM n.${quote(value)};`
    const { column, parentColumn } = path
    const [reference, parentKey] = [path.references[0] as string, path.parentKeys[0] as string]
    return `IF ${isBypassed} THEN
      ${set(reference, parentKey, column, parentColumn)}
    ELSE
      ${set(column, parentColumn, reference, parentKey)}
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
  const moving = below.filter(({ path }) => !path.isIdentity)
  // only where a value that is kept has changed are the rows below looked for
  const kept = [...new Set(moving.map(({ path }) => `CAST(${quote(path.parentColumn)} AS text) COLLATE "C"`))].join(', ')
  const correctAll = (statements: readonly string[]) => `DECLARE bypass text := current_setting('typeorm_sync.bypass', true);
  BEGIN
    ${statements.join('\n    ')}
    RETURN NULL;
  END`
  const values = `SELECT ${quote(table.key)}, ${kept} FROM`
  return {
    above: own.length
      ? `BEGIN\n    ${own.map(path => (path.isIdentity ? number(path) : fill(path))).join('\n    ')}\n    RETURN NEW;\n  END`
      : undefined,
    belowNew: below.length ? correctAll(below.map(each => (each.path.isIdentity ? arrive(each) : correct(each)))) : undefined,
    below: moving.length
      ? correctAll(moving.map(correct)).replace(
          'BEGIN\n',
          `BEGIN\n    IF NOT EXISTS (${values} sync_new EXCEPT ${values} sync_old) THEN RETURN NULL; END IF;\n`,
        )
      : undefined,
  }
}
