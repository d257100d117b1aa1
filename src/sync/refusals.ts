// Rows that a server has refused: noted with the version that it was, and told again when they move on, or when what they needed may be there.

import { first, query, type Step } from '../changes/database/database.js'
import { type Change, planChanges } from '../changes/order.js'
import { baseOf, forgetRejections, isAgreed, type RowState } from '../changes/remotes.js'
import { storeVersions } from '../changes/store.js'
import { readUniques } from '../changes/storeChanges.js'
import type { Refusal } from '../protocol/messages.js'
import { type Exchange, readRowStates } from './exchange.js'
import { type Session, step } from './session.js'

/** Notes refused rows, each with the stamp of the version that was refused. */
export function* writeRefusals({ log, remote }: Exchange, refusals: readonly (Refusal<string> & { readonly stamp: number })[]): Step<void> {
  // a matter of other rows: told again by the next sync; or when the row that has the value may have let go of it
  const again = (code: string) =>
    code === 'not-unique' ? 2 : ['parent-missing', 'children-exist', 'children-unseen', 'cycle'].includes(code) ? 1 : 0
  if (!refusals.length) return
  yield* log.database.upsertRows(
    'sync_rejection',
    ['remote', 'id', 'stamp', 'code', 'property', 'detail', 'again'],
    ['remote', 'id'],
    refusals.map(({ id, stamp, code, property, detail }) => [remote.id, id, stamp, code, property ?? null, detail, again(code)]),
  )
}

/** A row that was refused before and has moved on since is not refused any more. */
export function* forgetOutdatedRefusals(exchange: Exchange): Step<void> {
  const { log, collection, remote } = exchange
  const refused = yield* query('SELECT id FROM sync_rejection WHERE remote = ?', remote.id)
  if (!refused.length) return
  const states = yield* readRowStates(
    exchange,
    refused.map(row => String(row.id)),
  )
  const outdated: { id: string; stamp: number }[] = []
  for (const state of states.values()) {
    const { id, rejection, version } = state
    if (rejection && rejection.stamp !== version.stamp && isAgreed(remote, state, version.stamp))
      outdated.push({ id, stamp: rejection.stamp })
  }
  yield* forgetRejections(log.database, collection, remote, outdated)
}

/** Rows of the server's have changed: one of them may have let go of a value that a refused row needs, which is told again then. */
export function* freeRefused(exchanges: readonly Exchange[]): Step<void> {
  if (!(yield* first('SELECT 1 FROM sync_rejection WHERE again = 2 LIMIT 1'))) return
  for (const { remote } of exchanges) yield* query('UPDATE sync_rejection SET again = 1 WHERE remote = ? AND again = 2', remote.id)
}

/** What was refused for a missing parent, or for children that were still there, is told again. */
export async function tellAgain(session: Session): Promise<void> {
  await step(session, function* (exchanges) {
    for (const exchange of exchanges) {
      const rows = yield* query('SELECT id FROM sync_rejection WHERE remote = ? AND again = 1', exchange.remote.id)
      if (!rows.length) continue
      yield* tellRowsAgain(
        exchange,
        rows.map(r => String(r.id)),
      )
    }
  })
}

/**
 * Gives refused rows fresh stamps, so that they are told again: one after the other where a row takes the unique value of another one, for they
 * may not have room in one push.
 */
export function* tellRowsAgain(exchange: Exchange, ids: readonly string[]): Step<void> {
  const { collection, remote, log } = exchange
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const refused = states.filter(s => s.rejection?.stamp === s.version.stamp && !s.waiting)
  if (refused.length) {
    const versions = new Map(refused.map(({ id, version: old }) => [id, { id, old, value: old.value }]))
    for (const ids of yield* inOrder(exchange, refused)) {
      const some = ids.flatMap(id => versions.get(id) ?? [])
      yield* storeVersions(log, collection, some, yield* log.database.tick(), remote)
    }
  }
  yield* forgetRejections(
    log.database,
    collection,
    remote,
    states.flatMap(s => (s.rejection ? [{ id: s.id, stamp: s.rejection.stamp }] : [])),
  )
}

/** The rows that let go of a value before those that take it, as the server will see them. */
function* inOrder({ log, collection, remote }: Exchange, refused: readonly RowState[]): Step<string[][]> {
  if (refused.length < 2) return [refused.map(s => s.id)]
  const changes = refused.map(
    (s): Change => ({ collection, id: s.id, old: { value: baseOf(remote, s) ?? null, stamp: 0 }, value: s.version.value, stamp: 0 }),
  )
  const { levels } = planChanges(changes, yield* readUniques(log.database, changes))
  return levels.map(level => level.map(({ change }) => change.id))
}
