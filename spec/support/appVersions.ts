// Databases that live through the versions of an app: a server, and devices that were offline meanwhile.

import { expect } from '@jest/globals'
import type { DataSource, DataSourceOptions, EntitySchema, MigrationInterface, QueryRunner } from 'typeorm'
import { hasLocalChanges, syncAll } from 'typeorm-sync'
import { databaseOn, type Kind, openIn, serve, sql } from './eachDatabase.js'

export type Work = (runner: QueryRunner) => Promise<unknown>

/** What a version of the app has. */
export interface AppVersion {
  readonly entities: EntitySchema[]
  /** The version that a device says. */
  readonly schema?: number | undefined
  /** How a migration brings its tables; by default they are synchronised. */
  readonly migrate?: Work
}

export interface Place {
  readonly options: DataSourceOptions
  readonly isDevice: boolean
  dataSource: DataSource
}

const SERVER = 'http://server.test'

export class AppVersions {
  /** The requests of all devices. */
  requests: string[] = []
  /** Where devices reach the server. */
  url = ''

  readonly fetch: typeof globalThis.fetch = (input, init) => {
    this.requests.push(`${init?.method ?? 'GET'} ${input}`)
    return fetch(String(input).replace(SERVER, this.url), init)
  }

  async server(kind: Kind, version: AppVersion): Promise<Place> {
    return this.#place(await databaseOn(kind), false, version)
  }

  async device(kind: Kind, version: AppVersion): Promise<Place> {
    return this.#place(await databaseOn(kind), true, version)
  }

  async upgrade(place: Place, version: AppVersion): Promise<void> {
    await place.dataSource.destroy()
    place.dataSource = await this.open(place.options, place.isDevice, version)
  }

  /** From now on devices reach this one. */
  async serve({ dataSource }: Pick<Place, 'dataSource'>, options: Parameters<typeof serve>[1] = {}): Promise<void> {
    ;({ url: this.url } = await serve(dataSource, options))
  }

  /** There is nothing left to sync, which one request finds out. */
  async expectAtRest({ dataSource }: Place): Promise<void> {
    this.requests = []
    expect(await syncAll(dataSource)).toMatchObject({ pulled: 0, pushed: 0, conflicts: 0, unapplied: 0, rejected: 0 })
    expect(this.requests).toHaveLength(1)
    expect(await hasLocalChanges(dataSource)).toBe(false)
  }

  async #place(options: DataSourceOptions, isDevice: boolean, version: AppVersion): Promise<Place> {
    return { options, isDevice, dataSource: await this.open(options, isDevice, version) }
  }

  open(options: DataSourceOptions, isDevice: boolean, { entities, schema, migrate }: AppVersion): Promise<DataSource> {
    const migrated = migrate && { synchronize: false, migrations: [migration(migrate)], migrationsRun: true }
    const sync = isDevice ? { server: SERVER, fetch: this.fetch, ...(schema && { schema }) } : {}
    return openIn({ ...options, ...migrated } as DataSourceOptions, entities, sync)
  }
}

export const migration = (work: Work) =>
  class Change1700000000000 implements MigrationInterface {
    up = work as (runner: QueryRunner) => Promise<void>
    async down() {}
  }

/** Runs statements of a migration: names in double quotes, whatever the database. */
export const runAll =
  (statements: readonly string[]): Work =>
  async runner => {
    const isMaria = runner.dataSource.options.type === 'mariadb'
    for (const statement of statements) await runner.query(isMaria ? statement.replaceAll('"', '`') : statement)
  }

/** The rows of a table as they are there, without their stamps. */
export async function rowsOf({ dataSource }: Place, table: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = await sql(dataSource, `SELECT * FROM "${table}" ORDER BY "id"`)
  return rows.map(({ _lastChange, ...row }) => row)
}
