// The middleware of a server: the synced entities of a data source, each at the path of its url.

import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { DataSource } from 'typeorm'
import { servedTo } from '../server/access.js'
import { answerPull } from '../server/answerPull.js'
import { answerPush } from '../server/answerPush.js'
import { discardRest } from '../server/connection.js'
import { answerEventStream } from '../server/eventStream.js'
import { answerFeedPull } from '../server/feedPull.js'
import { answerFeedPush } from '../server/feedPush.js'
import { checkOptions, checkRules, type Declared, type Limits, limitsOf, type SyncRoutesOptions } from '../server/options.js'
import { callerOf, type Principal } from '../server/principal.js'
import { Problem, report, unavailable, writeProblem } from '../server/problem.js'
import { updateWriter } from '../server/updates.js'
import { poke } from '../server/watcher.js'
import { type ChangeLog, collectionNamed } from '../src/changes/changeLog.js'
import { ensureTriggersNowAndThen } from '../src/changes/setUp/setUp.js'
import { changeLogOf, type EnabledEntity, setUpAgain, syncedEntities } from '../src/entity/registry.js'
import { SyncConfigurationError } from '../src/errors.js'

/** A middleware of Koa; `routes()` gives the same, as a router of @koa/router does, and what another router mounts by `use`. */
export interface SyncRoutes extends Middleware {
  routes(): ReturnType<Router['routes']>
}

const METHODS = 'GET, HEAD, POST'
const VARY = ['Accept', 'Accept-Encoding', 'Authorization']
const EXPOSED = ['ETag', 'Retry-After', 'Idempotency-Replayed', 'Preference-Applied']

/**
 * A middleware that answers PROTOCOL.md for the synced entities of a data source, which may be initialised later: `app.use(syncRoutes(dataSource,
 * { principal, rules }))`. Authentication, CORS, compression and rate limits are the application's, before these routes; body parsers
 * belong behind them. Throws SyncConfigurationError where the options do not say who may see the rows.
 */
export function syncRoutes<P extends Principal = Principal>(
  dataSource: DataSource,
  options: SyncRoutesOptions<P> & Declared<P>,
): SyncRoutes {
  // the rules are asked about those alone whom `principal` finds
  return routesOf(dataSource, options as unknown as SyncRoutesOptions)
}

function routesOf(dataSource: DataSource, options: SyncRoutesOptions): SyncRoutes {
  checkOptions(options)
  checkRules(dataSource, options.rules)
  const limits = limitsOf(options)
  const router = new Router(options.prefix ? { prefix: options.prefix } : {})
  // One route for all, for a data source that is not initialised does not know its entities yet.
  router.all('{/*path}', async (ctx, next) => {
    const { door, failure } = find(dataSource, `/${ctx.params.path ?? ''}`)
    if (door && ctx.method !== 'OPTIONS') return answering(ctx, () => answer(ctx, dataSource, door, limits, options))
    await next()
    if (ctx.status !== 404 || (ctx.body !== undefined && ctx.body !== null) || ctx.respond === false) return
    // what no other middleware answers might be ours
    if (failure) return answering(ctx, () => Promise.reject(failure))
    if (door) {
      ctx.set('Allow', METHODS)
      ctx.status = 204
    } else if (options.prefix) await answering(ctx, () => Promise.reject(new Problem(404, 'There is no such collection.')))
  })
  const routes = router.routes()
  return Object.assign(routes as unknown as Middleware, { routes: () => routes })
}

/** The path of the feed of all entities, below the prefix. */
const FEED = '/sync'

const STREAM = 'text/event-stream'

/** What a path leads to: an entity, or the feed of all. */
type Door = EnabledEntity | 'feed'

function find(dataSource: DataSource, path: string): { door?: Door | undefined; failure?: unknown } {
  if (!dataSource.isInitialized) return { failure: notReady() }
  try {
    const entities = syncedEntities(dataSource)
    const at = (place: string) => entities.find(({ urls }) => urls.some(url => pathOf(url) === place))
    const thief = at(FEED)
    if (thief) throw new SyncConfigurationError(`${thief.metadata.name} has the path of the feed, ${FEED}; give it another one.`)
    return { door: path === FEED ? 'feed' : at(path) }
  } catch (failure) {
    return { failure }
  }
}

const paths = new Map<string, string>()

/** As the router gives it: decoded. Each request looks at the urls of all entities. */
function pathOf(url: string): string {
  const path = paths.get(url) ?? decodeURIComponent(new URL(url, 'http://server').pathname)
  paths.set(url, path)
  return path
}

const notReady = () => unavailable('The server is starting, or stopping.', 5)

// Errors end here: what is thrown through Koa loses the headers that others have set, those of CORS among them.
async function answering(ctx: Context, work: () => Promise<void>): Promise<void> {
  ctx.set('Cache-Control', 'private, no-cache')
  for (const header of VARY) ctx.vary(header)
  if (ctx.get('Origin')) expose(ctx)
  try {
    await work()
  } catch (error) {
    writeProblem(ctx, error)
  }
  discardRest(ctx.req)
}

function expose(ctx: Context): void {
  const exposed = String(ctx.response.get('Access-Control-Expose-Headers') ?? '')
  const names = exposed.split(',').flatMap(name => name.trim() || [])
  if (names.includes('*')) return
  const missing = EXPOSED.filter(name => !names.some(n => n.toLowerCase() === name.toLowerCase()))
  ctx.set('Access-Control-Expose-Headers', [...names, ...missing].join(', '))
}

async function answer(ctx: Context, dataSource: DataSource, door: Door, limits: Limits, options: SyncRoutesOptions): Promise<void> {
  if (!METHODS.split(', ').includes(ctx.method)) throw new Problem(405, `Here is ${METHODS}.`, { headers: { Allow: METHODS } })
  const isStream = door === 'feed' && ctx.method === 'GET' && ctx.accepts('application/json', STREAM) === STREAM
  if (!isStream && !ctx.accepts('application/json')) throw new Problem(406, 'There is application/json here, and nothing else.')
  if (options.principal) ctx.vary('Cookie')
  const caller = await callerOf(ctx, options.principal, options.rules)
  const log = await openLog(ctx, dataSource)
  const isPost = ctx.method === 'POST'
  if (isStream) {
    await answerEventStream(ctx, log, limits, caller)
  } else if (door === 'feed') {
    await (isPost ? answerFeedPush : answerFeedPull)(ctx, log, limits, caller)
  } else {
    const collection = collectionNamed(log, door.metadata.tableName)
    if (!servedTo(log, caller).includes(collection)) throw new Problem(404, 'There is no such collection.')
    const write = updateWriter(collection, door.options.dates)
    await (isPost ? answerPush : answerPull)(ctx, log, collection, write, limits, caller)
  }
  if (isPost) poke(log)
  ensureTriggersNowAndThen(log).catch(error => report(ctx, error))
}

// TypeORM calls a data source initialised a moment before its change log is
async function openLog(ctx: Context, dataSource: DataSource): Promise<ChangeLog> {
  try {
    await setUpAgain(dataSource)
    return changeLogOf(dataSource)
  } catch (error) {
    report(ctx, error)
    throw notReady()
  }
}
