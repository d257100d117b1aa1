export { DatabaseInUseError, DatabaseTakenOverError, OtherOwnerError, StorageFullError } from '../src/errors.js'
export type { BrowserDatabase } from './browserDatabase.js'
export { type BrowserDatabaseOptions, openBrowserDatabase } from './openBrowserDatabase.js'
