// Watches the clock of a data source while somebody listens: whoever writes, this process, another one or the application by itself, moves it.

import { setImmediate as macrotask } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { LiveLimits } from './limits.js'
import { unavailable } from './problem.js'

/** Why a stream ends: its principal has expired, the server stops, or it is time to come again. */
export type EndReason = 'expired' | 'stopping' | 'renew' | 'failed'

/** A request that waits for news. */
export interface Listener {
  readonly principal: string | undefined
  /** Is the server that it came to still serving? */
  isServed(): boolean
  /** Something was written, or time has passed: is it news to this one? */
  look(): Promise<void>
  end(reason: EndReason): void
}

/** Listeners that look at the same time. */
const AT_ONCE = 4
/** Milliseconds after which a round of looks lets other work run. */
const TURN = 5

const watchers = new WeakMap<DataSource, Watcher>()

/** One for a data source, whatever has mounted it. */
export function watcherOf(log: ChangeLog, limits: LiveLimits): Watcher {
  const known = watchers.get(log.dataSource)
  // a data source that was closed and opened again has another change log
  const watcher = known?.log === log ? known : new Watcher(log, limits)
  watchers.set(log.dataSource, watcher)
  return watcher
}

/** Something was written by this process: nobody has to wait for the next look at the clock. */
export const poke = ({ dataSource }: ChangeLog): void => watchers.get(dataSource)?.poke()

export class Watcher {
  readonly #listeners = new Set<Listener>()
  readonly #held = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #seen: string | undefined
  #isRunning = false
  #isPoked = false
  #shared = new Map<string, Promise<unknown>>()

  constructor(
    readonly log: ChangeLog,
    private readonly limits: LiveLimits,
  ) {}

  /** Tells a listener from now on; returns a function that ends this. Throws a Problem where there are too many, of this principal or in all. */
  listen(listener: Listener): () => void {
    const { principal } = listener
    const own = principal === undefined ? 0 : (this.#held.get(principal) ?? 0)
    if (this.#listeners.size >= this.limits.maxListeners || own >= this.limits.maxListenersPerPrincipal)
      throw unavailable('Too many requests wait for news.', 10 + Math.floor(Math.random() * 20))
    this.#listeners.add(listener)
    if (principal !== undefined) this.#held.set(principal, own + 1)
    if (this.#listeners.size === 1) this.#arm()
    return () => this.#leave(listener)
  }

  #leave(listener: Listener): void {
    if (!this.#listeners.delete(listener)) return
    const { principal } = listener
    const left = (this.#held.get(principal ?? '') ?? 0) - 1
    if (left > 0) this.#held.set(principal ?? '', left)
    else this.#held.delete(principal ?? '')
    if (!this.#listeners.size) clearTimeout(this.#timer)
  }

  poke(): void {
    if (this.#listeners.size) void this.#tellAll()
  }

  /** What is the same for several listeners of one round is read once. */
  share<T>(key: string, read: () => Promise<T>): Promise<T> {
    const known = (this.#shared.get(key) as Promise<T> | undefined) ?? read()
    if (this.#isRunning) this.#shared.set(key, known)
    return known
  }

  #arm(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#watch(), this.limits.watchInterval)
    this.#timer.unref()
  }

  async #watch(): Promise<void> {
    if (!this.log.dataSource.isInitialized) for (const listener of [...this.#listeners]) listener.end('stopping')
    for (const listener of [...this.#listeners]) if (!listener.isServed()) listener.end('stopping')
    try {
      const { database } = this.log
      if (this.#listeners.size) {
        const { now, collection } = await database.transaction(() => database.clock(), { mode: 'read' })
        const seen = `${now} ${collection}`
        if (seen !== this.#seen) this.poke()
        this.#seen = seen
      }
    } catch {
      // the database is busy, or away: the next look finds out
    }
    if (this.#listeners.size) this.#arm()
  }

  /** One round after the other: what is written during one is told by the next, and rounds take half of the time at most. */
  async #tellAll(): Promise<void> {
    this.#isPoked = true
    if (this.#isRunning) return
    this.#isRunning = true
    while (this.#isPoked && this.#listeners.size) {
      this.#isPoked = false
      this.#shared = new Map()
      const start = performance.now()
      const queue = [...this.#listeners].reverse()
      await Promise.all(Array.from({ length: AT_ONCE }, () => tell(queue)))
      const pause = performance.now() - start
      if (this.#isPoked) await new Promise<void>(resolve => setTimeout(resolve, pause).unref())
    }
    this.#shared = new Map()
    this.#isRunning = false
  }
}

async function tell(queue: Listener[]): Promise<void> {
  let turn = performance.now()
  for (let listener = queue.pop(); listener; listener = queue.pop()) {
    await listener.look()
    if (performance.now() - turn < TURN) continue
    await macrotask()
    turn = performance.now()
  }
}
