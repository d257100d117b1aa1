// The sync status of the collections of a server: what a sync has to do, and what it leaves behind.

import type { Collection } from '../changes/collections/collection.js'
import { isAllPushed } from '../changes/servers/agreement.js'
import { readIgnoredProperties } from '../changes/servers/ignored.js'
import { keptApartSql } from '../changes/servers/noAccess.js'
import { HELD_BACK } from '../changes/servers/rowStates.js'
import type { ServerState } from '../changes/servers/serverState.js'
import { baseTableOf, first, query, quote, type Transaction } from '../databases/database.js'
import type { Exchange } from './exchange.js'
import { type Exchanges, type Session, transaction } from './session.js'

export interface SyncStatus {
  readonly servers: readonly ServerState[]
  /** There are rows of the server that are not applied, of these collections or of another one of this server. */
  readonly hasUnapplied: boolean
  /** Rows were rejected that are pushed again by the next sync. */
  readonly again: boolean
  /** Rows were rejected for a unique value that may be free now, or for rights or a row that may be there now. */
  readonly freed: boolean
  /** There is nothing to push. */
  readonly isAllPushed: boolean
  readonly left: ReadonlyMap<Collection, Left>
  /** Properties of ours for which the server has no column, so that their values are not pushed. */
  readonly ignored: ReadonlyMap<Collection, readonly string[]>
}

interface Left {
  /** Rows of the server that are not applied here. */
  readonly unapplied: number
  /** Rows of ours that the server has rejected, or that it does not show any more. */
  readonly rejected: number
  /** Rows of ours that are pushed later, for others have to be pushed or decided first. */
  readonly heldBack: number
}

export function readSyncStatus(session: Session): Promise<SyncStatus> {
  return transaction(session, statusOf, { mode: 'read' })
}

export function* statusOf(exchanges: Exchanges): Transaction<SyncStatus> {
  const [any] = exchanges
  const servers = exchanges.map(exchange => exchange.server)
  const left = new Map<Collection, Left>(exchanges.map(({ collection }) => [collection, { unapplied: 0, rejected: 0, heldBack: 0 }]))
  const ignored = new Map<Collection, readonly string[]>()
  const status = { servers, hasUnapplied: false, again: false, freed: false, isAllPushed: true, left, ignored }
  if (!any) return status
  // usually there is nothing at all, and a statement about twenty collections costs more than it finds
  const there = yield* first(
    `SELECT EXISTS (SELECT 1 FROM sync_unapplied) AS unapplied, EXISTS (SELECT 1 FROM sync_rejection) AS rejected,
            EXISTS (SELECT 1 FROM sync_ignored) AS ignored, EXISTS (SELECT 1 FROM sync_no_access) AS apart`,
  )
  if (there?.unapplied || there?.rejected || there?.ignored || there?.apart) yield* lookAtRows(exchanges, status)
  const { now } = yield* any.log.database.clock()
  const baseVersions = yield* first(`SELECT ${exchanges.map(hasBasesSql).join(', ')}`)
  for (const [n, { collection, server }] of exchanges.entries()) {
    const { unapplied, rejected, heldBack } = left.get(collection) as Left
    // base versions that are no base any more go with the end of a push
    status.isAllPushed &&=
      isAllPushed(server, now) && server.stored.size === 0 && !(baseVersions?.[`bases${n}`] && !unapplied && !rejected && !heldBack)
  }
  return status
}

const hasBasesSql = ({ collection, server }: Exchange, n: number) =>
  `EXISTS (SELECT 1 FROM ${quote(baseTableOf(collection.table))} WHERE _sync_server = ${server.id}) AS bases${n}`

/** What is not applied, was rejected, or is ignored. */
function* lookAtRows(exchanges: Exchanges, status: Writable<Omit<SyncStatus, 'left' | 'ignored'>> & Found): Transaction<void> {
  const { servers, left, ignored } = status
  const parts = exchanges.map(
    ({ server: { id } }, n) =>
      `SELECT ${n} AS n, (SELECT count(*) FROM sync_unapplied WHERE server = ${id}) AS unapplied,
              (SELECT count(*) FROM sync_rejection WHERE server = ${id} AND code <> '${HELD_BACK}') AS rejected,
              (SELECT count(*) ${keptApartSql(String(id))}) AS apart,
              (SELECT count(*) FROM sync_rejection WHERE server = ${id} AND code = '${HELD_BACK}') AS held,
              EXISTS (SELECT 1 FROM sync_rejection WHERE server = ${id} AND again IN (1, 5)) AS again,
              EXISTS (SELECT 1 FROM sync_rejection WHERE server = ${id} AND again = 5) AS freed,
              EXISTS (SELECT 1 FROM sync_ignored WHERE server = ${id}) AS ignored`,
  )
  for (const row of yield* query(parts.join(' UNION ALL '))) {
    const { log, collection, server } = exchanges[Number(row.n)] as Exchange
    const [unapplied, rejected, heldBack] = [Number(row.unapplied), Number(row.rejected) + Number(row.apart), Number(row.held)]
    left.set(collection, { unapplied, rejected, heldBack })
    status.hasUnapplied ||= unapplied > 0
    status.again ||= Boolean(row.again)
    status.freed ||= Boolean(row.freed)
    if (row.ignored) ignored.set(collection, yield* readIgnoredProperties(collection, log.database, server.id))
  }
  for (const { id } of exchanges[0]?.siblings.values() ?? [])
    status.hasUnapplied ||=
      !servers.some(server => server.id === id) && (yield* first('SELECT 1 FROM sync_unapplied WHERE server = ? LIMIT 1', id)) !== undefined
}

type Writable<T> = { -readonly [P in keyof T]: T[P] }

interface Found {
  readonly left: Map<Collection, Left>
  readonly ignored: Map<Collection, readonly string[]>
}
