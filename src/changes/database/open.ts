// Which file is for which data source.

import type { DataSource } from 'typeorm'
import { SyncConfigurationError } from '../../errors.js'
import type { Database, DatabaseOptions } from './database.js'
import { mysqlDatabase } from './mysql.js'
import { postgresDatabase } from './postgres.js'
import { sqliteDatabase } from './sqlite.js'

const ASYNCHRONOUS = new Set(['sqlite', 'expo', 'capacitor', 'cordova', 'react-native', 'nativescript'])

/** Throws SyncConfigurationError for a driver on which a step cannot be made atomic yet. */
export function openDatabase(dataSource: DataSource, options: DatabaseOptions): Database {
  const { type } = dataSource.options
  switch (type) {
    case 'sqljs':
    case 'better-sqlite3':
      return sqliteDatabase(dataSource, options)
    case 'postgres':
      return postgresDatabase(dataSource, options)
    case 'mysql':
    case 'mariadb':
      return mysqlDatabase(dataSource, options)
  }
  const why = ASYNCHRONOUS.has(type)
    ? 'its connection is asynchronous, so an application’s save could become part of a sync that is rolled back'
    : 'its steps are not written yet'
  throw new SyncConfigurationError(
    `typeorm-sync cannot work on a data source of type '${type}' yet: ${why}. ` +
      `Use 'sqljs' in browsers and apps, 'better-sqlite3' (also with \`driver: libsql\`) for SQLite files, 'postgres', 'mysql' or 'mariadb' on servers.`,
  )
}
