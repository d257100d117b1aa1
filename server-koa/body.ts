// Reads the body of a POST with every limit of PROTOCOL.md kept while it comes in.
//
// Not @koa/bodyparser: it answers 413 above 1 MB, takes a body of another content type for {}, and throws past the middleware.

import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Context } from 'koa'
import { lastOnConnection } from './connection.js'
import { markRounded } from './numbers.js'
import { Problem } from './problem.js'

export interface BodyLimits {
  /** Of the decoded body, and of the encoded one. */
  readonly maxBodyBytes: number
  /** Milliseconds for the whole body to arrive. */
  readonly requestTimeout: number
}

const DECODERS: Record<string, () => NodeJS.ReadWriteStream & { destroy(): void }> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

// A row that is nested deeper than a database holds is rejected alone; this is for the process, as what is parsed takes memory.
const DEEPEST = 10_000

/** The body, decoded, and what it says as JSON. Throws a Problem: 400, 408, 413 or 415. A byte order mark of UTF-8 is passed over. */
export async function readJson(ctx: Context, limits: BodyLimits): Promise<{ bytes: Buffer; json: unknown; isRounded: boolean }> {
  checkContentType(ctx.get('Content-Type'))
  const encoding = ctx.get('Content-Encoding').trim().toLowerCase()
  const bytes = ctx.req.readableEnded ? readBefore(ctx, limits) : await readBody(ctx, encoding, limits)
  const { deepest, isLong } = look(bytes)
  if (deepest > DEEPEST) throw new Problem(400, 'The body is nested too deep.')
  const marked = isLong ? markRounded(bytes, endOfString) : bytes
  return { bytes, json: parse(marked), isRounded: isLong }
}

/** The body that a parser before us has read: one of Koa, or one of Express or Nest, into which the application is mounted. */
function readBefore({ request, req }: Context, limits: BodyLimits): Buffer {
  type Parsed = { rawBody?: unknown; body?: unknown }
  const [ours, theirs] = [request as unknown as Parsed, req as unknown as Parsed]
  const body = ours.rawBody ?? theirs.rawBody ?? ours.body ?? theirs.body
  if (body === undefined)
    throw new Problem(
      500,
      'A body parser before syncRoutes read the body and left it neither as `body` nor as `rawBody`. Whoever runs this server mounts syncRoutes before that parser.',
    )
  const bytes = Buffer.from(body instanceof Uint8Array ? body : typeof body === 'string' ? body : JSON.stringify(body))
  if (bytes.length > limits.maxBodyBytes) throw tooLarge(limits)
  return bytes
}

// Any other type could be sent across origins by a mere form, without a preflight.
function checkContentType(header: string): void {
  const [type, ...parameters] = header.split(';').map(part => part.trim().toLowerCase())
  const charset = parameters.find(p => p.startsWith('charset='))?.replace(/^charset="?([^"]*)"?$/, '$1')
  if (type === 'application/json' && (charset === undefined || charset === 'utf-8' || charset === 'utf8')) return
  throw new Problem(415, 'The body has to be application/json, in UTF-8.', { headers: { 'Accept-Post': 'application/json' } })
}

function readBody(ctx: Context, encoding: string, limits: BodyLimits): Promise<Buffer> {
  const { req } = ctx
  const plain = encoding === '' || encoding === 'identity'
  if (!plain && !Object.hasOwn(DECODERS, encoding))
    throw new Problem(415, 'The Content-Encoding is not known here.', { headers: { 'Accept-Encoding': 'gzip, deflate, br' } })
  if (Number(req.headers['content-length'] ?? 0) > limits.maxBodyBytes) throw tooLarge(limits)

  const decoder = plain ? undefined : DECODERS[encoding]?.()
  const chunks: Buffer[] = []
  let [encoded, decoded] = [0, 0]
  return new Promise((resolve, reject) => {
    const end = (problem?: Problem) => {
      clearTimeout(timer)
      req.off('data', count).off('close', cut).off('error', cut).unpipe()
      req.on('error', () => {}) // a connection that breaks later is no local change
      source.off('data', collect)
      decoder?.destroy()
      if (problem) reject(problem)
      else resolve(Buffer.concat(chunks))
    }
    const timer = setTimeout(
      () => end(new Problem(408, 'The body took too long to arrive.', { headers: lastOnConnection(ctx) })),
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

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Problem(400, 'The body is not UTF-8.')
  }
}

function parse(bytes: Buffer): unknown {
  const text = decode(bytes)
  try {
    return JSON.parse(text)
  } catch {
    throw new Problem(400, 'The body is not JSON.')
  }
}

/**
 * How deep brackets stand in each other, and whether a number is so long that it may be rounded, strings left out. In UTF-8 no byte of another
 * character is one of these.
 */
function look(bytes: Buffer): { deepest: number; isLong: boolean } {
  let [depth, deepest, digits, isLong] = [0, 0, 0, false]
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes[i] as number
    if (c >= 0x30 && c <= 0x39) {
      if (++digits > 15) isLong = true
      continue
    }
    // an exponent may be more than any double
    if (digits > 0 && (c === 0x65 || c === 0x45)) isLong = true
    digits = 0
    if (c === 0x22) i = endOfString(bytes, i)
    else if (c === 0x5b || c === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (c === 0x5d || c === 0x7d) depth--
  }
  return { deepest, isLong }
}

/** Does an object of the first two levels say a name twice? JSON.parse takes the last one without a word. */
export function saysTwice(bytes: Buffer): boolean {
  const names: Set<string>[] = []
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes[i] as number
    if (c === 0x22) {
      const [start, end] = [i, endOfString(bytes, i)]
      i = end
      if (depth > 2) continue
      while (isSpace(bytes[i + 1])) i++
      if (bytes[i + 1] !== 0x3a) continue
      const name: string = JSON.parse(bytes.toString('utf8', start, end + 1))
      if (names[depth]?.has(name)) return true
      names[depth]?.add(name)
    } else if (c === 0x5b || c === 0x7b) {
      if (++depth <= 2) names[depth] = new Set()
    } else if (c === 0x5d || c === 0x7d) depth--
  }
  return false
}

const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

function endOfString(bytes: Buffer, start: number): number {
  let i = start + 1
  for (; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++
  return i
}

const tooLarge = ({ maxBodyBytes }: BodyLimits) => new Problem(413, `The body may have ${maxBodyBytes} bytes at most.`)
