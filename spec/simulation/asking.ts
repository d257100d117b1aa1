// What a sync asks a server, what becomes of it on its way, and what the answer says.

import type { Collection } from '../../src/changes/collections/collection.js'
import type { Cells, Value } from './oracle.js'
import type { Process } from './process.js'
import { type Groups, pathOf, postedRows, type Request, updatesOf } from './requests.js'
import { serve } from './serving.js'
import { principalName } from './users.js'
import type { World } from './world.js'

class Lost extends TypeError {}

interface Asked {
  readonly request: Request
  /** Who uses the device; undefined: there is only one. */
  readonly user: string | undefined
  /** It is sent as somebody else. */
  readonly isStranger: boolean
}

/** What an answer has. */
export interface Heard {
  readonly page: Map<string, Value>
  /** What a removal that a full answer shows by leaving the row out is called. */
  readonly sweepToken: Map<string, string>
  /** In the middle of a full answer. */
  readonly readsFull: boolean
  readonly isReset: boolean
}

export function requestOf(w: World, p: Process, url: string, init: RequestInit | undefined): Asked {
  const { users } = w
  const { pathname, search } = new URL(url)
  const body = init?.body === undefined || init.body === null ? undefined : String(init.body)
  const removals = new Map<string, string>()
  for (const row of postedRows(body))
    if (row._removed) removals.set(String(row.id), w.removalsOf(p.client).get(String(row.id)) ?? 'unknown')
  // where the database was handed over meanwhile, it compares with whose the rows were; it stores nothing any more
  if (users && p.goesOn && !p.isHandedOver) w.violation ??= new Error(`${p.client} goes on as ${users.userOf(p.client)}.`)
  const isStranger = users ? isOther(w, p) : drawStranger(w, p)
  const user = users ? users.userOf(p.client) : isStranger ? 'stranger' : undefined
  const request: Request = {
    server: p.server,
    method: (init?.method ?? 'GET') as 'GET',
    path: pathname + search,
    headers: { ...Object.fromEntries(new Headers(init?.headers).entries()), ...(user !== undefined && { user }) },
    body,
    removals,
    sees: w.snapshot(w.at(p.client)),
    from: p.client,
  }
  return { request, user, isStranger }
}

/** Requests and answers get lost, late and garbled. */
export async function send(w: World, p: Process, asked: Asked): Promise<{ answer: Response; heard?: Heard }> {
  const { chance } = w.random
  const { request, user, isStranger } = asked
  w.pushedRows += postedRows(request.body).length
  if (w.hasFaults && request.method === 'POST' && chance(w.odds.late)) {
    w.late.push(request)
    w.reached.add('late request')
    throw new Lost('fetch failed')
  }
  if (w.hasFaults && chance(w.odds.lost)) throw new Lost('fetch failed')
  const answer = await serve(w, request).catch(error => {
    w.violation ??= error // the transport would believe it to be the network's
    throw error
  })
  if (w.hasFaults && chance(w.odds.lost)) {
    w.reached.add('lost answer')
    throw new Lost('fetch failed')
  }
  if (w.hasFaults && chance(w.odds.garble)) return { answer: await garble(w, p, answer) }
  if (isStranger || (w.users && isOther(w, p, user))) return { answer: await poison(w, p, request, answer, isStranger) }
  if (request.method === 'GET' && answer.status === 200) return { answer, heard: await hear(w, p, answer) }
  return { answer }
}

async function garble(w: World, p: Process, answer: Response): Promise<Response> {
  w.reached.add('garbled answer')
  p.isGarbled = true
  const text = await answer.text()
  return new Response(w.random.chance(0.5) ? '<html>Welcome to our hotel</html>' : text.slice(0, text.length / 2), {
    status: answer.status === 304 ? 200 : answer.status,
  })
}

async function hear(w: World, p: Process, answer: Response): Promise<Heard> {
  const { schema, oracle } = w
  const {
    full,
    next,
    reset,
    scoped = [],
    ...changes
  } = (await answer.clone().json()) as Groups & {
    full?: boolean
    next?: string
    reset?: string
    scoped?: string[]
  }
  const updates = updatesOf(changes) as Record<string, string>[]
  const page = new Map<string, Value>()
  const sweepToken = new Map<string, string>()
  const remote = w.removalsOf(p.server)
  const lacked = schema.gained && updates.some(u => u[schema.gained as string] && w.at(p.client).lacks(schema.gained as string))
  if (lacked) w.reached.add('property unknown to the device')
  for (const { id, _removed, _left, a, b, c } of updates)
    if (_left) w.reached.add('told that a row left')
    else page.set(String(id), _removed ? { removed: remote.get(String(id)) ?? 'unknown' } : ({ a, b, c } as Cells))
  if (full)
    for (const id of w.ids)
      if (!page.has(id) && p.collections.some(c => isSwept(w, c, id, scoped)))
        sweepToken.set(id, oracle.lastRemoval.get(p.server + id) ?? remote.get(id) ?? oracle.token('lost'))
  return { page, sweepToken, readsFull: full === true && next !== undefined, isReset: reset !== undefined }
}

/** Does a full answer say by leaving a row out that it was removed? Of what is seen in part it may have left. */
const isSwept = ({ schema }: World, collection: Collection, id: string, scoped: readonly string[]) =>
  collection.name === schema.tables.find(t => t.ids.includes(id))?.name && !scoped.includes(pathOf(collection))

// ------------------------------------------------------------ somebody else

/** The rows here are those of another user than this one, or than the one who is signed in now. */
function isOther(w: World, p: Process, user = w.users?.userOf(p.client)): boolean {
  const known = w.knownPrincipal(p.client, p.server)
  return known !== undefined && user !== undefined && known !== principalName(user)
}

/** Somebody else has signed in; not before the device has heard whose rows it holds. */
function drawStranger(w: World, p: Process): boolean {
  const { strangers } = w.features
  if (!w.hasFaults || !strangers || !w.random.chance(strangers)) return false
  return w.knownPrincipal(p.client, p.server) !== undefined
}

/** What another user is answered: rows of theirs. None of it may be stored. */
async function poison(w: World, p: Process, { method, path }: Request, answer: Response, wasStranger: boolean): Promise<Response> {
  p.metStranger = true
  // a page that was read ahead is thrown away unseen where another sync has gone on
  p.goesOn = !path.includes('&after=')
  const isWrong = method === 'GET' ? answer.status === 304 : answer.status !== 409 && answer.status < 500
  // the transport would take what is thrown here for the network's
  if (isWrong && wasStranger) w.violation ??= new Error(`Another user's ${method} got ${answer.status}.`)
  w.reached.add(method === 'GET' ? 'another user in a pull' : 'another user in a push')
  const text = (await answer.text()).replace(/"a":"[^"]*"/g, '"a":"of another user"')
  return new Response(text, { status: answer.status, headers: answer.headers })
}
