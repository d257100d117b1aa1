// One call that opens a database which a browser keeps.

import { DataSource, type DataSourceOptions } from 'typeorm'
import { BUSY_TIMEOUT } from '../src/databases/retry.js'
import { type WithSyncOptions, withHooks } from '../src/entity/withSync.js'
import { BlockStore } from './blockStore.js'
import { BrowserDatabase } from './browserDatabase.js'
import { type Ownership, own } from './ownership.js'
import { Saver } from './saver.js'
import { type InitSqlJs, WatchedSqlJs } from './watchedSqlJs.js'

/** The options of a data source for sql.js, but for what is said here in another way. */
type SqlJsOptions = Omit<
  Extract<DataSourceOptions, { type: 'sqljs' }>,
  'type' | 'database' | 'driver' | 'sqlJsConfig' | 'autoSave' | 'autoSaveCallback' | 'location' | 'useLocalForage' | 'poolSize'
>

export interface BrowserDatabaseOptions extends SqlJsOptions {
  /** Of the database, in its origin. */
  readonly name: string
  /** `initSqlJs`, the default export of sql.js. */
  readonly sqlJs: InitSqlJs
  /** The address of `sql.js/dist/sql-wasm-browser.wasm`, as a bundler gives it. */
  readonly wasm?: string
  /** Those of `withSync`, as `{ server: 'https://example.org' }`. */
  readonly sync?: Omit<WithSyncOptions, 'save'>
  /** Whose rows these are: a name that the application gives. A database belongs to the first one that it is opened as; others get an OtherOwnerError. */
  readonly user?: string
  /** Takes the database over where another tab has it open; that one saves what it has written, and writes no more. False by default. */
  readonly takeOver?: boolean
  /** Milliseconds from a write until it is saved; 100 by default, and longer where saving takes long. */
  readonly debounce?: number
  /** Asks the browser to keep the database when it is short of room, which some ask the user. True by default. */
  readonly persist?: boolean
  /** Told why a save failed that nobody waits for, as with a StorageFullError; it is tried again. */
  readonly onSaveFailed?: (error: unknown) => void
}

/**
 * Opens a database of sql.js that is kept in IndexedDB, and syncs. It is saved soon after writes, by syncs, and when the page is left.
 *
 * Throws DatabaseInUseError where another tab has it open, OtherOwnerError where it is another user's, SyncConfigurationError where there are no Web
 * Locks, StorageFullError; and what `withSync` and `initialize()` throw.
 */
export async function openBrowserDatabase(options: BrowserDatabaseOptions): Promise<BrowserDatabase> {
  const store = new BlockStore(options.name)
  let ownership: Ownership | undefined
  try {
    // before another tab is asked to let go of it in vain
    await store.check(options.user)
    ownership = await own(options.name, options.takeOver ?? false)
    return await open(options, ownership, store)
  } catch (error) {
    await store.close()
    ownership?.release()
    throw error
  }
}

async function open(options: BrowserDatabaseOptions, ownership: Ownership, store: BlockStore): Promise<BrowserDatabase> {
  const { name, sqlJs: init, wasm, sync = {}, user, takeOver: _, debounce = 100, persist = true, onSaveFailed, ...rest } = options
  const file = await store.claim(user)
  const sqlJs: WatchedSqlJs = new WatchedSqlJs(init, file, () => saver.noteWrite())
  const saver = new Saver(store, sqlJs, file, {
    debounce,
    busyTimeout: sync.busyTimeout ?? BUSY_TIMEOUT,
    failed: error => onSaveFailed?.(error),
  })
  const dataSource = new DataSource({
    ...rest,
    type: 'sqljs',
    driver: sqlJs.driver,
    ...(wasm !== undefined && { sqlJsConfig: { locateFile: () => wasm } }),
  })
  withHooks(dataSource, { ...sync, save: () => saver.save(), beforeStatement: sql => sqlJs.note(sql) })
  try {
    await dataSource.initialize()
  } catch (error) {
    saver.stop()
    throw error
  }
  return new BrowserDatabase({ name, dataSource, sqlJs, saver, store, ownership, isPersistent: askToPersist(persist) })
}

async function askToPersist(persist: boolean): Promise<boolean> {
  const { storage } = globalThis.navigator
  try {
    // a worker cannot ask
    return (await ((persist && storage?.persist?.()) || storage?.persisted?.())) ?? false
  } catch {
    return false
  }
}
