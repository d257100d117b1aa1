// Rows that a server has refused: noted with the version that it was, and told again when they move on, or when what they needed may be there.

import { query, type Step } from '../changes/database/database.js'
import { forgetRejections, isAgreed } from '../changes/remotes.js'
import { storeVersions } from '../changes/store.js'
import type { Refusal } from '../protocol/messages.js'
import { type Exchange, readRowStates } from './exchange.js'
import { type Session, step } from './session.js'

/** Notes refused rows, each with the stamp of the version that was refused. */
export function* writeRefusals({ log, remote }: Exchange, refusals: readonly (Refusal & { readonly stamp: number })[]): Step<void> {
  // a matter of other rows: told again by the next sync
  const again = (code: string) => (['parent-missing', 'children-exist', 'children-unseen', 'cycle'].includes(code) ? 1 : 0)
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

/** What was refused for a missing parent, or for children that were still there, is told again. */
export async function tellAgain(session: Session): Promise<void> {
  await step(session, function* (exchange) {
    const rows = yield* query('SELECT id FROM sync_rejection WHERE remote = ? AND again = 1', exchange.remote.id)
    yield* tellRowsAgain(
      exchange,
      rows.map(r => String(r.id)),
    )
  })
}

/** Gives refused rows a fresh stamp, so that they are told again. */
export function* tellRowsAgain(exchange: Exchange, ids: readonly string[]): Step<void> {
  const { collection, remote, log } = exchange
  const states = [...(yield* readRowStates(exchange, ids)).values()]
  const refused = states.filter(s => s.rejection?.stamp === s.version.stamp && !s.waiting)
  if (refused.length) {
    const stamp = yield* log.database.tick()
    yield* storeVersions(
      log,
      collection,
      refused.map(s => ({ id: s.id, old: s.version, value: s.version.value })),
      stamp,
      remote,
    )
  }
  yield* forgetRejections(
    log.database,
    collection,
    remote,
    states.flatMap(s => (s.rejection ? [{ id: s.id, stamp: s.rejection.stamp }] : [])),
  )
}
