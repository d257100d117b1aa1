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
// - After rows were rejected the next push goes out at once: nothing has to be read for it (`push`).
// - What a server has stored in another way than it was posted, or changed along, is read in the same sync (`sync`).
// - A poll that brings nothing leaves the cursor where it is (`get`, 304).
// - A server says itself what went with the keys that were lost; the client knows the names of sets alone, and holds none while an answer for
//   another one is read (`get`, `storePage`; laws 15 and 16). In the design the client purges by the names of keys.
// - An exit says all scopes that the row had, and each is told; in the design one stands in each key, and the latest is told (`move`, `get`).
// - A row that was made anew under the id of one that is kept apart waits with it (`Remote.agreed`).
// Foreign keys are here for rows that everybody sees: how rows with scopes wait for parents that are not seen is in the design's model alone.

export const without = new Set()
const has = remedy => !without.has(remedy)

export const gone = value => value === null || value.removed !== undefined
export const same = (x, y) => (gone(x) || gone(y) ? gone(x) && gone(y) : Object.keys({ ...x, ...y }).every(p => x[p] === y[p]))
const NEVER = { value: null, stamp: 0 }
const LEFT = { removed: 'left', left: true }
/** Rows in a page, and in a push. */
const PAGE = 3
const BATCH = 3
const LAST = '\uffff' // an id above all others
const upTo = ([stamp, last], id, s) => s < stamp || (s === stamp && id <= last)
const meet = (list, other) => list.some(k => other.includes(k))

// ---------------------------------------------------------------- the database: a clock, rows with stamps, images

export class Database {
  now = 0 // the clock
  horizon = 0 // tombstones up to here are collected
  versions = new Map() // id → { value, stamp }; a value that is gone is a tombstone
  remotes = [] // the servers that this database is a client of
  pushes = new Map() // the POSTs that it answered as a server: principal and key → answer
  rules = undefined // who may see and change which rows: { scopesOf, accessOf }; without them everybody may everything
  members = new Map() // what the rules read: who has which role where
  exits = [] // what left scopes: { id, stamp, keys, value }; the value is gone, as a removal or as { left: true } for elsewhere
  sets = new Map() // principal and name → { principal, name, stamp, keys }: sets of keys that were named in an answer; may be forgotten
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

  // '*' is a key that every row has: whoever holds it sees everything
  sees(keys, value) {
    return !gone(value) && (keys.includes('*') || meet(keys, this.rules.scopesOf(value)))
  }
  // what a caller holds: { principal, name, keys, mayChange, mayMake }, read in the step that reads or stores the rows
  access(principal) {
    return this.rules?.accessOf(this, principal)
  }
  // what a caller sees at an id: of a row that they do not see, when it left them
  shown(id, access) {
    const version = this.version(id)
    if (!access || access.keys.includes('*') || this.sees(access.keys, version.value)) return version
    return { value: null, stamp: Math.max(0, ...this.exits.filter(e => e.id === id && meet(e.keys, access.keys)).map(e => e.stamp)) }
  }
  // what left a scope leaves an exit there; a row that is there again was not removed, and where an application puts it back it has not left
  move(id, old, value, stamp, cause) {
    if (!this.rules) return
    const [before, after] = [old, value].map(v => (gone(v) ? [] : this.rules.scopesOf(v)))
    if (gone(old)) {
      const isThere = e => cause === 'application' && e.id === id && !e.value.left && e.keys.join() === after.join()
      if (!gone(value)) this.exits = this.exits.filter(e => !isThere(e)).map(e => (e.id === id ? { ...e, value: LEFT } : e))
      return
    }
    if (!gone(value) && (before.join() === after.join() || !has('exits'))) return
    if (before.length) this.exits = [...this.exits, { id, stamp, keys: before, value: gone(value) ? value : LEFT }]
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
      if (
        r !== remote &&
        !r.aside.has(id) &&
        (r.agreed(id, old.stamp) || r.inFlight(id, old.stamp)) &&
        (old.stamp || !remote || !has('no-false-birth'))
      )
        r.keep(id, old.stamp, old.value)
    this.observe(this, id, old, value, cause, remote, theirs)
    this.versions.set(id, { value, stamp })
    this.move(id, old.value, value, stamp, cause)
  }

