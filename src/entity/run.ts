// One sync with one server: with its feed, or with the routes of its entities.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collections/collection.js'
import { findServers } from '../changes/servers/servers.js'
import { ensureTriggers, isCapturing } from '../changes/setUp/setUp.js'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import { openExchanges } from '../sync/exchange.js'
import { InvalidAnswerError } from '../sync/http/errors.js'
import { createTransport, type Versioned } from '../sync/http/transport.js'
import { feedWire, NoFeedError, OpenAtRouteError, routeWire } from '../sync/http/wire.js'
import { addLater, addReports, ReportBuilder, type SyncReport } from '../sync/report.js'
import type { Member, Session } from '../sync/session.js'
import { type SyncStatus, statusOf } from '../sync/status.js'
import { sync } from '../sync/sync.js'
import { Failures } from './failures.js'
import { entityOf, type Feed, type Place, serverIdsOf } from './feeds.js'
import type { SyncOptions } from './options.js'

/** The sync status; undefined where the triggers or the servers' rows have to be made first. */
function look(log: ChangeLog, members: readonly Place[]): Promise<SyncStatus | undefined> {
  return log.database.transaction(
    function* () {
      if (!(yield* isCapturing(log))) return
      const ids = yield* findServers(members)
      const known = ids.filter(id => id !== undefined)
      return known.length < ids.length ? undefined : yield* statusOf(yield* openExchanges(log, known))
    },
    { mode: 'read' },
  )
}

export interface CallOptions {
  /** For the conflicts of single entities. */
  readonly handlers: ReadonlyMap<Collection, ConflictHandler>
  /** For those of all others. */
  readonly handler: ConflictHandler | undefined
  readonly options: SyncOptions & Versioned
}

/** Milliseconds after which a server that had no feed is asked for it again. */
const UPGRADE = 10 * 60 * 1000

/** When a server was found to have no feed, by the url of that. */
const feedless = new WeakMap<ChangeLog, Map<string, number>>()

export async function run(log: ChangeLog, feed: Feed, signal: AbortSignal, options: CallOptions): Promise<SyncReport> {
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

/** A server without a feed is synced collection by collection, parents first; what needed rows of another one may find them afterwards. */
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
  const isMore = feed.members.length > 1 && (report.pulled || report.pushed) && (report.unapplied || report.rejected || report.heldBack)
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
  const {
    pageSize = 4_000,
    batchSize = 4_000,
    maxRounds = 8,
    noAccess = 'keep',
    handlerTimeout,
    onConflict,
    onProgress = () => {},
  } = options
  const places = route ? [route] : feed.members
  const status = await look(log, places)
  if (!status) await ensureTriggers(log)
  const ids = status?.servers.map(server => server.id) ?? (await serverIdsOf(log, { ...feed, members: places }))
  const transport = createTransport(options, log.dataSource)
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
  const changed = new Set<Collection>()
  const session: Session = {
    log: { ...log, changed },
    ...{ wire, feed: whole, pageSize, batchSize, maxRounds, noAccess, handlerTimeout, signal },
    // where it lacked all of them, they are asked for anew
    ...(served.length ? { members: served, lacking: members.filter(isLacked) } : { members, lacking: [] }),
    report: new ReportBuilder({ entities: members.map(m => m.collection.entity), url: wire.url }, onProgress, changed),
  }
  try {
    return await sync(session, session.lacking.length ? undefined : status)
  } finally {
    const paths = session.lacking.map(m => m.path)
    if (!route) known.set(feed.url, paths)
  }
}
