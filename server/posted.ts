// Rows of a POST, of one collection or of several, and the versions that they replace.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { byCollection } from '../src/changes/collections/groupBy.js'
import type { Dependent } from '../src/changes/rows/dependents.js'
import { NEVER, readVersions, type Version } from '../src/changes/rows/rows.js'
import type { Write } from '../src/changes/store/change.js'
import type { Transaction } from '../src/databases/database.js'
import type { PushedRow, Rejection } from '../src/protocol/messages.js'

/** A posted row of one of the collections. */
export interface PostedRow extends PushedRow {
  readonly collection: Collection
}

/** A rejection that knows whose row it is about. */
export interface Rejected extends Omit<Rejection, 'collection'> {
  readonly collection: Collection
}

/** The version of each id. */
export type VersionOf = (row: Dependent) => Version

/** A write of a posted row. */
export type PostedWrite = Write & Dependent

export function* readVersionsOf({ database }: ChangeLog, rows: readonly Dependent[]): Transaction<VersionOf> {
  const versions = new Map<Collection, Map<string, Version>>()
  for (const [collection, some] of byCollection(rows)) {
    const ids = some.map(r => r.id)
    versions.set(collection, yield* readVersions(database, collection, ids))
  }
  return ({ collection, id }) => versions.get(collection)?.get(id) ?? NEVER
}