  // a row that is not seen any more goes without a trace: no tombstone, no news. Who reads from here reads everything anew
  purge(id) {
    this.observe(this, id, this.version(id), null, 'purge')
    if (this.exists(id)) this.horizon = this.now
    if (has('purge')) this.versions.delete(id)
    this.exits = this.exits.filter(e => e.id !== id)
    for (const r of this.remotes) r.forget(id)
  }

  // a tombstone may go when every server of this database has heard of it
  collect(horizon) {
    for (const [id, v] of this.versions) {
      if (!gone(v.value) || v.stamp > horizon || !this.remotes.every(r => r.agreed(id, v.stamp) && !r.conflicts.has(id))) continue
      this.versions.delete(id)
      if (has('collect-images-too')) for (const r of this.remotes) r.images.delete(id) // else an old one passes for the base of a row made anew
    }
    this.exits = this.exits.filter(e => e.stamp > horizon)
    for (const [name, set] of this.sets) if (set.stamp <= horizon) this.sets.delete(name)
    this.horizon = Math.max(this.horizon, horizon)
  }
}

// what a client remembers of one server
export class Remote {
  collection = undefined // the server's collection id
  serverDate = 0 // read up to (the server's stamps)
  highest = 0 // the highest of the server's stamps that was ever heard
  page = null // an unfinished pull: { next, seen, scoped } (seen: the ids of a full answer; scoped: what it lacks has left)
  principal = undefined // whose rows these are, as the server calls them
  scope = null // the set of keys that is held, as the server calls it; '': none as a whole; null: the server names none
  etag = undefined // of the last answer
  localDate = [0, LAST] // told up to: our stamp, and the id within it, for many rows may share a stamp
  mine = new Set() // our stamps under which this server's rows were stored
  push = null // an unanswered push: { key, limit: [stamp, id], since }
  images = new Map() // id → Map(stamp → value): versions that this server knows, of rows that have changed since
  conflicts = new Map() // id → { theirs, untold }: the server's value, waiting; and the stamp of our version, if that is news
  rejected = new Map() // id → stamp of the version that the server refused
  retry = new Map() // those that were refused for other rows ('rows': told again by the next sync), or for rights ('scope', then 'freed')
  aside = new Map() // id → { mine, base }: unsent versions of rows that are not seen any more; {}: here for another server's sake
  decisions = new Set() // ids of rows about which a handler has decided, for people
  constructor(name) {
    this.name = name
  }

  agreed(id, stamp) {
    return (upTo(this.localDate, id, stamp) || this.mine.has(stamp)) && !this.untold(id, stamp) && !this.unseen(id, stamp)
  }
  unseen(id, stamp) {
    return stamp > 0 && this.aside.has(id)
  }
  untold(id, stamp) {
    return has('untold') && (this.conflicts.get(id)?.untold === stamp || this.rejected.get(id) === stamp)
  }
  inFlight(id, stamp) {
    return (
      has('keep-in-flight') && this.push !== null && upTo(this.push.limit, id, stamp) && !this.untold(id, stamp) && !this.unseen(id, stamp)
    )
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
    return this.conflicts.has(id) || this.aside.has(id) || this.rejected.get(id) === version.stamp
  }
  // the server's version that was heard last; null where it has none, or that is not known
  heard(id, version) {
    return (this.conflicts.has(id) ? this.conflicts.get(id).theirs : this.base(id, version)) ?? null
  }
  // does the push that is under way tell the row?
  tells(id, version) {
    if (this.push === null || this.conflicts.has(id)) return false
    const stamps = [version.stamp, ...(this.images.get(id)?.keys() ?? [])]
    return stamps.some(s => s > 0 && upTo(this.push.limit, id, s) && !this.agreed(id, s) && !this.untold(id, s) && !this.unseen(id, s))
  }
  forget(id) {
    if (has('purge-images')) this.images.delete(id)
    if (has('purge-conflicts')) this.conflicts.delete(id)
    if (has('purge-decisions')) this.decisions.delete(id)
    this.rejected.delete(id)
    this.retry.delete(id)
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
    Object.assign(this, { collection, serverDate: 0, highest: 0, page: null, localDate: [-1, ''], push: null, etag: undefined })
    this.scope = this.scope === null ? null : ''
    for (const c of [this.mine, this.images, this.conflicts, this.rejected, this.retry]) c.clear()
    // nothing is agreed: what is kept apart has no base any more
    for (const [id, { mine, base }] of this.aside)
      if (mine === undefined) this.aside.delete(id)
      else if (base === undefined || !gone(base)) this.aside.set(id, { mine, base: undefined })
      else this.conflicts.set(id, { theirs: null, untold: undefined }) // made here: it comes back by itself
  }
}

