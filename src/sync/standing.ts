// How a collection and a server stand, at a look: what a sync has to do, and what it leaves behind.

import { first, imagesOf, quote, type Step } from '../changes/database/database.js'
import { readIgnoredProperties } from '../changes/ignored.js'
import { isAllTold, type Remote } from '../changes/remotes.js'
import type { Exchange } from './exchange.js'
import { type Session, step } from './session.js'

export interface Standing {
  readonly remote: Remote
  /** There are rows that wait, of this collection or of another one of this server's. */
  readonly waits: boolean
  /** Rows were refused that are told again by the next sync. */
  readonly again: boolean
  /** Rows were refused for a unique value that may be free now. */
  readonly freed: boolean
  /** There is nothing to tell. */
  readonly isAllTold: boolean
  /** Rows of the server's that wait here. */
  readonly waiting: number
  /** Rows of ours that the server has refused. */
  readonly refused: number
  /** Properties of ours for which the server has no column, so that their values are not pushed. */
  readonly ignored: readonly string[]
}

export function readStanding(session: Session): Promise<Standing> {
  return step(session, standingOf, { readOnly: true })
}

export function* standingOf({ log, collection, remote, siblings }: Exchange): Step<Standing> {
  const row = yield* first(
    `SELECT (SELECT count(*) FROM sync_conflict WHERE remote = ?1) AS waiting,
            (SELECT count(*) FROM sync_rejection WHERE remote = ?1) AS refused,
            EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ?1 AND again = 1) AS again,
            EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ?1 AND again = 1 AND code = 'not-unique') AS freed,
            EXISTS (SELECT 1 FROM sync_ignored WHERE remote = ?1) AS ignored,
            EXISTS (SELECT 1 FROM ${quote(imagesOf(collection.table))} WHERE _sync_remote = ?1) AS images`,
    remote.id,
  )
  const [waiting, refused] = [Number(row?.waiting), Number(row?.refused)]
  let waits = waiting > 0
  for (const { id } of siblings.values())
    waits ||= id !== remote.id && (yield* first('SELECT 1 FROM sync_conflict WHERE remote = ? LIMIT 1', id)) !== undefined
  const { now } = yield* log.database.clock()
  // images that are no base any more go with the end of a push
  const isTold = isAllTold(remote, now) && remote.stored.size === 0 && !(row?.images && !waiting && !refused)
  const ignored = row?.ignored ? yield* readIgnoredProperties(collection, log.database, remote.id) : []
  return { remote, waits, again: Boolean(row?.again), freed: Boolean(row?.freed), isAllTold: isTold, waiting, refused, ignored }
}
