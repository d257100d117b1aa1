// Where the entities of a data source sync, and the syncs that run.

import type { DataSource, ObjectLiteral, Repository } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { type Address, findServers, openServers as openServersOf } from '../changes/servers.js'
import { ensureTriggers, isCapturing } from '../changes/setUp.js'
import {
  ConflictHandlerError,
  InvalidAnswerError,
  NetworkError,
  RequestTimeoutError,
  SyncConfigurationError,
  SyncContentionError,
  TransportError,
} from '../errors.js'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import { openExchanges } from '../sync/exchange.js'
import { createTransport, type TransportOptions } from '../sync/http/transport.js'
import { feedWire, NoFeedError, OpenAtRouteError, routeWire } from '../sync/http/wire.js'
import { addLater, addReports, ReportBuilder, type SyncProgress, type SyncReport } from '../sync/report.js'
import type { Member, Session } from '../sync/session.js'
import { SingleFlight } from '../sync/singleFlight.js'
import { type SyncStatus, statusOf } from '../sync/status.js'
import { sync } from '../sync/sync.js'
import { changeLogOf, syncedEntities } from './registry.js'

/** How a client syncs. Given to `withSync` for all syncs of a data source, or to a single call. */
export interface SyncOptions extends TransportOptions {
  /** Updates in one answer of the server; 4,000 by default. The server has a maximum of its own. */
  readonly pageSize?: number
  /** Rows in one request to the server; 4,000 by default. It has no more than a megabyte, and begins with 1,000. */
  readonly batchSize?: number
  /** How often it is tried again when others keep changing the same rows meanwhile; 8 by default. Then SyncContentionError. */
  readonly maxRounds?: number
  /** Milliseconds that a conflict handler may take; as long as it likes by default. */
  readonly handlerTimeout?: number
  /** Decides the conflicts of entities for which neither a call nor the entity itself has a handler. */
  readonly onConflict?: ConflictHandler
  /** Called as the sync goes on. */
  readonly onProgress?: (progress: SyncProgress) => void
}

export interface SyncCallOptions extends SyncOptions {
  /** Gives up this call. Rows that were stored until then stay, and nothing is lost. */
  readonly signal?: AbortSignal
  /** Syncs with this server alone, where an entity has several: its url as `journal().servers()` lists it. */
  readonly url?: string
}

export interface ClientOptions extends SyncOptions {
  /** Completes urls that are paths, e.g. `https://example.org`. */
  readonly server?: string
}

const clients = new WeakMap<DataSource, ClientOptions>()

export function noteClient(dataSource: DataSource, options: ClientOptions): void {
  clients.set(dataSource, options)
}

/** Does the collection sync with a server? Not where its url is a path, and the data source has none to complete it. */
export function hasServer(dataSource: DataSource, collection: Collection): boolean {
  try {
    return urlsOf(dataSource, collection).length > 0
  } catch (error) {
    if (error instanceof SyncConfigurationError) return false
    throw error
  }
}

const entityOf = (dataSource: DataSource, { metadata }: Collection) => syncedEntities(dataSource).find(e => e.metadata === metadata)

/** Where a collection syncs. */
interface Place extends Address {
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
  return (entityOf(dataSource, collection)?.urls ?? []).map(url => {
    // the feed is beside it, for whoever has the same parameters
    if (!url.startsWith('/')) {
      const { pathname, search } = new URL(url)
      return { collection, url, path: pathname.slice(pathname.lastIndexOf('/')), feed: new URL(`sync${search}`, url).href }
    }
    if (server === undefined || !/^https?:/.test(server)) {
      throw new SyncConfigurationError(
        `${collection.entity} syncs at ${url}, and the data source has no server. Give it one: withSync(dataSource, { server: 'https://…' }).`,
        { entity: collection.entity },
      )
    }
    const base = server.replace(/\/+$/, '')
    return { collection, url: base + url, path: url, feed: `${base}/sync` }
  })
}

/** The absolute urls of a collection's servers. Throws SyncConfigurationError where a path has nothing to complete it. */
export const urlsOf = (dataSource: DataSource, collection: Collection): string[] => placesOf(dataSource, collection).map(p => p.url)

