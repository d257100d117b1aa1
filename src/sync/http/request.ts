// One request until its whole answer is there: time-outs, aborts, tokens, retries.

import { deadline, orAbort, wait } from '../waiting.js'
import { readBody } from './body.js'
import { AnswerTooLargeError, NetworkError, RequestTimeoutError, TransportError } from './errors.js'
import { errorOf, nameOf, type Reply } from './reply.js'
import { emitRequest } from './requests.js'
import { isRetried, pauseBefore } from './retry.js'

export type HeadersValue = Headers | Record<string, string> | [string, string][]

export interface TransportOptions {
  readonly fetch?: typeof globalThis.fetch
  /**
   * Sent with every request. A function is asked for each try, and once more with `renew: true` after a 401.

   * The time-out does not count it: a user may have to sign in.
   */
  readonly headers?: HeadersValue | ((context: { renew: boolean; url: string }) => HeadersValue | Promise<HeadersValue>)
  /** Milliseconds until a request without a whole answer is aborted; 60,000 by default. It is not retried. */
  readonly timeout?: number
  /** Bytes of an answer, unzipped, at most; 64 MiB by default. A larger one is an error, and the next page is asked for smaller. */
  readonly largestAnswer?: number
  /** How often a request that may be retried is sent again; 3 by default. */
  readonly retries?: number
  /** The longest wait before a retry in milliseconds, 30,000 by default. A longer Retry-After ends the sync with the error, which carries it. */
  readonly maxRetryDelay?: number
  /** For tests: a number from 0 up to 1. */
  readonly random?: () => number
  /** For tests. */
  readonly wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>
}

export interface Question {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Record<string, string>
  readonly body?: string
  readonly mayRetry: boolean
}

/** Asks until there is an answer that a retry would not better. Throws a TransportError, or the signal's reason. */
export type Ask = (question: Question, signal?: AbortSignal) => Promise<Reply>

/** `dataSource`: whose requests they are, for those who listen. */
export function createAsk(options: TransportOptions, dataSource?: object): Ask {
  const { timeout = 60_000, largestAnswer = 64 * 1024 * 1024, retries = 3, maxRetryDelay = 30_000, random = Math.random } = options
  // called without `this`, as browsers demand
  const send = options.fetch ?? ((...request: Parameters<typeof fetch>) => globalThis.fetch(...request))
  const pause = options.wait ?? wait

  return async function ask(question, signal) {
    for (let tried = 0; ; tried++) {
      try {
        const reply = await askAuthorised(question, tried === 0, signal)
        if (!isRetried(reply.status)) return reply
        throw errorOf(reply)
      } catch (error) {
        signal?.throwIfAborted()
        if (!question.mayRetry || !(tried < retries) || !isPassing(error) || (error.retryAfter ?? 0) > maxRetryDelay) throw error
        await orAbort(pause(pauseBefore(tried, error.retryAfter ?? 0, maxRetryDelay, random), signal), signal)
      }
    }
  }

  // A 401 is an answer that stored nothing, so even a push that must not be retried may go out again.
  async function askAuthorised(question: Question, isFirst: boolean, signal: AbortSignal | undefined): Promise<Reply> {
    const reply = await askOnce(question, await headersFor(question, false, isFirst, signal), isFirst, signal)
    if (reply.status !== 401 || typeof options.headers !== 'function') return reply
    return askOnce(question, await headersFor(question, true, isFirst, signal), isFirst, signal)
  }

  async function headersFor(question: Question, renew: boolean, isFirst: boolean, signal: AbortSignal | undefined): Promise<Headers> {
    signal?.throwIfAborted()
    const { url } = question
    const headersOfCaller = async () =>
      new Headers(typeof options.headers === 'function' ? await options.headers({ renew, url }) : options.headers)
    try {
      const headers = await orAbort(headersOfCaller(), signal)
      for (const [name, value] of Object.entries(question.headers)) headers.set(name, value)
      return headers
    } catch (cause) {
      signal?.throwIfAborted()
      const message = `The headers for ${nameOf(url)} could not be made: ${reasonOf(cause)}. All local changes are safe; see the option \`headers\`.`
      throw new TransportError(message, { url, isDefinite: question.method === 'GET' || isFirst, cause })
    }
  }

  async function askOnce(question: Question, headers: Headers, isFirst: boolean, signal: AbortSignal | undefined): Promise<Reply> {
    signal?.throwIfAborted()
    const once = () => answerTo(question, headers, isFirst, signal)
    return emitRequest(dataSource, question, once, reply => reply.bytes)
  }

  async function answerTo(question: Question, headers: Headers, isFirst: boolean, signal: AbortSignal | undefined): Promise<Reply> {
    const { url } = question
    const details = { url, isDefinite: question.method === 'GET' }
    const start = performance.now()
    const message = `${nameOf(url)} has not answered completely within ${timeout / 1000} seconds. All local changes are safe, sync again later.`
    const limit = deadline(timeout, () => new RequestTimeoutError(message, details), signal)
    try {
      const reply = await orAbort(fetchWhole(question, headers, isFirst, limit.signal), limit.signal)
      return { ...reply, isNearLimit: performance.now() - start > timeout / 4 || reply.bytes > largestAnswer / 4 }
    } catch (cause) {
      if (limit.signal.aborted) throw limit.signal.reason
      if (cause instanceof AnswerTooLargeError) throw cause
      const message = `${nameOf(url)} could not be reached, or the connection broke: ${reasonOf(cause)}. All local changes are safe, sync again later.`
      throw new NetworkError(message, { ...details, cause })
    } finally {
      limit.stop()
    }
  }

  async function fetchWhole(
    { method, url, body }: Question,
    headers: Headers,
    isFirst: boolean,
    signal: AbortSignal,
  ): Promise<Omit<Reply, 'isNearLimit'>> {
    const response = await send(url, {
      method,
      headers,
      signal,
      // fetch would make a GET of a redirected POST
      redirect: method === 'POST' ? 'manual' : 'follow',
      // a browser's own cache may answer for servers that say nothing about caching (Node's types know no cache)
      ...{ cache: 'no-store' },
      ...(body !== undefined && { body }),
    })
    const landedAt = response.redirected ? response.url : undefined
    const tooLarge = () => {
      const message =
        `${nameOf(url)} answers with more than ${largestAnswer} bytes, which is the option \`largestAnswer\`. ` +
        'All local changes are safe. The next sync asks for less at once; a server that knows no pages needs a larger limit.'
      return new AnswerTooLargeError(message, { url, status: response.status, isDefinite: method === 'GET' })
    }
    const whole = await readBody(response, largestAnswer, tooLarge)
    return { method, url, status: response.status, headers: response.headers, ...whole, landedAt, isFirst }
  }
}

const isPassing = (error: unknown): error is TransportError =>
  error instanceof NetworkError || (error instanceof TransportError && error.status !== undefined && isRetried(error.status))

// Anything can be thrown, and Node hides the reason of «fetch failed» in its cause.
function reasonOf(error: unknown): string {
  const { message, cause } = Object(error) as { message?: unknown; cause?: { message?: unknown; code?: unknown } }
  const texts = [cause?.message, cause?.code, message, error]
  return texts.find((text): text is string => typeof text === 'string' && text !== '') ?? 'no reason given'
}
