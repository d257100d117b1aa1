// The body of a POST as JSON.

import type { Exchange } from './exchange.js'
import { endOfString, look } from './jsonBytes.js'
import type { BodyLimits } from './limits.js'
import { markRounded } from './numbers.js'
import { Problem } from './problem.js'
import { isStream, readBody } from './readBody.js'

// A row that is nested deeper than a database holds is rejected alone; this limit protects the memory of the process.
const DEEPEST = 10_000

/** The body, decoded, and its JSON. Throws a Problem: 400, 408, 413 or 415. A byte order mark of UTF-8 is ignored. */
export async function readJson(exchange: Exchange, limits: BodyLimits): Promise<{ bytes: Buffer; json: unknown; isRounded: boolean }> {
  checkContentType(exchange.get('Content-Type'))
  const encoding = exchange.get('Content-Encoding').trim().toLowerCase()
  const bytes = isStream(exchange.request.body) ? await readBody(exchange, encoding, limits) : readBefore(exchange, limits)
  const { deepest, isLong } = look(bytes)
  if (deepest > DEEPEST) throw new Problem(400, 'The body is nested too deep.')
  const marked = isLong ? markRounded(bytes, endOfString) : bytes
  return { bytes, json: parse(marked), isRounded: isLong }
}

/** The body that a parser before us has read. */
function readBefore({ request: { body } }: Exchange, limits: BodyLimits): Buffer {
  if (body === undefined)
    throw new Problem(
      500,
      'A body parser before the sync routes read the body and left it neither as `body` nor as `rawBody`. Whoever runs this server mounts the sync routes before that parser.',
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
