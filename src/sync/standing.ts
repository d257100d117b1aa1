// How the collections of a sync and a server stand, at a look: what a sync has to do, and what it leaves behind.

import type { Collection } from '../changes/collection.js'
import { first, imagesOf, query, quote, type Step } from '../changes/database/database.js'
import { readIgnoredProperties } from '../changes/ignored.js'
import { isAllTold, type Remote } from '../changes/remotes.js'
import { type Exchanges, type Session, step } from './session.js'

export interface Standing {
  readonly remotes: readonly Remote[]
  /** There are rows that wait, of these collections or of another one of this server's. */
  readonly waits: boolean
  /** Rows were refused that are told again by the next sync. */
  readonly again: boolean
  /** Rows were refused for a unique value that may be free now. */
  readonly freed: boolean
  /** There is nothing to tell. */
  readonly isAllTold: boolean
  readonly left: ReadonlyMap<Collection, Left>
  /** Properties of ours for which the server has no column, so that their values are not pushed. */
  readonly ignored: ReadonlyMap<Collection, readonly string[]>
}

interface Left {
  /** Rows of the server's that wait here. */
  readonly waiting: number
  /** Rows of ours that the server has refused. */
  readonly refused: number
}

export function readStanding(session: Session): Promise<Standing> {
  return step(session, standingOf, { readOnly: true })
}

export function* standingOf(exchanges: Exchanges): Step<Standing> {
  const [any] = exchanges
  const remotes = exchanges.map(exchange => exchange.remote)
  const left = new Map<Collection, Left>()
  const ignored = new Map<Collection, readonly string[]>()
  const standing = { remotes, waits: false, again: false, freed: false, isAllTold: true, left, ignored }
  if (!any) return standing
  const parts = exchanges.map(
    ({ collection, remote: { id } }, n) =>
      `SELECT ${n} AS n, (SELECT count(*) FROM sync_conflict WHERE remote = ${id}) AS waiting,
              (SELECT count(*) FROM sync_rejection WHERE remote = ${id}) AS refused,
              EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ${id} AND again = 1) AS again,
              EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ${id} AND again = 1 AND code = 'not-unique') AS freed,
              EXISTS (SELECT 1 FROM sync_ignored WHERE remote = ${id}) AS ignored,
              EXISTS (SELECT 1 FROM ${quote(imagesOf(collection.table))} WHERE _sync_remote = ${id}) AS images`,
  )
  const { now } = yield* any.log.database.clock()
  for (const row of yield* query(parts.join(' UNION ALL '))) {
    const { log, collection, remote } = exchanges[Number(row.n)] as Exchanges[number]
    const [waiting, refused] = [Number(row.waiting), Number(row.refused)]
    left.set(collection, { waiting, refused })
    standing.waits ||= waiting > 0
    standing.again ||= Boolean(row.again)
    standing.freed ||= Boolean(row.freed)
    // images that are no base any more go with the end of a push
    standing.isAllTold &&= isAllTold(remote, now) && remote.stored.size === 0 && !(row.images && !waiting && !refused)
    if (row.ignored) ignored.set(collection, yield* readIgnoredProperties(collection, log.database, remote.id))
  }
  for (const { id } of any.siblings.values())
    standing.waits ||=
      !remotes.some(remote => remote.id === id) && (yield* first('SELECT 1 FROM sync_conflict WHERE remote = ? LIMIT 1', id)) !== undefined
  return standing
}
