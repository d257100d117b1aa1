import { DataSource, type DataSourceOptions } from 'typeorm'

// not from postgresServer, which asks for the server: the stories come here without one
const url = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test'

let databases = 0

/** Runs statements on the server itself. */
export async function onServer(...statements: string[]): Promise<void> {
  const server = await new DataSource({ type: 'postgres', url }).initialize()
  for (const sql of statements) await server.query(sql)
  await server.destroy()
}

/** Makes a new database; its collation is not the bytewise one, where the server has another. */
export async function newDatabase(name: string): Promise<string> {
  const database = `sync_${name}_${process.pid}_${++databases}`
  await onServer(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`, `CREATE DATABASE ${database}`)
  return database
}

export const dropDatabases = (...names: string[]) => onServer(...names.map(name => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))

/** Options of a data source on a database of the test server. */
export function optionsOn(database: string, options: Partial<DataSourceOptions>): DataSourceOptions {
  return { type: 'postgres', url: new URL(`/${database}`, url).href, ...options } as DataSourceOptions
}
