// The journal of decided conflicts: for people, and for undo.

import { query, type Step } from '../changes/database/database.js'
import type { WireRow } from '../protocol/messages.js'
import type { Exchange } from './exchange.js'

export interface DecidedRow {
  readonly id: string
  readonly base: WireRow | null | undefined
  readonly local: WireRow | null
  readonly remote: WireRow | null
  readonly decision: WireRow | null
}

export function* writeDecision(
  { collection }: Pick<Exchange, 'collection'>,
  url: string,
  { id, base, local, remote, decision }: DecidedRow,
): Step<void> {
  yield* query(
    `INSERT INTO sync_decision (collection, row_id, url, decided_at, base, local, remote, decision) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[collection.name, id, url, Date.now(), base === undefined ? null : JSON.stringify(base)],
    ...[local, remote, decision].map(row => (row === null ? null : JSON.stringify(row))),
  )
}