/** The feeds of a data source, or those to which one collection belongs. Throws SyncConfigurationError where it belongs to none. */
export function feedsOf(log: ChangeLog, only?: Collection, url?: string): Feed[] {
  const feeds = new Map<string, Place[]>()
  for (const collection of log.collections) {
    // what has no server keeps nobody from the others
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

function serverIdsOf(log: ChangeLog, { members, url }: Feed): Promise<readonly number[]> {
  return log.database.transaction(() => openServersOf(log.database, members, new URL(url).origin))
}

/** How things stand; undefined where the triggers or the remotes have to be made first. */
function look(log: ChangeLog, members: readonly Place[]): Promise<SyncStatus | undefined> {
  return log.database.transaction(
    function* () {
      if (!(yield* isCapturing(log))) return
      const ids = yield* findServers(members)
      const known = ids.filter(id => id !== undefined)
      return known.length < ids.length ? undefined : yield* statusOf(yield* openExchanges(log, known))
    },
    { readOnly: true },
  )
}

interface CallOptions {
  /** For the conflicts of single entities. */
  readonly handlers: ReadonlyMap<Collection, ConflictHandler>
  /** For those of all others. */
  readonly handler: ConflictHandler | undefined
  readonly options: SyncOptions
}

/** Whose conflicts a handler decides: those of one collection, or of all. */
export interface Handling {
  readonly collection: Collection | undefined
  readonly handler: ConflictHandler | undefined
}

/**
 * What went wrong on the way. A server that is away, or forbids one collection, keeps nobody from the others; who called is told in the end.
 */
class Failures {
  #first: unknown
  #away = new Set<string>()

  /** Throws what ends everything: what is no matter of one server or collection. */
  note(error: unknown, url: string): void {
    if (!(error instanceof TransportError || error instanceof SyncContentionError || error instanceof ConflictHandlerError)) throw error
    this.#first ??= error
    if (error instanceof NetworkError || error instanceof RequestTimeoutError) this.#away.add(new URL(url).origin)
  }

  isAway(url: string): boolean {
    return this.#away.has(new URL(url).origin)
  }

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  throwFirst(): void {
    if (!this.isEmpty) throw this.#first
  }
}

/** Syncs with feeds, one after the other. */
export async function syncFeeds(
  log: ChangeLog,
  feeds: readonly Feed[],
  { collection, handler }: Handling,
  { signal, url: _, ...call }: SyncCallOptions,
): Promise<SyncReport> {
  const failures = new Failures()
  const options: CallOptions = {
    handlers: new Map(collection && handler ? [[collection, handler]] : []),
    handler: collection ? undefined : handler,
    options: { ...clients.get(log.dataSource), ...call },
  }
  const reports = new Map<Feed, SyncReport>()
  // What a later server told is a local change for those before it; two versions that chase each other around the servers come to rest this way.
  for (let more = 3, isLocalChange = true; more && isLocalChange && failures.isEmpty; more--) {
    isLocalChange = false
    for (const [i, feed] of feeds.entries()) {
      if (failures.isAway(feed.url)) continue
      try {
        const report = await flightOf(log, feed).call(options, signal)
        const before = reports.get(feed)
        reports.set(feed, before ? addLater(before, report) : report)
        const isShared = feeds.slice(0, i).some(other => other.members.some(m => feed.members.some(n => n.collection === m.collection)))
        if (isShared && (report.pulled || report.merged)) isLocalChange = true
      } catch (error) {
        failures.note(error, feed.url)
      }
    }
  }
  failures.throwFirst()
  return addReports([...reports.values()])
}

const running = new WeakMap<ChangeLog, Map<string, SingleFlight<SyncReport, CallOptions>>>()

function flightOf(log: ChangeLog, feed: Feed): SingleFlight<SyncReport, CallOptions> {
  const joined = running.get(log) ?? new Map<string, SingleFlight<SyncReport, CallOptions>>()
  running.set(log, joined)
  const key = feed.members.map(m => `${m.collection.name} ${m.url}`).join('\n')
  const one =
    joined.get(key) ??
    new SingleFlight(
      (ended: AbortSignal, options: CallOptions) => run(log, feed, ended, options),
      // a caller without a handler does not take away another's
      (earlier, later) => ({
        ...later,
        handlers: new Map([...earlier.handlers, ...later.handlers]),
        handler: later.handler ?? earlier.handler,
      }),
    )
  joined.set(key, one)
  return one
}

/** Milliseconds after which a server that had no feed is asked for it again. */
const UPGRADE = 10 * 60 * 1000

/** When a server was found to have no feed, by the url of that. */
const feedless = new WeakMap<ChangeLog, Map<string, number>>()

async function run(log: ChangeLog, feed: Feed, signal: AbortSignal, options: CallOptions): Promise<SyncReport> {
  const known = feedless.get(log) ?? new Map<string, number>()
  feedless.set(log, known)
  if (Date.now() - (known.get(feed.url) ?? Number.NEGATIVE_INFINITY) > UPGRADE) {
    known.delete(feed.url)
    try {
      return await runSession(log, feed, undefined, signal, options)
    } catch (error) {
      if (error instanceof OpenAtRouteError) return runRoutes(log, feed, signal, options)
      // one that answers with a web page, whatever it is asked, may know our routes
      const isOther = error instanceof InvalidAnswerError && (await wasNeverHeard(log, feed))
      if (!isOther && !(error instanceof NoFeedError)) throw error
    }
  }
  const report = await runRoutes(log, feed, signal, options)
  if (!known.has(feed.url)) known.set(feed.url, Date.now())
  return report
}

/** The paths of the entities that a server was found to lack, by the url of its feed. */
const lacking = new WeakMap<ChangeLog, Map<string, readonly string[]>>()

async function wasNeverHeard(log: ChangeLog, { members }: Feed): Promise<boolean> {
  const status = await look(log, members)
  return status?.servers.every(server => server.serverHistory === null) ?? true
}

/** A server without a feed is synced collection by collection, parents first; what waited for rows of another one may find them afterwards. */
async function runRoutes(log: ChangeLog, feed: Feed, signal: AbortSignal, options: CallOptions): Promise<SyncReport> {
  const failures = new Failures()
  const runAll = async () => {
    const reports: SyncReport[] = []
    for (const member of feed.members) {
      if (failures.isAway(member.url)) continue
      try {
        reports.push(await runSession(log, feed, member, signal, options))
      } catch (error) {
        failures.note(error, member.url)
      }
    }
    return addReports(reports)
  }
  const report = await runAll()
  const isMore = feed.members.length > 1 && (report.pulled || report.pushed) && (report.unapplied || report.rejected)
  const all = isMore && failures.isEmpty ? addLater(report, await runAll()) : report
  failures.throwFirst()
  return all
}

/** Syncs with the feed, or with the route of one of its members alone. */
async function runSession(
  log: ChangeLog,
  feed: Feed,
  route: Place | undefined,
  signal: AbortSignal,
  { handlers, handler, options }: CallOptions,
): Promise<SyncReport> {
  const { pageSize = 4_000, batchSize = 4_000, maxRounds = 8, handlerTimeout, onConflict, onProgress = () => {} } = options
  const places = route ? [route] : feed.members
  const status = await look(log, places)
  if (!status) await ensureTriggers(log)
  const ids = status?.servers.map(server => server.id) ?? (await serverIdsOf(log, { ...feed, members: places }))
  const transport = createTransport(options)
  const whole = feedWire(
    transport,
    feed.url,
    feed.members.map(m => m.path),
  )
  const wire = route ? routeWire(transport, route.url, route.path) : whole
  const members = places.map(
    ({ collection, path }, i): Member => ({
      ...{ collection, path, serverId: ids[i] as number },
      handler: handlers.get(collection) ?? handler ?? entityOf(log.dataSource, collection)?.options.onConflict ?? onConflict,
    }),
  )
  const known = lacking.get(log) ?? new Map<string, readonly string[]>()
  lacking.set(log, known)
  const isLacked = ({ path }: Member) => !route && known.get(feed.url)?.includes(path) === true
  const served = members.filter(m => !isLacked(m))
  const session: Session = {
    ...{ log, wire, feed: whole, pageSize, batchSize, maxRounds, handlerTimeout, signal },
    // where it lacked all of them, they are asked for anew
    ...(served.length ? { members: served, lacking: members.filter(isLacked) } : { members, lacking: [] }),
    report: new ReportBuilder({ entities: members.map(m => m.collection.entity), url: wire.url }, onProgress),
  }
  try {
    return await sync(session, session.lacking.length ? undefined : status)
  } finally {
    const paths = session.lacking.map(m => m.path)
    if (!route) known.set(feed.url, paths)
  }
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
