// After a 401: is there another token than the one that was no good?

import type { HeadersValue, TransportOptions } from '../../sync/http/transport.js'
import { Timer } from './timer.js'

type HeadersFunction = Extract<TransportOptions['headers'], (...given: never[]) => unknown>

export class TokenWatch {
  /** The option \`headers\` of the requests, where it is a function: what it gives is remembered. */
  readonly headers: Pick<TransportOptions, 'headers'>
  readonly #find: HeadersFunction | undefined
  #given = ''
  /** The address that rejected what was given last. */
  #url: string | undefined
  readonly #timer = new Timer(() => void this.look())

  constructor(
    headers: TransportOptions['headers'],
    private readonly interval: number,
    /** Called when there is another one. */
    private readonly changed: () => void,
  ) {
    const find = typeof headers === 'function' ? headers : undefined
    this.#find = find
    this.headers = find ? { headers: async asked => this.#note(await find(asked)) } : {}
  }

  /** What was given last was rejected: from now on it looks now and then whether there is something else. */
  start(url: string): void {
    this.#url = url
    if (this.#find) this.#timer.set(this.interval)
  }

  stop(): void {
    this.#url = undefined
    this.#timer.clear()
  }

  async look(): Promise<void> {
    const url = this.#url
    if (url === undefined || !this.#find) return
    const before = this.#given
    try {
      this.#note(await this.#find({ renew: false, url }))
    } catch {
      // nobody is signed in
    }
    if (this.#url !== url) return // it was stopped
    if (this.#given === before) this.#timer.set(this.interval)
    else this.changed()
  }

  #note(headers: HeadersValue): HeadersValue {
    this.#given = JSON.stringify([...new Headers(headers)])
    return headers
  }
}
