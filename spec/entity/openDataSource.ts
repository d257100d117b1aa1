import 'reflect-metadata'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions } from 'typeorm'
import { type HookedOptions, withHooks } from '../../src/entity/withSync.js'

export type Kind = 'sqljs' | 'libsql'
export const kinds: Kind[] = ['sqljs', 'libsql']

const folder = mkdtempSync(join(tmpdir(), 'typeorm-sync-'))
let files = 0
export const newFile = () => join(folder, `${++files}.db`)

/** A data source with sync, not initialised. The same file opens the same database again, on either kind. */
export function dataSourceOn(kind: Kind, file: string, options: Partial<DataSourceOptions>, sync?: HookedOptions): DataSource {
  return withHooks(new DataSource(optionsOn(kind, file, options)), sync)
}

export function optionsOn(kind: Kind, file: string, options: Partial<DataSourceOptions>): DataSourceOptions {
  const own =
    kind === 'sqljs' ? { type: 'sqljs', location: file, autoSave: true } : { type: 'better-sqlite3', driver: libsql, database: file }
  return { ...own, ...options } as DataSourceOptions
}
