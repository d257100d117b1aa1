// A whole answer, before it is known whether it is one of a sync server, and the errors that it may turn out to be.

import { MalformedAnswerError } from '../../protocol/errors.js'
import type { Body } from './body.js'
import {
  AuthenticationError,
  ClientTooOldError,
  InvalidAnswerError,
  ServerError,
  ServerTooOldError,
  TooLargeError,
  type TransportDetails,
  type TransportError,
} from './errors.js'
import { readRetryAfter } from './retry.js'

/** The body, whatever content type it came with. */
export interface Reply extends Body {
  readonly method: 'GET' | 'POST'
  readonly url: string
  /** 0 for a redirect that the browser keeps to itself. */
  readonly status: number
  readonly headers: Headers
  /** Where fetch was led to, if anywhere. */
  readonly landedAt: string | undefined
  /** No earlier try of the same request went out, so none may still arrive. */
  readonly isFirst: boolean
  /** It took more than a quarter of the time-out, or of the bytes that an answer may have: twice as much might be too much. */
  readonly isNearLimit: boolean
}

// Such an answer comes before anything is stored. 307 and 308 ask for the same request elsewhere; after 301, 302 and 303 who knows.
const DEFINITE = new Set([307, 308, 400, 401, 403, 404, 405, 409, 413, 415, 422])

const SAFE = 'All local changes are safe'
const ADVICE: Record<number, string> = {
  400: 'The server does not understand the request: is this the url of a sync server, and is the client no newer than it?',
  401: 'Sign in (again), and give the token by the option `headers`.',
  403: 'Whoever is signed in may not do this.',
  404: 'Is the url right, and does the server sync this entity?',
  405: 'Is this the url of a sync server?',
  413: `The push is larger than the server, or a proxy before it, accepts: push less at once, or raise that limit. ${SAFE}.`,
}

export const isOk = ({ status }: Reply): boolean => status >= 200 && status < 300

/** It is certain that nothing was stored by this request, nor will be. */
export const isDefinite = ({ method, isFirst, status }: Reply): boolean => method === 'GET' || (isFirst && DEFINITE.has(status))

/** The message that the answer is. Throws InvalidAnswerError. */
export function readAnswer<T>(reply: Reply, read: (body: unknown) => T): T {
  const { json } = reply
  if (json === undefined) throw invalidAnswer(reply, reply.isUtf8 ? 'it is not JSON, or only half of it' : 'it is not UTF-8')
  if ((json as { status?: unknown } | null)?.status === 'error') throw rejection(reply)
  try {
    return read(json)
  } catch (error) {
    throw error instanceof MalformedAnswerError ? invalidAnswer(reply, error.message, error) : error
  }
}

// A server of 2011 says so with status 200. Whether it stored some of the rows before, who knows.
function rejection(reply: Reply): ServerError {
  const { error, message = error } = reply.json as { error?: unknown; message?: unknown }
  const text = [message, (message as { message?: unknown } | null)?.message].find(said => typeof said === 'string') ?? 'it does not say why'
  const why = String(text).slice(0, 300).replace(/\.$/, '')
  return new ServerError(`${nameOf(reply.url)} answered with the status "error": ${why}. ${SAFE}.`, {
    ...detailsOf(reply),
    isDefinite: reply.method === 'GET',
  })
}

function invalidAnswer(reply: Reply, why: string, cause?: unknown): InvalidAnswerError {
  const { excerpt } = reply
  const where = reply.landedAt === undefined ? nameOf(reply.url) : `${nameOf(reply.url)}, redirected to ${nameOf(reply.landedAt)},`
  const what = excerpt === '' ? 'nothing at all' : `something that is no answer of a sync server (${why}). It begins with: ${excerpt}`
  const advice = /^\s*</.test(excerpt)
    ? 'That is a web page: does this network want you to sign in first, or is the url wrong?'
    : 'Is this the url of a sync server?'
  return new InvalidAnswerError(`${where} answered ${reply.status} with ${what}\n${advice} ${SAFE}.`, excerpt, detailsOf(reply, cause))
}

const OUTDATED: Record<string, typeof ClientTooOldError | typeof ServerTooOldError> = {
  'urn:typeorm-sync:client-too-old': ClientTooOldError,
  'urn:typeorm-sync:server-too-old': ServerTooOldError,
}

/** The error that an answer without success is. */
export function errorOf(reply: Reply): TransportError {
  if (isRedirect(reply)) return new ServerError(redirectMessage(reply), detailsOf(reply))
  const details = detailsOf(reply)
  const problem = problemOf(reply)
  const Outdated = OUTDATED[String((reply.json as { type?: unknown } | null | undefined)?.type)]
  const message = `${nameOf(reply.url)} answered ${reply.status}${problem && `: ${problem}`}. ${adviceOf(reply.status, details.retryAfter)}`
  if (Outdated) return new Outdated(message, details)
  if (reply.status === 401 || reply.status === 403) return new AuthenticationError(message, details)
  return new (reply.status === 413 ? TooLargeError : ServerError)(message, details)
}

/** A POST that was led elsewhere may have become a GET on the way: its answer counts for nothing. */
export const isRedirect = ({ method, status, landedAt, headers }: Reply): boolean =>
  method === 'POST' && (status === 0 || landedAt !== undefined || (status >= 300 && status < 400 && headers.has('location')))

function redirectMessage({ url, status, landedAt, headers }: Reply): string {
  const location = landedAt ?? headers.get('location') ?? 'an address that the browser keeps to itself'
  return (
    `${nameOf(url)} redirects ${status ? `(${status}) ` : ''}to ${location}. ` +
    `A redirected push may arrive as a mere question, so it is not followed: sync with that url itself. ${SAFE}.`
  )
}

function adviceOf(status: number, retryAfter: number | undefined): string {
  const when = retryAfter === undefined ? 'later' : `in ${Math.ceil(retryAfter / 1000)} seconds`
  if (ADVICE[status]) return ADVICE[status]
  return status >= 500 || status === 429 || status === 408 || status === 425 ? `${SAFE}, sync again ${when}.` : `${SAFE}.`
}

/** What the server says for people (RFC 9457), or ''. */
function problemOf(reply: Reply): string {
  const { json } = reply
  if (typeof json !== 'object' || json === null) return ''
  const { detail, title } = json as { detail?: unknown; title?: unknown }
  const said = [detail, title].find(text => typeof text === 'string' && text !== '') ?? ''
  return String(said).slice(0, 300).replace(/\.$/, '')
}

function detailsOf(reply: Reply, cause?: unknown): TransportDetails {
  return {
    url: reply.url,
    ...(reply.status && { status: reply.status }),
    retryAfter: readRetryAfter(reply.headers),
    isDefinite: isDefinite(reply),
    cause,
  }
}

/** An address as messages have it: queries may hold tokens, and messages end up in logs. */
export const nameOf = (url: string): string => url.replace(/[?#].*$/s, '')
