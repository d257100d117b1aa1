export { DatabaseTakenOverError } from '../src/errors.js'
export type { BrowserDatabase } from './browserDatabase.js'
export * from './errors.js'
export { type BrowserDatabaseOptions, openBrowserDatabase } from './openBrowserDatabase.js'
