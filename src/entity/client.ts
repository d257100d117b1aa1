// Where the entities of a data source sync, and the syncs that run.

import type { DataSource, ObjectLiteral, Repository } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { findRemote, openRemote } from '../changes/remotes.js'
import { ensureTriggers, isCapturing } from '../changes/setUp.js'
import {
  ConflictHandlerError,
  NetworkError,
  RequestTimeoutError,
  SyncConfigurationError,
  SyncContentionError,
  TransportError,
} from '../errors.js'
import { openExchange } from '../sync/exchange.js'
import type { ConflictHandler } from '../sync/handlers.js'
import { addLater, ReportBuilder, type SyncProgress, type SyncReport } from '../sync/report.js'
import { Joined } from '../sync/running.js'
import type { Session } from '../sync/session.js'
import { type Standing, standingOf } from '../sync/standing.js'
import { sync } from '../sync/sync.js'
import { createTransport, type TransportOptions } from '../sync/transport.js'
import { changeLogOf, syncedEntities } from './registry.js'

/** How a client syncs. Given to `withSync` for all syncs of a data source, or to a single call. */
export interface SyncOptions extends TransportOptions {
  /** Updates in one answer of the server; 4,000 by default. The server has a maximum of its own. */
  readonly pageSize?: number
  /** Rows in one request to the server; 4,000 by default. It has no more than a megabyte, and begins with 1,000. */
  readonly batchSize?: number
  /** How often it is tried again when others keep changing the same rows meanwhile; 8 by default. Then SyncContentionError. */
  readonly rounds?: number
  /** Milliseconds that a conflict handler may take; as long as it likes by default. */
  readonly handlerTimeout?: number
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

/** The absolute urls of a collection's servers. Throws SyncConfigurationError where a path has nothing to complete it. */
export function urlsOf(dataSource: DataSource, collection: Collection): string[] {
  const server = clients.get(dataSource)?.server ?? (globalThis as { location?: { origin?: string } }).location?.origin
  const entity = syncedEntities(dataSource).find(e => e.metadata === collection.metadata)
  return (entity?.urls ?? []).map(url => {
    if (!url.startsWith('/')) return url
    if (server === undefined || !/^https?:/.test(server)) {
      throw new SyncConfigurationError(
        `${collection.entity} syncs at ${url}, and the data source has no server. Give it one: withSync(dataSource, { server: 'https://…' }).`,
        { entity: collection.entity },
      )
    }
    return server.replace(/\/+$/, '') + url
  })
}

/** From now on the database remembers for these servers what they know; a client does so from the start. */
export async function openRemotes(log: ChangeLog): Promise<void> {
  if (clients.get(log.dataSource)?.server === undefined) return
  for (const collection of log.collections) for (const url of urlsOf(log.dataSource, collection)) await remoteIdOf(log, collection, url)
}

async function remoteIdOf(log: ChangeLog, collection: Collection, url: string): Promise<number> {
  const known = await log.database.step(() => findRemote(collection, url), { readOnly: true })
  if (known !== undefined) return known
  return log.database.step(function* () {
    return (yield* openRemote(log.database, collection, new URL(url).origin, url)).id
  })
}

/** How things stand; undefined where the triggers or the remote have to be made first. */
function look(log: ChangeLog, collection: Collection, url: string): Promise<Standing | undefined> {
  return log.database.step(
    function* () {
      if (!(yield* isCapturing(log))) return
      const id = yield* findRemote(collection, url)
      const exchange = id === undefined ? undefined : yield* openExchange(log, collection, id)
      return exchange && (yield* standingOf(exchange))
    },
    { readOnly: true },
  )
}

interface Wishes {
  readonly handler: ConflictHandler | undefined
  readonly options: SyncOptions
}

const running = new WeakMap<ChangeLog, Map<string, Joined<SyncReport, Wishes>>>()

/**
 * What went wrong on the way. A server that is away, or forbids one collection, keeps nobody from the others; who called is told in the end.
 */
export class Failures {
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

/** Syncs a collection with each of its servers, one after the other. */
export async function syncCollection(
  log: ChangeLog,
  collection: Collection,
  handler: ConflictHandler | undefined,
  { signal, url: only, ...call }: SyncCallOptions,
  failures: Failures,
): Promise<SyncReport[]> {
  const options: SyncOptions = { ...clients.get(log.dataSource), ...call }
  const urls = urlsOf(log.dataSource, collection).filter(url => only === undefined || url === only)
  if (!urls.length) throw new SyncConfigurationError(`${collection.entity} has no server ${only ?? ''}.`, { entity: collection.entity })
  const reports = new Map<string, SyncReport>()
  // What a later server told is news for those before it; two versions that chase each other around the servers come to rest this way.
  for (let more = 3, isNews = true; more && isNews && failures.isEmpty; more--) {
    isNews = false
    for (const url of urls) {
      if (failures.isAway(url)) continue
      try {
        const report = await joinedOf(log, collection, url).call({ handler, options }, signal)
        const before = reports.get(url)
        reports.set(url, before ? addLater(before, report) : report)
        if (url !== urls[0] && (report.pulled || report.merged)) isNews = true
      } catch (error) {
        failures.note(error, url)
      }
    }
  }
  return [...reports.values()]
}

function joinedOf(log: ChangeLog, collection: Collection, url: string): Joined<SyncReport, Wishes> {
  const joined = running.get(log) ?? new Map<string, Joined<SyncReport, Wishes>>()
  running.set(log, joined)
  const key = `${collection.name} ${url}`
  const one =
    joined.get(key) ??
    new Joined(
      (ended: AbortSignal, wishes: Wishes) => run(log, collection, url, ended, wishes),
      // a caller without a handler does not take away another's
      (earlier, later) => ({ ...later, handler: later.handler ?? earlier.handler }),
    )
  joined.set(key, one)
  return one
}

async function run(
  log: ChangeLog,
  collection: Collection,
  url: string,
  signal: AbortSignal,
  { handler, options }: Wishes,
): Promise<SyncReport> {
  const { pageSize = 4_000, batchSize = 4_000, rounds = 8, handlerTimeout, onProgress = () => {} } = options
  const standing = await look(log, collection, url)
  if (!standing) await ensureTriggers(log)
  const session: Session = {
    ...{ log, collection, url, handler, pageSize, batchSize, rounds, handlerTimeout, signal },
    remoteId: standing?.remote.id ?? (await remoteIdOf(log, collection, url)),
    transport: createTransport(options),
    report: new ReportBuilder({ entity: collection.entity, url }, onProgress),
  }
  return sync(session, standing)
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
