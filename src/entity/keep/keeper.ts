// Keeps a data source in sync: says when to sync, and what came of it.

import type { DataSource } from 'typeorm'
import { DatabaseTakenOverError, OtherUserError, SyncConfigurationError, SyncSchemaError } from '../../errors.js'
import type { JournalCounts } from '../../sync/conflicts/counts.js'
import { AuthenticationError, ClientTooOldError, NetworkError, RequestTimeoutError, TransportError } from '../../sync/http/errors.js'
import { isRetried } from '../../sync/http/retry.js'
import type { SyncReport } from '../../sync/report.js'
import { onLetGo } from '../letGo.js'
import { clients, type SyncCallOptions } from '../options.js'
import { changeLogOf } from '../registry.js'
import { syncAll } from '../syncAll.js'
import { whenLeft } from '../syncFeeds.js'
import type { KeepSyncedOptions } from './keepSynced.js'
import { Live, type LiveHooks } from './live.js'
import { LocalCommits } from './localCommits.js'
import { Schedule } from './schedule.js'
import { type KeptState, type KeptStatus, StatusStore } from './status.js'
import { TokenWatch } from './tokenWatch.js'
import { listenToBrowser } from './wakeUps.js'

/** Errors that the next sync, with the same program and the same user, would have again. */
const LASTING = [ClientTooOldError, DatabaseTakenOverError, OtherUserError, SyncConfigurationError, SyncSchemaError]

/** Milliseconds in which a sync finds out why a connection broke. */
const BROKEN = 1_000
/** So many intervals are one where the server says by itself when there is news. */
const LIVE_SHARE = 5

export class Keeper {
  readonly #status = new StatusStore()
  readonly #end = new AbortController()
  readonly #schedule: Schedule
  readonly #commits: LocalCommits
  readonly #token: TokenWatch
  readonly #endEars: () => void
  readonly #forget: () => void
  readonly #interval: number
  readonly #call: SyncCallOptions
  readonly #live: Live | undefined
  #hearing: Promise<unknown> = Promise.resolve()
  #isCounted = false
  #running: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  constructor(
    private readonly dataSource: DataSource,
    options: KeepSyncedOptions,
  ) {
    const { interval = 60_000, debounce = 200, random = Math.random } = options
    this.#interval = interval
    this.#schedule = new Schedule(() => this.#begin(), random)
    this.#commits = new LocalCommits(dataSource, debounce, counts => this.#committed(counts))
    this.#token = new TokenWatch({ ...clients.get(dataSource), ...options }.headers, interval, () => this.wake())
    this.#call = { ...options, ...this.#token.headers, signal: this.#end.signal }
    const hooks: LiveHooks = {
      news: isNews => {
        this.#hearing = Promise.all([this.#hearing, this.#hear(isNews)])
      },
      changed: () => this.#liveChanged(),
      // many devices lose a server at once
      broke: () => this.#planUnlessSignedOut(random() * BROKEN),
    }
    const { live = true } = options
    this.#live = live ? new Live(dataSource, { ...clients.get(dataSource), ...this.#call }, hooks, random) : undefined
    this.#endEars = listenToBrowser(
      () => this.#isBack(),
      () => this.#isGone(),
    )
    this.#forget = onLetGo(dataSource, () => this.stop())
    options.signal?.addEventListener('abort', () => void this.stop(), { once: true })
    if (options.signal?.aborted) void this.stop()
    else this.#schedule.plan(0)
  }

  get status(): KeptStatus {
    return this.#status.current
  }

  subscribe(listener: (status: KeptStatus) => void): () => void {
    return this.#status.subscribe(listener)
  }

  wake(): void {
    if (this.#stopped) return
    this.#token.stop()
    this.#schedule.hope(true)
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#end.abort()
    this.#forget()
    this.#endEars()
    this.#schedule.clear()
    this.#token.stop()
    await Promise.all([this.#commits.pause(), this.#live?.stop()])
    await Promise.all([this.#running, this.#hearing])
    try {
      await whenLeft(changeLogOf(this.dataSource))
    } catch {
      // the data source is closed, and nothing runs
    }
  }

  /** The server says that there is news: after a sync that runs it may be none. */
  async #hear(isNews: () => Promise<boolean>): Promise<void> {
    await this.#running
    if (this.#stopped || !(await isNews().catch(() => true))) return
    this.#planUnlessSignedOut(0)
  }

  /** A token that was rejected is not sent once more. */
  #planUnlessSignedOut(milliseconds: number): void {
    if (this.status.state !== 'signed-out' && !this.#stopped) this.#schedule.plan(milliseconds)
  }

  #liveChanged(): void {
    const isLive = this.#live?.isLive === true
    this.#status.change({ isLive })
    if (isLive && this.status.state === 'offline') this.#schedule.hope()
  }

  #isBack(): void {
    this.#live?.restart()
    if (this.status.state === 'signed-out') return void this.#token.look()
    this.#schedule.hope()
  }

  #isGone(): void {
    this.#live?.restart()
    if (['idle', 'syncing'].includes(this.status.state)) this.#status.change({ state: 'offline' })
  }

  #committed(counts: JournalCounts): void {
    this.#status.change(counts)
    if (counts.pending) this.#planUnlessSignedOut(0)
  }

  #begin(): void {
    if (this.#running || this.#stopped) return
    this.#schedule.clear()
    this.#running = this.#sync().finally(() => {
      this.#running = undefined
    })
  }

  async #sync(): Promise<void> {
    await this.#commits.pause()
    this.#status.change({ state: 'syncing' })
    try {
      // what is pending is shown from the start, however long the first answer takes
      if (!this.#isCounted) this.#status.change(await this.#commits.count())
      this.#isCounted = true
      const before = this.status.pending
      const report = await syncAll(this.dataSource, undefined, this.#call)
      const counts = await this.#commits.count()
      this.#succeeded(report, before, counts)
    } catch (error) {
      if (!this.#stopped) await this.#failed(error)
    }
    if (this.#stopped) return this.#status.change({ state: 'idle' })
    this.#commits.resume()
  }

  #succeeded({ pushed, pulled }: SyncReport, before: number, counts: JournalCounts): void {
    this.#schedule.succeeded()
    this.#status.change({ ...counts, state: 'idle', lastSuccess: new Date(), lastError: undefined })
    // what was committed meanwhile; but what stays as it was waits for something else
    if (counts.pending && (pushed || pulled || counts.pending !== before)) this.#schedule.plan(0)
    this.#live?.start()
    // who hears of news asks now and then, to be sure
    this.#schedule.planAround(this.#interval * (this.status.isLive ? LIVE_SHARE : 1))
  }

  async #failed(error: unknown): Promise<void> {
    const counts = await this.#commits.count().catch(() => ({}))
    if (this.#stopped) return
    this.#status.change({ ...counts, state: stateAfter(error), lastError: error })
    const isLasting = LASTING.some(type => error instanceof type)
    if (isLasting || error instanceof AuthenticationError) void this.#live?.stop()
    if (error instanceof AuthenticationError) this.#token.start(error.url)
    else this.#schedule.failed(error instanceof TransportError ? error : {}, isLasting)
  }
}

function stateAfter(error: unknown): KeptState {
  if (error instanceof AuthenticationError) return 'signed-out'
  const isAway = error instanceof NetworkError || error instanceof RequestTimeoutError
  return isAway || (error instanceof TransportError && isRetried(error.status ?? 0)) ? 'offline' : 'failed'
}
