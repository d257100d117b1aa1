// A data source says that it keeps a change log. Methods of this one instance are wrapped; no prototype is touched.

import { type DataSource, type EntityMetadata, MigrationExecutor } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import { changeSchema } from '../changes/changeSchema.js'
import { describeCollections } from '../changes/describeCollections.js'
import { isSetUp, setUpStatements as statementsOf } from '../changes/rehearseSetUp.js'
import { setUpChangeLog } from '../changes/setUp.js'
import type { DatabaseHooks, DatabaseOptions } from '../databases/database.js'
import { loadKind, openDatabase } from '../databases/open.js'
import { teachBinary } from '../databases/values/binary.js'
import { SyncConfigurationError, SyncSchemaError } from '../errors.js'
import { isHttpUrl } from './enableSync.js'
import { openServers } from './feeds.js'
import { makeNewKeys } from './newKeys.js'
import { type ClientOptions, noteClient } from './options.js'
import { lacksSchema, noteChangeLog, noteDataSource, syncedEntities } from './registry.js'

export interface WithSyncOptions extends DatabaseOptions, ClientOptions {
  /**
   * With false `initialize()` makes no tables and triggers: run what `setUpStatements` says. Where something is
   * missing, a sync throws SyncSchemaError. True by default.
   */
  readonly setUp?: boolean
}

const described = new WeakMap<DataSource, () => ChangeLog>()

/**
 * What `initialize()` would change in the database as it is now: SQL statements, to be reviewed, and run in their order on one connection, in a
 * transaction where they do not begin one themselves. Throws SyncConfigurationError where withSync was not applied, SyncSchemaError where a table or column
 * of an entity is missing.
 */
export async function setUpStatements(dataSource: DataSource): Promise<string[]> {
  const changeLog = described.get(dataSource)
  if (!changeLog || !dataSource.isInitialized)
    throw new SyncConfigurationError(
      'setUpStatements needs a data source with sync that is initialised: withSync(dataSource, { setUp: false }).',
    )
  return statementsOf(changeLog())
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
  const { server } = options
  if (dataSource.isInitialized)
    throw new SyncConfigurationError('The data source is initialised already; call withSync before dataSource.initialize().')
  if (server !== undefined && !isHttpUrl(server))
    throw new SyncConfigurationError(`The server ${JSON.stringify(server)} is no absolute http(s) url, such as 'https://example.org'.`)
  if (!noteDataSource(dataSource, () => begin(changeLog())))
    throw new SyncConfigurationError('withSync was called before for this data source.')
  noteClient(dataSource, options)
  teachBinary(dataSource)

  const { initialize, synchronize, runMigrations, undoLastMigration, dropDatabase } = dataSource
  let current: ChangeLog | undefined

  described.set(dataSource, changeLog)

  // synchronize and migrations run inside of initialize, before it is done
  function changeLog(): ChangeLog {
    if (current) return current
    const synced = syncedEntities(dataSource).map(({ metadata, urls, options: { omit = [], cyclic = [] } }) => ({
      metadata,
      urls,
      omit,
      cyclic,
    }))
    for (const { metadata } of synced) rejectAttached(dataSource, metadata)
    current = { dataSource, database: openDatabase(dataSource, options), collections: describeCollections(dataSource, synced) }
    return current
  }

  // A table or column that is missing may come with a migration that is run, or generated, next: until then a sync throws.
  async function begin(log: ChangeLog): Promise<void> {
    try {
      if (options.setUp ?? true) await setUpChangeLog(log)
      else if (!(await isSetUp(log))) throw new SyncSchemaError(NOT_SET_UP)
    } catch (error) {
      if (!(error instanceof SyncSchemaError)) throw error
      noteChangeLog(dataSource, error)
      return
    }
    noteChangeLog(dataSource, log)
    await openServers(log)
  }

  async function beginLate(running: DataSource): Promise<void> {
    if (running.isInitialized && lacksSchema(dataSource)) await begin(changeLog())
  }

  const wrapped: Pick<DataSource, 'initialize' | 'synchronize' | 'runMigrations' | 'undoLastMigration' | 'dropDatabase'> = {
    async initialize(this: DataSource) {
      await loadKind(dataSource)
      openDatabase(dataSource, options) // it may reject the driver
      // metadata is built anew each time; where the data source is open already, TypeORM rejects
      if (!dataSource.isInitialized) current = undefined
      const initialised = await initialize.call(this)
      try {
        const log = changeLog()
        makeNewKeys(
          dataSource,
          log.collections.map(c => c.metadata),
        )
        await begin(log)
      } catch (error) {
        await this.destroy()
        throw error
      }
      return initialised
    },

    async synchronize(this: DataSource, dropBeforeSync = false) {
      if (!dataSource.isInitialized) return synchronize.call(this, dropBeforeSync)
      await changeSchema(changeLog(), () => synchronize.call(this, dropBeforeSync))
      await beginLate(this)
    },

    async runMigrations(this: DataSource, given) {
      if (!dataSource.isInitialized || (await new MigrationExecutor(dataSource).getPendingMigrations()).length === 0)
        return runMigrations.call(this, given)
      const migrations = await changeSchema(changeLog(), () => runMigrations.call(this, given), { changesRows: true })
      await beginLate(this)
      return migrations
    },

    async undoLastMigration(this: DataSource, given) {
      if (!dataSource.isInitialized) return undoLastMigration.call(this, given)
      await changeSchema(changeLog(), () => undoLastMigration.call(this, given), { changesRows: true })
    },

    async dropDatabase(this: DataSource) {
      if (!dataSource.isInitialized) return dropDatabase.call(this)
      await changeSchema(changeLog(), () => dropDatabase.call(this))
    },
  }
  for (const [name, value] of Object.entries(wrapped))
    Object.defineProperty(dataSource, name, { value, writable: true, configurable: true })
  return dataSource
}

const NOT_SET_UP =
  'The tables and triggers of the change log are missing or outdated, and this data source has { setUp: false }: run what setUpStatements(dataSource) says.'

// Our tables are beside those of the entities: triggers of one database cannot write into another, and a schema has a clock of its own.
function rejectAttached({ driver }: DataSource, { name, tablePath, database, schema }: EntityMetadata): void {
  const own = driver as { database?: string | undefined; schema?: string | undefined }
  const isElsewhere = (schema !== undefined && schema !== own.schema) || (database !== undefined && database !== own.database)
  if (!isElsewhere) return
  throw new SyncConfigurationError(
    `${name} cannot be synced: its table ${tablePath} is in a database or schema of its own. Keep it in the data source's, or give it a data source ` +
      `with that schema (new DataSource({ schema: '…' })); each schema keeps account of its own changes.`,
    { entity: name },
  )
}
