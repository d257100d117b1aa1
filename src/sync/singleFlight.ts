// One sync at a time per server and collection: calls that come meanwhile share the next one, for the running one may have read the local changes
// from before them.

import { orAbort } from './waiting.js'

interface Run<T> {
  readonly result: Promise<T>
  /** Aborted when its last caller has left. */
  readonly controller: AbortController
  callers: number
}

/** Starts a pass, given the signal that ends it and the options of its callers. */
export type Start<T, W> = (signal: AbortSignal, options: W) => Promise<T>

export class SingleFlight<T, W> {
  #running: Run<T> | undefined
  #next: { run: Run<T>; options: W } | undefined

  /** `combine` makes one of the options of two callers who share a pass; without it the latest caller's count. */
  constructor(
    private readonly start: Start<T, W>,
    private readonly combine: (earlier: W, later: W) => W = (_, later) => later,
  ) {}

  /** Resolves after a pass that began after this call. `signal` ends this call; a pass ends when all of its callers have left. */
  call(options: W, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (!this.#running) {
      const run = this.#begin(Promise.resolve(), () => options)
      this.#running = run
      return this.#wait(run, signal)
    }
    if (!this.#next) {
      const before = this.#running.result.then(
        () => {},
        () => {},
      )
      const run = this.#begin(before, () => {
        const { options: latest } = this.#next as { options: W }
        this.#running = run
        this.#next = undefined
        return latest
      })
      this.#next = { run, options }
    } else this.#next.options = this.combine(this.#next.options, options)
    return this.#wait(this.#next.run, signal)
  }

  /** Resolves when no pass is at work that all of its callers have left: that one ends a while after they have. */
  async whenLeft(): Promise<void> {
    const run = this.#running
    if (run?.callers === 0) await run.result.catch(() => {})
  }

  #begin(before: Promise<void>, begin: () => W): Run<T> {
    const controller = new AbortController()
    const result = before.then(async () => {
      const options = begin()
      if (run.callers === 0) throw new DOMException('All callers of this sync have left.', 'AbortError')
      return await this.start(controller.signal, options)
    })
    const run: Run<T> = { result, controller, callers: 0 }
    const end = () => {
      if (this.#running === run && !this.#next) this.#running = undefined
    }
    result.then(end, end)
    return run
  }

  async #wait(run: Run<T>, signal: AbortSignal | undefined): Promise<T> {
    run.callers++
    const leave = () => {
      if (--run.callers === 0 && this.#running === run) run.controller.abort(signal?.reason)
    }
    signal?.addEventListener('abort', leave, { once: true })
    try {
      return await orAbort(run.result, signal)
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }
}
