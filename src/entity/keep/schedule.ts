// When to sync next.

import type { TransportError } from '../../sync/http/errors.js'
import { Timer } from './timer.js'

/** Milliseconds: the longest wait after the first failure; it doubles with each further one. */
const FIRST_WAIT = 1_000
/** Milliseconds of the longest wait of all. */
const LONGEST_WAIT = 5 * 60_000

/** The time of the next sync: the earliest that was asked for, but no earlier than failures, or the server, allow. */
export class Schedule {
  #due = Number.POSITIVE_INFINITY
  #failures = 0
  /** Not before these times, in milliseconds since 1/1/1970: for failures, and as the server has asked by Retry-After. */
  #backedOff = 0
  #asked = 0
  readonly #timer: Timer

  constructor(
    run: () => void,
    private readonly random: () => number,
  ) {
    this.#timer = new Timer(run)
  }

  /** In so many milliseconds, or earlier if that was planned. */
  plan(milliseconds: number): void {
    this.#due = Math.min(this.#due, Date.now() + milliseconds)
    this.#arm()
  }

  /** After a time between three and five quarters of this: many devices do not come at once. */
  planAround(milliseconds: number): void {
    this.plan(milliseconds * (0.75 + this.random() / 2))
  }

  /** What was planned is done now. */
  clear(): void {
    this.#due = Number.POSITIVE_INFINITY
    this.#timer.clear()
  }

  /** The server was reached. */
  succeeded(): void {
    this.#failures = this.#backedOff = this.#asked = 0
  }

  /** Backs off, exponentially and with full jitter, and for no less than the server asks. `hopeless`: for as long as ever. */
  failed({ retryAfter = 0 }: Pick<Partial<TransportError>, 'retryAfter'>, isHopeless = false): void {
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++)
    const now = Date.now()
    this.#asked = now + retryAfter
    this.#backedOff = isHopeless ? now + LONGEST_WAIT * (0.75 + this.random() / 2) : this.#asked + this.random() * longest
    this.plan(0)
  }

  /** The server may be there again. What it has asked for counts on, but for `wake`. */
  hope(isAsked = false): void {
    this.#failures = this.#backedOff = 0
    if (isAsked) this.#asked = 0
    this.plan(0)
  }

  #arm(): void {
    this.#timer.set(Math.max(this.#due, this.#backedOff, this.#asked) - Date.now())
  }
}
