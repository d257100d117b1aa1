// A sync in steps: whatever it waits for, its turn comes when the history lets it go on, and anything may happen before that.

import { AsyncLocalStorage } from 'node:async_hooks'
import type { Collection } from '../../src/changes/collections/collection.js'
import { DatabaseBusyError, DatabaseFailedError, OtherUserError, SyncContentionError, SyncError } from '../../src/errors.js'
import type { Conflict, ConflictUpdate } from '../../src/sync/conflicts/handlers.js'
import { TransportError } from '../../src/sync/http/errors.js'
import { createTransport } from '../../src/sync/http/transport.js'
import { feedWire, routeWire, type Wire } from '../../src/sync/http/wire.js'
import { ReportBuilder } from '../../src/sync/report.js'
import { sync } from '../../src/sync/sync.js'
import { type Heard, requestOf, send } from './asking.js'
import { running, type Turn } from './databases.js'
import { decideFor, type Resolved } from './deciding.js'
import { InjectedFault } from './faults.js'
import type { Value } from './oracle.js'
import { pathOf } from './requests.js'
import type { World } from './world.js'

interface Parked {
  readonly kind: string
  readonly release: () => void
}

/** A question that was asked, perhaps ahead, while the answer before it is being stored. */
interface Flight {
  parked: Parked | undefined
  isDone: boolean
  /** What its answer has. */
  heard: Heard | undefined
}

const flights = new AsyncLocalStorage<Flight>()

/** A sync of ours asks nothing that the server rejects: what is contested, reset or rejected by row it goes on from. */
const isRefusal = ({ status = 0 }: TransportError) => status >= 400 && status < 500 && ![408, 425, 429].includes(status)

export class Process implements Turn {
  /** The sync itself; its questions wait for their turns by themselves. */
  #sync: Parked | undefined
  /** What the sync does while it is not parked. */
  #state: 'runs' | 'waits for an answer' | 'ended' = 'runs'
  #awaited: Flight | undefined
  readonly #flights = new Set<Flight>()
  #wake: () => void = () => {}
  result: string | undefined
  error: unknown
  /** The page whose rows are being stored, and the removals it had. */
  page = new Map<string, Value>()
  sweepToken: ReadonlyMap<string, string> = new Map()
  resolved: Resolved | undefined
  readsFull = false
  wasReset = false
  isGarbled = false
  isHandedOver = false
  metStranger = false
  /** Does what it asks next say that it has not looked who was answered? */
  goesOn = false

  constructor(
    private readonly w: World,
    readonly client: string,
    readonly server: string,
    /** Of its feed, or one by itself. */
    readonly collections: readonly Collection[],
    readonly remoteIds: readonly number[],
  ) {}

  // ------------------------------------------------------------ turns

  park(kind: string): Promise<void> {
    return new Promise(release => {
      this.#sync = { kind, release }
      this.#wakeWhenIdle()
    })
  }

