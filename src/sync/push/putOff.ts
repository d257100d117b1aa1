// References that are pushed later: rows of several collections that need each other, and that the server has none of yet, cannot be pushed one
// collection at a time. One of them goes without its reference, which follows when the server has the other row.

import type { Collection } from '../../changes/collections/collection.js'
import { baseOf } from '../../changes/servers/agreement.js'
import { addIgnored } from '../../changes/servers/ignored.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { Transaction } from '../../databases/database.js'
import type { Rejection } from '../../protocol/messages.js'
import { type Exchange, readRowStates, siblingOf } from '../exchange.js'

/** A rejected row, and a row that it needs, by whatever way. */
interface Path {
  readonly id: string
  readonly collection: Collection
  readonly needed: string
}

/** Puts off the references of rejected rows that need rows which need them, where they may be null. Gives the ids of these rows. */
export function* putOffReferences(exchange: Exchange, rejections: readonly Rejection<string>[]): Transaction<Set<string>> {
  const { log, collection, server } = exchange
  const missing = rejections.filter(r => r.code === 'parent-missing' && r.property !== undefined && mayBeNull(collection, r.property))
  if (!missing.length) return new Set()
  const states = yield* readRowStates(
    exchange,
    missing.map(r => r.id),
  )
  const candidates = missing.filter(({ id, property = '' }) => {
    const state = states.get(id)
    return state && isUnknownThere(exchange, state) && !state.ignored.includes(property)
  })
  const needy = yield* findCircles(exchange, candidates, states)
  const putOff = candidates.filter(({ id }) => needy.has(id))
  yield* addIgnored(
    log.database,
    server.id,
    putOff.map(({ id, property = '' }) => ({ id, properties: [property] })),
  )
  return needy
}

const mayBeNull = ({ column, parents }: Collection, property: string) =>
  column.get(property)?.nullable === true && parents.some(r => r.property === property && r.parent !== undefined)

/** The server never had the row. */
const isUnknownThere = ({ server }: Exchange, state: RowState) => state.version.value !== null && !baseOf(server, state)

// Level by level, for all rows at once; a path that was walked is not walked again.
function* findCircles(
  exchange: Exchange,
  rejections: readonly Rejection<string>[],
  states: ReadonlyMap<string, RowState>,
): Transaction<Set<string>> {
  const found = new Set<string>()
  const walked = new Set<string>()
  let paths = rejections.flatMap(({ id, property }): Path[] => {
    const reference = exchange.collection.parents.find(r => r.property === property)
    const needed = states.get(id)?.version.value?.[property as string]
    return reference?.parent && typeof needed === 'string' ? [{ id, collection: reference.parent, needed }] : []
  })
  while (paths.length) {
    const next: Path[] = []
    for (const collection of new Set(paths.map(p => p.collection))) {
      const there = siblingOf(exchange, collection)
      if (!there) continue
      const some = paths.filter(p => p.collection === collection && !found.has(p.id))
      const needed = yield* readRowStates(there, [...new Set(some.map(p => p.needed))])
      for (const path of some) {
        const state = needed.get(path.needed) as RowState
        if (!isUnknownThere(there, state)) continue
        for (const { parent, property } of collection.parents) {
          const key = state.version.value?.[property]
          if (!parent || typeof key !== 'string') continue
          const edge = JSON.stringify([path.id, parent.name, key])
          if (parent === exchange.collection && key === path.id) found.add(path.id)
          else if (!walked.has(edge) && walked.add(edge)) next.push({ id: path.id, collection: parent, needed: key })
        }
      }
    }
    paths = next
  }
  return found
}
