// Requests, emitted to whoever listens. While nobody does, nothing is measured.

import { TransportError } from './errors.js'

/** A request of a sync, or one that waits for news, once its answer is there. Of a stream: once it has begun. */
export interface SyncRequest {
  readonly method: string
  /** With its query, which may hold what your own urls have there. */
  readonly url: string
  readonly startedAt: Date
  readonly milliseconds: number
  /** Undefined where there was no answer. */
  readonly status: number | undefined
  /** Bytes of the body that was sent. */
  readonly sent: number
  /** Bytes of the answer's body, unzipped; undefined where it was not read whole. */
  readonly received: number | undefined
  /** Why there was no answer. */
  readonly error: unknown
}

type Listener = (request: SyncRequest) => void

const listeners = new WeakMap<object, Set<Listener>>()

/** Calls the listener after each request of the data source's syncs, retries included. Returns a function that ends this. */
export function onRequest(dataSource: object, listener: Listener): () => void {
  const all = listeners.get(dataSource) ?? new Set()
  listeners.set(dataSource, all)
  // a function that is given twice is two listeners
  const own: Listener = request => listener(request)
  all.add(own)
  return () => void all.delete(own)
}

interface Asked {
  readonly method: string
  readonly url: string
  readonly body?: string
}

/** Waits for an answer, and emits the request to those who listen. */
export async function emitRequest<Answer extends { readonly status: number }>(
  dataSource: object | undefined,
  { method, url, body = '' }: Asked,
  ask: () => Promise<Answer>,
  bytesOf: (answer: Answer) => number | undefined = () => undefined,
): Promise<Answer> {
  const heard = dataSource && listeners.get(dataSource)
  if (!heard?.size) return ask()
  const start = performance.now()
  const asked = { method, url, startedAt: new Date(), sent: new TextEncoder().encode(body).length }
  const note = (outcome: Pick<SyncRequest, 'status' | 'received' | 'error'>) => {
    const request = { ...asked, ...outcome, milliseconds: performance.now() - start }
    for (const listener of [...heard]) {
      try {
        listener(request)
      } catch (error) {
        console.error(error) // what fails to show a request does not end the sync
      }
    }
  }
  try {
    const answer = await ask()
    note({ status: answer.status, received: bytesOf(answer), error: undefined })
    return answer
  } catch (error) {
    note({ status: error instanceof TransportError ? error.status : undefined, received: undefined, error })
    throw error
  }
}
