// Rows that are always as the database has them.

import type { FindManyOptions, ObjectLiteral, Repository } from 'typeorm'
import { type Look, type Looker, lookerOf } from './looker.js'
import { tablesReadBy } from './readTables.js'
import { prototypesOf, SameRows } from './sameRows.js'
import { type Watch, Watched, type WatchOptions } from './watched.js'

/**
 * The rows that `repository.find(options)` gives: now, and again after each change of the tables that it reads, whoever makes it. Nothing is read until somebody
 * subscribes.
 *
 * Throws SyncConfigurationError where withSync was not applied, or the data source is not initialised, SyncSchemaError where a table or column is missing.
 */
export function watch<Entity extends ObjectLiteral>(
  repository: Repository<Entity>,
  options: FindManyOptions<Entity> = {},
  watchOptions: WatchOptions = {},
): Watch<Entity> {
  const { metadata, manager } = repository
  const { dataSource } = manager
  const looker = lookerOf(dataSource)
  const tables = tablesReadBy(metadata, options)
  const [primary, ...others] = metadata.primaryColumns
  const keyOf = (row: Entity): unknown =>
    others.length ? JSON.stringify(metadata.primaryColumns.map(column => String(column.getEntityValue(row)))) : primary?.getEntityValue(row)
  const same = new SameRows<Entity>(keyOf, prototypesOf(dataSource.entityMetadatas))
  const reading = {
    sign: (look: Look) => signOf(look, tables),
    read: (look: Look) => find(repository, options, look, looker),
    keep: (rows: readonly Entity[]) => same.keep(rows),
  }
  return new Watched(looker, reading, watchOptions)
}

/** Differs where the tables may have changed. */
function signOf({ tables, all }: Look, read: ReadonlySet<string> | undefined): string {
  if (!read) return all
  let sign = ''
  for (const name of read) {
    const changed = tables.get(name)
    if (changed === undefined) return all // it is not synced
    sign += `${changed}\n`
  }
  return sign
}

async function find<Entity extends ObjectLiteral>(
  { target, manager: { dataSource } }: Repository<Entity>,
  options: FindManyOptions<Entity>,
  { mark }: Look,
  looker: Looker,
): Promise<readonly Entity[]> {
  // what TypeORM keeps of earlier results is not what the database has
  const fresh = { ...options, cache: false }
  // nothing is written meanwhile, or it is read once more
  if (mark !== undefined) return dataSource.manager.find(target, fresh)
  // on the primary server, and of one snapshot, however many statements it takes
  const runner = dataSource.createQueryRunner('master')
  looker.ignore(runner)
  try {
    await runner.startTransaction('REPEATABLE READ')
    const rows = await runner.manager.find(target, fresh)
    await runner.commitTransaction()
    return rows
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => {})
    throw error
  } finally {
    await runner.release()
  }
}
