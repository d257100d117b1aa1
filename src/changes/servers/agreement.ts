// Which versions of a row a server knows. The same in SQL is in databases/knows.ts; spec/databases/knows.spec.ts holds the two together.

import type { WireRow } from '../../protocol/messages.js'
import { isUpTo, LAST } from '../rows/place.js'
import type { Version } from '../rows/rows.js'
import { withoutIgnored } from './ignored.js'
import type { RowState } from './rowStates.js'
import { type ServerState, UNDECIDED } from './serverState.js'

// of a row that the server does not show it knows no version that is here
const isNoted = ({ unapplied, rejection, noAccess }: RowState, stamp: number) =>
  unapplied?.unpushed === stamp || rejection?.stamp === stamp || (noAccess !== undefined && stamp > 0)

/** Does the server know this version of the row? An unapplied, rejected or unseen row is not pushed, however far the rest is. */
export function isAgreed(server: ServerState, state: RowState, stamp: number): boolean {
  return (isUpTo(server.pushedTo, state.id, stamp) || server.stored.has(stamp)) && !isNoted(state, stamp)
}

/** SQL for `isAgreed` of a row with its key, where nothing is unapplied and nothing was rejected; and its parameters. */
export const agreedSql = (server: ServerState, key: string) => ({
  sql: `"_lastChange" < ? OR ("_lastChange" = ? AND ${key} <= ?) OR EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = ? AND m.stamp = "_lastChange")`,
  values: [server.pushedTo.stamp, server.pushedTo.stamp, server.pushedTo.id, server.id],
})

/**
 * Does the push that is under way have a version of the row, be it the present one or one that was replaced since? Before the answer it is not
 * known whether the server has it.
 */
export function isInPush({ push, pushedTo, stored }: ServerState, state: RowState): boolean {
  if (!push || state.unapplied) return false // an unapplied row is not pushed
  const carries = (stamp: number) =>
    stamp > 0 && !isUpTo(pushedTo, state.id, stamp) && isUpTo(push.limit, state.id, stamp) && !stored.has(stamp) && !isNoted(state, stamp)
  return carries(state.version.stamp) || state.baseVersions.some(baseVersion => carries(baseVersion.stamp))
}

/** The last version that both sides know; undefined where there is none. A row that was never here is unchanged. */
export function baseOf(server: ServerState, state: RowState): WireRow | null | undefined {
  const { version, baseVersions } = state
  const isBase = version.stamp === 0 || isAgreed(server, state, version.stamp)
  const base = isBase ? version.value : baseVersions.find(baseVersion => isAgreed(server, state, baseVersion.stamp))?.value
  return base && state.ignored.length ? withoutIgnored(base, state) : base
}

export const isUndecided = ({ push }: ServerState) => push?.key === UNDECIDED

/** The version of a row that an undecided push has sent: perhaps the server knows it. */
export function sentVersion(server: ServerState, state: RowState): Version | undefined {
  const { push } = server
  if (!push || !isUndecided(server)) return
  const sent = [state.version, ...state.baseVersions].find(version => isUpTo(push.limit, state.id, version.stamp))
  return sent && sent.stamp > 0 && !isAgreed(server, state, sent.stamp) && !isNoted(state, sent.stamp) ? sent : undefined
}

/** Is everything pushed up to this stamp, the clock's, but for unapplied and rejected rows? */
export const isAllPushed = ({ push, pushedTo }: ServerState, now: number) => !push && pushedTo.stamp === now && pushedTo.id === LAST

/** Is the row kept out of pushes, because it is unapplied, was rejected as it is, or is not seen by this server's user? */
export const isHeld = ({ unapplied, rejection, version, noAccess }: RowState) =>
  unapplied !== undefined || rejection?.stamp === version.stamp || noAccess !== undefined

/** The server's version of a row as it was heard last; null where it has none, undefined where that is not known. */
export const lastHeardOf = (server: ServerState, state: RowState) => (state.unapplied ? state.unapplied.remote : baseOf(server, state))

/** Is our side of a row kept apart from its table? */
export const isKeptApart = ({ version, setAside }: RowState): boolean => version.stamp === 0 && setAside !== undefined

/** Our side of a row: what is in the table, or what is kept apart from it. */
export const localOf = (state: RowState): WireRow | null => (isKeptApart(state) ? (state.setAside ?? null) : state.version.value)
