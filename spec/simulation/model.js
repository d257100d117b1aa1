// The design as a program: what docs/how-it-works.md says in prose, PROTOCOL.md on the wire, without SQL and HTTP.
// `sync` is a generator. What stands between two yields is one atomic step: a transaction that holds the clock, or one synchronous
// turn on a driver with a single connection. At a yield anything may happen: the application writes, another sync runs, the process
// dies. `yield request` asks a server; the answer comes back from it, or an error is thrown there.
// `without` names remedies that are taken out, so that the simulation can show that it notices.
//
// A copy of the design's model.mjs, which sameHistory.ts drives beside the shipped code. Where the copy follows the code:
// - A parent that was removed here gets no entry of its own in the journal when the server's child waits for it (`take`, `decideConflicts`).
// - A stamp is taken where something is stored under it, not with every page, decision and POST (`stampOf`, `post`).
// - A sweep takes a stamp of its own, for it is a step of its own (`storePage`).

export const without = new Set()
const has = remedy => !without.has(remedy)

export const gone = value => value === null || value.removed !== undefined
export const same = (x, y) => (gone(x) || gone(y) ? gone(x) && gone(y) : Object.keys({ ...x, ...y }).every(p => x[p] === y[p]))
const NEVER = { value: null, stamp: 0 }
/** Rows in a page, and in a push. */
const PAGE = 3
const BATCH = 3
const LAST = '\uffff' // an id above all others
const upTo = ([stamp, last], id, s) => s < stamp || (s === stamp && id <= last)

// ---------------------------------------------------------------- the database: a clock, rows with stamps, images

export class Database {
  now = 0 // the clock
  horizon = 0 // tombstones up to here are collected
  versions = new Map() // id → { value, stamp }; a value that is gone is a tombstone
  remotes = [] // the servers that this database is a client of
  pushes = new Map() // the POSTs that it answered as a server: key → answer
  constructor(collection, observe = () => {}) {
    this.collection = collection
    this.observe = observe
  }

  parentOf = () => undefined // the foreign key: the id of the row that a row needs
  cascade = false // what its ON DELETE says: take the children along, or refuse

  version(id) {
    return this.versions.get(id) ?? NEVER
  }
  exists(id) {
    return !gone(this.version(id).value)
  }
  children(id) {
    return [...this.versions.keys()].filter(c => this.parentOf(c) === id && this.exists(c))
  }
  forbids(id, value) {
    return gone(value) ? !this.cascade && this.children(id).length > 0 : this.parentOf(id) !== undefined && !this.exists(this.parentOf(id))
  }
  tick() {
    return ++this.now
  }

  // what the triggers do: any write of the application gets a stamp, and the version before it is kept where someone knows it
  write(id, value, stamp = this.tick()) {
    // the rows of one statement may share a stamp
    const old = this.version(id)
    if (same(old.value, value) || this.forbids(id, value)) return
    if (gone(value)) for (const child of this.children(id)) this.put(child, this.version(child), value, stamp, 'application')
    this.put(id, old, value, stamp, 'application')
  }

  // whoever replaces a version keeps it for every server that knows it
  put(id, old, value, stamp, cause, remote, theirs) {
    for (const r of this.remotes)
      if (r !== remote && (r.agreed(id, old.stamp) || r.inFlight(id, old.stamp)) && (old.stamp || !remote || !has('no-false-birth')))
        r.keep(id, old.stamp, old.value)
    this.observe(this, id, old, value, cause, remote, theirs)
    this.versions.set(id, { value, stamp })
  }

  // a tombstone may go when every server of this database has heard of it
  collect(horizon) {
    for (const [id, v] of this.versions) {
      if (!gone(v.value) || v.stamp > horizon || !this.remotes.every(r => r.agreed(id, v.stamp) && !r.conflicts.has(id))) continue
      this.versions.delete(id)
      if (has('collect-images-too')) for (const r of this.remotes) r.images.delete(id) // else an old one passes for the base of a row made anew
    }
    this.horizon = Math.max(this.horizon, horizon)
  }
}

