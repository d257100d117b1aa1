// The rows of the journal, as it lists them.

import type { ObjectLiteral } from 'typeorm'
import type { Collection } from '../../changes/collections/collection.js'
import { baseOf, localOf } from '../../changes/servers/agreement.js'
import { keptApartSql } from '../../changes/servers/noAccess.js'
import {
  type ConflictReason,
  type DeferredReason,
  HELD_BACK,
  isConflictReason,
  isHeldBack,
  type RowState,
  type UnappliedReason,
} from '../../changes/servers/rowStates.js'
import { equalValues } from '../../databases/columns.js'
import { query, type Row, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import { isAutomatic, togetherIn } from '../apply/bases.js'
import { merge } from '../apply/merge.js'
import { readUnapplied } from '../apply/unapplied.js'
import { toEntity } from '../entities.js'
import { type Exchange, readRowStates } from '../exchange.js'
import { describeContested, propertiesOf } from './contested.js'
import type { RowSides } from './handlers.js'
import { readHolders } from './holders.js'

/** A local change that was not pushed to a server yet. */
export interface PendingChange<Entity> {
  /** Name of the entity. */
  readonly entity: string
  readonly id: string
  readonly url: string
  /** null: removed. */
  readonly local: Entity | null
  /** What the server has; null: nothing; undefined: it is not known. */
  readonly base: Entity | null | undefined
  /** Properties for which the server has no column yet: it has ignored their values, and gets them when it has. Absent where there are none. */
  readonly ignored?: readonly string[]
  /** Why it is pushed later: others have to be pushed or decided first. Absent where nothing holds it back. */
  readonly heldBack?: string
}

/** A row of a server that is not applied here yet. `properties` are those it is about, where that is known. */
export interface UnappliedRow<Entity extends ObjectLiteral> extends RowSides<Entity> {
  readonly url: string
  readonly reason: UnappliedReason
  /** Rows that were changed here and that the server's removal of this one would remove too. */
  readonly children: readonly { readonly entity: string; readonly id: string }[]
  /** The id of the row that has the value of `properties` here, where the reason is `not-unique`. */
  readonly holder: string | undefined
}

/** A row that was changed on both sides, or whose unique value another row has here: a user has to decide. */
export interface UnresolvedConflict<Entity extends ObjectLiteral> extends UnappliedRow<Entity> {
  readonly reason: ConflictReason
}

/** A row that needs another row first, or that this database does not accept as it is. */
export interface DeferredRow<Entity extends ObjectLiteral> extends UnappliedRow<Entity> {
  readonly reason: DeferredReason
}

/** The code of a change of a row that is not seen any more, which no server says. */
const NO_ACCESS = 'no-access'

export const isConflict = <Entity extends ObjectLiteral>(row: UnappliedRow<Entity>): row is UnresolvedConflict<Entity> =>
  isConflictReason(row.reason)
export const isDeferred = <Entity extends ObjectLiteral>(row: UnappliedRow<Entity>): row is DeferredRow<Entity> =>
  !isConflictReason(row.reason)

/**
 * A row of ours that a server rejected; it is pushed again when it was changed, or by `retry`. With the code `no-access` a change of a row that the server does
 * not show any more: it is in no table, and comes back when the row is seen again.
 */
export interface RejectedRow<Entity> extends PendingChange<Entity> {
  readonly code: string
  readonly property: string | undefined
  readonly detail: string
  /** The id of the server's row that has the value of `property`, where it is not applied here. */
  readonly holder: string | undefined
}

/** A conflict that was decided, by a handler or in the journal. */
export interface ResolvedConflict<Entity extends ObjectLiteral> extends RowSides<Entity> {
  readonly resolutionId: number
  readonly url: string
  readonly resolvedAt: Date
  readonly decision: Entity | null
}

const entityOf = <Entity>(collection: Collection, id: string, row: WireRow | null) => row && (toEntity(collection, id, row) as Entity)

const baseEntity = <Entity>(collection: Collection, id: string, base: WireRow | null | undefined) =>
  base === undefined ? undefined : entityOf<Entity>(collection, id, base)

export function pendingChange<Entity>({ collection, server }: Exchange, state: RowState): PendingChange<Entity> {
  const { id, version } = state
  const ignored = state.ignored.filter(property => collection.column.has(property))
  return {
    ...(ignored.length && { ignored }),
    ...(isHeldBack(state) && { heldBack: state.rejection?.heldBack as string }),
    ...{ entity: collection.entity, id, url: server.url, local: entityOf<Entity>(collection, id, version.value) },
    base: baseEntity<Entity>(collection, id, baseOf(server, state)),
  }
}

export function* listUnapplied<Entity extends ObjectLiteral>(
  exchange: Exchange,
  isMeant: (reason: UnappliedReason) => boolean = () => true,
  limit = Number.POSITIVE_INFINITY,
): Transaction<UnappliedRow<Entity>[]> {
  const { collection, server } = exchange
  const meant = [...(yield* readUnapplied(exchange))].filter(([, { reason }]) => isMeant(reason)).slice(0, limit)
  const rows = yield* describeContested(exchange, new Set(meant.map(([id]) => id)), true)
  const unique = rows.flatMap(row => (row.reason === 'not-unique' && row.remote ? [{ id: row.id, value: row.remote }] : []))
  const holders = yield* readHolders(exchange, unique)
  return rows.map(row => ({
    entity: collection.entity,
    id: row.id,
    url: server.url,
    reason: row.reason,
    local: entityOf<Entity>(collection, row.id, row.local),
    remote: entityOf<Entity>(collection, row.id, row.remote),
    base: baseEntity<Entity>(collection, row.id, row.base),
    properties: holders.get(row.id)?.properties ?? propertiesOf(collection, row),
    children: row.children,
    holder: holders.get(row.id)?.holder,
  }))
}

export function* listRejected<Entity>(exchange: Exchange, limit = Number.POSITIVE_INFINITY): Transaction<RejectedRow<Entity>[]> {
  const { server } = exchange
  const all = yield* query(
    'SELECT id, code, property, detail FROM sync_rejection WHERE server = ? AND code <> ? ORDER BY id',
    server.id,
    HELD_BACK,
  )
  const found: RejectedRow<Entity>[] = []
  // some have moved on since
  for (let i = 0; i < all.length && found.length < limit; i += limit)
    found.push(...(yield* describeRejected<Entity>(exchange, all.slice(i, i + limit))))
  return found.slice(0, limit)
}

function* describeRejected<Entity>(exchange: Exchange, rows: readonly Row[]): Transaction<RejectedRow<Entity>[]> {
  const states = yield* readRowStates(
    exchange,
    rows.map(row => String(row.id)),
  )
  const unapplied = rows.some(row => row.code === 'not-unique') ? [...(yield* readUnapplied(exchange))] : []
  return rows.flatMap(row => {
    const state = states.get(String(row.id)) as RowState
    const { version, rejection } = state
    if (rejection?.stamp !== version.stamp) return [] // it has moved on, and is pushed again
    const code = String(row.code)
    const property = row.property === null ? undefined : String(row.property)
    const has = (remote: WireRow | null) =>
      code === 'not-unique' && property !== undefined && remote !== null && equalValues(remote[property], version.value?.[property])
    const holder = unapplied.find(([id, { remote }]) => id !== state.id && has(remote))?.[0]
    return [{ ...pendingChange<Entity>(exchange, state), code, property, detail: String(row.detail ?? ''), holder }]
  })
}

const NOT_SEEN = 'The server does not show this row any more; the change comes back when it does.'

/** Local changes of rows that the server does not show any more. */
export function* listNoAccess<Entity>(exchange: Exchange, limit = Number.POSITIVE_INFINITY): Transaction<RejectedRow<Entity>[]> {
  const { collection, server } = exchange
  const rows = yield* query(`SELECT n.id AS id ${keptApartSql('?')} ORDER BY n.id`, server.id)
  const states = yield* readRowStates(
    exchange,
    rows.slice(0, limit).map(row => String(row.id)),
  )
  return [...states.values()].map(state => {
    const { id, noAccess } = state
    return {
      ...{ entity: collection.entity, id, url: server.url, local: entityOf<Entity>(collection, id, localOf(state)) },
      ...{
        base: baseEntity<Entity>(collection, id, noAccess?.base),
        code: NO_ACCESS,
        property: undefined,
        detail: NOT_SEEN,
        holder: undefined,
      },
    }
  })
}

export function resolvedConflict<Entity extends ObjectLiteral>(collection: Collection, row: Row): ResolvedConflict<Entity> {
  const id = String(row.row_id)
  const [base, local, remote, decision] = [row.base, row.local, row.remote, row.decision].map(parseRow)
  return {
    resolutionId: Number(row.id),
    entity: collection.entity,
    id,
    url: String(row.url),
    resolvedAt: new Date(Number(row.resolved_at)),
    base: base && entityOf<Entity>(collection, id, base),
    local: entityOf<Entity>(collection, id, local ?? null),
    remote: entityOf<Entity>(collection, id, remote ?? null),
    decision: entityOf<Entity>(collection, id, decision ?? null),
    properties: merge(base, local ?? null, remote ?? null, isAutomatic(collection), togetherIn(collection)).properties,
  }
}

export const parseRow = (cell: unknown): WireRow | null | undefined =>
  cell === null || cell === undefined ? undefined : JSON.parse(String(cell))