  /** Who waits for a turn of this process: the sync, or a question. */
  next(): Parked | undefined {
    const parked = [...this.#flights].flatMap(f => f.parked ?? [])
    if (this.#sync) parked.push(this.#sync)
    if (this.#sync)
      for (const { parked } of this.#flights)
        if (parked) this.w.reached.add(parked.kind === 'GET' ? 'question asked ahead' : 'batch read ahead')
    return parked.length > 1 ? this.w.random.pick(parked) : parked[0]
  }

  get isAlive(): boolean {
    return this.#sync !== undefined || [...this.#flights].some(f => f.parked)
  }

  get kind(): string | undefined {
    return this.#sync?.kind
  }

  /** Goes on until all of it waits for its turn again, or it ends. */
  async go(parked: Parked | undefined): Promise<void> {
    const moved = new Promise<void>(resolve => {
      this.#wake = resolve
    })
    if (!parked) this.#start()
    else {
      if (parked === this.#sync) this.#sync = undefined
      for (const flight of this.#flights) if (flight.parked === parked) flight.parked = undefined
      parked.release()
    }
    await moved
  }

  #wakeWhenIdle(): void {
    if ([...this.#flights].some(f => !f.parked)) return
    if (this.#sync || this.#state !== 'runs') this.#wake()
  }

  // ------------------------------------------------------------ the sync

  #start(): void {
    const { log } = this.w.at(this.client)
    const { byCollection } = this.w.features
    const transport = createTransport({ fetch: (url, init) => this.#fetch(String(url), init), retries: 0, timeout: 10 ** 9 })
    const inTurn = (wire: Wire): Wire => ({
      ...wire,
      pull: (...question) => this.#ask(() => wire.pull(...question)),
      push: (...rows) => this.#ask(() => wire.push(...rows)),
    })
    const feed = inTurn(feedWire(transport, `http://${this.server}/sync`, log.collections.map(pathOf)))
    const routeOf = (collection: Collection) =>
      inTurn(routeWire(transport, `http://${this.server}${pathOf(collection)}`, pathOf(collection)))
    const handler = this.w.asks ? (conflicts: Conflict[], updates: ConflictUpdate[]) => this.#handle(conflicts, updates) : undefined
    const members = this.collections.map((collection, i) => ({
      collection,
      path: pathOf(collection),
      serverId: this.remoteIds[i] as number,
      handler,
    }))
    running.run(this, () => {
      sync({
        log,
        members,
        wire: byCollection ? routeOf(this.collections[0] as Collection) : feed,
        feed,
        lacking: [],
        pageSize: this.w.pageSize,
        batchSize: this.w.batchSize,
        maxRounds: 12,
        handlerTimeout: undefined,
        noAccess: 'keep',
        signal: undefined,
        report: new ReportBuilder({ entities: [], url: '' }, () => {}),
      }).then(
        () => this.#end('ok'),
        error => this.#end(this.#resultOf(error), error),
      )
    })
  }

  #end(result: string, error?: unknown): void {
    this.result = result
    this.error = error
    this.#state = 'ended'
    this.#flights.clear()
    this.#wake()
  }

  #resultOf(error: unknown): string {
    if (error instanceof SyncContentionError) return 'contention'
    if (this.w.users && error instanceof OtherUserError && this.metStranger) return 'other user'
    if (this.isHandedOver && error instanceof SyncError) return 'fault'
    const isFault =
      (error instanceof TransportError && (this.isGarbled || !isRefusal(error))) ||
      error instanceof DatabaseBusyError ||
      error instanceof DatabaseFailedError ||
      error instanceof InjectedFault ||
      (error instanceof OtherUserError && this.metStranger) ||
      (error as { cause?: unknown })?.cause instanceof InjectedFault
    return isFault ? 'fault' : 'error'
  }

  async #handle(conflicts: Conflict[], updates: ConflictUpdate[]): Promise<void> {
    const resolve = decideFor(this.w, this, conflicts, updates)
    if (this.wasReset) this.w.reached.add('conflict during a reset')
    await this.park('handler')
    this.resolved = resolve()
    this.w.reached.add('handler')
  }

  // ------------------------------------------------------------ its questions

  /** A question in flight, whose answer is taken when the sync asks for it. */
  #ask<T>(ask: () => Promise<T>): Promise<T> {
    const flight: Flight = { parked: undefined, isDone: false, heard: undefined }
    this.#flights.add(flight)
    const answer = flights.run(flight, ask)
    const end = () => {
      flight.isDone = true
      this.#flights.delete(flight)
      if (this.#awaited === flight) this.#state = 'runs'
      this.#wakeWhenIdle()
    }
    answer.then(end, end)
    const note = () => {
      if (flight.heard) this.#note(flight.heard)
    }
    // the sync is no promise's: whether it waits for one is seen by its asking for it
    return {
      catch: (failed: (error: unknown) => unknown) => answer.catch(failed),
      // biome-ignore lint/suspicious/noThenProperty: it is awaited like one
      then: (done: (value: T) => unknown, failed: (error: unknown) => unknown) => {
        if (!flight.isDone) {
          this.#state = 'waits for an answer'
          this.#awaited = flight
          this.#wakeWhenIdle()
        }
        return answer.then((value: T) => {
          note()
          return done(value)
        }, failed)
      },
    } as unknown as Promise<T>
  }

  #note({ page, sweepToken, readsFull, isReset }: Heard): void {
    this.page = page
    this.sweepToken = sweepToken
    this.readsFull = readsFull
    if (isReset) this.wasReset = true
  }

  async #fetch(url: string, init: RequestInit | undefined): Promise<Response> {
    const asked = requestOf(this.w, this, url, init)
    const flight = flights.getStore() as Flight
    await new Promise<void>(release => {
      flight.parked = { kind: asked.request.method, release }
      this.#wakeWhenIdle()
    })
    const { answer, heard } = await send(this.w, this, asked)
    if (heard) flight.heard = heard
    return answer
  }
}