// what a client remembers of one server
export class Remote {
  collection = undefined // the server's collection id
  serverDate = 0 // read up to (the server's stamps)
  highest = 0 // the highest of the server's stamps that was ever heard
  page = null // an unfinished pull: { next, seen } (seen: the ids of a full answer)
  localDate = [0, LAST] // told up to: our stamp, and the id within it, for many rows may share a stamp
  mine = new Set() // our stamps under which this server's rows were stored
  push = null // an unanswered push: { key, limit: [stamp, id], since }
  images = new Map() // id → Map(stamp → value): versions that this server knows, of rows that have changed since
  conflicts = new Map() // id → { theirs, untold }: the server's value, waiting; and the stamp of our version, if that is news
  rejected = new Map() // id → stamp of the version that the server refused
  retry = new Set() // ids of those that were refused for rows that were missing or still there: told again later
  constructor(name) {
    this.name = name
  }

  agreed(id, stamp) {
    return (upTo(this.localDate, id, stamp) || this.mine.has(stamp)) && !this.untold(id, stamp)
  }
  untold(id, stamp) {
    return has('untold') && (this.conflicts.get(id)?.untold === stamp || this.rejected.get(id) === stamp)
  }
  inFlight(id, stamp) {
    return has('keep-in-flight') && this.push !== null && upTo(this.push.limit, id, stamp) && !this.untold(id, stamp)
  }
  keep(id, stamp, value) {
    if (!this.images.has(id)) this.images.set(id, new Map())
    this.images.get(id).set(stamp, value)
  }

  // the last version that both sides know; undefined where there is none
  base(id, version) {
    if (version.stamp === 0 || this.agreed(id, version.stamp)) return version.value // what we never had is unchanged
    const known = [...(this.images.get(id) ?? [])].filter(([stamp]) => this.agreed(id, stamp)).sort(([x], [y]) => y - x)
    return known[0]?.[1]
  }
  // the version that a push up to `limit` tells, whatever happened to the row since; undefined where it tells nothing
  at(id, version, limit) {
    if (!upTo(limit, id, version.stamp)) {
      const [stamp, value] = [...(this.images.get(id) ?? [])].filter(([s]) => upTo(limit, id, s)).sort(([x], [y]) => y - x)[0] ?? []
      if (stamp === undefined) return
      version = { stamp, value }
    }
    return version.stamp === 0 || this.agreed(id, version.stamp) ? undefined : version
  }
  held(id, version) {
    return this.conflicts.has(id) || this.rejected.get(id) === version.stamp
  }

  dropTentativeImages() {
    for (const [id, images] of this.images) for (const stamp of images.keys()) if (!this.agreed(id, stamp)) images.delete(stamp)
  }
  // a push that does not count: what was kept for it would pass for what the server knows, once told has moved on
  endPush() {
    this.push = null
    if (has('drop-tentative-images')) this.dropTentativeImages()
  }
  prune(db) {
    for (const [id, images] of this.images) {
      const latest = Math.max(-1, ...[...images.keys()].filter(s => this.agreed(id, s)))
      for (const stamp of images.keys())
        if (this.agreed(id, stamp) && (stamp < latest || this.agreed(id, db.version(id).stamp))) images.delete(stamp)
      if (!images.size) this.images.delete(id)
    }
  }
  acknowledge(limit, answer) {
    this.localDate = limit
    for (const stamp of this.mine) if (stamp < limit[0]) this.mine.delete(stamp)
    this.push = null
    this.highest = Math.max(this.highest, answer.now)
    if (answer.since === this.serverDate) this.serverDate = answer.now // nothing of others lies between
  }
  reset(collection) {
    Object.assign(this, { collection, serverDate: 0, highest: 0, page: null, localDate: [-1, ''], push: null })
    for (const c of [this.mine, this.images, this.conflicts, this.rejected, this.retry]) c.clear()
  }
}

// ---------------------------------------------------------------- the server

