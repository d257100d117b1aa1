// How the collections of a sync and a server stand, at a look: what a sync has to do, and what it leaves behind.

import type { Collection } from '../changes/collection.js'
import { first, imagesOf, query, quote, type Step } from '../changes/database/database.js'
import { readIgnoredProperties } from '../changes/ignored.js'
import { isAllTold, type Remote } from '../changes/remotes.js'
import type { Exchange } from './exchange.js'
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
  const left = new Map<Collection, Left>(exchanges.map(({ collection }) => [collection, { waiting: 0, refused: 0 }]))
  const ignored = new Map<Collection, readonly string[]>()
  const standing = { remotes, waits: false, again: false, freed: false, isAllTold: true, left, ignored }
  if (!any) return standing
  // usually there is nothing at all, and a statement about twenty collections costs more than it finds
  const there = yield* first(
    `SELECT EXISTS (SELECT 1 FROM sync_conflict) AS waiting, EXISTS (SELECT 1 FROM sync_rejection) AS refused,
            EXISTS (SELECT 1 FROM sync_ignored) AS ignored`,
  )
  if (there?.waiting || there?.refused || there?.ignored) yield* lookAtRows(exchanges, standing)
  const { now } = yield* any.log.database.clock()
  const images = yield* first(`SELECT ${exchanges.map(hasImagesSql).join(', ')}`)
  for (const [n, { collection, remote }] of exchanges.entries()) {
    const { waiting, refused } = left.get(collection) as Left
    // images that are no base any more go with the end of a push
    standing.isAllTold &&= isAllTold(remote, now) && remote.stored.size === 0 && !(images?.[`images${n}`] && !waiting && !refused)
  }
  return standing
}

const hasImagesSql = ({ collection, remote }: Exchange, n: number) =>
  `EXISTS (SELECT 1 FROM ${quote(imagesOf(collection.table))} WHERE _sync_remote = ${remote.id}) AS images${n}`

/** What waits, was refused, or is ignored. */
function* lookAtRows(exchanges: Exchanges, standing: Writable<Omit<Standing, 'left' | 'ignored'>> & Found): Step<void> {
  const { remotes, left, ignored } = standing
  const parts = exchanges.map(
    ({ remote: { id } }, n) =>
      `SELECT ${n} AS n, (SELECT count(*) FROM sync_conflict WHERE remote = ${id}) AS waiting,
              (SELECT count(*) FROM sync_rejection WHERE remote = ${id}) AS refused,
              EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ${id} AND again = 1) AS again,
              EXISTS (SELECT 1 FROM sync_rejection WHERE remote = ${id} AND again = 1 AND code = 'not-unique') AS freed,
              EXISTS (SELECT 1 FROM sync_ignored WHERE remote = ${id}) AS ignored`,
  )
  for (const row of yield* query(parts.join(' UNION ALL '))) {
    const { log, collection, remote } = exchanges[Number(row.n)] as Exchange
    const [waiting, refused] = [Number(row.waiting), Number(row.refused)]
    left.set(collection, { waiting, refused })
    standing.waits ||= waiting > 0
    standing.again ||= Boolean(row.again)
    standing.freed ||= Boolean(row.freed)
    if (row.ignored) ignored.set(collection, yield* readIgnoredProperties(collection, log.database, remote.id))
  }
  for (const { id } of exchanges[0]?.siblings.values() ?? [])
    standing.waits ||=
      !remotes.some(remote => remote.id === id) && (yield* first('SELECT 1 FROM sync_conflict WHERE remote = ? LIMIT 1', id)) !== undefined
}

type Writable<T> = { -readonly [P in keyof T]: T[P] }

interface Found {
  readonly left: Map<Collection, Left>
  readonly ignored: Map<Collection, readonly string[]>
}
