// What went wrong in a sync of several servers or collections.

import { ConflictHandlerError, OtherUserError, SyncContentionError } from '../errors.js'
import { NetworkError, RequestTimeoutError, TransportError } from '../sync/http/errors.js'

/**
 * What went wrong on the way. A server that is away, or forbids one collection, does not keep the others from theirs; the caller gets the first error in the end.
 */
export class Failures {
  #first: unknown
  #away = new Set<string>()

  /** Throws what ends everything: what is no matter of one server or collection. */
  note(error: unknown, url: string): void {
    if (![TransportError, OtherUserError, SyncContentionError, ConflictHandlerError].some(type => error instanceof type)) throw error
    this.#first ??= error
    if (error instanceof NetworkError || error instanceof RequestTimeoutError) this.#away.add(new URL(url).origin)
  }

  isAway(url: string): boolean {
    return this.#away.has(new URL(url).origin)
  }

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  throwFirst(): void {
    if (!this.isEmpty) throw this.#first
  }
}
