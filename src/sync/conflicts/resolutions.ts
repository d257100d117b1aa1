// The journal of decided conflicts: for people, and for undo.

import type { Collection } from '../../changes/collections/collection.js'
import type { Database, Transaction } from '../../databases/database.js'
import type { WireRow } from '../../protocol/messages.js'

export interface Resolution {
  readonly collection: Collection
  readonly id: string
  readonly url: string
  readonly base: WireRow | null | undefined
  readonly local: WireRow | null
  readonly remote: WireRow | null
  readonly decision: WireRow | null
}

export function writeResolutions(database: Database, resolutions: readonly Resolution[]): Transaction<void> {
  return database.insertRows(
    'sync_resolution',
    ['collection', 'row_id', 'url', 'resolved_at', 'base', 'local', 'remote', 'decision'],
    resolutions.map(({ collection, id, url, base, local, remote, decision }) => [
      ...[collection.name, id, url, Date.now(), base === undefined ? null : JSON.stringify(base)],
      ...[local, remote, decision].map(row => (row === null ? null : JSON.stringify(row))),
    ]),
  )
}
