// A sync of the code, over a wire on which its requests are seen, and may get lost.

import type { Collection } from '../../src/changes/collections/collection.js'
import { OtherUserError, SyncContentionError } from '../../src/errors.js'
import type { Conflict, ConflictUpdate } from '../../src/sync/conflicts/handlers.js'
import { TransportError } from '../../src/sync/http/errors.js'
import { createTransport } from '../../src/sync/http/transport.js'
import { feedWire } from '../../src/sync/http/wire.js'
import { ReportBuilder } from '../../src/sync/report.js'
import { sync } from '../../src/sync/sync.js'
import type { Value } from './model.js'
import { remoteIdOf } from './sameStates.js'
import { describeAnswer, describeBody, question, resolve, rowsIn } from './sameText.js'
import { type Fault, type HttpRequest, Lost, nothingSeen, type SameSync, type Seen } from './sameTold.js'
import type { SameWorld } from './sameWorld.js'

const ROWS = 3 // in a page, and in a push, as in the model

export async function syncCode(w: SameWorld, { client, server, fault }: SameSync): Promise<Seen<HttpRequest>> {
  const seen = nothingSeen<HttpRequest>()
  const { code } = w.at(client)
  let count = 0
  const fetch = async (url: string, init: RequestInit | undefined) => {
    const request = requestOf(url, init, w.userOf.get(client))
    return send(w, server, request, ++count === fault?.at ? fault.kind : undefined, seen)
  }
  const handler = (conflicts: Conflict[], updates: ConflictUpdate[]) => decideAll(conflicts, updates, seen.asked)
  try {
    const transport = createTransport({ fetch: (url, init) => fetch(String(url), init), retries: 0, timeout: 10 ** 9 })
    const wire = feedWire(transport, `http://${server}/sync`, ['/items'])
    const [collection] = code.log.collections as [Collection]
    await sync({
      log: code.log,
      members: [{ collection, path: '/items', serverId: remoteIdOf(code, server), handler: handler as never }],
      wire,
      feed: wire,
      lacking: [],
      pageSize: ROWS,
      batchSize: ROWS,
      maxRounds: 12,
      handlerTimeout: undefined,
      noAccess: 'keep',
      signal: undefined,
      report: new ReportBuilder({ entities: [], url: '' }, () => {}),
    })
    seen.end = 'ok'
  } catch (error) {
    seen.end = endOf(error)
  }
  return seen
}

function endOf(error: unknown): string {
  if (error instanceof SyncContentionError) return 'contention'
  if (error instanceof OtherUserError) return 'other user'
  if (error instanceof TransportError && (error.cause as Error)?.message === 'fetch failed') return 'lost'
  throw error
}

function requestOf(url: string, init: RequestInit | undefined, user: string | undefined): HttpRequest {
  const { pathname, search } = new URL(url)
  return {
    method: (init?.method ?? 'GET') as 'GET',
    path: pathname + search,
    headers: { ...Object.fromEntries(new Headers(init?.headers).entries()), ...(user !== undefined && { user }) },
    body: init?.body ? String(init.body) : undefined,
  }
}

async function send(
  w: SameWorld,
  server: string,
  request: HttpRequest,
  fault: Fault['kind'] | undefined,
  seen: Seen<HttpRequest>,
): Promise<Response> {
  const { method, path, headers, body } = request
  const asks = method === 'GET' ? 'GET' : `POST ${describeBody(rowsIn(JSON.parse(body as string)) as never)}`
  if (fault && fault !== 'answer lost') {
    if (method === 'POST' && fault === 'later') seen.late = request
    seen.requests.push(`${asks} ⇒ never arrived`)
    throw new Lost('fetch failed')
  }
  const answer = await w.at(server).code.handler(method, path, headers, body)
  seen.requests.push(`${asks} ⇒ ${describeAnswer(method, answer)}`)
  if (fault) throw new Lost('fetch failed')
  return new Response(answer.status === 304 ? null : answer.body, { status: answer.status, headers: answer.headers })
}

/** Its handler. */
function decideAll(conflicts: readonly Conflict[], updates: ConflictUpdate[], asked: Set<string>): void {
  for (const conflict of conflicts) {
    const { id, properties } = conflict
    const [mine, theirs, base] = [conflict.local as Value, conflict.remote as Value, conflict.base as Value | undefined]
    asked.add(question(id, mine, theirs, base, properties))
    const decision = resolve(id, mine, theirs, properties)
    if (decision === 'leave') continue
    if (decision === 'remote') conflict.takeRemote()
    else if (decision === 'local') updates.push(mine === null ? { id, _removed: true } : { id })
    else updates.push({ id, ...Object.fromEntries(decision) })
  }
}
