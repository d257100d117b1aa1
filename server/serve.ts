// The synced entities of a data source, each at the path of its url, and the feed of all.

import type { DataSource } from 'typeorm'
import { type ChangeLog, collectionNamed } from '../src/changes/changeLog.js'
import { ensureTriggersNowAndThen } from '../src/changes/setUp/setUp.js'
import { changeLogOf, type EnabledEntity, isRegistered, servedUrls, setUpAgain, syncedEntities } from '../src/entity/registry.js'
import { SyncConfigurationError } from '../src/errors.js'
import { preferred } from './accepts.js'
import { servedTo } from './access.js'
import { answerPull } from './answerPull.js'
import { answerPush } from './answerPush.js'
import { askedVersion } from './askedVersion.js'
import { assignedNumbersOf } from './assignedNumbers.js'
import { callerOf } from './caller.js'
import { ClientVersion } from './clientVersion.js'
import { answerEventStream } from './eventStream.js'
import { Exchange, type OnError } from './exchange.js'
import { answerFeedPull } from './feedPull.js'
import { answerFeedPush } from './feedPush.js'
import { checkEntities, checkOptions, type Limits, limitsOf, type ServerOptions } from './options.js'
import { Problem, unavailable, writeProblem } from './problem.js'
import type { SyncRequest, SyncResponse } from './request.js'
import { updateWriter } from './updates.js'
import { checkVersions } from './versions.js'
import { poke } from './watcher.js'

/** What a server has to do with a request. */
export interface Found {
  /**
   * `ours`: it is answered here. `options`: OPTIONS of what is ours, where nobody else answers. `likely` and `unlikely`: whether it is ours cannot be said
   * before the data source is initialised; to say 404 would be wrong. `other`: its path is none of ours.
   */
  readonly kind: 'ours' | 'options' | 'likely' | 'unlikely' | 'other'
  /** Never rejects. */
  respond(): Promise<SyncResponse>
}

export type Find = (request: SyncRequest) => Found

/** Serves a data source, which may be initialised later. `name` is the function that was given the options. Throws SyncConfigurationError. */
export function serve(name: string, dataSource: DataSource, options: ServerOptions, onError: OnError): Find {
  checkOptions(name, options)
  checkEntities(dataSource, options.rules)
  checkVersions(name, options.schema)
  const limits = limitsOf(name, options)
  const prefix = (options.prefix ?? '').replace(/\/$/, '')
  return request => {
    const path = request.path.startsWith(`${prefix}/`) ? request.path.slice(prefix.length) : undefined
    const { door, failure } = path === undefined ? {} : find(dataSource, path)
    const exchange = new Exchange(request, onError)
    if (door && request.method === 'OPTIONS')
      return { kind: 'options', respond: async () => ({ status: 204, headers: { Allow: METHODS } }) }
    if (door) return { kind: 'ours', respond: () => answering(exchange, () => answer(exchange, dataSource, door, limits, options)) }
    const reason = failure ?? new Problem(404, 'There is no such collection.')
    const respond = () => answering(exchange, () => Promise.reject(reason))
    if (!failure || path === undefined) return { kind: 'other', respond }
    return { kind: path === FEED || isRegistered(url => pathOf(url) === path) ? 'likely' : 'unlikely', respond }
  }
}

/** The path of the feed of all entities, below the prefix. */
const FEED = '/sync'

const METHODS = 'GET, HEAD, POST'
const VARY = ['Accept', 'Accept-Encoding', 'Authorization']
const EXPOSED = 'ETag, Retry-After, Idempotency-Replayed, Preference-Applied'

const JSON_ALONE = ['application/json'] as const
const STREAM = 'text/event-stream'

/** What a path leads to: an entity, or the feed of all. */
type Door = EnabledEntity | 'feed'

function find(dataSource: DataSource, path: string): { door?: Door | undefined; failure?: unknown } {
  if (!dataSource.isInitialized) return { failure: notReady() }
  try {
    const entities = syncedEntities(dataSource)
    const at = (place: string) => entities.find(entity => servedUrls(entity).some(url => pathOf(url) === place))
    const thief = at(FEED)
    if (thief) throw new SyncConfigurationError(`${thief.metadata.name} has the path of the feed, ${FEED}; give it another one.`)
    return { door: path === FEED ? 'feed' : at(path) }
  } catch (failure) {
    return { failure }
  }
}

const paths = new Map<string, string>()

/** As requests have it: decoded. Each request looks at the urls of all entities. */
function pathOf(url: string): string {
  const path = paths.get(url) ?? decodeURIComponent(new URL(url, 'http://server').pathname)
  paths.set(url, path)
  return path
}

const notReady = () => unavailable('The server is starting, or stopping.', 5)

// Errors end here: what a framework makes of an error loses the headers that others have set, those of CORS among them.
async function answering(exchange: Exchange, work: () => Promise<void>): Promise<SyncResponse> {
  exchange.set({ 'Cache-Control': 'private, no-cache' })
  exchange.vary(...VARY)
  if (exchange.get('Origin')) exchange.set({ 'Access-Control-Expose-Headers': EXPOSED })
  try {
    await work()
  } catch (error) {
    writeProblem(exchange, error)
  }
  return exchange
}

async function answer(exchange: Exchange, dataSource: DataSource, door: Door, limits: Limits, options: ServerOptions): Promise<void> {
  const { method, request } = exchange
  if (!METHODS.split(', ').includes(method)) throw new Problem(405, `Here is ${METHODS}.`, { headers: { Allow: METHODS } })
  const types = door === 'feed' && method === 'GET' ? ([...JSON_ALONE, STREAM] as const) : JSON_ALONE
  const type = preferred(exchange.get('Accept'), types)
  if (!type) throw new Problem(406, 'There is application/json here, and nothing else.')
  if (options.principal) exchange.vary('Cookie')
  const version = askedVersion(exchange.query, options.schema)
  const asked = await callerOf(request, options.principal, options.rules)
  const log = await openLog(exchange, dataSource)
  assignedNumbersOf(log) // throws where they are declared wrongly
  const caller = { ...asked, ...(version && options.schema && { client: new ClientVersion(version, options.schema, log) }) }
  const isPost = method === 'POST'
  if (type === STREAM) {
    await answerEventStream(exchange, log, limits, caller)
  } else if (door === 'feed') {
    await (isPost ? answerFeedPush : answerFeedPull)(exchange, log, limits, caller)
  } else {
    const collection = collectionNamed(log, door.metadata.tableName)
    if (!servedTo(log, caller).includes(collection)) throw new Problem(404, 'There is no such collection.')
    const write = updateWriter(collection, door.options.dates)
    await (isPost ? answerPush : answerPull)(exchange, log, collection, write, limits, caller)
  }
  if (isPost) poke(log)
  ensureTriggersNowAndThen(log).catch(error => exchange.report(error))
}

// TypeORM calls a data source initialised a moment before its change log is
async function openLog(exchange: Exchange, dataSource: DataSource): Promise<ChangeLog> {
  try {
    await setUpAgain(dataSource)
    return changeLogOf(dataSource)
  } catch (error) {
    exchange.report(error)
    throw notReady()
  }
}
