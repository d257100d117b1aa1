// Opens the database of a process: a file, with one of SQLite's two journals, or one that several servers share.

import libsql from 'libsql'
import { DataSource, type DataSourceOptions } from 'typeorm'
import { type WithSyncOptions, withSync } from '../../src/entity/withSync.js'
import { CASCADE } from '../crash/entities.js'

export const PROPERTIES = ['a', 'b', 'c'] as const

export type Place = FilePlace | SharedPlace

export interface FilePlace {
  readonly file: string
  readonly enableWAL: boolean
}

export interface SharedPlace {
  readonly type: 'postgres' | 'mysql'
  readonly url: string
}

export function open(place: Place, options: WithSyncOptions = {}, synchronize = false): Promise<DataSource> {
  return withSync(new DataSource({ ...optionsOf(place), entities: CASCADE, synchronize }), options).initialize()
}

function optionsOf(place: Place): DataSourceOptions {
  if ('url' in place) return place
  const { file, enableWAL } = place
  // the other process on the file may hold its lock for a while when the machine is busy
  return { type: 'better-sqlite3', driver: libsql, database: file, enableWAL, timeout: 10_000 }
}

/** The options with which a process was started. */
export const orders = <T>(): T => {
  process.stdin.resume().on('end', () => process.exit(1))
  return JSON.parse(process.argv[2] ?? '{}')
}

export interface ServerOrders {
  readonly place: Place
  readonly port: number
}

export interface ClientOrders {
  readonly server: string
  readonly seed: number
  readonly places: readonly { readonly name: string; readonly place: FilePlace }[]
  readonly habits: Habits
}

export interface Habits {
  /** Milliseconds between two syncs, at most. */
  readonly pause: number
  /** Milliseconds. */
  readonly timeout: number
  /** How often a write looks for a row of one's own only. */
  readonly own: number
  /** How often an item is made together with parts. */
  readonly families: number
  /** How many rows everybody writes on; null: all. */
  readonly crowd: number | null
}

/** What a process says to the one that watches it, a line each. Synchronous: what was said before a kill was said. */
export type Said =
  | { readonly said: 'ready' }
  | { readonly said: 'begins'; readonly edits: readonly { row: string; property: string | null; token: string; before: string[] }[] }
  | { readonly said: 'stored'; readonly tokens: readonly string[] }
  | { readonly said: 'seen'; readonly tokens: readonly string[]; readonly removals: readonly string[] }
  | { readonly said: 'synced' }
  | { readonly said: 'failed'; readonly code: string }
  | { readonly said: 'problem'; readonly text: string }
