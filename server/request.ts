// What is asked and what is answered, in whatever framework.

import type { Readable } from 'node:stream'

/** A request, as every framework has it. */
export interface SyncRequest<Raw = unknown> {
  readonly method: string
  /** Decoded, and without the path at which a framework has mounted the handler. */
  readonly path: string
  readonly query: Readonly<Record<string, string | string[] | undefined>>
  /** By names in lower case. One that came more than once is an array, where the framework tells. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /**
   * Of a POST: a stream, of Node or of the web, where nobody has read it. Else what a body parser has left: bytes, a text, or the value of the JSON. Where
   * this is undefined, what was posted is lost, and the answer is 500.
   */
  readonly body?: unknown
  /** Aborts when the client has left. */
  readonly signal: AbortSignal
  /** Says whether the server to which the request came still takes others. One that does not ends the requests that wait for news. */
  readonly isServed?: () => boolean
  /** What the framework calls the request: for `principal`, which may look there for what others have found out. */
  readonly raw: Raw
}

/** An answer, as every framework can give it. */
export interface SyncResponse {
  readonly status: number
  /** To those that others have set; `Vary` and `Access-Control-Expose-Headers` are lists, and join theirs. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * None for HEAD, and with some statuses. A stream that fails was half an answer: whoever sends it breaks off the connection, so that it does not look whole.
   * Whoever does not send it to its end destroys it.
   */
  readonly body?: string | Readable
  /** Milliseconds after which the connection of a client that takes nothing of the stream is closed. */
  readonly idleTimeout?: number
  /** The same, when the stream has ended. */
  readonly endTimeout?: number
}
