// Rows that a removal removes with it though a server does not have them as they are here: in the journal they can be read, and brought back.

import type { Collection } from '../../changes/collections/collection.js'
import { type Dependent, nameOf } from '../../changes/rows/dependents.js'
import { baseOf } from '../../changes/servers/agreement.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import { serversOf } from '../../changes/servers/servers.js'
import type { Database, Transaction } from '../../databases/database.js'
import { writeResolutions } from '../conflicts/resolutions.js'
import { type Exchange, isClean, openExchange, readRowStates, siblingOf } from '../exchange.js'

export interface Unpushed {
  readonly collection: Collection
  readonly state: RowState
  /** The server that lacks it, or has it; undefined where its entity was never synced. */
  readonly exchange: Exchange | undefined
}

/** Those among the rows that some server of their entity lacks as they are here, this one or another; `isAll`: those that all have as well. */
export function* readUnpushed(exchange: Exchange, dependents: readonly Dependent[], isAll = false): Transaction<Unpushed[]> {
  const ids = new Map<Collection, string[]>()
  for (const { collection, id } of dependents) {
    const some = ids.get(collection)
    if (some) some.push(id)
    else ids.set(collection, [id])
  }
  const unpushed: Unpushed[] = []
  for (const [collection, some] of ids) {
    const found = new Map<string, Unpushed>()
    const exchanges = yield* readExchanges(exchange, collection)
    for (const there of exchanges)
      for (const state of (yield* readRowStates(there, some)).values())
        if ((isAll || !isClean(there, state)) && !found.has(state.id)) found.set(state.id, { collection, state, exchange: there })
    if (!exchanges.length)
      for (const state of (yield* readRowStates({ ...exchange, collection }, some)).values())
        found.set(state.id, { collection, state, exchange: undefined })
    unpushed.push(...found.values())
  }
  return unpushed
}

/** The names of those rows among these that are not synced with this server, and that another one lacks as they are here. */
export function* readUnpushedElsewhere(exchange: Exchange, dependents: readonly Dependent[]): Transaction<Set<string>> {
  const others = dependents.filter(row => !siblingOf(exchange, row.collection))
  if (!others.length) return new Set()
  const unpushed = (yield* readUnpushed(exchange, others)).filter(row => row.exchange)
  return new Set(unpushed.map(({ collection, state }) => nameOf({ collection, id: state.id })))
}

/** With all servers of an entity: what this one has, or does not sync, another may lack. This one comes first, for the decision is about its rows. */
export function* readExchanges(from: Exchange, collection: Collection): Transaction<Exchange[]> {
  const own = siblingOf(from, collection)
  const exchanges = own ? [own] : []
  for (const server of yield* serversOf(collection)) {
    const exchange = server.id === own?.server.id ? undefined : yield* openExchange(from.log, collection, server.id)
    if (exchange) exchanges.push(exchange)
  }
  return exchanges
}

/** Notes that they go, so that each can be brought back. */
export const writeUnpushed = (database: Database, unpushed: readonly Unpushed[], url: string): Transaction<void> =>
  writeResolutions(
    database,
    unpushed.map(({ collection, state, exchange }) => ({
      ...{ collection, id: state.id, url: exchange?.server.url ?? url, base: exchange && baseOf(exchange.server, state) },
      ...{ local: state.version.value, remote: null, decision: null },
    })),
  )
