// A sync of the model, step by step.

import type { Contested, Get, Page, Post, Posted, Value } from './model.js'
import * as model from './model.js'
import { remoteOf } from './sameStates.js'
import { COLUMNS, describeBody, describeModelPage, describeModelPosted, question, refuses, resolve } from './sameText.js'
import { type Fault, Lost, nothingSeen, type SameSync, type Seen } from './sameTold.js'
import type { SameWorld } from './sameWorld.js'

type Request = { get: Get; post?: undefined } | { post: Post; get?: undefined }

export function syncModel(w: SameWorld, sync: SameSync): Seen<Post> {
  const { client, server, fault } = sync
  const seen = nothingSeen<Post>()
  const db = w.at(client).model
  const known = remoteOf(db, server)
  const it = model.sync(db, known, {
    handler: contested => decideAll(contested, seen.asked),
    newKey: () => `k${++w.keys}`,
    rounds: 12,
  })
  let count = 0
  let answer: Page | Posted | undefined
  try {
    for (;;) {
      sortAll(db, known)
      const transaction = it.next(answer)
      answer = undefined
      if (transaction.done) {
        seen.end = transaction.value
        return seen
      }
      if (transaction.value) answer = ask(w, sync, transaction.value, ++count === fault?.at ? fault.kind : undefined, seen)
    }
  } catch (error) {
    if (!(error instanceof Lost || error instanceof model.OtherUser)) throw error
    it.return('')
    seen.end = error instanceof Lost ? 'lost' : 'other user'
    return seen
  }
}

function ask(w: SameWorld, sync: SameSync, request: Request, fault: Fault['kind'] | undefined, seen: Seen<Post>): Page | Posted {
  const { client, server } = sync
  const asks = request.get ? 'GET' : `POST ${describeBody(request.post.body)}`
  if (fault && fault !== 'answer lost') {
    if (request.post && fault === 'later') seen.late = request.post
    seen.requests.push(`${asks} ⇒ never arrived`)
    throw new Lost()
  }
  const answer = request.get ? page(w, sync, request.get) : model.post(w.at(server).model, request.post, refuses, w.userOf.get(client))
  seen.requests.push(`${asks} ⇒ ${request.get ? describeModelPage(answer as Page) : describeModelPosted(answer as Posted)}`)
  if (fault) throw new Lost()
  return answer
}

function page(w: SameWorld, { client, server }: SameSync, query: Get): Page {
  const answer = model.get(w.at(server).model, query, w.userOf.get(client))
  return answer.status === 304 ? answer : { ...answer, updates: [...(answer.updates ?? [])].sort(byOrder(w.at(client).model)) }
}

// ------------------------------------------------------------ the order of the code

// the code stores rows before removals, each in the order of ids
const byOrder = (db: model.Database) => (x: { id: string }, y: { id: string }) =>
  Number(model.gone(db.version(x.id).value)) - Number(model.gone(db.version(y.id).value)) || (x.id < y.id ? -1 : 1)

/** The model gives stamps in the order of its maps. */
function sortAll(db: model.Database, known: model.Remote): void {
  const sort = <T>(map: Map<string, T>) => {
    const entries = [...map].map(([id, value]) => ({ id, value })).sort(byOrder(db))
    map.clear()
    for (const { id, value } of entries) map.set(id, value)
  }
  sort(db.versions)
  sort(known.conflicts)
}

// ------------------------------------------------------------ its handler

const decideAll = (contested: readonly Contested[], asked: Set<string>) =>
  [...contested].sort((x, y) => (x.id < y.id ? -1 : 1)).flatMap(c => decide(c, asked))

function decide(c: Contested, asked: Set<string>): (Contested & { value: Value })[] {
  const [mine, { theirs, base }] = [c.mine.value, c]
  const isRow = !model.gone(mine) && !model.gone(theirs)
  const known = base && !model.gone(base) ? base : undefined
  const isContested = (p: string) => mine?.[p] !== theirs?.[p] && !(known && theirs?.[p] === known[p]) && !(known && mine?.[p] === known[p])
  const properties = isRow ? COLUMNS.filter(isContested) : []
  asked.add(question(c.id, mine, theirs, base, properties))
  const decision = resolve(c.id, mine, theirs, properties)
  if (decision === 'leave') return []
  if (decision === 'remote') return [{ ...c, value: theirs ?? { removed: 'r' } }]
  if (decision === 'local') return [{ ...c, value: mine ?? { removed: 'r' } }]
  return [{ ...c, value: { ...model.merge(base, mine, theirs).value, ...Object.fromEntries(decision) } }]
}
