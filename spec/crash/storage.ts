// What a process keeps its database in, and what is left of that when the process is gone.

import type { DataSource, DataSourceOptions } from 'typeorm'
import type { Row } from '../../src/databases/database.js'
import type { HookedOptions } from '../../src/entity/withSync.js'
import type { OtherKind } from '../simulation/otherDatabase.js'
import type { Fault, Moment } from './points.js'

/** `wal` and `journal` are libsql files; `sqljs` is saved by our option, `autosave` by TypeORM's. */
export type LocalKind = 'sqljs' | 'autosave' | 'wal' | 'journal'
export type Kind = LocalKind | OtherKind

/** From one start to the next death. */
export class Life {
  isOver = false
  end: () => void = () => {}
  readonly ended = new Promise<void>(resolve => {
    this.end = () => {
      this.isOver = true
      resolve()
    }
  })
}

/** What is left of a database when its process is gone. */
export type Left = unknown

/** Whose moments are counted. */
export interface Watcher {
  /** Reaches a moment; what goes wrong there is thrown. Gives its number, for `after`. */
  before(kind: Moment['kind'], label: string): number | undefined
  after(index: number | undefined): void
  /** What fails by itself has no moment after it. */
  noteFailed(index: number | undefined): void
}

export interface Storage {
  readonly isRemote: boolean
  /** Options of a data source on it, and of our sync. */
  begin(life: Life): { readonly options: Partial<DataSourceOptions>; readonly hooks: HookedOptions }
  /** Watches what is said to the database; the data source is about to be initialised. */
  watch(dataSource: DataSource, life: Life): void
  readonly tables: string[]
  /** Runs a statement now, unseen. */
  look(sql: string, values: readonly unknown[]): Row[]
  /** The error that the database reports. */
  fail(moment: Moment, index: number, fault: Fault): never
  /** Saves after the application's own writes. */
  save(life: Life): Promise<void>
  /** The process is gone, or ends: what it had not committed, or not saved, is gone with it. */
  leave(): void
  /** Ends the connections. */
  close(): void
  /** Removes the database. */
  remove(): void
  /** Everything as it stands, to begin from again; nothing may be under way. */
  keep(life: Life): Promise<Left>
  /** Begins from what was kept; `used` is a data source that nothing happened to, and that goes on. */
  reset(left: Left, used: DataSource | undefined): Promise<void>
}

export const never = () => new Promise<never>(() => {})
