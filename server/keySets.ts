// The key sets that answers have named: what a caller saw then is told from what they see now.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { KeySet } from '../src/changes/scopes/keySet.js'
import { first, query, type Transaction } from '../src/databases/database.js'
import type { PullQuery, Reset } from '../src/protocol/messages.js'
import type { Access } from './access.js'
import type { Token } from './tokens.js'

/** Is this set noted, as the caller's last one? */
export function* isNoted({ principal, scope }: Access): Transaction<boolean> {
  const last = yield* first('SELECT name FROM sync_scope WHERE principal = ? ORDER BY stamp DESC LIMIT 1', principal)
  return last?.name === scope
}

/**
 * Notes the set as the caller's last one, under a stamp of its own: so the set that was in force at a stamp is the last one noted up to there, which
 * is all that a client of 2012 says.
 */
export function* noteSet({ database }: ChangeLog, access: Access): Transaction<void> {
  if (yield* isNoted(access)) return
  const { principal, scope, keys } = access
  const stamp = yield* database.tick()
  yield* database.upsertRows(
    'sync_scope',
    ['principal', 'name', 'stamp', 'held'],
    ['principal', 'name'],
    [[principal, scope, stamp, JSON.stringify(keys)]],
  )
}

/** Undefined where the set is forgotten, was never noted, or is another caller's. */
function* readSet({ principal }: Access, name: string): Transaction<KeySet | undefined> {
  const row = yield* first('SELECT held FROM sync_scope WHERE principal = ? AND name = ?', principal, name)
  return row && (JSON.parse(String(row.held)) as KeySet)
}

/** The name of the set that was in force at a stamp. */
function* readNameAt({ principal }: Access, stamp: number): Transaction<string | undefined> {
  const row = yield* first('SELECT name FROM sync_scope WHERE principal = ? AND stamp <= ? ORDER BY stamp DESC LIMIT 1', principal, stamp)
  return row && String(row.name)
}

/** Which keys a client holds. */
export interface HeldSet {
  /** Its name; empty where the client holds nothing. */
  readonly name: string
  readonly held: KeySet | undefined
  readonly reset?: Reset
}

/** Finds the set by what a GET says; `reset` where it cannot be told from. */
export function* readHeldSet(
  access: Access | undefined,
  { since, scope, after }: Pick<PullQuery, 'since' | 'scope'> & { readonly after?: Token | undefined },
): Transaction<HeldSet> {
  if (!access) return { name: '', held: undefined }
  if (after && after.to !== access.scope) return { name: '', held: undefined, reset: 'scope-changed' }
  // a client of 2012 says no more than when it asked last
  const name = after ? (after.from ?? '') : since === 0 ? '' : (scope ?? (yield* readNameAt(access, since)) ?? '')
  if (name === access.scope) return { name, held: access.keys }
  const held = name === '' ? undefined : yield* readSet(access, name)
  // the exits of a collection of which all was seen are not kept
  const isKnown = held && Object.entries(access.keys).every(([collection, keys]) => keys === 'all' || held[collection] !== 'all')
  if (isKnown) return { name, held }
  const isNew = since === 0 || (after && name === '')
  return isNew ? { name: '', held: undefined } : { name: '', held: undefined, reset: 'scope-unknown' }
}

/**
 * Forgets sets that were noted up to the horizon, the last ones of callers as well: most belong to users who do not come back. Who still holds one reads on
 * with it, and it is noted anew; who holds another set by then reads everything.
 */
export const forgetSets = (horizon: number): Transaction<unknown> => query('DELETE FROM sync_scope WHERE stamp <= ?', horizon)
