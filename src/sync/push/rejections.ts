// Rows that a server has rejected: noted with the version that it was, and pushed again when they move on, or when what they needed may be there.

import { baseOf, isAgreed } from '../../changes/servers/agreement.js'
import { forgetRejections } from '../../changes/servers/baseVersions.js'
import { HELD_BACK, type RowState } from '../../changes/servers/rowStates.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import type { Change } from '../../changes/store/change.js'
import { planChanges } from '../../changes/store/order.js'
import { storeVersions } from '../../changes/store/store.js'
import { readUniques } from '../../changes/store/uniques.js'
import { first, query, type Transaction } from '../../databases/database.js'
import type { Rejection } from '../../protocol/messages.js'
import { type Exchange, readRowStates } from '../exchange.js'
import { type Session, transaction } from '../session.js'

/** When a rejected row is pushed again without having moved on. */
const AGAIN = {
  never: 0,
  nextSync: 1,
  /** The row that has the value may have released it. */
  rowsChanged: 2,
  /** The user may change other rows than before. */
  scopeChanged: 3,
  /** The row that it needs may be there, and seen: rows there have changed, ours among them, or the user sees others. */
  parentSeen: 4,
  /** What it waited for may have come: this sync does it. */
  freed: 5,
} as const

/** What they need, or who needs them, may change where nobody tells of it. */
const OF_OTHER_ROWS = new Set(['parent-missing', 'children-exist', 'children-unseen', 'cycle'])

function againOf({ collection: { parents }, siblings, together }: Exchange, { code, property }: Rejection<string>): number {
  const needsRow = code === 'parent-missing' && parents.some(r => r.property === property && r.parent)
  // where collections sync one by one, that row may have come while the push was under way
  if (needsRow && together.length === siblings.size) return AGAIN.parentSeen
  if (OF_OTHER_ROWS.has(code)) return AGAIN.nextSync
  return code === 'not-unique' ? AGAIN.rowsChanged : code === 'not-allowed' ? AGAIN.scopeChanged : AGAIN.never
}

/** Notes rejected rows, each with the stamp of the version that was rejected. */
export function* writeRejections(
  exchange: Exchange,
  rejections: readonly (Rejection<string> & { readonly stamp: number })[],
): Transaction<void> {
  if (!rejections.length) return
  const { log, server } = exchange
  yield* log.database.upsertRows(
    'sync_rejection',
    ['server', 'id', 'stamp', 'code', 'property', 'detail', 'again'],
    ['server', 'id'],
    rejections.map(rejection => {
      const { id, stamp, code, property, detail } = rejection
      return [server.id, id, stamp, code, property ?? null, detail, againOf(exchange, rejection)]
    }),
  )
}

/** Notes rows that are pushed later, for others have to be pushed or decided first: the next sync tries again. No server has rejected them. */
export function* writeHeldBack({ log, server }: Exchange, states: readonly RowState[], detail: string): Transaction<void> {
  if (!states.length) return
  yield* log.database.upsertRows(
    'sync_rejection',
    ['server', 'id', 'stamp', 'code', 'property', 'detail', 'again'],
    ['server', 'id'],
    states.map(({ id, version }) => [server.id, id, version.stamp, HELD_BACK, null, detail, AGAIN.nextSync]),
  )
}

/** A row that was rejected before and has moved on since is not rejected any more. */
export function* forgetOutdatedRejections(exchange: Exchange): Transaction<void> {
  const { log, collection, server } = exchange
  const rejected = yield* query('SELECT id FROM sync_rejection WHERE server = ?', server.id)
  if (!rejected.length) return
  const states = yield* readRowStates(
    exchange,
    rejected.map(row => String(row.id)),
  )
  const outdated: { id: string; stamp: number }[] = []
  for (const state of states.values()) {
    const { id, rejection, version } = state
    if (rejection && rejection.stamp !== version.stamp && isAgreed(server, state, version.stamp))
      outdated.push({ id, stamp: rejection.stamp })
  }
  yield* forgetRejections(log.database, collection, server, outdated)
}

/** Rows of the server's have changed: one of them may have released a value that a rejected row needs, or be what it needs. It is pushed again then. */
export const freeRejected = (exchanges: readonly Exchange[]): Transaction<void> => free(exchanges, AGAIN.rowsChanged)

/** The user holds other keys than before: what was not allowed may be, and what a row needs may be seen. */
export const freeNotAllowed = (exchanges: readonly Exchange[]): Transaction<void> => free(exchanges, AGAIN.scopeChanged)

/** Rows of ours are there: they may be what others of ours need. */
export const freeNeedy = (exchanges: readonly Exchange[]): Transaction<void> => free(exchanges, AGAIN.parentSeen)

/** With those that need a row, of whichever collection. */
function* free(exchanges: readonly Exchange[], again: number): Transaction<void> {
  if (!(yield* first('SELECT 1 FROM sync_rejection WHERE again IN (?, ?) LIMIT 1', again, AGAIN.parentSeen))) return
  const all = new Set(exchanges.flatMap(exchange => [...exchange.siblings.values()]))
  yield* setFree(all, AGAIN.parentSeen)
  yield* setFree(
    exchanges.map(exchange => exchange.server),
    again,
  )
}

function* setFree(servers: Iterable<ServerState>, again: number): Transaction<void> {
  for (const { id } of servers) yield* query('UPDATE sync_rejection SET again = ? WHERE server = ? AND again = ?', AGAIN.freed, id, again)
}

/** What may be accepted by now is pushed again. */
export async function pushAgain(session: Session): Promise<void> {
  await transaction(session, function* (exchanges) {
    for (const exchange of exchanges) {
      const rows = yield* query(
        'SELECT id FROM sync_rejection WHERE server = ? AND again IN (?, ?)',
        exchange.server.id,
        AGAIN.nextSync,
        AGAIN.freed,
      )
      if (!rows.length) continue
      yield* pushRowsAgain(
        exchange,
        rows.map(r => String(r.id)),
      )
    }
  })
}

/**
 * Gives rejected rows fresh stamps, so that they are pushed again: one after the other where a row gets the unique value of another one, for they
 * may not have room in one push.
 */
export function* pushRowsAgain(exchange: Exchange, ids: readonly string[]): Transaction<void> {
  const { collection, server, log } = exchange
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const rejected = states.filter(s => s.rejection?.stamp === s.version.stamp && !s.unapplied)
  if (rejected.length) {
    const versions = new Map(rejected.map(({ id, version: old }) => [id, { id, old, value: old.value }]))
    for (const ids of yield* inOrder(exchange, rejected)) {
      const some = ids.flatMap(id => versions.get(id) ?? [])
      yield* storeVersions(log, collection, some, yield* log.database.tick(), server)
    }
  }
  yield* forgetRejections(
    log.database,
    collection,
    server,
    states.flatMap(s => (s.rejection ? [{ id: s.id, stamp: s.rejection.stamp }] : [])),
  )
}

/** The rows that release a value before those that get it, as the server will see them. */
function* inOrder({ log, collection, server }: Exchange, rejected: readonly RowState[]): Transaction<string[][]> {
  if (rejected.length < 2) return [rejected.map(s => s.id)]
  const changes = rejected.map(
    (s): Change => ({ collection, id: s.id, old: { value: baseOf(server, s) ?? null, stamp: 0 }, value: s.version.value, stamp: 0 }),
  )
  const { levels } = planChanges(changes, yield* readUniques(log.database, changes))
  return levels.map(level => level.map(({ change }) => change.id))
}
