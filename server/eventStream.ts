// A stream of events that says when there is news, and no more: it is read by a plain GET (PROTOCOL.md, Live).

import { PassThrough } from 'node:stream'
import type { ChangeLog } from '../src/changes/changeLog.js'
import { DatabaseBusyError, DatabaseFailedError } from '../src/errors.js'
import { BadRequestError } from '../src/protocol/errors.js'
import { readFeedQuery } from '../src/protocol/queries.js'
import { servedTo } from './access.js'
import type { Caller } from './caller.js'
import type { Exchange } from './exchange.js'
import { type FeedPaths, pathsOf } from './feedPaths.js'
import type { LiveLimits, PullLimits } from './limits.js'
import { type Heard, type News, readNews } from './live.js'
import { nameSet } from './tokens.js'
import { type EndReason, type Listener, type Watcher, watcherOf } from './watcher.js'

/** Milliseconds after which a client is asked to come again, so that it is asked once more who it is. */
const LONGEST = 15 * 60_000

type Limits = LiveLimits & Pick<PullLimits, 'requestTimeout'>

export async function answerEventStream(exchange: Exchange, log: ChangeLog, limits: Limits, caller: Caller): Promise<void> {
  const { collections, since, collection, scope } = readFeedQuery(exchange.query)
  const paths = pathsOf(servedTo(log, caller), collections)
  const heard = { since: stampOf(exchange.get('Last-Event-ID')) ?? since, collection, scope }
  const stream = new EventStream(exchange, log, limits, caller, paths, heard)
  await stream.begin()
}

/** Throws BadRequestError. */
function stampOf(text: string): number | undefined {
  if (text === '') return
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  throw new BadRequestError('Last-Event-ID is no stamp.')
}

/** Bytes that wait for a client that does not read: then it is told nothing more until it has. */
const BUFFER = 4_096
/** Milliseconds after which a look that the database did not answer is repeated. */
const AGAIN = 1_000
/** Milliseconds that the end of a stream may take to arrive. */
const LINGER = 5_000

class EventStream implements Listener {
  readonly principal: string | undefined
  readonly isServed: () => boolean
  readonly #out = new PassThrough({ highWaterMark: BUFFER })
  readonly #watcher: Watcher
  readonly #timers = new Set<NodeJS.Timeout>()
  #state: 'new' | 'open' | 'closed' = 'new'
  #leave = () => {}
  #isAsked = false
  #isLooking = false

  constructor(
    private readonly exchange: Exchange,
    private readonly log: ChangeLog,
    private readonly limits: Limits,
    private readonly caller: Caller,
    private readonly paths: FeedPaths,
    private heard: Heard,
  ) {
    this.principal = caller.principal
    this.isServed = exchange.request.isServed ?? (() => true)
    this.#watcher = watcherOf(log, limits)
  }

  /** Rejects with what the request is to be answered with. */
  async begin(): Promise<void> {
    // before it reads: what is written meanwhile is told as well
    this.#leave = this.#watcher.listen(this)
    let news: News
    try {
      news = await this.#read()
    } catch (error) {
      this.#close()
      throw error
    }
    this.#open()
    const { collection, scope } = news.heard
    const { principal, limits } = this
    this.#send('hello', { now: news.heard.since, collection, principal, scope, heartbeat: limits.heartbeat })
    this.#tell(news)
    if (this.#isAsked) void this.look()
  }

  #open(): void {
    const { exchange, limits } = this
    const out = this.#out
    this.#state = 'open'
    out.on('drain', () => this.#isAsked && void this.look()).once('close', () => this.#close())
    const { signal } = exchange.request
    if (signal.aborted) out.destroy()
    signal.addEventListener('abort', () => out.destroy())
    exchange.set({
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'private, no-cache, no-transform',
      'X-Accel-Buffering': 'no',
      Connection: 'close',
    })
    exchange.stream(out)
    exchange.idleTimeout = limits.heartbeat + limits.requestTimeout
    exchange.endTimeout = LINGER
    const expires = (this.caller.caller?.expires ?? Number.POSITIVE_INFINITY) - Date.now()
    const longest = LONGEST * (0.75 + Math.random() / 4)
    this.#later(Math.min(expires, longest), () => this.end(expires < longest ? 'expired' : 'renew'))
    this.#later(limits.heartbeat, () => this.#beat())
  }

  async look(): Promise<void> {
    this.#isAsked = true
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      while (this.#isAsked && this.#state === 'open' && !this.#out.writableNeedDrain) {
        this.#isAsked = false
        this.#tell(await this.#read())
      }
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#isLooking = false
    }
  }

  end(reason: EndReason): void {
    if (this.#state !== 'open') return
    this.#send('bye', { reason })
    this.#out.end()
    this.#close()
    const timer = setTimeout(() => this.#out.destroy(), LINGER).unref()
    this.#out.once('close', () => clearTimeout(timer))
  }

  #read(): Promise<News> {
    const { log, caller, heard } = this
    const { collections } = this.paths
    const read = () => log.database.transaction(() => readNews(log, caller, collections, heard), { mode: 'read' })
    return caller.rules ? read() : this.#watcher.share(`${nameSet(collections, undefined)} ${JSON.stringify(heard)}`, read)
  }

  #tell({ heard, isAny, changes }: News): void {
    this.heard = heard
    if (!isAny || this.#state !== 'open') return
    const { since, scope } = heard
    const byPath = Object.fromEntries([...changes].map(([collection, stamp]) => [this.paths.pathOf(collection), stamp]))
    this.#send('changes', { now: since, scope, changes: byPath }, since)
  }

  #send(event: string, data: object, id?: number): void {
    this.#out.write(`event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`)
  }

  #beat(): void {
    if (!this.#out.writableNeedDrain) this.#out.write(':\n\n')
    // tables that are not synced may give keys, and move no clock
    if (this.caller.rules) void this.look()
    this.#later(this.limits.heartbeat, () => this.#beat())
  }

  #failed(error: unknown): void {
    this.#isAsked = true
    if (error instanceof DatabaseBusyError || error instanceof DatabaseFailedError) {
      this.#later(AGAIN, () => void this.look())
    } else {
      this.exchange.report(error)
      this.end('failed')
    }
  }

  #later(milliseconds: number, run: () => void): void {
    if (this.#state === 'closed') return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      run()
    }, milliseconds).unref()
    this.#timers.add(timer)
  }

  #close(): void {
    this.#state = 'closed'
    this.#leave()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
