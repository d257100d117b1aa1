// What a message that breaks the protocol becomes, inside of the client and of the server.

import { SyncError } from '../errors.js'

/** A message that is not what the protocol says; sync/http makes an InvalidAnswerError of it, which knows where it came from. */
export class MalformedAnswerError extends SyncError {
  override readonly name = 'MalformedAnswerError'
  override readonly code = 'malformed-answer'
}

/** A request that the server does not understand; answered with `status` 400. The message may be shown to the client. */
export class BadRequestError extends SyncError {
  override readonly name = 'BadRequestError'
  override readonly code = 'bad-request'
  readonly status = 400
}