// ---------------------------------------------------------------- the server

// sets that were named are remembered, by user, each under a stamp of its own
function noteSet(db, { principal, name, keys }) {
  const [last] = [...db.sets.values()].filter(set => set.principal === principal).sort((x, y) => y.stamp - x.stamp)
  if (last?.name !== name) db.sets.set(`${principal} ${name}`, { principal, name, stamp: db.tick(), keys })
}

// which keys a client holds
function heldSet(db, access, { since, scope = '', after }) {
  if (!access) return {}
  if (after && after.to !== access.name && has('pages-of-one-scope')) return { reset: 'scope-changed' }
  const name = after ? after.from : since === 0 ? '' : scope
  if (name === access.name) return { name, held: access.keys }
  const known = [...db.sets.values()].find(set => set.name === name && (set.principal === access.principal || !has('sets-of-a-user')))
  if (known) return { name, held: known.keys }
  return since === 0 || (after && name === '') ? {} : { reset: 'scope-unknown' } // it cannot be told from another one
}

export function get(db, { since, after, collection, min = 0, scope, etag: known }, principal, replica = false) {
  const access = db.access(principal)
  if (access) noteSet(db, access)
  const keys = access?.keys ?? ['*']
  const set = heldSet(db, access, { since, scope, after })
  let { held, reset } = set
  if (reset) after = undefined
  const behind = db.now < Math.max(since, has('min') ? min : 0) // the client has seen more than this
  if (behind && replica) return { status: 503 } // for a replica to say: it will catch up
  const place = after ? (after.start === undefined ? after.stamp - 1 : after.start) : since
  const from = after?.start !== undefined && held && since > 0 ? Math.min(since, place) : place // exits from the earlier set are told since then
  if (behind || (collection !== undefined && collection !== db.collection)) reset = 'collection-changed'
  else if ((after ? has('horizon-on-pages') : since > 0) && from < db.horizon) reset = 'since-too-old'
  if (reset) {
    since = 0
    after = undefined
  }
  if (since === 0) held = undefined
  // an answer that begins with nothing, or with another set, begins here; exits from the keys that it brings are told after this
  const start = after ? after.start : since === 0 || (access && held !== access.keys) ? db.now : undefined
  const sees = value => (access ? db.sees(keys, value) : !gone(value))
  const told = [...db.versions]
    .map(([id, v]) => ({ id, ...v }))
    .filter(({ value, stamp }) => sees(value) && (start === undefined || !held || stamp > since || gained(db, held, value)))
    .concat(went(db, { keys, held, since, start, sees }))
  const last = Math.max(0, ...(keys.includes('*') ? [...db.versions.values()] : told.filter(v => v.stamp > since)).map(v => v.stamp))
  const etag = `${db.collection} ${principal} ${access?.name} ${access && start !== undefined ? 0 : last}`
  const head = { status: 200, principal, now: db.now, collection: db.collection, scope: access?.name, reset, etag }
  if ((!access || start === undefined) && !reset && !after && since >= Math.max(last, db.horizon) && known === etag)
    return { ...head, status: 304 }
  const above = after ?? (start !== undefined && since > 0 ? { stamp: 0, id: '' } : { stamp: since, id: LAST })
  const waiting = told
    .filter(v => v.stamp > above.stamp || (v.stamp === above.stamp && v.id > above.id))
    .sort((x, y) => x.stamp - y.stamp || (x.id < y.id ? -1 : x.id > y.id ? 1 : 0))
  const updates = waiting.slice(0, PAGE)
  const end = updates.at(-1)
  const token = () => ({ stamp: end.stamp, id: end.id, start, from: held ? set.name : '', to: access?.name })
  const full = start !== undefined && !held
  return { ...head, updates, full, scoped: full && !keys.includes('*'), next: waiting.length > PAGE ? token() : undefined }
}
// a row that comes in sight by a grant has an old stamp
const gained = (db, held, value) => has('gained-from-the-beginning') && !db.sees(held, value)