export function get(db, { since, after, collection, min = 0 }, replica = false) {
  let reset
  const behind = db.now < Math.max(since, has('min') ? min : 0) // the client has seen more than this
  if (behind && replica) return { status: 503 } // for a replica to say: it will catch up
  if (behind || (collection !== undefined && collection !== db.collection)) reset = 'collection-changed'
  else if (
    after
      ? (after.start === undefined ? after.stamp - 1 : after.start) < db.horizon && has('horizon-on-pages')
      : since > 0 && since < db.horizon
  )
    reset = 'since-too-old'
  if (reset) {
    since = 0
    after = undefined
  }
  const start = after ? after.start : since === 0 ? db.now : undefined // a full answer begins here; removals after it are told
  const from = after ?? { stamp: since, id: LAST }
  const waiting = [...db.versions]
    .map(([id, v]) => ({ id, ...v }))
    .filter(v => v.stamp > from.stamp || (v.stamp === from.stamp && v.id > from.id))
    .filter(v => !gone(v.value) || start === undefined || (v.stamp > start && has('removals-while-paging')))
    .sort((x, y) => x.stamp - y.stamp || (x.id < y.id ? -1 : 1))
  const updates = waiting.slice(0, PAGE)
  const last = updates.at(-1)
  return {
    status: 200,
    now: db.now,
    collection: db.collection,
    reset,
    updates,
    full: start !== undefined,
    next: waiting.length > PAGE ? { stamp: last.stamp, id: last.id, start } : undefined,
  }
}

export function post(db, { body, since, collection, key }, refuses = () => false) {
  if (db.pushes.has(key)) return { ...db.pushes.get(key), replayed: true }
  if (collection !== db.collection || since > db.now) return { status: 409, reset: 'collection-changed' }
  if (since < db.horizon && has('horizon-on-push')) return { status: 409, reset: 'since-too-old' }
  const before = db.now
  if (!body.length) {
    const answer = { status: 200, now: before, since: before, empty: true }
    if (has('empty-push-counts')) db.pushes.set(key, answer)
    return answer
  }
  const posted = new Map(
    body.map(({ id, partial, ...own }) => {
      const old = db.version(id)
      if (partial && gone(old.value) && old.stamp <= since) throw new Error(`a part of a row that is not there: ${id}`)
      return [id, own.removed ? own : partial ? { ...old.value, ...own } : own]
    }),
  )
  const removed = [...posted].filter(([, value]) => gone(value)).map(([id]) => id)
  const orphans = removed.flatMap(id => db.children(id).filter(c => !posted.has(c))) // rows that the cascade reaches
  if (has('stale-check') && [...posted.keys(), ...(has('cascade-check') ? orphans : [])].some(id => db.version(id).stamp > since))
    return { status: 409 }
  const there = id => (posted.has(id) ? !gone(posted.get(id)) : db.exists(id))
  const errors = body.filter(o => refuses(o)).map(({ id }) => ({ id, why: 'rule' }))
  for (const [id, value] of posted) {
    if (!gone(value) && db.parentOf(id) !== undefined && !there(db.parentOf(id))) errors.push({ id, why: 'parent' })
    if (gone(value) && !db.cascade && [...db.children(id), ...posted.keys()].some(c => db.parentOf(c) === id && there(c)))
      errors.push({ id, why: 'children' })
  }
  if (errors.length) return { status: 422, errors }
  const changes = [...posted].some(([id, value]) => !same(value, db.version(id).value))
  const stamp = changes ? db.tick() : before
  for (const id of removed) for (const c of db.children(id)) if (!posted.has(c)) db.put(c, db.version(c), posted.get(id), stamp, 'post')
  for (const [id, value] of posted) {
    const old = db.version(id)
    if (same(value, old.value)) db.observe(db, id, old, value, 'post')
    else db.put(id, old, value, stamp, 'post')
  }
  const answer = { status: 200, now: stamp, since: orphans.length && has('tell-cascades') ? undefined : before } // more than was posted has changed
  db.pushes.set(key, answer)
  return answer
}

// ---------------------------------------------------------------- the client

