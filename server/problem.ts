// Answers other than success, as application/problem+json (RFC 9457).

import { STATUS_CODES } from 'node:http'
import { DatabaseBusyError, DatabaseFailedError } from '../src/errors.js'
import { BadRequestError } from '../src/protocol/errors.js'
import type { Exchange } from './exchange.js'

interface ProblemDetails {
  /** Names a problem that its status does not name. */
  readonly type?: string
  readonly title?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Members beside those of the RFC. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Thrown inside of the server, which answers with it. The client reads `detail`: it has no value, no SQL, no name of a table. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly more: ProblemDetails = {},
  ) {
    super(detail)
    this.name = 'Problem'
  }
}

/** Writes an error as the answer. An unforeseen error goes to the application, not to the client. */
export function writeProblem(exchange: Exchange, error: unknown): void {
  const { status, detail, more } = problemOf(error)
  if (status === 500 || error instanceof DatabaseFailedError) exchange.report(error)
  delete exchange.headers.ETag
  exchange.status = status
  exchange.set({ ...more.headers, 'Content-Type': 'application/problem+json' })
  exchange.body = JSON.stringify({
    type: more.type ?? 'about:blank',
    title: more.title ?? STATUS_CODES[status],
    status,
    detail,
    ...more.members,
  })
}

export const unavailable = (detail: string, seconds: number) => new Problem(503, detail, { headers: { 'Retry-After': String(seconds) } })

function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof BadRequestError) return new Problem(400, error.message)
  if (error instanceof DatabaseBusyError) return unavailable('The database is busy; nothing was stored. Ask again.', 1)
  if (error instanceof DatabaseFailedError) return unavailable('The database cannot be used at the moment. Ask again later.', 10)
  return new Problem(500, 'The server failed to answer. Ask again later.')
}

export const keyReused = () =>
  new Problem(422, 'This Idempotency-Key came before, with another request.', {
    type: 'urn:typeorm-sync:key-reused',
    title: 'Idempotency-Key reused',
  })
