// Hears of a server when there is news: by a stream of events or, where one is held up on the way, by requests that wait.

import type { DataSource } from 'typeorm'
import { readEvents } from '../../sync/http/eventStream.js'
import { emitRequest } from '../../sync/http/requests.js'
import { readRetryAfter } from '../../sync/http/retry.js'
import { feedAddress, type TransportOptions, type Versioned } from '../../sync/http/transport.js'
import type { Feed } from '../feeds.js'
import { changeLogOf } from '../registry.js'
import { isNews, type LiveQuestion, liveQuestion } from './liveQuestion.js'
import { pause, Timer } from './timer.js'

/** Milliseconds in which a stream has to say hello: a proxy may hold it up. */
const HELLO = 10_000
/** Seconds that a request waits, and milliseconds after which it is given up. */
const WAIT = 25
const LATE = 40_000
/** Milliseconds after which a server that could not do it is asked again. */
const UPGRADE = 10 * 60_000
const FIRST_WAIT = 1_000
const LONGEST_WAIT = 60_000

export interface LiveHooks {
  /** There may be news: a sync is due where this still holds after one that runs. */
  news(isNews: () => Promise<boolean>): void
  /** The server is heard, or not any more. */
  changed(): void
  /** The connection broke, or the server wants to know who asks: a sync finds out. */
  broke(): void
}

/** How an attempt ended. `mute`: no hello in time; `none`: the server does not know this way; `ok`: come again at once; `news`: when they are read. */
type End = 'ok' | 'news' | 'broke' | 'mute' | 'none' | 'unauthorized' | { readonly after: number }

export class LiveFeed {
  isLive = false
  #controller: AbortController | undefined
  #running: Promise<void> = Promise.resolve()
  #failures = 0
  #renew = false
  /** Until when requests wait instead, in milliseconds since 1/1/1970; for good where streams are held up. */
  #holdUntil = 0
  #isMute = false
  /** The cursor above which there was news, and how often. */
  #newsSince = -1
  #repeats = 0

  constructor(
    private readonly dataSource: DataSource,
    private readonly feed: Feed,
    private readonly options: TransportOptions & Versioned,
    private readonly hooks: LiveHooks,
    private readonly random: () => number,
  ) {}

  start(): void {
    if (this.#controller) return
    const controller = new AbortController()
    this.#controller = controller
    const before = this.#running
    this.#running = before.then(() => this.#run(controller.signal))
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#controller?.abort()
    this.#controller = undefined
    await this.#running
  }

  /** The connection that there is may be a dead one. */
  restart(): void {
    if (!this.#controller) return
    this.#failures = 0
    void this.stop()
    this.start()
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isHolding = this.#isMute || Date.now() < this.#holdUntil
      const end = await this.#attempt(isHolding, signal).catch((): End => 'broke')
      if (signal.aborted) break
      if (!isHolding || (end !== 'ok' && end !== 'news')) this.#setLive(false)
      await pause(this.#ended(end, isHolding), signal)
    }
    this.#setLive(false)
  }

  async #attempt(isHolding: boolean, signal: AbortSignal): Promise<End> {
    const question = await this.#question()
    if (!question) return { after: FIRST_WAIT } // the next sync reads on
    return isHolding ? this.#hold(question, signal) : this.#listen(question, signal)
  }

  #question(): Promise<LiveQuestion | undefined> {
    return liveQuestion(changeLogOf(this.dataSource), this.feed)
  }

  /** Gives the milliseconds until the next attempt. */
  #ended(end: End, isHolding: boolean): number {
    this.#renew = end === 'unauthorized' && !this.#renew
    if (end === 'ok') return 0
    if (end === 'news') return (FIRST_WAIT / 4) * 2 ** Math.min(8, this.#repeats)
    if (typeof end === 'object') return end.after * (1 + this.random() / 2)
    if (this.#renew) return 0
    if (end === 'none' && isHolding) {
      this.#holdUntil = 0
      this.#isMute = false
      return UPGRADE * (0.75 + this.random() / 2)
    }
    // what a stream cannot do, a request that waits may
    if (end === 'mute' || end === 'none') {
      if (end === 'none') this.#holdUntil = Date.now() + UPGRADE
      this.#isMute = end === 'mute'
      return 0
    }
    // where neither arrives it was the connection
    if (isHolding) this.#isMute = false
    this.hooks.broke()
    return this.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++)
  }

