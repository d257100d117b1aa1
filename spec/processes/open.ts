// Opens the database of a process: a file, with one of SQLite's two journals.

import libsql from 'libsql'
import { DataSource } from 'typeorm'
import { type WithSyncOptions, withSync } from '../../src/entity/withSync.js'
import { CASCADE } from '../crash/entities.js'

export const PROPERTIES = ['a', 'b', 'c'] as const

export interface Place {
  readonly file: string
  readonly enableWAL: boolean
}

export function open({ file, enableWAL }: Place, options: WithSyncOptions = {}, synchronize = false): Promise<DataSource> {
  // the other process on the file may hold its lock for a while when the machine is busy
  const own = { type: 'better-sqlite3', driver: libsql, database: file, enableWAL, timeout: 10_000 } as const
  return withSync(new DataSource({ ...own, entities: CASCADE, synchronize }), options).initialize()
}

/** What a process says to whoever watches it, a line each. Synchronous: what was said before a kill was said. */
export type Said =
  | { readonly said: 'ready' }
  | { readonly said: 'begins'; readonly edits: readonly { row: string; property: string | null; token: string; before: string[] }[] }
  | { readonly said: 'stored'; readonly tokens: readonly string[] }
  | { readonly said: 'seen'; readonly tokens: readonly string[]; readonly removals: readonly string[] }
  | { readonly said: 'synced' }
  | { readonly said: 'failed'; readonly code: string }
  | { readonly said: 'problem'; readonly text: string }
