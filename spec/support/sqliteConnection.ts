import type { DataSource } from 'typeorm'
import { betterSqlite3Connection } from '../../src/databases/sqlite/betterSqlite3.js'
import { type Connect, type Connection, connectionOf } from '../../src/databases/sqlite/connection.js'
import { sqlJsConnection } from '../../src/databases/sqlite/sqlJs.js'

export const connectOf = ({ options }: DataSource): Connect => (options.type === 'sqljs' ? sqlJsConnection : betterSqlite3Connection)

/** The connection that the library uses on a data source. */
export const sqliteConnectionOf = (dataSource: DataSource): Connection => connectionOf(dataSource, connectOf(dataSource))
