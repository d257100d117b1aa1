// Who asks: the application says by its own means, and answers name them in a way that says nothing about them (PROTOCOL.md, Principals).

import { createHash } from 'node:crypto'
import type { ClientVersion } from './clientVersion.js'
import type { FindPrincipal, Principal } from './principal.js'
import { Problem } from './problem.js'
import type { SyncRequest } from './request.js'
import type { Rule } from './rules.js'

/** On whose behalf a request comes. */
export interface Caller {
  /** What answers call them; undefined where the application names nobody to these routes. */
  readonly principal: string | undefined
  /** As the application has named them. */
  readonly caller: Principal | undefined
  /** What they may see and change; undefined where that is everything. */
  readonly rules: readonly Rule[] | undefined
  /** The version of the schema that they have; undefined where the server knows none. */
  readonly client?: ClientVersion
}

/** Whose pages and ETags are the same: those of one principal, and one version of the schema. */
export const readerOf = ({ principal, client }: Caller): string | undefined =>
  client ? `${principal ?? ''}.v${client.version}` : principal

/** Throws a Problem. */
export async function callerOf(request: SyncRequest, find: FindPrincipal | undefined, rules: readonly Rule[] | undefined): Promise<Caller> {
  if (!find) return { principal: undefined, caller: undefined, rules }
  const principal = await findOrReject(request, find)
  if (!principal || isOver(principal)) throw new Problem(401, 'Sign in first.', { headers: { 'WWW-Authenticate': 'Bearer' } })
  if (typeof principal.id !== 'string' || principal.id === '') throw new TypeError('`principal` gave an id that is not a text.')
  const name = createHash('sha256').update(`typeorm-sync principal ${principal.id}`).digest('base64url').slice(0, 22)
  return { principal: name, caller: principal, rules }
}

function isOver({ expires }: Principal): boolean {
  if (expires !== undefined && !Number.isFinite(expires)) throw new TypeError('`principal` gave an `expires` that is no number.')
  return expires !== undefined && expires <= Date.now()
}

async function findOrReject(request: SyncRequest, find: FindPrincipal): Promise<Principal | null | undefined> {
  try {
    return await find(request)
  } catch (error) {
    const { status, headers } = (error ?? {}) as { status?: unknown; headers?: Record<string, string> }
    if (typeof status !== 'number' || status < 400 || status > 499) throw error
    throw new Problem(status, status === 401 ? 'Sign in first.' : 'You may not sync here.', headers ? { headers } : {})
  }
}

/** Throws a Problem where the push was made for another principal. */
export function checkPrincipal(meant: string | undefined, principal: string | undefined): void {
  if (meant === undefined || meant === principal) return
  throw new Problem(409, 'Nothing was stored: this push was made for another user.', {
    type: 'urn:typeorm-sync:other-user',
    title: 'Other user',
    members: { reset: 'other-user', ...(principal !== undefined && { principal }) },
  })
}
