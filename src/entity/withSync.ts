// A data source says that it keeps a change log.

import type { DataSource } from 'typeorm'
import { setUpStatements as statementsOf } from '../changes/setUp/rehearseSetUp.js'
import type { DatabaseHooks, DatabaseOptions } from '../databases/database.js'
import { teachBinary } from '../databases/values/binary.js'
import { SyncConfigurationError } from '../errors.js'
import { isHttpUrl } from './enableSync.js'
import { type ClientOptions, noteClient } from './options.js'
import { noteDataSource } from './registry.js'
import { SyncSetUp, setUps } from './syncSetUp.js'
import { wrapMethods } from './wrapMethods.js'

export interface WithSyncOptions extends DatabaseOptions, ClientOptions {
  /**
   * With false `initialize()` makes no tables and triggers: run what `setUpStatements` says. Where something is
   * missing, a sync throws SyncSchemaError. True by default.
   */
  readonly setUp?: boolean
}

/**
 * What `initialize()` would change in the database as it is now: SQL statements, to be reviewed, and run in their order on one connection, in a
 * transaction where they do not begin one themselves. Throws SyncConfigurationError where withSync was not applied, SyncSchemaError where a table or column
 * of an entity is missing.
 */
export async function setUpStatements(dataSource: DataSource): Promise<string[]> {
  const setUp = setUps.get(dataSource)
  if (!setUp || !dataSource.isInitialized)
    throw new SyncConfigurationError('setUpStatements needs an initialised data source: withSync(dataSource, { setUp: false }).')
  return statementsOf(setUp.changeLog)
}

/**
 * Lets a data source keep account of what changes. Call it before `initialize()`, which then adds our tables and triggers.
 *
 * Throws SyncConfigurationError where it was called before, the data source is initialised already, or `server` is no http(s) url.
 * `initialize()` throws it for an entity or driver that cannot be synced. Where a table or column is missing, because no migration has
 * brought it yet, a sync throws SyncSchemaError.
 */
export function withSync<D extends DataSource>(dataSource: D, options: WithSyncOptions = {}): D {
  return withHooks(dataSource, options)
}

/** Options with hooks for tests. */
export interface HookedOptions extends WithSyncOptions, DatabaseHooks {}

/** `withSync` for tests. */
export function withHooks<D extends DataSource>(dataSource: D, options: HookedOptions = {}): D {
  const { server, schema } = options
  if (dataSource.isInitialized)
    throw new SyncConfigurationError('The data source is initialised already; call withSync before dataSource.initialize().')
  if (server !== undefined && !isHttpUrl(server))
    throw new SyncConfigurationError(`The server ${JSON.stringify(server)} is no absolute http(s) url, such as 'https://example.org'.`)
  if (schema !== undefined && !(Number.isSafeInteger(schema) && schema > 0))
    throw new SyncConfigurationError('schema, a version, has to be a whole number from 1 on.')
  const setUp = new SyncSetUp(dataSource, options)
  if (!noteDataSource(dataSource, () => setUp.setUp())) throw new SyncConfigurationError('withSync was called before for this data source.')
  noteClient(dataSource, options)
  teachBinary(dataSource)
  setUps.set(dataSource, setUp)
  wrapMethods(dataSource, setUp)
  return dataSource
}
