// Everything that decides about one row and one server: its version, what is not applied, what was rejected, and its base versions.

import {
  baseTableOf,
  type Cell,
  type Database,
  first,
  query,
  queryCells,
  quote,
  type Row,
  type Transaction,
} from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import { groupBy } from '../collections/groupBy.js'
import { columnsSql, isAnyRemoved, NEVER, readRow, type Version } from '../rows/rows.js'
import { readIgnored } from './ignored.js'
import { type NoAccess, readNoAccess } from './noAccess.js'
import type { ServerState } from './serverState.js'

/** Why a row needs a decision, by a conflict handler or in the journal. */
export type ConflictReason = (typeof CONFLICT_REASONS)[number]

const CONFLICT_REASONS = ['contested', 'children-changed', 'parent-removed', 'cycle', 'not-unique'] as const

export const isConflictReason = (reason: UnappliedReason): reason is ConflictReason =>
  (CONFLICT_REASONS as readonly string[]).includes(reason)

/** Why a row is deferred: it needs another row first, or the database accepts it only when something else has changed. */
export type DeferredReason = 'parent-missing' | 'children-exist' | 'not-valid'

/** Why the server's version of a row is not applied yet. */
export type UnappliedReason = ConflictReason | DeferredReason

export interface Unapplied {
  readonly remote: WireRow | null
  /** `remote` as it is stored. */
  readonly json: string | null
  /** The stamp of our version, if that is a local change. */
  readonly unpushed: number | null
  readonly reason: UnappliedReason
}

export function unappliedFrom(row: Row): Unapplied {
  return {
    remote: row.remote === null ? null : JSON.parse(String(row.remote)),
    json: row.remote === null ? null : String(row.remote),
    unpushed: row.unpushed === null ? null : Number(row.unpushed),
    reason: String(row.reason) as UnappliedReason,
  }
}

/** A version of ours that is kept out of pushes. */
export interface Rejection {
  readonly stamp: number
  /** Why this device pushes it later, in words; null where the server rejected it. */
  readonly heldBack: string | null
}

/** The code of what is held back, which no server says. */
export const HELD_BACK = 'held-back'

/** Is it held back as it is? No server has rejected it. */
export const isHeldBack = ({ rejection, version }: RowState) => rejection?.stamp === version.stamp && rejection.heldBack !== null

/** Everything that decides about one row and one server. */
export interface RowState {
  readonly id: string
  readonly version: Version
  readonly unapplied: Unapplied | undefined
  readonly rejection: Rejection | undefined
  /** Kept versions, newest first. */
  readonly baseVersions: readonly Version[]
  /** The properties whose values this server has ignored: no version that it knows has them. */
  readonly ignored: readonly string[]
  /** Those of them that are references: they are null there. */
  readonly putOff: readonly string[]
  /** This server does not show the row to its user. */
  readonly noAccess: NoAccess | undefined
  /** Our version that is kept apart from the table, for this server or another one. Where a later one is in the table, that counts. */
  readonly setAside: WireRow | null | undefined
}

/** Reads the state of rows; `versions` are those of the same transaction. */
export function* readStates(
  database: Database,
  collection: Collection,
  server: ServerState,
  ids: readonly string[],
  versions: ReadonlyMap<string, Version>,
): Transaction<Map<string, RowState>> {
  const there = yield* readKinds(collection, server)
  const list = Object.values(there).some(Boolean) ? database.list(ids) : undefined
  const unapplied = there.unapplied ? yield* readUnapplied(database, server, list) : undefined
  const rejections = there.rejected ? yield* readRejections(database, server, list) : undefined
  const baseVersions = there.baseVersions ? yield* readBaseVersions(database, collection, server, list) : undefined
  const ignored = there.ignored ? yield* readIgnored(database, server.id, list) : undefined
  const apart = there.noAccess ? yield* readNoAccess(database, server, list) : undefined
  return new Map(
    ids.map(id => [
      id,
      {
        id,
        version: versions.get(id) ?? NEVER,
        unapplied: unapplied?.get(id),
        rejection: rejections?.get(id),
        baseVersions: baseVersions?.get(id) ?? [],
        ignored: ignored?.get(id) ?? [],
        putOff: ignored?.get(id)?.filter(property => collection.parents.some(r => r.properties.includes(property))) ?? [],
        noAccess: apart?.own.get(id),
        setAside: apart?.local.get(id),
      },
    ]),
  )
}

