// Whom an application names to the server.

import type { SyncRequest } from './request.js'

/** The user, or whatever else signs in, on whose behalf a request comes. */
export interface Principal {
  /** The same for all requests of one user, for ever: the subject of a token, the id of an account; not an address that may change hands. */
  readonly id: string
  /** When this stops counting, as the token does that was given: milliseconds since 1/1/1970. What waits for news ends then. */
  readonly expires?: number
}

/**
 * Says who asks; without a principal the request is answered with 401. What it throws with a `status` from 400 to 499 is the answer; any other error is
 * answered with 500.
 */
export type FindPrincipal<P extends Principal = Principal, Asked = SyncRequest> = (
  request: Asked,
) => P | null | undefined | Promise<P | null | undefined>
