// References that are pushed later: rows of several collections that need each other, and that the server has none of yet, cannot be pushed one
// collection at a time. One of them goes without its reference, which follows when the server has the other row.

import { type Collection, keyOf, type Reference } from '../../changes/collections/collection.js'
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
  const missing = rejections.filter(r => r.code === 'parent-missing' && referenceOf(collection, r)?.nullable.length)
  if (!missing.length) return new Set()
  const states = yield* readRowStates(
    exchange,
    missing.map(r => r.id),
  )
  const candidates = missing.filter(rejection => {
    const state = states.get(rejection.id)
    return state && isUnknownThere(exchange, state) && !referenceOf(collection, rejection)?.nullable.every(p => state.ignored.includes(p))
  })
  const needy = yield* findCircles(exchange, candidates, states)
  const putOff = candidates.filter(({ id }) => needy.has(id))
  yield* addIgnored(
    log.database,
    server.id,
    putOff.map(rejection => ({ id: rejection.id, properties: referenceOf(collection, rejection)?.nullable ?? [] })),
  )
  return needy
}

/** The reference that a rejection names. */
const referenceOf = ({ parents }: Collection, { property }: Rejection<string>): Reference | undefined =>
  parents.find(r => r.property === property && r.parent !== undefined)

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
  let paths = rejections.flatMap((rejection): Path[] => {
    const { id } = rejection
    const reference = referenceOf(exchange.collection, rejection)
    const needed = reference && keyOf(reference, id, states.get(id)?.version.value)
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
        for (const reference of collection.parents) {
          const { parent } = reference
          const key = keyOf(reference, path.needed, state.version.value)
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
