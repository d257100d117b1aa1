// The methods of a data source that change its schema, wrapped: of this one instance, no prototype is touched.

import { type DataSource, MigrationExecutor } from 'typeorm'
import { changeSchema } from '../changes/setUp/changeSchema.js'
import { addIdentity, addReferences } from './identityColumns.js'
import { addKeyColumn, indexKeys } from './keyColumns.js'
import { addLinkColumns } from './links.js'
import { addPathColumns } from './pathColumns.js'
import { syncedEntities } from './registry.js'
import type { SyncSetUp } from './syncSetUp.js'

export function wrapMethods(dataSource: DataSource, setUp: SyncSetUp): void {
  const { initialize, synchronize, runMigrations, undoLastMigration, dropDatabase } = dataSource
  const { buildMetadatas } = dataSource as unknown as { buildMetadatas(): Promise<void> }

  const wrapped: Pick<DataSource, 'initialize' | 'synchronize' | 'runMigrations' | 'undoLastMigration' | 'dropDatabase'> = {
    async initialize(this: DataSource) {
      await setUp.prepare()
      const initialised = await initialize.call(this)
      try {
        await setUp.begin()
      } catch (error) {
        await this.destroy()
        throw error
      }
      return initialised
    },

    async synchronize(this: DataSource, dropBeforeSync = false) {
      if (!dataSource.isInitialized) return synchronize.call(this, dropBeforeSync)
      await changeSchema(setUp.changeLog, () => synchronize.call(this, dropBeforeSync))
      if (this.isInitialized) await setUp.setUpLate()
    },

    async runMigrations(this: DataSource, given) {
      if (!dataSource.isInitialized || (await new MigrationExecutor(dataSource).getPendingMigrations()).length === 0)
        return runMigrations.call(this, given)
      const migrations = await changeSchema(setUp.changeLog, () => runMigrations.call(this, given), { changesRows: true })
      if (this.isInitialized) await setUp.setUpLate()
      return migrations
    },

    async undoLastMigration(this: DataSource, given) {
      if (!dataSource.isInitialized) return undoLastMigration.call(this, given)
      await changeSchema(setUp.changeLog, () => undoLastMigration.call(this, given), { changesRows: true })
    },

    async dropDatabase(this: DataSource) {
      if (!dataSource.isInitialized) return dropDatabase.call(this)
      await changeSchema(setUp.changeLog, () => dropDatabase.call(this))
    },
  }
  const building = {
    async buildMetadatas(this: DataSource) {
      await buildMetadatas.call(this)
      const synced = syncedEntities(this).map(({ metadata }) => metadata)
      for (const metadata of synced) addLinkColumns(this, metadata)
      for (const metadata of synced) addIdentity(this, metadata)
      for (const metadata of synced) {
        addReferences(this, metadata, synced)
        addKeyColumn(this, metadata)
        indexKeys(this, metadata)
      }
      addPathColumns(this)
    },
  }
  for (const [name, value] of Object.entries({ ...wrapped, ...building }))
    Object.defineProperty(dataSource, name, { value, writable: true, configurable: true })
}
