// What becomes of a data source when it is initialised: its change log, as soon as the tables and columns are there.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import { rejectEntity } from '../changes/collections/describeCollection.js'
import { describeCollections } from '../changes/collections/describeCollections.js'
import { isSetUp } from '../changes/setUp/rehearseSetUp.js'
import { setUpChangeLog } from '../changes/setUp/setUp.js'
import type { DatabaseHooks, DatabaseOptions } from '../databases/database.js'
import { loadKind, openDatabase } from '../databases/open.js'
import { SyncSchemaError } from '../errors.js'
import { openServers } from './feeds.js'
import { makeNewKeys } from './newKeys.js'
import { lacksSchema, noteChangeLog, servedUrls, syncedEntities } from './registry.js'

export interface SetUpOptions extends DatabaseOptions, DatabaseHooks {
  /** With false tables and triggers are made elsewhere. */
  readonly setUp?: boolean
}

/** Those of the data sources to which withSync was applied. */
export const setUps = new WeakMap<DataSource, SyncSetUp>()

export class SyncSetUp {
  #changeLog: ChangeLog | undefined

  constructor(
    private readonly dataSource: DataSource,
    private readonly options: SetUpOptions,
  ) {}

  /** Described when it is first needed: synchronize and migrations run inside of initialize, before that is done. */
  get changeLog(): ChangeLog {
    if (this.#changeLog) return this.#changeLog
    const { dataSource, options } = this
    const synced = syncedEntities(dataSource).map(entity => {
      const { cyclic = [], scopes = [], sameNumbers = false, onConflict } = entity.options
      return { metadata: entity.metadata, urls: servedUrls(entity), cyclic, scopes, sameNumbers, isAsked: onConflict !== undefined }
    })
    for (const { metadata } of synced) rejectAttached(dataSource, metadata)
    const database = openDatabase(dataSource, options)
    database.checkNames?.(synced.map(s => s.metadata))
    this.#changeLog = { dataSource, database, collections: describeCollections(dataSource, synced) }
    return this.#changeLog
  }

  /** To be called before the data source is initialised. Throws SyncConfigurationError for a driver that cannot be synced. */
  async prepare(): Promise<void> {
    const { dataSource, options } = this
    await loadKind(dataSource)
    openDatabase(dataSource, options)
    // metadata is built anew each time; where the data source is open already, TypeORM rejects
    if (!dataSource.isInitialized) this.#changeLog = undefined
  }

  /** To be called when the data source is initialised. */
  async begin(): Promise<void> {
    const { collections } = this.changeLog
    makeNewKeys(
      this.dataSource,
      collections.map(c => c.metadata),
    )
    await this.setUp()
  }

  /** A table or column that is missing may come with a migration that is run, or generated, next: until then a sync throws. */
  async setUp(): Promise<void> {
    const { dataSource, options, changeLog } = this
    try {
      if (options.setUp ?? true) await setUpChangeLog(changeLog)
      else if (!(await isSetUp(changeLog))) throw new SyncSchemaError(NOT_SET_UP)
    } catch (error) {
      if (!(error instanceof SyncSchemaError)) throw error
      noteChangeLog(dataSource, error)
      return
    }
    noteChangeLog(dataSource, changeLog)
    await openServers(changeLog)
  }

  /** Sets up what was put off, where that is possible now. */
  async setUpLate(): Promise<void> {
    if (lacksSchema(this.dataSource)) await this.setUp()
  }
}

const NOT_SET_UP =
  'The tables and triggers of the change log are missing or outdated, and this data source has { setUp: false }: run what setUpStatements(dataSource) says.'

// Triggers of one database cannot write into another. Schemas of PostgreSQL are parts of one.
function rejectAttached({ driver, options: { type } }: DataSource, { name, tablePath, database, schema }: EntityMetadata): void {
  const own = driver as { database?: string | undefined; schema?: string | undefined }
  const isElsewhere =
    (schema !== undefined && schema !== own.schema && type !== 'postgres') || (database !== undefined && database !== own.database)
  if (isElsewhere)
    rejectEntity(name, `its table ${tablePath} is in another database. Keep it in the data source's, or give it a data source there.`)
}
