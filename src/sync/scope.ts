// By which keys the user sees the rows that are here, as the server calls that set. It counts when all of its rows are here.

import type { ServerState } from '../changes/servers/serverState.js'
import type { Transaction } from '../databases/database.js'
import type { Exchange } from './exchange.js'
import { freeNotAllowed } from './push/rejections.js'

/** What a request says of the keys that are held; nothing to a server that never named any. */
export function heldScope(servers: readonly ServerState[]): { readonly scope?: string } {
  const [scope, ...others] = new Set(servers.map(server => server.scope))
  if (scope === undefined || (scope === null && !others.length)) return {}
  // collections that were read by themselves may have been told of different ones
  return { scope: others.length ? '' : (scope ?? '') }
}

/**
 * An answer begins. One that is for another set of keys is a difference between the two: until its last page is stored, none is held, so that an answer
 * that is broken off, and a set that changes back, leave no row behind that is not seen.
 */
export function* beginScope(exchanges: readonly Exchange[], scope: string | undefined): Transaction<void> {
  const others = exchanges.filter(({ server }) => scope !== undefined && server.scope !== scope)
  for (const { server } of others) Object.assign(server, { scope: '', etag: null })
  if (others.length) yield* freeNotAllowed(others)
}

/** The server has named sets of keys and does not any more: everybody sees everything, and rows that were not seen are in no difference. */
export const isScopeGone = (
  servers: readonly ServerState[],
  { after }: { readonly after?: string },
  { scope, full }: { readonly scope?: string; readonly full?: boolean },
) => scope === undefined && (full !== true || after !== undefined) && servers.some(server => server.scope !== null)

/** Everything is read once more, from the beginning. */
export function forgetScope(servers: readonly ServerState[]): void {
  for (const server of servers)
    Object.assign(server, { scope: null, serverDate: 0, pulling: false, page: null, sweeping: null, etag: null })
}
