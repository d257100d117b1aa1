// News: what somebody who has heard of everything up to a stamp has not heard of (PROTOCOL.md, Live).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import type { Clock, Transaction } from '../src/databases/database.js'
import { readAccess } from './access.js'
import type { Caller } from './caller.js'
import { readLastTold } from './pull.js'

/** How far somebody has heard. */
export interface Heard {
  readonly since: number
  /** The id of the history; undefined where they do not say. */
  readonly collection: string | undefined
  /** The name of their set of keys; undefined where they never heard of any. */
  readonly scope: string | undefined
}

export interface News {
  /** Up to where everything is heard of now. */
  readonly heard: Heard
  readonly isAny: boolean
  /** The last stamps of what changed; of a reset, or another set of keys, nothing is said. */
  readonly changes: ReadonlyMap<Collection, number>
}

const NONE: ReadonlyMap<Collection, number> = new Map()

/** What a GET with the same cursor and set would be about: nothing of what this caller does not see, and no more than when. */
export function* readNews(log: ChangeLog, caller: Caller, collections: readonly Collection[], heard: Heard): Transaction<News> {
  const { database } = log
  const clock = yield* database.clock()
  const access = yield* readAccess(log, caller)
  const now: Heard = { since: clock.now, collection: clock.collection, scope: access?.scope }
  if (isAhead(clock, heard) && (yield* database.isReplica())) return { heard, isAny: false, changes: NONE }
  if (isAhead(clock, heard) || heard.since < clock.horizon || heard.scope !== access?.scope)
    return { heard: now, isAny: true, changes: NONE }
  const last = yield* readLastTold(database, collections, access, heard.since)
  const changes = new Map([...last].filter(([, stamp]) => stamp > heard.since))
  return { heard: now, isAny: changes.size > 0, changes }
}

/** Of another history, or further than this database has come. */
const isAhead = (clock: Clock, { since, collection }: Heard) =>
  since > clock.now || (collection !== undefined && collection !== clock.collection)