// the three-way merge of one row; contested: a property, or the row's existence, that both sides changed
export function merge(base, mine, theirs) {
  if (same(mine, theirs)) return { value: theirs, contested: false }
  if (gone(mine) || gone(theirs)) {
    if (base !== undefined && same(mine, base)) return { value: theirs, contested: false }
    if (base !== undefined && same(theirs, base)) return { value: mine, contested: false }
    return { value: mine, contested: true }
  }
  const unknown = base === undefined || gone(base)
  const value = {}
  let contested = false
  for (const p of Object.keys({ ...mine, ...theirs })) {
    if (mine[p] === theirs[p] || (!unknown && theirs[p] === base[p])) value[p] = mine[p]
    else if (!unknown && mine[p] === base[p]) value[p] = theirs[p]
    else {
      value[p] = mine[p]
      contested = true
    }
  }
  return { value, contested }
}

export function* sync(db, remote, { handler, newKey, rounds = 12 }) {
  for (let round = 0; round < rounds; round++) {
    if (remote.push !== null && has('finish-push-first')) yield* finishPush(db, remote)
    if (round === 0) tellAgain(db, remote)
    yield* pull(db, remote)
    yield* decideConflicts(db, remote, handler)
    let outcome
    do outcome = yield* push(db, remote, newKey)
    while (outcome === 'more')
    if (outcome === 'done') return 'ok'
  }
  return 'contention'
}

function tellAgain(db, remote) {
  for (const id of remote.retry) {
    const v = db.version(id)
    if (remote.rejected.get(id) === v.stamp && !remote.conflicts.has(id)) db.put(id, v, v.value, db.tick(), 'again', remote)
    remote.rejected.delete(id)
  }
  remote.retry.clear()
}

// a push without an answer: an empty one under the same key brings the answer again, or makes sure that it never counts
function* finishPush(_db, remote) {
  const { key, limit, since } = remote.push
  const answer = yield { post: { body: [], since, collection: remote.collection, key } }
  if (remote.push?.key !== key) return
  if (answer.status === 200 && !answer.empty) remote.acknowledge(limit, answer)
  else remote.endPush()
  yield
}

function* pull(db, remote) {
  for (let complete = false; !complete; ) {
    if (remote.push !== null && has('no-pull-over-push')) return // another sync of this database has begun to tell
    const asked = cursor(remote)
    const answer = yield { get: { since: remote.serverDate, after: remote.page?.next, collection: remote.collection, min: remote.highest } }
    if (answer.status === 503) throw new Error('lagging')
    if (cursor(remote) !== asked && has('same-cursor')) continue // another sync of this database has read or told meanwhile
    complete = storePage(db, remote, answer)
    yield
  }
}
const cursor = ({ collection, serverDate, page, highest, localDate, push }) =>
  JSON.stringify([collection, serverDate, page?.next, highest, localDate, push?.key])

function storePage(db, remote, answer) {
  const begins = answer.reset || !remote.page?.next
  if (answer.reset === 'collection-changed') remote.reset(answer.collection)
  remote.collection ??= answer.collection
  if (begins) remote.page = { seen: answer.full ? new Set() : undefined } // a full answer begun anew forgets what an earlier one showed
  const { seen } = remote.page
  const stamp = stampOf(db, remote)
  for (const { id, value } of answer.updates) {
    seen?.[gone(value) ? 'delete' : 'add'](id)
    take(db, remote, id, value, stamp)
  }
  if (has('min-on-pages')) remote.highest = Math.max(remote.highest, answer.now) // no later page may come from an older state
  if (answer.next) {
    remote.page = { seen, next: answer.next }
    return false
  }
  // what a full answer does not have, the server does not have any more
  const swept = seen && stampOf(db, remote)
  if (seen && has('sweep'))
    for (const id of [...db.versions.keys()])
      if (!seen.has(id) && !gone(theirsBefore(db, remote, id))) take(db, remote, id, { removed: remote.tokenOfRemoval(id) }, swept)
  Object.assign(remote, { serverDate: answer.now, highest: Math.max(remote.highest, answer.now), page: null })
  return true
}

