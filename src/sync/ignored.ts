// Pushes values that a server has ignored, once it says that it has a column for them.

import type { Collection } from '../changes/collection.js'
import type { Step } from '../changes/database/database.js'
import { forgetIgnored, noteIgnored, readIgnoredIds } from '../changes/ignored.js'
import { baseOf, isAgreed, keepImages } from '../changes/remotes.js'
import { storeVersions } from '../changes/store.js'
import type { PushedRow } from '../protocol/messages.js'
import { type Exchange, readRowStates, StepStamp } from './exchange.js'
import { type Session, step } from './session.js'

const ROWS = 500

/** Notes what the server has ignored of a push. */
export function* noteIgnoredOf({ log, remote }: Exchange, rows: readonly PushedRow[], ignored: readonly string[] = []): Step<void> {
  const pushed = rows.map(({ id, value }) => ({
    id,
    pushed: value && Object.keys(value),
    ignored: ignored.filter(p => value !== null && Object.hasOwn(value, p)),
  }))
  yield* noteIgnored(log.database, remote.id, pushed)
}

/** Gives rows a fresh stamp whose values of these properties the server has ignored, and would not now: they are pushed again. */
export async function pushIgnored(session: Session, properties: ReadonlyMap<Collection, readonly string[]>): Promise<void> {
  for (const [collection, names] of properties) {
    for (let above: string | undefined = ''; above !== undefined; ) {
      const from: string = above
      above = await step(session, function* (exchanges) {
        const exchange = exchanges.find(each => each.collection === collection)
        return exchange && (yield* pushAbove(exchange, names, from))
      })
    }
  }
}

/** Gives the id to go on after; undefined at the end. */
function* pushAbove(exchange: Exchange, properties: readonly string[], above: string): Step<string | undefined> {
  const { log, collection, remote } = exchange
  const ids = yield* readIgnoredIds(remote.id, properties, above, ROWS)
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  // a reference that was given up meanwhile is null on both sides
  const alike = states.map(({ id, putOff, version }) => ({ id, properties: putOff.filter(p => (version.value?.[p] ?? null) === null) }))
  yield* forgetIgnored(log.database, remote.id, alike)
  // what is pending takes them along
  const told = states.filter(s => s.version.value !== null && !s.waiting && isAgreed(remote, s, s.version.stamp))
  if (told.length) {
    const stamp = yield* new StepStamp(exchange).take()
    const images = told.map(s => ({ id: s.id, value: baseOf(remote, s) ?? null }))
    const writes = told.map(s => ({ id: s.id, old: s.version, value: s.version.value }))
    yield* storeVersions(log, collection, writes, yield* log.database.tick(), remote)
    yield* keepImages(log.database, collection, remote, images, stamp)
  }
  return ids.length < ROWS ? undefined : ids.at(-1)
}
