// Reads the body of a POST with every limit of PROTOCOL.md kept while it comes in.
//
// Not the body parser of a framework: it answers 413 above 1 MB or less, reads a body of another content type as {}, and throws past us. Not raw-body:
// it knows neither a time-out nor a limit of encoded bytes, and never ends where a stream closes early without an error.

import { Readable } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { tooLarge } from './body.js'
import type { Exchange } from './exchange.js'
import type { BodyLimits } from './limits.js'
import { Problem } from './problem.js'

const DECODERS: Record<string, () => NodeJS.ReadWriteStream & { destroy(): void }> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

/** Has nobody read it yet? */
export const isStream = (body: unknown): boolean => body instanceof Readable || body instanceof ReadableStream

export function readBody({ request }: Exchange, encoding: string, limits: BodyLimits): Promise<Buffer> {
  const plain = encoding === '' || encoding === 'identity'
  if (!plain && !Object.hasOwn(DECODERS, encoding))
    throw new Problem(415, 'The Content-Encoding is not known here.', { headers: { 'Accept-Encoding': 'gzip, deflate, br' } })
  if (Number(request.headers['content-length'] ?? 0) > limits.maxBodyBytes) throw tooLarge(limits)

  const { body } = request
  const req = body instanceof Readable ? body : Readable.fromWeb(body as WebStream)
  const decoder = plain ? undefined : DECODERS[encoding]?.()
  const chunks: Buffer[] = []
  let [encoded, decoded] = [0, 0]
  return new Promise((resolve, reject) => {
    const end = (problem?: Problem) => {
      clearTimeout(timer)
      req.off('data', count).off('close', cut).off('error', cut).unpipe()
      req.on('error', () => {}) // a connection that breaks later changes nothing any more
      source.off('data', collect)
      decoder?.destroy()
      // of one of Node the answer is sent over the same connection
      if (req !== body) req.destroy()
      if (problem) reject(problem)
      else resolve(Buffer.concat(chunks))
    }
    const timer = setTimeout(
      () => end(new Problem(408, 'The body took too long to arrive.', { headers: { Connection: 'close' } })),
      limits.requestTimeout,
    )
    // an encoded body may go on for ever without ever giving a byte
    const count = (chunk: Buffer) => {
      encoded += chunk.length
      if (encoded > limits.maxBodyBytes) end(tooLarge(limits))
    }
    const collect = (chunk: Buffer) => {
      decoded += chunk.length
      if (decoded > limits.maxBodyBytes) end(tooLarge(limits))
      else chunks.push(chunk)
    }
    const cut = () => {
      if (!req.readableEnded) end(new Problem(400, 'The body was cut off.'))
    }
    const source = decoder ?? req
    req.on('data', count).on('close', cut).on('error', cut)
    source.on('data', collect).on('end', () => end())
    decoder?.on('error', () => end(new Problem(400, `The body is not what its Content-Encoding says.`)))
    if (decoder) req.pipe(decoder)
  })
}
