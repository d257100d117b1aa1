// Rows of a push that the server rejected.

import type { Collection } from '../../changes/collections/collection.js'
import type { Rejection } from '../../protocol/messages.js'
import { ServerError } from '../http/errors.js'
import { type Session, transaction } from '../session.js'
import type { Batch } from './batch.js'
import { endIn, endPush } from './endPush.js'
import type { Sent } from './preparePush.js'
import { putOffReferences } from './putOff.js'
import { writeRejections } from './rejections.js'

/** Sets rejected rows aside, each with its reason; the others are pushed again. */
export async function setAside(
  session: Session,
  push: Sent,
  rejections: readonly Rejection<string>[],
  stamps: Batch['stamps'],
): Promise<void> {
  const { wire, members, report } = session
  const collections = new Map(members.map(m => [m.path, m.collection]))
  const known = rejections.flatMap(rejection => {
    const collection = collections.get(rejection.collection ?? '')
    const stamp = collection && stamps.get(collection)?.get(rejection.id)
    return collection && stamp !== undefined ? [{ ...rejection, of: collection, stamp }] : []
  })
  if (!known.length) {
    await endPush(session, push)
    const entities = members.map(m => m.collection.entity).join(', ')
    throw new ServerError(`${wire.url} rejected rows of ${entities} that it was not pushed.`, {
      url: wire.url,
      status: 422,
      isDefinite: true,
    })
  }
  // in one transaction: what another sync has pushed since may have been rejected as well, as a later version
  const rejected = await transaction(session, function* (exchanges) {
    const counts = new Map<Collection, number>()
    if (!(yield* endIn(exchanges, push))) return counts
    for (const exchange of exchanges) {
      const own = known.filter(({ of }) => of === exchange.collection)
      if (!own.length) continue
      const putOff = yield* putOffReferences(exchange, own)
      const some = own.filter(({ id }) => !putOff.has(id))
      yield* writeRejections(exchange, some)
      counts.set(exchange.collection, some.length)
    }
    return counts
  })
  for (const [collection, count] of rejected) report.of(collection).rejected += count
}