function* readUnapplied(database: Database, { id }: ServerState, list: unknown): Transaction<Map<string, Unapplied>> {
  const rows = yield* query(
    `SELECT c.id, c.remote, c.unpushed, c.reason FROM sync_unapplied c WHERE c.server = ? AND ${database.among('sync_unapplied', 'c', 'id')}`,
    id,
    list,
  )
  return new Map(rows.map(row => [String(row.id), unappliedFrom(row)]))
}

function* readRejections(database: Database, { id }: ServerState, list: unknown): Transaction<Map<string, Rejection>> {
  const rows = yield* query(
    `SELECT j.id, j.stamp, CASE j.code WHEN '${HELD_BACK}' THEN j.detail END AS detail FROM sync_rejection j WHERE j.server = ? AND ${database.among('sync_rejection', 'j', 'id')}`,
    id,
    list,
  )
  return new Map(rows.map(row => [String(row.id), { stamp: Number(row.stamp), heldBack: row.detail === null ? null : String(row.detail) }]))
}

/** Of each row, newest first. */
function* readBaseVersions(
  database: Database,
  collection: Collection,
  { id: server }: ServerState,
  list: unknown,
): Transaction<Map<string, Version[]>> {
  const table = baseTableOf(collection.table)
  const rows = yield* queryCells(
    `SELECT i._sync_id AS id, i._sync_stamp AS stamp, i._sync_removed AS removed${columnsSql(collection, 'i')}
       FROM ${quote(table)} i WHERE i._sync_server = ? AND ${database.among(table, 'i', '_sync_id')}`,
    server,
    list,
  )
  const baseVersions = groupBy(rows, row => String(row[0]))
  const versionOf = (row: readonly Cell[]): Version => ({ stamp: Number(row[1]), value: row[2] ? null : readRow(collection, row, 3) })
  return new Map([...baseVersions].map(([id, some]) => [id, some.map(versionOf).sort((x, y) => y.stamp - x.stamp)]))
}

/** Is anything known of rows that are not there? */
export function* isAnythingKnown(collection: Collection, server: ServerState): Transaction<boolean> {
  const { unapplied, rejected, baseVersions, noAccess } = yield* readKinds(collection, server)
  return unapplied || rejected || baseVersions || noAccess || (yield* isAnyRemoved(collection))
}

/** What the database keeps for a server: usually there is none of it. */
export function* readKinds(
  { table }: Collection,
  { id }: ServerState,
): Transaction<Record<'unapplied' | 'rejected' | 'baseVersions' | 'ignored' | 'noAccess', boolean>> {
  const row = yield* first(
    `SELECT EXISTS (SELECT 1 FROM sync_unapplied WHERE server = ?) AS unapplied,
            EXISTS (SELECT 1 FROM sync_rejection WHERE server = ?) AS rejected,
            EXISTS (SELECT 1 FROM ${quote(baseTableOf(table))} WHERE _sync_server = ?) AS bases,
            EXISTS (SELECT 1 FROM sync_ignored WHERE server = ?) AS ignored,
            EXISTS (SELECT 1 FROM sync_no_access) AS apart`,
    ...[id, id, id, id],
  )
  return {
    ...{ unapplied: Boolean(row?.unapplied), rejected: Boolean(row?.rejected) },
    ...{ baseVersions: Boolean(row?.bases), ignored: Boolean(row?.ignored), noAccess: Boolean(row?.apart) },
  }
}
