// How far a client has read a server and pushed to it, as the journal lists it.

import type { Collection } from '../../changes/collections/collection.js'
import { isUpTo, LAST } from '../../changes/rows/place.js'
import type { ServerState } from '../../changes/servers/serverState.js'

/** What is known of an entity at a server. */
export interface SyncServer {
  /** Name of the entity. */
  readonly entity: string
  readonly url: string
  /** Everything was read that changed there up to this stamp of the server, in milliseconds since 1/1/1970; 0: nothing was read yet. */
  readonly readUpTo: number
  /** An answer of several pages is not read whole: the next sync reads on. */
  readonly isReading: boolean
  /** What was changed here up to this stamp of this database was pushed, but for what the journal lists; 0: nothing was. */
  readonly pushedUpTo: number
  /** When something changed here last, as a stamp of this database; 0: never. */
  readonly changedUpTo: number
  /** Everything was pushed, but for what the journal lists. */
  readonly isPushed: boolean
  /** A push has had no answer yet: the next sync finds out what became of it. */
  readonly hasOpenPush: boolean
}

export function serverOf({ entity }: Collection, server: ServerState, changedUpTo: number): SyncServer {
  const { url, serverDate, pulling, pushedTo, push } = server
  return {
    ...{ entity, url, readUpTo: serverDate, isReading: pulling },
    ...{ pushedUpTo: Math.max(0, pushedTo.stamp), changedUpTo: Math.max(0, changedUpTo) },
    isPushed: push === null && isUpTo(pushedTo, LAST, changedUpTo),
    hasOpenPush: push !== null,
  }
}
