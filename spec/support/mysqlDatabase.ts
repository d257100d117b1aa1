// Data sources on a database of their own, which goes with the spec.

import { createConnection } from 'mysql2/promise'
import { DataSource, type DataSourceOptions, type QueryRunner } from 'typeorm'
import { type WithSyncOptions, withSync } from '../../src/entity/withSync.js'
import { mysqlUrl } from './mysqlServer.js'

let databases = 0

async function administer(sql: string): Promise<void> {
  const connection = await createConnection({ uri: mysqlUrl as string })
  await connection.query(sql)
  await connection.end()
}

/** An empty database. */
export async function newDatabase(name: string, options = ''): Promise<{ name: string; drop(): Promise<void> }> {
  // a worker runs many specs, and counts anew in each
  const database = `sync_${name}_${process.pid}_${++databases}_${Math.random().toString(36).slice(2, 6)}`
  await administer(`CREATE DATABASE ${database} ${options}`)
  return { name: database, drop: () => administer(`DROP DATABASE ${database}`) }
}

export function optionsOn(database: string, options: Partial<DataSourceOptions> = {}): DataSourceOptions {
  const url = new URL(mysqlUrl as string)
  url.pathname = `/${database}`
  return { type: 'mariadb', url: url.href, ...options } as DataSourceOptions
}

/** A data source with sync, not initialised. */
export function dataSourceOn(database: string, options: Partial<DataSourceOptions>, sync?: WithSyncOptions): DataSource {
  return withSync(new DataSource(optionsOn(database, options)), sync)
}

/**
 * A server on a database of its own, which is dropped with it. Statements may be those of SQLite: "names" in double quotes, and the mark that a transaction
 * of the engine sets, which is a matter of one connection here.
 */
export async function mysqlServer(entities: DataSourceOptions['entities'], options: WithSyncOptions): Promise<DataSource> {
  const database = await newDatabase('stories', 'CHARACTER SET utf8mb4')
  const dataSource = await dataSourceOn(
    database.name,
    { entities, synchronize: true, dateStrings: true } as Partial<DataSourceOptions>,
    options,
  ).initialize()
  const { query, destroy } = dataSource
  let marked: QueryRunner | undefined
  dataSource.query = async (sql: string, values?: unknown[]) => {
    if (sql === 'UPDATE sync_clock SET bypass = 1') {
      marked = dataSource.createQueryRunner()
      return marked.query('SET @sync_bypass = 1')
    }
    if (sql === 'UPDATE sync_clock SET bypass = NULL') {
      await marked?.query('SET @sync_bypass = NULL')
      await marked?.release()
      marked = undefined
      return [] as never
    }
    const text = sql.replaceAll('"', '`').replaceAll(' now FROM', ' `now` FROM')
    return marked ? marked.query(text, values) : query.call(dataSource, text, values as never)
  }
  dataSource.destroy = async () => {
    await destroy.call(dataSource)
    await database.drop()
  }
  return dataSource
}
