// The change log of one database: its clock, the synced collections and the steps in which they change.

import type { DataSource } from 'typeorm'
import { SyncConfigurationError } from '../errors.js'
import type { Collection } from './collection.js'
import { type Database, first, type Step } from './database/database.js'

export interface ChangeLog {
  readonly dataSource: DataSource
  readonly database: Database
  /** Parents before their children, as far as there is no cycle. */
  readonly collections: readonly Collection[]
}

/** The clock as it stands; `now` is the last stamp. Read in the same step as the rows beside it. */
export interface Clock {
  readonly now: number
  /** The random name of this history; it changes when the history was reset. */
  readonly collection: string
  /** Tombstones up to here are collected. */
  readonly horizon: number
}

export function* readClock(): Step<Clock> {
  const row = yield* first('SELECT now, collection, horizon FROM sync_clock')
  return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
}

export function collectionNamed(log: ChangeLog, name: string): Collection {
  const collection = log.collections.find(c => c.name === name)
  if (!collection) throw new SyncConfigurationError(`The table ${name} is not synced on this data source.`)
  return collection
}
