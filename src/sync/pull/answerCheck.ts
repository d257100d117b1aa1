// Whether an answer may be one to the question, and whether a pull comes to its end.

import type { FeedQuery } from '../../protocol/messages.js'
import { InvalidAnswerError } from '../http/errors.js'
import { nameOf } from '../http/reply.js'
import type { Answer } from '../http/wire.js'
import type { Session } from '../session.js'

export class AnswerCheck {
  /** The tokens of the pages that were stored since the answer began. */
  readonly #turned = new Set<string>()
  #resets = 0

  constructor(private readonly session: Session) {}

  /** Throws InvalidAnswerError. */
  check({ since, after }: FeedQuery, { now, reset, next }: Answer): void {
    if (after === undefined || reset) this.#turned.clear()
    if (reset) this.#resets++
    // a server whose clock went back has stamps below what was read, and no pull would ever show them
    if (now < since && !reset)
      this.#reject(
        `says that its time is ${now}, and was read up to ${since} before: was its clock set back, or an older database put in its place? ` +
          'Nothing was stored. To begin anew with it, call journal(…).forget(url) and sync again.',
      )
    // or it would be asked without end
    if (next !== undefined && this.#turned.has(next))
      this.#reject('gave a page a `next` that it had given before: its pages would never end.')
    if (this.#resets > this.session.maxRounds) this.#reject(`was reset ${this.#resets} times while it was read.`)
  }

  /** The page that this answer is was stored. */
  noteTurned({ next }: Answer): void {
    if (next !== undefined) this.#turned.add(next)
  }

  #reject(what: string): never {
    const url = nameOf(this.session.wire.url)
    throw new InvalidAnswerError(`${url} ${what} All local changes are safe.`, '', { url, isDefinite: true })
  }
}