// removals, and rows that left
function went(db, { keys, held, since, start, sees }) {
  const later = has('removals-while-paging') ? start : Number.POSITIVE_INFINITY
  const all = [...db.versions].map(([id, v]) => ({ id, ...v }))
  if (keys.includes('*')) return all.filter(v => gone(v.value) && v.stamp > (start === undefined || held ? since : later))
  const from = (some, stamp) => e => meet(e.keys, some) && e.stamp > stamp
  const [before, now] = [from(held ?? keys, start === undefined || held ? since : later), from(keys, later)]
  const isSeen = id => has('seen-through-another-key') && sees(db.version(id).value)
  const exits = db.exits.filter(e => !isSeen(e.id) && (before(e) || (start !== undefined && now(e))))
  const lost = start === undefined || !held ? [] : all.filter(v => db.sees(held, v.value) && !sees(v.value) && has('lost-rows'))
  return [...exits, ...lost.map(({ id, stamp }) => ({ id, stamp, value: LEFT }))]
}

export function post(db, { body, since, collection, key, scope, as }, refuses = () => false, principal = undefined) {
  if (as !== undefined && as !== principal && has('user-on-push')) return { status: 409, principal, reset: 'other-user' }
  const name = has('keys-of-a-user') ? `${principal} ${key}` : key
  if (db.pushes.has(name)) return { ...db.pushes.get(name), principal, replayed: true }
  if (collection !== db.collection || since > db.now) return { status: 409, principal, reset: 'collection-changed' }
  if (since < db.horizon && has('horizon-on-push')) return { status: 409, principal, reset: 'since-too-old' }
  const before = db.now
  const access = db.access(principal)
  const another = access && scope !== access.name && has('scope-on-push') // what came in sight by a grant has an old stamp
  if (!body.length && !(another && !has('end-push-in-any-scope'))) {
    const answer = { status: 200, principal, now: before, since: before, empty: true }
    if (has('empty-push-counts')) db.pushes.set(name, answer)
    return answer
  }
  if (another) return { status: 409, principal, reset: 'scope-changed' }
  const sees = id => !access || db.sees(access.keys, db.version(id).value)
  // what the sender does not see is not there: its removal says nothing, not even to a cascade
  const named = body.filter(({ id, removed }) => !(removed && db.exists(id) && !sees(id) && has('unseen-removal')))
  const hidden = new Set(named.filter(({ id }) => db.exists(id) && !sees(id)).map(({ id }) => id))
  const shown = id => (has('filter-contested') ? db.shown(id, access) : db.version(id))
  const removed = named.filter(o => o.removed).map(({ id }) => id)
  const orphans = removed.flatMap(id => db.children(id).filter(c => !named.some(o => o.id === c))) // rows that the cascade reaches
  const stale = [...named.map(({ id }) => id), ...(has('cascade-check') ? orphans : [])].filter(id => shown(id).stamp > since)
  const halves = named.filter(({ id, partial }) => partial && gone(shown(id).value)).map(({ id }) => id)
  if (halves.length && !access && !stale.length) throw new Error(`a part of a row that is not there: ${halves}`)
  if ((stale.length && has('stale-check')) || halves.length)
    return { status: 409, principal, updates: [...new Set([...stale, ...halves])].map(id => ({ id, ...shown(id) })) }
  const posted = new Map(
    named.map(({ id, partial, ...own }) => [id, own.removed ? own : partial ? { ...db.version(id).value, ...own } : own]),
  )
  const changing = new Map([...posted].filter(([id, value]) => !same(value, db.version(id).value)))
  const there = id => (posted.has(id) ? !gone(posted.get(id)) : db.exists(id))
  const errors = []
  for (const [id, value] of posted) {
    const old = db.version(id).value
    if (hidden.has(id) || (changing.has(id) && access && !gone(old) && !access.mayChange(old, value) && has('may-write-before')))
      errors.push({ id, why: 'not-allowed' })
    if (!gone(value) && db.parentOf(id) !== undefined && !there(db.parentOf(id))) errors.push({ id, why: 'parent' })
    if (gone(value) && !db.cascade && [...db.children(id), ...posted.keys()].some(c => db.parentOf(c) === id && there(c)))
      errors.push({ id, why: 'children' })
  }
  if (errors.length) return { status: 422, principal, errors }
  // by the database's own rules, when it is stored
  for (const row of named) if (refuses(row) && changing.has(row.id)) errors.push({ id: row.id, why: 'rule' })
  if (errors.length) return { status: 422, principal, errors }
  if (access && has('may-write-after'))
    for (const [id, value] of changing)
      if (!gone(value) && !access.mayMake(db.version(id).value, value)) errors.push({ id, why: 'not-allowed' })
  if (errors.length) return { status: 422, principal, errors }
  const stamp = changing.size ? db.tick() : before
  for (const id of removed) for (const c of db.children(id)) if (!posted.has(c)) db.put(c, db.version(c), posted.get(id), stamp, 'post')
  for (const [id, value] of posted) {
    const old = db.version(id)
    if (same(value, old.value)) db.observe(db, id, old, value, 'post')
    else db.put(id, old, value, stamp, 'post')
  }
  // more than was posted has changed, or what was posted is not seen any more: the client has to read
  const more =
    (orphans.length && has('tell-cascades')) || ([...changing].some(([id, value]) => !gone(value) && !sees(id)) && has('tell-exits'))
  const answer = { status: 200, principal, now: stamp, since: more ? undefined : before }
  db.pushes.set(name, answer)
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
  let isReadBack = false
  for (let round = 0; round < rounds; round++) {
    if (remote.push !== null && has('finish-push-first')) yield* finishPush(db, remote)
    if (round === 0) tellAgain(db, remote)
    yield* pull(db, remote)
    yield* decideConflicts(db, remote, handler)
    if ([...remote.retry.values()].includes('freed')) tellAgain(db, remote)
    let outcome
    let isChangedThere = false
    do outcome = yield* push(db, remote, newKey, () => (isChangedThere = true))
    while (outcome === 'more')
    if (outcome === 'done' && (isReadBack || !isChangedThere)) return 'ok'
    if (outcome === 'done') isReadBack = true
  }
  return 'contention'
}

