export type { BrowserDatabase } from './browserDatabase.js'
export { type BrowserDatabaseOptions, openBrowserDatabase } from './openBrowserDatabase.js'
