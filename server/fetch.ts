// A Request becomes a Response, as in Hono and wherever else there is `fetch`.

import type { Readable } from 'node:stream'
import type { ReadableStreamDefaultController } from 'node:stream/web'
import { placeOf } from './node.js'
import type { SyncRequest, SyncResponse } from './request.js'
import type { Find } from './serve.js'

/** Never rejects. `raw` is what `principal` gets, the request unless it is given. */
export type FetchHandler<Raw = unknown> = (request: Request, ...raw: Request extends Raw ? [raw?: Raw] : [raw: Raw]) => Promise<Response>

export function fetchHandler(find: Find): FetchHandler {
  return async (request, raw = request) => toResponse(request.method, await find(toSyncRequest(request, raw)).respond())
}

function toSyncRequest(request: Request, raw: unknown): SyncRequest {
  const { method, headers, signal, bodyUsed } = request
  const body = bodyUsed ? undefined : (request.body ?? '')
  return { method, ...placeOf(request.url), headers: Object.fromEntries(headers), body, signal, raw }
}

function toResponse(method: string, { status, headers: { Connection: _, ...headers }, body, idleTimeout }: SyncResponse): Response {
  const isEmpty = body === undefined || method === 'HEAD'
  return new Response(isEmpty ? null : typeof body === 'string' ? body : toWeb(body, idleTimeout), { status, headers })
}

/** Bytes that are handed over at a time: of a client that takes so many within the time-out it can be said that it reads. */
const PIECE = 64 * 1024

/** Reads on when the client does; one that takes nothing for a while is left. */
function toWeb(body: Readable, idleTimeout = 0): ReadableStream<Uint8Array> {
  const pieces = piecesOf(body)
  let timer: NodeJS.Timeout | undefined
  const source = {
    async pull(controller: ReadableStreamDefaultController) {
      clearTimeout(timer)
      const { done, value } = await pieces.next()
      if (done) return controller.close()
      controller.enqueue(value)
      if (idleTimeout) timer = setTimeout(() => leave(controller), idleTimeout).unref()
    },
    cancel() {
      clearTimeout(timer)
      body.destroy()
    },
  }
  const leave = (controller: ReadableStreamDefaultController) => {
    body.destroy()
    controller.error(new Error('The client does not read.'))
  }
  return new ReadableStream(source, { highWaterMark: 0 })
}

async function* piecesOf(body: Readable): AsyncGenerator<Uint8Array> {
  for await (const piece of body as AsyncIterable<string | Uint8Array>) {
    const bytes = Buffer.from(piece as Uint8Array)
    for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE)
  }
}
