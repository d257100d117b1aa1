// What a pull asks next, and whether an answer may be one to that.

import type { Collection } from '../../changes/collections/collection.js'
import { cursorOf, type ServerState } from '../../changes/servers/serverState.js'
import type { FeedQuery } from '../../protocol/messages.js'
import { type Answer, isOfFeed, unmark } from '../http/wire.js'
import { heldScope } from '../scope.js'
import type { Session } from '../session.js'

/** Properties by the collections that have them. */
export type ByCollection<T> = ReadonlyMap<Collection, T>

export const cursorsOf = (servers: readonly ServerState[]) => servers.map(cursorOf).join('\n')

/**
 * Those of which to ask next. A collection that is new here, or that is to be read once more, is read from its beginning by itself, and then
 * all of them together, from where the one that was read least far stands.
 */
export function nextAsked(servers: readonly ServerState[]): readonly ServerState[] {
  const paging = servers.find(server => server.page !== null)
  if (paging) return servers.filter(server => server.page === paging.page)
  const unread = servers.filter(server => server.serverDate === 0)
  return unread.length ? unread : servers
}

/** The one that all of them have; only where nothing else is to be heard. */
export function etagOf(asked: readonly ServerState[]): string | null {
  const [first, ...others] = asked
  const isQuiet =
    first && !asked.some(({ pulling, push, scope }) => pulling || push || scope === '') && others.every(({ etag }) => etag === first.etag)
  return isQuiet ? first.etag : null
}

/** Milliseconds by which a server of 2011 is asked again: it may read its clock after its rows, or store rows after their stamps. */
const OVERLAP = 60_000

export function questionOf(session: Session, asked: readonly ServerState[], ignored: ByCollection<readonly string[]>): FeedQuery {
  const { page, serverHistory } = asked[0] as ServerState
  // where the other kind was asked before, the answer is begun anew
  const after = page === null || isOfFeed(page) !== session.wire.isFeed ? undefined : unmark(page)
  const date = Math.min(...asked.map(server => server.serverDate))
  const highest = Math.max(...asked.map(server => server.highest))
  const members = session.members.filter(m => asked.some(server => server.id === m.serverId))
  const properties = members.flatMap(({ collection, path }) => {
    const names = ignored.get(collection)
    return names?.length ? [[path, names] as const] : []
  })
  return {
    since: serverHistory === null ? Math.max(0, date - OVERLAP) : date,
    ...(after !== undefined && { after }),
    ...(serverHistory !== null && { collection: serverHistory }),
    ...(highest > 0 && { min: highest }),
    ...heldScope(asked),
    // what is read from its beginning is asked for by itself
    collections: [...members, ...(members.length === session.members.length ? session.lacking : [])].map(m => m.path),
    ...(properties.length && { properties: new Map(properties) }),
  }
}

export const isSameQuestion = (x: FeedQuery, y: FeedQuery) =>
  x.since === y.since &&
  x.after === y.after &&
  x.collection === y.collection &&
  x.min === y.min &&
  x.scope === y.scope &&
  x.collections.join() === y.collections.join()

/** What will be asked when the page is stored; undefined where there is no more, or where a reset changes everything first. */
export function nextQuestion(
  { since, collection, min = 0, scope, collections }: FeedQuery,
  { next: after, reset, ...answer }: Answer,
): FeedQuery | undefined {
  if (after === undefined || reset) return
  const id = collection ?? answer.collection
  const held = answer.scope === undefined ? undefined : answer.scope === scope ? scope : ''
  return {
    ...{ since, after, ...(id !== undefined && { collection: id }), min: Math.max(min, answer.now) },
    ...(held !== undefined && { scope: held }),
    collections,
  }
}
