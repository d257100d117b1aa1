// A database that lives in memory is saved as a whole, by sql.js's `autoSave` or by the application's own function.

import type { DataSource } from 'typeorm'
import { DatabaseBusyError, DatabaseFailedError, SyncError } from '../../errors.js'
import type { DatabaseOptions } from '../database.js'
import { BUSY_TIMEOUT } from '../retry.js'
import { delay } from '../schemaChanges.js'
import type { SqliteDriver } from './connection.js'

export class Saving {
  #isUnsaved = false
  #last: Promise<void> = Promise.resolve()
  readonly #dataSource: DataSource
  readonly #options: DatabaseOptions

  constructor(dataSource: DataSource, options: DatabaseOptions) {
    this.#dataSource = dataSource
    this.#options = options
  }

  /** A transaction was stored. */
  noteWrite(): void {
    this.#isUnsaved = true
  }

  /** Resolves when all is saved that was stored before. */
  save(): Promise<void> {
    // one after the other: what another call is saving now may be of this one's transaction, and no older state comes after a newer one
    this.#last = this.#last.catch(() => {}).then(() => this.#save())
    return this.#last
  }

  async #save(): Promise<void> {
    if (!this.#isUnsaved) return
    const driver = this.#dataSource.driver as unknown as SqliteDriver
    const savesItself = this.#dataSource.options.type === 'sqljs' && driver.options.autoSave
    try {
      if (savesItself) await this.#waitForApplication(driver)
      this.#isUnsaved = false
      await (savesItself ? driver.autoSave?.() : this.#options.save?.())
    } catch (error) {
      this.#isUnsaved = true
      if (error instanceof SyncError) throw error
      throw new DatabaseFailedError(
        'The database could not be saved; what was synced is in memory, and is saved by the next sync or save.',
        { cause: error },
      )
    }
  }

  // TypeORM silently saves nothing while a transaction is open, and a push that is forgotten with the memory would go out.
  async #waitForApplication(driver: SqliteDriver): Promise<void> {
    const { busyTimeout = BUSY_TIMEOUT } = this.#options
    for (const deadline = Date.now() + busyTimeout; driver.queryRunner?.isTransactionActive && Date.now() < deadline; ) await delay(5)
    if (driver.queryRunner?.isTransactionActive)
      throw new DatabaseBusyError(
        `The application kept a transaction open for more than ${busyTimeout} ms, so the database could not be saved. What was synced is in memory; sync again when it has ended.`,
      )
  }
}
