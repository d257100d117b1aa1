// The journal of decided conflicts: for people, and for undo.

import { query, type Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'

export interface ResolutionRow {
  readonly id: string
  readonly base: WireRow | null | undefined
  readonly local: WireRow | null
  readonly remote: WireRow | null
  readonly decision: WireRow | null
}

export function* writeResolution(
  { collection }: Pick<Exchange, 'collection'>,
  url: string,
  { id, base, local, remote, decision }: ResolutionRow,
): Transaction<void> {
  yield* query(
    `INSERT INTO sync_resolution (collection, row_id, url, resolved_at, base, local, remote, decision) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[collection.name, id, url, Date.now(), base === undefined ? null : JSON.stringify(base)],
    ...[local, remote, decision].map(row => (row === null ? null : JSON.stringify(row))),
  )
}