  async #listen(question: LiveQuestion, signal: AbortSignal): Promise<End> {
    const late = new AbortController()
    const watchdog = new Timer(() => late.abort())
    let isHeard = false
    let maxSilence = HELLO
    watchdog.set(maxSilence)
    try {
      const response = await this.#send('GET', question, { accept: 'text/event-stream' }, AbortSignal.any([signal, late.signal]))
      const end = endOf(response)
      if (end || !response.body || !/^text\/event-stream/.test(response.headers.get('content-type') ?? '')) {
        response.body?.cancel().catch(() => {})
        return end ?? 'none'
      }
      for await (const { name, data } of readEvents(response.body)) {
        if (name === 'hello') {
          isHeard = true
          maxSilence = 2.5 * (Number(data.heartbeat) || HELLO)
          this.#heard()
        }
        if (name === 'changes') this.hooks.news(async () => isNews(await this.#question(), data))
        if (name === 'bye') return this.#endAfter(data.reason)
        if (isHeard) watchdog.set(maxSilence)
      }
      return 'broke'
    } catch {
      return late.signal.aborted && !isHeard && !signal.aborted ? 'mute' : 'broke'
    } finally {
      watchdog.clear()
      late.abort()
    }
  }

  #endAfter(reason: unknown): End {
    if (reason === 'expired') return 'unauthorized'
    if (reason === 'renew') return 'ok'
    return reason === 'stopping' ? { after: FIRST_WAIT } : 'broke'
  }

  async #hold(question: LiveQuestion, signal: AbortSignal): Promise<End> {
    const late = new AbortController()
    const watchdog = new Timer(() => late.abort())
    watchdog.set(LATE)
    try {
      // whether the server can is soon known
      const seconds = this.isLive ? WAIT : 1
      const headers = { prefer: `wait=${seconds}`, ...(question.etag !== null && { 'if-none-match': question.etag }) }
      const start = Date.now()
      // without rows: they come with the sync
      const response = await this.#send('HEAD', question, headers, AbortSignal.any([signal, late.signal]))
      const end = response.status === 304 ? undefined : endOf(response)
      if (end) return end
      // another origin may not see the header
      if (!response.headers.has('preference-applied') && Date.now() - start < seconds * 500) return 'none'
      this.#heard()
      if (response.status === 304) return 'ok'
      const { since } = question.query
      // where a sync does not get on, it is not hurried
      this.#repeats = since === this.#newsSince ? this.#repeats + 1 : 0
      this.#newsSince = since
      this.hooks.news(async () => (await this.#question())?.query.since === since)
      return 'news'
    } finally {
      watchdog.clear()
    }
  }

  async #send(method: string, { query }: LiveQuestion, own: Record<string, string>, signal: AbortSignal): Promise<Response> {
    const { headers: given, fetch: send = globalThis.fetch.bind(globalThis), schema } = this.options
    const url = feedAddress(this.feed.url, query, schema)
    const headers = new Headers(typeof given === 'function' ? await given({ renew: this.#renew, url }) : given)
    for (const [name, value] of Object.entries(own)) headers.set(name, value)
    return emitRequest(this.dataSource, { method, url }, () => send(url, { method, headers, signal, ...{ cache: 'no-store' } }))
  }

  #heard(): void {
    this.#failures = 0
    this.#setLive(true)
  }

  #setLive(isLive: boolean): void {
    if (this.isLive === isLive) return
    this.isLive = isLive
    this.hooks.changed()
  }
}

/** Undefined where it is a success. */
function endOf({ ok, status, headers }: Response): End | undefined {
  if (ok) return
  if (status === 401 || status === 403) return 'unauthorized'
  const retryAfter = readRetryAfter(headers)
  if (retryAfter !== undefined) return { after: Math.max(FIRST_WAIT, retryAfter) }
  return status >= 500 || status === 429 || status === 408 ? 'broke' : 'none'
}
