// The schemas of a data source: its own, which has the change log, and others that its entities name.

import type { DataSource, EntityMetadata } from 'typeorm'
import { SyncConfigurationError, SyncSchemaError } from '../../errors.js'
import { text } from '../knows.js'
import { first, query, type Transaction } from '../statement.js'
import { quote, type Table } from '../table.js'
import { classOf } from './catalog.js'
import { TRIGGER_MARK } from './triggerMark.js'

/**
 * SQL that sets, for a transaction, where tables are found: in the data source's own schema, then in those of its entities, whatever the session's path
 * names first. Types and operators of extensions are found where the session finds them.
 */
export function schemaSettings({ driver, entityMetadatas }: DataSource): string {
  const { schema: own } = driver as { schema?: string }
  const others = new Set(entityMetadatas.flatMap(({ schema }) => (schema === undefined || schema === own ? [] : schema)))
  const schemas = [own === undefined ? 'CAST(current_schema() AS text)' : text(own), ...[...others].map(text)]
  const path = `concat_ws(', ', ${schemas.map(name => `quote_ident(${name})`).join(', ')}, current_setting('search_path'))`
  return `set_config('typeorm_sync.schemas', CAST(ARRAY[${schemas.join(', ')}] AS text), true), set_config('search_path', ${path}, true)`
}

/** Until the transaction ends tables are found as well in schemas that entities named before: a migration is about to move them. */
export function* addFormerSchemas(): Transaction<void> {
  yield* query(
    `SELECT set_config('typeorm_sync.schemas', CAST(l.names || array_agg(f.name) AS text), true)
       FROM (SELECT CAST(current_setting('typeorm_sync.schemas') AS text[]) AS names) l
       JOIN (SELECT DISTINCT CAST(n.nspname AS text) AS name
               FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE NOT t.tgisinternal AND p.prosrc LIKE ? AND p.pronamespace = CAST(quote_ident(current_schema()) AS regnamespace)) f
         ON f.name <> ALL (l.names)
      GROUP BY l.names`,
    `${TRIGGER_MARK}%`,
  )
}

/** Is a table in the schema that its entity names? Throws SyncConfigurationError where statements would find another one of its name. */
export function* isInItsSchema({ name, schema }: Table): Transaction<boolean> {
  const row = yield* first(
    `SELECT d.schema AS declared, to_regclass(quote_ident(d.schema) || '.' || quote_ident(d.name)) IS NOT NULL AS is_there,
            n.nspname AS found, l.own AS own, l.own IS NOT DISTINCT FROM current_schema() AS has_own
       FROM (SELECT (CAST(current_setting('typeorm_sync.schemas') AS text[]))[1] AS own) l
       CROSS JOIN LATERAL (SELECT coalesce(CAST(? AS text), l.own) AS schema, CAST(? AS text) AS name) d
       LEFT JOIN pg_class c ON c.oid = ${classOf('d.name')}
       LEFT JOIN pg_namespace n ON n.oid = c.relnamespace`,
    schema ?? null,
    name,
  )
  const { declared, found, own } = row ?? {}
  if (!row?.is_there) return false
  // what we make would be in another one, perhaps beside another change log
  if (!row.has_own)
    throw new SyncSchemaError(
      `There is no schema ${own}, which the data source names; its change log is to be there. Let a migration make it.`,
    )
  if (found !== declared)
    throw new SyncConfigurationError(
      found === null
        ? `The table ${declared}.${name} cannot be synced: in another schema than the data source's, names that begin with sync_ are those of other change logs. Rename it.`
        : `The table ${declared}.${name} cannot be synced: ${found}.${name} is in its way, for rows are known by the name of their table. ` +
            'Rename or drop one of the two, or give the entity a data source of its own, with that schema.',
    )
  return true
}

/** Throws SyncConfigurationError for a table whose triggers are those of another change log, which would lose them. */
export function rejectOther({ name }: Table, tableSchema: string, logs: readonly string[]): void {
  const [log] = logs
  if (log === undefined) return
  throw new SyncConfigurationError(
    `The table ${tableSchema}.${name} cannot be synced: the change log in the schema ${log} syncs it, and one table has one change log. ` +
      `Sync it by a data source with that schema (new DataSource({ schema: '${log}' })), or, where that one is not in use any more, ` +
      `drop its triggers: DROP FUNCTION … CASCADE for the functions sync_* in ${quote(log)}.`,
  )
}

/** Everybody knows rows by the name of their table, and the change log finds those that refer to them by theirs. Throws SyncConfigurationError. */
export function rejectTwins({ driver, entityMetadatas }: DataSource, synced: readonly EntityMetadata[]): void {
  const schemaOf = ({ schema }: EntityMetadata) => schema ?? driver.schema
  for (const metadata of entityMetadatas) {
    if (!synced.includes(metadata) && !metadata.foreignKeys.some(key => synced.includes(key.referencedEntityMetadata))) continue
    const { name, tableName, tablePath } = metadata
    const twin = entityMetadatas.find(other => other.tableName === tableName && schemaOf(other) !== schemaOf(metadata))
    if (!twin) continue
    throw new SyncConfigurationError(
      `${name} cannot be synced beside ${twin.name}: the tables ${tablePath} and ${twin.tablePath} have one name, by which rows are known. ` +
        'Rename one, or give one of the entities a data source of its own.',
      { entity: name },
    )
  }
}
