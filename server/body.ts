// The body of a POST as JSON.

import type { Context } from 'koa'
import { endOfString, look } from './jsonBytes.js'
import { markRounded } from './numbers.js'
import { Problem } from './problem.js'
import { readBody } from './readBody.js'

export interface BodyLimits {
  /** Of the decoded body, and of the encoded one. */
  readonly maxBodyBytes: number
  /** Milliseconds for the whole body to arrive. */
  readonly requestTimeout: number
}

// A row that is nested deeper than a database holds is rejected alone; this limit protects the memory of the process.
const DEEPEST = 10_000

/** The body, decoded, and its JSON. Throws a Problem: 400, 408, 413 or 415. A byte order mark of UTF-8 is ignored. */
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

export const tooLarge = ({ maxBodyBytes }: BodyLimits) => new Problem(413, `The body may have ${maxBodyBytes} bytes at most.`)