// a stamp under which this server's rows are stored is noted: they are no news for it; it is taken with the first of them
function stampOf(db, remote) {
  let stamp
  return () => {
    if (stamp === undefined) {
      stamp = db.tick()
      if (has('note-stamp')) remote.mine.add(stamp)
    }
    return stamp
  }
}
const theirsBefore = (db, remote, id) =>
  (has('sweep-conflicts') ? remote.conflicts.get(id)?.theirs : undefined) ?? remote.base(id, db.version(id)) ?? null

// one row of the server's: stored, merged, or written into the journal, where it waits; true where it waits for a decision
function take(db, remote, id, theirs, stamp) {
  const mine = db.version(id)
  const { value, contested } = merge(remote.base(id, mine), mine.value, theirs)
  const unseen = gone(value) && !gone(mine.value) && db.children(id).some(c => !remote.agreed(c, db.version(c).stamp)) // law 9
  const orphan = !gone(value) && db.forbids(id, value)
  if (contested || (unseen && has('unseen-children'))) {
    wait(remote, id, mine, theirs)
    return true
  }
  if (orphan) {
    wait(remote, id, mine, theirs)
    // its parent has not come yet, or was removed here, while the server gave it a child
    const parent = db.parentOf(id)
    const { stamp: removed } = db.version(parent)
    return removed > 0 && !remote.agreed(parent, removed)
  }
  return settle(db, remote, id, mine, value, theirs, stamp, 'merge')
}
function wait(remote, id, mine, theirs) {
  remote.conflicts.set(id, { theirs, untold: remote.agreed(id, mine.stamp) ? undefined : mine.stamp })
}

function settle(db, remote, id, mine, value, theirs, stamp, cause) {
  if (gone(value) && cause !== 'handler' && db.forbids(id, value) && !gone(mine.value)) {
    wait(remote, id, mine, theirs)
    return false
  } // until its children are gone
  remote.conflicts.delete(id)
  if (same(value, theirs)) {
    if (same(mine.value, theirs) && remote.agreed(id, mine.stamp)) return void db.observe(db, id, mine, theirs, cause, remote, theirs) // equal already: nothing moves
    if (gone(value))
      for (const c of db.children(id)) db.put(c, db.version(c), theirs, stamp(), cause === 'handler' ? cause : 'cascade', remote, theirs)
    return void db.put(id, mine, theirs, stamp(), cause, remote, theirs)
  }
  // what has something of its own to tell gets a fresh stamp; the server's row is kept as what both know
  const agreed = stamp()
  db.put(id, mine, value, has('fresh-stamp') ? db.tick() : mine.stamp || db.tick(), cause, remote, theirs)
  if (has('image-of-theirs')) remote.keep(id, agreed, theirs)
}

function* decideConflicts(db, remote, handler) {
  if (!remote.conflicts.size || remote.page !== null) return // half a pull is half the picture
  const stamp = stampOf(db, remote)
  const contested = [...remote.conflicts]
    .filter(([id, { theirs }]) => take(db, remote, id, theirs, stamp))
    .map(([id, { theirs }]) => ({ id, theirs, mine: db.version(id), base: remote.base(id, db.version(id)), family: family(db, id) }))
  yield // the handler takes its time; nothing is locked meanwhile
  const decided = handler(contested)
  yield
  const later = stampOf(db, remote)
  const childrenFirst = decided.sort((x, y) => (db.parentOf(x.id) === undefined) - (db.parentOf(y.id) === undefined))
  for (const { id, mine, theirs, value, family: shown } of childrenFirst) {
    if ((db.version(id).stamp !== mine.stamp || remote.conflicts.get(id)?.theirs !== theirs) && has('guard')) continue // it moved: asked again later
    if (gone(value) && family(db, id) !== shown) continue // or its children did
    const parent = db.parentOf(id)
    if (!gone(value) && parent !== undefined && !db.exists(parent)) {
      // whoever takes the child takes its parent
      const p = db.version(parent)
      const needed = remote.conflicts.get(parent)?.theirs ?? remote.base(parent, p)
      if (needed === undefined || gone(needed)) continue
      settle(db, remote, parent, p, needed, needed, later, 'handler')
    }
    if (gone(value) && (waitingChildren(db, remote, id).length || (gone(mine.value) && db.exists(id)))) continue // nor does a removal stand while a child waits
    settle(db, remote, id, db.version(id), value, theirs, later, 'handler')
  }
  yield
}

