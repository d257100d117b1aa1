// What was changed here and is to be pushed: of all collections that are pushed together, in one order.

import { readChangePage } from '../../changes/rows/changePage.js'
import { readLastChanges } from '../../changes/rows/lastChanges.js'
import { LAST, type Place } from '../../changes/rows/place.js'
import { type RowState, readStates } from '../../changes/servers/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import type { StampedUpdate } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'
import type { Exchanges } from '../session.js'

/** Bytes of rows that are read at a time: rows may be megabytes, though little of them is pushed. */
const LARGEST_READ = 8_000_000

/** Rows that are read at a time of each of several collections. */
const AT_ONCE = 250

/** What is to be pushed of one collection. */
export interface LocalChanges {
  readonly exchange: Exchange
  above: Place
  /** Changes that were read, those to come first at the end. */
  changes: StampedUpdate[]
  states: ReadonlyMap<string, RowState>
  more: boolean
}

/** Of the collections in which anything is. */
export function* openLocalChanges(exchanges: Exchanges): Transaction<LocalChanges[]> {
  const last = exchanges.length > 1 ? yield* readLastChanges(exchanges.map(e => e.collection)) : undefined
  const isNothingNew = ({ collection, server }: Exchange) => {
    const { stamp, id } = server.pushedTo
    const end = last?.get(collection) ?? Number.POSITIVE_INFINITY
    return end < stamp || (end === stamp && id === LAST)
  }
  return exchanges
    .filter(exchange => !isNothingNew(exchange))
    .map(exchange => ({ exchange, above: exchange.server.pushedTo, changes: [], states: new Map(), more: true }))
}

interface NextChange {
  readonly exchange: Exchange
  readonly change: StampedUpdate
  readonly state: RowState
  /** It was pushed, or is none. */
  done(): void
}

/** The first change that was not pushed; `most` are wanted at most. */
export function* nextChange(lists: readonly LocalChanges[], most: number): Transaction<NextChange | undefined> {
  let next: LocalChanges | undefined
  for (const each of lists) {
    if (!each.changes.length && each.more) yield* readMore(each, lists.length > 1 ? Math.min(most, AT_ONCE) : most)
    const [one, other] = [each.changes.at(-1), next?.changes.at(-1)]
    if (one && (!other || one.stamp < other.stamp)) next = each
  }
  const change = next?.changes.at(-1)
  if (!next || !change) return
  const { exchange, states, changes } = next
  return { exchange, change, state: states.get(change.id) as RowState, done: () => void changes.pop() }
}

function* readMore(own: LocalChanges, limit: number): Transaction<void> {
  const { log, collection, server } = own.exchange
  const localChangesFor = server.stored.size ? { localChangesFor: server.id } : {}
  const page = yield* readChangePage(log.database, collection, {
    above: own.above,
    limit,
    removalsAbove: -1,
    bytes: LARGEST_READ,
    ...localChangesFor,
  })
  const versions = new Map(page.changes.map(c => [c.id, c]))
  own.states = yield* readStates(log.database, collection, server, [...versions.keys()], versions)
  const last = page.changes.at(-1)
  if (last) own.above = { stamp: last.stamp, id: last.id }
  own.more = page.more && last !== undefined
  own.changes = page.changes.reverse()
}