function tellAgain(db, remote) {
  for (const [id, when] of [...remote.retry].sort(([x], [y]) => (x < y ? -1 : 1))) {
    if (when === 'scope' && has('retry-when-moved')) continue // nothing has changed there
    const v = db.version(id)
    if (remote.rejected.get(id) === v.stamp && !remote.conflicts.has(id)) db.put(id, v, v.value, db.tick(), 'again', remote)
    remote.rejected.delete(id)
    remote.retry.delete(id)
  }
}

// a push without an answer: an empty one under the same key brings the answer again, or makes sure that it never counts
function* finishPush(_db, remote) {
  const { key, limit, since } = remote.push
  const answer = known(remote, yield { post: { body: [], since, key, ...said(remote) } })
  if (remote.push?.key !== key) return
  if (answer.status === 200 && !answer.empty) remote.acknowledge(limit, answer)
  else remote.endPush()
  yield
}
const said = ({ collection, scope, principal }) => ({ collection, scope: scope ?? undefined, as: principal })

// another user's answer: nothing of it is stored, and nothing is told to them; the application wipes the device or adopts it
function known(remote, answer) {
  const { principal, status } = answer
  if (status !== 304 && remote.principal !== undefined && principal !== remote.principal && has('user-on-answers')) throw new OtherUser()
  return answer
}
export class OtherUser extends Error {}

