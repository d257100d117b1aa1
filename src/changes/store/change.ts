// A change of one row, with everything that storing it needs.

import type { WireRow } from '../../protocol/messages.js'
import type { Collection } from '../collections/collection.js'
import type { Version } from '../rows/rows.js'
import type { ServerState } from '../servers/serverState.js'

/** A row to be written: `value` has the properties that are to be set, and for a new row all that there are; null removes it. */
export interface Write {
  readonly id: string
  /** The version that is there now, read in this transaction. */
  readonly old: Version
  readonly value: WireRow | null
}

/** A write with all that is needed to store it together with those of other collections. */
export interface Change extends Write {
  readonly collection: Collection
  readonly stamp: number
  /** The server that it came from: it needs no base version of what it replaces itself. */
  readonly from?: ServerState | undefined
}
