// Exits: what left a scope, by a move or a removal, and the values by which it was there. They are rows of the table of base versions, of no server:
// 0 is the id of none.
//
// `_sync_stamp` is when it left, `_sync_removed` 1 for a removal; of the other columns only those of scopes are set. The first exit of a row under a
// stamp is the true one: what it was within a transaction nobody has seen.

import { fingerprint, shortName } from './names.js'
import type { Transaction } from './statement.js'
import { ownName, type Table } from './table.js'

/** In the place of a server's id: the base version is an exit. */
export const EXIT = 0
/** In the place of a server's id, on SQLite: what a row was that an OR REPLACE is about to remove. */
export const NOTE = -1

export interface ExitStatements {
  /** Keeps what rows are as exits under a stamp: they are about to leave a scope. An exit under that stamp stays, as that of a removal where one of the two is. */
  keepExits(table: Table, ids: readonly string[], stamp: number, isRemoval: boolean): Transaction<void>
}

/** Begins the names of the indexes by which the exits of a scope are read. */
export const EXIT_INDEX = 'sync_exit_'

/** An index on a table of base versions for exits; `columns` are those that it has, those of a condition left out. */
export interface ExitIndex {
  readonly name: string
  readonly columns: readonly string[]
}

/** Indexes from their columns, which come in their order. */
export function indexesOf(columns: Iterable<readonly [index: string, column: string]>): ExitIndex[] {
  const indexes = new Map<string, string[]>()
  for (const [name, column] of columns) indexes.set(name, [...(indexes.get(name) ?? []), column])
  return [...indexes].map(([name, some]) => ({ name, columns: some }))
}

/** SQL that writes exits. */
export interface ExitSource {
  readonly id: string
  readonly stamp: string
  /** SQL that is 1 for a removal. */
  readonly removed: string
  readonly cell: (column: string) => string
  readonly from?: string
}

/** What keeps the table of base versions of an entity in line with its scopes. */
export interface ExitIndexPlan {
  /** Names of indexes that are not wanted. */
  readonly drop: readonly string[]
  readonly create: readonly ExitIndex[]
}

/** The indexes that a table needs. `first` are columns that come before that of the scope. */
const wantedOf = (table: Table, first: readonly string[]): ExitIndex[] =>
  table.scopes.map(column => ({
    name: `${shortName(ownName(EXIT_INDEX, table.name), 46)}_${fingerprint(column)}`,
    columns: [...first, column, '_sync_stamp'],
  }))

const same = (one: ExitIndex, other: ExitIndex) => one.name === other.name && one.columns.join('\n') === other.columns.join('\n')

/** Which indexes to drop and to create, where these are there. */
export function planExitIndexes(table: Table, present: readonly ExitIndex[], first: readonly string[] = []): ExitIndexPlan {
  const wanted = wantedOf(table, first)
  return {
    drop: present.filter(p => !wanted.some(w => same(w, p))).map(p => p.name),
    create: wanted.filter(w => !present.some(p => same(w, p))),
  }
}

/** Is one of the scopes new to a table of base versions that had these indexes? What left it before has no exit. */
export const gainsScope = (table: Table, before: readonly ExitIndex[]) =>
  table.scopes.some(column => !before.some(index => index.columns.includes(column)))