const family = (db, id) =>
  db
    .children(id)
    .map(c => c + db.version(c).stamp)
    .sort()
    .join()
const waitingChildren = (db, remote, id) =>
  [...remote.conflicts].filter(([c, { theirs }]) => db.parentOf(c) === id && !gone(theirs)).map(([c]) => c)

function* push(db, remote, newKey) {
  if (remote.push !== null) return 'again' // another sync of this database was faster
  if (!fixPush(db, remote, newKey)) return 'done'
  yield
  if (remote.push === null) return 'again' // and ended it
  const { key, limit, since, more } = remote.push
  const { body, told } = readPush(db, remote, limit)
  const answer = body.length ? yield { post: { body, since, collection: remote.collection, key } } : { status: 200, now: since, since }
  if (remote.push?.key !== key && has('same-push')) return 'again' // undone meanwhile, with the rows that it told
  if (answer.status === 409 || answer.empty) {
    remote.endPush()
    return 'again'
  }
  if (answer.status === 422) {
    for (const { id, why } of answer.errors) {
      remote.rejected.set(id, told.get(id))
      if (why !== 'rule') remote.retry.add(id)
    }
    remote.endPush()
    return 'again'
  }
  remote.acknowledge(limit, answer)
  remote.prune(db)
  yield
  return more ? 'more' : 'done'
}

// writes down what the next push tells: the news up to a stamp. From now on what stood at that stamp is kept until the answer is here,
// whatever the application does meanwhile: the push is read from it, and it is what both know if the push turns out to have arrived.
function fixPush(db, remote, newKey) {
  for (const [id, v] of db.versions) {
    // a removal waits with the rows that wait for a word about it
    if (v.stamp === 0 || !gone(v.value) || remote.agreed(id, v.stamp) || !waitingChildren(db, remote, id).length || !has('hold-parent'))
      continue
    remote.rejected.set(id, v.stamp)
    remote.retry.add(id)
  }
  const news = [...db.versions]
    .filter(([id, v]) => !remote.agreed(id, v.stamp) && !remote.held(id, v))
    .map(([id, v]) => [v.stamp, id])
    .sort(([s, x], [t, y]) => s - t || (x < y ? -1 : 1))
  for (const [id, conflict] of remote.conflicts) if (!remote.agreed(id, db.version(id).stamp)) conflict.untold = db.version(id).stamp
  if (!news.length) {
    // nothing to tell is told at once
    remote.localDate = [db.now, LAST]
    remote.mine.clear()
    return false
  }
  const limit = news.length > BATCH ? news[BATCH - 1] : [db.now, LAST]
  remote.push = { key: newKey(), limit, since: remote.serverDate, more: news.length > BATCH }
  return true
}

function readPush(db, remote, limit) {
  const body = []
  const told = new Map()
  for (const [id, current] of db.versions) {
    const version = remote.at(id, current, limit)
    if (!version || remote.held(id, current)) continue
    const base = remote.base(id, current)
    told.set(id, version.stamp)
    if (gone(version.value) && base !== undefined && gone(base))
      db.observe(db, id, version, version.value, 'never told') // made and removed here: never mind
    else if (gone(version.value)) body.push({ id, ...version.value })
    else if (base === undefined || gone(base)) body.push({ id, ...version.value })
    else if (!same(version.value, base))
      body.push({ id, partial: true, ...Object.fromEntries(Object.entries(version.value).filter(([p, v]) => v !== base[p])) })
  }
  return { body, told }
}
