// Where the entities of a data source sync.

import type { DataSource, ObjectLiteral, Repository } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collections/collection.js'
import { type Address, openServers as openServersOf } from '../changes/servers/servers.js'
import { SyncConfigurationError } from '../errors.js'
import { clients } from './options.js'
import { changeLogOf, syncedEntities } from './registry.js'

/** Does the collection sync with a server? Not where its url is a path, and the data source has none to complete it. */
export function hasServer(dataSource: DataSource, collection: Collection): boolean {
  try {
    return urlsOf(dataSource, collection).length > 0
  } catch (error) {
    if (error instanceof SyncConfigurationError) return false
    throw error
  }
}

export const entityOf = (dataSource: DataSource, { metadata }: Collection) => syncedEntities(dataSource).find(e => e.metadata === metadata)

/** Where a collection syncs. */
export interface Place extends Address {
  /** What it is called in the feed. */
  readonly path: string
  /** The url of the feed. */
  readonly feed: string
}

/** The collections that one server serves, parents first. */
export interface Feed {
  readonly url: string
  readonly members: readonly Place[]
}

/** Where a collection syncs. Throws SyncConfigurationError where a path has nothing to complete it. */
function placesOf(dataSource: DataSource, collection: Collection): Place[] {
  const server = clients.get(dataSource)?.server ?? (globalThis as { location?: { origin?: string } }).location?.origin
  const { urls = [], options: { formerly = [] } = {} } = entityOf(dataSource, collection) ?? {}
  const base = server?.replace(/\/+$/, '')
  const before = formerly.map(url => (url.startsWith('/') ? `${base}${url}` : url))
  return urls.map(url => {
    // the feed is beside it, for requests with the same parameters
    if (!url.startsWith('/')) {
      const { pathname, search } = new URL(url)
      return {
        collection,
        url,
        formerly: before,
        path: pathname.slice(pathname.lastIndexOf('/')),
        feed: new URL(`sync${search}`, url).href,
      }
    }
    if (server === undefined || !/^https?:/.test(server)) {
      throw new SyncConfigurationError(
        `${collection.entity} syncs at ${url}, and the data source has no server. Give it one: withSync(dataSource, { server: 'https://…' }).`,
        { entity: collection.entity },
      )
    }
    return { collection, url: base + url, formerly: before, path: url, feed: `${base}/sync` }
  })
}

/** The absolute urls of a collection's servers. Throws SyncConfigurationError where a path has nothing to complete it. */
export const urlsOf = (dataSource: DataSource, collection: Collection): string[] => placesOf(dataSource, collection).map(p => p.url)

/** The feeds of a data source, or those to which one collection belongs. Throws SyncConfigurationError where it belongs to none. */
export function feedsOf(log: ChangeLog, only?: Collection, url?: string): Feed[] {
  const feeds = new Map<string, Place[]>()
  for (const collection of log.collections) {
    // what has no server does not keep the others from theirs
    const places = only && collection !== only && !hasServer(log.dataSource, collection) ? [] : placesOf(log.dataSource, collection)
    for (const place of places) {
      // two urls of one server are two feeds
      let key = place.feed
      while (feeds.get(key)?.some(p => p.collection === collection)) key += '\n'
      const members = feeds.get(key)
      if (members) members.push(place)
      else feeds.set(key, [place])
    }
  }
  const isMeant = (place: Place) => (only === undefined || place.collection === only) && (url === undefined || place.url === url)
  const meant = [...feeds.values()].filter(places => places.some(isMeant))
  if (!meant.length && (only || url !== undefined)) {
    const entity = only?.entity
    throw new SyncConfigurationError(`${entity ?? 'No entity'} has ${entity ? 'no' : 'the'} server ${url ?? ''}.`, entity ? { entity } : {})
  }
  return meant.map(members => ({ url: (members[0] as Place).feed, members }))
}

/** From now on the database remembers for these servers what they know; a client does so from the start. */
export async function openServers(log: ChangeLog): Promise<void> {
  if (clients.get(log.dataSource)?.server === undefined) return
  for (const feed of feedsOf(log)) await serverIdsOf(log, feed)
}

export function serverIdsOf(log: ChangeLog, { members, url }: Feed): Promise<readonly number[]> {
  return log.database.transaction(() => openServersOf(log.database, members, new URL(url).origin))
}

export function collectionOf({ manager: { dataSource }, metadata }: Repository<ObjectLiteral>): { log: ChangeLog; collection: Collection } {
  const log = changeLogOf(dataSource)
  // a child of a single-table inheritance is synced with the others in its table
  const collection = log.collections.find(c => c.name === metadata.tableName)
  if (collection) return { log, collection }
  const { name } = metadata
  throw new SyncConfigurationError(`Sync is not enabled for ${name}. Decorate it with @EnableSync('/…'), or call enableSync.`, {
    entity: name,
  })
}
