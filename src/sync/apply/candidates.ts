import type { RowState } from '../../changes/servers/rowStates.js'
import type { Change } from '../../changes/store/change.js'
import type { WireRow } from '../../protocol/messages.js'
import { type Exchange, isClean } from '../exchange.js'
import type { Applied } from './applied.js'
import { isSameRow } from './merge.js'

/** A row with both sides and what it is to be. */
export interface Resolved {
  /** Of its collection, where that is another one than that of the row which was decided. */
  readonly exchange?: Exchange
  readonly state: RowState
  readonly remote: WireRow | null
  readonly value: WireRow | null
}

export interface Candidate extends Resolved {
  readonly exchange: Exchange
  readonly applied: Applied
}

export const changeOf =
  (stamp: number) =>
  ({ exchange, state, value }: Candidate): Change => ({
    ...{ collection: exchange.collection, id: state.id, old: state.version, value },
    ...{ stamp, from: exchange.server },
  })

/** Both sides are equal, and know it, but for the note that the row is not applied: nothing moves. */
export const isApplied = (exchange: Exchange, { state, remote, value }: Resolved) =>
  isSameRow(value, remote) && isSameRow(state.version.value, remote) && isClean(exchange, { ...state, unapplied: undefined })

/** It was made there, and never heard of here. */
export const isUnknown = ({ version, unapplied, rejection, baseVersions, noAccess, setAside }: RowState) =>
  version.stamp === 0 && !unapplied && !rejection && baseVersions.length === 0 && !noAccess && setAside === undefined
