// Stores a POST: all of it, or nothing (PROTOCOL.md, POST).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import type { Dependent } from '../src/changes/rows/dependents.js'
import type { Version } from '../src/changes/rows/rows.js'
import { type Clock, first, type Transaction } from '../src/databases/database.js'
import type { PushAnswer, Reset } from '../src/protocol/messages.js'
import { readAccess } from './access.js'
import type { Caller } from './caller.js'
import { ignoredProperties } from './ignored.js'
import { liftPush } from './lift.js'
import type { PostedRow, Rejected } from './posted.js'
import { storeRows } from './storeRows.js'

/** The version at an id that is contested. */
export interface Contested extends Dependent, Version {}

/** The answer as the route or the feed writes it. */
export interface StoredAnswer extends Omit<PushAnswer, 'ignored'> {
  readonly ignored?: unknown
}

export interface Push {
  readonly rows: readonly PostedRow[]
  /** «I have seen everything up to here»; without it the last write wins. */
  readonly since?: number
  readonly collection?: string
  /** Collections of which the sender has seen rows up to `since` as well: a removal may cascade to them. */
  readonly compared: ReadonlySet<Collection>
  /** Does the answer have such rows, where they are contested? */
  readonly answersReached?: boolean
  /** How far the sender has read other collections, to whose rows a removal may cascade. */
  readonly seen?: ReadonlyMap<Collection, number>
  /** With what it belongs to: a key has nothing to do with a push to another route. */
  readonly key?: string
  /** The set of keys that the sender holds. */
  readonly scope?: string
  readonly caller: Caller
  /** Writes the properties that are not known, for the answer. */
  readonly writeIgnored: (ignored: ReadonlyMap<Collection, readonly string[]>) => unknown
  /** Of the body as it came: a repeated request has the same, another one under the same key has not. */
  readonly hash: string
}

export type PushOutcome =
  | { readonly kind: 'stored'; readonly answer: StoredAnswer; readonly replayed: boolean }
  | { readonly kind: 'stale'; readonly clock: Clock; readonly contested: readonly Contested[]; readonly reset?: Reset }
  | { readonly kind: 'rejected'; readonly rejections: readonly Rejected[] }
  | { readonly kind: 'key-reused' }

/** To be run in a durable transaction. */
export function* storePush(log: ChangeLog, push: Push): Transaction<PushOutcome> {
  const known = push.key === undefined ? undefined : yield* readAnswer(push.key)
  if (known)
    return known.hash === push.hash || !push.rows.length || known.answer.empty
      ? { kind: 'stored', answer: known.answer, replayed: true }
      : { kind: 'key-reused' }
  const clock = yield* log.database.clock()
  const reset = resetOf(clock, push)
  if (reset) return { kind: 'stale', clock, contested: [], reset }
  if (!push.rows.length) return yield* finish(log, push, nothing(clock, push))
  const access = yield* readAccess(log, push.caller)
  // what came in sight by a grant has an old stamp: the sender has to read it first
  if (access && push.scope !== undefined && push.scope !== access.scope)
    return { kind: 'stale', clock, contested: [], reset: 'scope-changed' }
  const lifted = yield* liftPush(log, push)
  return yield* finish(log, lifted.push, lifted.bringDown(yield* storeRows(log, lifted.push, clock, access)))
}

function* finish(log: ChangeLog, push: Push, outcome: PushOutcome): Transaction<PushOutcome> {
  if (outcome.kind !== 'stored') return outcome
  const ignored = ignoredProperties(push.rows)
  const answer = ignored.size ? { ...outcome.answer, ignored: push.writeIgnored(ignored) } : outcome.answer
  if (push.key !== undefined) yield* writeAnswer(log, push.key, push.hash, answer)
  return { ...outcome, answer }
}

function resetOf(clock: Clock, { since, collection }: Push): Reset | undefined {
  if ((collection !== undefined && collection !== clock.collection) || (since ?? 0) > clock.now) return 'collection-changed'
  return since !== undefined && since < clock.horizon ? 'since-too-old' : undefined
}

// An empty push needs no stamp. Under a new key it uses the key up: the push that it ends never counts.
function nothing({ now }: Clock, { key }: Push): PushOutcome {
  return { kind: 'stored', replayed: false, answer: { status: 'ok', now, since: now, ...(key !== undefined && { empty: true }) } }
}

function* readAnswer(key: string): Transaction<{ hash: string; answer: StoredAnswer } | undefined> {
  const row = yield* first('SELECT hash, answer FROM sync_push WHERE "key" = ?', key)
  return row && { hash: String(row.hash), answer: JSON.parse(String(row.answer)) }
}

function* writeAnswer({ database }: ChangeLog, key: string, hash: string, answer: StoredAnswer): Transaction<void> {
  yield* database.insertRows('sync_push', ['key', 'hash', 'answer', 'answered_at'], [[key, hash, JSON.stringify(answer), Date.now()]])
}
