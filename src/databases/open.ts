// Which code is for which data source. All but that of sql.js is loaded where it is needed: a browser has no use for it.

import type { DataSource } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { SyncConfigurationError } from '../errors.js'
import type { Database, OpenOptions } from './database.js'
import type { Connect } from './sqlite/connection.js'
import { sqliteDatabase } from './sqlite/database.js'
import { sqlJsConnection } from './sqlite/sqlJs.js'
import { sqliteType } from './sqlite/values/types.js'
import type { ColumnType } from './values/columnType.js'

/** What a kind of database has of its own. */
interface Kind {
  open(dataSource: DataSource, options: OpenOptions): Database
  /** How a column's values travel from and to it. */
  typeOf(column: ColumnMetadata): ColumnType
}

const sqlite = (connect: Connect): Kind => ({
  open: (dataSource, options) => sqliteDatabase(dataSource, connect, options),
  typeOf: sqliteType,
})
const loadSqlJs = async () => sqlite(sqlJsConnection)
const loadBetterSqlite3 = async () => sqlite((await import('./sqlite/betterSqlite3.js')).betterSqlite3Connection)

async function loadPostgres(): Promise<Kind> {
  const [{ postgresDatabase }, { postgresType }] = await Promise.all([
    import('./postgres/database.js'),
    import('./postgres/values/types.js'),
  ])
  return { open: postgresDatabase, typeOf: postgresType }
}

async function loadMysql(): Promise<Kind> {
  const [{ mysqlDatabase }, { mysqlType }] = await Promise.all([import('./mysql/database.js'), import('./mysql/values/types.js')])
  return { open: mysqlDatabase, typeOf: mysqlType }
}

const LOADERS: Readonly<Record<string, () => Promise<Kind>>> = {
  sqljs: loadSqlJs,
  'better-sqlite3': loadBetterSqlite3,
  postgres: loadPostgres,
  mysql: loadMysql,
  mariadb: loadMysql,
}

const ASYNCHRONOUS = new Set(['sqlite', 'expo', 'capacitor', 'cordova', 'react-native', 'nativescript'])

const kinds = new Map<string, Kind>()

/** Loads what the data source's kind of database needs. Throws SyncConfigurationError for a driver on which a transaction cannot be made atomic yet. */
export async function loadKind({ options: { type } }: DataSource): Promise<void> {
  if (kinds.has(type)) return
  const load = LOADERS[type]
  if (load) return void kinds.set(type, await load())
  const why = ASYNCHRONOUS.has(type)
    ? 'its connection is asynchronous, so an application’s save could become part of a sync that is rolled back'
    : 'there is no code for it yet'
  throw new SyncConfigurationError(
    `typeorm-sync cannot work on a data source of type '${type}' yet: ${why}. ` +
      `Use 'sqljs' in browsers and apps, 'better-sqlite3' (also with \`driver: libsql\`) for SQLite files, 'postgres', 'mysql' or 'mariadb' on servers.`,
  )
}

/** Of a data source whose kind is loaded. */
export const openDatabase = (dataSource: DataSource, options: OpenOptions): Database => kindOf(dataSource).open(dataSource, options)

/** How a column's values travel; the kind of its data source is loaded. */
export const typeOf = (column: ColumnMetadata): ColumnType => kindOf(column.entityMetadata.dataSource).typeOf(column)

function kindOf({ options: { type } }: DataSource): Kind {
  const kind = kinds.get(type)
  if (!kind) throw new Error(`The code for '${type}' is not loaded.`)
  return kind
}
