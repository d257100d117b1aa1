// A database that a browser keeps, while it is open here.

import type { DataSource, EntitySubscriberInterface } from 'typeorm'
import { delay } from '../src/databases/schemaChanges.js'
import { letGo } from '../src/entity/letGo.js'
import { hasLocalChanges } from '../src/entity/syncAll.js'
import { adopt, type Confirm, wipe } from '../src/entity/users.js'
import { DatabaseFailedError, DatabaseTakenOverError } from '../src/errors.js'
import type { BlockStore } from './blockStore.js'
import { StorageFullError } from './errors.js'
import { listenToLeaving } from './leaving.js'
import type { Ownership } from './ownership.js'
import type { Saver } from './saver.js'
import type { WatchedSqlJs } from './watchedSqlJs.js'

/** Milliseconds in which a sync ends that was given up. */
const SYNC_END = 3_000

interface Parts {
  readonly name: string
  readonly dataSource: DataSource
  readonly sqlJs: WatchedSqlJs
  readonly saver: Saver
  readonly store: BlockStore
  readonly ownership: Ownership
  readonly isPersistent: Promise<boolean>
}

export class BrowserDatabase {
  readonly dataSource: DataSource
  /** Does the browser keep the database when it is short of room? */
  readonly isPersistent: Promise<boolean>
  readonly #parts: Parts
  readonly #end = new AbortController()
  readonly #destroy: () => Promise<void>
  readonly #endEars: () => void
  /** Resolves when nothing is written here any more, all is saved, and others may have the database. */
  #left: Promise<void> | undefined

  /** By `openBrowserDatabase` alone. */
  constructor(parts: Parts) {
    this.#parts = parts
    const { dataSource, saver, ownership, sqlJs } = parts
    this.dataSource = dataSource
    this.isPersistent = parts.isPersistent
    this.#destroy = dataSource.destroy.bind(dataSource)
    dataSource.destroy = () => this.close()
    this.#endEars = listenToLeaving(() => saver.saveSoon())
    ownership.asked = () => this.#handOver()
    ownership.isStolen.then(() => this.#lost())
    // TypeORM would wrap what the connection throws
    const check: EntitySubscriberInterface = {
      beforeQuery: ({ query }) => sqlJs.check(query),
    }
    dataSource.subscribers.push(check)
  }

  /**
   * Why the browser has dropped the database that was here, and this one is new: its own reason, where it says that it has. What was pushed comes with the next
   * sync.
   */
  get lost(): string | undefined {
    return this.#parts.store.lost
  }

  /** Aborted when another tab has taken the database over, and nothing can be written here any more. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  /**
   * Resolves when all that was committed before is saved, so that it withstands a loss of power. Throws StorageFullError, DatabaseTakenOverError, and
   * DatabaseBusyError where a transaction stays open.
   */
  flush(): Promise<void> {
    return this.#parts.saver.save()
  }

  /** Saves, closes the data source, and lets other tabs open the database; `dataSource.destroy()` does the same. What cannot be saved stays open. */
  async close(): Promise<void> {
    await this.#leave(this.#closedError())
    if (this.dataSource.isInitialized) await this.#destroy()
  }

  /**
   * Removes the database from the browser, and closes it. `confirm` is asked first where rows hold something that no server has, and given how many;
   * without it that is an UnpushedChangesError, and nothing is removed. Resolves to whether it was removed.
   */
  async wipe(confirm?: Confirm): Promise<boolean> {
    const { sqlJs, saver, store } = this.#parts
    do {
      // who says no goes on as before, in sync
      if (!(await this.#wipeRows(confirm))) return false
      await this.#endSyncs()
      // what was written since is asked about as well
    } while (await hasLocalChanges(this.dataSource))
    await saver.end(() => sqlJs.closeToWrites(this.#closedError()))
    await store.remove()
    this.#left = this.#release()
    await this.close()
    return true
  }

  async #wipeRows(confirm: Confirm | undefined): Promise<boolean> {
    try {
      return await wipe(this.dataSource, confirm)
    } catch (error) {
      // they are removed, and this could not be saved: what is saved is removed in a moment
      if (error instanceof StorageFullError) return true
      throw error
    }
  }

  /**
   * Makes the rows that are here the next user's: what was agreed with servers is forgotten, and the next sync pushes them all as new ones. `confirm` is asked
   * first where the journal keeps what no server has, and given how many rows that are; without it that is an UnpushedChangesError, and the database stays the
   * former user's. Resolves to whether it is the next one's.
   */
  async adopt(user: string, confirm?: Confirm): Promise<boolean> {
    // a tab that is killed in between leaves a database of the former user, to be adopted once more
    if (!(await adopt(this.dataSource, confirm))) return false
    await this.#parts.store.assign(user)
    return true
  }

  /** What would write here then throws this error. What cannot be saved, or has a transaction open for too long, stays as it is. */
  #leave(error: Error): Promise<void> {
    this.#left ??= this.#leaveFor(error).catch(failure => {
      this.#left = undefined
      throw failure
    })
    return this.#left
  }

  async #leaveFor(error: Error): Promise<void> {
    await this.flush()
    await this.#parts.saver.end(() => this.#parts.sqlJs.closeToWrites(error))
    // one that runs may be ended anywhere: whoever opens the database finds its push, and ends that
    await this.#endSyncs()
    await this.#release()
  }

  async #release(): Promise<void> {
    const { store, ownership } = this.#parts
    this.#endEars()
    await store.close()
    ownership.release()
  }

  /** Another tab asks for the database. */
  async #handOver(): Promise<void> {
    const error = this.#takenOver()
    await this.#leave(error)
    this.#end.abort(error)
  }

  /** Another tab has taken the database without a word, for this one did not answer. */
  #lost(): void {
    const error = this.#takenOver()
    this.#parts.sqlJs.closeToWrites(error)
    this.#parts.saver.stop()
    this.#end.abort(error)
    this.#left ??= Promise.all([this.#endSyncs(), this.#release()]).then(() => {})
  }

  #takenOver() {
    return new DatabaseTakenOverError(
      `Another tab has taken the database ${this.#parts.name} over. What was written before is saved; nothing can be written here any more.`,
    )
  }

  #closedError() {
    return new DatabaseFailedError(`The database ${this.#parts.name} is closed; open it by openBrowserDatabase.`)
  }

  async #endSyncs(): Promise<void> {
    await Promise.race([letGo(this.dataSource), delay(SYNC_END)])
  }
}
