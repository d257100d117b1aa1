// What becomes of requests that bring no answer to work with.

import { SyncError } from '../../errors.js'

export interface TransportDetails {
  /** The address of the request, with its query. */
  readonly url: string
  readonly status?: number
  /** Milliseconds that the server asks us to wait. */
  readonly retryAfter?: number
  /** It is certain that a POST stored nothing, nor will; true for every GET. */
  readonly isDefinite: boolean
  readonly cause?: unknown
}

/** A request that brought no answer to work with. Local changes are safe whatever it says. */
export class TransportError extends SyncError {
  override readonly name: string = 'TransportError'
  override readonly code: string = 'transport'
  declare readonly url: string
  declare readonly status?: number
  declare readonly retryAfter?: number
  declare readonly isDefinite: boolean

  constructor(message: string, { cause, ...details }: TransportDetails) {
    super(message, { cause })
    Object.assign(this, details)
  }
}

/** No connection, or one that broke before the whole answer was there; `cause` is what `fetch` threw. */
export class NetworkError extends TransportError {
  override readonly name = 'NetworkError'
  override readonly code = 'network'
}

/** The whole answer was not there in time. */
export class RequestTimeoutError extends TransportError {
  override readonly name = 'RequestTimeoutError'
  override readonly code = 'timeout'
}

/** 401 or 403: the server wants to know who asks, or says that they may not. */
export class AuthenticationError extends TransportError {
  override readonly name = 'AuthenticationError'
  override readonly code = 'authentication'
}

/** 413: the push is too large for the server, or for a proxy before it. */
export class TooLargeError extends TransportError {
  override readonly name = 'TooLargeError'
  override readonly code = 'too-large'
}

/** An answer of more bytes than the option `largestAnswer` allows. The next page is asked for smaller. */
export class AnswerTooLargeError extends TransportError {
  override readonly name = 'AnswerTooLargeError'
  override readonly code = 'answer-too-large'
}

/** 426: the server does not serve this version of the app any more. What was not pushed yet is kept, and pushed when the app is updated. */
export class ClientTooOldError extends TransportError {
  override readonly name = 'ClientTooOldError'
  override readonly code = 'client-too-old'
}

/** The server does not know this version of the app yet. What was not pushed yet is kept, and pushed when the server is updated. */
export class ServerTooOldError extends TransportError {
  override readonly name = 'ServerTooOldError'
  override readonly code = 'server-too-old'
}

/** Any other status that is no success. */
export class ServerError extends TransportError {
  override readonly name = 'ServerError'
  override readonly code = 'server'
}

/** What came is no answer of a sync server: a web page, half an answer, or something else; `excerpt` is its beginning. */
export class InvalidAnswerError extends TransportError {
  override readonly name = 'InvalidAnswerError'
  override readonly code = 'invalid-answer'

  constructor(
    message: string,
    readonly excerpt: string,
    details: TransportDetails,
  ) {
    super(message, details)
  }
}
