// Whose rows these are. A device holds the rows of one user: their name, which the server gives, is remembered with the first answer.

import type { ServerState } from '../changes/servers/serverState.js'
import { query, type Transaction } from '../databases/database.js'
import { OtherUserError } from '../errors.js'
import type { Exchange } from './exchange.js'

/** The name that a server gave the user whose rows are here; undefined where it named none, or was never heard. */
export const principalOf = (servers: readonly ServerState[]): string | undefined =>
  servers.find(server => server.principal !== null)?.principal ?? undefined

/** What a push says of its principal. */
export const asPrincipal = (principal: string | undefined) => (principal === undefined ? {} : { principal })

/** Throws OtherUserError where an answer is another user's; to be called before anything of it is stored (law 22). */
export function checkPrincipal(url: string, known: string | undefined, { principal }: { readonly principal?: string }): void {
  if (known !== undefined && principal !== known) throw new OtherUserError(url)
}

/** Remembers whose rows these are, for all collections of the server. */
export function* notePrincipal(exchanges: readonly Exchange[], principal: string | undefined): Transaction<void> {
  const unnamed = exchanges.map(({ server }) => server).filter(server => server.principal === null)
  const [any] = unnamed
  if (!any || principal === undefined) return
  for (const server of unnamed) server.principal = principal
  yield* query('UPDATE sync_server SET principal = ? WHERE origin = ?', principal, any.origin)
}
