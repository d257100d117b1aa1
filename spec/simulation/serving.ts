// A request at a server: what it does to the server's rows, and what it is answered.

import { beside } from './beside.js'
import { running, type SimulatedDatabase } from './databases.js'
import { endFault, injectFault } from './faults.js'
import { cellsOf, isGone, type Value } from './oracle.js'
import { lookAtPosted, lookAtPush, lookAtRejected, uniqueRowsIn } from './pushes.js'
import { numbersIn } from './relatives.js'
import { type Answer, postedRows, type Request } from './requests.js'
import { linksIn } from './rowLinks.js'
import type { State } from './watch.js'
import type { World } from './world.js'

/** What stands in a server when a request has its turn. */
interface Before {
  values: Map<string, Value>
  /** The tokens of removals. */
  tokens: Map<string, string>
  watched: State | undefined
}

export async function serve(w: World, request: Request): Promise<Response> {
  const { server, method, path, headers, body, from } = request
  const db = w.at(server)
  const before: Before = { values: new Map(), tokens: new Map(), watched: undefined }
  let numbersBefore: ReturnType<typeof numbersIn> | undefined
  let rowsBefore: ReturnType<typeof uniqueRowsIn> | undefined
  const look = () => {
    before.values = w.snapshot(db)
    before.tokens = new Map(w.removalsOf(server))
    before.watched = w.users?.look(db, headers.user)
    if (method !== 'POST') return
    numbersBefore = numbersIn(w, db)
    if (!isFaulty) rowsBefore = uniqueRowsIn(w, db, request)
  }
  const isFaulty = db.other !== undefined && w.hasFaults && w.random.chance(w.odds.fault * 3)
  if (isFaulty) injectFault(w, db)
  // who only reads does not wait for a transaction beside it, and may see what was before that
  const earlier = db.other && method === 'GET' ? w.users?.look(db, headers.user) : undefined
  const count = (more: 1 | -1) => w.serving.set(server, (w.serving.get(server) ?? 0) + more)
  count(1)
  const handling = beside(w, db, 'transaction beside a request', look, () => running.exit(() => db.handler(method, path, headers, body)))
  const answer = await handling.finally(() => count(-1))
  if (isFaulty) endFault(db)
  // the key is random, and a history is not
  w.trace(`    ${from} ${method} ${server}${path.replace(/&idempotency-key=[^&]*/, '')} ${body ?? ''} ⇒ ${answer.status} ${answer.body}`)
  const after = w.snapshot(db)
  for (const name of linksIn(w, db)) w.linked.add(name)
  observeChanges(w, request, before, after)
  if (w.users && before.watched)
    w.users.answered(db, { from, user: headers.user, method, path, posted: postedRows(body) }, answer, { ...before.watched, earlier })
  if (method === 'POST') {
    if (w.schema.isWide) lookAtPush(w, db, request, answer, numbersBefore, after)
    lookAtRejected(w, request, answer, rowsBefore)
    lookAtPosted(w, request, answer, before.values, after)
  } else lookAtPulled(w, path, answer)
  lookAtFailure(w, db, request, answer, isFaulty)
  return new Response(answer.status === 304 || answer.status === 204 ? null : answer.body, {
    status: answer.status,
    headers: answer.headers,
  })
}

/** Tells the oracle of each row that a request has changed. */
function observeChanges(w: World, { server, removals, sees }: Request, before: Before, after: Map<string, Value>): void {
  const { oracle, schema } = w
  for (const id of w.changesOf(before.values, after)) {
    const old = before.values.get(id) ?? null
    let value: Value = after.get(id) ?? null
    if (isGone(value)) {
      const reaching = schema.isWide ? [...removals.values()] : [removals.get('x')]
      const token = removals.get(id) ?? oracle.token(`${server}k`, ...reaching, ...cellsOf(sees.get(id)))
      if (!removals.has(id)) w.reached.add('removal took others along on the server')
      // who has no such column has seen the row nevertheless
      if (schema.gained && old && !isGone(old)) oracle.inherit(token, old[schema.gained])
      w.removalsOf(server).set(id, token)
      value = { removed: token }
    }
    oracle.observe({
      database: server,
      id,
      old: old && isGone(old) ? { removed: before.tokens.get(id) ?? 'unknown' } : old,
      value,
      cause: 'post',
    })
  }
}

function lookAtPulled(w: World, path: string, { status, body }: Answer): void {
  const { reached } = w
  if (/"reset":"collection-changed"/.test(body)) reached.add('collection-changed')
  if (/"reset":"since-too-old"/.test(body)) reached.add('since-too-old')
  if (/after=/.test(path)) reached.add('second page')
  if (/after=/.test(path) && /"reset"/.test(body)) reached.add('reset while paging')
  if (status === 304) reached.add('nothing new')
  else w.news++
}

function lookAtFailure(w: World, db: SimulatedDatabase, request: Request, { status }: Answer, isFaulty: boolean): void {
  const { server, method, path, body } = request
  if (status === 503) w.reached.add('server busy')
  if (db.other && status === 500 && !isFaulty) throw new Error(`${server} failed with ${method} ${path} ${body ?? ''}`)
}