function* pull(db, remote) {
  for (let complete = false; !complete; ) {
    if (remote.push !== null && has('no-pull-over-push')) return // another sync of this database has begun to tell
    const asked = cursor(remote)
    const { serverDate: since, page, collection, highest: min, scope } = remote
    const etag = page || scope === '' ? undefined : remote.etag
    const answer = known(remote, yield { get: { since, after: page?.next, collection, min, scope: scope ?? undefined, etag } })
    if (answer.status === 503) throw new Error('lagging')
    if (answer.status === 304) return // nothing is new
    if (cursor(remote) !== asked && has('same-cursor')) continue // another sync of this database has read or told meanwhile
    complete = storePage(db, remote, answer)
    yield
  }
}
const cursor = ({ collection, serverDate, page, highest, localDate, push, principal, scope }) =>
  JSON.stringify([collection, serverDate, page?.next, highest, localDate, push?.key, principal, scope])

function storePage(db, remote, answer) {
  const begins = answer.reset || !remote.page?.next
  if (answer.reset === 'collection-changed') remote.reset(answer.collection)
  remote.collection ??= answer.collection
  remote.principal ??= answer.principal
  if (begins) {
    // until the last page of an answer for another set is stored none is held: what is here then is no whole set
    if (answer.scope !== undefined && remote.scope !== answer.scope) {
      Object.assign(remote, { scope: has('none-held') ? '' : answer.scope, etag: undefined })
      for (const [id, when] of remote.retry) if (when === 'scope') remote.retry.set(id, 'freed')
    }
    remote.page = { seen: answer.full ? new Set() : undefined, scoped: answer.scoped } // a full answer begun anew forgets what an earlier one showed
  }
  const { seen, scoped } = remote.page
  const stamp = stampOf(db, remote)
  // those first that are seen
  for (const { id, value } of [...answer.updates].sort((x, y) => Number(x.value?.left ?? 0) - Number(y.value?.left ?? 0))) {
    seen?.[gone(value) ? 'delete' : 'add'](id)
    take(db, remote, id, value, stamp)
  }
  if (has('min-on-pages')) remote.highest = Math.max(remote.highest, answer.now) // no later page may come from an older state
  if (answer.next) {
    remote.page = { seen, scoped, next: answer.next }
    return false
  }
  // what a full answer does not have, the server does not have any more, or has it where we do not see it
  const swept = seen && stampOf(db, remote)
  if (seen && has('sweep'))
    for (const id of new Set([...db.versions.keys(), ...remote.conflicts.keys(), ...remote.images.keys()]))
      if (!seen.has(id) && !gone(theirsBefore(db, remote, id)))
        take(db, remote, id, scoped ? LEFT : { removed: remote.tokenOfRemoval(id) }, swept)
  Object.assign(remote, { serverDate: answer.now, highest: Math.max(remote.highest, answer.now), page: null })
  Object.assign(remote, { scope: answer.scope ?? null, etag: answer.etag })
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

// a row that is not seen any more; what it has of its own to tell is set aside. It stays where another server shows it, or is being told it
function leave(db, remote, id, stamp) {
  const mine = db.version(id)
  if (gone(remote.heard(id, mine)) && has('made-here-stays')) return // never theirs
  const isShown = r => r !== remote && (!gone(r.heard(id, mine)) || r.tells(id, mine))
  if (db.remotes.some(isShown) && has('another-server-shows-it')) {
    remote.forget(id)
    if (!remote.aside.has(id)) remote.aside.set(id, {})
    return
  }
  stamp()
  const base = remote.base(id, mine)
  const unsent = mine.stamp > 0 && !remote.agreed(id, mine.stamp) && (base === undefined || !same(mine.value, base))
  const later = unsent && db.remotes.some(r => r.aside.get(id)?.mine !== undefined)
  for (const r of db.remotes) {
    const aside = r.aside.get(id)
    if (aside && aside.mine === undefined && !(r === remote && unsent)) r.aside.delete(id)
    else if (aside && later && r !== remote) r.aside.set(id, { ...aside, mine: mine.value })
  }
  db.purge(id)
  if (unsent && has('set-aside')) remote.aside.set(id, { mine: mine.value, base: remote.aside.has(id) ? remote.aside.get(id).base : base })
}

// our version of a row that is seen again, where one was set aside, for this server or another one
function returning(db, remote, id, theirs) {
  const mine = db.version(id)
  const aside = remote.aside.get(id)
  const kept = aside?.mine ?? db.remotes.map(r => r.aside.get(id)?.mine).find(m => m !== undefined)
  if (aside) return { value: mine.stamp === 0 && kept !== undefined ? kept : mine.value, base: aside.base }
  return kept !== undefined && mine.stamp === 0 && !gone(theirs) ? { value: kept, base: undefined } : undefined
}
// it is here again. Another server that does not show it is not told until it does, unless it was made here; that it is removed at this one says
// nothing of what is set aside for others
function comeBack(db, remote, id, mine, value) {
  if (!remote.aside.delete(id) && mine.stamp > 0) return
  if (gone(value)) return
  for (const r of db.remotes) {
    const { mine, base } = r.aside.get(id) ?? {}
    if (mine === undefined) continue
    const made = base !== undefined && gone(base)
    if (made && gone(r.conflicts.get(id)?.theirs ?? null)) r.conflicts.delete(id)
    if (made || !gone(r.conflicts.get(id)?.theirs ?? null)) r.aside.delete(id)
    else r.aside.set(id, {})
  }
}

// one row of the server's: stored, merged, or written into the journal, where it waits; true where it waits for a decision
function take(db, remote, id, theirs, stamp) {
  if (theirs?.left && has('left-is-not-removed')) {
    leave(db, remote, id, stamp)
    return false
  }
  const aside = remote.aside.get(id)
  if (gone(theirs) && aside && aside.mine === undefined) return false // it is here for another server's sake, and not shown anyway
  const mine = db.version(id)
  const back = has('come-back') ? returning(db, remote, id, theirs) : undefined
  if (back) {
    const { value, contested } = merge(back.base, back.value, theirs)
    if (!contested) return settle(db, remote, id, mine, value, theirs, stamp, 'merge')
    const agreed = stamp() // our side goes back into the table, for that is where a decision finds it
    const untold = mine.stamp > 0 ? mine.stamp : undefined
    if (mine.stamp === 0) db.put(id, mine, value, db.tick(), 'again', remote)
    if (back.base !== undefined) remote.keep(id, agreed, back.base)
    comeBack(db, remote, id, mine, theirs)
    wait(remote, id, db.version(id), theirs)
    if (untold) remote.conflicts.get(id).untold = untold
    return true
  }
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
    const equal = same(mine.value, theirs) && remote.agreed(id, mine.stamp)
    comeBack(db, remote, id, mine, value)
    if (equal) return void db.observe(db, id, mine, theirs, cause, remote, theirs) // equal already: nothing moves
    if (gone(value))
      for (const c of db.children(id)) db.put(c, db.version(c), theirs, stamp(), cause === 'handler' ? cause : 'cascade', remote, theirs)
    return void db.put(id, mine, theirs, stamp(), cause, remote, theirs)
  }
  // what has something of its own to tell gets a fresh stamp; the server's row is kept as what both know
  comeBack(db, remote, id, mine, value)
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
    remote.decisions.add(id)
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

function* push(db, remote, newKey, noteChanged) {
  if (remote.push !== null) return 'again' // another sync of this database was faster
  if (!fixPush(db, remote, newKey)) return 'done'
  yield
  if (remote.push === null) return 'again' // and ended it
  const { key, limit, since, more } = remote.push
  const { body, told } = readPush(db, remote, limit)
  const answer = body.length ? known(remote, yield { post: { body, since, key, ...said(remote) } }) : { status: 200, now: since, since }
  if (remote.push?.key !== key && has('same-push')) return 'again' // undone meanwhile, with the rows that it told
  if (answer.status === 409 || answer.empty) {
    remote.endPush()
    const stamp = stampOf(db, remote)
    // a part of a row that is not seen: no pull will speak of it
    for (const { id, value, stamp: left } of answer.updates ?? [])
      if (gone(value) && left === 0 && remote.scope !== null && has('leave-what-is-not-seen')) leave(db, remote, id, stamp)
    return 'again'
  }
  if (answer.status === 422) {
    for (const { id, why } of answer.errors) {
      remote.rejected.set(id, told.get(id))
      remote.retry.delete(id)
      if (why !== 'rule') remote.retry.set(id, why === 'not-allowed' ? 'scope' : 'rows')
    }
    remote.endPush()
    return 'more'
  }
  remote.acknowledge(limit, answer)
  if (answer.since === undefined) noteChanged()
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
    remote.retry.set(id, 'rows')
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
