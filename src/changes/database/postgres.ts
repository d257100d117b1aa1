import type { DataSource } from 'typeorm'
import type { Database, DatabaseOptions } from './database.js'

export function postgresDatabase(_dataSource: DataSource, _options: DatabaseOptions = {}): Database {
  throw new Error('not written yet')
}
